//! When a day is listed, when it is refreshed, and that each is asked for once at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::super::testing::{self, ALL, record, time, zone};
use jiff::SignedDuration;

use super::*;
use crate::base::MasterId;
use crate::base::clock::ManualClock;
use crate::cxone::ContactRecord;
use crate::net::ApiErrorKind;

type Window = (Timestamp, Timestamp, Option<Timestamp>);

/// A tenant that answers when it is let, and counts.
#[derive(Default)]
struct FakeLister {
    records: Mutex<Vec<ContactRecord>>,
    calls: Mutex<Vec<Window>>,
    gate: Option<Notify>,
    down: Mutex<bool>,
    /// Fewer contacts come than are counted.
    short: Mutex<bool>,
    /// Contacts are counted as of the time at which they end.
    by_end: bool,
    /// Records of each listing that cannot be read.
    skipped: u32,
    sweeps: Mutex<Vec<Timestamp>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl FakeLister {
    fn calls(&self) -> Vec<Window> {
        self.calls.lock().clone()
    }

    /// From when on changes were asked for.
    fn sweeps(&self) -> Vec<Timestamp> {
        self.sweeps.lock().clone()
    }
}

#[async_trait]
impl Lister for FakeLister {
    async fn list(
        &self,
        start: Timestamp,
        end: Timestamp,
        updated_since: Option<Timestamp>,
        _progress: &ListingProgress,
    ) -> Result<ContactsAnswer, ApiError> {
        self.calls.lock().push((start, end, updated_since));
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if *self.down.lock() {
            return Err(ApiError::new(ApiErrorKind::Unavailable, "down"));
        }
        let mut contacts = self.records.lock().clone();
        let counted = |record: &ContactRecord| {
            let lasts = if self.by_end { record.duration_s } else { 0.0 };
            record.start + SignedDuration::from_secs_f64(lasts)
        };
        contacts.retain(|record| (start..end).contains(&counted(record)));
        Ok(ContactsAnswer {
            contacts,
            skipped: self.skipped,
            whole: !*self.short.lock(),
            last_poll: Some(time("2026-11-02T17:00:00Z")),
        })
    }

    async fn changed(
        &self,
        since: Timestamp,
        into: mpsc::Sender<Vec<ContactRecord>>,
    ) -> Result<ChangesAnswer, ApiError> {
        self.sweeps.lock().push(since);
        if *self.down.lock() {
            return Err(ApiError::new(ApiErrorKind::Unavailable, "down"));
        }
        let mut contacts = self.records.lock().clone();
        contacts.retain(|record| record.last_update.is_some_and(|at| at >= since));
        for contact in contacts {
            let _ = into.send(vec![contact]).await;
        }
        Ok(ChangesAnswer { skipped: 0, whole: !*self.short.lock(), last_poll: None })
    }
}

struct Fixture {
    indexer: Indexer,
    lister: Arc<FakeLister>,
    clock: Arc<ManualClock>,
    catalog: Catalog,
    _dir: tempfile::TempDir,
}

/// An afternoon of 2 November 2026 in New York.
fn fixture(lister: FakeLister) -> Fixture {
    let (catalog, dir) = testing::catalog();
    let lister = Arc::new(lister);
    let clock = Arc::new(ManualClock::new(time("2026-11-02T17:00:00Z")));
    let indexer = Indexer::new(catalog.clone(), lister.clone(), clock.clone(), zone());
    // As if it were known, so that no night is looked at.
    indexer.inner.state().counts_by_start = true;
    Fixture { indexer, lister, clock, catalog, _dir: dir }
}

fn gated() -> FakeLister {
    FakeLister { gate: Some(Notify::new()), ..FakeLister::default() }
}

fn today() -> Day {
    "2026-11-02".parse().unwrap()
}

/// Lets other tasks run until `done`; bounded.
async fn until(done: impl Fn() -> bool) {
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    ended.await.expect("it happens within 20 s");
}

fn idle(fixture: &Fixture) -> impl Fn() -> bool {
    let inner = fixture.indexer.inner.clone();
    move || inner.state().pending_calls.is_empty()
}

#[tokio::test]
async fn an_unknown_day_is_fetched_once_for_all_who_wait() {
    let fixture = fixture(gated());
    *fixture.lister.records.lock() = vec![record(1, 1, 7, "2026-11-02T15:00:00Z")];
    let mut changes = fixture.indexer.changes();
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let indexer = fixture.indexer.clone();
            tokio::spawn(async move { indexer.ensure(today()).await })
        })
        .collect();
    until(|| !fixture.lister.calls().is_empty()).await;
    // One leaves; the fetch goes on.
    waiters[0].abort();
    fixture.lister.gate.as_ref().unwrap().notify_one();
    for waiter in waiters.into_iter().skip(1) {
        let state = waiter.await.unwrap().unwrap();
        assert_eq!(state.indexed_at, time("2026-11-02T17:00:00Z"));
    }
    let window = (time("2026-11-02T05:00:00Z"), time("2026-11-03T05:00:00Z"), None);
    assert_eq!(fixture.lister.calls(), [window]);
    assert_eq!(fixture.catalog.agents(today(), &ALL).unwrap().len(), 1);
    assert_eq!(changes.recv().await.unwrap(), today());
    assert!(fixture.indexer.inner.state().pending_calls.is_empty());
}

