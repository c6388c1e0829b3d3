//! Takes temporary links out of a document that is going to be stored and shown. What opens a recording must not be in a file.

use serde_json::Value;
use url::Url;

/// Fields that hold links, whatever the case of their name and whatever they hold.
const LINK_FIELDS: [&str; 3] = ["fileToPlayUrl", "videoImageUrl", "redirectUrl"];

/// Removes link fields, and every text that is an http(s) URL with a query or userinfo, at any depth.
///
/// The depth is that of a document that `serde_json` read, which bounds it.
pub(super) fn scrub(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|key, value| !is_link_field(key) && !is_secret_text(key) && !is_secret(value));
            object.values_mut().for_each(scrub);
        }
        Value::Array(array) => {
            array.retain(|value| !is_secret(value));
            array.iter_mut().for_each(scrub);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(_) => {
            if is_secret(value) {
                *value = Value::Null;
            }
        }
    }
}

fn is_link_field(key: &str) -> bool {
    LINK_FIELDS.iter().any(|field| key.eq_ignore_ascii_case(field))
}

fn is_secret(value: &Value) -> bool {
    matches!(value, Value::String(text) if is_secret_text(text))
}

fn is_secret_text(text: &str) -> bool {
    // A signature opens a recording also where it stands in the middle of a text.
    if contains_ignoring_case(text, "x-amz-signature=") {
        return true;
    }
    let Ok(url) = Url::parse(text.trim()) else { return false };
    let web = matches!(url.scheme(), "http" | "https");
    web && (url.query().is_some() || !url.username().is_empty() || url.password().is_some())
}

fn contains_ignoring_case(text: &str, needle: &str) -> bool {
    text.as_bytes().windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
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
                "leak": "the file is https://b/x?X-Amz-Signature=abc.", "https://b/x?X-Amz-Signature=abc": 1,
            }}],
            "redirectUrl": "https://b/x",
        });
        let expected = json!({
            "contactId": "0f3c", "z": 1, "a": null,
            "interactions": [{"data": {
                "plain": "https://b/page", "list": ["kept", {}], "text": "see https://b/x?y=1 for more",
            }}],
        });
        let text = serde_json::to_string(&scrubbed(document)).unwrap();
        assert_eq!(text, serde_json::to_string(&expected).unwrap());
    }

    proptest! {
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
