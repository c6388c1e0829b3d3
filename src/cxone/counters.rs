//! How many requests were made of the tenant, by what they were for and how they ended. For metrics.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::net::error::{ApiError, ApiErrorKind};

/// Counts requests.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Counters {
    /// One request was answered with a status, or not at all.
    pub fn note(&self, operation: &'static str, outcome: Result<u16, &ApiError>) {
        *self.0.lock().entry((operation, word(outcome))).or_default() += 1;
    }

    /// Operation, outcome, how many.
    pub fn told(&self) -> Vec<(&'static str, &'static str, u64)> {
        let counts = self.0.lock();
        counts.iter().map(|((operation, outcome), count)| (*operation, *outcome, *count)).collect()
    }
}

/// Few enough words for a label.
fn word(outcome: Result<u16, &ApiError>) -> &'static str {
    match outcome {
        Ok(429) => "429",
        Ok(200..=299) => "2xx",
        Ok(300..=399) => "3xx",
        Ok(400..=499) => "4xx",
        Ok(500..=599) => "5xx",
        Ok(_) => "other",
        Err(error) if error.kind == ApiErrorKind::Timeout => "timeout",
        Err(_) => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_few_words() {
        let counters = Counters::default();
        for status in [200, 204, 429, 404] {
            counters.note("login", Ok(status));
        }
        counters.note("login", Err(&ApiError::new(ApiErrorKind::Timeout, "")));
        assert_eq!(
            counters.told(),
            [("login", "2xx", 2), ("login", "429", 1), ("login", "4xx", 1), ("login", "timeout", 1)]
        );
    }
}
