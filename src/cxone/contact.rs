//! One record of `contacts/completed`, in either naming set or a mix of both, into our words.
//!
//! Two generations of field names are in use and no version number tells which; values come as numbers or as text. Reading
//! fails only where a record has no id or no start.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::model::ContactRecord;
use super::shape::Shapes;
use super::{instant, lenient, text};
use crate::base::{AgentId, ContactId, MasterId};

/// Old names and the current ones.
const RENAMED: [(&str, &str); 6] = [
    ("contactStart", "contactStartDate"),
    ("fromAddr", "fromAddress"),
    ("toAddr", "toAddress"),
    ("mediaType", "mediaTypeId"),
    ("ACWSeconds", "acwSeconds"),
    ("confSeconds", "conferenceSeconds"),
];
/// The same for an element of `tags`.
const RENAMED_IN_TAGS: [(&str, &str); 2] = [("TagId", "tagId"), ("TagName", "tagName")];

/// Fields that are numbers by the current schema.
const NUMBERS: [&str; 29] = [
    "contactId",
    "masterContactId",
    "agentId",
    "teamId",
    "skillId",
    "campaignId",
    "pointOfContactId",
    "divisionNo",
    "totalDurationSeconds",
    "agentSeconds",
    "acwSeconds",
    "holdSeconds",
    "holdCount",
    "inQueueSeconds",
    "preQueueSeconds",
    "postQueueSeconds",
    "releaseSeconds",
    "conferenceSeconds",
    "abandonSeconds",
    "callbackTime",
    "routingTime",
    "mediaTypeId",
    "mediaSubTypeId",
    "primaryDispositionId",
    "secondaryDispositionId",
    "refuseTime",
    "transferIndicatorId",
    "highProficiency",
    "lowProficiency",
];

/// Fields that are booleans by the current schema.
const BOOLEANS: [&str; 7] =
    ["isOutbound", "abandoned", "isShortAbandon", "isRefused", "isTakeover", "isLogged", "isAnalyticsProcessed"];

/// Keys of an unreadable record that are told, and bytes of each.
const KEYS_TOLD_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 64;

/// A record without what it needs. Tells its keys, never its values: these are people's data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unreadable {
    pub why: &'static str,
    pub keys: Vec<String>,
}

/// Reads one record; `shapes` are those of its page.
pub(super) fn read(record: Value, shapes: &mut Shapes) -> Result<ContactRecord, Unreadable> {
    let Value::Object(mut json) = record else { return Err(Unreadable { why: "not an object", keys: Vec::new() }) };
    normalise(&mut json);
    let id = |name: &str| json.get(name).and_then(lenient::integer).filter(|id| *id > 0);
    let Some(contact_id) = id("contactId") else { return Err(unreadable("no contactId", &json)) };
    let Some(start) = json.get("contactStartDate").and_then(time) else {
        return Err(unreadable("no contactStartDate or contactStart", &json));
    };
    let Ok(text) = shapes.split(&json) else { return Err(unreadable("what no text can hold", &json)) };
    let words = |name: &str| json.get(name).and_then(lenient::text);
    let duration = json.get("totalDurationSeconds").and_then(lenient::float);
    Ok(ContactRecord {
        contact_id: ContactId(contact_id),
        master_id: MasterId(id("masterContactId").unwrap_or(contact_id)),
        agent_id: id("agentId").map_or(AgentId::NONE, AgentId),
        first_name: words("firstName"),
        last_name: words("lastName"),
        start,
        duration_s: duration.filter(|seconds| *seconds >= 0.0).unwrap_or(0.0),
        media_type_id: json.get("mediaTypeId").and_then(lenient::integer).unwrap_or(0),
        is_outbound: json.get("isOutbound").and_then(lenient::boolean).unwrap_or(false),
        last_update: json.get("lastUpdateTime").and_then(time),
        json: text,
    })
}

/// Only texts: a number would be some other field's value, shifted.
fn time(value: &Value) -> Option<Timestamp> {
    instant::parse(value.as_str()?)
}

/// Puts the current names beside old ones, and gives values under current names their types. Old names keep what was sent.
fn normalise(json: &mut Map<String, Value>) {
    add_current(json, &RENAMED);
    if let Some(Value::Array(tags)) = json.get_mut("tags") {
        for tag in tags.iter_mut().filter_map(Value::as_object_mut) {
            add_current(tag, &RENAMED_IN_TAGS);
        }
    }
    for name in NUMBERS {
        if let Some(value) = json.get_mut(name)
            && value.is_string()
            && let Some(number) = lenient::number(value)
        {
            *value = Value::Number(number);
        }
    }
    for name in BOOLEANS {
        if let Some(value) = json.get_mut(name)
            && let Some(flag) = lenient::boolean(value)
        {
            *value = Value::Bool(flag);
        }
    }
}

fn add_current(json: &mut Map<String, Value>, renamed: &[(&str, &str)]) {
    for (old, current) in renamed {
        if json.get(*current).is_some_and(|value| !value.is_null()) {
            continue;
        }
        let Some(value) = json.get(*old).filter(|value| !value.is_null()).cloned() else { continue };
        // `mediaType` is a name in other APIs; under `mediaTypeId` it would be a lie.
        if *current == "mediaTypeId" && lenient::integer(&value).is_none() {
            continue;
        }
        json.insert((*current).to_owned(), value);
    }
}

