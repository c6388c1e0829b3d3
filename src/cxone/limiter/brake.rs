//! What a 429 does: a pause, and a lower limit if it turns out to be one. Pure: time is passed in, jitter comes from a seed.
//!
//! A 429 although we keep to our limit is a hiccup, somebody else who uses the same quota, or a limit that is lower than
//! configured. One alone cannot be told apart, so it only pauses. A second one after as many accepted calls is a limit: what the tenant
//! accepted in the window is what it allows. Where that is little, it is believed only after one more refusal with nothing accepted in
//! between. When the limit rises again later, a 429 at the same count confirms it, and it is held longer each time.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::LimiterSettings;

/// The first pause where the tenant asks for none; it doubles with each 429 that follows.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// No pause that we choose is longer.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// No pause that the tenant asks for is believed beyond this: one wrong header must not stop a mount for ever.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// Two 429s in a row may still be a hiccup: they take at most seven eighths. Less is believed once a whole window agrees, or after
/// so many in a row.
const FLOOR_DIVISOR: u32 = 8;
const BELIEVED_AFTER: u32 = 3;
/// The same where the tenant said when to come back: it is taken at its word once more.
const BELIEVED_AFTER_IF_TOLD: u32 = 4;
/// Two counts within a tenth of each other are the same limit.
const SAME_DIVISOR: u32 = 10;
/// Each window of rising gives back a tenth of the configured limit.
const RISE_DIVISOR: u32 = 10;
/// How long a limit holds that is higher than what was accepted: so many windows, and at least so long.
const GUESS_WINDOWS: u32 = 3;
const GUESS_MIN: Duration = Duration::from_mins(5);
/// The same for a limit that is what was accepted; doubled with each confirmation.
const CONFIRMED_WINDOWS: u32 = 12;
const CONFIRMED_MIN: Duration = Duration::from_hours(1);
/// No limit is held longer without trying whether the tenant allows more by now.
const HOLD_MAX: Duration = Duration::from_hours(24);

/// What was learned of the tenant's limit, in a form that outlives the process. Of use only under the settings it was learned under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The configured limit at the time.
    pub calls: u32,
    pub window_ms: u64,
    /// The limit in force until `rises_at_s`.
    pub limit: u32,
    /// Calls that the tenant had accepted in the window of the last 429.
    pub accepted: u32,
    /// How long the limit was to be held, in seconds.
    pub hold_s: u64,
    /// From when on it rises, in seconds since 1970; absent where no 429 was seen.
    pub rises_at_s: Option<i64>,
    /// The most calls that the tenant is known to accept in one window.
    pub proven: u32,
}

impl Learned {
    /// Whether this was learned under these settings.
    #[must_use]
    pub fn is_for(&self, settings: LimiterSettings) -> bool {
        self.calls == settings.calls && u128::from(self.window_ms) == settings.window.as_millis()
    }
}

pub(super) struct Brake {
    settings: LimiterSettings,
    /// Whether a pause is answer enough to refusals of less than a window, and a limit below the floor is never believed.
    is_gentle: bool,
    rng: fastrand::Rng,
    suspicion: Option<Suspicion>,
    lesson: Option<Lesson>,
    paused_until: Option<Instant>,
    /// Pauses in a row, for the length of the next.
    strikes: u32,
    /// The same without an accepted call in between.
    refusals: u32,
}

/// 429s that came after the same number of accepted calls.
#[derive(Clone, Copy)]
struct Suspicion {
    accepted: u32,
    since: Instant,
}

/// A limit below the configured one.
#[derive(Clone, Copy)]
struct Lesson {
    limit: u32,
    hold: Duration,
    rises_from: Instant,
}

impl Brake {
    /// For calls that a refusal costs something of.
    pub fn new(settings: LimiterSettings, seed: u64) -> Brake {
        let rng = fastrand::Rng::with_seed(seed);
        let is_gentle = false;
        Brake { settings, is_gentle, rng, suspicion: None, lesson: None, paused_until: None, strikes: 0, refusals: 0 }
    }

