//! How Reporting reads and writes times.

use super::mix::{below, in_share, mix};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// Reads a date parameter: ISO-8601, `YYYY-MM-DD` or `MM/DD/YYYY HH:MM`, all as UTC. Like the real one it does **not** honour
/// offsets: only a literal `Z` is understood, and `+02:00` is dropped without a word.
pub(super) fn read_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    if let Ok(time) = strtime::parse("%m/%d/%Y %H:%M", text).and_then(|parsed| parsed.to_datetime()) {
        return utc(time);
    }
    if let Some((date, time)) = text.split_once(['T', ' ', 't']) {
        let clock = time.split(['Z', 'z', '+', '-']).next().unwrap_or_default();
        return utc(format!("{date}T{clock}").parse().ok()?);
    }
    utc(text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight()))
}

/// Writes a time as Reporting does: UTC, milliseconds, `Z`.
pub(super) fn write_date(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A form in which some records carry their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateForm {
    Usual,
    SevenDecimals,
    /// To the second.
    American,
    EpochMs,
}

/// Writes a time in a form.
pub(super) fn write_date_as(form: DateForm, time: Timestamp) -> String {
    match form {
        DateForm::Usual => write_date(time),
        DateForm::SevenDecimals => time.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string(),
        DateForm::American => time.strftime("%-m/%-d/%Y %-I:%M:%S %p").to_string(),
        DateForm::EpochMs => format!("/Date({})/", time.as_millisecond()),
    }
}

/// The `Date` header's form (RFC 9110).
pub(super) fn http_date(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// `X-Amz-Date`'s form.
pub(super) fn amz_date(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Reads [`amz_date`].
pub(super) fn read_amz_date(text: &str) -> Option<Timestamp> {
    let parsed = strtime::parse("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(parsed.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// In which form a leg's record has its times.
pub(super) fn date_form(word: u64, odd_dates: u32) -> DateForm {
    if !in_share(mix(&[word, 12]), odd_dates) {
        return DateForm::Usual;
    }
    match below(mix(&[word, 13]), 3) {
        0 => DateForm::SevenDecimals,
        1 => DateForm::American,
        _ => DateForm::EpochMs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_not_honoured() {
        let read = |text| read_date(text).map(write_date);
        let eight = Some(String::from("2026-11-02T08:00:00.000Z"));
        assert_eq!(read("2026-11-02T08:00:00Z"), eight);
        assert_eq!(read("2026-11-02T08:00:00.000Z"), eight);
        assert_eq!(read("2026-11-02T08:00:00+02:00"), eight);
        assert_eq!(read("2026-11-02T08:00:00-05:00"), eight);
        assert_eq!(read("2026-11-02T08:00"), eight);
        assert_eq!(read("11/02/2026 08:00"), eight);
        assert_eq!(read("2026-11-02"), Some(String::from("2026-11-02T00:00:00.000Z")));
        assert_eq!(read("2026-11-02T08:00:00.443Z"), Some(String::from("2026-11-02T08:00:00.443Z")));
        assert_eq!(read("yesterday"), None);
        assert_eq!(read("2026-13-02T08:00:00Z"), None);
    }

    #[test]
    fn records_have_forms_of_their_own() {
        let time = read_date("2026-11-02T08:09:00.443Z").unwrap();
        let forms = [DateForm::Usual, DateForm::SevenDecimals, DateForm::American, DateForm::EpochMs];
        let written = forms.map(|form| write_date_as(form, time));
        let expected = [
            "2026-11-02T08:09:00.443Z",
            "2026-11-02T08:09:00.4430000Z",
            "11/2/2026 8:09:00 AM",
            "/Date(1793606940443)/",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn other_forms() {
        let time = read_date("2026-11-02T08:00:00Z").unwrap();
        assert_eq!(http_date(time), "Mon, 02 Nov 2026 08:00:00 GMT");
        assert_eq!(amz_date(time), "20261102T080000Z");
        assert_eq!(read_amz_date(&amz_date(time)), Some(time));
    }
}