fn unreadable(why: &'static str, json: &Map<String, Value>) -> Unreadable {
    let keys = json.keys().take(KEYS_TOLD_MAX).map(|key| text::safe(text::cut(key, KEY_BYTES_MAX))).collect();
    Unreadable { why, keys }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cxone::RecordJson;

    fn read(record: Value) -> Result<ContactRecord, Unreadable> {
        super::read(record, &mut Shapes::default())
    }

    /// All but the record itself.
    fn facts(record: &ContactRecord) -> ContactRecord {
        ContactRecord { json: RecordJson::of(&Map::new()).unwrap(), ..record.clone() }
    }

    fn current() -> Value {
        json!({"contactId": 701_000_000_123_i64, "masterContactId": 701_000_000_122_i64,
            "contactStartDate": "2026-11-02T08:59:31.443Z", "totalDurationSeconds": 312.4, "agentId": 8_812_345,
            "firstName": "Rosa", "lastName": "Keller", "mediaTypeId": 4, "mediaSubTypeId": null, "isOutbound": false,
            "fromAddress": "4930555010", "toAddress": "4930555099", "acwSeconds": 1234.5, "conferenceSeconds": 3,
            "lastUpdateTime": "2026-11-02T09:06:02.010Z", "tags": [{"tagId": 1, "tagName": "vip"}]})
    }

    fn old() -> Value {
        json!({"contactId": "701000000123", "masterContactId": "701000000122",
            "contactStart": "2026-11-02T08:59:31.443Z", "totalDurationSeconds": "312.4", "agentId": "8812345",
            "firstName": "Rosa", "lastName": "Keller", "mediaType": "4", "mediaSubTypeId": null, "isOutbound": "False",
            "fromAddr": "4930555010", "toAddr": "4930555099", "ACWSeconds": "1,234.5", "confSeconds": 3,
            "lastUpdateTime": "2026-11-02T09:06:02.010Z", "tags": [{"TagId": 1, "TagName": "vip"}]})
    }

    #[test]
    fn both_naming_sets_say_the_same() {
        let (one, other) = (read(current()).unwrap(), read(old()).unwrap());
        assert_eq!(one.contact_id, ContactId(701_000_000_123));
        assert_eq!(one.master_id, MasterId(701_000_000_122));
        assert_eq!(one.agent_id, AgentId(8_812_345));
        assert_eq!(one.start.to_string(), "2026-11-02T08:59:31.443Z");
        assert!((one.duration_s - 312.4).abs() < 1e-9);
        assert_eq!((one.media_type_id, one.is_outbound), (4, false));
        assert_eq!(facts(&one), facts(&other));
        let other = other.json.map();
        for (key, value) in &one.json.map() {
            if key != "tags" {
                assert_eq!(other.get(key), Some(value), "{key}");
            }
        }
        assert_eq!(other["tags"][0]["tagName"], "vip");
        assert_eq!(other["ACWSeconds"], "1,234.5", "old names keep what was sent");
    }

    #[test]
    fn gaps_are_filled_and_nonsense_is_not_believed() {
        let record =
            read(json!({"contactId": 5, "contactStart": "2026-11-02 08:59:31", "agentId": -1, "masterContactId": null,
            "firstName": " ", "totalDurationSeconds": "-3", "mediaType": "Call", "isOutbound": null}))
            .unwrap();
        assert_eq!(record.master_id, MasterId(5));
        assert_eq!(record.agent_id, AgentId::NONE);
        assert_eq!(record.first_name, None);
        assert_eq!((record.duration_s, record.media_type_id, record.is_outbound), (0.0, 0, false));
        assert!(!record.json.map().contains_key("mediaTypeId"));
        assert_eq!(record.last_update, None);
    }

    #[test]
    fn an_unreadable_record_tells_its_keys_only() {
        let error = read(json!({"contactId": 5, "firstName": "Rosa", "contactStartDate": null})).unwrap_err();
        assert_eq!(error.keys, ["contactId", "firstName", "contactStartDate"]);
        assert!(!format!("{error:?}").contains("Rosa"));
        assert_eq!(read(json!({"contactStart": "2026-11-02T08:59:31Z"})).unwrap_err().why, "no contactId");
        assert_eq!(read(json!([1])).unwrap_err().why, "not an object");
    }

    proptest! {
        #[test]
        fn any_mix_of_the_naming_sets_reads_the_same(picks in proptest::collection::vec(any::<bool>(), RENAMED.len())) {
            let (current, old) = (current(), old());
            let mut mixed = current.clone();
            for ((old_name, current_name), pick) in RENAMED.iter().zip(picks) {
                if pick {
                    let object = mixed.as_object_mut().unwrap();
                    object.remove(*current_name);
                    object.insert((*old_name).to_owned(), old[*old_name].clone());
                }
            }
            let (one, other) = (read(current).unwrap(), read(mixed).unwrap());
            prop_assert_eq!(facts(&one), facts(&other));
            let other = other.json.map();
            for (key, value) in &one.json.map() {
                prop_assert_eq!(other.get(key), Some(value), "{}", key);
            }
        }
    }
}