    /// For calls that cost nothing: where being refused is no loss, a few seconds of refusals must not slow the next minutes down. Only
    /// what a whole window agrees on is a limit, and never a very low one.
    pub fn gentle(settings: LimiterSettings, seed: u64) -> Brake {
        Brake { is_gentle: true, ..Brake::new(settings, seed) }
    }

    /// Goes on with what an earlier process learned under the same settings, at the wall time `wall`.
    pub fn resume(&mut self, learned: &Learned, wall: Timestamp, now: Instant) {
        self.suspicion = (learned.accepted > 0).then_some(Suspicion { accepted: learned.accepted, since: now });
        let Some(rises_at) = learned.rises_at_s.and_then(|at| Timestamp::from_second(at).ok()) else { return };
        let ahead = Duration::try_from(rises_at.duration_since(wall)).unwrap_or_default().min(HOLD_MAX);
        let behind = Duration::try_from(wall.duration_since(rises_at)).unwrap_or_default();
        self.lesson = Some(Lesson {
            limit: learned.limit.clamp(1, self.settings.calls),
            hold: Duration::from_secs(learned.hold_s).min(HOLD_MAX),
            rises_from: (now + ahead).checked_sub(behind).unwrap_or(now),
        });
    }

    /// What is to be kept for the next process.
    pub fn learned(&self, proven: u32, wall: Timestamp, now: Instant) -> Learned {
        let LimiterSettings { calls, window } = self.settings;
        let rises_at_s = self.lesson.map(|lesson| {
            let ahead = lesson.rises_from.saturating_duration_since(now);
            let behind = now.saturating_duration_since(lesson.rises_from);
            let shifted = wall.saturating_add(ahead).and_then(|at| at.saturating_sub(behind));
            shifted.unwrap_or(wall).as_second()
        });
        Learned {
            calls,
            window_ms: window.as_millis().try_into().unwrap_or(u64::MAX),
            limit: self.lesson.map_or(calls, |lesson| lesson.limit),
            accepted: self.suspicion.map_or(0, |suspicion| suspicion.accepted),
            hold_s: self.lesson.map_or(0, |lesson| lesson.hold.as_secs()),
            rises_at_s,
            proven,
        }
    }

    /// Another configured limit. What was learned stays, as far as it is lower.
    pub fn reconfigure(&mut self, settings: LimiterSettings) {
        self.settings = settings;
        if let Some(lesson) = &mut self.lesson {
            lesson.limit = lesson.limit.min(settings.calls);
        }
    }

    /// The tenant accepted a call.
    pub fn accepted(&mut self) {
        self.refusals = 0;
    }

    /// Takes note of a 429 when the tenant had `accepted` calls in the window; gives the length of the pause from `now`, and whether
    /// it is a new one.
    pub fn throttled(&mut self, retry_after: Option<Duration>, accepted: u32, now: Instant) -> (Duration, bool) {
        let running = self.paused_until(now);
        let limit = self.limit(now);
        if running.is_none() {
            let calm = self.paused_until.is_none_or(|until| now >= until + self.settings.window);
            self.strikes = if calm { 1 } else { self.strikes.saturating_add(1) };
            self.refusals = self.refusals.saturating_add(1);
        }
        let pause = match (retry_after, running) {
            (Some(asked), _) => asked.min(RETRY_AFTER_MAX),
            // Calls that were under way when the pause began.
            (None, Some(until)) => until - now,
            (None, None) => {
                let doubled = PAUSE_MIN.saturating_mul(1 << (self.strikes - 1).min(16)).min(PAUSE_MAX);
                // At least the whole pause, up to a quarter more, so that several mounts do not come back together.
                doubled.mul_f64(1.0 + self.rng.f64() / 4.0).min(PAUSE_MAX)
            }
        };
        let until = running.map_or(now + pause, |until| until.max(now + pause));
        self.paused_until = Some(until);
        if running.is_none() {
            self.learn(accepted, limit, retry_after.is_some(), now, until);
        } else if let Some(lesson) = &mut self.lesson {
            lesson.rises_from = lesson.rises_from.max(until + lesson.hold);
        }
        (until - now, running.is_none())
    }

