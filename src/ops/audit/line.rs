//! A line of the audit log and its link to the line before.
//!
//! `chain` of a line is SHA-256 over the chain before it and over the line without `chain`, `salt` and what can be erased, in whose place stands a
//! digest of it and of the salt. So path, names and numbers can be removed later, with the salt that would let them be guessed, and the chain
//! still holds: the digest then stands in the line. A line in any other form than the one it was written in is not ours. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value};

/// Fields in the order in which they stand.
pub type Object = Map<String, Value>;

/// What can be erased.
pub const ERASABLE: [&str; 4] = ["path", "master_contact", "contacts", "paths"];

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

const LINK: &[u8] = b"cxonefs audit line\n";
const DIGEST: &[u8] = b"cxonefs audit erasable\n";

/// A hash of the chain.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// From its text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Hash> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Hash)
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Hash({self})")
    }
}

/// A place in the chain: a line's number and hash. 0 and zeros before the first line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub hash: Hash,
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Hash(hash)
}

/// Serializing a map with text keys cannot fail.
fn json(object: &Object) -> Vec<u8> {
    serde_json::to_vec(object).unwrap_or_default()
}

fn erasable(object: &Object) -> Object {
    let parts = object.iter().filter(|(name, _)| ERASABLE.contains(&name.as_str()));
    parts.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn digest(object: &Object, salt: &str) -> Hash {
    hash(&[DIGEST, salt.as_bytes(), b"\n", &json(&erasable(object))])
}

/// The hash of a line that follows `before`.
fn link(before: &Hash, object: &Object, digest: Option<&Hash>) -> Hash {
    let is_bound = |name: &str| !ERASABLE.contains(&name) && !matches!(name, "salt" | "digest" | "chain");
    let bound = object.iter().filter(|(name, _)| is_bound(name));
    let bound: Object = bound.map(|(name, value)| (name.clone(), value.clone())).collect();
    let digest = digest.map(ToString::to_string).unwrap_or_default();
    hash(&[LINK, &before.0, &json(&bound), b"\n", digest.as_bytes()])
}

/// The line that follows `before`, with its newline, and its place. With `says_before`, the line repeats the hash that it follows.
#[must_use]
pub fn sealed(fields: &Object, before: &Head, says_before: bool, salt: [u8; SALT_BYTES]) -> (Vec<u8>, Head) {
    let number = before.number + 1;
    let mut object = Object::new();
    object.insert(String::from("n"), number.into());
    object.extend(fields.iter().filter(|(name, _)| !ERASABLE.contains(&name.as_str())).map(cloned));
    if says_before {
        object.insert(String::from("prev"), before.hash.to_string().into());
    }
    object.extend(fields.iter().filter(|(name, _)| ERASABLE.contains(&name.as_str())).map(cloned));
    let mut of_erasable = None;
    if object.keys().any(|name| ERASABLE.contains(&name.as_str())) {
        let salt = URL_SAFE_NO_PAD.encode(salt);
        of_erasable = Some(digest(&object, &salt));
        object.insert(String::from("salt"), salt.into());
    }
    let hash = link(&before.hash, &object, of_erasable.as_ref());
    object.insert(String::from("chain"), hash.to_string().into());
    let mut line = json(&object);
    line.push(b'\n');
    (line, Head { number, hash })
}

fn cloned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// A line that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub object: Object,
    pub head: Head,
    /// The hash that it says it follows.
    pub says_before: Option<Hash>,
    /// Of what can be erased in it, if there is or was anything.
    digest: Option<Hash>,
    pub is_erased: bool,
}

