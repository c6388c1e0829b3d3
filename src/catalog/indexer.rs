//! When to ask the tenant for a day, and each day once at a time.
//!
//! A listing runs in a task of its own: whoever waits for it may leave without harming the others, and what it found is kept.
//! Knows no HTTP (a [`Lister`] asks) and no tables (the catalog stores).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};

use super::days::Unreadable;
use super::error::CatalogError;
use super::handle::Catalog;
use super::model::DayState;
use super::overnight;
use crate::base::{Clock, Day, Since, chain};
use crate::cxone::{ChangesAnswer, ContactRecord, ContactsAnswer, ListingProgress};
use crate::net::{ApiError, ApiErrorKind};

mod policy;
mod sweep;

use policy::signed;
use policy::{Mode, Step};

/// Default age from which an open day is refreshed behind.
const DEFAULT_REFRESH: Duration = Duration::from_mins(5);
/// After a failed refresh behind, accesses start no other one for this long (or the refresh age, if that is shorter).
const RETRY_PAUSE: Duration = Duration::from_secs(30);
/// Days listed at once because someone waits. Each may hold a day of 20,000 records in memory, and pages of one day are
/// fetched in parallel already.
const LISTINGS_AT_ONCE: usize = 2;
/// Changes that a slow receiver of [`Indexer::changes`] may miss before it is told that it lagged.
const CHANGES_KEPT: usize = 256;

/// Who lists a window of completed contacts; the tenant, or a double in tests.
#[async_trait]
pub trait Lister: Send + Sync + 'static {
    /// Legs that the tenant counts as of `[start, end)`, and whatever else it sends; with `updated_since`, of those only the ones that changed
    /// since.
    async fn list(
        &self,
        start: Timestamp,
        end: Timestamp,
        updated_since: Option<Timestamp>,
        progress: &ListingProgress,
    ) -> Result<ContactsAnswer, ApiError>;

    /// Legs that changed since, whenever they started, in batches.
    async fn changed(
        &self,
        _since: Timestamp,
        _into: mpsc::Sender<Vec<ContactRecord>>,
    ) -> Result<ChangesAnswer, ApiError> {
        Ok(ChangesAnswer::default())
    }
}

