//! Whether a service is up, as a machine of three states. Pure: time is passed in.
//!
//! ```text
//!          enough failures             the probe was answered
//!    up ─────────────────────→ down ─────────────────────────→ trial
//!     ↑                         ↑ └── the probe failed ──┘       │
//!     │                         └────────── a call failed ───────┤
//!     └───────────────────────────────────── a call succeeded ───┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

/// Answers of 5xx and cut connections in a row until a service counts as down. More than the tries of one call, so that one
/// interaction which the tenant cannot serve does not stop all.
const FAILING_MAX: u32 = 5;
/// In a trial, calls go out this far apart until one succeeds.
const TRIAL_GAP: Duration = Duration::from_secs(4);

/// How a call failed, as far as it tells of the service and not of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    /// Nobody accepted the connection, or nobody answered in time: one such call is enough.
    Silent,
    /// 5xx, or a cut connection: may be the fault of what was asked for.
    Broken,
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
    broken: u32,
    /// When the last call that succeeded did.
    succeeded_at: Option<Instant>,
    down_since: Option<Instant>,
    /// Trials that failed since the service was last up, and when the last of them did.
    failed_trial: Option<Instant>,
}

impl State {
    pub fn new() -> State {
        State { phase: Phase::Up, broken: 0, succeeded_at: None, down_since: None, failed_trial: None }
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

    /// A call was answered.
    pub fn succeeded(&mut self, now: Instant) -> Option<Change> {
        self.broken = 0;
        self.succeeded_at = Some(now);
        self.failed_trial = None;
        self.phase = Phase::Up;
        let since = self.down_since.take()?;
        Some(Change::CameBack { down_for: now - since })
    }

    /// A call that began at `begun` failed.
    pub fn failed(&mut self, how: Failing, begun: Instant, now: Instant) -> Option<Change> {
        // The service was there after this call had begun: it tells of the past.
        if self.succeeded_at.is_some_and(|at| at >= begun) && how == Failing::Silent {
            return None;
        }
        match self.phase {
            Phase::Up => {
                self.broken += 1;
                if how == Failing::Broken && self.broken < FAILING_MAX {
                    return None;
                }
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
    async fn one_silence_is_enough_and_one_bad_interaction_is_not() {
        let now = Instant::now();
        let mut state = State::new();
        for _ in 1..FAILING_MAX {
            assert_eq!(state.failed(Failing::Broken, now, now), None);
        }
        assert_eq!(state.succeeded(now), None);
        assert_eq!(state.failed(Failing::Broken, now, now), None);
        assert_eq!(state.failed(Failing::Silent, now + SECOND, now + SECOND), Some(Change::WentDown));
        assert!(!state.admit(now + SECOND));
        assert_eq!(state.failed(Failing::Silent, now + SECOND, now + SECOND), None, "one change");
    }

    #[tokio::test]
    async fn it_comes_back_by_one_call_at_a_time() {
        let now = Instant::now();
        let mut state = State::new();
        state.failed(Failing::Silent, now, now);
        assert!(state.probed(now + SECOND));
        assert!(state.admit(now + SECOND) && !state.admit(now + SECOND));
        assert_eq!(state.succeeded(now + SECOND * 2), Some(Change::CameBack { down_for: SECOND * 2 }));
        assert!(state.admit(now + SECOND * 2) && state.admit(now + SECOND * 2));
    }

    #[tokio::test]
    async fn a_failed_trial_is_not_repeated_at_once() {
        let now = Instant::now();
        let mut state = State::new();
        state.failed(Failing::Silent, now, now);
        state.probed(now);
        assert!(state.admit(now));
        assert_eq!(state.failed(Failing::Broken, now, now + SECOND), None);
        assert_eq!(state.phase(), Phase::Down);
        assert!(!state.probed(now + SECOND * 2));
        assert!(state.probed(now + SECOND * 5) && state.admit(now + SECOND * 5));
    }

    #[tokio::test]
    async fn a_trial_whose_call_hangs_is_followed_by_another() {
        let now = Instant::now();
        let mut state = State::new();
        state.failed(Failing::Silent, now, now);
        state.probed(now);
        assert!(state.admit(now) && !state.admit(now + SECOND) && state.admit(now + TRIAL_GAP));
    }

    #[tokio::test]
    async fn what_hung_before_the_service_came_back_tells_nothing() {
        let now = Instant::now();
        let mut state = State::new();
        state.succeeded(now + SECOND);
        assert_eq!(state.failed(Failing::Silent, now, now + SECOND * 30), None);
        assert!(state.admit(now + SECOND * 30));
    }
}
