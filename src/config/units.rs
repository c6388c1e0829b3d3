//! Sizes, durations and dates as people write them. Pure; knows no keys and no files.

use std::time::Duration;

use crate::base::{Day, Since};

/// Why a text is not the quantity that it should be: a whole clause, to stand after "found …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(pub String);

const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads `10GiB`, `1.5 GB` or `65536B`; the answer is in bytes, fractions of a byte are cut off.
///
/// A bare number or a bare `G` is refused: whether it means 10⁹ or 2³⁰ bytes must not be a guess.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split_number(text)?;
    if unit.is_empty() {
        return Err(UnitError(String::from("a unit is missing (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)")));
    }
    let factor = if unit == "B" { Some(1) } else { SIZES.iter().find(|(name, _)| *name == unit).map(|(_, f)| *f) };
    let factor = factor.ok_or_else(|| UnitError(format!("{unit:?} is no unit of size (B, KiB, MiB, GiB, TiB, …)")))?;
    scale(number, factor).ok_or_else(|| UnitError(String::from("the size is out of range")))
}

const TIMES: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// The longest duration that a setting may state: 100 years. Keeps every sum of times inside the clock's range.
const LONGEST_MS: u64 = 100 * 366 * 86_400_000;

/// Reads `30s`, `5m`, `250ms`, `90d` or `1h30m`.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(UnitError(String::from("it is empty")));
    }
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(letters);
        if number.is_empty() {
            return Err(UnitError(String::from("a number is missing")));
        }
        if unit.is_empty() {
            return Err(UnitError(String::from("a unit is missing (ms, s, m, h, d, w)")));
        }
        let factor = TIMES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let factor = factor.ok_or_else(|| UnitError(format!("{unit:?} is no unit of time (ms, s, m, h, d, w)")))?;
        let part = scale(number, factor).ok_or_else(|| UnitError(format!("{number:?} is not a number in range")))?;
        total_ms = total_ms.saturating_add(part);
        rest = after.trim_start();
    }
    if total_ms > LONGEST_MS {
        return Err(UnitError(String::from("it is longer than 100 years")));
    }
    Ok(Duration::from_millis(total_ms))
}

/// The inverse of [`parse_duration`], in one or two units; what is left below a second is cut off.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let mut left = duration.as_secs();
    let mut parts = Vec::new();
    for (name, milliseconds) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        let count = left / (milliseconds / 1000);
        left %= milliseconds / 1000;
        if count > 0 && parts.len() < 2 {
            parts.push(format!("{count}{name}"));
        }
    }
    if parts.is_empty() { String::from("0s") } else { parts.concat() }
}

/// The longest time ago that the tree may begin: 100 years.
const DAYS_AGO_MAX: u32 = 36_600;

/// Reads `2026-01-01` or `90d`.
pub fn parse_since(text: &str) -> Result<Since, UnitError> {
    let text = text.trim();
    if let Ok(day) = text.parse::<Day>() {
        return Ok(Since::Day(day));
    }
    let digits =
        text.strip_suffix('d').filter(|days| !days.is_empty() && days.bytes().all(|byte| byte.is_ascii_digit()));
    let digits = digits.ok_or_else(|| UnitError(String::from("it is neither a date nor a number of days")))?;
    let days = digits.parse::<u32>().ok().filter(|days| *days <= DAYS_AGO_MAX);
    days.map(Since::DaysAgo).ok_or_else(|| UnitError(format!("0d to {DAYS_AGO_MAX}d are possible")))
}

/// Reads `0440`, `440` or `0o440`; permission bits only.
pub fn parse_mode(text: &str) -> Result<u16, UnitError> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0o").unwrap_or(digits);
    let mode = u16::from_str_radix(digits, 8).map_err(|_| UnitError(String::from("it is not an octal number")))?;
    if mode & !0o777 != 0 {
        return Err(UnitError(String::from("only permission bits (up to 0777) can be set")));
    }
    if mode & 0o222 != 0 {
        return Err(UnitError(String::from("the tree is read-only, so no write bit can be set")));
    }
    Ok(mode)
}

