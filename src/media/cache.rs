//! The block cache: which recordings are known, what is on disk for them, and how room is made. Knows no requests.
//!
//! Lock order: see `recording`. Every function here may touch the disk; those that write or evict run on blocking threads
//! where a fetch calls them.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::blocks::{Block, Blocks};
use super::error::{MediaError, chain};
use super::index::Form;
use super::key::{KeyHash, RecordingKey, Version};
use super::recording::{Copied, Recording};
use super::space::{FileId, Space, Victim, block_charge, file_charge, note_charge};
use super::spill::Spill;
use super::store::{Files, Store};
use super::sync::{AtomicI64, AtomicU64, Mutex, MutexGuard};
use crate::base::Clock;
use crate::base::crypt::Keys;

/// Victims that one reservation may cost, at most; a cold file is one, so this suffices unless the disk does not obey.
const VICTIMS_MAX: u32 = 4096;
/// Recordings that become cold again when one is closed, at most: a close must not take long.
const COOLED_AT_ONCE_MAX: u32 = 16;
/// How long a process that is just leaving may still hold the directory.
const LOCK_PATIENCE: Duration = crate::base::lock::PATIENCE;

/// The cache.
pub struct Cache {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    /// Bytes are shown no longer than this after they were fetched.
    pub(super) max_age: Duration,
    pub(super) registry: Mutex<Registry>,
    pub(super) space: Mutex<Space>,
    pub(super) spill: Spill,
    next_id: AtomicU64,
    pub(super) warned_at_s: AtomicI64,
    /// Why the disk takes no blocks at present, if it does not.
    pub(super) trouble: Mutex<Option<String>>,
}

#[derive(Default)]
pub(super) struct Registry {
    pub(super) by_hash: HashMap<KeyHash, Arc<Recording>>,
    by_id: HashMap<FileId, Arc<Recording>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// Opens or creates the directory and counts what is in it.
    pub fn open(
        dir: &std::path::Path,
        keys: &Keys,
        limit: u64,
        min_free: u64,
        clock: Arc<dyn Clock>,
    ) -> Result<Cache, MediaError> {
        let failed = |error: &dyn std::error::Error| MediaError::source(chain(error));
        let store = Store::open(dir, keys, LOCK_PATIENCE).map_err(|error| failed(&error))?;
        Cache::over(store, limit, min_free, clock).map_err(|error| failed(&error))
    }

    /// Counts what is in a directory that was opened.
    pub fn over(store: Store, limit: u64, min_free: u64, clock: Arc<dyn Clock>) -> io::Result<Cache> {
        let (found, directories) = store.scan()?;
        let mut space = Space::new(limit, min_free);
        space.charge(directories);
        let recordings = found.len();
        for found in found {
            space.add_cold(found.hash, found.bytes);
        }
        tracing::info!(recordings, bytes = space.used(), limit, "cache opened");
        Ok(Cache {
            store,
            clock,
            max_age: Duration::MAX,
            registry: Mutex::default(),
            space: Mutex::new(space),
            spill: Spill::default(),
            next_id: AtomicU64::new(1),
            warned_at_s: AtomicI64::new(i64::MIN / 2),
            trouble: Mutex::new(None),
        })
    }

    /// What the files of a recording are called.
    pub fn name(&self, key: &RecordingKey) -> KeyHash {
        self.store.name(key)
    }

    /// Whether recordings are encrypted on disk.
    pub fn is_sealed(&self) -> bool {
        self.store.form() == Form::Sealed
    }

    /// The same, showing no bytes longer than `max_age` after they were fetched.
    pub fn keeping_for(self, max_age: Duration) -> Cache {
        Cache { max_age, ..self }
    }

    /// Why the disk took no block when it was last asked to, if it did not: what is read then is fetched each time.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// Bytes on disk, reserved ones included.
    pub fn used(&self) -> u64 {
        lock(&self.space).used()
    }

    /// Bytes that the cache may occupy.
    pub fn limit(&self) -> u64 {
        lock(&self.space).limit()
    }

    /// The state of a recording, with one more reader. What the cache holds of another version is dropped.
    pub fn attach(&self, hash: KeyHash, version: &Version) -> Arc<Recording> {
        let mut registry = lock(&self.registry);
        if let Some(recording) = registry.by_hash.get(&hash).cloned() {
            if recording.version.agrees_with(version) {
                recording.lock().readers += 1;
                return recording;
            }
            self.replace(&mut registry, &recording, version);
        }
        let recording = Arc::new(self.load(hash, version));
        recording.lock().readers += 1;
        registry.by_hash.insert(hash, Arc::clone(&recording));
        registry.by_id.insert(recording.id, Arc::clone(&recording));
        recording
    }