/// Why a day could not be indexed. Shared by all who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    #[error("listing contacts failed")]
    Api(#[source] Arc<ApiError>),
    #[error("storing the listing failed")]
    Catalog(#[source] Arc<CatalogError>),
    /// The task that listed ended without an answer: the process is shutting down.
    #[error("listing contacts was interrupted")]
    Interrupted,
}

impl From<CatalogError> for IndexError {
    fn from(error: CatalogError) -> IndexError {
        IndexError::Catalog(Arc::new(error))
    }
}

/// Fills the catalog day by day, each day at most once at a time. Cheap to clone.
#[derive(Clone)]
pub struct Indexer {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Catalog,
    lister: Arc<dyn Lister>,
    clock: Arc<dyn Clock>,
    timezone: TimeZone,
    refresh: Duration,
    awaited: Semaphore,
    behind: Semaphore,
    changes: broadcast::Sender<Day>,
    /// Earlier days are not shown, so nothing is filed for them.
    since: Since,
    state: Mutex<State>,
}

/// Never held across an await.
#[derive(Default)]
struct State {
    pending_calls: HashMap<Day, PendingCall>,
    /// Days whose last refresh behind failed, and when. A day leaves on its first success.
    failing: HashMap<Day, Timestamp>,
    /// The tenant counts a contact as of the time at which it starts.
    counts_by_start: bool,
}

#[derive(Clone)]
struct PendingCall {
    forced: bool,
    progress: Arc<ListingProgress>,
    answer: watch::Receiver<Option<Answer>>,
}

type Answer = Result<DayState, IndexError>;

impl Indexer {
    /// An indexer with the default refresh age; see [`Indexer::with_refresh`]. Starts nothing.
    pub fn new(catalog: Catalog, lister: Arc<dyn Lister>, clock: Arc<dyn Clock>, timezone: TimeZone) -> Indexer {
        Indexer::with_refresh(catalog, lister, clock, timezone, DEFAULT_REFRESH)
    }

    /// `refresh`: age from which an open day is refreshed behind (`tree.refresh`).
    pub fn with_refresh(
        catalog: Catalog,
        lister: Arc<dyn Lister>,
        clock: Arc<dyn Clock>,
        timezone: TimeZone,
        refresh: Duration,
    ) -> Indexer {
        let inner = Inner {
            catalog,
            lister,
            clock,
            timezone,
            refresh,
            awaited: Semaphore::new(LISTINGS_AT_ONCE),
            behind: Semaphore::new(1),
            changes: broadcast::channel(CHANGES_KEPT).0,
            since: Since::Day(Day(i32::MIN)),
            state: Mutex::default(),
        };
        Indexer { inner: Arc::new(inner) }
    }

    /// The same for a tree that shows no day before `since`. For an indexer that nobody uses yet.
    #[must_use]
    pub fn showing(self, since: Since) -> Indexer {
        let inner = Arc::try_unwrap(self.inner).map(|inner| Inner { since, ..inner });
        Indexer { inner: inner.map_or_else(|shared| shared, Arc::new) }
    }

    /// Tells every day whose listing changed, after the catalog has the change.
    pub fn changes(&self) -> broadcast::Receiver<Day> {
        self.inner.changes.subscribe()
    }

    /// Returns at once if the day is in the index; else fetches it (single flight) and waits. An open day older than the refresh age
    /// is answered from the index and refreshed behind. A day in the future is empty, without a call.
    ///
    /// A failure is not remembered: the next access tries again. Dropping the future stops the wait, not the fetch.
    pub async fn ensure(&self, day: Day) -> Result<DayState, IndexError> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let known = inner.catalog.day(day)?;
        match policy::on_access(day, now, known.as_ref(), inner.refresh, &inner.timezone) {
            Step::Future => Ok(empty(now)),
            Step::Answer(state) => Ok(state),
            Step::AnswerAndRefresh(state) => {
                self.refresh_behind(day, now, state);
                Ok(state)
            }
            Step::Wait => wait(self.join(day, Mode::First)).await,
        }
    }

    /// Whether the index answers for a day as it is: [`Indexer::ensure`] would neither wait nor begin a refresh.
    pub fn answers(&self, day: Day) -> Result<bool, IndexError> {
        let inner = &self.inner;
        let known = inner.catalog.day(day)?;
        let step = policy::on_access(day, inner.clock.now(), known.as_ref(), inner.refresh, &inner.timezone);
        Ok(matches!(step, Step::Answer(_) | Step::Future))
    }

    /// Lists the whole day again, also a closed one, and waits for it. Joins a forced listing that is already under way.
    pub async fn refresh(&self, day: Day) -> Result<DayState, IndexError> {
        let now = self.inner.clock.now();
        if policy::is_future(day, now, &self.inner.timezone) {
            return Ok(empty(now));
        }
        loop {
            let pending = self.join(day, Mode::Forced);
            let is_whole = pending.forced;
            let answer = wait(pending).await;
            // A smaller listing was under way: after it, the next round starts ours or joins another's.
            if is_whole {
                return answer;
            }
        }
    }

    /// Days that are being listed, with the rows that came so far and how many there are (0: not known yet). Oldest day first.
    pub fn under_way(&self) -> Vec<(Day, u64, u64)> {
        let state = self.inner.state();
        let mut days: Vec<_> = state
            .pending_calls
            .iter()
            .map(|(day, pending)| {
                let (rows, total) = pending.progress.get();
                (*day, rows, total)
            })
            .collect();
        drop(state);
        days.sort_unstable();
        days
    }

    /// Starts a refresh that nobody waits for, unless one runs or one failed just now.
    fn refresh_behind(&self, day: Day, now: Timestamp, state: DayState) {
        let pause = signed(RETRY_PAUSE.min(self.inner.refresh));
        let failed_at = self.inner.state().failing.get(&day).copied();
        if failed_at.is_none_or(|at| now.duration_since(at).abs() >= pause) {
            self.join(day, Mode::Behind(state));
        }
    }

    /// The pending call of a day, started if there is none.
    fn join(&self, day: Day, mode: Mode) -> PendingCall {
        let mut state = self.inner.state();
        if let Some(pending) = state.pending_calls.get(&day) {
            return pending.clone();
        }
        let (sender, answer) = watch::channel(None);
        let progress = Arc::<ListingProgress>::default();
        let pending = PendingCall { forced: mode == Mode::Forced, progress: Arc::clone(&progress), answer };
        state.pending_calls.insert(day, pending.clone());
        drop(state);
        let landing = Landing { inner: self.inner.clone(), day };
        tokio::spawn(async move {
            let answer = landing.inner.fetch(day, mode, &progress).await;
            landing.inner.note_outcome(day, mode, &answer);
            // Off the map first: who comes now finds the index, or tries again.
            drop(landing);
            if let Err(error) = &answer
                && !matches!(mode, Mode::Behind(_))
                && sender.receiver_count() == 0
            {
                let cause = std::error::Error::source(error).map(tracing::field::display);
                tracing::warn!(%day, %error, cause, "the day could not be listed after its waiters left; the next look tries again");
            }
            sender.send_replace(Some(answer));
        });
        pending
    }
}