#[tokio::test]
async fn a_fetch_that_everyone_left_is_kept() {
    let fixture = fixture(gated());
    let indexer = fixture.indexer.clone();
    let waiter = tokio::spawn(async move { indexer.ensure(today()).await });
    until(|| !fixture.lister.calls().is_empty()).await;
    waiter.abort();
    fixture.lister.gate.as_ref().unwrap().notify_one();
    until(idle(&fixture)).await;
    assert!(fixture.catalog.day(today()).unwrap().is_some());
}

#[tokio::test]
async fn a_failure_is_shared_and_not_remembered() {
    let fixture = fixture(gated());
    *fixture.lister.down.lock() = true;
    let (one, other) = (fixture.indexer.clone(), fixture.indexer.clone());
    let both = tokio::spawn(async move { tokio::join!(one.ensure(today()), other.ensure(today())) });
    until(|| !fixture.lister.calls().is_empty()).await;
    fixture.lister.gate.as_ref().unwrap().notify_one();
    let (one, other) = both.await.unwrap();
    match (one.unwrap_err(), other.unwrap_err()) {
        (IndexError::Api(one), IndexError::Api(other)) => assert!(Arc::ptr_eq(&one, &other)),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.catalog.day(today()).unwrap(), None);
    *fixture.lister.down.lock() = false;
    fixture.lister.gate.as_ref().unwrap().notify_one();
    fixture.indexer.ensure(today()).await.unwrap();
    assert_eq!(fixture.lister.calls().len(), 2);
}

#[tokio::test]
async fn an_open_day_is_answered_at_once_and_refreshed_behind() {
    let fixture = fixture(gated());
    fixture.lister.gate.as_ref().unwrap().notify_one();
    let first = fixture.indexer.ensure(today()).await.unwrap();
    fixture.clock.advance(Duration::from_secs(299));
    assert_eq!(fixture.indexer.ensure(today()).await.unwrap(), first);
    assert!(fixture.indexer.inner.state().pending_calls.is_empty());
    fixture.clock.advance(Duration::from_secs(1));
    // The gate is shut, so an answer can only come from the index.
    for _ in 0..3 {
        assert_eq!(fixture.indexer.ensure(today()).await.unwrap(), first);
    }
    let mut changes = fixture.indexer.changes();
    *fixture.lister.records.lock() = vec![record(1, 1, 7, "2026-11-02T15:00:00Z")];
    fixture.lister.gate.as_ref().unwrap().notify_one();
    assert_eq!(changes.recv().await.unwrap(), today());
    let calls = fixture.lister.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].2, Some(time("2026-11-02T16:40:00Z")));
    until(idle(&fixture)).await;
    assert_eq!(fixture.indexer.ensure(today()).await.unwrap().indexed_at, time("2026-11-02T17:05:00Z"));
}

#[tokio::test]
async fn a_failing_refresh_keeps_the_day_and_pauses() {
    let fixture = fixture(FakeLister::default());
    let first = fixture.indexer.ensure(today()).await.unwrap();
    *fixture.lister.down.lock() = true;
    fixture.clock.advance(Duration::from_mins(5));
    for _ in 0..5 {
        assert_eq!(fixture.indexer.ensure(today()).await.unwrap(), first);
        until(idle(&fixture)).await;
    }
    assert_eq!(fixture.lister.calls().len(), 2, "one attempt, then a pause");
    assert_eq!(fixture.indexer.inner.state().failing.len(), 1);
    *fixture.lister.down.lock() = false;
    fixture.clock.advance(RETRY_PAUSE);
    fixture.indexer.ensure(today()).await.unwrap();
    until(idle(&fixture)).await;
    assert_eq!(fixture.lister.calls().len(), 3);
    assert!(fixture.indexer.inner.state().failing.is_empty());
}

