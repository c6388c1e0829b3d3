//! Makes JSON of what is almost JSON: bytes that are no UTF-8, control characters in texts, halves of surrogate pairs, `NaN`, a comma behind the
//! last value. Pure.

use std::fmt::Write as _;

/// The text with what no parser takes replaced. What is broken otherwise stays broken.
pub(in crate::cxone) fn mend(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        if in_string {
            match c {
                '\\' => taken = escape(&mut out, rest),
                '"' => {
                    in_string = false;
                    out.push(c);
                }
                c if c < ' ' => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        } else if c == '"' {
            in_string = true;
            out.push(c);
        } else if c == ',' && rest[1..].trim_start().starts_with([']', '}']) {
            // Left out.
        } else if c.is_ascii_alphanumeric() || c == '-' {
            taken = word(&mut out, rest);
        } else {
            out.push(c);
        }
        rest = &rest[taken..];
    }
    out
}

/// Copies an escape; gives its length. One that means nothing loses its backslash.
fn escape(out: &mut String, rest: &str) -> usize {
    let Some(kind) = rest[1..].chars().next() else { return 1 };
    match kind {
        '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => {
            out.push_str(&rest[..2]);
            2
        }
        'u' => match (code(rest), rest.get(6..).and_then(code)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                out.push_str(&rest[..12]);
                12
            }
            (Some(0xd800..=0xdfff), _) => {
                out.push('\u{fffd}');
                6
            }
            (Some(_), _) => {
                out.push_str(&rest[..6]);
                6
            }
            (None, _) => 1,
        },
        _ => 1,
    }
}

/// The number of an escape `\u0000` at the beginning of `rest`.
fn code(rest: &str) -> Option<u32> {
    let digits = rest.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Copies a word outside of texts, or null in place of one that JSON does not know; gives its length.
fn word(out: &mut String, rest: &str) -> usize {
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '+' | '.')).unwrap_or(rest.len());
    let word = &rest[..length];
    let is_number = word.strip_prefix('-').unwrap_or(word).starts_with(|c: char| c.is_ascii_digit());
    let is_known = is_number || matches!(word, "true" | "false" | "null");
    match word {
        "True" => out.push_str("true"),
        "False" => out.push_str("false"),
        word => out.push_str(if is_known { word } else { "null" }),
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_almost_json_becomes_json() {
        for (broken, value) in [
            (
                r#"{"a": NaN, "b": -Infinity, "c": True, "d": undefined}"#,
                json!({"a": null, "b": null, "c": true, "d": null}),
            ),
            ("{\"a\": \"x\u{1}\ny\"}", json!({"a": "x\u{1}\ny"})),
            (
                r#"["\ud800x", "\ud83e\udd80", "\udc00", "\x", "\u00e4"]"#,
                json!(["\u{fffd}x", "\u{1f980}", "\u{fffd}", "x", "ä"]),
            ),
            (r#"{"a": [1, [], ], "b": ",]",}"#, json!({"a": [1, []], "b": ",]"})),
            (r#"[-1.5, 1E+3, "NaN \" NaN"]"#, json!([-1.5, 1e3, "NaN \" NaN"])),
        ] {
            assert_eq!(serde_json::from_str::<Value>(&mend(broken.as_bytes())).unwrap(), value, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_is_json_stays_what_it_is(text in any::<String>(), number in any::<f64>(), flag in any::<bool>()) {
            let json = json!({"a": [text, number, -7, flag, null], text.clone(): 1}).to_string();
            prop_assert_eq!(mend(json.as_bytes()), json);
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\\\u\"d0-9a-f ]{0,40}") {
            let _ = (mend(&bytes), mend(text.as_bytes()));
        }
    }
}