/// Splits `1.5 GiB` into the number's text and the unit's.
fn split_number(text: &str) -> Result<(&str, &str), UnitError> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return Err(UnitError(String::from("a number is missing")));
    }
    Ok((number, unit.trim_start()))
}

/// `number × factor` without rounding through floating point; `None` if it is no number or does not fit.
fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 || number.ends_with('.') {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let mut total = u128::from(whole) * u128::from(factor);
    if !fraction.is_empty() {
        let parts: u64 = fraction.parse().ok()?;
        total += u128::from(parts) * u128::from(factor) / 10_u128.pow(fraction.len() as u32);
    }
    u64::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10GiB", 10 << 30)]
    #[case("500MB", 500_000_000)]
    #[case(" 1.5 GiB ", 3 << 29)]
    #[case("65536B", 65536)]
    #[case("0.1kB", 100)]
    fn sizes(#[case] text: &str, #[case] bytes: u64) {
        assert_eq!(parse_size(text), Ok(bytes));
    }

    #[rstest]
    #[case("10")]
    #[case("10G")]
    #[case("GiB")]
    #[case("-1GiB")]
    #[case("1..5GiB")]
    #[case("1.GiB")]
    #[case("99999999TiB")]
    #[case("")]
    fn no_sizes(#[case] text: &str) {
        assert!(parse_size(text).is_err(), "{text}");
    }

    #[rstest]
    #[case("30s", 30_000)]
    #[case("5m", 300_000)]
    #[case("1h30m", 5_400_000)]
    #[case("250ms", 250)]
    #[case("30 d", 30 * 86_400_000)]
    #[case("1.5h", 5_400_000)]
    fn durations(#[case] text: &str, #[case] ms: u64) {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)));
    }

    #[rstest]
    #[case("5")]
    #[case("5min")]
    #[case("m")]
    #[case("")]
    #[case("5m3")]
    #[case("101w52000d")]
    fn no_durations(#[case] text: &str) {
        assert!(parse_duration(text).is_err(), "{text}");
    }

    #[test]
    fn durations_are_shown_as_they_are_read() {
        for text in ["30d", "1h30m", "5m", "45s", "1d12h"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(show_duration(Duration::from_millis(500)), "0s");
    }

    #[test]
    fn since_is_a_date_or_days() {
        let today: Day = "2026-11-22".parse().unwrap();
        assert_eq!(parse_since("2026-01-01").unwrap().first_day(today).to_string(), "2026-01-01");
        assert_eq!(parse_since("90d").unwrap().first_day(today).to_string(), "2026-08-24");
        assert_eq!(parse_since("0d").unwrap().first_day(today), today);
        for text in ["2026-1-1", "90", "90m", "-1d", "2026-02-30"] {
            assert!(parse_since(text).is_err(), "{text}");
        }
        assert!(parse_since("36600d").is_ok());
        for text in ["36601d", "100000d", "99999999999d"] {
            assert_eq!(parse_since(text).unwrap_err().to_string(), "0d to 36600d are possible", "{text}");
        }
    }

    #[test]
    fn modes_are_octal_and_read_only() {
        assert_eq!(parse_mode("0440"), Ok(0o440));
        assert_eq!(parse_mode("0o555"), Ok(0o555));
        for text in ["0644", "1777", "9", "", "rw"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_sizes_round_trip(number in 0_u64..1 << 22, unit in 0_usize..SIZES.len()) {
            let (name, factor) = SIZES[unit];
            prop_assert_eq!(parse_size(&format!("{number}{name}")), Ok(number * factor));
        }

        #[test]
        fn any_text_is_an_answer_or_an_error(text in ".{0,40}") {
            let _ = parse_size(&text);
            let _ = parse_duration(&text);
            let _ = parse_since(&text);
            let _ = parse_mode(&text);
        }
    }
}
