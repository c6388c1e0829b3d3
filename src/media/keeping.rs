//! Looking after the cache as a whole: what is in it, whether it is sound, what is too old, what is to go for good.
//!
//! Everything here reads the index files and not the block tables, so that recordings nobody has touched since start cost no memory.
//! Knows no requests. All of it may take long and belongs on a blocking thread. Lock order: see `recording`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::blocks::Block;
use super::cache::{Cache, lock};
use super::error::MediaError;
use super::geometry::{block_len, block_start};
use super::key::KeyHash;
use super::recording::{Copied, Recording};
use super::store::Unusable;

/// A block that moves away under the reading is looked at again so often.
const LOOKS_MAX: u32 = 3;

/// What is in the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Bytes on disk, reserved ones included.
    pub used_bytes: u64,
    /// Bytes that it may occupy.
    pub size_bytes: u64,
    /// Recordings of which something is here.
    pub recordings: u64,
    /// Those of which everything is here.
    pub complete: u64,
    pub partial: u64,
    pub blocks: u64,
    /// When the first byte of the oldest and of the newest was fetched, in seconds since 1970.
    pub oldest_s: Option<i64>,
    pub newest_s: Option<i64>,
}

/// How far a look through the whole cache is, and what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    pub recordings: u64,
    /// Recordings that there were when it began.
    pub of: u64,
    pub blocks: u64,
    pub bytes: u64,
    /// Blocks that did not match their checksum and were dropped.
    pub damaged_blocks: u64,
    /// Recordings whose index was of no use and that were dropped as a whole.
    pub damaged_recordings: u64,
}

impl Examined {
    /// Whether everything was as it should be.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged_blocks == 0 && self.damaged_recordings == 0
    }
}

/// Whether bytes fetched at `created_s` are too old at `now_s`; all in seconds.
///
/// What was fetched in the future is not: as a rule it is the clock that is behind, until the network sets it, and what is dropped by then is
/// gone. Should it have been ahead at the fetching, the bytes stay longer by as much; that is not much, because with a clock that is far
/// ahead every certificate has ended, and nothing is fetched.
#[must_use]
pub fn has_expired(created_s: i64, now_s: i64, max_age: Duration) -> bool {
    let age = now_s.saturating_sub(created_s);
    u64::try_from(age).is_ok_and(|age| age >= max_age.as_secs())
}

impl Cache {
    /// Every recording that has files here.
    fn hashes(&self) -> Vec<KeyHash> {
        let registry = lock(&self.registry);
        let mut hashes = lock(&self.space).cold_hashes();
        hashes.extend(registry.by_hash.values().filter(|hot| hot.lock().charged > 0).map(|hot| hot.hash));
        hashes
    }

