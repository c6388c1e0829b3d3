//! Text from elsewhere (a tenant, a proxy, another user's program) made safe to show: on a terminal, in a log, in a table.
//!
//! Control characters steer a terminal, and invisible characters or marks that turn the direction of text make one text look like another.
//! They are replaced, so that the reader sees that something was there. Pure.

use std::borrow::Cow;
use std::fmt::Write;

/// Stands for a character that is not shown.
const REPLACEMENT: char = '\u{fffd}';

/// Whether a character is replaced: control characters, line separators, marks of direction, characters without width.
#[must_use]
pub fn is_unshowable(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text on one line: every character that must not be shown is replaced, line breaks too.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    replaced(text, is_unshowable)
}

/// The same for text of several lines: line breaks stay.
#[must_use]
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |char| char != '\n' && is_unshowable(char))
}

/// The same for lines that a formatter has made: line breaks, tabs and the colours of a terminal stay.
#[must_use]
pub fn shown_coloured(text: &str) -> Cow<'_, str> {
    replaced(text, |char| !matches!(char, '\n' | '\t' | '\u{1b}') && is_unshowable(char))
}

/// JSON with every character that must not be shown as an escape: it means the same.
#[must_use]
pub fn shown_json(json: &str) -> Cow<'_, str> {
    let unshowable = |char| !matches!(char, '\n' | '\r' | '\t') && is_unshowable(char);
    if !json.chars().any(unshowable) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if unshowable(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(char);
        }
    }
    Cow::Owned(text)
}

fn replaced(text: &str, unshowable: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().any(&unshowable) {
        Cow::Owned(text.chars().map(|char| if unshowable(char) { REPLACEMENT } else { char }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_a_terminal_or_turns_text_is_replaced() {
        assert_eq!(shown("Müller, Rosa 漢字 😀"), "Müller, Rosa 漢字 😀");
        assert_eq!(
            shown("\u{1b}[2J\u{202e}exe.\u{200b}x\u{9b}y\r\nz"),
            "\u{fffd}[2J\u{fffd}exe.\u{fffd}x\u{fffd}y\u{fffd}\u{fffd}z"
        );
        assert_eq!(shown_lines("a\nb\u{1b}c"), "a\nb\u{fffd}c");
        assert_eq!(shown_coloured("\u{1b}[31mred\u{1b}[0m\t\u{2066}\n"), "\u{1b}[31mred\u{1b}[0m\t\u{fffd}\n");
    }

    #[test]
    fn json_means_the_same() {
        let json = serde_json::json!({"comm": "a\u{202e}b\u{9b}\u{e0041}", "plain": "x\ny"});
        let text = serde_json::to_string_pretty(&json).unwrap();
        let shown = shown_json(&text);
        assert!(!shown.replace('\n', "").chars().any(is_unshowable), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
    }

    proptest! {
        #[test]
        fn nothing_else_changes(text in "(?s).{0,60}") {
            let shown = shown(&text);
            prop_assert_eq!(shown.chars().count(), text.chars().count());
            prop_assert!(!shown.chars().any(is_unshowable));
            prop_assert!(text.chars().zip(shown.chars()).all(|(before, after)| before == after || is_unshowable(before)));
        }
    }
}
