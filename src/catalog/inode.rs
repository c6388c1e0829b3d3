//! Inode numbers: pure functions from what a file is to its number.
//!
//! A number has 63 bits, so that it is positive in SQLite and for tools that read it as signed: 2 bits of class, 53 bits of a
//! fixed-key hash of the identity, 8 bits for the kind of file below it. Days need no hash. 1 is the root.
//! Knows no SQL: that two identities met in one number is found by a UNIQUE column, and answered with the next salt.

use std::cmp::Ordering;

use ring::digest::{Context, SHA256};

use super::kind::FileKind;
use crate::base::{AgentId, Day, MasterId};

const KIND_BITS: u32 = 8;
const HASH_BITS: u32 = 53;
const CLASS_SHIFT: u32 = KIND_BITS + HASH_BITS;

/// The root directory's number, by the kernel's convention.
pub const ROOT_INO: u64 = 1;

/// How many salts are tried before a number is called unobtainable. With 53 bits the second one is needed about once in ten
/// thousand catalogs of a million interactions.
pub(super) const SALTS: u32 = 256;

/// The class bits. Days (0) have no hash and no collisions; the others never meet each other.
#[derive(Clone, Copy)]
enum Class {
    Agent = 1,
    Folder = 2,
    Interaction = 3,
}

/// Inode number of a day's directory.
#[must_use]
pub fn day_ino(day: Day) -> u64 {
    // One above the lowest day, so that no day comes near the root's number.
    let number = (i64::from(day.0) - i64::from(i32::MIN) + 1).unsigned_abs();
    number << KIND_BITS
}

/// Inode number of a folder's `contact.json`.
#[must_use]
pub fn contact_ino(folder_ino: u64) -> u64 {
    folder_ino | 1
}

/// Inode number of one of an interaction's shared files.
#[must_use]
pub fn file_ino(ino_base: u64, kind: FileKind) -> u64 {
    ino_base | u64::from(kind_code(kind))
}

/// Codes of recordings, 16 … 215. Below and above are those of documents.
const RECORDING_CODES_FROM: u8 = 16;
/// Recordings that have numbers of their own.
pub const MAX_RECORDINGS: u8 = 200;
const EMAIL_CODES_FROM: u8 = 4;
/// Emails whose codes, 4 … 15, are below those of recordings; the rest has 216 … 255.
const EMAILS_BELOW: u8 = RECORDING_CODES_FROM - EMAIL_CODES_FROM;
const FURTHER_EMAIL_CODES_FROM: u8 = RECORDING_CODES_FROM + MAX_RECORDINGS;
/// Emails that have numbers of their own.
pub const MAX_EMAILS: u8 = EMAILS_BELOW + (u8::MAX - FURTHER_EMAIL_CODES_FROM + 1);

/// The condition, in SQL, under which a column `kind` is that of a document.
pub(super) const IS_DOCUMENT: &str = "(kind < 16 OR kind > 215)";

/// The low bits of a shared file's number; also its code in the database.
pub(super) fn kind_code(kind: FileKind) -> u8 {
    match kind {
        FileKind::Metadata => 1,
        FileKind::TranscriptText => 2,
        FileKind::TranscriptJson => 3,
        FileKind::Email(index) if index < EMAILS_BELOW => EMAIL_CODES_FROM + index,
        FileKind::Email(index) => FURTHER_EMAIL_CODES_FROM + (index.min(MAX_EMAILS - 1) - EMAILS_BELOW),
        FileKind::Recording(index) => RECORDING_CODES_FROM + index.min(MAX_RECORDINGS - 1),
    }
}

impl Ord for FileKind {
    fn cmp(&self, other: &FileKind) -> Ordering {
        kind_code(*self).cmp(&kind_code(*other))
    }
}

impl PartialOrd for FileKind {
    fn partial_cmp(&self, other: &FileKind) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The inverse of [`kind_code`].
pub(super) fn kind_from_code(code: i64) -> Option<FileKind> {
    let code = u8::try_from(code).ok()?;
    Some(match code {
        0 => return None,
        1 => FileKind::Metadata,
        2 => FileKind::TranscriptText,
        3 => FileKind::TranscriptJson,
        EMAIL_CODES_FROM..RECORDING_CODES_FROM => FileKind::Email(code - EMAIL_CODES_FROM),
        RECORDING_CODES_FROM..FURTHER_EMAIL_CODES_FROM => FileKind::Recording(code - RECORDING_CODES_FROM),
        FURTHER_EMAIL_CODES_FROM.. => FileKind::Email(code - FURTHER_EMAIL_CODES_FROM + EMAILS_BELOW),
    })
}

/// Gives hashed numbers. Holds how many bits of the hash are used: all 53, or few in tests that want collisions.
#[derive(Clone, Copy, Debug)]
pub(super) struct InodeNumbers {
    hash_bits: u32,
}

impl Default for InodeNumbers {
    fn default() -> InodeNumbers {
        InodeNumbers { hash_bits: HASH_BITS }
    }
}

impl InodeNumbers {
    #[cfg(test)]
    pub(super) fn narrowed(hash_bits: u32) -> InodeNumbers {
        InodeNumbers { hash_bits: hash_bits.min(HASH_BITS) }
    }

