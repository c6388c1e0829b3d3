//! The agents and customers of the simulated tenant, by number. Pure.

use super::mix::{below, mix};
use crate::base::AgentId;

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub id: AgentId,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub team_id: i64,
    pub team_name: &'static str,
    /// User Hub's uuid.
    pub user_id: String,
}

const FIRST: [&str; 20] = [
    "Rosa", "Jonas", "Amélie", "Piotr", "Saoirse", "Mehmet", "Ngozi", "Hiroshi", "Lucía", "Björn", "Fatima", "Owen",
    "Priya", "Tomasz", "Zoë", "Liam", "Inés", "Kofi", "Marta", "Dylan",
];
const LAST: [&str; 23] = [
    "Keller",
    "Nowak",
    "O'Brien",
    "Müller",
    "García López",
    "Okafor",
    "Tanaka",
    "Lindström",
    "Haddad",
    "Price",
    "Sharma",
    "Kowalczyk",
    "van der Berg",
    "Murphy",
    "Fernández",
    "Mensah",
    "Rossi",
    "Dubois",
    "Smith-Jones",
    "Yılmaz",
    "Horvat",
    "Nagy",
    "Silva",
];
const TEAMS: [&str; 4] = ["Billing DE", "Sales US", "Care UK", "Back Office"];

/// Names that make trouble for a tree of files: `(first, last)`.
const ODD: [(Option<&str>, Option<&str>); 16] = [
    (Some("A/B"), Some("C\\D")),
    (None, Some("con")),
    (Some(".."), None),
    (Some("🎧🏳️‍🌈"), Some("Émoji e\u{301}")),
    (None, None),
    (Some(""), Some("")),
    (Some("Rosa"), Some("Doppel")),
    (Some("Rosa"), Some("Doppel")),
    (Some("line\nbreak\ttab\u{7f}"), Some("\u{202e}drawkcab")),
    (Some(".hidden"), Some("trailing. ")),
    (Some("*?\"<>|:"), Some("..")),
    (Some("-rf"), Some("~")),
    (Some("  "), Some("\u{a0}")),
    (Some("null"), Some("NUL")),
    (Some("%s%n%00"), Some("$(reboot)`id`")),
    (Some("LONG"), Some("LONG")),
];

/// The id of agent `index`.
pub(super) fn agent_id(index: u32) -> AgentId {
    AgentId(8_812_000 + i64::from(index) * 37)
}

/// Agent `index`. With `odd`, every second agent has one of the odd names, in turn.
pub(super) fn agent(seed: u64, index: u32, odd: bool) -> Agent {
    let word = mix(&[seed, 0x0061_6765_6e74, u64::from(index)]);
    let team = below(mix(&[word, 1]), TEAMS.len() as u64);
    let (first_name, last_name) = if odd && index % 2 == 1 { odd_name(index / 2) } else { plain_name(word) };
    Agent {
        id: agent_id(index),
        first_name,
        last_name,
        team_id: 301 + team as i64,
        team_name: TEAMS[team as usize],
        user_id: uuid(0x11eb, mix(&[word, 2]), u64::from(index)),
    }
}

fn plain_name(word: u64) -> (Option<String>, Option<String>) {
    let first = FIRST[below(mix(&[word, 3]), FIRST.len() as u64) as usize];
    let last = LAST[below(mix(&[word, 4]), LAST.len() as u64) as usize];
    (Some(String::from(first)), Some(String::from(last)))
}

fn odd_name(turn: u32) -> (Option<String>, Option<String>) {
    let (first, last) = ODD[turn as usize % ODD.len()];
    if first == Some("LONG") {
        // 300 bytes that a cut at byte 255 would split within a character, and 90 characters beside it.
        return (Some("ß".repeat(45)), Some("漢".repeat(100)));
    }
    (first.map(String::from), last.map(String::from))
}

/// A customer's telephone number, digits only.
pub(super) fn customer_number(word: u64) -> String {
    format!("4930555{:05}", below(mix(&[word, 5]), 100_000))
}

/// A customer's name.
pub(super) fn customer_name(word: u64) -> String {
    let (first, last) = plain_name(mix(&[word, 6]));
    format!("{} {}", first.unwrap_or_default(), last.unwrap_or_default())
}

/// Something in the form of a uuid that ends in a number, so that the number can be read back from it.
pub(super) fn uuid(kind: u16, word: u64, number: u64) -> String {
    let (a, b) = (word >> 48, word >> 32 & 0xfff);
    format!("{kind:04x}{a:04x}-{b:04x}-4{:03x}-8{:03x}-{number:012x}", word & 0xfff, word >> 12 & 0xfff)
}

/// The number in a [`uuid`] of that kind.
pub(super) fn uuid_number(kind: u16, text: &str) -> Option<u64> {
    let tail = text.strip_prefix(&format!("{kind:04x}"))?.rsplit_once('-')?.1;
    u64::from_str_radix(tail, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_gives_its_number_back() {
        let text = uuid(0x5b7e, 0xdead_beef_1234_5678, 798_000_012_345);
        assert_eq!(text.len(), 36);
        assert_eq!(uuid_number(0x5b7e, &text), Some(798_000_012_345));
        assert_eq!(uuid_number(0x11eb, &text), None);
    }

    #[test]
    fn odd_names_are_there_when_asked_for() {
        let long = agent(1, 31, true);
        assert_eq!(long.last_name.unwrap().len(), 300);
        assert_eq!(agent(1, 13, true).first_name, agent(1, 15, true).first_name);
        assert_eq!(agent(1, 9, true).last_name, None);
        assert!((0..64).all(|index| agent(1, index, false).last_name.is_some_and(|name| name.len() > 2)));
        assert_eq!(agent(1, 4, true), agent(1, 4, false));
    }
}
