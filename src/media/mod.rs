//! Bytes of recordings: ranged source, block cache on disk, LRU, readahead, reader.
//!
//! Knows no contacts: a recording is an opaque key, and a fresh link comes from a [`LinkSource`] that it is given.
//!
//! ```text
//! reader ─→ plan (what to fetch)                         key, geometry, error, settings: words
//!   │         │
//!   │         ↓
//!   │       fetch ─→ session (links, retries) ─→ source (HTTP) ─→ check (is the answer what was asked?)
//!   │         │       │ gate, traffic, line: who goes first    └─→ reach (may one go there?)
//!   │         │ assemble, writer: blocks as they arrive; rescue: the rest before a link ends
//!   ↓         ↓
//! recording (block table; stored: what can be read of it) ←─ cache, load (what was here), evict (room), fill (blocks in), verify (checksums) ─→ space (accounting, LRU)
//!                                │        notes (the owner's, beside the bytes)
//!                              └─→ store (files) ─→ disk (the file system), index (format)
//! ```
//!
//! Recordings of which no byte may be on disk (`never`) go through a second engine whose store is in memory (`memory_disk`).
//!
//! What holds at any time:
//!
//! - A block is brought by one fetch at a time, and never overwritten once present.
//! - Nothing is returned that was not compared with its checksum in this process, or fetched by it.
//! - A block that has arrived is read from memory until it is on disk; nobody waits for the disk.
//! - One thread at a time writes blocks of a recording, several adjacent ones at once.
//! - Room is reserved before it is written to; nothing is counted as free before it is.
//! - Killed at any point, the cache is usable at once: see `index` for why no state of the files makes wrong bytes pass.
//! - What it holds in memory besides the block table is bounded: fetches by [`MediaSettings::memory`], blocks that the disk
//!   does not take by a constant.

mod ageing;
mod askers;
mod asking;
mod assemble;
mod blocks;
mod cache;
mod check;
mod digest;
mod disk;
mod engine;
mod error;
mod error_replay;
mod evict;
mod fetch;
mod fill;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gate;
pub mod geometry;
mod hosts;
pub mod index;
mod keeping;
mod key;
mod lifeline;
mod line;
mod links;
mod load;
mod memory_disk;
mod never;
mod notes;
mod off_disk;
pub mod plan;
mod probe;
mod reach;
mod reader;
mod recording;
mod rescue;
mod seal;
mod session;
mod settings;
mod signings;
mod source;
mod space;
mod spill;
mod store;
mod stored;
mod sync;
#[cfg(test)]
mod tests;
mod traffic;
mod verify;
mod writer;

pub use error::{MediaError, StorageRefusal};
pub use gate::{GateSnapshot, HostUse};
pub use keeping::{CacheStats, Examined};
pub use key::{KeyHash, RecordingKey, Version};
pub use links::{Link, LinkSource, OneLink};
pub use never::IsNever;
pub use reach::MediaReach;
pub use reader::{Now, Reader};
pub use settings::MediaSettings;
pub use stored::VerifiedFile;

use std::sync::Arc;

use crate::base::Clock;
use crate::base::crypt::Keys;
use crate::net::ServiceState;
use engine::Engine;
use geometry::MAX_RECORDING_BYTES;
use lifeline::Lifeline;
use never::Never;
use recording::Recording;

/// The cache and its fetcher. Cheap to clone. Fetches end when the last clone and the last reader are gone.
#[derive(Clone)]
pub struct Media {
    lifeline: Arc<Lifeline>,
    /// For recordings of which no byte may be on disk.
    never: Option<Arc<Never>>,
}

/// Held while the kernel reads a data file by itself.
pub struct Passthrough {
    engine: Arc<Engine>,
    recording: Arc<Recording>,
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        self.engine.cache.end_passthrough(&self.recording);
    }
}

impl Media {
    /// Opens or creates the cache directory (0700). Starts no task and makes no request. Fails if the directory cannot be
    /// used, belongs to somebody else, or is in use by another process.
    pub fn open(settings: MediaSettings, clock: Arc<dyn Clock>) -> Result<Media, MediaError> {
        Media::open_sealed(settings, &Keys::default(), clock)
    }

    /// As [`Media::open`], with the cache encrypted if there is a current key. What is cached in the clear is dropped then; what is encrypted
    /// with the previous key becomes the current one's. A directory with another key is refused.
    pub fn open_sealed(settings: MediaSettings, keys: &Keys, clock: Arc<dyn Clock>) -> Result<Media, MediaError> {
        let engine = Arc::new(Engine::new(settings, keys, clock)?);
        engine.watch_links(rescue::watch);
        Ok(Media { lifeline: Arc::new(Lifeline { engine }), never: None })
    }

