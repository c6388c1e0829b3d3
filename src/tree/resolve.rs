//! Resolving: one billed Media Playback call per interaction, shared by all who ask, and one ranged GET per recording for its size.
//!
//! A *pending call* is the one billed call under way for an interaction. It runs in a task of its own, so that an asker may leave at any time;
//! when the last asker leaves while it still waits for the rate limit, it leaves the queue and costs nothing. A call that was made is
//! always finished and stored. `pending_call` has its life, `wait` how long an asker stays.

mod claiming;
mod failing;
mod failure;
mod kept_role;
mod obstacles;
mod pending_call;
mod player;
mod publish;
mod publishing;
mod recall;
mod remember;
mod request;
mod role;
mod sizes;
#[cfg(test)]
mod tests;
mod wait;
mod waiters;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::base::{Clock, Counted, Day, MasterId, UserKey};
use crate::book::{Book, DailyBudget};
use crate::catalog::{Catalog, FileKind, Interaction, NewResolution};
use crate::media::{Media, MediaError};
use crate::net::{Breaker, LimiterSettings, LimiterSnapshot, Priority, ServiceState};
use crate::tree::children::{billed_children, needs_call};
use crate::tree::error::TreeError;
use crate::tree::links::Links;
use crate::tree::observers::Observers;
use failing::Failing;
pub use kept_role::forget_in_role;
pub use pending_call::outcome_word;
pub use player::Player;
use player::PlayerProbe;
use publishing::{Publishing, Step};
pub(super) use request::{Need, master_of};
pub use request::{Reads, ResolveLimits, ResolveRequest, recording_key};
use role::Role;
use wait::Stall;
use waiters::PendingCall;

struct Inner {
    player: Arc<dyn Player>,
    catalog: Catalog,
    media: Media,
    book: Arc<dyn Book>,
    breaker: Breaker,
    clock: Arc<dyn Clock>,
    limits: Mutex<ResolveLimits>,
    links: Links,
    pending_calls: Mutex<HashMap<MasterId, Arc<PendingCall>>>,
    publishing: Publishing,
    /// Tells when the last billed call was answered.
    answered: watch::Sender<Option<tokio::time::Instant>>,
    /// What is known of the role that calls are made in.
    role: Mutex<Role>,
    failing: Mutex<Failing<MasterId>>,
    failing_media: Mutex<Failing<(MasterId, FileKind)>>,
    signings: AtomicU64,
    /// Who is told of listings and sizes that became exact.
    observers: Observers,
    /// How often estimates were raised when the observers were last told.
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
    /// Makes no call.
    pub fn new(
        player: Arc<dyn Player>,
        catalog: Catalog,
        media: Media,
        book: Arc<dyn Book>,
        clock: Arc<dyn Clock>,
        limits: ResolveLimits,
    ) -> Resolver {
        Resolver {
            waits_long: false,
            inner: Arc::new(Inner {
                breaker: Breaker::new("media playback", Arc::new(PlayerProbe(player.clone()))),
                role: Mutex::new(kept_role::role_before(&catalog)),
                failing: Mutex::default(),
                failing_media: Mutex::default(),
                player,
                catalog,
                media,
                book,
                clock,
                limits: Mutex::new(limits),
                links: Links::new(),
                pending_calls: Mutex::new(HashMap::new()),
                publishing: Publishing::new(),
                answered: watch::channel(None).0,
                signings: AtomicU64::new(0),
                observers: Observers::default(),
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

    /// Who is told when an interaction's listing, or a size, becomes exact.
    pub fn observers(&self) -> &Observers {
        &self.inner.observers
    }

    /// Something became known: estimates that were shown may be too low for others of its kind.
    fn estimates_may_be_raised(&self) {
        let raises = self.inner.catalog.highest_raises();
        if self.inner.raises.swap(raises, Ordering::SeqCst) != raises {
            self.observers().each(super::observers::Observer::estimates_raised);
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

    /// An interaction was shown as `before` and is another one now: observers are told where names changed.
    async fn shown_otherwise(&self, before: &Interaction) {
        let (catalog, master, now) = (&self.inner.catalog, before.master_id, self.inner.clock.now());
        let Ok(Some(after)) = catalog.interaction(master) else { return };
        let (old, new) = (billed_children(before, now), billed_children(&after, now));
        if old.iter().map(|child| &child.name).eq(new.iter().map(|child| &child.name)) {
            return;
        }
        for (day, agent) in catalog.places(master).unwrap_or_default() {
            if let Ok(Some(folder)) = catalog.interaction_folder(day, agent, master) {
                self.observers().each(|observer| observer.listing_changed(folder.ino));
            }
        }
        // Whoever waits for the pending call must not find the old names after it.
        self.observers().delivered().await;
    }

    /// New limits from now on (a reload of the configuration).
    pub fn set_limits(&self, limits: ResolveLimits) {
        *self.inner.limits.lock() = limits;
    }

    /// Another configured rate limit from now on.
    pub fn set_rate(&self, settings: LimiterSettings) {
        self.inner.book.set_limit(settings);
    }

    /// What the rate limiter is doing.
    pub fn limiter(&self) -> LimiterSnapshot {
        self.inner.book.limit()
    }

    /// Interactions being resolved, waiting ones included.
    pub fn pending_calls(&self) -> usize {
        self.inner.pending_calls.lock().len()
    }

    /// The budget in force.
    pub fn budget(&self) -> DailyBudget {
        self.inner.limits.lock().budget
    }

    /// How long billed calls waited for the rate limit, by class in the order of [`Priority::ALL`].
    pub fn waits(&self) -> [Counted; 4] {
        self.inner.book.waits()
    }

    /// Whether Media Playback answers.
    pub fn service(&self) -> ServiceState {
        self.inner.breaker.state()
    }

    /// Makes the billed call, or joins the one under way, and stores what it says. Nothing is called if what is needed came meanwhile.
    pub(super) async fn sign(&self, master: MasterId, request: &ResolveRequest, need: Need) -> Result<(), TreeError> {
        let (phase, _waiter) = self.join_pending_call(master, request, need);
        let limits = *self.inner.limits.lock();
        // Nobody's file waits for what is warmed: it may take as long as calls go through.
        let waits_long = self.waits_long || request.priority == Priority::Warm;
        let patience = if waits_long { None } else { limits.patience };
        let stall = Stall { answered: self.inner.answered.subscribe(), window: self.inner.book.limit().window };
        wait::for_completion(phase, patience, limits.deadline, stall, &self.inner.breaker).await
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
