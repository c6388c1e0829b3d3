//! The Media Playback document in every variant seen, into our words. Pure but for a log line; knows no HTTP.
//!
//! Documented inconsistencies that are all read: `interactions` or `Interactions`; the document bare or under `value`; an element
//! bare or under `Interaction`; `fileToPlayUrl` or `filetoplayurl`, missing or empty; several elements for elevated contacts; a bare
//! `redirectUrl`.

use serde_json::{Map, Value};

use crate::cxone::instant;
use crate::cxone::lenient;
use crate::cxone::model::{ChatMessage, EmailContent, Playback, PlaybackItem};
use crate::cxone::playback::link::{self, BadLink};
use crate::cxone::playback::scrub;
use crate::cxone::text;
use crate::net::MediaLink;

/// Elements of one document, at most: a real one has one or two.
const ITEMS_MAX: usize = 240;

/// Why a document cannot be used. Repeats no link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::cxone) enum BadDocument {
    #[error("the document is not an object")]
    NotAnObject,
    #[error("the document holds no interactions")]
    NoInteractions,
    #[error("the answer says: {0}")]
    Says(String),
    #[error("none of its interactions is an object")]
    NoObjects,
    #[error("more than {ITEMS_MAX} interactions")]
    TooMany,
    #[error(transparent)]
    Link(#[from] BadLink),
}

/// Reads a document. `plain_loopback`: media links may be plain http on loopback.
pub(in crate::cxone) fn read(body: Value, plain_loopback: bool) -> Result<Playback, BadDocument> {
    let document = unwrap_value(body)?;
    let Some(elements) = elements(&document) else {
        if let Some(url) = lenient::find(&document, &["redirectUrl"]).and_then(lenient::text) {
            return Ok(redirected(link::read(&url, plain_loopback)?));
        }
        return Err(explain(&document));
    };
    if elements.len() > ITEMS_MAX {
        return Err(BadDocument::TooMany);
    }
    // "No recording" is remembered for days, so nonsense must not be taken for it.
    if !elements.is_empty() && !elements.iter().any(|element| element.is_object()) {
        return Err(BadDocument::NoObjects);
    }
    let items = elements.into_iter().map(|element| item(element, plain_loopback)).collect();
    let mut metadata = Value::Object(document);
    scrub::scrub(&mut metadata);
    Ok(Playback { metadata, items })
}

/// An answer that is a link and nothing else.
pub(in crate::cxone) fn redirected(media: MediaLink) -> Playback {
    let item = PlaybackItem { media: Some(media), ..PlaybackItem::default() };
    Playback { metadata: Value::Object(Map::new()), items: vec![item] }
}

fn unwrap_value(body: Value) -> Result<Map<String, Value>, BadDocument> {
    let Value::Object(mut document) = body else { return Err(BadDocument::NotAnObject) };
    let wrapped = elements(&document).is_none() && document.get("value").is_some_and(Value::is_object);
    match document.get_mut("value").filter(|_| wrapped).map(Value::take) {
        Some(Value::Object(inner)) => Ok(inner),
        _ => Ok(document),
    }
}

/// The interactions; `None` where the document has no such field.
fn elements(document: &Map<String, Value>) -> Option<Vec<&Value>> {
    let (_, found) = document.iter().find(|(key, _)| key.eq_ignore_ascii_case("interactions"))?;
    match found {
        Value::Array(array) => Some(array.iter().filter(|element| !element.is_null()).collect()),
        Value::Null => Some(Vec::new()),
        Value::Object(_) => Some(vec![found]),
        _ => None,
    }
}

fn explain(document: &Map<String, Value>) -> BadDocument {
    let said: Vec<String> = ["message", "internalCode", "error", "errorDescription"]
        .iter()
        .filter_map(|field| document.get(*field))
        .map(|value| text::safe(&lenient::display(value)))
        .filter(|said| !said.is_empty())
        .collect();
    let said = said.join("; ");
    if said.is_empty() { BadDocument::NoInteractions } else { BadDocument::Says(said) }
}

