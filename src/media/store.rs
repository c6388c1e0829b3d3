//! The cache directory: one sparse data file and one index file per recording. Moves bytes where it is told to; decides
//! nothing and counts nothing.
//!
//! ```text
//! DIR/            0700, owned by us
//!   lock          held while a process uses the directory
//!   key           the id of the key with which recordings are encrypted, if they are, and the key of their names, encrypted with it
//!   v1/           0700; `v3` where recordings are encrypted; directories of other format versions are removed, but `v2` becomes `v3`
//!     ab/         first two digits of the hash
//!       HASH.data sparse, as long as the recording
//!       HASH.idx  see `index`
//! ```
//!
//! `directory` opens it, `convert` encrypts what is in the clear, `scan` looks through it at start, `files` has the open files of one recording, plain or encrypted.

mod convert;
mod directory;
mod files;
mod scan;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Disk, DiskFile, RealDisk};
use super::index::{self, BadIndex, Form, Header};
use super::key::{KeyHash, RecordingKey, Version};
use super::seal::{BlockCipher, Seal};
use crate::base::crypt::Keys;
pub use directory::StoreError;
use directory::form;
pub use files::{Files, note_len};
pub use scan::Found;

/// The directory, held by this process alone.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    seal: Option<Seal>,
    /// Released by the kernel when closed.
    _lock: Option<File>,
}

/// Why a recording's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Index(#[from] BadIndex),
    #[error("the files of the recording contradict each other")]
    Mismatch,
    #[error("the recording was encrypted with another key, or its index was changed")]
    OtherKey,
    #[error("cannot read the files of the recording")]
    Io(#[from] io::Error),
}

impl Unusable {
    /// The files may be sound: the system is short of descriptors or memory, or the disk fails just now. No reason to drop them.
    pub fn may_pass(&self) -> bool {
        let Unusable::Io(error) = self else { return false };
        !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
    }
}

impl Store {
    /// Whether a directory can be used with these keys, before anything in it is touched.
    pub fn check_key(dir: &Path, keys: &Keys) -> Result<(), StoreError> {
        directory::check_key(dir, keys)
    }

    /// Opens or creates the directory, encrypted if there is a current key. What was cached in the clear is dropped then, and without a
    /// current key what was encrypted; with a key that is not known, the directory is refused. A process that has just left it may still hold it, so a held lock is asked for
    /// again for up to `patience`.
    pub fn open(dir: &Path, keys: &Keys, patience: Duration) -> Result<Store, StoreError> {
        let (lock, root, seal) = directory::hold(dir, keys, patience)?;
        let opened = Store::on(Arc::new(RealDisk::of(&lock)), root.clone(), seal);
        let store = opened.map_err(|source| StoreError::Io { path: root, source })?;
        Ok(Store { _lock: Some(lock), ..store })
    }

    /// On any disk, in a directory that nobody else uses.
    pub fn on(disk: Arc<dyn Disk>, root: PathBuf, seal: Option<Seal>) -> io::Result<Store> {
        disk.create_dir(&root)?;
        Ok(Store { disk, root, seal, _lock: None })
    }

    /// How blocks stand in the data files.
    pub fn form(&self) -> Form {
        form(self.seal.as_ref())
    }

    /// What the files of a recording are called.
    pub fn name(&self, key: &RecordingKey) -> KeyHash {
        self.seal.as_ref().map_or_else(|| KeyHash::of(key), |seal| seal.name(key))
    }

    /// Every recording in the directory, oldest first, and the bytes that the directories themselves occupy. Opens no
    /// file. Halves of pairs are removed, foreign files left alone.
    pub fn scan(&self) -> io::Result<(Vec<Found>, u64)> {
        scan::scan(self.disk.as_ref(), &self.root)
    }

    /// Creates the files of a recording of which nothing is here; whatever stood there is replaced.
    pub fn create(&self, hash: KeyHash, version: &Version, created_s: i64) -> io::Result<Files> {
        let header = match &self.seal {
            Some(seal) => seal.fresh(hash, version, created_s)?,
            None => Header { hash, version: version.clone(), created_s, sealing: None },
        };
        let cipher = self.cipher(&header).map_err(io::Error::other)?;
        let (data_path, index_path) = self.paths(&header.hash);
        if let Some(shard) = data_path.parent() {
            self.disk.create_dir(shard)?;
        }
        self.disk.remove(&index_path)?;
        self.disk.remove(&data_path)?;
        let data = self.disk.create(&data_path)?;
        data.set_len(header.version.size)?;
        let index = self.disk.create(&index_path)?;
        index.set_len(index::index_len(header.version.size, header.form()))?;
        index.write_at(vec![IoSlice::new(&index::encode_header(&header))], 0)?;
        Ok(Files { data, index, size: header.version.size, cipher })
    }

    /// Opens the files of a recording whose header was checked before.
    pub fn reopen(&self, hash: &KeyHash, size: u64) -> io::Result<Files> {
        let (data_path, index_path) = self.paths(hash);
        let (data, index) = (self.disk.open(&data_path)?, self.disk.open(&index_path)?);
        let cipher = match self.seal {
            Some(_) => {
                read_header(index.as_ref(), hash).and_then(|header| self.cipher(&header)).map_err(io::Error::other)?
            }
            None => None,
        };
        Ok(Files { data, index, size, cipher })
    }

