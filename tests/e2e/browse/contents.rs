//! Every file of ten interactions is byte-equal to what the tenant says it is, and the listing is exact once they are opened.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Drive, Place, assert_same_bytes, recording_name, regular, true_bytes};

#[test]
fn every_file_of_ten_interactions_is_what_the_tenant_says() {
    // Records are compared word for word.
    let drive = Drive::of(regular(8, 200));
    let reported = drive.tenant.reported();
    for place in ten_places(&drive) {
        let folder = drive.at(&place.path);
        let truth = drive.tree.truth(place.master);
        assert_contact_json(&folder.join("contact.json"), &records(&reported, &place.contacts));
        if !truth.known {
            let refused = std::fs::read(folder.join("metadata.json")).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::ENOENT), "{}", place.path.display());
            assert_eq!(names_in(&folder), drive.tree.exact(place.master), "{}", place.path.display());
            continue;
        }
        let played = drive.tenant.played(place.master);
        let metadata = std::fs::read(folder.join("metadata.json")).unwrap();
        assert_eq!(names_in(&folder), drive.tree.exact(place.master), "{}", place.path.display());
        assert_same_bytes(&metadata, &pretty(&without_links(document(&played).clone())), &folder.join("metadata.json"));
        for (index, media) in truth.media.iter().enumerate() {
            let path = folder.join(recording_name(index));
            let expected = true_bytes(&drive.tenant, place.master, media.number);
            assert_same_bytes(&std::fs::read(&path).unwrap(), &expected, &path);
        }
        assert_texts(&folder, &played);
    }
}

/// Ten of various kinds, always the same.
fn ten_places(drive: &Drive) -> Vec<Place> {
    let tree = &drive.tree;
    let mut chosen = vec![
        tree.first(|truth| truth.channel == "email").clone(),
        tree.first(|truth| truth.channel == "chat" && truth.media.is_empty()).clone(),
        tree.first(|truth| truth.channel == "chat" && !truth.media.is_empty()).clone(),
        tree.first(|truth| truth.channel == "sms").clone(),
        tree.first(|truth| truth.media.len() == 2).clone(),
        tree.first(|truth| truth.channel == "voicemail" && truth.known).clone(),
        tree.first(|truth| truth.legs.len() == 2 && truth.legs[0].day != truth.legs[1].day).clone(),
        tree.first(|truth| !truth.known && truth.legs[0].agent != 0).clone(),
        tree.first(|truth| truth.known && truth.channel == "call" && truth.media.is_empty()).clone(),
    ];
    chosen.push(tree.places[fastrand::Rng::with_seed(7).usize(..tree.places.len())].clone());
    chosen
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The tenant's own records of these contacts.
fn records<'a>(reported: &'a [Value], contacts: &[i64]) -> Vec<&'a Value> {
    let find = |contact: &i64| reported.iter().find(|record| means(&json!(contact), &record["contactId"]));
    contacts.iter().map(|contact| find(contact).expect("it is reported")).collect()
}

/// Field for field and in the tenant's order; what the tenant writes as text although it is a number or a truth is one here.
#[track_caller]
fn assert_contact_json(path: &Path, records: &[&Value]) {
    let bytes = std::fs::read(path).unwrap();
    let shown: Value = serde_json::from_slice(&bytes).unwrap();
    assert_same_bytes(&bytes, &pretty(&shown), path);
    let legs = shown.as_array().unwrap();
    assert_eq!(legs.len(), records.len(), "{}", path.display());
    for (leg, record) in legs.iter().zip(records) {
        let (leg, record) = (leg.as_object().unwrap(), record.as_object().unwrap());
        assert_eq!(leg.keys().collect::<Vec<_>>(), record.keys().collect::<Vec<_>>(), "{}", path.display());
        for (name, value) in leg {
            assert!(means(value, &record[name]), "{name} is {value} and was {} in {}", record[name], path.display());
        }
    }
}

/// Whether the value sent means the value shown.
fn means(shown: &Value, sent: &Value) -> bool {
    match (shown, sent) {
        (Value::Number(number), Value::String(text)) => {
            let sent: Option<f64> = text.replace(',', "").parse().ok();
            sent.zip(number.as_f64()).is_some_and(|(sent, shown)| (sent - shown).abs() < 1e-9)
        }
        (Value::Bool(flag), Value::String(text)) => text.eq_ignore_ascii_case(&flag.to_string()),
        _ => shown == sent,
    }
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_string_pretty(value).unwrap();
    text.push('\n');
    text.into_bytes()
}

/// The document, without the wrapper that some answers have.
fn document(played: &Value) -> &Value {
    let wrapped = played.get("value").filter(|_| played.get("interactions").or(played.get("Interactions")).is_none());
    wrapped.unwrap_or(played)
}

/// What opens a recording is the only thing that may be missing.
fn without_links(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            fields.retain(|key, _| !["filetoplayurl", "videoimageurl"].contains(&key.to_lowercase().as_str()));
            for field in fields.values_mut() {
                *field = without_links(field.take());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = without_links(value.take())),
        Value::String(text) => assert!(!text.contains("X-Amz-"), "a link under an unknown name: {text}"),
        _ => {}
    }
    value
}

/// The data of the elements that an answer holds, whatever wraps them.
fn elements(played: &Value) -> Vec<&Value> {
    let document = document(played);
    let list = document.get("interactions").or(document.get("Interactions")).and_then(Value::as_array);
    list.unwrap().iter().map(|element| &element.get("Interaction").unwrap_or(element)["data"]).collect()
}

fn assert_texts(folder: &Path, played: &Value) {
    for data in elements(played) {
        if let Some(messages) = data["messages"].as_array() {
            let fields = ["timeStamp", "participantType", "participantName", "text"];
            let json: Value = serde_json::from_slice(&read(&folder.join("transcript.json"))).unwrap();
            for (shown, said) in json.as_array().unwrap().iter().zip(messages) {
                assert!(fields.iter().all(|field| shown[field] == said[field]), "{shown}\n{said}");
            }
            assert_eq!(json.as_array().unwrap().len(), messages.len());
            let lines = messages.iter().map(|message| {
                let [time, kind, name, text] = fields.map(|field| message[field].as_str().unwrap());
                format!("[{time}] {name} ({}): {}\n", kind.to_lowercase(), text.replace('\n', "\n    "))
            });
            assert_eq!(String::from_utf8(read(&folder.join("transcript.txt"))).unwrap(), lines.collect::<String>());
        }
        if let Some(content) = data.get("content") {
            assert_email(&String::from_utf8(read(&folder.join("email.eml"))).unwrap(), content);
        }
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Headers by their words, the body after its transfer encoding is undone.
fn assert_email(eml: &str, content: &Value) {
    let (head, body) = eml.split_once("\r\n\r\n").expect("a head and a body");
    for part in ["customer@simulated.example", "care@simulated.example", "billing@simulated.example", "Invoice_A-"] {
        assert!(head.contains(part), "{part} is missing in:\n{head}");
    }
    assert!(head.contains("quoted-printable"), "{head}");
    let decoded = quoted_printable(body).replace("\r\n", "\n");
    assert_eq!(decoded.trim_end(), content["body"].as_str().unwrap());
}

fn quoted_printable(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'='
            && let Some((hex, after)) = tail.split_at_checked(2)
        {
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}
