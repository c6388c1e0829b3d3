//! What a 429 does: a pause, and a lower limit for a while. Pure: time is passed in, jitter comes from a seed.
//!
//! A 429 although we keep to our limit means that someone else uses the same quota, or that it is lower than configured. Which of
//! the two cannot be told, so the limit is lowered step by step and raised again window by window.

use std::time::Duration;

use tokio::time::Instant;

use super::LimiterSettings;

/// The first pause where the tenant asks for none; it doubles with each 429 that follows.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// No pause that we choose is longer.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// No pause that the tenant asks for is believed beyond this: one wrong header must not stop a mount for ever.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);
/// One 429 takes at most a quarter of the limit, and all of them together at most seven eighths.
const DROP_DIVISOR: u32 = 4;
const FLOOR_DIVISOR: u32 = 8;
/// Each window without a 429 gives back a tenth of the configured limit.
const RISE_DIVISOR: u32 = 10;

pub(super) struct Brake {
    settings: LimiterSettings,
    rng: fastrand::Rng,
    /// The limit as of the last 429 or rise.
    limit: u32,
    /// From when on the limit rises.
    rises_from: Option<Instant>,
    paused_until: Option<Instant>,
    /// 429s in a row, for the length of the pause.
    strikes: u32,
}

impl Brake {
    pub fn new(settings: LimiterSettings, seed: u64) -> Brake {
        let rng = fastrand::Rng::with_seed(seed);
        Brake { settings, rng, limit: settings.calls, rises_from: None, paused_until: None, strikes: 0 }
    }

    /// Takes note of a 429 while `used` slots were taken; gives the length of the pause from `now`.
    pub fn throttled(&mut self, retry_after: Option<Duration>, used: u32, now: Instant) -> Duration {
        let limit = self.limit(now);
        let running = self.paused_until(now);
        if running.is_none() {
            let calm = self.rises_from.is_none_or(|from| now >= from + self.settings.window);
            self.strikes = if calm { 1 } else { self.strikes.saturating_add(1) };
            // One call fewer than were just too many, but no cliff: most of `used` may be old calls.
            let floor = (self.settings.calls / FLOOR_DIVISOR).max(1);
            let dropped = limit - (limit / DROP_DIVISOR).max(1).min(limit - 1);
            self.limit = used.saturating_sub(1).clamp(dropped, limit.saturating_sub(1).max(dropped)).max(floor);
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
        self.rises_from = Some(until);
        until - now
    }

    /// The end of the pause, if there is one.
    pub fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// The limit in force.
    pub fn limit(&mut self, now: Instant) -> u32 {
        let calls = self.settings.calls;
        let Some(from) = self.rises_from else { return calls };
        let window = self.settings.window;
        if window.is_zero() {
            return calls;
        }
        let windows =
            (now.saturating_duration_since(from).as_nanos() / window.as_nanos()).min(u128::from(u32::MAX)) as u32;
        let risen = windows.saturating_mul((calls / RISE_DIVISOR).max(1));
        self.limit.saturating_add(risen).min(calls)
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
            let pause = brake.throttled(None, 100, now);
            assert!(
                pause >= SECOND * least && pause <= (SECOND * least).mul_f64(1.25).min(SECOND * 60),
                "{pause:?} {least}"
            );
            now += pause;
        }
    }

    #[tokio::test]
    async fn several_429s_of_one_pause_count_as_one() {
        let mut brake = Brake::new(SETTINGS, 7);
        let now = Instant::now();
        let pause = brake.throttled(None, 100, now);
        let limit = brake.limit(now);
        assert_eq!(brake.throttled(None, 100, now + SECOND), pause.saturating_sub(SECOND));
        assert_eq!(brake.limit(now), limit);
    }

    #[tokio::test]
    async fn the_tenants_wish_counts_and_is_bounded() {
        let mut brake = Brake::new(SETTINGS, 7);
        let now = Instant::now();
        assert_eq!(brake.throttled(Some(SECOND * 30), 100, now), SECOND * 30);
        assert_eq!(brake.throttled(Some(SECOND), 100, now), SECOND * 30, "a shorter wish does not end a pause");
        assert_eq!(brake.throttled(Some(Duration::MAX), 100, now), RETRY_AFTER_MAX);
    }

    #[tokio::test]
    async fn the_limit_falls_by_steps_and_rises_by_windows() {
        let mut brake = Brake::new(SETTINGS, 7);
        let mut now = Instant::now();
        now += brake.throttled(None, 90, now);
        assert_eq!(brake.limit(now), 89, "one fewer than were too many");
        now += brake.throttled(None, 3, now);
        assert_eq!(brake.limit(now), 67, "no cliff");
        for _ in 0..20 {
            now += brake.throttled(None, 1, now);
        }
        assert_eq!(brake.limit(now), 12, "a floor");
        assert_eq!(brake.limit(now + SECOND * 10), 22);
        assert_eq!(brake.limit(now + SECOND * 1000), 100);
    }

    #[tokio::test]
    async fn a_limit_of_one_stays_one() {
        let mut brake = Brake::new(LimiterSettings { calls: 1, ..SETTINGS }, 7);
        let now = Instant::now();
        brake.throttled(None, 1, now);
        assert_eq!(brake.limit(now), 1);
    }
}
