//! What an answer of Media Playback means that brings no document: no such interaction, a refusal (whose?), a restore under way, throttling.
//!
//! Pure: status and words in, a verdict out. Two mistakes cost: "no recording" is remembered for days, so only an answer that speaks of the
//! interaction may say it; and a refusal that is forgotten is paid for again.

use serde_json::Value;

use crate::base::MasterId;
use crate::cxone::text;

/// What decides about an answer that brings no document.
#[derive(Clone, Copy, Debug)]
pub(in crate::cxone) struct Said<'a> {
    pub status: u16,
    pub is_html: bool,
    pub body: &'a [u8],
    /// A header in which the tenant explains itself.
    pub description: Option<&'a str>,
    pub master: MasterId,
}

/// What such an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cxone) enum Verdict {
    /// There is no such interaction.
    NotFound,
    /// It is being brought back from the archive.
    Restoring,
    /// It is in an archive, and nobody brings it back.
    Archived,
    Refused(Whose),
    /// The gateway lets no more calls through now.
    Throttled,
    /// No answer to the question: 401, 408, 425 and 5xx.
    Failed,
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This interaction; the next one may well be played.
    Interaction,
    /// It says nothing of the interaction: the role, the address or a page to sign in on. Every other call may end the same way.
    Everybody,
}

/// Words by which gateways throttle, under whatever status.
const THROTTLING: [&str; 5] = ["limit exceeded", "rate exceeded", "rate limit", "too many requests", "throttl"];
/// What an interaction is called in an explanation. Plurals speak of all of them: "may not play recordings" is about a role.
const SUBJECTS: [&str; 4] = ["interaction", "contact", "recording", "segment"];
/// An explanation with one of these is about who asks or where, not about the interaction.
const OTHERS: [&str; 14] = [
    "user", "users", "agent", "role", "tenant", "account", "route", "path", "url", "endpoint", "resource", "page",
    "token", "key",
];
/// Fields by which an error of the API itself is told from one of a gateway, which sends a `message` alone.
const CODES: [&str; 6] = ["internalCode", "errorCode", "error_code", "code", "errorDescription", "error_description"];

/// Judges an answer.
pub(in crate::cxone) fn judge(said: &Said<'_>) -> Verdict {
    let words = words(said);
    let lower = words.to_ascii_lowercase();
    if said.status == 429 || is_throttling(said.status, &lower) {
        return Verdict::Throttled;
    }
    if !said.is_html && says_not_found(&lower) {
        return Verdict::NotFound;
    }
    // A service that is being restored is no recording.
    let explains = !said.is_html && said.status < 500;
    if explains && (said.status == 202 || lower.contains("restor")) {
        return Verdict::Restoring;
    }
    if explains && lower.contains("archived") {
        return Verdict::Archived;
    }
    match said.status {
        401 | 408 | 425 | 500..=599 => Verdict::Failed,
        404 if is_missing(said, &lower) => Verdict::NotFound,
        403 if names_interaction(&lower, said.master) => Verdict::Refused(Whose::Interaction),
        300..=399 | 403 | 404 => Verdict::Refused(Whose::Everybody),
        _ if said.is_html => Verdict::Refused(Whose::Everybody),
        _ => Verdict::Refused(Whose::Interaction),
    }
}

fn words(said: &Said<'_>) -> String {
    text::explanation(said.body).or_else(|| said.description.map(text::safe)).unwrap_or_default()
}

fn is_throttling(status: u16, lower: &str) -> bool {
    matches!(status, 400 | 403 | 503) && THROTTLING.iter().any(|words| lower.contains(words))
}

/// Whether an explanation, in lower case, says that there is no such interaction: it names both.
fn says_not_found(lower: &str) -> bool {
    let lower = lower.replace('_', " ");
    let is_missing = lower.contains("not found") || lower.contains("notfound") || lower.contains("does not exist");
    let tokens: Vec<&str> = tokens(&lower).collect();
    let speaks_of = |names: &[&str]| tokens.iter().any(|token| names.contains(token));
    is_missing && (speaks_of(&SUBJECTS) || speaks_of(&["media"])) && !speaks_of(&OTHERS)
}

/// A 404 without such words is "not found" too where it comes from the API itself: it explains nothing, or has a code. A gateway's and a
/// web server's speak of an address.
fn is_missing(said: &Said<'_>, lower: &str) -> bool {
    if said.is_html {
        return false;
    }
    let about_others = tokens(lower).any(|token| OTHERS.contains(&token));
    let explained = said.body.get(..text::EXPLAINED_BYTES_MAX + 1).is_none();
    match serde_json::from_slice(if explained { said.body } else { &[] }) {
        Ok(Value::Object(object)) => {
            let has_code = CODES.iter().any(|field| object.contains_key(*field));
            !about_others && (has_code || object.is_empty())
        }
        _ => !about_others,
    }
}

