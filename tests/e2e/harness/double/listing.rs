//! `contacts/completed` of a case.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::case::{Case, ListMode};

/// Contacts that the whole case is about at most; also the default page.
const TOP_MAX: usize = 10_000;

/// Reads a time in any of the forms that records carry. No code of the product may be used for this.
pub fn read_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(ms) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        return Timestamp::from_millisecond(ms.parse().ok()?).ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    for form in ["%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M"] {
        if let Ok(time) = strtime::parse(form, text).and_then(|parsed| parsed.to_datetime()) {
            return utc(time);
        }
    }
    utc(text.trim_end_matches(['Z', 'z']).parse().ok()?)
}

fn time_of(record: &Map<String, Value>, names: &[&str]) -> Option<Timestamp> {
    match names.iter().find_map(|name| record.get(*name))? {
        Value::String(text) => read_time(text),
        Value::Number(ms) => Timestamp::from_millisecond(ms.as_i64()?).ok(),
        _ => None,
    }
}

fn start_of(record: &Map<String, Value>) -> Option<Timestamp> {
    time_of(record, &["contactStartDate", "contactStart"])
}

fn end_of(record: &Map<String, Value>) -> Option<Timestamp> {
    let seconds = match record.get("totalDurationSeconds") {
        Some(Value::Number(number)) => number.as_f64().unwrap_or(0.0),
        Some(Value::String(text)) => text.replace(',', "").parse().unwrap_or(0.0),
        _ => 0.0,
    };
    start_of(record)?.checked_add(std::time::Duration::from_secs_f64(seconds.max(0.0))).ok()
}

/// What a request asks for.
pub struct Wanted {
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub updated_since: Option<Timestamp>,
    pub skip: usize,
    pub top: usize,
}

impl Wanted {
    /// Reads the decoded query.
    pub fn of(query: &[(String, String)]) -> Wanted {
        let value = |name: &str| {
            query
                .iter()
                .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty())
                .map(|(_, value)| value)
        };
        let time = |name| value(name).and_then(|text| read_time(text));
        let number = |name, default| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        Wanted {
            start: time("startDate"),
            end: time("endDate"),
            updated_since: time("updatedSince"),
            skip: number("skip", 0),
            top: number("top", TOP_MAX),
        }
    }

    /// Length of the window, if it has two ends.
    fn hours(&self) -> Option<f64> {
        Some(self.end?.duration_since(self.start?).as_secs_f64() / 3600.0)
    }
}

/// What comes of a request.
pub enum Page {
    /// 204.
    Empty,
    /// The window is too long.
    Refused,
    Rows(Value),
}

/// One page. `here` is the request's own address without `skip`, for `_links.next`.
pub fn page(case: &Case, wanted: &Wanted, here: &str) -> Page {
    let list = &case.list;
    if list.window_max_hours.zip(wanted.hours()).is_some_and(|(most, asked)| asked > most + 0.01) {
        return Page::Refused;
    }
    let rows: Vec<&Map<String, Value>> =
        case.records.iter().filter(|record| is_asked_for(record, wanted, list.mode)).collect();
    let top = wanted.top.min(list.page_max.unwrap_or(TOP_MAX)).min(TOP_MAX);
    let shown: Vec<&Map<String, Value>> = rows.iter().skip(wanted.skip).take(top).copied().collect();
    if shown.is_empty() {
        return Page::Empty;
    }
    let reached = wanted.skip + shown.len();
    let total = if list.mode == ListMode::TotalIsPage { shown.len() } else { rows.len() } as u64;
    let total = list.total_cap.map_or(total, |cap| total.min(cap));
    let next = match (reached < rows.len(), list.next_empty) {
        (true, _) => json!(format!("{here}&skip={reached}&top={}", wanted.top)),
        (false, true) => json!(""),
        (false, false) => Value::Null,
    };
    let strings = list.mode == ListMode::ResultSet;
    let mut envelope = Map::new();
    envelope.insert("businessUnitId".into(), if strings { json!("9999999") } else { json!(9_999_999) });
    envelope.insert("lastPollTime".into(), json!("2026-11-03T09:00:00.000Z"));
    envelope.insert("totalRecords".into(), json!(total));
    envelope.insert("_links".into(), json!({"self": here, "next": next, "previous": null}));
    envelope.insert("completedContacts".into(), json!(shown));
    envelope.retain(|key, _| !list.drop.contains(key));
    Page::Rows(if strings { json!({"resultSet": envelope}) } else { Value::Object(envelope) })
}

fn is_asked_for(record: &Map<String, Value>, wanted: &Wanted, mode: ListMode) -> bool {
    let at = if mode == ListMode::ByEnd { end_of(record) } else { start_of(record) };
    // A record whose time cannot be read belongs to every window.
    let Some(at) = at else { return true };
    let changed = time_of(record, &["lastUpdateTime"]);
    wanted.start.is_none_or(|start| start <= at)
        && wanted.end.is_none_or(|end| at <= end)
        && wanted.updated_since.zip(changed).is_none_or(|(since, changed)| since <= changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let expected: Timestamp = "2026-11-02T08:09:00Z".parse().unwrap();
        for text in ["2026-11-02T08:09:00.000Z", "2026-11-02T08:09:00", "11/2/2026 8:09:00 AM", "/Date(1793606940000)/"]
        {
            assert_eq!(read_time(text), Some(expected), "{text}");
        }
        assert_eq!(read_time("yesterday"), None);
    }
}