impl Line {
    /// Reads a line without its newline; `None` if it is not one of ours, as it was written.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Line> {
        let object: Object = serde_json::from_slice(text).ok()?;
        if json(&object) != text {
            return None;
        }
        let hash_of = |name: &str| object.get(name).map(|value| Hash::parse(value.as_str()?));
        let number = object.get("n")?.as_u64()?;
        let head = Head { number, hash: hash_of("chain")?? };
        let says_before = match hash_of("prev") {
            Some(hash) => Some(hash?),
            None => None,
        };
        let has_erasable = object.keys().any(|name| ERASABLE.contains(&name.as_str()));
        let (digest, is_erased) = match (object.get("salt"), hash_of("digest")) {
            (Some(salt), None) if has_erasable => (Some(digest(&object, salt.as_str()?)), false),
            (None, Some(digest)) if erasable(&object).values().all(Value::is_null) => (Some(digest?), true),
            (None, None) if !has_erasable => (None, false),
            _ => return None,
        };
        Some(Line { object, head, says_before, digest, is_erased })
    }

    /// Whether it follows a line of that hash.
    #[must_use]
    pub fn follows(&self, before: &Hash) -> bool {
        link(before, &self.object, self.digest.as_ref()) == self.head.hash
    }

    /// The same line without what can be erased, and without its newline; `None` if there is nothing to erase.
    #[must_use]
    pub fn erased(&self) -> Option<Vec<u8>> {
        let digest = self.digest.filter(|_| !self.is_erased)?;
        let mut object = Object::new();
        for (name, value) in &self.object {
            match name.as_str() {
                "salt" => drop(object.insert(String::from("digest"), digest.to_string().into())),
                name if ERASABLE.contains(&name) => drop(object.insert(name.to_owned(), Value::Null)),
                _ => drop(object.insert(name.clone(), value.clone())),
            }
        }
        Some(json(&object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Object {
        let text = r#"{"time":"2026-11-02T13:59:31Z","event":"open","uid":1000,"path":"2026-11-02/Keller_Rosa_88/x","master_contact":701}"#;
        serde_json::from_str(text).unwrap()
    }

    fn line() -> Line {
        let (line, head) = sealed(&fields(), &Head::default(), false, [7; SALT_BYTES]);
        let read = Line::read(line.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!(read.head, head);
        read
    }

    /// The format, by an independent computation (Python's hashlib and json).
    #[test]
    fn the_format_is_pinned() {
        let (line, _) = sealed(&fields(), &Head::default(), true, [7; SALT_BYTES]);
        assert_eq!(String::from_utf8(line).unwrap(), include_str!("pinned.jsonl"));
    }

    #[test]
    fn a_line_follows_one_hash_only() {
        let line = line();
        assert!(line.follows(&Hash::default()) && !line.follows(&Hash([1; 32])));
        assert_eq!(line.head.number, 1);
    }

    #[test]
    fn an_erased_line_says_nothing_and_still_follows() {
        let erased = line().erased().unwrap();
        let text = String::from_utf8(erased.clone()).unwrap();
        assert!(!text.contains("Keller") && !text.contains("701") && !text.contains("salt"), "{text}");
        assert!(text.contains(r#""path":null,"master_contact":null"#) && text.contains(r#""uid":1000"#), "{text}");
        let erased = Line::read(&erased).unwrap();
        assert!(erased.is_erased && erased.follows(&Hash::default()));
        assert_eq!(erased.erased(), None, "once is enough");
    }

    #[test]
    fn every_change_shows() {
        let (text, _) = sealed(&fields(), &Head::default(), false, [7; SALT_BYTES]);
        let text = &text[..text.len() - 1];
        for index in 0..text.len() {
            let mut changed = text.to_owned();
            changed[index] ^= 1;
            let read = Line::read(&changed);
            assert!(read.is_none_or(|line| !line.follows(&Hash::default())), "byte {index}");
        }
        let plain = String::from_utf8(text.to_owned()).unwrap();
        for changed in [
            plain.replace("\"uid\":1000", "\"uid\": 1000"),
            plain.replace("\"uid\":1000", "\"uid\":1001,\"uid\":1000"),
            plain.replace("\"path\":\"2026-11-02/Keller_Rosa_88/x\"", "\"path\":null"),
            plain.replace("\"master_contact\":701,", ""),
        ] {
            assert_ne!(changed, plain);
            let read = Line::read(changed.as_bytes());
            assert!(read.is_none_or(|line| !line.follows(&Hash::default())), "{changed}");
        }
    }

    #[test]
    fn a_line_about_nobody_has_nothing_to_erase() {
        let fields: Object = serde_json::from_str(r#"{"time":"2026-11-02T13:59:31Z","event":"mount"}"#).unwrap();
        let (text, _) = sealed(&fields, &Head::default(), true, [0; SALT_BYTES]);
        let line = Line::read(text.strip_suffix(b"\n").unwrap()).unwrap();
        assert!(line.says_before == Some(Hash::default()) && line.erased().is_none());
        assert!(!String::from_utf8(text).unwrap().contains("salt"));
    }
}
