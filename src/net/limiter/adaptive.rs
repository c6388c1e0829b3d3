//! What a 429 does: a pause, and a lower limit for a while. Pure: time is passed in, jitter comes from a seed.
//!
//! A 429 although we keep to our limit is a hiccup, another program that uses the same quota, or a limit that is lower than configured.
//! They need not be told apart: additive increase, multiplicative decrease. Each pause halves the limit, but not below what the tenant
//! accepted in the window; each window without a 429 gives a tenth of the configured limit back.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::LimiterSettings;

/// The first pause; it doubles with each that follows within a window.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// No pause that we choose is longer than this, or than the window, after which the tenant has forgotten what was before.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// No pause that the tenant asks for is longer: one wrong header must not stop a mount for ever.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// A window without a 429 gives this part of the configured limit back; no 429 takes the limit below it.
const STEP_DIVISOR: u32 = 10;

pub(super) struct Adaptive {
    settings: LimiterSettings,
    rng: fastrand::Rng,
    /// The limit at the end of the last pause.
    limit: u32,
    /// The end of the last pause.
    paused_until: Option<Instant>,
    /// Pauses that followed each other within a window.
    pauses: u32,
}

impl Adaptive {
    pub fn new(settings: LimiterSettings, seed: u64) -> Adaptive {
        let rng = fastrand::Rng::with_seed(seed);
        Adaptive { settings, rng, limit: settings.calls, paused_until: None, pauses: 0 }
    }

    /// Another configured limit.
    pub fn reconfigure(&mut self, settings: LimiterSettings, now: Instant) {
        let is_lowered = self.limit(now) < self.settings.calls;
        self.limit = if is_lowered { self.limit(now).min(settings.calls) } else { settings.calls };
        self.settings = settings;
    }

    /// Takes note of a 429; gives the pause from `now` if it begins one. The pause is the longer of what the tenant asks for and our own:
    /// `Retry-After: 0` does not cancel ours. A 429 during a pause answers a call that went out before it.
    pub fn throttled(&mut self, retry_after: Option<Duration>, now: Instant) -> Option<Duration> {
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        if let Some(until) = self.paused_until(now) {
            self.paused_until = Some(until.max(now + asked));
            return None;
        }
        let follows = self.paused_until.is_some_and(|until| now < until + self.settings.window);
        self.pauses = if follows { self.pauses.saturating_add(1) } else { 1 };
        let longest = PAUSE_MAX.min(self.settings.window.max(PAUSE_MIN));
        let doubled = PAUSE_MIN.saturating_mul(1 << (self.pauses - 1).min(16)).min(longest);
        // Up to a quarter more, so that several mounts do not come back together.
        let pause = doubled.mul_f64(1.0 + self.rng.f64() / 4.0).max(asked);
        self.paused_until = Some(now + pause);
        Some(pause)
    }

    /// Lowers the limit, when the tenant had `accepted` calls in the window. Nothing accepted shows no limit.
    pub fn lower(&mut self, accepted: u32, now: Instant) {
        let limit = self.limit(now);
        if accepted > 0 {
            self.limit = accepted.max(limit / 2).max(self.step()).min(limit);
        }
    }

    /// The end of the pause, if there is one.
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// The limit in force.
    pub fn limit(&self, now: Instant) -> u32 {
        let LimiterSettings { calls, window } = self.settings;
        let Some(since) = self.paused_until.filter(|_| !window.is_zero()) else { return calls };
        let windows = now.saturating_duration_since(since).as_nanos() / window.as_nanos();
        let windows = u32::try_from(windows).unwrap_or(u32::MAX);
        self.limit.saturating_add(windows.saturating_mul(self.step())).min(calls)
    }

    fn step(&self) -> u32 {
        (self.settings.calls / STEP_DIVISOR).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: LimiterSettings = LimiterSettings { calls: 100, window: Duration::from_mins(5) };
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn pauses_double_up_to_a_minute_with_little_jitter_and_begin_anew_after_a_calm_window() {
        let mut adaptive = Adaptive::new(SETTINGS, 7);
        let mut now = Instant::now();
        for least in [2, 4, 8, 16, 32, 60, 60] {
            let pause = adaptive.throttled(None, now).unwrap();
            assert!(pause >= SECOND * least && pause <= (SECOND * least).mul_f64(1.25), "{pause:?} {least}");
            now += pause;
        }
        assert!(adaptive.throttled(None, now + SETTINGS.window).unwrap() < SECOND * 3);
    }

    #[tokio::test]
    async fn a_wish_of_nothing_or_of_the_past_does_not_cancel_our_own_pause() {
        let mut adaptive = Adaptive::new(SETTINGS, 7);
        let mut now = Instant::now();
        for least in [2, 4, 8, 16] {
            let pause = adaptive.throttled(Some(Duration::ZERO), now).unwrap();
            assert!(pause >= SECOND * least, "{pause:?} {least}");
            now += pause;
        }
    }

    #[tokio::test]
    async fn several_429s_of_one_pause_are_one_and_the_longest_wish_counts() {
        let mut adaptive = Adaptive::new(SETTINGS, 7);
        let now = Instant::now();
        assert_eq!(adaptive.throttled(Some(SECOND * 30), now), Some(SECOND * 30));
        assert_eq!(adaptive.throttled(Some(SECOND), now + SECOND), None);
        assert_eq!(adaptive.paused_until(now), Some(now + SECOND * 30), "a shorter wish does not end a pause");
        assert_eq!(adaptive.throttled(Some(Duration::MAX), now + SECOND), None);
        assert_eq!(adaptive.paused_until(now), Some(now + SECOND + RETRY_AFTER_MAX));
    }

    #[tokio::test]
    async fn a_short_window_has_short_pauses() {
        let mut adaptive = Adaptive::new(LimiterSettings { window: SECOND * 3, ..SETTINGS }, 7);
        let mut now = Instant::now();
        for _ in 0..6 {
            let pause = adaptive.throttled(None, now).unwrap();
            assert!(pause < SECOND * 4, "{pause:?}");
            now += pause;
        }
    }

    #[tokio::test]
    async fn the_limit_falls_by_half_to_what_was_accepted_and_rises_by_a_tenth_a_window() {
        let mut adaptive = Adaptive::new(SETTINGS, 7);
        let mut now = Instant::now();
        for (accepted, limit) in [(0, 100), (90, 90), (3, 45), (3, 22), (3, 11), (3, 10), (3, 10)] {
            now += adaptive.throttled(None, now).unwrap();
            adaptive.lower(accepted, now);
            assert_eq!(adaptive.limit(now), limit);
        }
        assert_eq!(adaptive.limit(now + SETTINGS.window * 2), 30);
        assert_eq!(adaptive.limit(now + SETTINGS.window * 100), 100);
    }

    #[tokio::test]
    async fn another_configured_limit_holds_at_once() {
        let (now, more) = (Instant::now(), LimiterSettings { calls: 200, ..SETTINGS });
        let mut adaptive = Adaptive::new(SETTINGS, 7);
        adaptive.reconfigure(more, now);
        assert_eq!(adaptive.limit(now), 200);
        let until = now + adaptive.throttled(None, now).unwrap();
        adaptive.lower(150, now);
        adaptive.reconfigure(SETTINGS, now);
        assert_eq!(adaptive.limit(until), 100);
    }
}
