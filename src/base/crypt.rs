//! Keys and authenticated encryption of what lies on disk. Knows neither files nor what the bytes are.
//!
//! Everything comes from one key of 32 bytes by HKDF-SHA256, with a label per purpose, so that no two purposes share a key.
//! Encryption is AES-256-GCM. Keys are in memory that is not swapped out (`locked`). Not protected against: a reader of this process's memory, or an attacker who restores an older copy of
//! a whole file or row.

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use super::locked::Locked;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;
/// Bytes of the tag that shows a change.
pub const TAG_LEN: usize = 16;

/// The operating system gave no random bytes, or a cipher refused its input, which is longer than any that occurs (64 GiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encryption failed")]
pub struct CryptError;

/// The key that the owner keeps. Gone from memory with its last holder.
#[derive(Clone)]
pub struct MasterKey(Arc<Locked<[u8; KEY_LEN]>>);

/// The key in force, and the one before it while it is being replaced.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub current: Option<MasterKey>,
    pub previous: Option<MasterKey>,
}

impl Keys {
    /// Whichever of the two keys has this id.
    #[must_use]
    pub fn with_id(&self, id: &KeyId) -> Option<&MasterKey> {
        [&self.current, &self.previous].into_iter().flatten().find(|key| key.id() == *id)
    }
}

/// Tells one key from another and says nothing about it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub [u8; 16]);

impl KeyId {
    /// The inverse of `Display`.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<KeyId> {
        let mut bytes = [0; 16];
        unhex(text.trim(), &mut bytes).then_some(KeyId(bytes))
    }
}

/// 32 lower-case hexadecimal digits.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl MasterKey {
    /// The contents of a key file: 32 bytes as they are, or in hexadecimal (64 digits) or base64, with white space around them.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<MasterKey> {
        use base64::Engine as _;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if file.len() == KEY_LEN {
            key.copy_from_slice(file);
            return Some(MasterKey::new(&key));
        }
        let text = std::str::from_utf8(file).ok()?.trim();
        if unhex(text, key.as_mut_slice()) {
            return Some(MasterKey::new(&key));
        }
        let unpadded = text.trim_end_matches('=');
        let bytes = Zeroizing::new(base64::engine::general_purpose::STANDARD_NO_PAD.decode(unpadded).ok()?);
        if bytes.len() != KEY_LEN {
            return None;
        }
        key.copy_from_slice(&bytes);
        Some(MasterKey::new(&key))
    }

    fn new(key: &[u8; KEY_LEN]) -> MasterKey {
        MasterKey(Arc::new(Locked::new(*key)))
    }

    /// What tells this key from others.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let derived = self.derive(b"key id", b"");
        let mut id = [0; 16];
        id.copy_from_slice(&derived[..16]);
        KeyId(id)
    }

    /// A key for one purpose. `salt` may be public.
    #[must_use]
    pub fn derive(&self, purpose: &[u8], salt: &[u8]) -> Locked<[u8; KEY_LEN]> {
        derive(self.0.as_slice(), purpose, salt)
    }
}

/// Shows no key.
impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id())
    }
}

/// A key for one purpose, from another key.
#[must_use]
pub fn derive(key: &[u8], purpose: &[u8], salt: &[u8]) -> Locked<[u8; KEY_LEN]> {
    let mut out = Zeroizing::new([0; KEY_LEN]);
    let info = [b"cxonefs ".as_slice(), purpose];
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(key);
    // Neither step can fail for 32 bytes of output; should one, no key of zeros may be used.
    let filled = prk.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(out.as_mut_slice()));
    assert!(filled.is_ok(), "HKDF-SHA256 gives 32 bytes");
    Locked::new(*out)
}

/// A keyed hash.
#[must_use]
pub fn keyed_hash(key: &[u8; KEY_LEN], parts: &[&[u8]]) -> [u8; 32] {
    let hash = hashed(key, parts);
    scrub_stack();
    hash
}

/// Bytes of the stack that [`scrub_stack`] overwrites: more than hashing takes.
const SCRUBBED_BYTES: usize = 8 << 10;

/// Overwrites what a function left on the stack that was called right before: a hash keeps its last block there, which is the name of a contact, or
/// a part of what was made with a key.
#[inline(never)]
pub fn scrub_stack() {
    let mut left = [0_u8; SCRUBBED_BYTES];
    // The compiler must not leave it out.
    std::hint::black_box(&mut left);
}

