//! Takes temporary links out of a document that is going to be stored and shown. What opens a recording must not be in a file; what people
//! said to each other stays.

use serde_json::Value;
use url::Url;

use crate::cxone::playback::signed::holds_signature;

/// Fields that hold links, whatever the case of their name and whatever they hold.
const LINK_FIELDS: [&str; 3] = ["fileToPlayUrl", "videoImageUrl", "redirectUrl"];

/// Fields that hold what people wrote, whatever the case of their name: a link with a query there is theirs.
const PEOPLES_FIELDS: [&str; 3] = ["text", "subject", "body"];

/// Stands for a link within a text.
const REMOVED: &str = "[link removed]";

/// Removes link fields, and every text that is an http(s) URL with a query or userinfo, at any depth; signed links within a text are
/// replaced.
///
/// The depth is that of a document that `serde_json` read, which bounds it.
pub(in crate::cxone) fn scrub(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object.iter_mut() {
                match value {
                    Value::String(text) if is_one_of(&PEOPLES_FIELDS, key) => *text = without_links(text),
                    value => scrub(value),
                }
            }
            object.retain(|key, value| {
                let is_theirs = is_one_of(&PEOPLES_FIELDS, key);
                !is_one_of(&LINK_FIELDS, key) && !is_secret_text(key) && (is_theirs || !is_removed(value))
            });
        }
        Value::Array(array) => {
            array.iter_mut().for_each(scrub);
            array.retain(|value| !is_removed(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => *text = if is_link(text) { REMOVED.to_owned() } else { without_links(text) },
    }
}

/// A text without the signed links that stand in it.
pub(in crate::cxone) fn without_links(text: &str) -> String {
    if !holds_signature(text) {
        return text.to_owned();
    }
    let ends_a_link = |char: char| char.is_whitespace() || "\"'<>`\\^{|}".contains(char);
    let words = text.split_inclusive(ends_a_link);
    let scrubbed = words.map(|word| {
        let link = word.trim_end_matches(ends_a_link);
        let end = &word[link.len()..];
        let before = find_ignoring_case(link, "http").filter(|at| holds_signature(&link[*at..])).unwrap_or(0);
        let link = link[before..].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']);
        if holds_signature(link) {
            let after = &word[before + link.len()..word.len() - end.len()];
            format!("{}{REMOVED}{after}{end}", &word[..before])
        } else {
            word.to_owned()
        }
    });
    scrubbed.collect()
}

fn is_one_of(names: &[&str], key: &str) -> bool {
    names.iter().any(|name| key.eq_ignore_ascii_case(name))
}

fn is_removed(value: &Value) -> bool {
    matches!(value, Value::String(text) if text == REMOVED)
}

fn is_secret_text(text: &str) -> bool {
    holds_signature(text) || is_link(text)
}

/// Whether a text is nothing but a link that may open something.
fn is_link(text: &str) -> bool {
    let Ok(url) = Url::parse(text.trim()) else { return false };
    let web = matches!(url.scheme(), "http" | "https");
    web && (url.query().is_some() || !url.username().is_empty() || url.password().is_some())
}

/// `needle` is ASCII, so that what is found lies between characters.
fn find_ignoring_case(text: &str, needle: &str) -> Option<usize> {
    text.as_bytes().windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn scrubbed(mut value: Value) -> Value {
        scrub(&mut value);
        value
    }

    #[test]
    fn links_go_and_everything_else_stays_in_order() {
        let document = json!({
            "contactId": "0f3c", "z": 1, "a": null,
            "interactions": [{"data": {
                "fileToPlayUrl": "https://b/x.mp4?sig=1", "filetoplayurl": "", "videoImageUrl": null,
                "other": "https://b/y?token=1", "user": "https://u:p@b/", "plain": "https://b/page",
                "list": ["HTTPS://b/?q", "kept", {"deep": " https://b/?x=1 "}],
                "text": "see https://b/x?y=1 for more",
                "leak": "the file (https://b/x?X-Amz-Signature=abc).", "https://b/x?X-Amz-Signature=abc": 1,
                "messages": [{"Text": "https://shop.example/?item=5"}, {"text": "https://b/x?AWSAccessKeyId=1"}],
            }}],
            "redirectUrl": "https://b/x",
        });
        let expected = json!({
            "contactId": "0f3c", "z": 1, "a": null,
            "interactions": [{"data": {
                "plain": "https://b/page", "list": ["kept", {}], "text": "see https://b/x?y=1 for more",
                "leak": "the file ([link removed]).",
                "messages": [{"Text": "https://shop.example/?item=5"}, {"text": "[link removed]"}],
            }}],
        });
        let text = serde_json::to_string(&scrubbed(document)).unwrap();
        assert_eq!(text, serde_json::to_string(&expected).unwrap());
    }

    #[test]
    fn a_sentence_keeps_all_but_the_link() {
        let said = "Hör zu: \"HTTPS://b/a.mp4?x=1&x-amz-SIGNATURE=ab%20c\", bis\ndann! http://shop.example/?a=b";
        assert_eq!(without_links(said), "Hör zu: \"[link removed]\", bis\ndann! http://shop.example/?a=b");
        assert_eq!(without_links("b/x?X-Goog-Signature=1 only"), "[link removed] only");
        assert_eq!(without_links("a=https://b/?X-Amz-Signature=1"), "a=[link removed]");
        let azure = "(https://a.blob.core.windows.net/c/x.mp4?se=2026-11-02T09%3A00%3A00Z&sp=r&sig=s%3D)";
        assert_eq!(without_links(azure), "([link removed])");
        assert_eq!(
            without_links("https://d1.cloudfront.net/x?Expires=1&Signature=a~b_&Key-Pair-Id=K, ok"),
            "[link removed], ok"
        );
    }

    proptest! {
        #[test]
        fn no_signature_survives_in_any_text(before in "\\PC{0,20}", after in "\\PC{0,20}", signature in 0_usize..5) {
            let signature = ["X-Amz-Signature=", "AWSAccessKeyId=", "x-goog-signature=", "Signature=", "sig="][signature];
            let text = format!("{before}https://b/x?{signature}topsecret {after}");
            prop_assert!(!without_links(&text).contains("topsecret"));
        }

        #[test]
        fn no_signed_link_survives_at_any_place(depth in 0_usize..20, in_array in any::<bool>(), key in "[a-zA-Z]{1,12}") {
            let mut value = json!("https://bucket.example/rec.mp4?X-Amz-Signature=topsecret");
            for level in 0..depth {
                value = if in_array && level % 2 == 0 { json!([1, value, "x"]) } else { json!({ key.clone(): value, "k": 2 }) };
            }
            prop_assert!(!scrubbed(value).to_string().contains("topsecret"));
        }

        #[test]
        fn scrubbing_twice_changes_nothing(text in "(https?://)?[a-z?&=@:/.]{0,30}") {
            let once = scrubbed(json!({"a": text, "b": [text]}));
            prop_assert_eq!(scrubbed(once.clone()), once);
        }
    }
}
