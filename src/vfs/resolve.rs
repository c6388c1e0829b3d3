//! Resolving: one billed Media Playback call per interaction, shared by all who ask, and one ranged GET per recording for its size.
//!
//! A *flight* is the one billed call under way for an interaction. It runs in a task of its own, so that an asker may leave at any time;
//! when the last asker leaves while it still waits for the rate limit, it leaves the queue and costs nothing. A call that was made is
//! always finished and stored. Order of writes: ledger row (synced), call, documents and listing (synced), ledger outcome.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::base::{Clock, Day, MasterId};
use crate::catalog::{Catalog, FileKind, Interaction, LedgerEntry, LedgerId, Resolution};
use crate::cxone::{ApiError, ApiErrorKind, Limiter, Permit, PlaybackAnswer, Priority};
use crate::media::{Media, RecordingKey, Version};
use crate::vfs::caller::Caller;
use crate::vfs::children::needs_call;
use crate::vfs::documents;
use crate::vfs::error::{ErrorKind, VfsError};
use crate::vfs::links::{Links, RecordingLinks};
use crate::vfs::policy::DailyBudget;

/// Makes billed calls: the tenant, or a double in tests.
#[async_trait]
pub trait Player: Send + Sync + 'static {
    /// One billed call.
    async fn playback(&self, master: MasterId) -> Result<PlaybackAnswer, ApiError>;
}

#[async_trait]
impl Player for crate::cxone::Tenant {
    async fn playback(&self, master: MasterId) -> Result<PlaybackAnswer, ApiError> {
        crate::cxone::Tenant::playback(self, master).await
    }
}

/// For whom and how urgently a billed call is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    pub priority: Priority,
    pub caller: Caller,
}

/// Limits on waiting and spending.
#[derive(Clone, Copy, Debug)]
pub struct ResolveLimits {
    pub budget: DailyBudget,
    /// Work: from the moment a call may be made.
    pub deadline: Duration,
    /// Waiting for the rate limit; `None` waits as long as calls still go through.
    pub patience: Option<Duration>,
}

/// Tries of one billed call that fails in a way that may pass (5xx, cut connection, timeout).
const TRIES_MAX: u32 = 3;
/// Pause before the second try; doubled before the third.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long opening a document waits for the sizes of the recordings beside it.
const SIZES_GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
enum Phase {
    /// Waiting for the rate limit.
    Queued,
    /// The call is being made.
    Working,
    Done(Result<(), VfsError>),
}

struct Flight {
    phase: watch::Sender<Phase>,
    /// The most urgent of all askers so far.
    priority: watch::Sender<Priority>,
}

struct Inner {
    player: Arc<dyn Player>,
    catalog: Catalog,
    media: Media,
    limiter: Limiter,
    clock: Arc<dyn Clock>,
    limits: Mutex<ResolveLimits>,
    links: Links,
    flights: Mutex<HashMap<MasterId, Arc<Flight>>>,
    /// Serializes "is there budget left?" with "write the ledger row".
    spending: Mutex<()>,
    signings: AtomicU64,
    /// The UTC day on which the spent budget was last logged.
    budget_logged_on: AtomicI64,
}

/// Resolves interactions. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
}

impl Resolver {
    /// Makes no call.
    pub fn new(
        player: Arc<dyn Player>,
        catalog: Catalog,
        media: Media,
        limiter: Limiter,
        clock: Arc<dyn Clock>,
        limits: ResolveLimits,
    ) -> Resolver {
        Resolver {
            inner: Arc::new(Inner {
                player,
                catalog,
                media,
                limiter,
                clock,
                limits: Mutex::new(limits),
                links: Links::new(),
                flights: Mutex::new(HashMap::new()),
                spending: Mutex::new(()),
                signings: AtomicU64::new(0),
                budget_logged_on: AtomicI64::new(i64::MIN),
            }),
        }
    }

    /// Links at hand.
    pub(super) fn links(&self) -> &Links {
        &self.inner.links
    }