    /// One reader less.
    pub fn detach(&self, recording: &Arc<Recording>) {
        {
            let mut state = recording.lock();
            state.readers = state.readers.saturating_sub(1);
        }
        self.rest(recording);
    }

    /// Closes the files of a recording that nobody uses, and forgets it if nothing of it is here.
    pub fn rest(&self, recording: &Arc<Recording>) {
        let mut registry = lock(&self.registry);
        let empty = {
            let mut state = recording.lock();
            if state.readers > 0 || !state.fetches.is_empty() {
                return;
            }
            state.files = None;
            state.blocks.is_idle_and_empty()
        };
        self.spill.forget(recording.id);
        if empty && registry.by_id.remove(&recording.id).is_some() {
            registry.by_hash.remove(&recording.hash);
            self.discard(recording);
        }
        for _ in 0..COOLED_AT_ONCE_MAX {
            let overheated = lock(&self.space).overheated();
            let Some(idle) = overheated.and_then(|file| registry.by_id.get(&file).cloned()) else { return };
            if !self.cool(&mut registry, &idle) {
                return;
            }
        }
    }

    /// Forgets what is known of a recording's blocks; its files stay, as one found at start. False: it is in use.
    fn cool(&self, registry: &mut Registry, recording: &Arc<Recording>) -> bool {
        let _disk = lock(&recording.disk);
        let mut state = recording.lock();
        let is_used = state.readers > 0 || !state.fetches.is_empty() || state.passthrough > 0 || state.orphaned > 0;
        if is_used || state.charged == 0 || !state.blocks.is_settled() {
            return false;
        }
        let mut space = lock(&self.space);
        let is_present = |block: &u32| matches!(state.blocks.get(*block), Block::Present { .. });
        let present: Vec<u32> = (0..state.blocks.count()).filter(is_present).collect();
        // Whoever took one out of the order is about to remove it.
        if !present.iter().all(|block| space.has_block(recording.id, *block)) {
            return false;
        }
        let mut bytes = std::mem::take(&mut state.charged);
        for block in present {
            space.take_block(recording.id, block);
            bytes += block_charge(recording.version.size, block);
        }
        space.cool(recording.hash, bytes);
        drop(space);
        state.blocks.forget_present();
        recording.note_eviction(&state);
        state.files = None;
        registry.by_id.remove(&recording.id);
        registry.by_hash.remove(&recording.hash);
        true
    }

    /// The source has another version: what is here of this one goes, and its readers learn of it.
    pub fn changed(&self, recording: &Arc<Recording>, version: &Version) {
        let mut registry = lock(&self.registry);
        if registry.by_id.contains_key(&recording.id) {
            tracing::info!(recording = ?recording.hash, "the recording changed at the source");
            self.replace(&mut registry, recording, version);
        }
    }

    /// Removes every byte of a recording; open readers fetch again what they need.
    pub fn purge(&self, hash: &KeyHash) {
        let registry = lock(&self.registry);
        if let Some(recording) = registry.by_hash.get(hash).cloned() {
            self.discard(&recording);
            self.spill.forget(recording.id);
            drop(registry);
            // Nobody may be left to close it.
            self.rest(&recording);
            return;
        }
        let cold = lock(&self.space).take_cold(hash);
        if let Some(bytes) = cold {
            self.unlink(hash);
            lock(&self.space).release(bytes);
        }
    }

    /// Whether every byte of this version is on disk.
    pub fn is_complete(&self, hash: &KeyHash, version: &Version) -> bool {
        let registry = lock(&self.registry);
        if let Some(recording) = registry.by_hash.get(hash) {
            return recording.version.agrees_with(version) && recording.lock().blocks.is_complete();
        }
        if !lock(&self.space).is_cold(hash) {
            return version.size == 0;
        }
        // Under the registry's lock, so that nobody loads or evicts the file meanwhile.
        self.store.peek(hash).is_ok_and(|(header, entries)| {
            let is_shown = header.version.agrees_with(version) && !self.is_too_old(header.created_s);
            is_shown && entries.iter().all(Option::is_some)
        })
    }

    /// The open files of a recording that has some.
    pub fn files(&self, recording: &Recording) -> io::Result<Arc<Files>> {
        if let Some(files) = recording.lock().files.clone() {
            return Ok(files);
        }
        let _disk = lock(&recording.disk);
        self.reopen(recording)
    }

    /// [`Recording::copy`], with the files opened if they are not.
    pub fn copy(&self, recording: &Recording, span: &std::ops::Range<u64>, out: &mut Vec<u8>) -> Copied {
        match recording.copy(span, out) {
            Copied::Closed if self.files(recording).is_ok() => recording.copy(span, out),
            copied => copied,
        }
    }