fn item(element: &Value, plain_loopback: bool) -> PlaybackItem {
    let Some(object) = element.as_object() else { return PlaybackItem::default() };
    let object = lenient::find(object, &["Interaction"]).and_then(Value::as_object).unwrap_or(object);
    let data = lenient::find(object, &["data"]).and_then(Value::as_object).unwrap_or(object);
    let url =
        [data, object].into_iter().find_map(|holder| lenient::find(holder, &["fileToPlayUrl"]).and_then(lenient::text));
    // A link that must not be fetched is none. The rest of the answer is paid for, and failing it would have it paid for again.
    let media = url.and_then(|url| match link::read(&url, plain_loopback) {
        Ok(link) => Some(link),
        Err(bad) => {
            tracing::warn!(%bad, "a recording of an answer is left out, because its link may not be fetched: {bad}");
            None
        }
    });
    PlaybackItem { media, chat: chat(data), emails: emails(data) }
}

fn chat(data: &Map<String, Value>) -> Option<Vec<ChatMessage>> {
    let messages = lenient::find(data, &["messages"])?.as_array()?;
    let messages: Vec<ChatMessage> = messages.iter().filter_map(Value::as_object).map(message).collect();
    if messages.is_empty() { None } else { Some(messages) }
}

fn message(message: &Map<String, Value>) -> ChatMessage {
    let field = |names: &[&str]| lenient::find(message, names).map(lenient::display).unwrap_or_default();
    ChatMessage {
        participant_type: field(&["participantType"]),
        participant_name: field(&["participantName", "agentName"]),
        text: scrub::without_links(&field(&["text"])),
        time: lenient::find(message, &["timeStamp", "time", "sentTime", "createdAt"]).map(said_at).unwrap_or_default(),
    }
}

/// ISO-8601 is shown as the tenant wrote it; a number, or what only a program reads, as the date that it means.
fn said_at(time: &Value) -> String {
    let written = lenient::display(time);
    let is_iso = written.trim().get(4..5) == Some("-");
    match instant::read(time).filter(|_| !is_iso) {
        Some(instant) => instant::format(instant),
        None => written,
    }
}

/// One email as `content`, or several as a list of contents, each bare or in an element of its own.
fn emails(data: &Map<String, Value>) -> Vec<EmailContent> {
    let contents = ["content", "contents", "emails"].into_iter().filter_map(|name| lenient::find(data, &[name]));
    let contents = contents.flat_map(|content| match content {
        Value::Array(contents) => contents.iter().collect(),
        one => vec![one],
    });
    contents.filter_map(Value::as_object).filter_map(email).take(ITEMS_MAX).collect()
}

fn email(content: &Map<String, Value>) -> Option<EmailContent> {
    let content = lenient::find(content, &["content"]).and_then(Value::as_object).unwrap_or(content);
    let known = ["sentTime", "from", "to", "cc", "bcc", "subject", "body"];
    if !known.iter().any(|name| lenient::find(content, &[name]).is_some()) {
        return None;
    }
    let field = |name: &str| lenient::find(content, &[name]);
    let text = |name: &str| scrub::without_links(&field(name).map(lenient::display).unwrap_or_default());
    let people = |name: &str| field(name).map(addresses).unwrap_or_default();
    Some(EmailContent {
        sent: field("sentTime").and_then(instant::read),
        from: people("from").join(", "),
        to: people("to"),
        cc: people("cc"),
        bcc: people("bcc"),
        subject: text("subject"),
        body: text("body"),
    })
}