    /// As [`Media::open_sealed`]; no byte of recordings that `is_never` names is ever on disk.
    pub fn open_with_never(
        settings: MediaSettings,
        keys: &Keys,
        clock: Arc<dyn Clock>,
        is_never: IsNever,
    ) -> Result<Media, MediaError> {
        let (on_disk, in_memory) = never::split(settings);
        let media = Media::open_sealed(on_disk, keys, clock)?;
        let never = Some(Arc::new(Never::beside(&media.lifeline.engine, in_memory, is_never)?));
        Ok(Media { never, ..media })
    }

    /// Whether [`Media::open_sealed`] would refuse these keys for this directory. Touches nothing.
    pub fn check_key(dir: &std::path::Path, keys: &Keys) -> Result<(), MediaError> {
        store::Store::check_key(dir, keys).map_err(|error| MediaError::source(error::chain(&error)))
    }

    /// Encrypts recordings that are in the clear in a cache directory that nobody uses; those that are not `named` are dropped. Returns how many
    /// there were.
    pub fn encrypt(
        dir: &std::path::Path,
        keys: &Keys,
        named: &mut dyn Iterator<Item = RecordingKey>,
    ) -> Result<u64, MediaError> {
        let encrypted = store::Store::encrypt(dir, keys, named, crate::base::lock::PATIENCE);
        encrypted.map_err(|error| MediaError::source(error::chain(&error)))
    }

    /// Learns the size with one ranged GET of the head, whose bytes go into the cache.
    pub async fn probe(&self, key: &RecordingKey, links: Arc<dyn LinkSource>) -> Result<Version, MediaError> {
        self.learn(key, links, None).await
    }

    /// As [`Media::probe`], for who reads the recording next; it is thought to have `expected` bytes. All of a short one is asked for
    /// at once, and the answer does not wait for it to arrive.
    pub async fn probe_to_read(
        &self,
        key: &RecordingKey,
        links: Arc<dyn LinkSource>,
        expected: u64,
    ) -> Result<Version, MediaError> {
        self.learn(key, links, Some(expected)).await
    }

    async fn learn(
        &self,
        key: &RecordingKey,
        links: Arc<dyn LinkSource>,
        to_read: Option<u64>,
    ) -> Result<Version, MediaError> {
        let engine = self.engine_of(key);
        let mut answer = probe::join(engine, engine.cache.name(key), links, to_read)?;
        let told = tokio::time::timeout(engine.settings.deadline, answer.wait_for(Option::is_some)).await;
        match told {
            Err(_) => Err(MediaError::Timeout),
            Ok(Err(_)) => Err(MediaError::source("the probe ended abnormally")),
            Ok(Ok(answer)) => answer.clone().unwrap_or_else(|| Err(MediaError::source("the probe told nothing"))),
        }
    }

    /// A reader with its own readahead. Touches no network. Blocks of another version that the cache holds are dropped. Reads files: for
    /// threads that may wait.
    pub fn reader(
        &self,
        key: &RecordingKey,
        version: &Version,
        links: Arc<dyn LinkSource>,
    ) -> Result<Reader, MediaError> {
        check_size(version)?;
        let lifeline = self.lifeline_of(key);
        let engine = &lifeline.engine;
        engine.note_runtime();
        let recording = engine.cache.attach(engine.cache.name(key), version);
        Ok(Reader::new(Arc::clone(lifeline), recording, links))
    }