/// Takes a pending call off the map, also when its task panics or is aborted.
struct Landing {
    inner: Arc<Inner>,
    day: Day,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.inner.state().pending_calls.remove(&self.day);
    }
}

async fn wait(mut pending: PendingCall) -> Answer {
    match pending.answer.wait_for(Option::is_some).await {
        Ok(answer) => answer.clone().unwrap_or(Err(IndexError::Interrupted)),
        Err(_) => Err(IndexError::Interrupted),
    }
}

/// A day that has not begun.
fn empty(now: Timestamp) -> DayState {
    DayState { indexed_at: now, closed: false, last_poll: None }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Asks the tenant and stores what it says.
    async fn fetch(&self, day: Day, mode: Mode, progress: &ListingProgress) -> Answer {
        let slots = if matches!(mode, Mode::Behind(_)) { &self.behind } else { &self.awaited };
        let _slot = slots.acquire().await.map_err(|_| IndexError::Interrupted)?;
        let request = policy::request(day, self.clock.now(), mode, &self.timezone);
        let answer = self.lister.list(request.start, request.end, request.updated_since, progress).await;
        let mut answer = answer.map_err(|error| IndexError::Api(Arc::new(error)))?;
        let (legs, skipped) = (answer.contacts.len(), answer.skipped);
        let overnight = self.overnight(&request, &answer.contacts).await?;
        answer.contacts.extend(overnight);
        let closes = policy::closes(&request, mode, answer.whole);
        let last_poll = answer.last_poll.filter(|_| answer.whole);
        let before = self.calls_of_last_evening(day, request.start, &answer.contacts).await?;
        let strays: Vec<ContactRecord> =
            answer.contacts.iter().filter(|leg| !(request.start..request.end).contains(&leg.start)).cloned().collect();
        answer.contacts.extend(before);

        let catalog = self.catalog.clone();
        let unreadable = Unreadable { contacts: skipped, of_all: request.updated_since.is_none() };
        let store = move || -> Result<(bool, Option<DayState>), CatalogError> {
            let state = DayState { indexed_at: request.asked_at, closed: closes, last_poll };
            let changed = catalog.record_listing(day, &answer.contacts, &state, unreadable)?;
            Ok((changed, catalog.day(day)?))
        };
        let (changed, state) = tokio::task::spawn_blocking(store).await.map_err(|_| IndexError::Interrupted)??;
        if !strays.is_empty() {
            self.file(strays).await?;
        }
        if mode == Mode::First && !self.state().counts_by_start {
            self.sweep_from(request.start).await?;
        }
        if changed {
            // No receiver is not an error.
            let _ = self.changes.send(day);
        }
        tracing::info!(%day, legs, skipped, changed, closed = closes, partial = request.updated_since.is_some(), "the day {day} is indexed: the tenant sent {legs} contact records, {skipped} of them unreadable");
        state.ok_or_else(|| CatalogError::Damaged("a day that was recorded is not there").into())
    }

    /// The earlier legs, of the evening before, of interactions that go on in a day's `records` and were not published yet.
    async fn calls_of_last_evening(
        &self,
        day: Day,
        midnight: Timestamp,
        records: &[ContactRecord],
    ) -> Result<Vec<ContactRecord>, IndexError> {
        let sought = overnight::sought(records, midnight);
        if sought.is_empty() {
            return Ok(Vec::new());
        }
        let catalog = self.catalog.clone();
        let unpublished = tokio::task::spawn_blocking(move || catalog.unpublished(sought));
        let sought = unpublished.await.map_err(|_| IndexError::Interrupted)??;
        if sought.is_empty() {
            return Ok(Vec::new());
        }
        let evening = midnight.saturating_sub(overnight::LOOK_BACK).unwrap_or(midnight);
        let mut legs = self.look_beside(evening, midnight).await?;
        legs.retain(|leg| sought.contains(&leg.master_id));
        tracing::debug!(%day, sought = sought.len(), legs = legs.len(), "looked at the evening before");
        Ok(legs)
    }

    /// Legs of a day that the tenant counts as of the night after it, because they ended then. Asked for where it is not known that the tenant
    /// counts by the start.
    async fn overnight(
        &self,
        request: &policy::Request,
        records: &[ContactRecord],
    ) -> Result<Vec<ContactRecord>, IndexError> {
        if policy::shows_that_start_counts(request, records) {
            self.state().counts_by_start = true;
        }
        let Some((start, end)) = policy::overnight(request).filter(|_| !self.state().counts_by_start) else {
            return Ok(Vec::new());
        };
        let mut legs = self.look_beside(start, end).await?;
        legs.retain(|leg| (request.start..request.end).contains(&leg.start));
        Ok(legs)
    }

    /// Legs of the hours before or after a day. An answer that makes no sense there does not take the day along.
    async fn look_beside(&self, start: Timestamp, end: Timestamp) -> Result<Vec<ContactRecord>, IndexError> {
        match self.lister.list(start, end, None, &ListingProgress::default()).await {
            Ok(answer) => Ok(answer.contacts),
            Err(error) if error.kind == ApiErrorKind::BadAnswer => {
                {
                    let error = chain(&error);
                    tracing::warn!(%start, %end, error, "the hours from {start} to {end}, beside a day, could not be listed ({error}): contacts that cross midnight may be shown without their first or last part");
                };
                Ok(Vec::new())
            }
            Err(error) => Err(IndexError::Api(Arc::new(error))),
        }
    }

    /// Logs a refresh behind when it begins to fail and when it works again; an awaited failure is its waiters' to log.
    fn note_outcome(&self, day: Day, mode: Mode, answer: &Answer) {
        let now = self.clock.now();
        let mut state = self.state();
        match answer {
            Ok(_) => {
                if state.failing.remove(&day).is_some() {
                    tracing::info!(%day, "the day {day} can be refreshed again");
                }
            }
            Err(error) if matches!(mode, Mode::Behind(_)) => {
                if state.failing.insert(day, now).is_none() {
                    let error = chain(error);
                    tracing::warn!(%day, error, "the day {day} could not be refreshed ({error}): it is shown as it was last known, and tried again when somebody looks");
                }
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