/// Addresses as a list, as one text with semicolons, or as objects that hold an address.
fn addresses(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => {
            text.split(';').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect()
        }
        Value::Array(array) => array.iter().filter(|value| !value.is_array()).flat_map(addresses).collect(),
        Value::Object(object) => {
            lenient::find(object, &["address", "email", "emailAddress"]).and_then(lenient::text).into_iter().collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const URL: &str = "https://b.s3.us-west-2.amazonaws.com/x/y.mp4?X-Amz-Signature=topsecret";

    fn playback(body: Value) -> Playback {
        read(body, false).unwrap()
    }

    fn call() -> Value {
        json!({"mediaType": "voice-only", "@type": "call", "data": {"fileToPlayUrl": URL, "segmentsDataList": []}})
    }

    #[test]
    fn every_documented_variant_gives_the_same_item() {
        let lower = json!({"data": {"filetoplayurl": URL}});
        let flat = json!({"fileToPlayUrl": URL});
        for body in [
            json!({"contactId": "g", "interactions": [call()]}),
            json!({"contactId": "g", "Interactions": [call()]}),
            json!({"value": {"contactId": "g", "interactions": [call()]}}),
            json!({"contactId": "g", "interactions": [{"Interaction": call()}]}),
            json!({"value": {"contactId": "g", "Interactions": [{"Interaction": call()}]}}),
            json!({"contactId": "g", "interactions": call()}),
            json!({"contactId": "g", "interactions": [lower]}),
            json!({"contactId": "g", "interactions": [flat]}),
        ] {
            let found = playback(body.clone());
            assert_eq!(found.items.len(), 1, "{body}");
            assert_eq!(found.items[0].media.as_ref().unwrap().url.expose(), URL, "{body}");
            assert_eq!(found.metadata["contactId"], "g", "the document itself, without its wrapper: {body}");
            assert!(!found.metadata.to_string().contains("topsecret"), "{body}");
        }
    }

    #[test]
    fn elements_without_media_stay_elements() {
        for data in [json!({}), json!({"fileToPlayUrl": null}), json!({"fileToPlayUrl": ""}), json!(null)] {
            let found = playback(json!({"interactions": [{"data": data}, call()]}));
            assert_eq!(found.items.len(), 2);
            assert!(found.items[0].media.is_none() && found.items[1].media.is_some());
        }
    }

    #[test]
    fn no_interactions_is_an_answer_and_no_field_is_none() {
        for body in [json!({"interactions": []}), json!({"interactions": null}), json!({"value": {"Interactions": []}})]
        {
            assert!(playback(body).items.is_empty());
        }
        assert_eq!(read(json!({"contactId": "g"}), false).unwrap_err(), BadDocument::NoInteractions);
        assert_eq!(read(json!([]), false).unwrap_err(), BadDocument::NotAnObject);
    }

    #[test]
    fn an_explanation_is_repeated() {
        let error = read(json!({"message": "Too many requests", "route": "/media-playback"}), false).unwrap_err();
        assert_eq!(error, BadDocument::Says("Too many requests".into()));
    }

    #[test]
    fn a_redirect_body_is_one_recording_without_metadata() {
        let found = playback(json!({"redirectUrl": URL}));
        assert_eq!(found.metadata, json!({}));
        assert_eq!(found.items.len(), 1);
    }

    #[test]
    fn a_link_that_must_not_be_fetched_is_none() {
        let bad = "http://media.example/secret.mp4?sig=1";
        let found = read(json!({"interactions": [{"data": {"fileToPlayUrl": bad}}]}), true).unwrap();
        assert!(found.items.len() == 1 && found.items[0].media.is_none());
        let error = read(json!({"redirectUrl": bad}), true).unwrap_err();
        assert!(matches!(error, BadDocument::Link(_)) && !error.to_string().contains("secret"));
    }

    #[test]
    fn several_emails_of_one_element_are_read_in_order() {
        let one = |subject: &str| json!({"subject": subject, "body": "x"});
        for data in [
            json!({"content": [one("first"), one("second"), null]}),
            json!({"contents": [one("first"), one("second")]}),
            json!({"emails": [{"content": one("first")}, {"content": one("second")}]}),
            json!({"content": one("first"), "emails": [one("second"), {"read": true}]}),
        ] {
            let found = playback(json!({"interactions": [{"@type": "email", "data": data.clone()}]}));
            let subjects: Vec<&str> = found.items[0].emails.iter().map(|email| email.subject.as_str()).collect();
            assert_eq!(subjects, ["first", "second"], "{data}");
        }
    }

    #[test]
    fn chats_and_emails_are_read_leniently() {
        let found = playback(json!({"interactions": [
            {"@type": "chat", "data": {"messages": [
                {"participantType": "AGENT", "participantName": "Rosa", "text": "hi", "timeStamp": "2026-11-02T08:59:31Z"},
                {"participantType": null, "text": 7, "timestamp": 1_793_610_000}, null]}},
            {"@type": "email", "data": {"content": {"sentTime": "2026-11-02T08:59:31.5", "from": "a@x.example",
                "to": ["b@x.example", {"email": "c@x.example"}], "cc": "d@x.example; e@x.example", "bcc": null,
                "subject": "s", "body": "<p>b</p>"}}},
            {"@type": "chat", "data": {"messages": []}},
            {"@type": "email", "data": {"content": {}}}]}));
        let messages = found.items[0].chat.as_ref().unwrap();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].participant_name.as_str(), messages[0].text.as_str()), ("Rosa", "hi"));
        assert_eq!((messages[1].text.as_str(), messages[1].time.as_str()), ("7", "2026-11-02T09:00:00.000Z"));
        let email = &found.items[1].emails[0];
        assert_eq!(email.sent.unwrap().to_string(), "2026-11-02T08:59:31.5Z");
        assert_eq!(
            (email.from.as_str(), email.subject.as_str(), email.body.as_str()),
            ("a@x.example", "s", "<p>b</p>")
        );
        assert_eq!((email.to.len(), email.cc.len(), email.bcc.len()), (2, 2, 0));
        assert!(found.items[2].chat.is_none() && found.items[3].emails.is_empty());
    }

    #[test]
    fn the_times_of_messages_are_dates() {
        for (sent, shown) in [
            (json!(1_793_606_940_123_i64), "2026-11-02T08:09:00.123Z"),
            (json!("1793606940123"), "2026-11-02T08:09:00.123Z"),
            (json!(1_793_606_940), "2026-11-02T08:09:00.000Z"),
            (json!("/Date(1793606940000)/"), "2026-11-02T08:09:00.000Z"),
            (json!("11/2/2026 8:09:00 AM"), "2026-11-02T08:09:00.000Z"),
            (json!("2026-11-02T03:09:00-05:00"), "2026-11-02T03:09:00-05:00"),
            (json!("2026-11-02T08:09:00.5Z"), "2026-11-02T08:09:00.5Z"),
            (json!("yesterday"), "yesterday"),
            (json!(7), "7"),
        ] {
            assert_eq!(said_at(&sent), shown, "{sent}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let key = prop_oneof![
            Just("interactions"),
            Just("Interaction"),
            Just("value"),
            Just("data"),
            Just("fileToPlayUrl"),
            Just("messages"),
            Just("content"),
            Just("to"),
            Just("redirectUrl"),
            Just("message"),
            Just("x"),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            Just(Value::from(URL)),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..4).prop_map(|pairs| Value::Object(
                    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                )),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_document_is_read_or_refused_and_never_leaks(body in any_json()) {
            match read(body, false) {
                Ok(found) => {
                    prop_assert!(!found.metadata.to_string().contains("topsecret"));
                    let media: Vec<_> = found.items.iter().map(|item| &item.media).collect();
                    let debug = format!("{media:?}");
                    prop_assert!(!debug.contains("topsecret"));
                }
                Err(error) => prop_assert!(!error.to_string().contains("topsecret")),
            }
        }
    }
}
