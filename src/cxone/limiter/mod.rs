//! The sliding window for a service's calls: never more than `calls` in any `window`, served by priority, then first come
//! first served. One limiter is for billed calls, another for the listing.
//!
//! Decisions are in `window` (slots), `queue` (order), `brake` (429s) and `proof` (how many calls the tenant is known to accept),
//! none of which waits or reads a clock. This file keeps them behind one mutex, which is never held across an await, and does the
//! waiting: the waiter that is next sleeps until a slot is free, all others until they are next. There is no task of its own.
//!
//! Knows neither HTTP nor what a call is for. Time inside is monotonic; wall times come in only as the seed.

mod brake;
mod proof;
mod queue;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use brake::Learned;

use crate::base::Clock;
use brake::Brake;
use proof::Proof;
use queue::{Queue, Ticket};
use window::{FreeAt, Window};

/// The service of [`Limiter::new`], in messages.
const BILLED_SERVICE: &str = "media playback";

/// Why a billed call is wanted, most urgent first. Also the reason that the ledger records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Open,
    Stat,
    List,
    Warm,
}

impl Priority {
    /// Every class, most urgent first.
    pub const ALL: [Priority; 4] = [Priority::Open, Priority::Stat, Priority::List, Priority::Warm];

    /// The word that the ledger and `status` use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Priority::Open => "open",
            Priority::Stat => "stat",
            Priority::List => "list",
            Priority::Warm => "warm",
        }
    }
}

/// The limit: `calls` in any `window`. No calls at all counts as one; a window of zero does not limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimiterSettings {
    pub calls: u32,
    pub window: Duration,
}

/// What the limiter is doing, for `status`.
#[derive(Clone, Debug, PartialEq)]
pub struct LimiterSnapshot {
    /// The configured limit.
    pub calls: u32,
    pub window: Duration,
    /// The limit in force: lower than `calls` after a 429, by what the tenant was seen to accept; kept across restarts.
    pub learned_limit: u32,
    /// Slots that are taken: permits handed out, calls under way, and calls that ended less than a window ago.
    pub used: u32,
    /// Waiters by class, in the order of [`Priority::ALL`].
    pub waiting: [usize; 4],
    /// How long the pause after a 429 still lasts; zero if there is none.
    pub paused_for: Duration,
    /// 429s since the start of this process.
    pub refused: u64,
}

/// Hands out permits for calls. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

/// The right to make one call. Dropping it unused gives the slot back; [`Permit::spend`] spends it.
#[must_use]
pub struct Permit {
    shared: Arc<Shared>,
    spent: bool,
}

/// A call under way. To be kept until the call has ended, with whatever outcome: the slot is free a window after this is
/// dropped.
///
/// The tenant counts a call when it arrives, which is some time between sending it and having its answer. A slot that is taken from
/// the sending until a window after the answer is the one rule under which the tenant never sees more than the limit, however long
/// requests travel. It costs the length of a call per window: 2.5 % with calls of 50 ms and windows of 2 s, next to nothing with
/// windows of 5 minutes.
#[must_use = "keep it until the call has ended"]
pub struct InFlight {
    shared: Arc<Shared>,
    ended: bool,
}

struct Shared {
    /// In the words of messages.
    service: &'static str,
    state: Mutex<State>,
}

struct State {
    settings: LimiterSettings,
    window: Window,
    queue: Queue<Arc<Notify>>,
    brake: Brake,
    /// `None`: as many calls as the limit allows may go out at once.
    proof: Option<Proof>,
    /// 429s so far.
    refused: u64,
    /// Something was learned that the next process should know.
    lesson: bool,
}

/// What a waiter has to do next.
enum Step {
    Go,
    /// It is next, and a slot is free at this time.
    Sleep(Instant),
    /// Something has to happen first: its turn, or the end of a call.
    Wait,
}

