//! Whether a service is up, as a machine of three states. Pure: time is passed in.
//!
//! Down is a matter of the server: nobody accepts connections, or several *different* asks fail and none succeeds in between. However often
//! one ask fails, it tells of that ask alone.
//!
//! ```text
//!          enough failures             the probe was answered
//!    up ─────────────────────→ down ─────────────────────────→ trial
//!     ↑                         ↑ └── the probe failed ──┘       │
//!     │                         └────────── a call failed ───────┤
//!     └───────────────────────────────────── a call succeeded ───┘
//! ```

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// Different asks that failed, with no success in between, until a service counts as down. More than the bad neighbours that a folder may
/// have.
const FAILING_ASKS: usize = 8;
/// In a trial, calls go out this far apart until one succeeds.
const TRIAL_GAP: Duration = Duration::from_secs(4);

/// What was asked for, so that one thing that cannot be had is told from a server that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask(u64);

impl Ask {
    /// The ask for this thing: equal things are one ask.
    pub fn of(thing: &impl Hash) -> Ask {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        Ask(hasher.finish())
    }
}

/// How a call failed, as far as it tells of the service and not of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// Nobody accepts a connection, or not even a probe is answered: one such call is enough.
    Unreachable,
    /// 5xx, a cut connection, no answer in time: may be the fault of what was asked for.
    Failed(Ask),
}

/// What a call or a probe changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    WentDown,
    CameBack { down_for: Duration },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Up,
    Down,
    /// The service answers, but no call has succeeded yet. The time of the last call that was let through.
    Trial {
        last: Option<Instant>,
    },
}

#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    /// What failed since the last success.
    failing: HashSet<Ask>,
    /// When the last call that succeeded did.
    succeeded_at: Option<Instant>,
    down_since: Option<Instant>,
    /// Trials that failed since the service was last up, and when the last of them did.
    failed_trial: Option<Instant>,
}

impl State {
    pub fn new() -> State {
        State { phase: Phase::Up, failing: HashSet::new(), succeeded_at: None, down_since: None, failed_trial: None }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn down_since(&self) -> Option<Instant> {
        self.down_since
    }

    /// Whether a call may go out now.
    pub fn admit(&mut self, now: Instant) -> bool {
        match &mut self.phase {
            Phase::Up => true,
            Phase::Down => false,
            Phase::Trial { last } => {
                let free = last.is_none_or(|last| now >= last + TRIAL_GAP);
                if free {
                    *last = Some(now);
                }
                free
            }
        }
    }

    /// Whether a call succeeded since then.
    pub fn succeeded_since(&self, begun: Instant) -> bool {
        self.succeeded_at.is_some_and(|at| at >= begun)
    }

    /// A call was answered.
    pub fn succeeded(&mut self, now: Instant) -> Option<Change> {
        self.failing.clear();
        self.succeeded_at = Some(now);
        self.failed_trial = None;
        self.phase = Phase::Up;
        let since = self.down_since.take()?;
        Some(Change::CameBack { down_for: now - since })
    }

    /// A call that began at `begun` failed.
    pub fn failed(&mut self, how: Failing, begun: Instant, now: Instant) -> Option<Change> {
        // The service was there after this call had begun: it tells of the past.
        if self.succeeded_since(begun) {
            return None;
        }
        match self.phase {
            Phase::Up => {
                if let Failing::Failed(ask) = how {
                    self.failing.insert(ask);
                    if self.failing.len() < FAILING_ASKS {
                        return None;
                    }
                }
                self.failing.clear();
                self.phase = Phase::Down;
                self.down_since = Some(now);
                Some(Change::WentDown)
            }
            Phase::Trial { last: Some(last) } if begun >= last => {
                self.phase = Phase::Down;
                self.failed_trial = Some(now);
                None
            }
            Phase::Trial { .. } | Phase::Down => None,
        }
    }

    /// A probe was answered. Whether calls may be tried now: after a trial that failed, not at once.
    pub fn probed(&mut self, now: Instant) -> bool {
        let due = self.failed_trial.is_none_or(|at| now >= at + TRIAL_GAP);
        if self.phase == Phase::Down && due {
            self.phase = Phase::Trial { last: None };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn one_refused_connection_is_enough_and_one_bad_interaction_never_is() {
        let now = Instant::now();
        let mut state = State::new();
        for try_of_one in 0..100 {
            let neighbours = Failing::Failed(Ask::of(&(try_of_one % 2)));
            assert_eq!(state.failed(neighbours, now, now), None, "two of them, as often as you like");
        }
        for other in 2..FAILING_ASKS {
            let change = state.failed(Failing::Failed(Ask::of(&other)), now, now);
            assert_eq!(change, (other + 1 == FAILING_ASKS).then_some(Change::WentDown), "{other}");
        }
        let mut state = State::new();
        assert_eq!(state.failed(Failing::Unreachable, now, now + SECOND), Some(Change::WentDown));
        assert!(!state.admit(now + SECOND));
        assert_eq!(state.failed(Failing::Unreachable, now + SECOND, now + SECOND), None, "one change");
    }

    #[tokio::test]
    async fn a_success_in_between_begins_the_count_anew() {
        let now = Instant::now();
        let mut state = State::new();
        for round in 0..10 {
            let at = now + SECOND * round;
            for bad in 1..FAILING_ASKS {
                assert_eq!(state.failed(Failing::Failed(Ask::of(&bad)), at, at), None);
            }
            state.succeeded(at);
        }
    }

    #[tokio::test]
    async fn it_comes_back_by_one_call_at_a_time() {
        let now = Instant::now();
        let mut state = State::new();
        state.failed(Failing::Unreachable, now, now);
        assert!(state.probed(now + SECOND));
        assert!(state.admit(now + SECOND) && !state.admit(now + SECOND));
        assert_eq!(state.succeeded(now + SECOND * 2), Some(Change::CameBack { down_for: SECOND * 2 }));
        assert!(state.admit(now + SECOND * 2) && state.admit(now + SECOND * 2));
    }

    #[tokio::test]
    async fn a_failed_trial_is_not_repeated_at_once() {
        let now = Instant::now();
        let mut state = State::new();
        state.failed(Failing::Unreachable, now, now);
        state.probed(now);
        assert!(state.admit(now));
        assert_eq!(state.failed(Failing::Failed(Ask::of(&1)), now, now + SECOND), None);
        assert_eq!(state.phase(), Phase::Down);
        assert!(!state.probed(now + SECOND * 2));
        assert!(state.probed(now + SECOND * 5) && state.admit(now + SECOND * 5));
    }

    #[tokio::test]
    async fn a_trial_whose_call_hangs_is_followed_by_another() {
        let now = Instant::now();
        let mut state = State::new();
        state.failed(Failing::Unreachable, now, now);
        state.probed(now);
        assert!(state.admit(now) && !state.admit(now + SECOND) && state.admit(now + TRIAL_GAP));
    }

    #[tokio::test]
    async fn what_hung_before_the_service_came_back_tells_nothing() {
        let now = Instant::now();
        let mut state = State::new();
        state.succeeded(now + SECOND);
        assert_eq!(state.failed(Failing::Unreachable, now, now + SECOND * 30), None);
        assert!(state.admit(now + SECOND * 30));
    }
}
