//! Bytes and durations for people. Pure.

use std::time::Duration;

/// Bytes, as in `1.5 KiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// So many things, as in `1 part` and `2 parts`.
pub fn count(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// A duration in its two largest units, as in `1h 5m`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let Some(first) = parts.iter().position(|(unit, _)| seconds >= *unit) else { return String::from("0s") };
    let mut words = Vec::new();
    let mut rest = seconds;
    for (unit, word) in parts.iter().skip(first).take(2) {
        if rest / unit > 0 {
            words.push(format!("{}{word}", rest / unit));
        }
        rest %= unit;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(10 << 30), "10.0 GiB");
        assert!(size(u64::MAX).ends_with("TiB"));
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!([0, 1, 2].map(|number| count(number, "part")), ["0 parts", "1 part", "2 parts"]);
    }

    #[test]
    fn durations_are_for_people() {
        let said = |seconds| duration(Duration::from_secs(seconds));
        let expected = ["0s", "59s", "5m", "1h 1m", "1d", "2d 3h"];
        assert_eq!([0, 59, 300, 3661, 86_400, 2 * 86_400 + 3 * 3600 + 59].map(said), expected);
    }
}
