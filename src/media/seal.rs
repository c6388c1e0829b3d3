//! Encryption of the cache: names of files and blocks of recordings. Knows no file.
//!
//! Each data file has a key of its own. It is random, and stands in the index header encrypted with the owner's key; its tag covers all that
//! the header says, so that a file's key opens this version of this recording only. Replacing the owner's key encrypts these keys anew
//! and no block, and a recording whose key was overwritten cannot be decrypted any more. A block is encrypted where it stands, with a random
//! nonce per write; nonce and tag stand in its index entry. The tag covers which block of which recording it is, and of how many
//! bytes, so that no block passes for another.
//!
//! Names of files are keyed hashes. Their key is the first owner's key's, and is kept, encrypted, when that is replaced.

use std::io;

use zeroize::Zeroizing;

use super::index::{self, Header, OwnKey, SEALED_ENTRY_LEN, Sealing};
use super::key::{KeyHash, RecordingKey, Version};
use crate::base::crypt::{self, Cipher, CryptError, KEY_LEN, KeyId, MasterKey, NONCE_LEN, TAG_LEN};
use crate::base::locked::Locked;

/// What the tag of the key of names covers besides it.
const NAMES: &[u8] = b"cxonefs cache names";

/// What the owner's key makes of a cache.
pub struct Seal {
    id: KeyId,
    names: Locked<[u8; KEY_LEN]>,
    /// Encrypts keys of recordings, and the key of names.
    keys: Cipher,
    /// Keys of version 2 are derived from it.
    blocks: Locked<[u8; KEY_LEN]>,
}

impl Seal {
    /// With the owner's key, which is the first one of this cache.
    #[must_use]
    pub fn of(key: &MasterKey) -> Seal {
        Seal {
            id: key.id(),
            names: key.derive(b"cache names", b""),
            keys: Cipher::new(&key.derive(b"cache keys", b"")),
            blocks: key.derive(b"cache blocks", b""),
        }
    }

    /// With the owner's key, where files are named as [`Seal::sealed_names`] of it said; none if that was said with another key.
    #[must_use]
    pub fn naming(key: &MasterKey, names: &[u8]) -> Option<Seal> {
        let seal = Seal::of(key);
        let (nonce, rest) = names.split_first_chunk::<NONCE_LEN>()?;
        let (sealed, tag) = rest.split_first_chunk::<KEY_LEN>()?;
        let mut names = Zeroizing::new(*sealed);
        seal.keys.open(*nonce, NAMES, names.as_mut_slice(), tag.try_into().ok()?).ok()?;
        Some(Seal { names: Locked::new(*names), ..seal })
    }

    /// The same names with another key.
    #[must_use]
    pub fn renewed(&self, key: &MasterKey) -> Seal {
        Seal { names: Locked::new(*self.names), ..Seal::of(key) }
    }

