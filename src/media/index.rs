//! The on-disk format of a recording's block index: version 1, and 3 where the recording is encrypted (2 is read too). Bytes in, bytes out;
//! opens no file.
//!
//! All numbers are little-endian.
//!
//! ```text
//! header, 512 bytes                                   entries, 8 bytes per block, at 512 + 8 × block
//!   0  magic "CXMINDEX"                                 0  state: 0 absent, 1 present      (u32)
//!   8  format version, 1, 2 or 3          (u32)         4  CRC32C of the block's bytes     (u32)
//!  12  block size in bytes                (u32)
//!  16  size of the recording in bytes     (u64)
//!  24  created, seconds since 1970        (i64)
//!  32  SHA-256 hash of the recording key  (32 bytes)
//!  64  length of the validator            (u16)
//!  66  zeros
//!  72  validator                          (256 bytes, padded with zeros)
//! 328  zeros; in version 3, the recording's own key, encrypted with the owner's by AES-256-GCM over the fields above:
//!      328  id of the owner's key         (16 bytes)
//!      344  nonce                         (12 bytes)
//!      356  the recording's key           (32 bytes)
//!      388  tag                           (16 bytes)
//!      in version 2, in which the recording's key is derived from the owner's:
//!      328  id of the owner's key         (16 bytes)
//!      344  salt                          (32 bytes)
//! 508  CRC32C of bytes 0–507              (u32)
//! ```
//!
//! In versions 2 and 3 an entry has 40 bytes, at 512 + 40 × block: state (u32), zeros (u32), the nonce (12 bytes) and the tag (16 bytes) of the
//! block's AES-256-GCM, zeros (4 bytes). The tag stands in for the checksum.
//!
//! Behind the entries may stand a note (see `notes`): an entry like those of blocks, with the CRC32C of the note, and the note up to the end of
//! the file. In versions 2 and 3 it is encrypted as if it were block 2³² − 1. It is written once, in one go, and one that is torn is none. What
//! reads the format without notes drops a recording that has one, and fetches it again.
//!
//! An entry is written after the data it vouches for, and neither is synced. A process that is killed between the two
//! leaves data that nobody vouches for: a miss. A machine that loses power may keep the entry and lose the data: the checksum
//! does not match, a miss again. A torn or damaged header fails its own checksum and the recording is dropped. No state
//! of the two files makes wrong bytes pass, but for a 2⁻³² chance per damaged block.

use super::geometry::{BLOCK_SIZE, MAX_RECORDING_BYTES, block_count};
use super::key::{KeyHash, Version};
use crate::base::crypt::{KEY_LEN, KeyId, NONCE_LEN, TAG_LEN};

/// Bytes of the header.
pub const HEADER_LEN: usize = 512;
/// Bytes of an entry.
pub const ENTRY_LEN: usize = 8;
/// Bytes of an entry where blocks are encrypted.
pub const SEALED_ENTRY_LEN: usize = 40;
/// The longest validator that fits, in bytes.
pub const VALIDATOR_LEN_MAX: usize = 256;

/// The longest note, in bytes.
pub const NOTE_LEN_MAX: usize = 256 * 1024;
/// The number of the block as which a note is encrypted. No recording has so many.
pub const NOTE_BLOCK: u32 = u32::MAX;

const MAGIC: &[u8; 8] = b"CXMINDEX";
const PRESENT: u32 = 1;

/// How the blocks of a recording stand in its data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    Sealed,
}

impl Form {
    /// Bytes of an entry.
    #[must_use]
    pub fn entry_len(self) -> usize {
        match self {
            Form::Plain => ENTRY_LEN,
            Form::Sealed => SEALED_ENTRY_LEN,
        }
    }

    /// The format version.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Form::Plain => 1,
            Form::Sealed => 3,
        }
    }
}

/// Where an encrypted recording's own key is had from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Of the owner's key.
    pub key_id: KeyId,
    pub own: OwnKey,
}

/// The key of one recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKey {
    /// Random, encrypted with the owner's key.
    Wrapped { nonce: [u8; NONCE_LEN], sealed: [u8; KEY_LEN], tag: [u8; TAG_LEN] },
    /// Derived from the owner's key: as version 2 had it.
    Derived { salt: [u8; 32] },
}