fn names_interaction(lower: &str, master: MasterId) -> bool {
    let id = master.to_string();
    tokens(lower).any(|token| token == id || SUBJECTS.contains(&token))
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict {
        let is_html = body.starts_with('<');
        judge(&Said { status, is_html, body: body.as_bytes(), description: None, master: MasterId(701) })
    }

    #[test]
    fn not_found_is_said_of_an_interaction_whatever_the_status() {
        for status in [200, 202, 400, 403, 404, 409, 500] {
            for body in [
                r#"{"internalCode": "1010", "message": "Interaction Not Found"}"#,
                r#"{"internalCode": "INTERACTION_NOT_FOUND", "message": ""}"#,
                r#"{"message": "Contact 701 does not exist"}"#,
                r#"{"error": "not_found", "errorDescription": "recording not found"}"#,
            ] {
                assert_eq!(verdict(status, body), Verdict::NotFound, "{status} {body}");
            }
        }
        for body in ["", "not here", "{}", r#"{"internalCode": "7", "message": "nothing"}"#] {
            assert_eq!(verdict(404, body), Verdict::NotFound, "{body}");
        }
    }

    #[test]
    fn other_things_that_are_not_there_hide_no_recording() {
        for status in [200, 400, 404, 500] {
            for body in [
                r#"{"message": "The requesting user does not exist"}"#,
                r#"{"internalCode": "9", "message": "Tenant not found for this interaction"}"#,
                r#"{"message": "no Route matched with those values"}"#,
                "<html>Interaction Not Found</html>",
            ] {
                assert_ne!(verdict(status, body), Verdict::NotFound, "{status} {body}");
            }
        }
        for body in [r#"{"message": "Not Found"}"#, r#"{"message": "Missing Authentication Token"}"#, "<h1>404</h1>"] {
            assert_eq!(verdict(404, body), Verdict::Refused(Whose::Everybody), "{body}");
        }
    }

    #[test]
    fn a_gateway_throttles_under_other_statuses_too() {
        for (status, body) in [
            (429, ""),
            (403, r#"{"message": "Limit Exceeded"}"#),
            (403, r#"{"message": "Rate limit reached"}"#),
            (400, r#"{"__type": "ThrottlingException", "message": "Rate exceeded"}"#),
            (503, r#"{"message": "Too many requests, throttled"}"#),
        ] {
            assert_eq!(verdict(status, body), Verdict::Throttled, "{status} {body}");
        }
        let document = verdict(200, r#"{"message": "Too many requests"}"#);
        assert_eq!(document, Verdict::Refused(Whose::Interaction), "a 200 is billed");
    }

    #[test]
    fn a_refusal_is_the_interactions_where_it_names_one() {
        for body in [
            r#"{"internalCode": "1003", "message": "Playback is locked for this interaction"}"#,
            r#"{"message": "701 is restricted"}"#,
        ] {
            assert_eq!(verdict(403, body), Verdict::Refused(Whose::Interaction), "{body}");
        }
        for body in [
            "",
            r#"{"message": "Forbidden"}"#,
            r#"{"message": "User may not play recordings"}"#,
            r#"{"message": "not authorized to perform execute-api:Invoke on GET/media-playback/v1/contacts"}"#,
        ] {
            assert_eq!(verdict(403, body), Verdict::Refused(Whose::Everybody), "{body}");
        }
        for status in [400, 402, 405, 409, 410, 415, 422, 451] {
            assert_eq!(verdict(status, ""), Verdict::Refused(Whose::Interaction), "{status}");
        }
        assert_eq!(verdict(200, "<html>sign in</html>"), Verdict::Refused(Whose::Everybody));
        assert_eq!(verdict(302, ""), Verdict::Refused(Whose::Everybody));
    }

    #[test]
    fn what_is_no_answer_says_nothing_of_the_interaction() {
        for status in [401, 408, 425, 500, 502, 503, 504] {
            assert_eq!(verdict(status, r#"{"message": "internal error"}"#), Verdict::Failed, "{status}");
        }
    }

    #[test]
    fn an_archive_is_told_from_a_refusal() {
        for status in [200, 202, 400, 403, 409, 423] {
            let restoring = verdict(status, r#"{"message": "Media is being restored from archive"}"#);
            assert_eq!(restoring, Verdict::Restoring, "{status}");
        }
        assert_eq!(verdict(202, ""), Verdict::Restoring);
        assert_eq!(verdict(403, r#"{"message": "The recording is archived"}"#), Verdict::Archived);
    }
}