    fn learn(&mut self, accepted: u32, limit: u32, told: bool, now: Instant, until: Instant) {
        let LimiterSettings { calls, window } = self.settings;
        let is_same =
            |before: &Suspicion| before.accepted.abs_diff(accepted) <= (before.accepted / SAME_DIVISOR).max(1);
        // A tenant that accepted nothing at all has shown no limit, only that it is not our turn.
        let Some(suspicion) = self.suspicion.filter(|before| accepted > 0 && is_same(before)) else {
            self.suspicion = (accepted > 0).then_some(Suspicion { accepted, since: now });
            return;
        };
        let agreed = now >= suspicion.since + window;
        if self.is_gentle && !agreed {
            return;
        }
        let floor = (calls / FLOOR_DIVISOR).max(1);
        let insists = self.refusals >= if told { BELIEVED_AFTER_IF_TOLD } else { BELIEVED_AFTER };
        // What only insistence shows may yet be a long hiccup: it is tried again soon.
        let confirmed = agreed || accepted >= floor;
        let floor = if (agreed || insists) && !self.is_gentle { 1 } else { floor };
        let hold = if confirmed {
            let before = self.lesson.map_or(Duration::ZERO, |lesson| lesson.hold);
            (before * 2).max(window * CONFIRMED_WINDOWS).max(CONFIRMED_MIN)
        } else {
            (window * GUESS_WINDOWS).max(GUESS_MIN)
        };
        let hold = hold.min(HOLD_MAX);
        let limit = accepted.max(floor).min(limit);
        self.lesson = Some(Lesson { limit, hold, rises_from: until + hold });
    }

