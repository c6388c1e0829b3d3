//! What names a recording and a version of its bytes. Knows nothing of what a key is made of.

use std::fmt;
use std::sync::Arc;

use ring::digest::{Context, SHA256};

use crate::base::crypt::scrub_stack;

/// Names a recording for ever. The cache stores a hash of it, not the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordingKey(pub Arc<str>);

/// What tells one version of a recording's bytes from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Bytes.
    pub size: u64,
    /// The media host's `ETag` (else `Last-Modified`), as sent; empty where it sent none. One longer than 256 bytes is
    /// replaced by its SHA-256.
    pub validator: String,
}

impl Version {
    /// Whether bytes of both may stand in one file. A validator that one side lacks proves nothing, so then the size decides. A weak one is the
    /// same as the strong one: what stands between weakens it on some of its ways, and a recording has no two wordings.
    #[must_use]
    pub fn agrees_with(&self, other: &Version) -> bool {
        let silent = self.validator.is_empty() || other.validator.is_empty();
        self.size == other.size && (silent || strong(&self.validator) == strong(&other.validator))
    }
}

fn strong(validator: &str) -> &str {
    validator.strip_prefix("W/").unwrap_or(validator)
}

/// The hash of a key: the name of its files in the cache, so that a directory listing says nothing about recordings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Hashes a key. Part of the on-disk format.
    #[must_use]
    pub fn of(key: &RecordingKey) -> KeyHash {
        let hash = KeyHash(hashed(key.0.as_bytes()));
        // It named a contact.
        scrub_stack();
        hash
    }

    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// The inverse of [`KeyHash::hex`].
    #[must_use]
    pub fn from_hex(text: &str) -> Option<KeyHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 || digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(KeyHash(bytes))
    }
}

#[inline(never)]
fn hashed(key: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(b"cxonefs recording\0");
    context.update(key);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Short, for logs.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0[..6]))
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_pinned() {
        let hash = KeyHash::of(&RecordingKey("701000000122/0".into()));
        assert_eq!(KeyHash::from_hex(&hash.hex()), Some(hash));
        // A cache written today must be found by every later version.
        assert_eq!(hash.hex(), "6dd9437e881750784ff79b4d440ed2ff7c4fc26e7e9489faeca2624522b6d7c1");
        assert_eq!(KeyHash::from_hex("xyz"), None);
        assert_eq!(KeyHash::from_hex(&hash.hex().to_uppercase()), None);
    }

    #[test]
    fn a_missing_validator_proves_nothing() {
        let version = |size, validator: &str| Version { size, validator: validator.into() };
        assert!(version(5, "a").agrees_with(&version(5, "")));
        assert!(!version(5, "a").agrees_with(&version(5, "b")));
        assert!(!version(5, "").agrees_with(&version(6, "")));
        assert!(version(5, "W/\"a\"").agrees_with(&version(5, "\"a\"")));
        assert!(!version(5, "W/\"a\"").agrees_with(&version(5, "W/\"b\"")));
    }
}