#[tokio::test]
async fn a_closed_day_is_final_until_it_is_refreshed() {
    let fixture = fixture(FakeLister::default());
    let day: Day = "2026-10-01".parse().unwrap();
    let state = fixture.indexer.ensure(day).await.unwrap();
    assert!(state.closed);
    fixture.clock.advance(Duration::from_hours(365 * 24));
    assert_eq!(fixture.indexer.ensure(day).await.unwrap(), state);
    until(idle(&fixture)).await;
    assert_eq!(fixture.lister.calls().len(), 1);
    let again = fixture.indexer.refresh(day).await.unwrap();
    assert!(again.closed && again.indexed_at > state.indexed_at);
    assert_eq!(fixture.lister.calls()[1].2, None);
}

#[tokio::test]
async fn a_day_that_was_never_whole_is_listed_once_more_before_it_is_final() {
    let fixture = fixture(FakeLister::default());
    *fixture.lister.short.lock() = true;
    let day: Day = "2026-10-01".parse().unwrap();
    let state = fixture.indexer.ensure(day).await.unwrap();
    assert_eq!((state.closed, state.last_poll), (false, None));
    fixture.clock.advance(Duration::from_mins(5));
    assert!(!fixture.indexer.ensure(day).await.unwrap().closed);
    until(idle(&fixture)).await;
    assert!(fixture.indexer.ensure(day).await.unwrap().closed, "a tenant that cannot count is not asked for ever");
    assert_eq!(fixture.lister.calls()[1].2, None);
}

#[tokio::test]
async fn an_open_day_is_closed_by_a_whole_listing() {
    let fixture = fixture(FakeLister::default());
    assert!(!fixture.indexer.ensure(today()).await.unwrap().closed);
    fixture.clock.advance(Duration::from_hours(72));
    assert!(!fixture.indexer.ensure(today()).await.unwrap().closed);
    until(idle(&fixture)).await;
    assert!(fixture.indexer.ensure(today()).await.unwrap().closed);
    assert_eq!(fixture.lister.calls()[1].2, None);
}

#[tokio::test]
async fn a_forced_refresh_follows_a_running_one() {
    let fixture = fixture(gated());
    let gate = fixture.lister.gate.as_ref().unwrap();
    gate.notify_one();
    fixture.indexer.ensure(today()).await.unwrap();
    fixture.clock.advance(Duration::from_mins(5));
    fixture.indexer.ensure(today()).await.unwrap();
    until(|| fixture.lister.calls().len() == 2).await;
    let indexer = fixture.indexer.clone();
    let forced = tokio::spawn(async move { indexer.refresh(today()).await });
    gate.notify_one();
    until(|| fixture.lister.calls().len() == 3).await;
    gate.notify_one();
    forced.await.unwrap().unwrap();
    let calls = fixture.lister.calls();
    assert!(calls[1].2.is_some() && calls[2].2.is_none());
}

#[tokio::test]
async fn tomorrow_is_empty_without_a_call() {
    let fixture = fixture(FakeLister::default());
    let state = fixture.indexer.ensure(today().next()).await.unwrap();
    assert!(!state.closed);
    fixture.indexer.refresh(today().next()).await.unwrap();
    assert!(fixture.lister.calls().is_empty());
    assert_eq!(fixture.catalog.day(today().next()).unwrap(), None);
}

#[tokio::test]
async fn few_days_are_listed_at_once() {
    let fixture = fixture(gated());
    let days: Vec<_> = (0..8)
        .map(|n| {
            let indexer = fixture.indexer.clone();
            tokio::spawn(async move { indexer.ensure(Day(20_000 + n)).await })
        })
        .collect();
    for listed in 0..8 {
        until(|| fixture.lister.calls().len() > listed).await;
        fixture.lister.gate.as_ref().unwrap().notify_one();
    }
    for day in days {
        assert!(day.await.unwrap().unwrap().closed);
    }
    assert!(fixture.lister.most_at_once.load(Ordering::SeqCst) <= LISTINGS_AT_ONCE);
}

/// A call that begins two minutes before midnight and is taken over after it, and one that is of the day alone.
fn over_midnight() -> Vec<ContactRecord> {
    let begins = ContactRecord { media_type_id: 5, ..record(10, 10, 7, "2026-11-02T04:58:00Z") };
    vec![begins, record(11, 10, 8, "2026-11-02T05:00:30Z"), record(20, 20, 8, "2026-11-02T15:00:00Z")]
}