    /// A block that the disk did not take.
    pub fn spilled(&self, file: FileId, block: u32) -> Option<Bytes> {
        self.spill.get(file, block)
    }

    /// Whether the disk does not take blocks at present, so that fetching ahead is in vain.
    pub fn is_spilling(&self) -> bool {
        !self.spill.is_empty()
    }

    /// Blocks were read. While somebody else is at the books it is not noted: readers must not queue for an order that
    /// matters at evictions only, and what is read often is noted often enough.
    pub fn touch(&self, recording: &Recording, blocks: std::ops::Range<u32>) {
        if let Ok(mut space) = self.space.try_lock() {
            space.touch(recording.id, blocks);
        }
    }

    /// A block failed its checksum or cannot be read: it goes, and counts as missing.
    pub fn drop_damaged(&self, recording: &Arc<Recording>, block: u32) {
        tracing::warn!(recording = ?recording.hash, block, "a cached block is damaged and will be fetched again");
        if lock(&self.space).take_block(recording.id, block) {
            self.remove_block(recording, block);
        }
    }

    /// One passthrough open less; the last one frees what an eviction left to it.
    pub fn end_passthrough(&self, recording: &Recording) {
        let mut state = recording.lock();
        state.passthrough = state.passthrough.saturating_sub(1);
        if state.passthrough == 0 {
            let orphaned = std::mem::take(&mut state.orphaned);
            lock(&self.space).release(orphaned);
        }
    }

    /// The data file for passthrough, with one more passthrough open counted, if every block is present and verified.
    pub fn begin_passthrough(&self, recording: &Recording) -> Option<std::fs::File> {
        let _disk = lock(&recording.disk);
        let mut state = recording.lock();
        if self.is_sealed() || state.stale.is_some() || !state.blocks.is_verified() || state.blocks.count() == 0 {
            return None;
        }
        let file = self.store.open_data(&recording.hash).ok()?;
        // The kernel reads up to the end of this file, whatever size the recording has.
        if file.metadata().ok()?.len() != recording.version.size {
            return None;
        }
        state.passthrough += 1;
        // Reads past us touch nothing from now on.
        lock(&self.space).touch(recording.id, 0..state.blocks.count());
        Some(file)
    }