    /// The same if that waits for nothing; none also where it fails, and where recordings are encrypted, because their index has to be read.
    pub fn reopen_now(&self, hash: &KeyHash, size: u64) -> Option<Files> {
        if self.seal.is_some() {
            return None;
        }
        let (data_path, index_path) = self.paths(hash);
        let (data, index) = (self.disk.open_now(&data_path)?, self.disk.open_now(&index_path)?);
        Some(Files { data, index, size, cipher: None })
    }

    /// Opens the files of a recording and reads its index.
    pub fn load(&self, hash: &KeyHash) -> Result<(Files, Header, Vec<Option<u32>>), Unusable> {
        let (data_path, index_path) = self.paths(hash);
        let (data, index) = (self.disk.open(&data_path)?, self.disk.open(&index_path)?);
        let (header, entries) = read_index(index.as_ref(), hash)?;
        let (size, cipher) = (header.version.size, self.cipher(&header)?);
        if data.meta()?.len != size {
            return Err(Unusable::Mismatch);
        }
        Ok((Files { data, index, size, cipher }, header, entries))
    }

    fn cipher(&self, header: &Header) -> Result<Option<BlockCipher>, Unusable> {
        match (&self.seal, &header.sealing) {
            (None, None) => Ok(None),
            (Some(seal), Some(_)) => seal.cipher(header).ok_or(Unusable::OtherKey).map(Some),
            _ => Err(Unusable::Mismatch),
        }
    }

    /// Reads the index of a recording and touches nothing.
    pub fn peek(&self, hash: &KeyHash) -> Result<(Header, Vec<Option<u32>>), Unusable> {
        let (_, index_path) = self.paths(hash);
        read_index(self.disk.open(&index_path)?.as_ref(), hash)
    }

    /// Reads the header of a recording's index and touches nothing.
    pub fn header(&self, hash: &KeyHash) -> Result<Header, Unusable> {
        let (_, index_path) = self.paths(hash);
        read_header(self.disk.open(&index_path)?.as_ref(), hash)
    }

    /// Reads the header of a recording's index, and its note if it has a sound one. Touches nothing.
    pub fn note(&self, hash: &KeyHash) -> Result<(Header, Option<Vec<u8>>), Unusable> {
        let (files, header, _) = self.load(hash)?;
        let note = files.read_note();
        Ok((header, note))
    }

    /// Bytes that the files of a recording occupy; 0 where there are none.
    pub fn occupied(&self, hash: &KeyHash) -> u64 {
        let (data_path, index_path) = self.paths(hash);
        [data_path, index_path].iter().filter_map(|path| self.disk.meta(path).ok()).map(|file| file.occupied).sum()
    }

    /// The data file, open for reading only.
    pub fn open_data(&self, hash: &KeyHash) -> io::Result<File> {
        self.disk.plain(&self.paths(hash).0)
    }

    /// The same if that waits for nothing; none also where it fails.
    pub fn open_data_now(&self, hash: &KeyHash) -> Option<File> {
        self.disk.plain_now(&self.paths(hash).0)
    }

    /// Removes the files of a recording. The index goes first: without it the data are nobody's.
    pub fn unlink(&self, hash: &KeyHash) -> io::Result<()> {
        let (data_path, index_path) = self.paths(hash);
        self.disk.remove(&index_path)?;
        self.disk.remove(&data_path)
    }

    /// Overwrites the keys of encrypted recordings, in the file system too: what is left of their bytes cannot be decrypted from then on. Where
    /// one has no files there is nothing to do.
    pub fn forget_keys(&self, hashes: &[KeyHash]) -> io::Result<()> {
        if self.seal.is_none() {
            return Ok(());
        }
        for hash in hashes {
            let (_, index_path) = self.paths(hash);
            match self.disk.open(&index_path) {
                Ok(index) => index.write_at(vec![IoSlice::new(&[0; index::OWN_KEY.1])], index::OWN_KEY.0)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.disk.sync(&self.root)
    }

    /// Bytes that the file system has free for us.
    pub fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes(&self.root)
    }

    fn paths(&self, hash: &KeyHash) -> (PathBuf, PathBuf) {
        let name = hash.hex();
        let shard = self.root.join(&name[..2]);
        (shard.join(format!("{name}.data")), shard.join(format!("{name}.idx")))
    }
}

fn read_header(file: &dyn DiskFile, hash: &KeyHash) -> Result<Header, Unusable> {
    let mut bytes = Vec::new();
    file.read_into(0, index::HEADER_LEN, &mut bytes)?;
    let header = index::decode_header(&bytes)?;
    if header.hash != *hash {
        return Err(Unusable::Mismatch);
    }
    Ok(header)
}

fn read_index(file: &dyn DiskFile, hash: &KeyHash) -> Result<(Header, Vec<Option<u32>>), Unusable> {
    let header = read_header(file, hash)?;
    let len = index::index_len(header.version.size, header.form());
    // A note may follow.
    if file.meta()?.len < len {
        return Err(Unusable::Mismatch);
    }
    let mut bytes = Vec::new();
    file.read_into(index::HEADER_LEN as u64, len as usize - index::HEADER_LEN, &mut bytes)?;
    Ok((header.clone(), index::decode_entries(&bytes, header.form())))
}
