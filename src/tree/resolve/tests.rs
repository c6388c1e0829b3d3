//! Resolving with doubles for the tenant, on a paused clock.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::*;
use crate::base::{AgentId, Channel, Day};
use crate::catalog::file_ino;
use crate::cxone::ContactRecord;
use crate::media::{LinkSource, MediaError, StorageRefusal};
use crate::net::{ApiError, ApiErrorKind};
use crate::tree::error::ErrorKind;
use crate::tree::principal::Principal;
use crate::tree::signing::RecordingLinks;
use crate::tree::testing::{Fixture, caller, contact, fixture, mortal, open};

mod refusals;

const SECOND: Duration = Duration::from_secs(1);

fn master(number: i64) -> MasterId {
    MasterId(1000 + number)
}

async fn resolve(fixture: &Fixture, number: i64) -> Result<(), ErrorKind> {
    fixture.tree.resolver().resolved(master(number), open()).await.map(drop).map_err(|error| error.kind())
}

fn outcomes(fixture: &Fixture) -> Vec<String> {
    let mut outcomes = Vec::new();
    fixture.catalog.ledger_rows(Timestamp::MIN, |row| outcomes.push(row.outcome.unwrap_or_default())).unwrap();
    outcomes
}

fn refused() -> ApiError {
    ApiError::new(ApiErrorKind::Unavailable, "cannot be reached").unsent()
}

fn throttled() -> ApiError {
    ApiError::new(ApiErrorKind::RateLimited { retry_after: None }, "too many")
}

#[tokio::test(start_paused = true)]
async fn all_who_ask_share_one_call_and_the_next_needs_none() {
    let fixture = fixture(20, None).await;
    *fixture.player.latency.lock().unwrap() = SECOND;
    let all = join_all((0..10).map(|_| resolve(&fixture, 1))).await;
    assert_eq!(all, vec![Ok(()); 10]);
    resolve(&fixture, 1).await.unwrap();
    assert_eq!((fixture.player.calls.load(Ordering::SeqCst), outcomes(&fixture)), (1, vec![String::from("found")]));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_before_the_call_pays_nothing_and_after_it_keeps_what_was_paid() {
    let fixture = fixture(1, None).await;
    resolve(&fixture, 1).await.unwrap();
    // The only slot is taken: nobody calls.
    assert!(timeout(SECOND, resolve(&fixture, 2)).await.is_err());
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(fixture.player.calls.load(Ordering::SeqCst), 1);
    *fixture.player.latency.lock().unwrap() = SECOND;
    assert!(timeout(SECOND / 2, resolve(&fixture, 3)).await.is_err());
    tokio::time::sleep(SECOND).await;
    resolve(&fixture, 3).await.unwrap();
    assert_eq!(outcomes(&fixture), ["found", "found"]);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_left_the_board_takes_no_later_one_off() {
    let fixture = fixture(1, None).await;
    let resolver = fixture.tree.resolver();
    let registered = || resolver.inner.pending_calls.lock().get(&master(1)).cloned();
    let begin = || resolver.join_pending_call(master(1), &open(), Need::Listing);
    let _first = begin();
    let first = registered().unwrap();
    pending_call::deregister(&mut resolver.inner.pending_calls.lock(), master(1), &first);
    assert!(registered().is_none());
    let _second = begin();
    pending_call::deregister(&mut resolver.inner.pending_calls.lock(), master(1), &first);
    assert!(registered().is_some_and(|second| !Arc::ptr_eq(&first, &second)), "the next asker would pay again");
}

/// Threads that wait for the end of a step could be all that there are, and its holder needs one to end it.
#[test]
fn who_waits_for_another_to_store_a_size_takes_no_thread() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let fixture = fixture(20, None).await;
        // Both share a place, by their numbers.
        let step = fixture.tree.resolver().inner.publishing.step(master(1)).await;
        let begin = |number: i64| {
            let tree = Arc::clone(&fixture.tree);
            tokio::spawn(async move { tree.resolver().resolved(master(number), open()).await.map(drop) })
        };
        let waiting = [begin(1), begin(65)];
        while calls(&fixture) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        timeout(SECOND * 20, tokio::task::spawn_blocking(|| ())).await.expect("a thread is free").unwrap();
        drop(step);
        for done in waiting {
            done.await.unwrap().unwrap();
        }
    });
}

