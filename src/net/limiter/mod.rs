//! The rate limit of a service: never more than `calls` in any `window`, served by urgency, and by turns between users. One limiter is for
//! billed calls, another for the listing.
//!
//! Decisions are in `window` (slots), `queue` (order), `adaptive` (429s) and `slow_start` (how many at once), none of which waits or reads a
//! clock. This file keeps them behind one mutex, which is never held across an await, and does the waiting: the waiter that is next
//! sleeps until a slot is free, all others until they are next. There is no task of its own.
//!
//! Knows neither HTTP nor what a call is for. Time inside is monotonic; wall times come in only as the seed. Nothing but the calls of the last
//! window outlives the process: a fresh limiter finds the rest out within seconds.

mod adaptive;
mod priority;
mod queue;
mod settings;
mod slow_start;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::base::{Clock, UserKey, span};
use adaptive::Adaptive;
pub use priority::Priority;
use queue::{Queue, Ticket};
pub use settings::LimiterSettings;
use slow_start::SlowStart;
use window::{FreeAt, Window};

/// The service of [`Limiter::new`], in messages.
const BILLED_SERVICE: &str = "media playback";

/// Shorter waits for the window are nobody's news.
const SAID_FROM: Duration = Duration::from_secs(10);

/// What the limiter is doing, for `status`.
#[derive(Clone, Debug, PartialEq)]
pub struct LimiterSnapshot {
    /// The configured limit.
    pub calls: u32,
    pub window: Duration,
    /// The limit in force: lower than `calls` for some windows after a 429.
    pub learned_limit: u32,
    /// Slots that are taken: permits handed out, calls under way, and calls that ended less than a window ago.
    pub used: u32,
    /// Waiters by class, in the order of [`Priority::ALL`].
    pub waiting: [usize; 4],
    /// What the next of them waits for; `None` if nobody waits.
    pub held_by: Option<HeldBy>,
    /// How long at least, where that is known: not while it waits for the end of a call.
    pub held_for: Option<Duration>,
    /// How long the pause after a 429 still lasts; zero if there is none.
    pub paused_for: Duration,
    /// 429s since the start of this process.
    pub refused: u64,
}

/// Why the next call may not go out yet. Those behind it wait for their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// All slots of the window are taken.
    Window,
    /// The tenant answered 429.
    Pause,
    /// As many calls are under way as the tenant is known to take at once.
    SlowStart,
}

impl HeldBy {
    /// The words that `status` uses.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            HeldBy::Window => "window",
            HeldBy::Pause => "pause",
            HeldBy::SlowStart => "slow start",
        }
    }
}

/// One user has as many calls waiting as may be while another user waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} billed calls of this user wait for the rate limit already, and another user waits")]
pub struct Crowded {
    pub waiting: usize,
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
    begun: Instant,
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
    begun: Instant,
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
    adaptive: Adaptive,
    /// `None`: all that the limit allows may go out at once, and a 429 does not lower it.
    slow_start: Option<SlowStart>,
    /// 429s so far.
    refused: u64,
    /// When the log last said that the window is used up.
    said_full: Option<Instant>,
}

/// What a waiter has to do next.
enum Step {
    /// It has its slot, from this time on.
    Go(Instant),
    /// It is next, and a slot is free at this time.
    Sleep(Instant),
    /// Something has to happen first: its turn, or the end of a call.
    Wait,
}

