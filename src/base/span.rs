//! Durations in words. Pure.

use std::time::Duration;

/// Units, largest first: seconds, the word for one, the word for many.
const UNITS: [(u64, &str, &str); 4] = [(86_400, "day", "days"), (3600, "h", "h"), (60, "min", "min"), (1, "s", "s")];

/// A duration as people say it: `350 ms`, `30 s`, `5 min`, `1 h 5 min`, `40 days`. At most two units; the second is left out where the
/// first is large.
#[must_use]
pub fn words(duration: Duration) -> String {
    /// Of so many of a unit, a part of one tells nothing.
    const LARGE: u64 = 10;
    let seconds = duration.as_secs();
    if duration.is_zero() {
        return String::from("0 s");
    }
    let Some(first) = UNITS.iter().position(|(unit, ..)| seconds >= *unit) else {
        return format!("{} ms", duration.as_millis());
    };
    let mut said = Vec::new();
    let mut rest = seconds;
    for (unit, one, many) in UNITS.iter().skip(first).take(2) {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            said.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
        if count >= LARGE {
            break;
        }
    }
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        let seconds = [0, 59, 60, 90, 300, 659, 3600, 3661, 36_060, 86_400, 2 * 86_400 + 3 * 3600, 40 * 86_400 + 7200];
        let expected = [
            "0 s",
            "59 s",
            "1 min",
            "1 min 30 s",
            "5 min",
            "10 min",
            "1 h",
            "1 h 1 min",
            "10 h",
            "1 day",
            "2 days 3 h",
            "40 days",
        ];
        assert_eq!(seconds.map(|seconds| words(Duration::from_secs(seconds))), expected);
        assert_eq!(words(Duration::from_millis(350)), "350 ms");
    }
}