    /// As [`Media::reader`], for threads that must not wait: files are read on another one. Within a runtime.
    pub async fn open_reader(
        &self,
        key: &RecordingKey,
        version: &Version,
        links: Arc<dyn LinkSource>,
    ) -> Result<Reader, MediaError> {
        check_size(version)?;
        let lifeline = self.lifeline_of(key);
        let engine = &lifeline.engine;
        if let Some(recording) = engine.cache.attach_known(&engine.cache.name(key), version) {
            engine.note_runtime();
            return Ok(Reader::new(Arc::clone(lifeline), recording, links));
        }
        let (media, key, version) = (self.clone(), key.clone(), version.clone());
        let interrupted = || MediaError::source("opening a recording in the cache was interrupted");
        let opening = async move {
            let turn = Arc::clone(&engine.cache.disk_threads).acquire_owned().await.map_err(|_| interrupted())?;
            let opened = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                media.reader(&key, &version, links)
            });
            opened.await.map_err(|_| interrupted())?
        };
        tokio::time::timeout(engine.settings.deadline, opening).await.unwrap_or(Err(MediaError::SlowDisk))
    }

    /// Whether every byte of this version is in the cache. Cheap; touches no network.
    pub fn is_complete(&self, key: &RecordingKey, version: &Version) -> bool {
        let cache = &self.engine_of(key).cache;
        cache.is_complete(&cache.name(key), version)
    }

    /// What all bytes of this version hash to (SHA-256); none if not all of them are here. Reads all of them.
    pub fn sha256(&self, key: &RecordingKey, version: &Version) -> Option<[u8; 32]> {
        let cache = &self.lifeline.engine.cache;
        cache.sha256(&cache.name(key), version)
    }

    /// Whether what is here of a recording must stay: then nothing evicts it, whatever its age.
    pub fn hold(&self, key: &RecordingKey, is_held: bool) {
        let cache = &self.lifeline.engine.cache;
        cache.hold(&cache.name(key), is_held);
    }

    /// What its owner left beside a recording's bytes, if something of it is here, and which version that is. Reads a file.
    pub fn note(&self, key: &RecordingKey) -> Option<(Version, Vec<u8>)> {
        let cache = &self.engine_of(key).cache;
        cache.note(&cache.name(key))
    }

    /// Whether something of a recording may be here, and a note with it. Cheap.
    pub fn may_have_note(&self, key: &RecordingKey) -> bool {
        let cache = &self.engine_of(key).cache;
        cache.may_have_files(&cache.name(key))
    }

    /// How the media hosts are, for `status`.
    pub fn hosts(&self) -> Vec<ServiceState> {
        self.lifeline.engine.hosts()
    }

    /// What fetches under way take of connections and memory.
    pub fn gate(&self) -> GateSnapshot {
        self.lifeline.engine.gate()
    }

    /// Recordings whose size is being asked for.
    pub fn probes(&self) -> usize {
        self.lifeline.engine.probes().len()
    }

    /// Bytes that the cache occupies on disk.
    pub fn cache_used(&self) -> u64 {
        self.lifeline.engine.cache.used()
    }

    /// Bytes that arrived from media hosts so far.
    pub fn brought_bytes(&self) -> u64 {
        self.everywhere().map(|engine| engine.brought_bytes()).sum()
    }

    /// What is in the cache. Reads every index file.
    pub fn stats(&self) -> CacheStats {
        self.lifeline.engine.cache.stats()
    }

    /// Compares every cached block with its checksum and drops what does not match. Reads the whole cache. `each` hears how far it is,
    /// and ends it by `false`.
    pub fn examine(&self, each: &mut dyn FnMut(&Examined) -> bool) -> Examined {
        self.lifeline.engine.cache.examine(each)
    }

    /// Bytes that a recording occupies in the cache.
    pub fn occupied(&self, key: &RecordingKey) -> u64 {
        let cache = &self.lifeline.engine.cache;
        cache.occupied(&cache.name(key))
    }

    /// Removes every byte of a recording for good: open readers get [`MediaError::Erased`] from then on. Whoever has it by passthrough
    /// reads on until it is closed; its bytes are on disk, without a name, as long.
    pub fn erase(&self, key: &RecordingKey) {
        self.everywhere().for_each(|engine| engine.erase(&engine.cache.name(key)));
    }

    /// As [`Media::erase`], all recordings. `each` hears how many are gone, of how many.
    pub fn erase_all(&self, each: &mut dyn FnMut(u64, u64)) {
        if let Some(never) = &self.never {
            never.lifeline.engine.erase_all(&mut |_, _| {});
        }
        self.lifeline.engine.erase_all(each);
    }

    /// Removes every byte of all recordings that are not held from the cache. Open readers fetch again what they still need. `each` hears how many are
    /// gone, of how many.
    pub fn purge_all(&self, each: &mut dyn FnMut(u64, u64)) {
        if let Some(never) = &self.never {
            never.lifeline.engine.cache.purge_all(&mut |_, _| {});
        }
        self.lifeline.engine.cache.purge_all(each);
    }

    /// Bytes that the cache may occupy on disk.
    pub fn cache_size(&self) -> u64 {
        self.lifeline.engine.settings.cache_size
    }

    /// Why the disk takes no blocks at present, if it does not: what is read is then fetched each time.
    pub fn cache_trouble(&self) -> Option<String> {
        self.lifeline.engine.cache.trouble()
    }

    /// Removes every byte of a recording from the cache. Open readers fetch again what they still need.
    pub fn purge(&self, key: &RecordingKey) {
        self.everywhere().for_each(|engine| engine.cache.purge(&engine.cache.name(key)));
    }
}

fn check_size(version: &Version) -> Result<(), MediaError> {
    if version.size > MAX_RECORDING_BYTES {
        return Err(MediaError::source("the recording is larger than any that is accepted"));
    }
    Ok(())
}
