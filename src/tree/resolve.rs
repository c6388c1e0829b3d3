//! Resolving: one billed Media Playback call per interaction, shared by all who ask, and one ranged GET per recording for its size.
//!
//! A *flight* is the one billed call under way for an interaction. It runs in a task of its own, so that an asker may leave at any time;
//! when the last asker leaves while it still waits for the rate limit, it leaves the queue and costs nothing. A call that was made is
//! always finished and stored. `flight` has its life, `wait` how long an asker stays.

mod flight;
mod obstacles;
mod publish;
mod purse;
mod recall;
mod remember;
mod role;
#[cfg(test)]
mod tests;
mod wait;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::base::{Clock, Counted, Day, Histogram, MasterId, UserKey};
use crate::catalog::{Catalog, FileKind, Interaction, NewResolution, Resolution};
use crate::cxone::{
    ApiError, Breaker, Limiter, LimiterSettings, LimiterSnapshot, PlaybackAnswer, Priority, Probe, Service,
    ServiceState,
};
use crate::media::{LinkSource, Media, MediaError, RecordingKey, Version};
use crate::tree::children::{billed_children, needs_call};
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::kernel::KernelCache;
use crate::tree::links::{Links, RecordingLinks};
use crate::tree::policy::DailyBudget;
use crate::tree::principal::Principal;
use flight::Flight;
pub use flight::outcome_word;
use publish::{Publishing, Step};
use purse::Purse;
use remember::Failing;
pub use remember::forget_in_role;
use role::Role;
use wait::Stall;

/// Makes billed calls: the tenant, or a double in tests.
#[async_trait]
pub trait Player: Send + Sync + 'static {
    /// Logs in if that is due, so that a call that is made next leaves at once; costs nothing.
    async fn ready(&self) -> Result<(), ApiError> {
        Ok(())
    }

    /// One billed call, exactly one request. With `renew`, a token that was refused is renewed, and the error says so.
    async fn playback(&self, master: MasterId, renew: bool) -> Result<PlaybackAnswer, ApiError>;

    /// Whether it could be made now; costs nothing.
    async fn probe(&self) -> Result<(), ApiError>;
}

#[async_trait]
impl Player for crate::cxone::Tenant {
    async fn ready(&self) -> Result<(), ApiError> {
        crate::cxone::Tenant::ready(self).await
    }

    async fn playback(&self, master: MasterId, renew: bool) -> Result<PlaybackAnswer, ApiError> {
        self.playback_once(master, renew).await
    }

    async fn probe(&self) -> Result<(), ApiError> {
        crate::cxone::Tenant::probe(self, Service::Playback).await
    }
}

struct PlayerProbe(Arc<dyn Player>);

#[async_trait]
impl Probe for PlayerProbe {
    async fn probe(&self) -> Result<(), ApiError> {
        self.0.probe().await
    }
}

/// For whom and how urgently a billed call is wanted.
#[derive(Clone, Debug)]
pub struct Want {
    pub priority: Priority,
    pub principal: Principal,
    /// The recording that is read next.
    pub reads: Option<Reads>,
}

/// A recording that is about to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    /// Which of the interaction.
    pub index: u8,
    /// Bytes that it is thought to have.
    pub expected: u64,
}

/// What a billed call is to bring.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    /// The exact listing.
    Listing,
    /// A link to recording `index`, other than the refused one.
    Link { index: u8, refused: Option<u64> },
}

/// Limits on waiting and spending.
#[derive(Clone, Copy, Debug)]
pub struct ResolveLimits {
    pub budget: DailyBudget,
    /// The same for each user.
    pub user_budget: DailyBudget,
    /// Work: from the moment a call may be made.
    pub deadline: Duration,
    /// Waiting for the rate limit; `None` waits as long as calls still go through.
    pub patience: Option<Duration>,
}

/// How long opening a document waits for the sizes of the recordings beside it.
const SIZES_GRACE: Duration = Duration::from_secs(2);