impl Limiter {
    /// The limiter of billed calls. `recent`: when calls were made in the last window, by this or an earlier process; `learned`: what that one knew of the limit.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the house passes the clock by value, and the seed is of no further use"
    )]
    pub fn new(
        settings: LimiterSettings,
        recent: Vec<Timestamp>,
        learned: Option<Learned>,
        clock: Arc<dyn Clock>,
    ) -> Limiter {
        let seed = clock.now().as_nanosecond() as u64;
        Limiter::with_seed(settings, &recent, learned, clock.now(), seed)
    }

    /// As [`Limiter::new`], at the wall time `wall`, with the seed for the jitter of pauses.
    pub fn with_seed(
        settings: LimiterSettings,
        recent: &[Timestamp],
        learned: Option<Learned>,
        wall: Timestamp,
        seed: u64,
    ) -> Limiter {
        let learned = learned.filter(|learned| learned.is_for(settings));
        let proof = Proof::new(learned.map_or(0, |learned| learned.proven));
        let limiter = Limiter::with_proof(BILLED_SERVICE, settings, recent, Some(proof), wall, seed);
        if let Some(learned) = &learned {
            limiter.shared.lock().brake.resume(learned, wall, Instant::now());
        }
        limiter
    }

    /// The limiter of calls that cost nothing, whose limit is a guess: all of it may be used at once, since being refused costs
    /// nothing but time, and nothing outlives the process.
    pub fn for_free_calls(service: &'static str, settings: LimiterSettings, wall: Timestamp, seed: u64) -> Limiter {
        Limiter::with_proof(service, settings, &[], None, wall, seed)
    }

    fn with_proof(
        service: &'static str,
        settings: LimiterSettings,
        recent: &[Timestamp],
        proof: Option<Proof>,
        wall: Timestamp,
        seed: u64,
    ) -> Limiter {
        let settings = LimiterSettings { calls: settings.calls.max(1), window: settings.window };
        let state = State {
            settings,
            window: Window::seeded(settings, recent, wall, Instant::now()),
            queue: Queue::default(),
            brake: if proof.is_some() { Brake::new(settings, seed) } else { Brake::gentle(settings, seed) },
            proof,
            refused: 0,
            lesson: false,
        };
        Limiter { shared: Arc::new(Shared { service, state: Mutex::new(state) }) }
    }

    /// Another configured limit from now on.
    pub fn reconfigure(&self, settings: LimiterSettings) {
        let settings = LimiterSettings { calls: settings.calls.max(1), window: settings.window };
        let mut state = self.shared.lock();
        state.settings = settings;
        state.window.resize(settings.window);
        state.brake.reconfigure(settings);
        state.wake_next();
    }

    /// What was learned since this was last asked, if anything; to be kept for [`Limiter::new`]. `wall` is the present.
    pub fn take_lesson(&self, wall: Timestamp) -> Option<Learned> {
        let mut state = self.shared.lock();
        let proven = state.proof.as_ref().map_or(0, Proof::proven);
        std::mem::take(&mut state.lesson).then(|| state.brake.learned(proven, wall, Instant::now()))
    }

    /// Waits for a slot. Dropping the future leaves the queue without a trace.
    pub async fn acquire(&self, priority: Priority) -> Permit {
        let waiter = Waiter::enter(&self.shared, priority);
        loop {
            match self.shared.step(&waiter.ticket) {
                Step::Go => return Permit { shared: self.shared.clone(), spent: false },
                Step::Sleep(until) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        () = waiter.wake.notified() => {}
                    }
                }
                Step::Wait => waiter.wake.notified().await,
            }
        }
    }

    /// What the limiter is doing.
    pub fn snapshot(&self) -> LimiterSnapshot {
        let now = Instant::now();
        let mut state = self.shared.lock();
        LimiterSnapshot {
            calls: state.settings.calls,
            window: state.settings.window,
            learned_limit: state.brake.limit(now),
            used: state.window.used(now),
            waiting: state.queue.waiting(),
            paused_for: state.brake.paused_until(now).map_or(Duration::ZERO, |until| until - now),
            refused: state.refused,
        }
    }
}

