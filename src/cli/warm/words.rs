//! Cost and progress of warming in words. Pure.

use std::fmt::Write;
use std::time::Duration;

use crate::base::span;
use crate::cli::units::size;
use crate::ops::warm::{WarmCost, WarmProgress};

/// What an interaction counts for beside its bytes, in bytes: about what a call takes, at ten megabytes a second.
const CALL_AS_BYTES: u64 = 1 << 20;

/// What it will cost, some lines.
pub fn cost(cost: &WarmCost) -> String {
    if cost.calls == 0 && cost.recordings == 0 {
        return format!("{} interactions, all of them here already: nothing to do\n", cost.interactions);
    }
    let mut text = format!("{} interactions\n", cost.interactions);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  billed calls  {}{}", cost.calls, budget(cost));
    let guessed = match cost.bytes_guessed {
        0 => String::new(),
        _ => format!(", of which {} are an estimate", size(cost.bytes_guessed)),
    };
    let _ = writeln!(text, "  recordings    {} with {}{guessed}", cost.recordings, size(cost.bytes));
    if cost.limit_time_s > 0.0 {
        let time = span::words(Duration::try_from_secs_f64(cost.limit_time_s).unwrap_or(Duration::MAX));
        let _ = writeln!(text, "  rate limit    makes the calls take about {time}, longer if others call too");
    }
    if cost.bytes > cost.cache_bytes / 10 * 9 {
        let _ = writeln!(
            text,
            "  cache         holds {} in all: what does not fit is left out (cache.size)",
            size(cost.cache_bytes)
        );
    }
    text
}

fn budget(cost: &WarmCost) -> String {
    match cost.budget_left {
        Some(left) if left < cost.calls => {
            format!("; today's budget allows {left} more, then it stops (limits.daily_budget)")
        }
        Some(left) => format!(" of {left} that today's budget still allows"),
        None => String::new(),
    }
}

/// How much of the work is done, of how much. Grows steadily, be it calls or bytes that take the time.
pub fn effort(progress: &WarmProgress) -> (u64, u64) {
    let position = progress.bytes + progress.done * CALL_AS_BYTES;
    let length = progress.bytes_in_all.max(progress.bytes) + progress.interactions * CALL_AS_BYTES;
    (position, length)
}

/// What stands beside the bar.
pub fn bar(progress: &WarmProgress) -> String {
    let WarmProgress { done, interactions, calls, bytes, bytes_in_all, .. } = progress;
    format!("{done}/{interactions} interactions, {calls} calls, {} of {}", size(*bytes), size(*bytes_in_all))
}

/// What was done.
pub fn result(progress: &WarmProgress) -> String {
    let mut text = format!(
        "{} of {} interactions are here: {} billed calls, {} brought",
        progress.done - progress.failed.min(progress.done),
        progress.interactions,
        progress.calls,
        size(progress.bytes)
    );
    if progress.never > 0 {
        let _ = write!(text, "; {} recordings left out, for cache.never keeps them off the disk", progress.never);
    }
    if progress.left_out > 0 {
        let _ = write!(text, "; {} recordings left out, for they do not fit into the cache", progress.left_out);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_says_what_matters_and_no_more() {
        let nothing = WarmCost { interactions: 3, cache_bytes: 10 << 30, ..WarmCost::default() };
        assert_eq!(cost(&nothing), "3 interactions, all of them here already: nothing to do\n");
        let some = WarmCost {
            interactions: 300,
            calls: 200,
            budget_left: Some(900),
            recordings: 150,
            bytes: 3 << 30,
            bytes_guessed: 1 << 30,
            cache_bytes: 10 << 30,
            limit_time_s: 300.0,
        };
        assert_eq!(
            cost(&some),
            "300 interactions\n  billed calls  200 of 900 that today's budget still allows\n  recordings    150 with 3.0 GiB, of which \
             1.0 GiB are an estimate\n  rate limit    makes the calls take about 5 min, longer if others call too\n"
        );
        let much = WarmCost { budget_left: Some(20), bytes: 20 << 30, bytes_guessed: 0, limit_time_s: 0.0, ..some };
        let text = cost(&much);
        assert!(text.contains("allows 20 more, then it stops") && text.contains("holds 10.0 GiB in all"), "{text}");
        assert!(!text.contains("rate limit") && !text.contains("estimate"), "{text}");
    }

    #[test]
    fn effort_never_exceeds_its_whole() {
        let progress = WarmProgress { interactions: 2, done: 2, bytes: 9, bytes_in_all: 5, ..WarmProgress::default() };
        let (position, length) = effort(&progress);
        assert_eq!(position, length);
    }
}