struct Inner {
    player: Arc<dyn Player>,
    catalog: Catalog,
    media: Media,
    limiter: Limiter,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
    limits: Mutex<ResolveLimits>,
    links: Links,
    flights: Mutex<HashMap<MasterId, Arc<Flight>>>,
    publishing: Publishing,
    /// Tells when the last billed call was answered.
    answered: watch::Sender<Option<tokio::time::Instant>>,
    purse: Purse,
    /// What is known of the role that calls are made in.
    role: Mutex<Role>,
    failing: Mutex<Failing<MasterId>>,
    failing_media: Mutex<Failing<(MasterId, FileKind)>>,
    /// Waiting for the rate limit, by class.
    waits: [Histogram; 4],
    signings: AtomicU64,
    /// Who is told of listings and sizes that became exact: one for each door.
    kernels: RwLock<Vec<Arc<dyn KernelCache>>>,
    /// How often estimates were raised when the kernels were last told.
    raises: AtomicU64,
    /// The UTC day, and whose spent budgets were logged on it; `None` is that of all.
    budgets_logged: Mutex<(Day, HashSet<Option<UserKey>>)>,
}

/// Resolves interactions. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    inner: Arc<Inner>,
    /// Whoever asks through this one waits for the rate limit as long as calls still go through.
    waits_long: bool,
}

impl Resolver {
    /// Makes no call. Within a runtime.
    pub fn new(
        player: Arc<dyn Player>,
        catalog: Catalog,
        media: Media,
        limiter: Limiter,
        clock: Arc<dyn Clock>,
        limits: ResolveLimits,
    ) -> Resolver {
        Resolver {
            waits_long: false,
            inner: Arc::new(Inner {
                breaker: Breaker::new("media playback", Arc::new(PlayerProbe(player.clone()))),
                purse: Purse::new(catalog.clone()),
                role: Mutex::new(remember::role_before(&catalog)),
                failing: Mutex::default(),
                failing_media: Mutex::default(),
                waits: Default::default(),
                player,
                catalog,
                media,
                limiter,
                clock,
                limits: Mutex::new(limits),
                links: Links::new(),
                flights: Mutex::new(HashMap::new()),
                publishing: Publishing::new(),
                answered: watch::channel(None).0,
                signings: AtomicU64::new(0),
                kernels: RwLock::new(Vec::new()),
                raises: AtomicU64::new(0),
                budgets_logged: Mutex::new((Day(i32::MIN), HashSet::new())),
            }),
        }
    }

    /// The time, for those who act for a resolver.
    pub(super) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Links at hand.
    pub(super) fn links(&self) -> &Links {
        &self.inner.links
    }

    /// The cache that the recordings' bytes go to.
    pub fn media(&self) -> &Media {
        &self.inner.media
    }

    /// The same one for askers who wait for the rate limit as long as calls still go through, or for others.
    #[must_use]
    pub fn waiting_long(&self, waits_long: bool) -> Resolver {
        Resolver { inner: Arc::clone(&self.inner), waits_long }
    }

    /// Has a further kernel told when an interaction's listing, or a size, becomes exact.
    pub(super) fn tell(&self, kernel: Arc<dyn KernelCache>) {
        self.inner.kernels.write().unwrap_or_else(PoisonError::into_inner).push(kernel);
    }