/// Where the part of the header begins without which an encrypted recording cannot be decrypted, and its length.
pub const OWN_KEY: (u64, usize) = (328, 76);

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub hash: KeyHash,
    pub version: Version,
    /// Seconds since 1970 at which the first block was fetched.
    pub created_s: i64,
    /// Of an encrypted recording.
    pub sealing: Option<Sealing>,
}

impl Header {
    /// How the blocks stand in the data file.
    #[must_use]
    pub fn form(&self) -> Form {
        if self.sealing.is_some() { Form::Sealed } else { Form::Plain }
    }

    /// The format version that it is written as.
    fn number(&self) -> u32 {
        match self.sealing {
            Some(Sealing { own: OwnKey::Derived { .. }, .. }) => 2,
            _ => self.form().number(),
        }
    }

    /// What the tag of the recording's own key covers: all that the header says besides.
    #[must_use]
    pub fn covered(&self) -> Vec<u8> {
        let version = &self.version;
        let mut covered = b"cxonefs recording key\0".to_vec();
        covered.extend_from_slice(&self.hash.0);
        covered.extend_from_slice(&version.size.to_le_bytes());
        covered.extend_from_slice(&self.created_s.to_le_bytes());
        covered.extend_from_slice(version.validator.as_bytes());
        covered
    }
}

/// Why an index cannot be used. The recording is then dropped and fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIndex {
    #[error("the index is shorter than its header")]
    Short,
    #[error("not a block index")]
    Magic,
    #[error("the index is of another format version")]
    Format,
    #[error("the index header fails its checksum")]
    Checksum,
    #[error("the index header contradicts itself")]
    Contents,
}

/// Bytes of the index of a recording of `size` bytes.
#[must_use]
pub fn index_len(size: u64, form: Form) -> u64 {
    (HEADER_LEN + form.entry_len() * block_count(size) as usize) as u64
}

/// Where a block's entry stands.
#[must_use]
pub fn entry_offset(block: u32, form: Form) -> u64 {
    HEADER_LEN as u64 + u64::from(block) * form.entry_len() as u64
}