#[tokio::test(start_paused = true)]
async fn the_budget_ends_and_begins_again_with_the_utc_day() {
    let fixture = fixture(1000, Some(10)).await;
    for number in 0..10 {
        resolve(&fixture, number).await.unwrap();
    }
    assert_eq!(resolve(&fixture, 10).await, Err(ErrorKind::BudgetSpent));
    resolve(&fixture, 3).await.unwrap();
    // From 17:00 UTC to just before midnight, and past it.
    fixture.clock.advance(SECOND * (7 * 3600 - 1));
    assert_eq!(resolve(&fixture, 10).await, Err(ErrorKind::BudgetSpent));
    fixture.clock.advance(SECOND);
    resolve(&fixture, 10).await.unwrap();
    assert_eq!(outcomes(&fixture).len(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_raised_budget_and_another_rate_hold_at_once() {
    let fixture = fixture(1000, Some(1)).await;
    resolve(&fixture, 0).await.unwrap();
    assert_eq!(resolve(&fixture, 1).await, Err(ErrorKind::BudgetSpent));
    let resolver = fixture.tree.resolver();
    let limits = ResolveLimits {
        budget: DailyBudget(Some(2)),
        user_budget: DailyBudget(None),
        deadline: SECOND,
        patience: None,
    };
    resolver.set_limits(limits);
    resolve(&fixture, 1).await.unwrap();
    resolver.set_rate(LimiterSettings { calls: 7, window: SECOND });
    assert_eq!(resolver.limiter().calls, 7);
}

#[tokio::test(start_paused = true)]
async fn a_429_loses_nothing_and_counts_as_nothing() {
    let fixture = fixture(20, Some(8)).await;
    for round in 0..2 {
        for number in 0..3 {
            resolve(&fixture, round * 4 + number).await.unwrap();
        }
        fixture.player.failures.lock().unwrap().push(throttled());
        let begun = Instant::now();
        resolve(&fixture, round * 4 + 3).await.unwrap();
        assert!(begun.elapsed() >= SECOND * 2 && begun.elapsed() < SECOND * 6);
        tokio::time::sleep(SECOND * 3).await;
    }
    assert_eq!(outcomes(&fixture), ["found", "found", "found", "throttled", "found"].repeat(2));
}

#[tokio::test(start_paused = true)]
async fn while_the_tenant_is_away_nobody_waits_pays_or_takes_a_slot() {
    let fixture = fixture(3, Some(5)).await;
    *fixture.player.down.lock().unwrap() = Some(refused());
    for number in 0..50 {
        let begun = Instant::now();
        assert_eq!(resolve(&fixture, number).await, Err(ErrorKind::Io));
        assert!(begun.elapsed() <= SECOND * 2, "{:?}", begun.elapsed());
    }
    assert!(fixture.player.calls.load(Ordering::SeqCst) <= 2, "one call found out; the rest was probing");
    assert!(fixture.tree.resolver().service().down_for.is_some());
    *fixture.player.down.lock().unwrap() = None;
    let begun = Instant::now();
    resolve(&fixture, 1).await.unwrap();
    resolve(&fixture, 2).await.unwrap();
    resolve(&fixture, 3).await.unwrap();
    assert!(begun.elapsed() < SECOND * 5, "slots were free: {:?}", begun.elapsed());
    assert_eq!(fixture.tree.resolver().service().down_for, None);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_silent_is_asked_once_and_who_waits_is_told_in_time() {
    let fixture = fixture(100, None).await;
    *fixture.player.latency.lock().unwrap() = SECOND * 30;
    *fixture.player.down.lock().unwrap() = Some(ApiError::new(ApiErrorKind::Timeout, "silence"));
    let begun = Instant::now();
    assert_eq!(join_all((0..64).map(|number| resolve(&fixture, number))).await, vec![Err(ErrorKind::TimedOut); 64]);
    assert!(begun.elapsed() <= SECOND * 31, "{:?}", begun.elapsed());
    let (calls, begun) = (fixture.player.calls.load(Ordering::SeqCst), Instant::now());
    assert_eq!(resolve(&fixture, 70).await, Err(ErrorKind::TimedOut));
    assert!(begun.elapsed() <= SECOND * 2);
    assert_eq!(fixture.player.calls.load(Ordering::SeqCst), calls);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ended_costs_a_slot_and_no_budget_and_only_once() {
    let fixture = fixture(2, Some(1)).await;
    let ended = || ApiError::new(ApiErrorKind::Denied, "401").with_status(401).token_renewed();
    fixture.player.failures.lock().unwrap().push(ended());
    resolve(&fixture, 0).await.unwrap();
    assert_eq!(outcomes(&fixture), ["token ended", "found"]);
    assert_eq!(fixture.tree.resolver().limiter().used, 2, "both requests reached the tenant");
}

/// Interaction 500 is a call; where all of them stand.
fn with_a_call(fixture: &Fixture) -> (Day, AgentId) {
    let place = fixture.catalog.places(master(5)).unwrap()[0];
    let call = ContactRecord { media_type_id: Channel::Call.media_type_id(), ..contact(1500, "2026-11-02T15:00:00Z") };
    fixture.catalog.record_day(place.0, &[call], fixture.clock.now(), false, None).unwrap();
    place
}

#[tokio::test(start_paused = true)]
async fn what_becomes_exact_is_dropped_from_the_kernel() {
    let fixture = fixture(100, None).await;
    let (day, agent) = with_a_call(&fixture);
    let folder = |number| fixture.catalog.interaction_folder(day, agent, master(number)).unwrap().unwrap();
    let file = |number, kind| -(file_ino(folder(number).ino_base, kind) as i64);
    // Its names were foretold rightly, its size was not.
    resolve(&fixture, 5).await.unwrap();
    assert_eq!(fixture.kernel.told(), [file(5, FileKind::Metadata)]);
    // No recording.
    resolve(&fixture, 500).await.unwrap();
    let expected = [file(500, FileKind::Metadata), file(500, FileKind::Recording(0)), folder(500).ino as i64];
    assert_eq!(fixture.kernel.told(), expected);
    for number in [5, 500] {
        resolve(&fixture, number).await.unwrap();
    }
    assert_eq!(fixture.kernel.told(), [] as [i64; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_opens_without_a_call_while_a_missing_recording_may_be_asked_for_again() {
    let fixture = fixture(20, None).await;
    let (day, agent) = with_a_call(&fixture);
    resolve(&fixture, 500).await.unwrap();
    fixture.clock.advance(SECOND * 3601);
    *fixture.player.down.lock().unwrap() = Some(refused());
    let folder = fixture.catalog.interaction_folder(day, agent, master(500)).unwrap().unwrap();
    let agent = fixture.catalog.agent(day, agent).unwrap().unwrap();
    let path = format!("{day}/{}/{}", agent.name, folder.name);
    let open = async |name: &str| {
        let node = fixture.tree.walk(&format!("{path}/{name}"), &caller()).await?;
        fixture.tree.open(node, &caller()).await
    };
    let metadata = open("metadata.json").await.unwrap();
    assert!(!metadata.read_at(0, 100, &caller()).await.unwrap().is_empty());
    assert_eq!(calls(&fixture), 1);
    // The recording may be there by now: that takes a call.
    assert_eq!(open("recording.mp4").await.err().unwrap().kind(), ErrorKind::Io);
    assert!(calls(&fixture) > 1);
}

/// The serial of the link that `index` of interaction 1 gets, or the error's text.
async fn link(fixture: &Fixture, index: u8, refused: Option<u64>) -> Result<u64, String> {
    let links = RecordingLinks::admitted(fixture.tree.resolver(), master(1), index, open());
    links.link(refused).await.map(|link| link.serial).map_err(|error| error.to_string())
}

fn calls(fixture: &Fixture) -> u32 {
    fixture.player.calls.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_the_same_link_shares_one_new_one() {
    let fixture = fixture(20, None).await;
    fixture.player.links.store(2, Ordering::SeqCst);
    *fixture.player.latency.lock().unwrap() = SECOND;
    assert_eq!(link(&fixture, 0, None).await, Ok(1));
    let all = join_all((0..8).map(|reader| link(&fixture, reader % 2, Some(1)))).await;
    assert_eq!((all, calls(&fixture)), (vec![Ok(2); 8], 2));
    // An answer to a request that was on its way with the old link.
    assert_eq!((link(&fixture, 1, Some(1)).await, calls(&fixture)), (Ok(2), 2));
    // The new one is refused too: no more calls for a while, then one.
    let denied = MediaError::Refused(StorageRefusal::Denied).to_string();
    assert_eq!((link(&fixture, 0, Some(2)).await, calls(&fixture)), (Err(denied), 2));
    fixture.clock.advance(SECOND * 31);
    assert_eq!((link(&fixture, 0, Some(2)).await, calls(&fixture)), (Ok(3), 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_brought_no_link_is_not_made_for_every_read() {
    let fixture = fixture(20, None).await;
    fixture.player.links.store(1, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(link(&fixture, 1, None).await.is_err());
        assert_eq!(calls(&fixture), 1);
    }
    assert_eq!((link(&fixture, 0, None).await, calls(&fixture)), (Ok(1), 1));
    fixture.clock.advance(SECOND * 3601);
    fixture.player.links.store(2, Ordering::SeqCst);
    assert_eq!((link(&fixture, 1, None).await, calls(&fixture)), (Ok(2), 2));
}

#[tokio::test(start_paused = true)]
async fn who_boards_after_a_landing_needs_no_call() {
    let fixture = fixture(20, None).await;
    fixture.player.links.store(1, Ordering::SeqCst);
    resolve(&fixture, 1).await.unwrap();
    // As if it had looked before the landing.
    let resolver = fixture.tree.resolver();
    resolver.sign(master(1), &open(), Need::Listing).await.unwrap();
    resolver.sign(master(1), &open(), Need::Link { index: 0, refused: None }).await.unwrap();
    assert_eq!((calls(&fixture), outcomes(&fixture).len()), (1, 1));
}

fn wants(principal: &Principal) -> ResolveRequest {
    ResolveRequest { principal: principal.clone(), ..open() }
}

/// User and program of every call.
fn payers(fixture: &Fixture) -> Vec<(u32, String)> {
    let mut payers = Vec::new();
    fixture.catalog.ledger_rows(Timestamp::MIN, |row| payers.push((row.uid, row.comm))).unwrap();
    payers
}

#[tokio::test(start_paused = true)]
async fn who_has_gone_costs_nothing_though_its_request_still_waits() {
    let fixture = fixture(1, None).await;
    resolve(&fixture, 1).await.unwrap();
    let (reader, gone) = mortal();
    let links =
        |principal: &Principal| RecordingLinks::admitted(fixture.tree.resolver(), master(2), 0, wants(principal));
    let waiting = tokio::spawn({
        let links = links(&reader);
        async move { links.link(None).await }
    });
    tokio::time::sleep(SECOND).await;
    gone.store(true, Ordering::SeqCst);
    let ended = timeout(Duration::from_mins(20), waiting).await.unwrap().unwrap();
    assert_eq!(TreeError::from(ended.unwrap_err()).kind(), ErrorKind::Interrupted);
    assert_eq!((calls(&fixture), fixture.tree.resolver().pending_calls()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_in_the_name_of_whoever_still_waits() {
    let fixture = fixture(1, None).await;
    resolve(&fixture, 1).await.unwrap();
    let ((first, gone), (second, _)) = (mortal(), mortal());
    let resolver = fixture.tree.resolver();
    let both = join_all([first, second].map(|principal| resolver.resolved(master(2), wants(&principal))));
    let then_one_goes = async {
        tokio::time::sleep(SECOND).await;
        gone.store(true, Ordering::SeqCst);
    };
    let (both, ()) = tokio::join!(both, then_one_goes);
    assert!(both[1].is_ok(), "{:?}", both[1]);
    assert_eq!(payers(&fixture).last(), Some(&(1001, String::from("cat"))));
    assert_eq!(calls(&fixture), 2);
}