#[tokio::test]
async fn an_interaction_over_midnight_is_the_same_whichever_day_is_listed_first() {
    let published = async |days: [&str; 2]| {
        let fixture = fixture(FakeLister::default());
        *fixture.lister.records.lock() = over_midnight();
        let mut seen = Vec::new();
        for day in days {
            fixture.indexer.ensure(day.parse().unwrap()).await.unwrap();
            let call = fixture.catalog.interaction(MasterId(10)).unwrap().unwrap();
            seen.push((call.mtime, call.channel));
        }
        let days: Vec<Day> = ["2026-11-01", "2026-11-02"].map(|day| day.parse().unwrap()).into();
        (seen, testing::dump(&fixture.catalog, &days))
    };
    let (in_order, dump) = published(["2026-11-01", "2026-11-02"]).await;
    let (later_first, same) = published(["2026-11-02", "2026-11-01"]).await;
    assert_eq!(in_order[0].0, time("2026-11-02T04:58:00Z"));
    assert!(in_order.iter().chain(&later_first).all(|shown| *shown == in_order[0]), "{in_order:?} {later_first:?}");
    assert_eq!(dump, same);
}

#[tokio::test]
async fn the_evening_before_is_looked_at_only_for_what_is_not_known() {
    let fixture = fixture(FakeLister::default());
    *fixture.lister.records.lock() = over_midnight();
    let evening = (time("2026-11-02T01:00:00Z"), time("2026-11-02T05:00:00Z"), None);
    let day = (time("2026-11-02T05:00:00Z"), time("2026-11-03T05:00:00Z"), None);
    fixture.indexer.ensure(today()).await.unwrap();
    assert_eq!(fixture.lister.calls(), [day, evening]);
    // Its time is published by now.
    fixture.indexer.refresh(today()).await.unwrap();
    assert_eq!(fixture.lister.calls(), [day, evening, day]);
    let yesterday: Day = "2026-11-01".parse().unwrap();
    assert_eq!(fixture.catalog.day(yesterday).unwrap(), None, "a look is no listing");
}

/// A tenant that counts contacts by their end.
fn by_end(records: Vec<ContactRecord>) -> FakeLister {
    FakeLister { by_end: true, records: Mutex::new(records), ..FakeLister::default() }
}

#[tokio::test]
async fn a_call_over_midnight_is_on_its_own_day_where_the_tenant_counts_by_the_end() {
    let night: Day = "2026-10-20".parse().unwrap();
    // From 23:55 to 00:10, and one of the next day.
    let call = ContactRecord { duration_s: 900.0, ..record(1, 1, 7, "2026-10-21T03:55:00Z") };
    let records = vec![call, record(2, 2, 7, "2026-10-21T15:00:00Z")];
    let names = |catalog: &Catalog, day: Day| -> Vec<i64> {
        let folders = catalog.interactions(day, crate::base::AgentId(7), &ALL).unwrap();
        folders.iter().map(|folder| folder.master_id.0).collect()
    };
    // Alone, and after the next day, and before it.
    for days in [vec![night], vec![night.next(), night], vec![night, night.next()]] {
        let fixture = fixture(by_end(records.clone()));
        fixture.indexer.inner.state().counts_by_start = false;
        for day in &days {
            assert!(fixture.indexer.ensure(*day).await.unwrap().closed);
        }
        assert_eq!(names(&fixture.catalog, night), [1], "{days:?}");
        if days.len() > 1 {
            assert_eq!(names(&fixture.catalog, night.next()), [2], "{days:?}");
        }
    }
    // Where it is believed that it counts by the start, the listing of the next day brings it to its own, which is final.
    let fixture = fixture(by_end(records));
    fixture.indexer.ensure(night).await.unwrap();
    assert_eq!(names(&fixture.catalog, night), [0_i64; 0]);
    let mut changes = fixture.indexer.changes();
    fixture.indexer.ensure(night.next()).await.unwrap();
    assert_eq!(names(&fixture.catalog, night), [1]);
    assert!(fixture.catalog.day(night).unwrap().unwrap().closed);
    let told = [changes.recv().await.unwrap(), changes.recv().await.unwrap()];
    assert!(told.contains(&night), "{told:?}");
}