    /// With `Recording::disk` held.
    pub(super) fn reopen(&self, recording: &Recording) -> io::Result<Arc<Files>> {
        {
            let state = recording.lock();
            if let Some(files) = state.files.clone() {
                return Ok(files);
            }
            if state.charged == 0 || state.stale.is_some() {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        let files = Arc::new(self.store.reopen(&recording.hash, recording.version.size)?);
        let mut state = recording.lock();
        if state.readers > 0 || !state.fetches.is_empty() {
            state.files = Some(Arc::clone(&files));
        }
        Ok(files)
    }

    /// Reserves bytes, evicting what it takes. False: there is no room to be had.
    pub(super) fn make_room(&self, bytes: u64) -> bool {
        for _ in 0..VICTIMS_MAX {
            let must_ask = lock(&self.space).must_ask();
            let free = must_ask.then(|| self.store.free_bytes().ok());
            {
                let mut space = lock(&self.space);
                if let Some(free) = free {
                    space.learn_free(free);
                }
                if space.reserve(bytes) {
                    return true;
                }
                if bytes > space.limit() {
                    return false;
                }
            }
            if !self.evict_one() {
                return false;
            }
        }
        false
    }

    fn evict_one(&self) -> bool {
        let registry = lock(&self.registry);
        let victim = lock(&self.space).pop_victim();
        match victim {
            None => false,
            Some(Victim::Cold(hash, bytes)) => {
                self.unlink(&hash);
                lock(&self.space).release(bytes);
                true
            }
            Some(Victim::Block(file, block)) => {
                let recording = registry.by_id.get(&file).cloned();
                drop(registry);
                if let Some(recording) = recording {
                    self.remove_block(&recording, block);
                }
                true
            }
        }
    }

    /// Removes a block that the caller took out of the LRU, and releases its bytes.
    fn remove_block(&self, recording: &Arc<Recording>, block: u32) {
        let charge = block_charge(recording.version.size, block);
        let (begun, handed_out) = {
            let mut state = recording.lock();
            let begun = state.blocks.evict_begin(block);
            if begun {
                recording.note_eviction(&state);
            }
            (begun, state.passthrough > 0)
        };
        let mut obeyed = true;
        // A hole would read as zeros to whoever has the file by passthrough.
        if begun && !handed_out {
            // Opened only now: as long as the block is being evicted, nobody writes it into whatever files these are.
            obeyed = self.files(recording).and_then(|files| files.remove_block(block)).is_ok();
        }
        let empty = {
            let mut state = recording.lock();
            if begun {
                state.blocks.evict_end(block);
            }
            state.blocks.is_idle_and_empty()
        };
        recording.settled.notify_waiters();
        if begun && handed_out {
            recording.lock().orphaned += charge;
        } else if obeyed {
            lock(&self.space).release(charge);
        }
        if empty || handed_out || !obeyed {
            self.discard(recording);
        }
        if !obeyed {
            lock(&self.space).release(charge);
        }
    }

    /// Unlinks the files of a recording, if it has any; its blocks become absent.
    pub(super) fn discard(&self, recording: &Recording) {
        let _disk = lock(&recording.disk);
        let freed = {
            let mut state = recording.lock();
            if state.charged == 0 {
                return;
            }
            let mut freed = std::mem::take(&mut state.charged);
            let mut space = lock(&self.space);
            for block in 0..state.blocks.count() {
                let present = matches!(state.blocks.get(block), Block::Present { .. });
                if present && space.take_block(recording.id, block) {
                    freed += block_charge(recording.version.size, block);
                }
            }
            drop(space);
            state.blocks.forget_present();
            recording.note_eviction(&state);
            state.files = None;
            state.noted = false;
            if state.passthrough > 0 {
                state.orphaned += std::mem::take(&mut freed);
            }
            freed
        };
        self.unlink(&recording.hash);
        lock(&self.space).release(freed);
    }

    fn replace(&self, registry: &mut Registry, recording: &Arc<Recording>, version: &Version) {
        self.retire(registry, recording, MediaError::Changed(version.clone()));
    }

    /// Takes a recording out of use: its files go, and its readers are told why.
    pub(super) fn retire(&self, registry: &mut Registry, recording: &Arc<Recording>, why: MediaError) {
        recording.lock().stale = Some(why);
        registry.by_id.remove(&recording.id);
        registry.by_hash.remove(&recording.hash);
        self.discard(recording);
        self.spill.forget(recording.id);
        recording.settled.notify_waiters();
    }

    /// What the disk holds of this version. With the registry locked.
    fn load(&self, hash: KeyHash, version: &Version) -> Recording {
        let id = FileId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let empty = || Recording::new(id, hash, version.clone(), Blocks::new(version.size), 0);
        let Some(cold_bytes) = lock(&self.space).take_cold(&hash) else { return empty() };
        let loaded = match self.store.load(&hash) {
            Ok((_, header, _)) if self.is_too_old(header.created_s) => {
                tracing::info!(recording = ?hash, "dropping cached blocks older than cache.max_age");
                None
            }
            Ok((files, header, entries)) if header.version.agrees_with(version) => Some((files, entries)),
            Ok(_) => {
                tracing::info!(recording = ?hash, "dropping cached blocks of another version");
                None
            }
            Err(error) => {
                tracing::warn!(recording = ?hash, error = %chain(&error), "dropping a damaged cache file");
                None
            }
        };
        let Some((files, entries)) = loaded else {
            self.unlink(&hash);
            lock(&self.space).release(cold_bytes);
            return empty();
        };
        let blocks = Blocks::from_index(version.size, &entries);
        let (form, note_len) = (self.store.form(), files.note_len());
        let charged = file_charge(version.size, form) + note_charge(version.size, form, note_len);
        free_unvouched(&files, &blocks);
        if let Err(error) = files.note_used(self.clock.now().as_second()) {
            tracing::debug!(recording = ?hash, %error, "cannot note the use of a cache file");
        }
        let mut space = lock(&self.space);
        space.release(cold_bytes);
        space.charge(charged);
        for block in (0..blocks.count()).filter(|block| matches!(blocks.get(*block), Block::Present { .. })) {
            space.charge(block_charge(version.size, block));
            space.add_old_block(id, block);
        }
        drop(space);
        let recording = Recording::new(id, hash, version.clone(), blocks, charged);
        recording.lock().noted = note_len > 0;
        recording
    }

    fn unlink(&self, hash: &KeyHash) {
        if let Err(error) = self.store.unlink(hash) {
            tracing::warn!(recording = ?hash, %error, "cannot remove a cache file");
        }
    }
}

/// Frees blocks that are on disk without an entry: a process was killed between the two writes, or while evicting. What the file
/// occupies does not tell whether there are any: after a power cut, others may be missing in their place.
fn free_unvouched(files: &Files, blocks: &Blocks) {
    if blocks.is_complete() || files.data_bytes().is_ok_and(|bytes| bytes == 0) {
        return;
    }
    let is_present = |block: u32| matches!(blocks.get(block), Block::Present { .. });
    let mut block = 0;
    while block < blocks.count() {
        let start = block;
        while block < blocks.count() && !is_present(block) {
            block += 1;
        }
        if block > start && files.punch(start..block).is_err() {
            return;
        }
        block += 1;
    }
}
