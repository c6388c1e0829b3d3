//! What of the server's words may be repeated in an error: short, printable, and without anything that opens a door.

use serde_json::Value;

use crate::base::shown::is_unshowable;
use crate::cxone::lenient;

/// Bytes of a server's text that an error repeats.
const TEXT_BYTES_MAX: usize = 300;

/// Bytes of a body that may be an explanation. A longer one is none, and would take much memory as a parsed document.
pub(super) const EXPLAINED_BYTES_MAX: usize = 64 * 1024;

/// Fields in which CXone explains an error, the most telling first.
const FIELDS: [&str; 5] = ["errorDescription", "error_description", "message", "error", "internalCode"];

/// A server's text made safe: control characters and marks that turn text become spaces, links with a query or a user and things that look like tokens
/// are replaced, the rest is cut at 300 bytes.
pub(super) fn safe(raw: &str) -> String {
    // Nothing beyond this can survive the cut; it bounds the work on a hostile text.
    let head = cut(raw, 4 * TEXT_BYTES_MAX);
    let printable: String = head.chars().map(|c| if is_unshowable(c) { ' ' } else { c }).collect();
    let mut out = String::with_capacity(printable.len());
    for word in printable.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(if has_link(word) {
            "[link]"
        } else if has_token(word) {
            "[token]"
        } else {
            word
        });
    }
    cut(&out, TEXT_BYTES_MAX).to_owned()
}

/// The explanation in a JSON error body, if there is one, made [`safe`].
pub(super) fn explanation(body: &[u8]) -> Option<String> {
    if body.len() > EXPLAINED_BYTES_MAX {
        return None;
    }
    let Value::Object(object) = serde_json::from_slice(body).ok()? else { return None };
    let mut said: Vec<String> = Vec::new();
    for field in FIELDS {
        if let Some(value) = object.get(field) {
            let text = safe(&lenient::display(value));
            if !text.is_empty() && !said.contains(&text) {
                said.push(text);
            }
        }
    }
    let joined = said.join("; ");
    if joined.is_empty() { None } else { Some(cut(&joined, TEXT_BYTES_MAX).to_owned()) }
}

/// The first `bytes_max` bytes, cut on a character boundary.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn has_link(word: &str) -> bool {
    let opens = word.contains("://") && word.contains(['?', '@']);
    opens || crate::cxone::playback::signed::may_hold_signature(word)
}

/// A JWT begins with the base64 of `{"`; a bearer token of any kind has no spaces and is long.
fn has_token(word: &str) -> bool {
    word.contains("eyJ") || (word.len() > 60 && word.bytes().filter(u8::is_ascii_alphanumeric).count() > 48)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_that_open_doors_are_replaced() {
        let text = safe("see https://b.s3.amazonaws.com/x.mp4?X-Amz-Signature=abc and eyJhbGciOi.eyJ0.sig\r\nnow");
        assert_eq!(text, "see [link] and [token] now");
        assert_eq!(safe("user \u{202e}nimda\u{202c} \u{1b}[2Jgone"), "user nimda [2Jgone");
        assert_eq!(safe("https://x.example/plain is fine"), "https://x.example/plain is fine");
    }

    #[test]
    fn all_four_spellings_of_an_error_are_read_once_each() {
        let body =
            br#"{"error":"invalid_client","errorDescription":"No such client","error_description":"No such client"}"#;
        assert_eq!(explanation(body).unwrap(), "No such client; invalid_client");
        assert_eq!(explanation(br#"{"internalCode":"E7","message":"Too many"}"#).unwrap(), "Too many; E7");
        assert_eq!(explanation(b"<html>"), None);
        assert_eq!(explanation(b"{}"), None);
    }

    proptest! {
        #[test]
        fn the_result_is_short_and_printable(raw in "(?s).{0,2000}") {
            let text = safe(&raw);
            prop_assert!(text.len() <= TEXT_BYTES_MAX);
            prop_assert!(!text.chars().any(is_unshowable));
        }
    }
}
