//! The cache directory: one sparse data file and one index file per recording. Moves bytes where it is told to; decides
//! nothing and counts nothing.
//!
//! ```text
//! DIR/            0700, owned by us
//!   lock          held while a process uses the directory
//!   key           the id of the key with which recordings are encrypted, if they are
//!   v1/           0700; `v2` where recordings are encrypted; directories of other format versions are removed
//!     ab/         first two digits of the hash
//!       HASH.data sparse, as long as the recording
//!       HASH.idx  see `index`
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::disk::{Disk, DiskFile, RealDisk};
use super::geometry::{BLOCK_SIZE, block_at, block_len, block_start, blocks_of};
use super::index::{self, BadIndex, Form, Header};
use super::key::{KeyHash, RecordingKey, Version};
use super::seal::{BlockCipher, Seal};
use crate::base::crypt::{KeyId, Keys};
use crate::base::lock::lock_exclusively;

const KEY_FILE: &str = "key";
/// Threads that look through the directory at start.
const SCAN_THREADS: usize = 4;

/// The directory, held by this process alone.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    seal: Option<Seal>,
    /// Released by the kernel when closed.
    _lock: Option<File>,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot use the cache directory {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the cache directory {path} belongs to another user")]
    Owner { path: PathBuf },
    #[error("the cache directory {path} is in use by another process")]
    InUse { path: PathBuf },
    #[error(
        "the cache directory {path} is encrypted with the key {found}, which is not the one that is configured: set \
        cache.encryption_key_file (or, to do without it, cache.encryption_previous_key_file) to that key, or empty the directory, \
        and recordings are fetched again"
    )]
    OtherKey { path: PathBuf, found: String },
}

/// A recording found in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub hash: KeyHash,
    /// Bytes that its files occupy.
    pub bytes: u64,
    /// When it was last opened or written: seconds since 1970 and nanoseconds.
    pub used_at: (i64, i64),
}

/// Why a recording's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Index(#[from] BadIndex),
    #[error("the files of the recording contradict each other")]
    Mismatch,
    #[error("the recording was encrypted with another key")]
    OtherKey,
    #[error("cannot read the files of the recording")]
    Io(#[from] io::Error),
}