    /// The cache that the recordings' bytes go to.
    pub fn media(&self) -> &Media {
        &self.inner.media
    }

    /// New limits from now on (a reload of the configuration).
    pub fn set_limits(&self, limits: ResolveLimits) {
        *lock(&self.inner.limits) = limits;
    }

    /// The interaction with its exact listing and every size that can be learned now; makes the billed call if it was never made, or if
    /// a missing recording may be asked for again. A size that the media host withholds stays unknown: whoever opens that recording
    /// gets the reason from [`Resolver::size`].
    pub async fn resolved(&self, master: MasterId, want: Want) -> Result<Interaction, VfsError> {
        let mut interaction = self.interaction(master)?;
        if needs_call(&interaction.resolution, self.inner.clock.now()) {
            self.sign(master, want).await?;
            interaction = self.interaction(master)?;
        }
        let unsized_recordings: Vec<u8> = recordings_without_size(&interaction).collect();
        if unsized_recordings.is_empty() {
            return Ok(interaction);
        }
        let sizes = unsized_recordings.into_iter().map(|index| {
            let resolver = self.clone();
            // A task, so that a size is learned and stored even if the asker stops waiting.
            tokio::spawn(async move { resolver.size(master, index, want).await })
        });
        let _ = tokio::time::timeout(SIZES_GRACE, futures_util::future::join_all(sizes)).await;
        self.interaction(master)
    }

    /// The size and validator of a recording, from one ranged GET of its head if it is not known yet. Makes a billed call only if no usable link is
    /// at hand.
    pub async fn size(&self, master: MasterId, index: u8, want: Want) -> Result<Version, VfsError> {
        let deadline = lock(&self.inner.limits).deadline;
        let links = Arc::new(RecordingLinks { resolver: self.clone(), master, index, want });
        let key = recording_key(master, index);
        let probe = self.inner.media.probe(&key, links);
        let version = tokio::time::timeout(deadline, probe)
            .await
            .map_err(|_| VfsError::new(ErrorKind::TimedOut, "the media host did not answer in time"))??;
        self.inner.catalog.set_recording_version(master, index, version.size, &version.validator)?;
        Ok(version)
    }

    /// Makes the billed call, or joins the one under way, and stores what it says.
    pub async fn sign(&self, master: MasterId, want: Want) -> Result<(), VfsError> {
        let phase = self.join_flight(master, want);
        let (patience, deadline) = {
            let limits = lock(&self.inner.limits);
            (limits.patience, limits.deadline)
        };
        wait_for_landing(phase, patience, deadline).await
    }

    fn interaction(&self, master: MasterId) -> Result<Interaction, VfsError> {
        self.inner.catalog.interaction(master)?.ok_or_else(VfsError::not_found)
    }

    fn join_flight(&self, master: MasterId, want: Want) -> watch::Receiver<Phase> {
        let mut flights = lock(&self.inner.flights);
        if let Some(flight) = flights.get(&master) {
            flight.priority.send_if_modified(|priority| {
                let more_urgent = want.priority < *priority;
                if more_urgent {
                    *priority = want.priority;
                }
                more_urgent
            });
            return flight.phase.subscribe();
        }
        let (phase, receiver) = watch::channel(Phase::Queued);
        let flight = Arc::new(Flight { phase, priority: watch::channel(want.priority).0 });
        flights.insert(master, flight.clone());
        drop(flights);
        let resolver = self.clone();
        tokio::spawn(async move {
            let _board = OnBoard { resolver: &resolver, master, flight: &flight };
            resolver.fly(master, want, &flight).await;
        });
        receiver
    }

