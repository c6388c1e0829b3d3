//! Instants as the tenant writes and reads them: ISO-8601 in UTC with a literal `Z`, and every other spelling seen.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::lenient;

/// Epoch numbers above this are milliseconds, below it seconds (the bound is the year 5138 in seconds, 1973 in milliseconds).
const EPOCH_SECONDS_MAX: i64 = 100_000_000_000;

/// Reads a text: with `Z`, with an offset, or without a zone (then UTC); `T` or a space between; up to nine digits of fraction.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let civil: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// Reads a text as [`parse`] does, or a number as seconds or milliseconds since 1970.
pub(super) fn read(value: &Value) -> Option<Timestamp> {
    if let Value::String(text) = value
        && let Some(instant) = parse(text)
    {
        return Some(instant);
    }
    let number = lenient::integer(value)?;
    if number.abs() > EPOCH_SECONDS_MAX {
        Timestamp::from_millisecond(number).ok()
    } else {
        Timestamp::from_second(number).ok()
    }
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
        for nonsense in ["", "yesterday", "2026-13-01T00:00:00Z", "11/02/2026 08:59", "9999999999"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds() {
        let expected: Timestamp = "2026-11-02T08:59:31Z".parse().unwrap();
        let seconds = expected.as_second();
        assert_eq!(read(&json!(seconds)), Some(expected));
        assert_eq!(read(&json!(seconds * 1000)), Some(expected));
        assert_eq!(read(&json!((seconds * 1000).to_string())), Some(expected));
        assert_eq!(read(&json!(null)), None);
        assert_eq!(read(&json!(i64::MAX)), None);
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