/// Writes a header. A validator longer than [`VALIDATOR_LEN_MAX`] does not occur: `check::validator` shortens it.
#[must_use]
pub fn encode_header(header: &Header) -> [u8; HEADER_LEN] {
    let validator = header.version.validator.as_bytes();
    debug_assert!(validator.len() <= VALIDATOR_LEN_MAX);
    let validator = &validator[..validator.len().min(VALIDATOR_LEN_MAX)];
    let mut bytes = [0; HEADER_LEN];
    bytes[0..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&header.number().to_le_bytes());
    bytes[12..16].copy_from_slice(&(BLOCK_SIZE as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&header.version.size.to_le_bytes());
    bytes[24..32].copy_from_slice(&header.created_s.to_le_bytes());
    bytes[32..64].copy_from_slice(&header.hash.0);
    bytes[64..66].copy_from_slice(&(validator.len() as u16).to_le_bytes());
    bytes[72..72 + validator.len()].copy_from_slice(validator);
    if let Some(sealing) = &header.sealing {
        bytes[328..344].copy_from_slice(&sealing.key_id.0);
        match &sealing.own {
            OwnKey::Wrapped { nonce, sealed, tag } => {
                bytes[344..356].copy_from_slice(nonce);
                bytes[356..388].copy_from_slice(sealed);
                bytes[388..404].copy_from_slice(tag);
            }
            OwnKey::Derived { salt } => bytes[344..376].copy_from_slice(salt),
        }
    }
    let crc = crc32c::crc32c(&bytes[..508]);
    bytes[508..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a header.
pub fn decode_header(bytes: &[u8]) -> Result<Header, BadIndex> {
    let bytes = bytes.get(..HEADER_LEN).ok_or(BadIndex::Short)?;
    if bytes[0..8] != *MAGIC {
        return Err(BadIndex::Magic);
    }
    if u32_at(bytes, 508) != crc32c::crc32c(&bytes[..508]) {
        return Err(BadIndex::Checksum);
    }
    let sealing = match u32_at(bytes, 8) {
        1 => None,
        2 => Some(Sealing { key_id: KeyId(array_at(bytes, 328)), own: OwnKey::Derived { salt: array_at(bytes, 344) } }),
        3 => Some(Sealing {
            key_id: KeyId(array_at(bytes, 328)),
            own: OwnKey::Wrapped {
                nonce: array_at(bytes, 344),
                sealed: array_at(bytes, 356),
                tag: array_at(bytes, 388),
            },
        }),
        _ => return Err(BadIndex::Format),
    };
    if u64::from(u32_at(bytes, 12)) != BLOCK_SIZE {
        return Err(BadIndex::Format);
    }
    let size = u64_at(bytes, 16);
    let validator_len = usize::from(u16::from_le_bytes([bytes[64], bytes[65]]));
    if size > MAX_RECORDING_BYTES || validator_len > VALIDATOR_LEN_MAX {
        return Err(BadIndex::Contents);
    }
    let validator = std::str::from_utf8(&bytes[72..72 + validator_len]).map_err(|_| BadIndex::Contents)?;
    Ok(Header {
        hash: KeyHash(array_at(bytes, 32)),
        version: Version { size, validator: validator.to_owned() },
        created_s: u64_at(bytes, 24) as i64,
        sealing,
    })
}

/// For fuzzing: makes the checksum of a header right.
#[cfg(any(test, fuzzing))]
pub fn seal(bytes: &mut [u8]) {
    if let Some(header) = bytes.get_mut(..HEADER_LEN) {
        let crc = crc32c::crc32c(&header[..508]);
        header[508..].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Writes the entry of a present block whose bytes have this checksum.
#[must_use]
pub fn encode_present(crc: u32) -> [u8; ENTRY_LEN] {
    let mut bytes = [0; ENTRY_LEN];
    bytes[..4].copy_from_slice(&PRESENT.to_le_bytes());
    bytes[4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Writes the entry of a present block that was encrypted with this nonce and has this tag.
#[must_use]
pub fn encode_sealed(nonce: [u8; NONCE_LEN], tag: [u8; TAG_LEN]) -> [u8; SEALED_ENTRY_LEN] {
    let mut bytes = [0; SEALED_ENTRY_LEN];
    bytes[..4].copy_from_slice(&PRESENT.to_le_bytes());
    bytes[8..20].copy_from_slice(&nonce);
    bytes[20..36].copy_from_slice(&tag);
    bytes
}

/// Reads the entry of an encrypted block; none if it is absent.
#[must_use]
pub fn decode_sealed(entry: &[u8]) -> Option<([u8; NONCE_LEN], [u8; TAG_LEN])> {
    let present = entry.len() >= SEALED_ENTRY_LEN && u32_at(entry, 0) == PRESENT;
    present.then(|| (array_at(entry, 8), array_at(entry, 20)))
}

/// The entry of an absent block; also what a hole reads as. The first [`Form::entry_len`] bytes of it.
pub const ABSENT: [u8; SEALED_ENTRY_LEN] = [0; SEALED_ENTRY_LEN];

/// Reads the entries that follow a header: the checksum of each present block (0 where blocks are encrypted). Anything but a well-formed entry is absent.
#[must_use]
pub fn decode_entries(bytes: &[u8], form: Form) -> Vec<Option<u32>> {
    let entries = bytes.chunks_exact(form.entry_len());
    entries.map(|entry| (u32_at(entry, 0) == PRESENT).then(|| u32_at(entry, 4))).collect()
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::key::hex;
    use super::*;

    fn header() -> Header {
        Header {
            hash: KeyHash([0xab; 32]),
            version: Version { size: 0x0102_0304, validator: "\"5f8d\"".into() },
            created_s: 1_793_620_800,
            sealing: None,
        }
    }

    fn sealed() -> Header {
        let own = OwnKey::Wrapped { nonce: [0xaa; 12], sealed: [0xef; 32], tag: [0xbb; 16] };
        let sealing = Some(Sealing { key_id: KeyId([0xcd; 16]), own });
        Header { sealing, ..header() }
    }

    /// The format is a promise to caches written by this version: if this test must change, so must the format version.
    #[test]
    fn golden_bytes() {
        let bytes = encode_header(&header());
        let golden = concat!(
            "43584d494e444558",
            "01000000",
            "00000100",
            "0403020100000000",
            "407be86a00000000",
            "abababababababababababababababababababababababababababababababab",
            "0600",
            "000000000000",
            "223566386422",
        );
        assert_eq!(hex(&bytes[..78]), golden);
        assert!(bytes[78..508].iter().all(|byte| *byte == 0));
        assert_eq!(hex(&bytes[508..]), "576f0f42");
        assert_eq!(hex(&encode_present(0xdead_beef)), "01000000efbeadde");
        assert_eq!(entry_offset(3, Form::Plain), 536);
        assert_eq!(index_len(BLOCK_SIZE + 1, Form::Plain), 528);
    }

    /// The same promise where recordings are encrypted; the blocks themselves are pinned in `seal`.
    #[test]
    fn golden_bytes_of_an_encrypted_recording() {
        let bytes = encode_header(&sealed());
        assert_eq!(hex(&bytes[8..12]), "03000000");
        assert!(bytes[12..78] == encode_header(&header())[12..78]);
        assert!(bytes[78..328].iter().all(|byte| *byte == 0) && bytes[404..508].iter().all(|byte| *byte == 0));
        assert!(bytes[328..344] == [0xcd; 16] && bytes[344..356] == [0xaa; 12]);
        assert!(bytes[356..388] == [0xef; 32] && bytes[388..404] == [0xbb; 16]);
        let before = Sealing { key_id: KeyId([0xcd; 16]), own: OwnKey::Derived { salt: [0xef; 32] } };
        let before = encode_header(&Header { sealing: Some(before), ..header() });
        assert_eq!(hex(&before[8..12]), "02000000");
        assert!(before[328..344] == [0xcd; 16] && before[344..376] == [0xef; 32] && before[376..508] == [0; 132]);
        let entry = encode_sealed([1; 12], [2; 16]);
        assert_eq!(hex(&entry), format!("0100000000000000{}{}00000000", "01".repeat(12), "02".repeat(16)));
        assert_eq!(decode_sealed(&entry), Some(([1; 12], [2; 16])));
        assert_eq!(decode_sealed(&ABSENT), None);
        assert_eq!(decode_entries(&[entry, ABSENT].concat(), Form::Sealed), [Some(0), None]);
        assert_eq!(entry_offset(3, Form::Sealed), 632);
        assert_eq!(index_len(BLOCK_SIZE + 1, Form::Sealed), 592);
    }

    #[test]
    fn entries_round_trip() {
        let bytes = [encode_present(7), [0; 8], [2, 0, 0, 0, 1, 1, 1, 1]].concat();
        assert_eq!(decode_entries(&bytes, Form::Plain), [Some(7), None, None]);
    }

    proptest! {
        #[test]
        fn headers_round_trip(size in 0..=MAX_RECORDING_BYTES, created_s: i64, validator in "[ -~]{0,256}", hash: [u8; 32], salt: Option<[u8; 32]>) {
            let sealing = salt.map(|salt| Sealing {
                key_id: KeyId([5; 16]),
                own: if size % 2 == 0 { OwnKey::Derived { salt } } else { OwnKey::Wrapped { nonce: [1; 12], sealed: salt, tag: [2; 16] } },
            });
            let header = Header { hash: KeyHash(hash), version: Version { size, validator }, created_s, sealing };
            prop_assert_eq!(decode_header(&encode_header(&header)), Ok(header));
        }

        #[test]
        fn any_flipped_bit_is_noticed(bit in 0..HEADER_LEN * 8) {
            let mut bytes = encode_header(&header());
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_header(&bytes).is_err());
        }

        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(decode_header(&bytes).is_err());
            let _ = (decode_entries(&bytes, Form::Plain), decode_entries(&bytes, Form::Sealed));
        }
    }
}
