//! What is in the cache directory at start: names, sizes and times, and no file opened.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::media::disk::Disk;
use crate::media::key::KeyHash;

/// Threads that look through the directory.
const SCAN_THREADS: usize = 4;

/// A recording found in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub hash: KeyHash,
    /// Bytes that its files occupy.
    pub bytes: u64,
    /// When it was last opened or written: seconds since 1970 and nanoseconds.
    pub used_at: (i64, i64),
}

/// Every recording below `root`, oldest first, and the bytes that the directories themselves occupy. Halves of pairs are removed,
/// foreign files left alone.
pub(super) fn scan(disk: &dyn Disk, root: &Path) -> io::Result<(Vec<Found>, u64)> {
    let mut directories = disk.meta(root)?.occupied;
    let mut shards = Vec::new();
    for shard in disk.list(root)? {
        if shard.meta.is_dir {
            directories += shard.meta.occupied;
            shards.push(root.join(shard.name));
        }
    }
    // One stat per file: 100,000 recordings are 200,000 system calls, so they are shared out.
    let mut found = Vec::new();
    let share = shards.len().div_ceil(SCAN_THREADS).max(1);
    std::thread::scope(|scope| -> io::Result<()> {
        let scan =
            |shards: &[PathBuf]| shards.iter().map(|shard| scan_shard(disk, shard)).collect::<io::Result<Vec<_>>>();
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

fn scan_shard(disk: &dyn Disk, shard: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    // Per hash: what its files occupy, whether each exists, when the index was last used.
    let mut pairs: HashMap<KeyHash, (u64, bool, bool, (i64, i64))> = HashMap::new();
    for entry in disk.list(shard)? {
        let name = entry.name.to_string_lossy();
        let (hash, is_index) = match name.split_once('.') {
            Some((hash, "idx")) => (KeyHash::from_hex(hash), true),
            Some((hash, "data")) => (KeyHash::from_hex(hash), false),
            _ => (None, false),
        };
        let Some(hash) = hash else {
            tracing::warn!(name = %name, "the cache directory holds a file that is not of the cache: {name}; it is left alone and not counted");
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
