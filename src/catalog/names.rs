//! Names of agents' and interactions' directories: pure functions from hostile words to legal components.
//!
//! A component is Unicode NFC, at most 255 bytes, free of control characters and of `/ \ : * ? " < > |`, without a leading dot
//! and without a trailing dot or space, and no device name of Windows (the tree is shared by Samba). It always ends in the id,
//! so names of different agents, and of different interactions, differ.
//! Knows no database: what was published first is the recorder's business.

use jiff::civil::Time;
use unicode_normalization::UnicodeNormalization;

use crate::base::{AgentId, Channel, MasterId};

/// `NAME_MAX` of Linux, in bytes.
const MAX_BYTES: usize = 255;

/// `{lastName}_{firstName}_{agentId}`; `agent_{agentId}` for an agent without a name; `no_agent` where no agent was.
#[must_use]
pub fn agent_name(agent: AgentId, last_name: Option<&str>, first_name: Option<&str>) -> String {
    if !agent.is_some() {
        return String::from("no_agent");
    }
    let mut words = String::new();
    for word in [last_name, first_name].into_iter().flatten() {
        let word = sanitize(word);
        if !word.is_empty() {
            if !words.is_empty() {
                words.push('_');
            }
            words.push_str(&word);
        }
    }
    if words.is_empty() {
        words.push_str("agent");
    }
    let mut words = harmless_stem(words);
    if words.starts_with('.') {
        words.replace_range(..1, "_");
    }
    let id = format!("_{agent}");
    cut(&mut words, MAX_BYTES - id.len());
    words + &id
}

/// The agent whose name on some day may be this one; none if it is no agent's.
#[must_use]
pub fn agent_of(name: &str) -> Option<AgentId> {
    if name == "no_agent" {
        return Some(AgentId::NONE);
    }
    let (_, id) = name.rsplit_once('_')?;
    let digits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| id.parse().ok())?.map(AgentId)
}

/// `{HHMMSS}_{channel}_{in|out}_{masterContactId}`, with the local time of the agent's first leg that day.
#[must_use]
pub fn interaction_name(first_leg: Time, channel: Channel, is_outbound: bool, master: MasterId) -> String {
    let direction = if is_outbound { "out" } else { "in" };
    let (hour, minute, second) = (first_leg.hour(), first_leg.minute(), first_leg.second());
    format!("{hour:02}{minute:02}{second:02}_{channel}_{direction}_{master}")
}

/// A word of a component: NFC, forbidden characters replaced by `_`, without spaces around.
fn sanitize(word: &str) -> String {
    // Bounded before the work: a word longer than a component would be cut anyway, and NFC never shrinks text below a ninth.
    let word: String = word.trim().chars().take(MAX_BYTES * 9).nfc().collect();
    let word: String = word.chars().map(|c| if is_forbidden(c) { '_' } else { c }).collect();
    // A replaced character may have stood before a combining mark; and a trimmed one may have been the only one.
    word.trim().nfc().collect()
}

fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        // Line separators and the marks that turn the direction of text: a name must not pretend to be another.
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Windows reads `con.anything` as the device: the dot becomes `_`.
fn harmless_stem(mut name: String) -> String {
    if let Some(dot) = name.find('.') {
        let stem = name.get(..dot).unwrap_or_default().trim_end().to_ascii_lowercase();
        let numbered = |word: &str| {
            stem.strip_prefix(word).is_some_and(|rest| {
                matches!(rest, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
            })
        };
        if matches!(stem.as_str(), "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt") {
            name.replace_range(dot..=dot, "_");
        }
    }
    name
}

/// Shortens to at most `max` bytes on a character boundary.
fn cut(name: &mut String, max: usize) {
    name.truncate(name.floor_char_boundary(max));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use unicode_normalization::is_nfc;

    use super::*;

    fn assert_legal(name: &str) {
        assert!(!name.is_empty() && name.len() <= MAX_BYTES, "{name:?}");
        assert!(is_nfc(name), "{name:?}");
        assert!(!name.chars().any(is_forbidden), "{name:?}");
        assert!(!name.starts_with('.') && !name.ends_with('.') && !name.ends_with(' '), "{name:?}");
    }

    #[rstest]
    #[case(Some("Keller"), Some("Rosa"), "Keller_Rosa_7")]
    #[case(Some("A/B"), None, "A_B_7")]
    #[case(Some("con"), None, "con_7")]
    #[case(Some("con.x"), Some("y"), "con_x_y_7")]
    #[case(Some("COM1 .log"), None, "COM1 _log_7")]
    #[case(Some(".."), None, "_._7")]
    #[case(Some(".."), Some(".."), "_._.._7")]
    #[case(None, Some("🦀"), "🦀_7")]
    #[case(Some("  "), Some(""), "agent_7")]
    #[case(None, None, "agent_7")]
    #[case(Some("e\u{301}"), None, "\u{e9}_7")]
    #[case(Some("a\u{202e}b\n"), None, "a_b_7")]
    fn agents_are_named(#[case] last: Option<&str>, #[case] first: Option<&str>, #[case] name: &str) {
        assert_eq!(agent_name(AgentId(7), last, first), name);
        assert_legal(name);
    }

    #[test]
    fn nobody_is_no_agent() {
        assert_eq!(agent_name(AgentId::NONE, Some("x"), None), "no_agent");
        assert_eq!(agent_name(AgentId(-1), None, None), "no_agent");
    }

    #[test]
    fn an_interaction_is_named() {
        let time = jiff::civil::time(8, 59, 31, 443_000_000);
        let name = interaction_name(time, Channel::Call, false, MasterId(701_000_000_122));
        assert_eq!(name, "085931_call_in_701000000122");
        let name = interaction_name(time, Channel::Other(12), true, MasterId(5));
        assert_eq!(name, "085931_media12_out_5");
    }

    proptest! {
        #[test]
        fn any_words_give_a_legal_name_that_keeps_the_id(
            last in proptest::option::of(any::<String>()),
            first in proptest::option::of("(\\PC|[./:\u{300}-\u{340}\u{1100}-\u{11ff}]){0,300}"),
            id in 1..=i64::MAX,
        ) {
            let name = agent_name(AgentId(id), last.as_deref(), first.as_deref());
            assert_legal(&name);
            let end = format!("_{id}");
            prop_assert!(name.ends_with(&end));
        }

        #[test]
        fn different_ids_give_different_names(word in any::<String>(), other in any::<String>(), a in 1..200i64, b in 1..200i64) {
            prop_assume!(a != b);
            prop_assert_ne!(agent_name(AgentId(a), Some(&word), None), agent_name(AgentId(b), Some(&other), Some(&word)));
        }

        #[test]
        fn interactions_are_legal_and_distinct(a in any::<i64>(), b in any::<i64>(), media in any::<i64>(), hour in 0..24i8) {
            prop_assume!(a != b);
            let time = jiff::civil::time(hour, 1, 2, 0);
            let channel = Channel::from_media_type_id(media);
            let names = [a, b].map(|id| interaction_name(time, channel, a > b, MasterId(id)));
            assert_legal(&names[0]);
            prop_assert_ne!(&names[0], &names[1]);
        }
    }
}