impl Permit {
    /// The call is being made now. Keep what this gives until the call has ended.
    pub fn spend(mut self) -> InFlight {
        self.spent = true;
        self.shared.lock().window.spend();
        InFlight { shared: self.shared.clone(), ended: false }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.spent {
            let mut state = self.shared.lock();
            state.window.give_back();
            state.wake_next();
        }
    }
}

impl InFlight {
    /// The tenant answered, and counts the call. Merely dropping this says that nobody knows what became of the call.
    pub fn finished(mut self) {
        let now = Instant::now();
        let mut state = self.end();
        state.window.finish(true, now);
        let accepted = state.window.accepted(now);
        let limit = state.brake.limit(now);
        state.brake.accepted();
        if let Some(proof) = &mut state.proof {
            let before = proof.proven();
            proof.accepted(accepted);
            // Kept once, when the whole limit is proven, and not with every call on the way.
            let whole = before < limit && proof.proven() >= limit;
            state.lesson |= whole;
        }
        state.wake_next();
    }

    /// The call came to nothing before it left this machine: its slot is free at once.
    pub fn unsent(mut self) {
        let mut state = self.end();
        state.window.unspend();
        state.wake_next();
    }

    /// The tenant answered 429: no permit is handed out before `retry_after`, or an exponential pause with jitter. If this
    /// happens again after as many accepted calls, that is the limit for a while. Several 429s of one pause count as one.
    pub fn throttled(mut self, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.end();
        let accepted = state.window.accepted(now);
        state.window.finish(false, now);
        state.refused += 1;
        if let Some(proof) = &mut state.proof {
            proof.refused();
        }
        let (pause, is_new) = state.brake.throttled(retry_after, accepted, now);
        state.lesson |= is_new;
        let learned_limit = state.brake.limit(now);
        state.wake_next();
        drop(state);
        if is_new {
            let (service, pause_ms) = (self.shared.service, pause.as_millis());
            tracing::warn!(service, pause_ms, accepted, learned_limit, "the tenant throttles");
        }
    }

    fn end(&mut self) -> MutexGuard<'_, State> {
        self.ended = true;
        self.shared.lock()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.ended {
            let mut state = self.shared.lock();
            state.window.finish(false, Instant::now());
            state.wake_next();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, ticket: &Ticket) -> Step {
        let now = Instant::now();
        let mut state = self.lock();
        if !state.queue.is_next(ticket) {
            return Step::Wait;
        }
        let limit = state.brake.limit(now);
        let free_at = state.window.free_at(limit, now);
        match (free_at, state.brake.paused_until(now)) {
            (FreeAt::Now, None) => {
                let (used, outstanding) = (state.window.used(now), state.window.outstanding());
                let window = state.settings.window;
                if let Some(proof) = &mut state.proof
                    && !proof.admits(used, outstanding)
                {
                    return Step::Sleep(proof.hold_back(now, window));
                }
                state.window.take();
                state.queue.leave(ticket);
                state.wake_next();
                Step::Go
            }
            (FreeAt::Now, Some(until)) => Step::Sleep(until),
            (FreeAt::At(free), until) => Step::Sleep(until.map_or(free, |until| until.max(free))),
            (FreeAt::AfterACall, _) => Step::Wait,
        }
    }
}

impl State {
    fn wake_next(&self) {
        if let Some(wake) = self.queue.next() {
            wake.notify_one();
        }
    }
}

/// A place in the queue, given up on drop.
struct Waiter<'a> {
    shared: &'a Arc<Shared>,
    ticket: Ticket,
    wake: Arc<Notify>,
}

impl<'a> Waiter<'a> {
    fn enter(shared: &'a Arc<Shared>, priority: Priority) -> Waiter<'a> {
        let wake = Arc::new(Notify::new());
        let ticket = shared.lock().queue.enter(priority, wake.clone());
        Waiter { shared, ticket, wake }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.queue.leave(&self.ticket) {
            // It may have been the one that slept for all.
            state.wake_next();
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limiter").field(&self.snapshot()).finish()
    }
}
