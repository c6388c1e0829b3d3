//! Files in memory, for recordings of which no byte may be on a disk. They are gone with the process; what is removed is overwritten.
//!
//! How many bytes there are is the cache's matter, as on a real disk. Not protected against: swap, and a reader of this process's memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use zeroize::Zeroizing;

use super::disk::{Disk, DiskFile, Entry, Meta};

/// Bytes that are there or not, together. Indexes are small, blocks have 64 KiB.
const PIECE_BYTES: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryDisk {
    files: Mutex<HashMap<PathBuf, Arc<Mutex<Content>>>>,
}

#[derive(Default)]
struct Content {
    len: u64,
    pieces: BTreeMap<u64, Box<Zeroizing<[u8; PIECE_BYTES]>>>,
    /// Grows with each change.
    changes: i64,
    modified_s: i64,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

#[derive(Debug)]
struct MemoryFile(Arc<Mutex<Content>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

impl Content {
    fn meta(&self) -> Meta {
        Meta {
            is_dir: false,
            len: self.len,
            occupied: (self.pieces.len() * PIECE_BYTES) as u64,
            modified: (self.modified_s, self.changes),
            changed: (0, self.changes),
        }
    }

    /// The pieces that `len` bytes at `offset` touch: number, where in it, how many bytes.
    fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
        let mut at = offset;
        let end = offset + len as u64;
        std::iter::from_fn(move || {
            let within = (at % PIECE_BYTES as u64) as usize;
            let count = (PIECE_BYTES - within).min(usize::try_from(end - at).unwrap_or(PIECE_BYTES));
            let piece = at / PIECE_BYTES as u64;
            at += count as u64;
            (count > 0).then_some((piece, within, count))
        })
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, _path: &Path) -> io::Result<Vec<Entry>> {
        // Only what an earlier process left is looked for.
        Ok(Vec::new())
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        let files = lock(&self.files);
        Ok(files.get(path).map_or(Meta { is_dir: true, ..Meta::default() }, |file| lock(file).meta()))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = Arc::new(Mutex::new(Content::default()));
        let mut files = lock(&self.files);
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.insert(path.to_owned(), Arc::clone(&file));
        Ok(Box::new(MemoryFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = lock(&self.files).get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MemoryFile(file)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        lock(&self.files).remove(path);
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX / 2)
    }

    fn sync(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// There is none that the kernel could read.
    fn plain(&self, _path: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl DiskFile for MemoryFile {
    fn meta(&self) -> io::Result<Meta> {
        Ok(lock(&self.0).meta())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        // What is cut off is rewritten from the start by whoever makes it longer again.
        content.pieces.split_off(&len.div_ceil(PIECE_BYTES as u64));
        content.len = len;
        content.changes += 1;
        Ok(())
    }

    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let content = lock(&self.0);
        if offset + len as u64 > content.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.reserve_exact(len);
        for (piece, within, count) in Content::spans(offset, len) {
            match content.pieces.get(&piece) {
                Some(bytes) => out.extend_from_slice(&bytes[within..within + count]),
                None => out.resize(out.len() + count, 0),
            }
        }
        Ok(())
    }

    fn write_at(&self, slices: Vec<IoSlice<'_>>, mut offset: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        for slice in slices {
            let mut rest = &slice[..];
            for (piece, within, count) in Content::spans(offset, slice.len()) {
                let (now, later) = rest.split_at(count);
                let empty = || Box::new(Zeroizing::new([0; PIECE_BYTES]));
                content.pieces.entry(piece).or_insert_with(empty)[within..within + count].copy_from_slice(now);
                rest = later;
            }
            offset += slice.len() as u64;
        }
        content.len = content.len.max(offset);
        content.changes += 1;
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut content = lock(&self.0);
        let pieces = offset.div_ceil(PIECE_BYTES as u64)..(offset + len) / PIECE_BYTES as u64;
        content.pieces.retain(|piece, _| !pieces.contains(piece));
        content.changes += 1;
        Ok(())
    }

    fn set_modified(&self, unix_s: i64) -> io::Result<()> {
        lock(&self.0).modified_s = unix_s;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_memory_is_a_file() {
        let disk = MemoryDisk::default();
        let path = Path::new("/a/b");
        let file = disk.create(path).unwrap();
        assert!(disk.create(path).is_err());
        file.set_len(20_000).unwrap();
        let text: Vec<u8> = (0..9000).map(|byte| (byte % 250) as u8).collect();
        file.write_at(vec![IoSlice::new(&text[..10]), IoSlice::new(&text[10..])], 5000).unwrap();
        let mut out = vec![1];
        disk.open(path).unwrap().read_into(4990, 9020, &mut out).unwrap();
        assert!(out[1..11] == [0; 10] && out[11..9011] == text && out[9011..] == [0; 10]);
        assert!(file.read_into(19_999, 2, &mut out).is_err());
        let before = file.meta().unwrap();
        assert_eq!((before.len, before.occupied), (20_000, 12_288));
        file.punch(4096, 8192).unwrap();
        assert_eq!(file.meta().unwrap().occupied, 4096);
        assert_ne!(file.meta().unwrap().stamp(), before.stamp());
        disk.remove(path).unwrap();
        assert!(disk.open(path).is_err() && disk.plain(path).is_err());
        file.read_into(0, 1, &mut out).unwrap();
    }
}