#[inline(never)]
fn hashed(key: &[u8; KEY_LEN], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        // Lengths between the parts, so that no two lists of parts look alike.
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], CryptError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| CryptError)?;
    Ok(bytes)
}

/// Encrypts and decrypts with one key. A nonce must be used once per key.
pub struct Cipher(Locked<LessSafeKey>);

impl Cipher {
    /// With this key.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Cipher {
        match UnboundKey::new(&AES_256_GCM, key) {
            Ok(key) => Cipher(Locked::new(LessSafeKey::new(key))),
            Err(_) => unreachable!("AES-256 takes 32 bytes"),
        }
    }

    /// Encrypts in place; the tag covers `context` too.
    pub fn seal(&self, nonce: [u8; NONCE_LEN], context: &[u8], bytes: &mut [u8]) -> Result<[u8; TAG_LEN], CryptError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(context), bytes).map_err(|_| CryptError)?;
        let mut out = [0; TAG_LEN];
        out.copy_from_slice(tag.as_ref());
        Ok(out)
    }

    /// Decrypts in place. An error: another key, another context, or other bytes than were encrypted; `bytes` are then worthless.
    pub fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        context: &[u8],
        bytes: &mut [u8],
        tag: [u8; TAG_LEN],
    ) -> Result<(), CryptError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.0.open_in_place_separate_tag(nonce, Aad::from(context), Tag::from(tag), bytes, 0..);
        opened.map(|_| ()).map_err(|_| CryptError)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

/// The bytes that hexadecimal digits stand for.
#[must_use]
pub fn bytes_of_hex(digits: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; digits.len() / 2];
    unhex(digits, &mut bytes).then_some(bytes)
}

fn unhex(text: &str, out: &mut [u8]) -> bool {
    let digits = text.as_bytes();
    if digits.len() != 2 * out.len() {
        return false;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let (Some(high), Some(low)) = (char::from(pair[0]).to_digit(16), char::from(pair[1]).to_digit(16)) else {
            return false;
        };
        *byte = (high * 16 + low) as u8;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_key_file_is_raw_or_hexadecimal_or_base64() {
        let raw: Vec<u8> = (0..32).collect();
        let id = MasterKey::parse(&raw).unwrap().id();
        for text in [format!("{HEX}\n"), HEX.to_uppercase(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n".into()] {
            assert_eq!(MasterKey::parse(text.as_bytes()).unwrap().id(), id, "{text}");
        }
        for bad in ["", "password", &HEX[2..], "AAEC"] {
            assert!(MasterKey::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    /// What is on disk today must be readable by every later version.
    #[test]
    fn derived_keys_are_pinned() {
        let key = MasterKey::parse(HEX.as_bytes()).unwrap();
        assert_eq!(key.id().to_string(), "790273236046d70b25b9910c30c10c19");
        assert_eq!(KeyId::from_hex(&key.id().to_string()), Some(key.id()));
        assert!(!format!("{key:?}").contains("0001"));
        assert_ne!(*key.derive(b"a", b""), *key.derive(b"b", b""));
        assert_ne!(*key.derive(b"a", b""), *key.derive(b"a", b"salt"));
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let cipher = Cipher::new(&[7; KEY_LEN]);
        let mut bytes = *b"a recording";
        let tag = cipher.seal([1; NONCE_LEN], b"where", &mut bytes).unwrap();
        assert_ne!(&bytes, b"a recording");
        let open = |nonce, context: &[u8], mut bytes: [u8; 11], tag| {
            cipher.open(nonce, context, &mut bytes, tag).map(|()| bytes)
        };
        assert_eq!(open([1; NONCE_LEN], b"where", bytes, tag).unwrap(), *b"a recording");
        assert!(open([2; NONCE_LEN], b"where", bytes, tag).is_err());
        assert!(open([1; NONCE_LEN], b"elsewhere", bytes, tag).is_err());
        assert!(open([1; NONCE_LEN], b"where", bytes, [0; TAG_LEN]).is_err());
        bytes[3] ^= 1;
        assert!(open([1; NONCE_LEN], b"where", bytes, tag).is_err());
        assert!(Cipher::new(&[8; KEY_LEN]).open([1; NONCE_LEN], b"where", &mut bytes, tag).is_err());
    }
}