impl Limiter {
    /// The limiter of billed calls. `recent`: when calls were made in the last window, by this or an earlier process.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the house passes the clock by value, and the seed is of no further use"
    )]
    pub fn new(settings: LimiterSettings, recent: Vec<Timestamp>, clock: Arc<dyn Clock>) -> Limiter {
        let seed = clock.now().as_nanosecond() as u64;
        Limiter::with_seed(settings, &recent, clock.now(), seed)
    }

    /// As [`Limiter::new`], at the wall time `wall`, with the seed for the jitter of pauses.
    pub fn with_seed(settings: LimiterSettings, recent: &[Timestamp], wall: Timestamp, seed: u64) -> Limiter {
        Limiter::build(BILLED_SERVICE, settings, recent, Some(SlowStart::new()), wall, seed)
    }

    /// The limiter of calls that cost nothing, whose limit is a guess: all of it may be used at once, and being refused costs nothing but
    /// the pause.
    pub fn for_free_calls(service: &'static str, settings: LimiterSettings, wall: Timestamp, seed: u64) -> Limiter {
        Limiter::build(service, settings, &[], None, wall, seed)
    }

    fn build(
        service: &'static str,
        settings: LimiterSettings,
        recent: &[Timestamp],
        slow_start: Option<SlowStart>,
        wall: Timestamp,
        seed: u64,
    ) -> Limiter {
        let settings = LimiterSettings { calls: settings.calls.max(1), window: settings.window };
        let state = State {
            settings,
            window: Window::seeded(settings, recent, wall, Instant::now()),
            queue: Queue::default(),
            adaptive: Adaptive::new(settings, seed),
            slow_start,
            refused: 0,
            said_full: None,
        };
        Limiter { shared: Arc::new(Shared { service, state: Mutex::new(state) }) }
    }

    /// Another configured limit from now on.
    pub fn reconfigure(&self, settings: LimiterSettings) {
        let settings = LimiterSettings { calls: settings.calls.max(1), window: settings.window };
        let mut state = self.shared.lock();
        state.settings = settings;
        state.window.resize(settings.window);
        state.adaptive.reconfigure(settings, Instant::now());
        state.wake_next();
    }

    /// Waits for a slot, for the daemon itself. Dropping the future leaves the queue without a trace.
    pub async fn acquire(&self, priority: Priority) -> Permit {
        self.wait(Waiter::enter(&self.shared, priority, &UserKey::Own)).await
    }

    /// Waits for a slot in the turn of `user`, unless too many of that user's calls wait while another user waits.
    pub async fn acquire_for(&self, priority: Priority, user: &UserKey) -> Result<Permit, Crowded> {
        {
            let state = self.shared.lock();
            if state.queue.is_crowded_by(user) {
                return Err(Crowded { waiting: state.queue.waiting_of(user) });
            }
        }
        Ok(self.wait(Waiter::enter(&self.shared, priority, user)).await)
    }

    /// Calls of one user that wait.
    #[must_use]
    pub fn waiting_of(&self, user: &UserKey) -> usize {
        self.shared.lock().queue.waiting_of(user)
    }

    async fn wait(&self, waiter: Waiter<'_>) -> Permit {
        loop {
            match self.shared.step(&waiter.ticket) {
                Step::Go(begun) => return Permit { shared: self.shared.clone(), begun, spent: false },
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
        let held = state.queue.next().is_some().then(|| state.held_by(now)).flatten();
        LimiterSnapshot {
            calls: state.settings.calls,
            window: state.settings.window,
            learned_limit: state.adaptive.limit(now),
            used: state.window.used(now),
            waiting: state.queue.waiting(),
            held_by: held.map(|(why, _)| why),
            held_for: held.and_then(|(_, until)| until).map(|until| until.saturating_duration_since(now)),
            paused_for: state.adaptive.paused_until(now).map_or(Duration::ZERO, |until| until - now),
            refused: state.refused,
        }
    }
}

impl Permit {
    /// The call is being made now. Keep what this gives until the call has ended.
    pub fn spend(mut self) -> InFlight {
        self.spent = true;
        self.shared.lock().window.spend();
        InFlight { shared: self.shared.clone(), begun: self.begun, ended: false }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.spent {
            let mut state = self.shared.lock();
            state.window.give_back();
            state.no_longer_young(self.begun);
            state.wake_next();
        }
    }
}

impl InFlight {
    /// The tenant answered, and counts the call. Merely dropping this says that nobody knows what became of the call.
    pub fn finished(mut self) {
        let begun = self.begun;
        let mut state = self.end();
        state.window.finish(true, Instant::now());
        if let Some(slow_start) = &mut state.slow_start {
            slow_start.accepted(begun);
        }
        state.wake_next();
    }

    /// The call came to nothing before it left this machine: its slot is free at once.
    pub fn unsent(mut self) {
        let begun = self.begun;
        let mut state = self.end();
        state.window.unspend();
        state.no_longer_young(begun);
        state.wake_next();
    }

    /// The tenant answered that there were too many calls: no permit is handed out during a pause, the longer of `retry_after` and an exponential
    /// one with jitter; then slow start begins anew, under a lower limit. Several such answers in one pause count as one.
    pub fn throttled(mut self, retry_after: Option<Duration>) {
        let (now, begun) = (Instant::now(), self.begun);
        let mut state = self.end();
        let accepted = state.window.accepted(now);
        let configured = state.settings.calls;
        state.window.finish(false, now);
        state.no_longer_young(begun);
        state.refused += 1;
        let pause = state.adaptive.throttled(retry_after, now);
        if let Some(slow_start) = &mut state.slow_start {
            slow_start.refused();
            if pause.is_some() {
                state.adaptive.lower(accepted, now);
            }
        }
        let limit = state.adaptive.limit(now);
        state.wake_next();
        drop(state);
        if let Some(pause) = pause {
            let (service, pause_s) = (self.shared.service, pause.as_secs_f32());
            let pause = span::words(pause);
            tracing::warn!(
                service,
                pause_s,
                accepted,
                limit,
                "the tenant throttles {service}: no calls for {pause}, and at most {limit} in a window after it"
            );
            if accepted < configured {
                let remedy = "share it: lower limits.playback_requests here, or run the other program at another time";
                tracing::warn!(
                    service,
                    accepted,
                    configured,
                    remedy,
                    "fewer calls were made than the limit allows ({accepted} of {configured}): another program of the tenant spends it, or the tenant allows less; {remedy}"
                );
            }
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
            state.no_longer_young(self.begun);
            state.wake_next();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn step(&self, ticket: &Ticket) -> Step {
        let now = Instant::now();
        let mut state = self.lock();
        if !state.queue.is_next(ticket) {
            return Step::Wait;
        }
        match state.held_by(now) {
            Some((why, Some(until))) => {
                if why == HeldBy::Window && state.is_full_unsaid(until, now) {
                    let (waiting, used) = (state.queue.waiting().iter().sum::<usize>(), state.window.used(now));
                    let (limit, window) = (state.adaptive.limit(now), span::words(state.settings.window));
                    drop(state);
                    let (service, wait) = (self.service, span::words(until - now));
                    tracing::info!(
                        service,
                        used,
                        limit,
                        waiting,
                        "the rate limit of {service} is used up ({used} of {limit} calls in {window}): {waiting} wait, the next of them for {wait}"
                    );
                }
                Step::Sleep(until)
            }
            Some((_, None)) => Step::Wait,
            None => {
                state.window.take();
                if let Some(slow_start) = &mut state.slow_start {
                    slow_start.begin(now);
                }
                state.queue.leave(ticket, true);
                state.wake_next();
                Step::Go(now)
            }
        }
    }
}

impl State {
    /// Why no call may begin now, and until when at least; without a time, until a call ends.
    fn held_by(&mut self, now: Instant) -> Option<(HeldBy, Option<Instant>)> {
        if let Some(until) = self.adaptive.paused_until(now) {
            return Some((HeldBy::Pause, Some(until)));
        }
        match self.window.free_at(self.adaptive.limit(now), now) {
            FreeAt::At(free) => return Some((HeldBy::Window, Some(free))),
            FreeAt::AfterACall => return Some((HeldBy::Window, None)),
            FreeAt::Now => {}
        }
        let held = self.slow_start.as_mut().and_then(|slow_start| slow_start.may_begin(now).err());
        held.map(|until| (HeldBy::SlowStart, Some(until)))
    }

    /// Whether the log should say that the window is used up: it takes a while, and was not said in this window.
    fn is_full_unsaid(&mut self, until: Instant, now: Instant) -> bool {
        let is_due = self.said_full.is_none_or(|said| now.duration_since(said) >= self.settings.window);
        let says = is_due && until.saturating_duration_since(now) >= SAID_FROM;
        if says {
            self.said_full = Some(now);
        }
        says
    }

    fn no_longer_young(&mut self, begun: Instant) {
        if let Some(slow_start) = &mut self.slow_start {
            slow_start.ended(begun);
        }
    }

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
    fn enter(shared: &'a Arc<Shared>, priority: Priority, user: &UserKey) -> Waiter<'a> {
        let wake = Arc::new(Notify::new());
        let ticket = shared.lock().queue.enter(priority, user, wake.clone());
        Waiter { shared, ticket, wake }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.queue.leave(&self.ticket, false) {
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
