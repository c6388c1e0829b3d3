//! The cache directory: one sparse data file and one index file per recording. Moves bytes where it is told to; decides
//! nothing and counts nothing.
//!
//! ```text
//! DIR/            0700, owned by us
//!   lock          held while a process uses the directory
//!   v1/           0700; directories of other format versions are removed
//!     ab/         first two digits of the hash
//!       HASH.data sparse, as long as the recording
//!       HASH.idx  see `index`
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::disk::{Disk, DiskFile, RealDisk};
use super::geometry::{BLOCK_SIZE, block_len, block_start};
use super::index::{self, BadIndex, Header};
use super::key::KeyHash;
use crate::base::lock::lock_exclusively;

const FORMAT_DIR: &str = "v1";
/// Threads that look through the directory at start.
const SCAN_THREADS: usize = 4;

/// The directory, held by this process alone.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    root: PathBuf,
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
    #[error("cannot read the files of the recording")]
    Io(#[from] io::Error),
}

impl Store {
    /// Opens or creates the directory. A process that has just left it may still hold it, so a held lock is asked for
    /// again for up to `patience`.
    pub fn open(dir: &Path, patience: Duration) -> Result<Store, StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
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
        drop_other_formats(dir).map_err(at(dir))?;
        let root = dir.join(FORMAT_DIR);
        Ok(Store { _lock: Some(lock), ..Store::on(Arc::new(RealDisk), root.clone()).map_err(at(&root))? })
    }

    /// On any disk, in a directory that nobody else uses.
    pub fn on(disk: Arc<dyn Disk>, root: PathBuf) -> io::Result<Store> {
        disk.create_dir(&root)?;
        Ok(Store { disk, root, _lock: None })
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
    pub fn create(&self, header: &Header) -> io::Result<Files> {
        let (data_path, index_path) = self.paths(&header.hash);
        if let Some(shard) = data_path.parent() {
            self.disk.create_dir(shard)?;
        }
        self.disk.remove(&index_path)?;
        self.disk.remove(&data_path)?;
        let data = self.disk.create(&data_path)?;
        data.set_len(header.version.size)?;
        let index = self.disk.create(&index_path)?;
        index.set_len(index::index_len(header.version.size))?;
        index.write_at(vec![IoSlice::new(&index::encode_header(header))], 0)?;
        Ok(Files { data, index, size: header.version.size })
    }

    /// Opens the files of a recording whose header was checked before.
    pub fn reopen(&self, hash: &KeyHash, size: u64) -> io::Result<Files> {
        let (data_path, index_path) = self.paths(hash);
        Ok(Files { data: self.disk.open(&data_path)?, index: self.disk.open(&index_path)?, size })
    }

    /// Opens the files of a recording and reads its index.
    pub fn load(&self, hash: &KeyHash) -> Result<(Files, Header, Vec<Option<u32>>), Unusable> {
        let mut files = self.reopen(hash, 0)?;
        let (header, entries) = read_index(files.index.as_ref(), hash)?;
        files.size = header.version.size;
        if files.data.meta()?.len != files.size {
            return Err(Unusable::Mismatch);
        }
        Ok((files, header, entries))
    }

    /// Reads the index of a recording and touches nothing.
    pub fn peek(&self, hash: &KeyHash) -> Result<(Header, Vec<Option<u32>>), Unusable> {
        let (_, index_path) = self.paths(hash);
        read_index(self.disk.open(&index_path)?.as_ref(), hash)
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
}

impl Files {
    /// Appends `len` bytes at `offset` to `out`. An end of the file before that is an error.
    pub fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.data.read_into(offset, len, out)
    }

    /// Writes adjacent blocks, given as the pieces of all of them, then the entries that vouch for them.
    pub fn write_run(&self, first: u32, pieces: &[&[Bytes]], crcs: &[u32]) -> io::Result<()> {
        let lens = pieces.iter().map(|block| block.iter().map(|piece| piece.len() as u64).sum());
        debug_assert!(lens.zip(first..).all(|(len, block): (u64, u32)| len == block_len(self.size, block)));
        let slices = pieces.iter().copied().flatten().map(|piece| IoSlice::new(piece));
        self.data.write_at(slices.collect(), block_start(first))?;
        let entries: Vec<u8> = crcs.iter().flat_map(|crc| index::encode_present(*crc)).collect();
        self.index.write_at(vec![IoSlice::new(&entries)], index::entry_offset(first))
    }

    /// Takes back the entry of a block, then its bytes. An error leaves the block without an entry or untouched.
    pub fn remove_block(&self, block: u32) -> io::Result<()> {
        self.index.write_at(vec![IoSlice::new(&index::ABSENT)], index::entry_offset(block))?;
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

fn read_index(file: &dyn DiskFile, hash: &KeyHash) -> Result<(Header, Vec<Option<u32>>), Unusable> {
    let mut bytes = Vec::new();
    file.read_into(0, index::HEADER_LEN, &mut bytes)?;
    let header = index::decode_header(&bytes)?;
    if header.hash != *hash || file.meta()?.len != index::index_len(header.version.size) {
        return Err(Unusable::Mismatch);
    }
    bytes.clear();
    let len = index::index_len(header.version.size) as usize - index::HEADER_LEN;
    file.read_into(index::HEADER_LEN as u64, len, &mut bytes)?;
    Ok((header, index::decode_entries(&bytes)))
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

fn drop_other_formats(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_format = name.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if is_format && name != FORMAT_DIR && entry.file_type()?.is_dir() {
            tracing::info!(format = %name, "dropping a cache of another format; recordings will be fetched again");
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
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
    use super::super::key::Version;
    use super::*;

    fn header(byte: u8, blocks: u64) -> Header {
        let version = Version { size: blocks * BLOCK_SIZE - 10, validator: "e".into() };
        Header { hash: KeyHash([byte; 32]), version, created_s: 5 }
    }

    fn open(dir: &Path) -> Store {
        Store::open(dir, Duration::ZERO).unwrap()
    }

    #[test]
    fn blocks_come_back_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let header = header(7, 3);
        let files = store.create(&header).unwrap();
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
        let hash = store.create(&header(1, 1)).map(|_| header(1, 1).hash).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let (data, index) = store.paths(&hash);
        assert_eq!([mode(dir.path()), mode(&store.root), mode(data.parent().unwrap())], [0o700; 3]);
        assert_eq!([mode(&data), mode(&index), mode(&dir.path().join("lock"))], [0o600; 3]);
    }

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        assert!(matches!(Store::open(dir.path(), Duration::ZERO), Err(StoreError::InUse { .. })));
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
            store.create(&header(byte, 1)).unwrap().note_used(used).unwrap();
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
        store.create(&header).unwrap();
        OpenOptions::new().write(true).open(&data).unwrap().set_len(5).unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::Mismatch)));
        store.create(&header).unwrap();
        OpenOptions::new().write(true).open(&index).unwrap().set_len(520).unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::Mismatch)));
        fs::write(&index, b"").unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::Io(_))));
        fs::write(&index, vec![3; 600]).unwrap();
        assert!(matches!(store.load(&header.hash), Err(Unusable::Index(BadIndex::Magic))));
    }
}