    /// The life of one flight.
    async fn fly(&self, master: MasterId, want: Want, flight: &Arc<Flight>) {
        let mut tries = 0;
        let result = loop {
            flight.phase.send_replace(Phase::Queued);
            let permit = match self.queue(master, flight).await {
                Ok(Some(permit)) => permit,
                Ok(None) => return,
                Err(error) => break Err(error),
            };
            flight.phase.send_replace(Phase::Working);
            tries += 1;
            match self.call(master, want, flight, permit).await {
                Ok(()) => break Ok(()),
                Err(Failure::Throttled) => {}
                Err(Failure::Passing(_)) if tries < TRIES_MAX => {
                    tokio::time::sleep(RETRY_PAUSE * 2u32.pow(tries - 1)).await;
                }
                Err(Failure::Passing(error) | Failure::Final(error)) => break Err(error),
            }
        };
        // Off the board first: whoever comes from now on reads the catalog.
        lock(&self.inner.flights).remove(&master);
        flight.phase.send_replace(Phase::Done(result));
    }

    /// Waits for the rate limit. `None` if everybody left; then the flight is off the board.
    async fn queue(&self, master: MasterId, flight: &Flight) -> Result<Option<Permit>, VfsError> {
        let mut priority = flight.priority.subscribe();
        loop {
            self.check_budget()?;
            let wanted = *priority.borrow_and_update();
            tokio::select! {
                biased;
                permit = self.inner.limiter.acquire(wanted) => return Ok(Some(permit)),
                _ = priority.changed() => {}
                () = flight.phase.closed() => {
                    let mut flights = lock(&self.inner.flights);
                    // Somebody may have joined between the last one's leaving and this lock.
                    if flight.phase.receiver_count() == 0 {
                        flights.remove(&master);
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// One billed call with its ledger row, its outcome stored.
    async fn call(&self, master: MasterId, want: Want, flight: &Flight, permit: Permit) -> Result<(), Failure> {
        let reason = *flight.priority.borrow();
        let row = self.enter_in_ledger(master, want, reason).map_err(Failure::Final)?;
        let under_way = permit.spend();
        let answer = self.inner.player.playback(master).await;
        under_way.finished();
        let outcome = match &answer {
            Ok(PlaybackAnswer::Found(_)) => "found".to_owned(),
            Ok(PlaybackAnswer::NotFound) => "not found".to_owned(),
            Err(error) => outcome_word(error),
        };
        let stored = match answer {
            Ok(answer) => self.store(master, &answer).map_err(Failure::Final),
            Err(error) => Err(self.failure(error)),
        };
        self.inner.catalog.ledger_finish(row, &outcome).map_err(|error| Failure::Final(error.into()))?;
        stored
    }

    fn store(&self, master: MasterId, answer: &PlaybackAnswer) -> Result<(), VfsError> {
        let now = self.inner.clock.now();
        let known = self.interaction(master)?;
        if let PlaybackAnswer::Found(playback) = answer {
            let serial = self.inner.signings.fetch_add(1, Ordering::Relaxed) + 1;
            self.inner.links.store(master, playback, serial, now);
        }
        // A new link is all that a resolved interaction takes from another call: what was published stays put.
        if needs_call(&known.resolution, now) {
            let mut resolution = documents::resolution(master, known.channel, known.mtime, answer, now);
            keep_sizes(&mut resolution, &known);
            self.inner.catalog.store_resolution(master, &resolution, now)?;
        }
        Ok(())
    }

    fn failure(&self, error: ApiError) -> Failure {
        if let ApiErrorKind::RateLimited { retry_after } = error.kind {
            self.inner.limiter.throttled(retry_after);
            return Failure::Throttled;
        }
        let passing = error.is_transient();
        let error = VfsError::from(Arc::new(error));
        if passing { Failure::Passing(error) } else { Failure::Final(error) }
    }

    fn enter_in_ledger(&self, master: MasterId, want: Want, reason: Priority) -> Result<LedgerId, VfsError> {
        let _spending = lock(&self.inner.spending);
        self.check_budget()?;
        let entry = LedgerEntry {
            at: self.inner.clock.now(),
            master_id: master,
            reason,
            uid: want.caller.uid,
            pid: want.caller.tid,
            comm: want.caller.comm(),
        };
        Ok(self.inner.catalog.ledger_begin(&entry)?)
    }

    fn check_budget(&self) -> Result<(), VfsError> {
        let budget = lock(&self.inner.limits).budget;
        if budget.0.is_none() {
            return Ok(());
        }
        let today = Day::of(self.inner.clock.now(), &jiff::tz::TimeZone::UTC);
        let spent = self.inner.catalog.ledger_count(today.start(&jiff::tz::TimeZone::UTC))?;
        if budget.allows(spent) {
            return Ok(());
        }
        if self.inner.budget_logged_on.swap(i64::from(today.0), Ordering::Relaxed) != i64::from(today.0) {
            tracing::warn!(spent, utc_day = %today, "daily budget of billed calls is spent; raise limits.daily_budget to go on");
        }
        Err(VfsError::new(ErrorKind::BudgetSpent, "the daily budget of billed calls is spent"))
    }
}

/// Takes a flight off the board however its task ends, a panic included: nobody may join a flight that will not land.
struct OnBoard<'a> {
    resolver: &'a Resolver,
    master: MasterId,
    flight: &'a Arc<Flight>,
}

impl Drop for OnBoard<'_> {
    fn drop(&mut self) {
        let mut flights = lock(&self.resolver.inner.flights);
        if flights.get(&self.master).is_some_and(|flight| Arc::ptr_eq(flight, self.flight)) {
            flights.remove(&self.master);
        }
    }
}

enum Failure {
    /// 429: the limiter pauses, the request is not lost.
    Throttled,
    /// Worth another try.
    Passing(VfsError),
    Final(VfsError),
}

/// The cache's name for a recording.
pub fn recording_key(master: MasterId, index: u8) -> RecordingKey {
    RecordingKey(format!("{master}/{index}").into())
}

fn recordings_without_size(interaction: &Interaction) -> impl Iterator<Item = u8> + use<> {
    let files = match &interaction.resolution {
        Resolution::Resolved { files, .. } => files.clone(),
        Resolution::Unresolved => [].into(),
    };
    (0..files.len()).filter_map(move |position| match &files[position] {
        file if file.size.is_some() => None,
        file => match file.kind {
            FileKind::Recording(index) => Some(index),
            _ => None,
        },
    })
}

/// A second signing must not forget a size that the first one's head request learned.
fn keep_sizes(resolution: &mut crate::catalog::NewResolution, known: &Interaction) {
    let Resolution::Resolved { files: known, .. } = &known.resolution else { return };
    for (file, _) in &mut resolution.files {
        if file.size.is_none()
            && let Some(before) = known.iter().find(|before| before.kind == file.kind && before.size.is_some())
        {
            file.size = before.size;
            file.validator.clone_from(&before.validator);
            // The published name stays: the bytes are the same recording.
            file.name = before.name.clone();
        }
    }
}

fn outcome_word(error: &ApiError) -> String {
    match (error.kind, error.status) {
        (ApiErrorKind::RateLimited { .. }, _) => "throttled".to_owned(),
        (_, Some(status)) => format!("error {status}"),
        (ApiErrorKind::Timeout, None) => "timeout".to_owned(),
        (_, None) => "error".to_owned(),
    }
}

async fn wait_for_landing(
    mut phase: watch::Receiver<Phase>,
    patience: Option<Duration>,
    deadline: Duration,
) -> Result<(), VfsError> {
    let start = Instant::now();
    let mut working_since = None;
    loop {
        let now = phase.borrow_and_update().clone();
        let (until, what) = match now {
            Phase::Done(result) => return result,
            Phase::Queued => (patience.map(|patience| start + patience), "waiting for the rate limit took too long"),
            Phase::Working => {
                let since = *working_since.get_or_insert_with(Instant::now);
                (Some(since + deadline), "CXone did not answer in time")
            }
        };
        let changed = phase.changed();
        let changed = match until {
            Some(until) => {
                tokio::time::timeout_at(until, changed).await.map_err(|_| VfsError::new(ErrorKind::TimedOut, what))?
            }
            None => changed.await,
        };
        if changed.is_err() {
            return Err(VfsError::new(ErrorKind::Io, "the billed call ended without an answer"));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