    /// The end of the pause, if there is one.
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// The limit in force.
    pub fn limit(&self, now: Instant) -> u32 {
        let LimiterSettings { calls, window } = self.settings;
        let Some(lesson) = self.lesson.filter(|_| !window.is_zero()) else { return calls };
        let since = now.saturating_duration_since(lesson.rises_from);
        let windows = (since.as_nanos() / window.as_nanos()).min(u128::from(u32::MAX)) as u32;
        let risen = windows.saturating_mul((calls / RISE_DIVISOR).max(1));
        lesson.limit.saturating_add(risen).min(calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: LimiterSettings = LimiterSettings { calls: 100, window: Duration::from_secs(10) };
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn pauses_double_up_to_a_minute_with_little_jitter() {
        let mut brake = Brake::new(LimiterSettings { window: Duration::from_mins(5), ..SETTINGS }, 7);
        let mut now = Instant::now();
        for least in [2, 4, 8, 16, 32, 60, 60] {
            let (pause, _) = brake.throttled(None, 100, now);
            assert!(
                pause >= SECOND * least && pause <= (SECOND * least).mul_f64(1.25).min(SECOND * 60),
                "{pause:?} {least}"
            );
            now += pause;
        }
    }

    /// A brake that was told twice that so many are allowed; the second pause is over.
    fn taught(accepted: u32) -> (Brake, Instant) {
        let mut brake = Brake::new(SETTINGS, 7);
        let mut now = Instant::now();
        now += brake.throttled(None, accepted, now).0;
        assert_eq!(brake.limit(now), 100, "one may be a hiccup");
        now += brake.throttled(None, accepted, now).0;
        (brake, now)
    }

    #[tokio::test]
    async fn several_429s_of_one_pause_count_as_one() {
        let mut brake = Brake::new(SETTINGS, 7);
        let now = Instant::now();
        let (pause, is_new) = brake.throttled(None, 60, now);
        assert!(is_new);
        assert_eq!(brake.throttled(None, 60, now + SECOND), (pause.saturating_sub(SECOND), false));
        assert_eq!(brake.limit(now), 100);
    }

    #[tokio::test]
    async fn the_tenants_wish_counts_and_is_bounded() {
        let mut brake = Brake::new(SETTINGS, 7);
        let now = Instant::now();
        assert_eq!(brake.throttled(Some(SECOND * 30), 100, now).0, SECOND * 30);
        assert_eq!(brake.throttled(Some(SECOND), 100, now).0, SECOND * 30, "a shorter wish does not end a pause");
        assert_eq!(brake.throttled(Some(Duration::MAX), 100, now).0, RETRY_AFTER_MAX);
    }

    #[tokio::test]
    async fn what_was_accepted_twice_is_the_limit_and_each_confirmation_holds_it_longer() {
        let (mut brake, mut now) = taught(90);
        assert_eq!(brake.limit(now), 90);
        assert_eq!(brake.limit(now + CONFIRMED_MIN), 90);
        now += CONFIRMED_MIN + SECOND * 10;
        assert_eq!(brake.limit(now), 100);
        now += brake.throttled(None, 91, now).0;
        assert_eq!(brake.limit(now + CONFIRMED_MIN * 2), 91, "held twice as long");
        assert_eq!(brake.limit(now + CONFIRMED_MIN * 2 + SECOND * 10), 100);
    }

    #[tokio::test]
    async fn other_counts_are_other_reasons() {
        let mut brake = Brake::new(SETTINGS, 7);
        let mut now = Instant::now();
        for accepted in [50, 70, 20, 40] {
            now += brake.throttled(None, accepted, now).0;
            assert_eq!(brake.limit(now), 100);
        }
        for _ in 0..5 {
            now += brake.throttled(None, 0, now).0;
            assert_eq!(brake.limit(now), 100, "nothing accepted shows no limit");
        }
    }

    #[tokio::test]
    async fn little_is_believed_once_a_whole_window_agrees() {
        let (mut brake, mut now) = taught(3);
        assert_eq!(brake.limit(now), 12, "an eighth, until a window of 10 s has passed");
        now += SECOND * 10;
        now += brake.throttled(None, 3, now).0;
        assert_eq!(brake.limit(now), 3);
    }

    #[tokio::test]
    async fn where_a_refusal_costs_nothing_only_a_whole_window_shows_a_limit() {
        let mut brake = Brake::gentle(SETTINGS, 7);
        let mut now = Instant::now();
        let begun = now;
        while now < begun + SETTINGS.window {
            assert_eq!(brake.limit(now), 100);
            now += brake.throttled(Some(SECOND), 3, now).0;
        }
        brake.throttled(Some(SECOND), 3, now);
        assert_eq!(brake.limit(now), 12, "and not less than an eighth");
    }

    #[tokio::test]
    async fn a_limit_of_one_stays_one() {
        let mut brake = Brake::new(LimiterSettings { calls: 1, ..SETTINGS }, 7);
        let now = Instant::now();
        brake.throttled(None, 1, now);
        brake.throttled(None, 1, now + SECOND * 60);
        assert_eq!(brake.limit(now), 1);
    }

    #[tokio::test]
    async fn what_was_learned_goes_on_in_the_next_process() {
        let (brake, now) = taught(40);
        let wall = Timestamp::from_second(1_000_000).unwrap();
        let learned = brake.learned(0, wall, now);
        let text = serde_json::to_string(&learned).unwrap();
        let read: Learned = serde_json::from_str(&text).unwrap();
        assert!(read == learned && read.is_for(SETTINGS));
        assert!(!read.is_for(LimiterSettings { calls: 99, ..SETTINGS }));

        let later = wall + jiff::SignedDuration::from_secs(60);
        let mut next = Brake::new(SETTINGS, 8);
        next.resume(&read, later, now);
        let left = Duration::from_mins(59);
        assert_eq!((next.limit(now), next.limit(now + left)), (40, 40));
        assert_eq!(next.limit(now + left + SECOND * 12), 50);
    }
}