    /// What is in it. One that goes meanwhile is not counted.
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats { used_bytes: self.used(), size_bytes: self.limit(), ..CacheStats::default() };
        for hash in self.hashes() {
            let Ok((header, entries)) = self.store.peek(&hash) else { continue };
            let present = entries.iter().flatten().count();
            stats.recordings += 1;
            stats.blocks += present as u64;
            if present == entries.len() {
                stats.complete += 1;
            } else {
                stats.partial += 1;
            }
            stats.oldest_s = Some(stats.oldest_s.map_or(header.created_s, |oldest| oldest.min(header.created_s)));
            stats.newest_s = stats.newest_s.max(Some(header.created_s));
        }
        stats
    }

    /// Reads every block and compares it with its checksum, also those that were compared before; drops what does not match.
    /// `each` hears of every recording, and ends it by `false`.
    pub fn examine(&self, each: &mut dyn FnMut(&Examined) -> bool) -> Examined {
        let hashes = self.hashes();
        let mut found = Examined { of: hashes.len() as u64, ..Examined::default() };
        for hash in hashes {
            self.examine_one(&hash, &mut found);
            found.recordings += 1;
            if !each(&found) {
                break;
            }
        }
        found
    }

    fn examine_one(&self, hash: &KeyHash, found: &mut Examined) {
        let hot = self.held(hash);
        let recording = match hot {
            Some(recording) => recording,
            None => match self.examine_cold(hash) {
                Ok((blocks, bytes)) => {
                    found.blocks += blocks;
                    found.bytes += bytes;
                    return;
                }
                Err(Cold::Gone) => return,
                Err(Cold::Useless) => {
                    found.damaged_recordings += 1;
                    return;
                }
                // What a look without locks finds may be an eviction: look again the way readers do.
                Err(Cold::Doubtful(version)) => self.attach(*hash, &version),
            },
        };
        let count = recording.lock().blocks.count();
        for block in 0..count {
            if let Some(sound) = self.examine_block(&recording, block) {
                found.blocks += 1;
                found.bytes += block_len(recording.version.size, block);
                found.damaged_blocks += u64::from(!sound);
            }
        }
        self.detach(&recording);
    }

    /// A recording of this process, with one more reader.
    fn held(&self, hash: &KeyHash) -> Option<Arc<Recording>> {
        let registry = lock(&self.registry);
        let recording = registry.by_hash.get(hash).cloned()?;
        recording.lock().readers += 1;
        Some(recording)
    }

    /// Whether a block is sound; none if it is not here.
    fn examine_block(&self, recording: &Arc<Recording>, block: u32) -> Option<bool> {
        let start = block_start(block);
        let span = start..start + block_len(recording.version.size, block);
        let mut bytes = Vec::new();
        for _ in 0..LOOKS_MAX {
            {
                let mut state = recording.lock();
                if !matches!(state.blocks.get(block), Block::Present { .. }) {
                    return None;
                }
                // The disk may have lost since what it gave before.
                state.blocks.doubt(block);
            }
            bytes.clear();
            match self.copy(recording, &span, &mut bytes) {
                Copied::Done => return Some(true),
                Copied::Moved | Copied::NeedsDisk => {}
                Copied::Damaged(_) => {
                    self.drop_damaged(recording, block);
                    return Some(false);
                }
            }
        }
        None
    }

    /// Looks through the files of a recording that nobody has touched since start. Gives blocks and bytes.
    fn examine_cold(&self, hash: &KeyHash) -> Result<(u64, u64), Cold> {
        let (files, header, entries) = match self.store.load(hash) {
            Ok(loaded) => loaded,
            Err(Unusable::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return Err(Cold::Gone),
            Err(error) if error.may_pass() => {
                let error = super::error::chain(&error);
                tracing::warn!(recording = ?hash, error, "a file of the cache cannot be looked at now ({error}): recording {hash:?}");
                return Err(Cold::Gone);
            }
            Err(error) => {
                let error = super::error::chain(&error);
                tracing::warn!(recording = ?hash, error, "a damaged file of the cache is dropped ({error}): recording {hash:?} will be fetched again");
                self.purge(hash);
                return Err(Cold::Useless);
            }
        };
        let (mut blocks, mut bytes, mut scratch) = (0, 0, Vec::new());
        for (block, crc) in (0..).zip(entries).filter_map(|(block, crc)| Some((block, crc?))) {
            let len = block_len(header.version.size, block);
            scratch.clear();
            let read = files.read_into(block_start(block), len as usize, &mut scratch);
            // An encrypted block was compared with its tag.
            let sound = files.is_sealed() || crc32c::crc32c(&scratch) == crc;
            if read.is_err() || !sound {
                return Err(Cold::Doubtful(header.version));
            }
            blocks += 1;
            bytes += len;
        }
        Ok((blocks, bytes))
    }

    /// Whether what is here of a recording must stay.
    pub fn hold(&self, hash: &KeyHash, is_held: bool) {
        let registry = lock(&self.registry);
        let file = registry.by_hash.get(hash).map(|recording| recording.id);
        lock(&self.space).hold(*hash, file, is_held);
    }

    /// Removes every byte of every recording that is not held; open readers fetch again what they need. `each` hears how many are gone, of how
    /// many.
    pub fn purge_all(&self, each: &mut dyn FnMut(u64, u64)) {
        let hashes = self.hashes();
        let hashes: Vec<KeyHash> = hashes.into_iter().filter(|hash| !lock(&self.space).is_held(hash)).collect();
        let of = hashes.len() as u64;
        for (done, hash) in (1..).zip(&hashes) {
            self.purge(hash);
            each(done, of);
        }
    }

    /// Removes a recording for good: its open readers get no more bytes of it, and nothing under way is stored. The key of an encrypted one is
    /// overwritten first.
    pub fn erase(&self, hash: &KeyHash) {
        if self.has_files(hash) {
            self.forget_keys(&[*hash]);
        }
        if !self.retire_known(hash) {
            self.purge(hash);
        }
    }

    /// Takes a recording that is known in this process out of use.
    fn retire_known(&self, hash: &KeyHash) -> bool {
        let mut registry = lock(&self.registry);
        let known = registry.by_hash.get(hash).cloned();
        if let Some(recording) = &known {
            self.retire(&mut registry, recording, MediaError::Erased);
        }
        known.is_some()
    }

    /// As [`Cache::erase`], all of them.
    pub fn erase_all(&self, each: &mut dyn FnMut(u64, u64)) {
        self.forget_keys(&self.hashes());
        let open: Vec<KeyHash> = lock(&self.registry).by_hash.keys().copied().collect();
        for hash in &open {
            self.retire_known(hash);
        }
        self.purge_all(each);
    }

    /// Overwrites the keys of encrypted recordings. Their bytes are removed even if that fails.
    fn forget_keys(&self, hashes: &[KeyHash]) {
        if let Err(error) = self.store.forget_keys(hashes) {
            tracing::warn!(%error, "cannot overwrite keys of recordings; their files are removed");
        }
    }

    /// Bytes that the files of a recording occupy.
    pub fn occupied(&self, hash: &KeyHash) -> u64 {
        self.store.occupied(hash)
    }

    /// Drops recordings that were fetched too long ago and are not held; open readers fetch again what they need. Gives how many there were.
    pub fn drop_expired(&self) -> u64 {
        let mut dropped = 0;
        for hash in self.hashes() {
            let expired = self.store.header(&hash).is_ok_and(|header| self.is_too_old(&hash, header.created_s));
            if expired {
                self.purge(&hash);
                dropped += 1;
            }
        }
        dropped
    }

    /// Whether bytes of a recording that were fetched then must not be shown any more.
    pub(super) fn is_too_old(&self, hash: &KeyHash, created_s: i64) -> bool {
        has_expired(created_s, self.clock.now().as_second(), self.max_age) && !lock(&self.space).is_held(hash)
    }
}

/// What is the matter with a recording that nobody has touched since start.
enum Cold {
    /// It is gone, or somebody has just opened it, or nobody can at the moment.
    Gone,
    /// Its index says nothing; it was dropped.
    Useless,
    /// A block does not match its checksum.
    Doubtful(super::key::Version),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_counted_from_fetching() {
        let hour = Duration::from_hours(1);
        assert!(!has_expired(1000, 1000, hour) && !has_expired(1000, 4599, hour));
        assert!(has_expired(1000, 4600, hour) && has_expired(1000, i64::MAX, hour));
        // A clock that is a little behind, and one that was never set.
        assert!(!has_expired(1000, 900, hour));
        assert!(!has_expired(1_800_000_000, 0, hour) && !has_expired(i64::MAX, i64::MIN, hour));
    }
}