#[tokio::test]
async fn a_contact_that_completes_long_after_its_day_is_found_by_the_sweep() {
    let fixture = fixture(FakeLister::default());
    let day: Day = "2026-10-20".parse().unwrap();
    let early = record(1, 1, 7, "2026-10-20T15:00:00Z");
    *fixture.lister.records.lock() = vec![early.clone()];
    assert_eq!(fixture.indexer.sweep().await.unwrap(), 0, "nothing is indexed");
    assert!(fixture.lister.sweeps().is_empty());
    assert!(fixture.indexer.ensure(day).await.unwrap().closed);
    let before = testing::dump(&fixture.catalog, &[day]);

    // An email of the same agent, and one of a day that nobody looked at.
    let late =
        ContactRecord { last_update: Some(time("2026-11-02T17:50:00Z")), ..record(2, 2, 7, "2026-10-20T16:00:00Z") };
    let elsewhere =
        ContactRecord { contact_id: crate::base::ContactId(3), start: time("2026-10-25T16:00:00Z"), ..late.clone() };
    fixture.lister.records.lock().extend([late, elsewhere]);
    fixture.clock.advance(Duration::from_hours(1));
    let mut changes = fixture.indexer.changes();
    assert_eq!(fixture.indexer.sweep().await.unwrap(), 2);
    assert_eq!(changes.try_recv().unwrap(), day);
    assert!(changes.try_recv().is_err(), "no other day changed");
    let folders = fixture.catalog.interactions(day, crate::base::AgentId(7), &ALL).unwrap();
    assert_eq!(folders.iter().map(|folder| folder.master_id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(fixture.catalog.day("2026-10-25".parse().unwrap()).unwrap(), None);
    assert!(fixture.catalog.day(day).unwrap().unwrap().closed);
    let kept =
        |dump: &str| dump.lines().filter(|line| line.contains("MasterId(1)")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(kept(&testing::dump(&fixture.catalog, &[day])), kept(&before), "names and numbers stay");

    // The next one goes on where this one ended, and finds nothing new.
    assert_eq!(fixture.indexer.sweep().await.unwrap(), 2, "the overlap");
    assert!(changes.try_recv().is_err());
    let sweeps = fixture.lister.sweeps();
    assert_eq!(sweeps, [time("2026-11-02T16:40:00Z"), time("2026-11-02T17:40:00Z")]);
}

#[tokio::test]
async fn a_sweep_that_was_not_whole_or_failed_is_made_again_from_where_it_began() {
    let fixture = fixture(FakeLister::default());
    fixture.indexer.ensure(today()).await.unwrap();
    *fixture.lister.short.lock() = true;
    fixture.indexer.sweep().await.unwrap();
    *fixture.lister.down.lock() = true;
    assert!(fixture.indexer.sweep().await.is_err());
    let sweeps = fixture.lister.sweeps();
    assert_eq!(sweeps[0], sweeps[1]);
}

#[tokio::test]
async fn where_contacts_may_be_counted_by_their_end_the_sweep_goes_back_to_the_days_that_were_listed() {
    let fixture = fixture(by_end(Vec::new()));
    fixture.indexer.inner.state().counts_by_start = false;
    let day: Day = "2026-10-20".parse().unwrap();
    fixture.indexer.ensure(day).await.unwrap();
    // An email of that day that ended a week later.
    let email = ContactRecord { duration_s: 7.0 * 86_400.0, ..record(1, 1, 7, "2026-10-20T15:00:00Z") };
    let email = ContactRecord { last_update: Some(time("2026-10-27T15:00:00Z")), ..email };
    fixture.lister.records.lock().push(email);
    fixture.indexer.sweep().await.unwrap();
    assert_eq!(fixture.catalog.interactions(day, crate::base::AgentId(7), &ALL).unwrap().len(), 1);
    fixture.indexer.sweep().await.unwrap();
    assert_eq!(fixture.lister.sweeps(), [time("2026-10-20T03:40:00Z"), time("2026-11-02T16:40:00Z")]);
}

#[tokio::test]
async fn days_before_the_tree_are_left_alone_and_what_cannot_be_read_is_counted() {
    let fixture = fixture(FakeLister { skipped: 3, ..FakeLister::default() });
    let day: Day = "2026-10-20".parse().unwrap();
    fixture.indexer.ensure(day).await.unwrap();
    fixture.indexer.ensure(today()).await.unwrap();
    assert_eq!(fixture.catalog.unreadable(Day(0)).unwrap(), [(day, 3), (today(), 3)]);
    assert_eq!(fixture.catalog.unreadable(today()).unwrap(), [(today(), 3)]);
    let Fixture { indexer, lister, .. } = &fixture;
    let indexer = Indexer::new(fixture.catalog.clone(), lister.clone(), indexer.inner.clock.clone(), zone());
    let indexer = indexer.showing(Since::Day(today()));
    let late =
        ContactRecord { last_update: Some(time("2026-11-02T17:50:00Z")), ..record(2, 2, 7, "2026-10-20T16:00:00Z") };
    lister.records.lock().push(late);
    indexer.sweep().await.unwrap();
    assert!(fixture.catalog.agents(day, &ALL).unwrap().is_empty());
}
