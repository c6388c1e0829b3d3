//! Whether and when a call that costs nothing is tried again. Billed calls are never tried again here: who pays decides.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::net::error::{ApiError, ApiErrorKind};

/// Tries of a call that finds nobody to talk to.
const UNSENT_TRIES_MAX: u32 = 2;

/// How often and how long. All durations are upper bounds that hold for one call with all its tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPolicy {
    /// Tries altogether, the first included.
    pub tries: u32,
    /// Tries altogether where one waited in vain for its answer.
    pub silent_tries: u32,
    /// The pause after the first failure; it doubles with each further one.
    pub pause: Duration,
    /// No pause is longer, except one that the tenant asked for.
    pub pause_max: Duration,
    /// No try begins later than this after the first began.
    pub total: Duration,
}

impl RetryPolicy {
    /// Four tries, half a second apart at first. `page` is the time of one page: a time-out is for the caller, who asks for less at once.
    pub fn listing(page: Duration) -> RetryPolicy {
        RetryPolicy {
            tries: 4,
            silent_tries: 1,
            pause: Duration::from_millis(500),
            pause_max: Duration::from_secs(8),
            total: page.saturating_mul(3),
        }
    }

    /// Logins are tried less: someone waits at the prompt, and keys get locked. No try begins later than `login`, the time of one, after the
    /// first.
    pub fn login(login: Duration) -> RetryPolicy {
        RetryPolicy { tries: 3, silent_tries: 2, total: login, ..RetryPolicy::listing(login) }
    }

    /// The pause before the next try, or `None` if there is none. `failures` counts from 1, `elapsed` from the first try's
    /// beginning, `jitter` is in `[0, 1)`.
    pub fn pause_before_next(
        &self,
        error: &ApiError,
        failures: u32,
        elapsed: Duration,
        jitter: f64,
    ) -> Option<Duration> {
        // Where nobody accepts a connection, more tries only make people wait; after a time-out, one try has taken very long.
        let tries = if error.is_unsent() {
            self.tries.min(UNSENT_TRIES_MAX)
        } else if error.kind == ApiErrorKind::Timeout {
            self.silent_tries
        } else {
            self.tries
        };
        if !error.is_transient() || failures >= tries {
            return None;
        }
        let doubled = self.pause.saturating_mul(1_u32 << (failures - 1).min(16)).min(self.pause_max);
        // Between half and all of it, so that pages that failed together do not come back together.
        let pause = doubled.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        let pause = match error.kind {
            ApiErrorKind::RateLimited { retry_after: Some(asked) } => asked.max(pause),
            _ => pause,
        };
        (elapsed.saturating_add(pause) <= self.total).then_some(pause)
    }

    /// Runs `call` until it succeeds, fails for good, or the tries or the time are used up.
    pub async fn run<T, F>(&self, jitter: impl Fn() -> f64, mut call: impl FnMut() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let begun = Instant::now();
        let mut failures = 0;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failures += 1;
            let Some(pause) = self.pause_before_next(&error, failures, begun.elapsed(), jitter()) else {
                return Err(error);
            };
            tracing::debug!(%error, failures, pause_ms = pause.as_millis(), "trying again");
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        tries: 4,
        silent_tries: 2,
        pause: Duration::from_millis(500),
        pause_max: Duration::from_secs(8),
        total: Duration::from_mins(1),
    };

    fn error(kind: ApiErrorKind) -> ApiError {
        ApiError::new(kind, "x")
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_end_with_the_tries() {
        let policy = RetryPolicy { tries: 10, ..POLICY };
        let unavailable = error(ApiErrorKind::Unavailable);
        let pauses: Vec<u128> = (1..10)
            .map(|failures| policy.pause_before_next(&unavailable, failures, Duration::ZERO, 1.0).unwrap().as_millis())
            .collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000]);
        assert_eq!(policy.pause_before_next(&unavailable, 10, Duration::ZERO, 1.0), None);
    }

    #[test]
    fn the_tenants_wish_counts_unless_it_takes_too_long() {
        let asked = |seconds| error(ApiErrorKind::RateLimited { retry_after: Some(Duration::from_secs(seconds)) });
        assert_eq!(POLICY.pause_before_next(&asked(20), 1, Duration::ZERO, 0.0), Some(Duration::from_secs(20)));
        assert_eq!(POLICY.pause_before_next(&asked(61), 1, Duration::ZERO, 0.0), None);
        assert_eq!(POLICY.pause_before_next(&asked(20), 1, Duration::from_secs(50), 0.0), None);
        // `Retry-After: 0` does not cancel the pause that we would make without it.
        assert_eq!(POLICY.pause_before_next(&asked(0), 3, Duration::ZERO, 1.0), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_slow_page_is_for_the_caller_and_a_slow_login_is_tried_once_more() {
        let slow = error(ApiErrorKind::Timeout);
        let listing = RetryPolicy::listing(Duration::from_mins(2));
        assert_eq!(listing.pause_before_next(&slow, 1, Duration::from_mins(2), 0.5), None);
        let login = RetryPolicy::login(Duration::from_mins(2));
        assert!(login.pause_before_next(&slow, 1, Duration::from_mins(1), 0.5).is_some());
        assert_eq!(login.pause_before_next(&slow, 2, Duration::from_mins(1), 0.5), None);
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        for kind in [ApiErrorKind::BadAnswer, ApiErrorKind::Denied, ApiErrorKind::Configuration] {
            assert_eq!(POLICY.pause_before_next(&error(kind), 1, Duration::ZERO, 0.5), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_tried_as_often_as_the_policy_says() {
        let mut calls = 0;
        let outcome: Result<(), ApiError> = POLICY
            .run(
                || 0.5,
                || {
                    calls += 1;
                    async { Err(error(ApiErrorKind::Unavailable)) }
                },
            )
            .await;
        assert_eq!(outcome.unwrap_err().kind, ApiErrorKind::Unavailable);
        assert_eq!(calls, 4);
    }
}
