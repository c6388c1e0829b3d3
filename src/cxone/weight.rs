//! What a JSON text takes in memory once it is parsed, estimated from its bytes alone. Pure.
//!
//! A document is parsed into a tree, which may take a hundred times its text: `[[],[],…]` and `[{"":0},{"":0},…]` are small to send and large
//! to hold. So the tree is weighed before it is made.

/// A value in a list or an object, with its share of what grows by doubling; bytes.
const VALUE_BYTES: usize = 96;
/// An object with its table of keys; bytes.
const OBJECT_BYTES: usize = 512;

/// An upper estimate of the bytes that the parsed text takes. The text need not be JSON.
pub(super) fn bytes_parsed(text: &[u8]) -> usize {
    let (mut bytes, mut in_string, mut at) = (text.len(), false, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' if !in_string => bytes += OBJECT_BYTES,
            b'[' | b',' if !in_string => bytes += VALUE_BYTES,
            _ => {}
        }
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_texts_of_large_trees_weigh_much() {
        let mib = 1 << 20;
        let repeated = |part: &str| format!("[{}]", part.repeat(8 * mib / part.len())).into_bytes();
        for part in ["[],", "{\"\":0},", "0,", "{},", "[[["] {
            assert!(bytes_parsed(&repeated(part)) > 200 * mib, "{part}");
        }
        let long = format!("{{\"message\": \"{}\"}}", "x, [{\\\"".repeat(1_000_000));
        assert!(bytes_parsed(long.as_bytes()) < 9 * mib, "a text is as large as it is");
    }

    #[test]
    fn a_long_conversation_is_no_danger() {
        let message = r#"{"id": "7", "participantType": "agent", "participantName": "Rosa", "text": "Hello, how may I help you?", "timeStamp": 1},"#;
        assert!(bytes_parsed(message.repeat(10_000).as_bytes()) < 16 << 20);
    }
}
