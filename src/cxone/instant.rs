//! Instants as the tenant writes and reads them: ISO-8601 in UTC with a literal `Z`, and every other spelling seen.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cxone::lenient;

/// Numbers since 1970 up to this are seconds, up to a thousand times as many milliseconds, and so on to nanoseconds. Seconds up to it reach
/// to the year 2100; each unit begins where the one below it ends, in 1970.
const EPOCH_SECONDS_MAX: i64 = 4_102_444_800;
/// A number that means an earlier time (1990) is another field's value, or an id.
const EPOCH_SECONDS_MIN: i64 = 631_152_000;
/// Digits of a fraction that are read; the rest is below a nanosecond.
const FRACTION_DIGITS_MAX: usize = 9;

/// Reads a text: ISO-8601 with `Z`, with an offset, or without a zone (then UTC), with `T` or a space between and any number of digits in
/// the fraction; the American form `11/2/2026 8:09:00 AM`, with or without time, seconds and AM or PM; `/Date(1793606940000)/`; and the
/// form of mail headers.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    iso(text).or_else(|| dotnet(text)).or_else(|| american(text)).or_else(|| mail(text))
}

/// Reads a text as [`parse`] does, or a number (also as text) as time since 1970: seconds, milliseconds, microseconds or nanoseconds,
/// by its size.
pub(super) fn read(value: &Value) -> Option<Timestamp> {
    if let Value::String(text) = value
        && let Some(instant) = parse(text)
    {
        return Some(instant);
    }
    lenient::float(value).and_then(|_| epoch(value))
}

fn epoch(value: &Value) -> Option<Timestamp> {
    // A fraction of a unit is dropped.
    let number = lenient::integer(value).or_else(|| lenient::float(value).map(|float| float as i64))?;
    let (mut nanoseconds_each, mut limit) = (1_000_000_000_i128, i128::from(EPOCH_SECONDS_MAX));
    while i128::from(number) > limit && nanoseconds_each > 1 {
        nanoseconds_each /= 1000;
        limit *= 1000;
    }
    let instant = Timestamp::from_nanosecond(i128::from(number) * nanoseconds_each).ok()?;
    (EPOCH_SECONDS_MIN..=EPOCH_SECONDS_MAX).contains(&instant.as_second()).then_some(instant)
}

fn iso(text: &str) -> Option<Timestamp> {
    let short = short_fraction(text);
    let text = short.as_deref().unwrap_or(text);
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    in_utc(text.parse().ok()?)
}

/// The text with no more digits of a fraction than can be read, where it has more.
fn short_fraction(text: &str) -> Option<String> {
    let (before, fraction) = text.split_once('.')?;
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    (digits > FRACTION_DIGITS_MAX)
        .then(|| format!("{before}.{}{}", &fraction[..FRACTION_DIGITS_MAX], &fraction[digits..]))
}

/// `/Date(ms)/`, also with an offset behind the number, which changes nothing: the number is UTC.
fn dotnet(text: &str) -> Option<Timestamp> {
    let inner = text.replace('\\', "");
    let inner = inner.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let digits = inner.get(1..).and_then(|rest| rest.find(['+', '-'])).map_or(inner, |at| &inner[..=at]);
    Timestamp::from_millisecond(digits.parse().ok()?).ok()
}

/// `month/day/year`, then perhaps a time. Where the first number can be no month, it is the day.
fn american(text: &str) -> Option<Timestamp> {
    let mut words = text.split_whitespace();
    let mut parts = words.next()?.split('/').map(|part| part.parse::<i16>().ok());
    let (one, two, year) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() {
        return None;
    }
    let (month, day) = if one > 12 { (two, one) } else { (one, two) };
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let Some(clock) = words.next() else { return in_utc(date.to_datetime(Time::midnight())) };
    let lower = clock.to_ascii_lowercase();
    let (clock, glued) = match lower.strip_suffix("am").map(|clock| (clock, "am")) {
        Some((clock, half)) => (clock, Some(half)),
        None => lower.strip_suffix("pm").map_or((lower.as_str(), None), |clock| (clock, Some("pm"))),
    };
    let clock = clock.strip_suffix('z').unwrap_or(clock);
    let half = match (glued, words.next()) {
        (Some(half), None) => Some(half.to_owned()),
        (None, Some(word)) => Some(word.to_ascii_lowercase()),
        (None, None) => None,
        (Some(_), Some(_)) => return None,
    };
    if words.next().is_some() {
        return None;
    }
    let time = clock_time(clock, half.as_deref())?;
    in_utc(date.to_datetime(time))
}

