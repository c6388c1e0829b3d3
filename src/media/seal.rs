//! Encryption of the cache: names of files and blocks of recordings. Knows no file.
//!
//! Each data file has a key of its own, derived from the owner's key, a random salt in the index header and the file's name. A block
//! is encrypted where it stands, with a random nonce per write; nonce and tag stand in its index entry. The tag covers which
//! block of which recording it is, and of how many bytes, so that no block passes for another.

use std::io;

use zeroize::Zeroizing;

use super::index::{self, SEALED_ENTRY_LEN, Sealing};
use super::key::{KeyHash, RecordingKey};
use crate::base::crypt::{self, Cipher, KEY_LEN, KeyId, MasterKey, NONCE_LEN};

/// What the owner's key makes of a cache.
pub struct Seal {
    id: KeyId,
    names: Zeroizing<[u8; KEY_LEN]>,
    blocks: Zeroizing<[u8; KEY_LEN]>,
}

impl Seal {
    /// With the owner's key.
    #[must_use]
    pub fn of(key: &MasterKey) -> Seal {
        Seal { id: key.id(), names: key.derive(b"cache names", b""), blocks: key.derive(b"cache blocks", b"") }
    }

    /// Tells the key from others.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The name of a recording's files, which without the key cannot be told from the recording's.
    #[must_use]
    pub fn name(&self, key: &RecordingKey) -> KeyHash {
        KeyHash(crypt::keyed_hash(&self.names, &[key.0.as_bytes()]))
    }

    /// For a file that is made now.
    pub fn fresh(&self) -> io::Result<Sealing> {
        Ok(Sealing { key_id: self.id, salt: crypt::random().map_err(io::Error::other)? })
    }

    /// For the blocks of a file whose header says this; none if it was sealed with another key.
    #[must_use]
    pub fn cipher(&self, sealing: &Sealing, hash: &KeyHash, size: u64) -> Option<BlockCipher> {
        if sealing.key_id != self.id {
            return None;
        }
        let purpose = [b"file ".as_slice(), &hash.0].concat();
        let key = crypt::derive(self.blocks.as_slice(), &purpose, &sealing.salt);
        Some(BlockCipher { cipher: Cipher::new(&key), hash: *hash, size })
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seal({})", self.id)
    }
}

/// Encrypts and decrypts the blocks of one file.
#[derive(Debug)]
pub struct BlockCipher {
    cipher: Cipher,
    hash: KeyHash,
    size: u64,
}

impl BlockCipher {
    /// Encrypts a block in place. Returns the entry that vouches for it.
    pub fn seal(&self, block: u32, bytes: &mut [u8]) -> io::Result<[u8; SEALED_ENTRY_LEN]> {
        self.seal_with(crypt::random().map_err(io::Error::other)?, block, bytes)
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], block: u32, bytes: &mut [u8]) -> io::Result<[u8; SEALED_ENTRY_LEN]> {
        let tag = self.cipher.seal(nonce, &self.context(block), bytes).map_err(io::Error::other)?;
        Ok(index::encode_sealed(nonce, tag))
    }

    /// Decrypts a block in place. False: these are not the bytes that the entry vouches for.
    #[must_use]
    pub fn open(&self, block: u32, entry: &[u8], bytes: &mut [u8]) -> bool {
        index::decode_sealed(entry)
            .is_some_and(|(nonce, tag)| self.cipher.open(nonce, &self.context(block), bytes, tag).is_ok())
    }

    fn context(&self, block: u32) -> [u8; 44] {
        let mut context = [0; 44];
        context[..32].copy_from_slice(&self.hash.0);
        context[32..40].copy_from_slice(&self.size.to_le_bytes());
        context[40..].copy_from_slice(&block.to_le_bytes());
        context
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::hex;
    use super::*;

    fn seal() -> Seal {
        Seal::of(&MasterKey::parse(&[42; 32]).unwrap())
    }

    fn cipher(salt: u8, hash: u8, size: u64) -> BlockCipher {
        let sealing = Sealing { key_id: seal().id(), salt: [salt; 32] };
        seal().cipher(&sealing, &KeyHash([hash; 32]), size).unwrap()
    }

    /// What is on disk today must be readable by every later version: if this test must change, so must the format version.
    #[test]
    fn golden_bytes() {
        assert_eq!(
            seal().name(&RecordingKey("701000000122/0".into())).hex(),
            "2481045bdbde99c3ed39f76a0ff294139866e39ae6d1b2de9fde5a302f92099e"
        );
        let mut bytes = *b"sixteen bytes...";
        let entry = cipher(9, 7, 16).seal_with([3; NONCE_LEN], 0, &mut bytes).unwrap();
        assert_eq!(hex(&bytes), "4e8631026a75338836230e961adbea5a");
        assert_eq!(hex(&entry), "0100000000000000030303030303030303030303497a4f96f3f18d4e1fd470ddacbc71a400000000");
    }

    #[test]
    fn a_block_stands_in_one_place_only() {
        let (one, plain) = (cipher(9, 7, 100_000), *b"the bytes of one block");
        let mut sealed = plain;
        let entry = one.seal(1, &mut sealed).unwrap();
        let opens = |cipher: &BlockCipher, block, entry: &[u8]| {
            let mut bytes = sealed;
            cipher.open(block, entry, &mut bytes) && bytes == plain
        };
        assert!(opens(&one, 1, &entry));
        assert!(!opens(&one, 0, &entry), "another block of the recording");
        assert!(!opens(&cipher(9, 8, 100_000), 1, &entry), "another recording");
        assert!(!opens(&cipher(9, 7, 100_001), 1, &entry), "another size");
        assert!(!opens(&cipher(8, 7, 100_000), 1, &entry), "another file of the recording");
        assert!(!opens(&one, 1, &[0; SEALED_ENTRY_LEN]), "no entry");
        let mut again = plain;
        assert_ne!((one.seal(1, &mut again).unwrap(), again), (entry, sealed), "a nonce is used once");
        let other = Sealing { key_id: KeyId([0; 16]), salt: [9; 32] };
        assert!(seal().cipher(&other, &KeyHash([7; 32]), 5).is_none());
    }
}