    /// The key of names, encrypted: nonce, key, tag.
    pub fn sealed_names(&self) -> Result<Vec<u8>, CryptError> {
        let (nonce, mut names) = (crypt::random::<NONCE_LEN>()?, *self.names);
        let tag = self.keys.seal(nonce, NAMES, &mut names)?;
        Ok([&nonce[..], &names, &tag].concat())
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

    /// The header of a file that is made now, with a key of its own.
    pub fn fresh(&self, hash: KeyHash, version: &Version, created_s: i64) -> io::Result<Header> {
        let header = Header { hash, version: version.clone(), created_s, sealing: None };
        let key = Zeroizing::new(crypt::random::<KEY_LEN>().map_err(io::Error::other)?);
        self.wrapped(header, &key, crypt::random().map_err(io::Error::other)?).map_err(io::Error::other)
    }

    fn wrapped(&self, header: Header, key: &[u8; KEY_LEN], nonce: [u8; NONCE_LEN]) -> Result<Header, CryptError> {
        let mut sealed = *key;
        let tag: [u8; TAG_LEN] = self.keys.seal(nonce, &header.covered(), &mut sealed)?;
        let sealing = Some(Sealing { key_id: self.id, own: OwnKey::Wrapped { nonce, sealed, tag } });
        Ok(Header { sealing, ..header })
    }

    /// The header of a file whose key was encrypted with the key of `before`, or derived from it; none if it was not, or the header was changed.
    pub fn rewrapped(&self, before: &Seal, header: &Header) -> Result<Option<Header>, CryptError> {
        match before.own_key(header) {
            Some(key) => self.wrapped(header.clone(), &key, crypt::random()?).map(Some),
            None => Ok(None),
        }
    }

    fn own_key(&self, header: &Header) -> Option<Locked<[u8; KEY_LEN]>> {
        let sealing = header.sealing.as_ref().filter(|sealing| sealing.key_id == self.id)?;
        match sealing.own {
            OwnKey::Wrapped { nonce, sealed, tag } => {
                let mut key = Zeroizing::new(sealed);
                self.keys.open(nonce, &header.covered(), key.as_mut_slice(), tag).ok()?;
                Some(Locked::new(*key))
            }
            OwnKey::Derived { salt } => {
                let purpose = [b"file ".as_slice(), &header.hash.0].concat();
                Some(crypt::derive(self.blocks.as_slice(), &purpose, &salt))
            }
        }
    }

    /// For the blocks of a file with this header; none if it was sealed with another key, or is not what it was written as.
    #[must_use]
    pub fn cipher(&self, header: &Header) -> Option<BlockCipher> {
        let key = self.own_key(header)?;
        Some(BlockCipher { cipher: Cipher::new(&key), hash: header.hash, size: header.version.size })
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

    fn header(hash: u8, size: u64) -> Header {
        let version = Version { size, validator: "\"v\"".into() };
        Header { hash: KeyHash([hash; 32]), version, created_s: 7, sealing: None }
    }

    fn with_own(key: u8, header: Header) -> Header {
        seal().wrapped(header, &[key; KEY_LEN], [6; NONCE_LEN]).unwrap()
    }

    fn cipher(key: u8, hash: u8, size: u64) -> BlockCipher {
        seal().cipher(&with_own(key, header(hash, size))).unwrap()
    }

    /// What is on disk today must be readable by every later version: if this test must change, so must the format version.
    #[test]
    fn golden_bytes() {
        assert_eq!(
            seal().name(&RecordingKey("701000000122/0".into())).hex(),
            "2481045bdbde99c3ed39f76a0ff294139866e39ae6d1b2de9fde5a302f92099e"
        );
        let wrapped = with_own(9, header(7, 16));
        let Some(Sealing { own: OwnKey::Wrapped { sealed, tag, .. }, .. }) = wrapped.sealing else {
            panic!("{wrapped:?}")
        };
        assert_eq!(hex(&sealed), "f7df5cc5a91d48de34f7a97ae00d0bb59c50cecf5fbf926f2b50e88621b0969b");
        assert_eq!(hex(&tag), "b96253d2a447f6173a2f0023156bc356");
        let mut bytes = *b"sixteen bytes...";
        let entry = seal().cipher(&wrapped).unwrap().seal_with([3; NONCE_LEN], 0, &mut bytes).unwrap();
        assert_eq!(hex(&bytes), "a2fd930630d9058cb9dbdb109f16fcdc");
        assert_eq!(hex(&entry), "01000000000000000303030303030303030303036de6f843cd26a8e1dc53a67d284b0a8300000000");
    }

    /// The same promise of version 2.
    #[test]
    fn golden_bytes_of_derived_keys() {
        let sealing = Some(Sealing { key_id: seal().id(), own: OwnKey::Derived { salt: [9; 32] } });
        let derived = Header { sealing, ..header(7, 16) };
        let mut bytes = *b"sixteen bytes...";
        let entry = seal().cipher(&derived).unwrap().seal_with([3; NONCE_LEN], 0, &mut bytes).unwrap();
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
    }

    #[test]
    fn a_recordings_key_opens_what_its_header_says_and_nothing_else() {
        let made = seal().fresh(KeyHash([7; 32]), &header(7, 5).version, 7).unwrap();
        assert!(seal().cipher(&made).is_some());
        let version = Version { validator: "\"w\"".into(), ..made.version.clone() };
        assert!(seal().cipher(&Header { version, ..made.clone() }).is_none(), "another version");
        assert!(seal().cipher(&Header { created_s: 8, ..made.clone() }).is_none(), "fetched later");
        assert!(seal().cipher(&Header { hash: KeyHash([8; 32]), ..made.clone() }).is_none(), "another recording");
        let other = Seal::of(&MasterKey::parse(&[43; 32]).unwrap());
        assert!(other.cipher(&made).is_none(), "another owner");
        // Replaced: the same key of the recording, and the same names.
        let renewed = seal().renewed(&MasterKey::parse(&[43; 32]).unwrap());
        let mut bytes = *b"some bytes";
        let entry = seal().cipher(&made).unwrap().seal(0, &mut bytes).unwrap();
        let made = renewed.rewrapped(&seal(), &made).unwrap().unwrap();
        assert!(seal().cipher(&made).is_none() && renewed.rewrapped(&seal(), &made).unwrap().is_none());
        assert!(renewed.cipher(&made).unwrap().open(0, &entry, &mut bytes) && bytes == *b"some bytes");
        let again = Seal::naming(&MasterKey::parse(&[43; 32]).unwrap(), &renewed.sealed_names().unwrap()).unwrap();
        let key = RecordingKey("1/0".into());
        assert!(again.name(&key) == seal().name(&key) && other.name(&key) != seal().name(&key));
        assert!(Seal::naming(&MasterKey::parse(&[42; 32]).unwrap(), &renewed.sealed_names().unwrap()).is_none());
    }
}