/// `h:mm` or `h:mm:ss` with or without a fraction, in 24 hours or in two halves.
fn clock_time(clock: &str, half: Option<&str>) -> Option<Time> {
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hour = match half {
        None | Some("utc" | "gmt" | "z") => hour,
        Some("am") if (1..=12).contains(&hour) => hour % 12,
        Some("pm") if (1..=12).contains(&hour) => hour % 12 + 12,
        Some(_) => return None,
    };
    let digits: String = fraction.chars().chain("000000000".chars()).take(FRACTION_DIGITS_MAX).collect();
    Time::new(hour, minute, second, digits.parse().ok()?).ok()
}

fn mail(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

fn in_utc(civil: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// The form that the tenant honours: UTC, milliseconds (the fraction below is cut), a literal `Z`.
pub(super) fn format(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The last millisecond before `end`: the tenant's `endDate` includes its own instant.
pub(super) fn last_before(end: Timestamp) -> Timestamp {
    let before = end.as_nanosecond().saturating_sub(1).div_euclid(1_000_000);
    i64::try_from(before).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok()).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_spelling_names_the_same_instant() {
        let expected: Timestamp = "2026-11-02T08:59:31Z".parse().unwrap();
        for text in [
            "2026-11-02T08:59:31Z",
            "2026-11-02T08:59:31.0Z",
            "2026-11-02T08:59:31.0000000Z",
            "2026-11-02T08:59:31",
            "2026-11-02 08:59:31",
            " 2026-11-02T08:59:31.000 ",
            "2026-11-02T03:59:31-05:00",
            "2026-11-02T14:29:31.000+05:30",
            "2026-11-02T08:59:31+0000",
            "2026-11-02T08:59:31+00:00",
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(parse("2026-11-02T08:59:31.4431234Z").unwrap().subsec_nanosecond(), 443_123_400);
        assert_eq!(parse("2026-11-02").unwrap().to_string(), "2026-11-02T00:00:00Z");
        for nonsense in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "9999999999",
            "13/13/2026",
            "2/30/2026",
            "11/2/2026 13:00 PM",
            "11/2/2026 0:09 AM",
            "11/2/2026 8",
            "11/2/2026 8:09 AM x",
            "11/2/2026/1",
            "/Date()/",
            "/Date(x)/",
            "/Date(1",
        ] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn american_dates_and_those_of_dotnet_and_of_mails_are_dates() {
        let morning: Timestamp = "2026-11-02T08:09:00Z".parse().unwrap();
        for text in [
            "11/2/2026 8:09:00 AM",
            "11/02/2026 08:09:00 am",
            "11/02/2026 08:09",
            "11/2/2026 8:09AM",
            "11/2/2026  8:09:00.000",
            "11/2/2026 8:09:00 UTC",
            "/Date(1793606940000)/",
            "/Date(1793606940000+0000)/",
            "/Date(1793606940000-0500)/",
            "\\/Date(1793606940000)\\/",
            "Mon, 02 Nov 2026 08:09:00 GMT",
            "2026-11-02T08:09:00.000000000000Z",
        ] {
            assert_eq!(parse(text), Some(morning), "{text}");
        }
        for (text, instant) in [
            ("11/2/2026 8:09:00.5 PM", "2026-11-02T20:09:00.5Z"),
            ("11/2/2026 12:30:00 AM", "2026-11-02T00:30:00Z"),
            ("11/2/2026 12:30:00 PM", "2026-11-02T12:30:00Z"),
            ("11/2/2026", "2026-11-02T00:00:00Z"),
            ("30/11/2026 23:59:59", "2026-11-30T23:59:59Z"),
        ] {
            assert_eq!(parse(text), instant.parse().ok(), "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds() {
        let expected: Timestamp = "2026-11-02T08:59:31Z".parse().unwrap();
        let seconds = expected.as_second();
        assert_eq!(read(&json!(seconds)), Some(expected));
        assert_eq!(read(&json!(seconds * 1000)), Some(expected));
        assert_eq!(read(&json!((seconds * 1000).to_string())), Some(expected));
        assert_eq!(read(&json!(seconds * 1_000_000)), Some(expected));
        assert_eq!(read(&json!(seconds * 1_000_000_000)), Some(expected));
        assert_eq!(read(&json!(seconds as f64 + 0.25)), Some(expected));
        assert_eq!(read(&json!("1.793606940E+12")), "2026-11-02T08:09:00Z".parse().ok());
        for other in [json!(null), json!(i64::MAX), json!(0), json!(1), json!(8_812_345), json!(-1), json!(true)] {
            assert_eq!(read(&other), None, "{other}");
        }
    }

    #[test]
    fn an_inclusive_end_does_not_overlap_the_next_window() {
        let end: Timestamp = "2026-11-03T00:00:00Z".parse().unwrap();
        assert_eq!(format(last_before(end)), "2026-11-02T23:59:59.999Z");
        let odd: Timestamp = "2026-11-03T00:00:00.0005Z".parse().unwrap();
        assert_eq!(format(last_before(odd)), "2026-11-03T00:00:00.000Z");
        assert_eq!(format(end), "2026-11-03T00:00:00.000Z");
    }
}