    fn kernels(&self) -> Vec<Arc<dyn KernelCache>> {
        self.inner.kernels.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something became known: estimates that were shown may be too low for others of its kind.
    fn estimates_may_be_raised(&self) {
        let raises = self.inner.catalog.highest_raises();
        if self.inner.raises.swap(raises, Ordering::SeqCst) != raises {
            for kernel in self.kernels() {
                kernel.forget_estimates();
            }
        }
    }

    /// Stores what a billed call said of an interaction that was shown as `before`, in a step of that interaction; the kernel drops the sizes that
    /// it was told. Waits for the disk.
    fn publish(
        &self,
        _step: Step,
        before: &Interaction,
        resolution: &NewResolution,
        now: Timestamp,
    ) -> Result<(), TreeError> {
        self.inner.catalog.store_resolution(before.master_id, resolution, now)?;
        let after = self.interaction(before.master_id)?;
        let (old, new) = (billed_children(before, now), billed_children(&after, now));
        let kinds: BTreeSet<FileKind> = old.iter().chain(&new).map(|child| child.kind).collect();
        self.forget_guesses(&after, kinds);
        self.estimates_may_be_raised();
        Ok(())
    }

    /// An interaction was shown as `before` and is another one now: the kernel drops names where they changed.
    async fn shown_otherwise(&self, before: &Interaction) {
        let kernels = self.kernels();
        let (catalog, master, now) = (&self.inner.catalog, before.master_id, self.inner.clock.now());
        let Ok(Some(after)) = catalog.interaction(master) else { return };
        let (old, new) = (billed_children(before, now), billed_children(&after, now));
        if old.iter().map(|child| &child.name).eq(new.iter().map(|child| &child.name)) {
            return;
        }
        for (day, agent) in catalog.places(master).unwrap_or_default() {
            if let Ok(Some(folder)) = catalog.interaction_folder(day, agent, master) {
                for kernel in &kernels {
                    kernel.forget_directory(folder.ino);
                }
            }
        }
        // Whoever waits for the flight must not find the old names after it.
        futures_util::future::join_all(kernels.iter().map(|kernel| kernel.delivered())).await;
    }

    /// New limits from now on (a reload of the configuration).
    pub fn set_limits(&self, limits: ResolveLimits) {
        *lock(&self.inner.limits) = limits;
    }

    /// Another configured rate limit from now on.
    pub fn set_rate(&self, settings: LimiterSettings) {
        self.inner.limiter.reconfigure(settings);
    }

    /// What the rate limiter is doing.
    pub fn limiter(&self) -> LimiterSnapshot {
        self.inner.limiter.snapshot()
    }

    /// Interactions being resolved, waiting ones included.
    pub fn flights(&self) -> usize {
        lock(&self.inner.flights).len()
    }

    /// The budget in force.
    pub fn budget(&self) -> DailyBudget {
        lock(&self.inner.limits).budget
    }

    /// How long billed calls waited for the rate limit, by class in the order of [`Priority::ALL`].
    pub fn waits(&self) -> [Counted; 4] {
        std::array::from_fn(|class| self.inner.waits[class].counted())
    }

    /// Whether Media Playback answers.
    pub fn service(&self) -> ServiceState {
        self.inner.breaker.state()
    }

    /// The interaction with its exact listing and every size that can be learned now; makes the billed call if it was never made, or if
    /// a missing recording may be asked for again. A size that the media host withholds stays unknown: whoever opens that recording
    /// gets the reason from [`Resolver::size`].
    pub async fn resolved(&self, master: MasterId, want: Want) -> Result<Interaction, TreeError> {
        let mut interaction = self.recalled(self.interaction(master)?).await?;
        if needs_call(&interaction.resolution, self.inner.clock.now()) {
            self.sign(master, &want, Need::Listing).await?;
            interaction = self.interaction(master)?;
        }
        let unsized_recordings: Vec<u8> = recordings_without_size(&interaction)
            .filter(|index| self.check_reachable(&interaction, *index).is_ok())
            .collect();
        if unsized_recordings.is_empty() {
            return Ok(interaction);
        }
        let sizes = unsized_recordings.into_iter().map(|index| {
            let (resolver, want) = (self.clone(), want.clone());
            async move {
                // Signed only as long as the asker waits.
                RecordingLinks::admitted(&resolver, master, index, want.clone()).link(None).await?;
                // A task, so that a size is learned and stored even if the asker stops waiting.
                let learned = tokio::spawn(async move { resolver.size(master, index, want).await });
                learned.await.unwrap_or_else(|_| Err(TreeError::new(ErrorKind::Io, "learning a size was interrupted")))
            }
        });
        let grace = sizes_grace(lock(&self.inner.limits).deadline);
        let _ = tokio::time::timeout(grace, futures_util::future::join_all(sizes)).await;
        self.interaction(master)
    }

    /// The size and validator of a recording, from one ranged GET of its head if it is not known yet. Makes a billed call only if no usable link is
    /// at hand.
    pub async fn size(&self, master: MasterId, index: u8, want: Want) -> Result<Version, TreeError> {
        // Whoever opens has waited for sizes before, see `resolved`; both together must end by the deadline.
        let deadline = lock(&self.inner.limits).deadline;
        let deadline = deadline.saturating_sub(sizes_grace(deadline));
        let reads = want.reads.filter(|reads| reads.index == index);
        let principal = want.principal.clone();
        let links = Arc::new(RecordingLinks::admitted(self, master, index, want));
        self.check_reachable(&self.interaction(master)?, index)?;
        // Under limits of its own: waiting for the rate limit is no work of the media host's.
        links.link(None).await?;
        let key = recording_key(master, index);
        let probe = async {
            match reads {
                Some(reads) => self.inner.media.probe_to_read(&key, links, reads.expected).await,
                None => self.inner.media.probe(&key, links).await,
            }
        };
        let probed = tokio::time::timeout(deadline, probe).await.unwrap_or(Err(MediaError::Timeout));
        match &probed {
            Ok(_) => self.note_media_success(master, index).await,
            Err(error) => self.note_media_failure(master, index, error, &principal).await,
        }
        let version = probed?;
        self.publish_size(master, index, &version).await?;
        Ok(version)
    }

    /// Makes the billed call, or joins the one under way, and stores what it says. Nothing is called if what is needed came meanwhile.
    pub(super) async fn sign(&self, master: MasterId, want: &Want, need: Need) -> Result<(), TreeError> {
        let (phase, _seat) = self.join_flight(master, want, need);
        let limits = *lock(&self.inner.limits);
        // Nobody's file waits for what is warmed: it may take as long as calls go through.
        let waits_long = self.waits_long || want.priority == Priority::Warm;
        let patience = if waits_long { None } else { limits.patience };
        let stall = Stall { answered: self.inner.answered.subscribe(), window: self.inner.limiter.snapshot().window };
        wait::for_landing(phase, patience, limits.deadline, stall, &self.inner.breaker).await
    }

    /// Fails where a new link to a recording would be in vain.
    pub(super) fn check_signing(&self, master: MasterId, index: u8) -> Result<(), MediaError> {
        let checked = self.interaction(master).and_then(|known| self.check_storage(&known, FileKind::Recording(index)));
        checked.map_err(|error| MediaError::Link(Arc::new(error)))
    }

    /// Whether what a call would bring is here.
    fn has(&self, master: MasterId, need: Need) -> Result<bool, TreeError> {
        Ok(match need {
            Need::Listing => !needs_call(&self.interaction(master)?.resolution, self.inner.clock.now()),
            Need::Link { index, refused } => self.inner.links.usable(master, index, refused).is_some(),
        })
    }

    fn interaction(&self, master: MasterId) -> Result<Interaction, TreeError> {
        self.inner.catalog.interaction(master)?.ok_or_else(TreeError::not_found)
    }
}

fn sizes_grace(deadline: Duration) -> Duration {
    SIZES_GRACE.min(deadline / 2)
}

/// The cache's name for a recording.
pub fn recording_key(master: MasterId, index: u8) -> RecordingKey {
    RecordingKey(format!("{master}/{index}").into())
}

/// The interaction of a recording: the inverse of [`recording_key`].
pub(super) fn master_of(key: &RecordingKey) -> Option<MasterId> {
    key.0.split_once('/').and_then(|(master, _)| master.parse().ok())
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
