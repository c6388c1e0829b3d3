//! Text that others chose (names of programs, paths in requests), made safe for a log: short, printable, unambiguous enough to read.
//!
//! A control byte is 6 bytes in JSON (`\u0001`); here it is 2. Pure.

use std::fmt::Write as _;

/// A program's short name: the kernel keeps 15 bytes, each of which may become two.
pub const COMM_BYTES_MAX: usize = 48;
/// Path of an executable file.
pub const EXE_BYTES_MAX: usize = 512;
/// A path in the tree: three components of at most 255 bytes, and the day.
pub const PATH_BYTES_MAX: usize = 1024;
/// What is told besides.
pub const DETAIL_BYTES_MAX: usize = 256;

/// At most `max` bytes of `text`, without control characters (`^A` in caret notation) and without characters that change how text is shown
/// (`<202E>`).
#[must_use]
pub fn shown(text: &str, max: usize) -> String {
    const CUT: char = '…';
    if text.len() <= max && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        let before = out.len();
        match c {
            '\0'..='\x1f' => out.extend(['^', char::from(c as u8 + b'@')]),
            '\x7f' => out.push_str("^?"),
            c if is_plain(c) => out.push(c),
            c => {
                // Writing to a String cannot fail.
                let _ = write!(out, "<{:X}>", u32::from(c));
            }
        }
        if out.len() + CUT.len_utf8() > max {
            out.truncate(before);
            out.push(CUT);
            break;
        }
    }
    out
}

/// Neither a control nor one of the invisible characters that reorder, join or hide text.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_short_and_nothing_hides() {
        assert_eq!(shown("cat", 48), "cat");
        assert_eq!(shown("\x01\x02\n\x7fé", 48), "^A^B^J^?é");
        assert_eq!(shown("x\u{202e}fdp", 48), "x<202E>fdp");
        let worst = shown(&"\x01".repeat(15), COMM_BYTES_MAX);
        assert_eq!(worst.len(), 30);
        assert_eq!(serde_json::to_string(&worst).unwrap().len(), 32);
    }

    #[test]
    fn what_is_too_long_is_cut_on_a_character() {
        let cut = shown(&"é".repeat(100), 20);
        assert!(cut.len() <= 20 && cut.ends_with("é…"), "{cut}");
        assert_eq!(shown("exactly", 7), "exactly");
        assert!(shown(&"\u{202e}".repeat(100), 32).len() <= 32);
    }
}