impl Store {
    /// Whether a directory can be used with these keys, before anything in it is touched. True: not without dropping what is in it.
    pub fn check_key(dir: &Path, keys: &Keys) -> Result<bool, StoreError> {
        let path = dir.join(KEY_FILE);
        let found = match fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(keys.current.is_some());
            }
            Err(source) => return Err(StoreError::Io { path, source }),
        };
        let id = KeyId::from_hex(&found);
        if id.is_some() && id == keys.current.as_ref().map(crate::base::crypt::MasterKey::id) {
            return Ok(false);
        }
        if id.is_none_or(|id| keys.with_id(&id).is_none()) {
            return Err(StoreError::OtherKey { path: dir.to_owned(), found });
        }
        Ok(true)
    }

    /// Opens or creates the directory, encrypted if there is a current key. What was cached in the clear or with the previous
    /// key is dropped; with any other key, the directory is refused. A process that has just left it may still hold it, so a held lock is asked for
    /// again for up to `patience`.
    pub fn open(dir: &Path, keys: &Keys, patience: Duration) -> Result<Store, StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        Store::check_key(dir, keys)?;
        create_dir(dir).map_err(at(dir))?;
        let metadata = fs::metadata(dir).map_err(at(dir))?;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(StoreError::Owner { path: dir.to_owned() });
        }
        if metadata.mode() & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(at(dir))?;
        }
        let lock_path = dir.join("lock");
        let lock = private_file().create(true).truncate(false).open(&lock_path).map_err(at(&lock_path))?;
        if !lock_exclusively(&lock, patience).map_err(at(&lock_path))? {
            return Err(StoreError::InUse { path: dir.to_owned() });
        }
        let seal = keys.current.as_ref().map(Seal::of);
        let form = if seal.is_some() { Form::Sealed } else { Form::Plain };
        let format_dir = format!("v{}", form.number());
        // Again, now that nobody else can change it.
        let dropped = Store::check_key(dir, keys)?;
        drop_formats(dir, |name| dropped || name != format_dir).map_err(at(dir))?;
        note_key(dir, seal.as_ref()).map_err(at(dir))?;
        let root = dir.join(format_dir);
        Ok(Store { _lock: Some(lock), ..Store::on(Arc::new(RealDisk), root.clone(), seal).map_err(at(&root))? })
    }

    /// On any disk, in a directory that nobody else uses.
    pub fn on(disk: Arc<dyn Disk>, root: PathBuf, seal: Option<Seal>) -> io::Result<Store> {
        disk.create_dir(&root)?;
        Ok(Store { disk, root, seal, _lock: None })
    }

    /// How blocks stand in the data files.
    pub fn form(&self) -> Form {
        if self.seal.is_some() { Form::Sealed } else { Form::Plain }
    }

    /// What the files of a recording are called.
    pub fn name(&self, key: &RecordingKey) -> KeyHash {
        self.seal.as_ref().map_or_else(|| KeyHash::of(key), |seal| seal.name(key))
    }

    /// Every recording in the directory, oldest first, and the bytes that the directories themselves occupy. Opens no
    /// file. Halves of pairs are removed, foreign files left alone.
    pub fn scan(&self) -> io::Result<(Vec<Found>, u64)> {
        let mut directories = self.disk.meta(&self.root)?.occupied;
        let mut shards = Vec::new();
        for shard in self.disk.list(&self.root)? {
            if shard.meta.is_dir {
                directories += shard.meta.occupied;
                shards.push(self.root.join(shard.name));
            }
        }
        // One stat per file: 100,000 recordings are 200,000 system calls, so they are shared out.
        let mut found = Vec::new();
        let share = shards.len().div_ceil(SCAN_THREADS).max(1);
        std::thread::scope(|scope| -> io::Result<()> {
            let scan = |shards: &[PathBuf]| {
                shards.iter().map(|shard| scan_shard(self.disk.as_ref(), shard)).collect::<io::Result<Vec<_>>>()
            };
            let threads: Vec<_> = shards.chunks(share).map(|shards| scope.spawn(move || scan(shards))).collect();
            for thread in threads {
                let theirs = thread.join().map_err(|_| io::Error::other("scanning the cache directory panicked"))?;
                found.extend(theirs?.into_iter().flatten());
            }
            Ok(())
        })?;
        found.sort_by_key(|found| (found.used_at, found.hash));
        Ok((found, directories))
    }

    /// Creates the files of a recording of which nothing is here; whatever stood there is replaced.
    pub fn create(&self, hash: KeyHash, version: &Version, created_s: i64) -> io::Result<Files> {
        let sealing = self.seal.as_ref().map(Seal::fresh).transpose()?;
        let header = Header { hash, version: version.clone(), created_s, sealing };
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
            (Some(seal), Some(sealing)) => {
                seal.cipher(sealing, &header.hash, header.version.size).ok_or(Unusable::OtherKey).map(Some)
            }
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

    /// Bytes that the files of a recording occupy; 0 where there are none.
    pub fn occupied(&self, hash: &KeyHash) -> u64 {
        let (data_path, index_path) = self.paths(hash);
        [data_path, index_path].iter().filter_map(|path| self.disk.meta(path).ok()).map(|file| file.occupied).sum()
    }

    /// The data file, open for reading only.
    pub fn open_data(&self, hash: &KeyHash) -> io::Result<File> {
        self.disk.plain(&self.paths(hash).0)
    }

    /// Removes the files of a recording. The index goes first: without it the data are nobody's.
    pub fn unlink(&self, hash: &KeyHash) -> io::Result<()> {
        let (data_path, index_path) = self.paths(hash);
        self.disk.remove(&index_path)?;
        self.disk.remove(&data_path)
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

/// The open files of one recording.
#[derive(Debug)]
pub struct Files {
    data: Box<dyn DiskFile>,
    index: Box<dyn DiskFile>,
    size: u64,
    cipher: Option<BlockCipher>,
}

/// This block cannot be read, or fails its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub u32);

impl Files {
    /// Whether reading compares every byte with a tag, so that checksums need not be.
    pub fn is_sealed(&self) -> bool {
        self.cipher.is_some()
    }

    fn form(&self) -> Form {
        if self.is_sealed() { Form::Sealed } else { Form::Plain }
    }

    /// Appends `len` bytes at `offset` to `out`. An end of the file before that is an error.
    pub fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        match &self.cipher {
            None => self.data.read_into(offset, len, out).map_err(|_| Unreadable(block_at(offset))),
            Some(cipher) => self.read_sealed(cipher, offset..offset + len as u64, out),
        }
    }

    fn read_sealed(&self, cipher: &BlockCipher, span: Range<u64>, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let blocks = blocks_of(&span);
        let mut entries = Vec::new();
        let entries_len = (blocks.end - blocks.start) as usize * index::SEALED_ENTRY_LEN;
        self.index
            .read_into(index::entry_offset(blocks.start, Form::Sealed), entries_len, &mut entries)
            .map_err(|_| Unreadable(blocks.start))?;
        for (block, entry) in blocks.zip(entries.chunks_exact(index::SEALED_ENTRY_LEN)) {
            let (start, len) = (block_start(block), block_len(self.size, block));
            let at = out.len();
            let read = self.data.read_into(start, len as usize, out);
            if read.is_err() || !cipher.open(block, entry, &mut out[at..]) {
                return Err(Unreadable(block));
            }
            out.truncate(at + (span.end.min(start + len) - start) as usize);
            out.drain(at..at + span.start.saturating_sub(start) as usize);
        }
        Ok(())
    }

    /// Writes adjacent blocks, given as the pieces of all of them, then the entries that vouch for them.
    pub fn write_run(&self, first: u32, pieces: &[&[Bytes]], crcs: &[u32]) -> io::Result<()> {
        let lens = pieces.iter().map(|block| block.iter().map(|piece| piece.len() as u64).sum());
        debug_assert!(lens.zip(first..).all(|(len, block): (u64, u32)| len == block_len(self.size, block)));
        let entries = match &self.cipher {
            None => {
                let slices = pieces.iter().copied().flatten().map(|piece| IoSlice::new(piece));
                self.data.write_at(slices.collect(), block_start(first))?;
                crcs.iter().flat_map(|crc| index::encode_present(*crc)).collect()
            }
            Some(cipher) => {
                let (bytes, entries) = sealed(cipher, first, pieces)?;
                self.data.write_at(vec![IoSlice::new(&bytes)], block_start(first))?;
                entries
            }
        };
        self.index.write_at(vec![IoSlice::new(&entries)], index::entry_offset(first, self.form()))
    }

    /// Takes back the entry of a block, then its bytes. An error leaves the block without an entry or untouched.
    pub fn remove_block(&self, block: u32) -> io::Result<()> {
        let absent = &index::ABSENT[..self.form().entry_len()];
        self.index.write_at(vec![IoSlice::new(absent)], index::entry_offset(block, self.form()))?;
        self.punch(block..block + 1)
    }

    /// Frees the disk space of blocks.
    pub fn punch(&self, blocks: Range<u32>) -> io::Result<()> {
        // To the end of the block and not of the file: a hole frees whole units of the file system only.
        let len = u64::from(blocks.end.saturating_sub(blocks.start)) * BLOCK_SIZE;
        self.data.punch(block_start(blocks.start), len)
    }

    /// Bytes that the data file occupies.
    pub fn data_bytes(&self) -> io::Result<u64> {
        Ok(self.data.meta()?.occupied)
    }

    /// Notes on disk that the recording was used at `unix_s`, for the order of eviction after a restart.
    pub fn note_used(&self, unix_s: i64) -> io::Result<()> {
        self.index.set_modified(unix_s)
    }
}

/// Adjacent blocks and their entries, encrypted. The bytes in the clear stay in `pieces` alone.
fn sealed(cipher: &BlockCipher, first: u32, pieces: &[&[Bytes]]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(pieces.iter().copied().flatten().map(Bytes::len).sum());
    let mut entries = Vec::with_capacity(pieces.len() * index::SEALED_ENTRY_LEN);
    for (block, pieces) in (first..).zip(pieces) {
        let at = bytes.len();
        for piece in *pieces {
            bytes.extend_from_slice(piece);
        }
        entries.extend_from_slice(&cipher.seal(block, &mut bytes[at..])?);
    }
    Ok((bytes, entries))
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
    if file.meta()?.len != len {
        return Err(Unusable::Mismatch);
    }
    let mut bytes = Vec::new();
    file.read_into(index::HEADER_LEN as u64, len as usize - index::HEADER_LEN, &mut bytes)?;
    Ok((header.clone(), index::decode_entries(&bytes, header.form())))
}

fn scan_shard(disk: &dyn Disk, shard: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    // Per hash: what its files occupy, whether each exists, when the index was last used.
    let mut pairs: std::collections::HashMap<KeyHash, (u64, bool, bool, (i64, i64))> = std::collections::HashMap::new();
    for entry in disk.list(shard)? {
        let name = entry.name.to_string_lossy();
        let (hash, is_index) = match name.split_once('.') {
            Some((hash, "idx")) => (KeyHash::from_hex(hash), true),
            Some((hash, "data")) => (KeyHash::from_hex(hash), false),
            _ => (None, false),
        };
        let Some(hash) = hash else {
            tracing::warn!(name = %name, "a foreign file in the cache directory; it is left alone and not counted");
            continue;
        };
        let pair = pairs.entry(hash).or_default();
        pair.0 += entry.meta.occupied;
        if is_index {
            pair.1 = true;
            pair.3 = entry.meta.modified;
        } else {
            pair.2 = true;
        }
    }
    for (hash, (bytes, has_index, has_data, used_at)) in pairs {
        if has_index && has_data {
            found.push(Found { hash, bytes, used_at });
        } else {
            disk.remove(&shard.join(format!("{}.idx", hash.hex())))?;
            disk.remove(&shard.join(format!("{}.data", hash.hex())))?;
        }
    }
    Ok(found)
}

fn drop_formats(dir: &Path, is_dropped: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_format = name.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if is_format && is_dropped(&name) && entry.file_type()?.is_dir() {
            tracing::warn!(format = %name, "dropping a cache of another format or key; recordings will be fetched again");
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Notes with which key the directory is encrypted. In one step, and only when nothing of another key is there any more.
fn note_key(dir: &Path, seal: Option<&Seal>) -> io::Result<()> {
    let path = dir.join(KEY_FILE);
    match seal {
        None => match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        Some(seal) => {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            writeln!(file, "{}", seal.id())?;
            file.as_file().sync_all()?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        }
    }
}

fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::crypt::MasterKey;

    fn header(byte: u8, blocks: u64) -> Header {
        let version = Version { size: blocks * BLOCK_SIZE - 10, validator: "e".into() };
        Header { hash: KeyHash([byte; 32]), version, created_s: 5, sealing: None }
    }

    fn create(store: &Store, header: &Header) -> Files {
        store.create(header.hash, &header.version, header.created_s).unwrap()
    }

    fn open(dir: &Path) -> Store {
        Store::open(dir, &Keys::default(), Duration::ZERO).unwrap()
    }

    fn keys(current: u8, previous: u8) -> Keys {
        let key = |byte: u8| (byte > 0).then(|| MasterKey::parse(&[byte; 32]).unwrap());
        Keys { current: key(current), previous: key(previous) }
    }

    #[test]
    fn encrypted_blocks_come_back_and_are_not_what_is_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &keys(1, 0), Duration::ZERO).unwrap();
        let header = header(7, 3);
        let files = create(&store, &header);
        let bytes: Vec<u8> = (0..header.version.size).map(|byte| (byte % 251) as u8).collect();
        let blocks: Vec<[Bytes; 1]> =
            bytes.chunks(BLOCK_SIZE as usize).map(|block| [Bytes::from(block.to_vec())]).collect();
        let run: Vec<&[Bytes]> = blocks.iter().map(<[Bytes; 1]>::as_slice).collect();
        files.write_run(0, &run, &[0, 0, 0]).unwrap();
        for files in
            [files, store.load(&header.hash).unwrap().0, store.reopen(&header.hash, header.version.size).unwrap()]
        {
            for (offset, len) in
                [(0, bytes.len()), (5, 10), (BLOCK_SIZE as usize - 1, 2), (2 * BLOCK_SIZE as usize, 100)]
            {
                let mut out = vec![9];
                files.read_into(offset as u64, len, &mut out).unwrap();
                assert!(out[1..] == bytes[offset..offset + len], "{len} bytes at {offset}");
            }
        }
        let raw = fs::read(store.paths(&header.hash).0).unwrap();
        assert!(!raw.windows(16).any(|window| window == &bytes[..16]));
        let mut raw = raw;
        raw[BLOCK_SIZE as usize + 77] ^= 1;
        fs::write(store.paths(&header.hash).0, raw).unwrap();
        let files = store.load(&header.hash).unwrap().0;
        assert_eq!(files.read_into(0, bytes.len(), &mut Vec::new()), Err(Unreadable(1)));
        files.remove_block(1).unwrap();
        assert_eq!(store.peek(&header.hash).unwrap().1, [Some(0), None, Some(0)]);
    }

    #[test]
    fn keys_come_and_go_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let holds = |keys: &Keys| {
            let store = Store::open(dir.path(), keys, Duration::ZERO)?;
            let held = !store.scan().unwrap().0.is_empty();
            create(&store, &header(1, 1));
            Ok::<bool, StoreError>(held)
        };
        // In the clear, then encrypted, rotated, and in the clear again: each starts empty, and keeps what it has.
        for (current, previous) in [(0, 0), (1, 0), (2, 1), (0, 2)] {
            assert!(!holds(&keys(current, previous)).unwrap());
            assert!(holds(&keys(current, previous)).unwrap());
            let others = if current == 0 { vec![] } else { vec![(9, 0), (0, 0), (0, 9)] };
            for (other, before) in others {
                assert!(
                    matches!(holds(&keys(other, before)), Err(StoreError::OtherKey { .. })),
                    "{other} after {current}"
                );
            }
            assert!(holds(&keys(current, previous)).unwrap(), "a refused key touched something");
        }
    }

    #[test]
    fn blocks_come_back_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let header = header(7, 3);
        let files = create(&store, &header);
        let block = vec![9; BLOCK_SIZE as usize];
        let pieces = [Bytes::new(), Bytes::from(block[..7].to_vec()), Bytes::from(block[7..].to_vec())];
        files.write_run(1, &[&pieces], &[77]).unwrap();
        let (loaded, read, entries) = store.load(&header.hash).unwrap();
        assert_eq!((read, entries), (header.clone(), vec![None, Some(77), None]));
        let mut out = vec![1];
        loaded.read_into(BLOCK_SIZE, BLOCK_SIZE as usize, &mut out).unwrap();
        assert_eq!(out[1..], block);
        assert!(loaded.read_into(header.version.size - 1, 2, &mut out).is_err());
        assert!(files.data_bytes().unwrap() >= BLOCK_SIZE);
        files.remove_block(1).unwrap();
        assert_eq!(files.data_bytes().unwrap(), 0);
        assert_eq!(store.peek(&header.hash).unwrap().1, [None, None, None]);
        store.unlink(&header.hash).unwrap();
        assert!(store.load(&header.hash).is_err());
    }

    #[test]
    fn everything_is_private() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let store = open(dir.path());
        let hash = create(&store, &header(1, 1)).data.meta().map(|_| header(1, 1).hash).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let (data, index) = store.paths(&hash);
        assert_eq!([mode(dir.path()), mode(&store.root), mode(data.parent().unwrap())], [0o700; 3]);
        assert_eq!([mode(&data), mode(&index), mode(&dir.path().join("lock"))], [0o600; 3]);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        assert!(matches!(Store::open(dir.path(), &Keys::default(), Duration::ZERO), Err(StoreError::InUse { .. })));
        drop(store);
        open(dir.path());
    }

    #[test]
    fn a_scan_pairs_files_and_orders_them_by_use() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("v0")).unwrap();
        fs::create_dir(dir.path().join("vault")).unwrap();
        let store = open(dir.path());
        assert!(!dir.path().join("v0").exists() && dir.path().join("vault").exists());
        for (byte, used) in [(1, 300), (2, 100), (3, 200)] {
            create(&store, &header(byte, 1)).note_used(used).unwrap();
        }
        let (data, index) = store.paths(&KeyHash([3; 32]));
        fs::remove_file(index).unwrap();
        let (found, directories) = store.scan().unwrap();
        assert_eq!(found.iter().map(|found| found.hash.0[0]).collect::<Vec<_>>(), [2, 1]);
        assert!(directories > 0 && found.iter().all(|found| found.bytes >= 4096));
        assert!(!data.exists());
    }

    #[test]
    fn damaged_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let header = header(1, 2);
        let (data, index) = store.paths(&header.hash);
        create(&store, &header);
        OpenOptions::new().write(true).open(&data).unwrap().set_len(5).unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::Mismatch)));
        create(&store, &header);
        OpenOptions::new().write(true).open(&index).unwrap().set_len(520).unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::Mismatch)));
        fs::write(&index, b"").unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::Io(_))));
        fs::write(&index, vec![3; 600]).unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::Index(BadIndex::Magic))));
    }
}