    /// An agent's directory of one day.
    pub(super) fn agent(self, day: Day, agent: AgentId, salt: u32) -> u64 {
        self.number(Class::Agent, salt, &[i64::from(day.0), agent.0])
    }

    /// An interaction's directory below one agent's of one day.
    pub(super) fn folder(self, day: Day, agent: AgentId, master: MasterId, salt: u32) -> u64 {
        self.number(Class::Folder, salt, &[i64::from(day.0), agent.0, master.0])
    }

    /// The base of an interaction's shared files.
    pub(super) fn interaction(self, master: MasterId, salt: u32) -> u64 {
        self.number(Class::Interaction, salt, &[master.0])
    }

    fn number(self, class: Class, salt: u32, identity: &[i64]) -> u64 {
        // The label is the fixed key: changing it changes every inode number ever published.
        let mut context = Context::new(&SHA256);
        context.update(b"cxonefs inode 1\0");
        context.update(&[class as u8]);
        context.update(&salt.to_be_bytes());
        for part in identity {
            context.update(&part.to_be_bytes());
        }
        let hash = context.finish().as_ref().iter().take(8).fold(0u64, |hash, byte| hash << 8 | u64::from(*byte));
        let hash = hash & ((1 << self.hash_bits) - 1);
        (class as u64) << CLASS_SHIFT | hash << KIND_BITS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_pinned() {
        // Published numbers must survive every release: backups key on them.
        let numbers = InodeNumbers::default();
        assert_eq!(day_ino(Day(20_759)), (20_759 + 2_147_483_649) << 8);
        let found = [
            numbers.agent(Day(20_759), AgentId(8_812_345), 0),
            numbers.folder(Day(20_759), AgentId(8_812_345), MasterId(701_000_000_122), 0),
            numbers.interaction(MasterId(701_000_000_122), 0),
            numbers.interaction(MasterId(701_000_000_122), 1),
        ];
        assert_eq!(found, PINNED);
    }
    /// Computed apart from this code, from the description at the top of the file.
    const PINNED: [u64; 4] =
        [3_231_480_769_171_467_520, 5_062_257_623_532_290_048, 8_126_255_497_045_761_536, 8_418_176_995_395_481_856];

    #[test]
    fn classes_kinds_and_salts_never_meet() {
        let numbers = InodeNumbers::default();
        let mut seen = HashSet::from([ROOT_INO]);
        for n in -3..300 {
            assert!(seen.insert(day_ino(Day(n))));
            assert!(seen.insert(numbers.agent(Day(n), AgentId(n.into()), 0)));
            let folder = numbers.folder(Day(n), AgentId(1), MasterId(n.into()), 0);
            assert!(seen.insert(folder) && seen.insert(contact_ino(folder)));
            for salt in 0..2 {
                let base = numbers.interaction(MasterId(n.into()), salt);
                assert!(seen.insert(base));
                for index in 0..MAX_RECORDINGS {
                    assert!(seen.insert(file_ino(base, FileKind::Recording(index))));
                }
                for index in 0..MAX_EMAILS {
                    assert!(seen.insert(file_ino(base, FileKind::Email(index))));
                }
            }
        }
        assert!(seen.iter().all(|ino| *ino < 1 << 63));
        assert!(seen.insert(day_ino(Day(i32::MIN))) && seen.insert(day_ino(Day(i32::MAX))));
    }

    #[test]
    fn kinds_round_trip_in_their_order() {
        let mut kinds = vec![FileKind::Metadata, FileKind::TranscriptText, FileKind::TranscriptJson];
        kinds.extend((0..EMAILS_BELOW).map(FileKind::Email));
        kinds.extend((0..MAX_RECORDINGS).map(FileKind::Recording));
        kinds.extend((EMAILS_BELOW..MAX_EMAILS).map(FileKind::Email));
        for pair in kinds.windows(2) {
            assert!(pair[0] < pair[1] && kind_code(pair[0]) < kind_code(pair[1]));
        }
        assert_eq!(kinds.len(), 255, "every code but that of the base is somebody's");
        for kind in kinds {
            assert_eq!(kind_from_code(kind_code(kind).into()), Some(kind));
        }
        // Published by the first version.
        let first = [
            FileKind::Metadata,
            FileKind::TranscriptText,
            FileKind::TranscriptJson,
            FileKind::Email(0),
            FileKind::Recording(0),
        ];
        assert_eq!(first.map(kind_code), [1, 2, 3, 4, 16]);
        assert_eq!((kind_code(FileKind::Recording(199)), kind_code(FileKind::Email(1))), (215, 5));
        assert_eq!(kind_from_code(0), None);
        assert_eq!(kind_from_code(256), None);
    }

    #[test]
    fn a_narrowed_hash_collides_and_a_salt_helps() {
        let numbers = InodeNumbers::narrowed(1);
        let all: HashSet<u64> = (0..50).map(|n| numbers.interaction(MasterId(n), 0)).collect();
        assert_eq!(all.len(), 2);
        let salted: HashSet<u64> = (0..50).map(|salt| numbers.interaction(MasterId(1), salt)).collect();
        assert_eq!(salted.len(), 2);
    }
}
