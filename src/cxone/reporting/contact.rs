//! One record of `contacts/completed`, in either naming set or a mix of both, into our words.
//!
//! Two generations of field names are in use and no version number tells which, in any case of letters; values come as numbers or as text,
//! and a missing one as null or as an empty text. Reading fails only where a record has no id or no start.

use serde_json::{Map, Value};

use crate::base::{AgentId, Channel, ContactId, MasterId};
use crate::cxone::instant;
use crate::cxone::lenient;
use crate::cxone::model::ContactRecord;
use crate::cxone::reporting::shape::Shapes;
use crate::cxone::text;

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

/// Fields with texts that are used here.
const TEXTS: [&str; 6] =
    ["contactStartDate", "lastUpdateTime", "firstName", "lastName", "mediaTypeName", "mediaSubTypeName"];

/// Keys of an unreadable record that are told, and bytes of each.
const KEYS_TOLD_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 64;

/// A record without what it needs. Tells its keys, never its values: these are people's data.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cxone) struct Unreadable {
    pub why: &'static str,
    pub keys: Vec<String>,
}

/// Reads one record; `shapes` are those of its page.
pub(in crate::cxone) fn read(record: Value, shapes: &mut Shapes) -> Result<ContactRecord, Unreadable> {
    let Value::Object(mut json) = record else { return Err(Unreadable { why: "not an object", keys: Vec::new() }) };
    normalise(&mut json);
    let id = |name: &str| json.get(name).and_then(lenient::integer).filter(|id| *id > 0);
    let Some(contact_id) = id("contactId") else { return Err(unreadable("no contactId", &json)) };
    let Some(start) = json.get("contactStartDate").and_then(instant::read) else {
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
        last_update: json.get("lastUpdateTime").and_then(instant::read),
        json: text,
    })
}

/// Puts the current names beside old ones, and gives values under current names their types. Old names keep what was sent.
fn normalise(json: &mut Map<String, Value>) {
    add_spelled(json);
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
    add_media_type(json);
}

/// Puts names as they are documented beside those that differ from them in the case of their letters.
fn add_spelled(json: &mut Map<String, Value>) {
    if json.contains_key("contactId") && (json.contains_key("contactStartDate") || json.contains_key("contactStart")) {
        // The usual tenant: what every record has is spelled as documented.
        return;
    }
    let old = RENAMED.iter().map(|(old, _)| *old);
    for name in NUMBERS.into_iter().chain(BOOLEANS).chain(TEXTS).chain(old) {
        if !json.contains_key(name)
            && let Some(value) = lenient::find(json, &[name]).cloned()
        {
            json.insert(name.to_owned(), value);
        }
    }
}

fn add_current(json: &mut Map<String, Value>, renamed: &[(&str, &str)]) {
    for (old, current) in renamed {
        if json.get(*current).is_some_and(|value| !lenient::is_blank(value)) {
            continue;
        }
        let Some(value) = json.get(*old).filter(|value| !lenient::is_blank(value)).cloned() else { continue };
        // `mediaType` may hold a name; under `mediaTypeId` it would be a lie.
        if *current == "mediaTypeId" && lenient::integer(&value).is_none() {
            continue;
        }
        json.insert((*current).to_owned(), value);
    }
}

/// Puts a media type's number beside its name where there is no number.
fn add_media_type(json: &mut Map<String, Value>) {
    if json.get("mediaTypeId").and_then(lenient::integer).is_some_and(|id| id > 0) {
        return;
    }
    let named = ["mediaTypeName", "mediaType", "mediaTypeId"]
        .into_iter()
        .filter_map(|name| json.get(name)?.as_str())
        .find_map(Channel::from_media_type_name);
    if let Some(channel) = named {
        json.insert("mediaTypeId".to_owned(), channel.media_type_id().into());
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
        assert_eq!((record.duration_s, record.media_type_id, record.is_outbound), (0.0, 4, false));
        assert_eq!(record.last_update, None);
    }

    #[test]
    fn every_way_of_saying_a_call_of_that_morning_is_one() {
        let odd = [
            json!({}),
            json!({"mediaTypeId": null}),
            json!({"mediaTypeId": null, "mediaType": "Call"}),
            json!({"mediaTypeId": 0, "mediaTypeName": "Phone Call"}),
            json!({"mediaTypeId": "", "mediaTypeName": "", "mediaType": "4"}),
            json!({"mediaTypeId": "4", "isOutbound": "False"}),
            json!({"contactStartDate": "2026-11-02T08:09:00.0000000Z"}),
            json!({"contactStartDate": "11/2/2026 8:09:00 AM"}),
            json!({"contactStartDate": "/Date(1793606940000)/"}),
            json!({"contactStartDate": 1_793_606_940_000_i64}),
            json!({"contactStartDate": "1793606940"}),
            json!({"contactStartDate": "", "contactStart": "2026-11-02 08:09:00"}),
            json!({"masterContactId": 0}),
            json!({"masterContactId": null}),
            json!({"masterContactId": ""}),
            json!({"contactId": "7.01000000007E+11", "masterContactId": null}),
            json!({"contactId": 701_000_000_007.0, "masterContactId": "0"}),
        ];
        for odd in odd {
            let mut row = json!({"contactId": 701_000_000_007_i64, "masterContactId": 701_000_000_007_i64,
                "contactStartDate": "2026-11-02T08:09:00.000Z", "mediaTypeId": 4, "mediaTypeName": "Call"});
            for (key, value) in odd.as_object().unwrap() {
                row[key] = value.clone();
            }
            let record = read(row).unwrap();
            assert_eq!(record.start.to_string(), "2026-11-02T08:09:00Z", "{odd}");
            assert_eq!((record.media_type_id, record.is_outbound), (4, false), "{odd}");
            assert_eq!((record.contact_id.0, record.master_id.0), (701_000_000_007, 701_000_000_007), "{odd}");
            assert_eq!(record.json.map()["mediaTypeId"], 4, "{odd}");
        }
    }

    #[test]
    fn nobody_is_nobody_however_it_is_written() {
        for agent in [json!(0), json!(null), json!(-1), json!(""), json!("0"), json!("-1"), json!("none")] {
            let row = json!({"contactId": 1, "contactStart": "2026-11-02T08:09:00Z", "agentId": agent, "totalDurationSeconds": -5});
            let record = read(row).unwrap();
            assert_eq!((record.agent_id, record.duration_s), (AgentId::NONE, 0.0), "{agent}");
        }
    }

    #[test]
    fn names_in_another_case_are_read_and_the_present_ones_stand_beside_them() {
        let row = json!({"ContactID": "5", "MasterContactId": 4, "ContactStart": "2026-11-02T08:09:00Z", "AgentID": 7,
            "FirstName": "Rosa", "MediaTypeName": "Call", "IsOutbound": "true", "LastUpdateTime": "11/2/2026 9:00:00 AM"});
        let record = read(row).unwrap();
        assert_eq!((record.contact_id, record.master_id, record.agent_id), (ContactId(5), MasterId(4), AgentId(7)));
        assert_eq!((record.first_name.as_deref(), record.media_type_id, record.is_outbound), (Some("Rosa"), 4, true));
        assert_eq!(record.last_update.unwrap().to_string(), "2026-11-02T09:00:00Z");
        assert_eq!(record.json.map()["contactId"], 5);
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
