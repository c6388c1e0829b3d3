//! The block cache: which recordings are known, and what is on disk for them. Knows no requests. (`load` takes up what an earlier process or
//! reader left, `evict` makes room, `keeping` looks after the whole.)
//!
//! Lock order: see `recording`. Every function here may touch the disk; those that write or evict run on blocking threads
//! where a fetch calls them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::disk::{Meta, Wait};
use super::error::{MediaError, chain};
use super::index::Form;
use super::key::{KeyHash, RecordingKey, Version};
use super::recording::{Copied, Recording, State};
use super::space::{FileId, Space};
use super::spill::Spill;
use super::store::{Files, Store};
use super::sync::{AtomicI64, AtomicU64, Mutex, MutexGuard};
use crate::base::Clock;
use crate::base::crypt::Keys;

/// Recordings that become cold again when one is closed, at most: a close must not take long.
const COOLED_AT_ONCE_MAX: u32 = 16;
/// Threads that wait for the disk in the name of readers, at most: those of a disk that does not answer are not given back, and everything else that
/// may wait needs threads of the same pool.
const DISK_THREADS_MAX: usize = 64;
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
    pub(super) next_id: AtomicU64,
    pub(super) warned_at_s: AtomicI64,
    /// Why the disk takes no blocks at present, if it does not.
    pub(super) trouble: Mutex<Option<String>>,
    /// Turns at waiting for the disk in the name of a reader.
    pub(super) disk_threads: Arc<Semaphore>,
}

/// It takes a thread that may wait.
#[derive(Clone, Copy, Debug)]
pub struct WouldWait;

#[derive(Default)]
pub(super) struct Registry {
    pub(super) by_hash: HashMap<KeyHash, Arc<Recording>>,
    pub(super) by_id: HashMap<FileId, Arc<Recording>>,
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
        tracing::info!(
            recordings,
            bytes = space.used(),
            limit,
            "the cache is open: it holds {recordings} recordings in {} of {limit} bytes",
            space.used()
        );
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
            disk_threads: Arc::new(Semaphore::new(DISK_THREADS_MAX)),
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

    /// As [`Cache::attach`], if that waits for nothing.
    pub fn attach_known(&self, hash: &KeyHash, version: &Version) -> Option<Arc<Recording>> {
        let registry = self.registry.try_lock().ok()?;
        let recording = registry.by_hash.get(hash)?;
        if !recording.version.agrees_with(version) {
            return None;
        }
        recording.lock().readers += 1;
        Some(Arc::clone(recording))
    }

    /// The state of a recording, with one more reader. Reads files. What the cache holds of another version is dropped.
    pub fn attach(&self, hash: KeyHash, version: &Version) -> Arc<Recording> {
        let mut registry = lock(&self.registry);
        if let Some(recording) = registry.by_hash.get(&hash).cloned() {
            if recording.version.agrees_with(version) {
                recording.lock().readers += 1;
                drop(registry);
                look_for_others(&recording);
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

    /// Closes the files of a recording that nobody uses, and forgets it if nothing of it is here, or nothing that could be opened. Blocks of a fetch that was broken off may
    /// still be on their way to the disk; who writes them calls this again.
    pub fn rest(&self, recording: &Arc<Recording>) {
        let mut registry = lock(&self.registry);
        let (empty, out_of_reach) = {
            let mut state = recording.lock();
            if state.is_used() || state.blocks.has_in_flight() {
                return;
            }
            state.files = None;
            (state.blocks.is_idle_and_empty(), state.out_of_reach)
        };
        self.spill.forget(recording.id);
        if out_of_reach {
            self.cool(&mut registry, recording);
        } else if empty && registry.by_id.remove(&recording.id).is_some() {
            registry.by_hash.remove(&recording.hash);
            self.discard(recording);
            lock(&self.space).forget_file(recording.id);
        }
        for _ in 0..COOLED_AT_ONCE_MAX {
            let overheated = lock(&self.space).overheated();
            let Some(idle) = overheated.and_then(|file| registry.by_id.get(&file).cloned()) else { return };
            if !self.cool(&mut registry, &idle) {
                return;
            }
        }
    }

    /// The source has another version: what is here of this one goes, and its readers learn of it.
    pub fn changed(&self, recording: &Arc<Recording>, version: &Version) {
        let mut registry = lock(&self.registry);
        if registry.by_id.contains_key(&recording.id) {
            tracing::info!(recording = ?recording.hash, "the recording {:?} changed at the media host: what the cache held of it is dropped", recording.hash);
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
            return false;
        }
        // Under the registry's lock, so that nobody loads or evicts the file meanwhile.
        self.store.peek(hash).is_ok_and(|(header, entries)| {
            let is_shown = header.version.agrees_with(version) && !self.is_too_old(hash, header.created_s);
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

    /// [`Recording::copy`], with the files opened if they are not. Blocks whose files cannot be opened are missing from then on.
    pub fn copy(&self, recording: &Recording, span: &std::ops::Range<u64>, out: &mut Vec<u8>) -> Copied {
        let copied = recording.copy(span, Wait::Allowed, out);
        if copied != Copied::NeedsDisk {
            return copied;
        }
        match self.files(recording) {
            Ok(_) => recording.copy(span, Wait::Allowed, out),
            Err(error) => {
                self.lose(recording, &error);
                Copied::Moved
            }
        }
    }

    /// The same for threads that must not wait: [`Copied::NeedsDisk`] where it takes one that may.
    pub fn copy_now(&self, recording: &Recording, span: &std::ops::Range<u64>, out: &mut Vec<u8>) -> Copied {
        match recording.copy(span, Wait::Forbidden, out) {
            Copied::NeedsDisk if self.is_open_now(recording) => recording.copy(span, Wait::Forbidden, out),
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

    /// One passthrough open less; the last one frees what an eviction left to it.
    pub fn end_passthrough(&self, recording: &Recording) {
        let mut state = recording.lock();
        state.passthrough = state.passthrough.saturating_sub(1);
        if state.passthrough == 0 {
            let orphaned = std::mem::take(&mut state.orphaned);
            lock(&self.space).release(orphaned);
        }
    }

    /// The data file for passthrough, with one more passthrough open counted, if every block is present and verified. An error where the file
    /// system has to be waited for, which is not allowed.
    pub fn begin_passthrough(&self, recording: &Recording, wait: Wait) -> Result<Option<File>, WouldWait> {
        // Nobody replaces the file meanwhile.
        let _disk = match wait {
            Wait::Allowed => lock(&recording.disk),
            Wait::Forbidden => recording.disk.try_lock().map_err(|_| WouldWait)?,
        };
        let is_fit = |state: &State| state.stale.is_none() && state.blocks.is_verified() && state.blocks.count() > 0;
        if self.is_sealed() || !is_fit(&recording.lock()) {
            return Ok(None);
        }
        let opened = match wait {
            Wait::Allowed => self.store.open_data(&recording.hash).ok(),
            Wait::Forbidden => Some(self.store.open_data_now(&recording.hash).ok_or(WouldWait)?),
        };
        let Some(file) = opened else { return Ok(None) };
        let Some(meta) = file.metadata().ok().map(|metadata| Meta::of(&metadata)) else { return Ok(None) };
        let mut state = recording.lock();
        if !is_fit(&state) {
            return Ok(None);
        }
        if state.check_stamp(Some(meta.stamp())) {
            warn_touched(recording);
            return Ok(None);
        }
        // The kernel reads up to the end of this file, whatever size the recording has.
        if meta.len != recording.version.size {
            return Ok(None);
        }
        state.passthrough += 1;
        // Reads past us touch nothing from now on.
        lock(&self.space).touch(recording.id, 0..state.blocks.count());
        Ok(Some(file))
    }

    /// With `Recording::disk` held.
    pub(super) fn reopen(&self, recording: &Recording) -> io::Result<Arc<Files>> {
        if let Some(files) = open_files(&recording.lock())? {
            return Ok(files);
        }
        let files = Arc::new(self.store.reopen(&recording.hash, recording.version.size)?);
        keep_open(recording, &files);
        Ok(files)
    }

    /// Opens the files of a recording if they are not open and that waits for nothing. Whether it did.
    fn is_open_now(&self, recording: &Recording) -> bool {
        let Ok(_disk) = recording.disk.try_lock() else { return false };
        if !matches!(open_files(&recording.lock()), Ok(None)) {
            return false;
        }
        let files = self.store.reopen_now(&recording.hash, recording.version.size).map(Arc::new);
        files.inspect(|files| keep_open(recording, files)).is_some()
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
        lock(&self.space).forget_file(recording.id);
        self.spill.forget(recording.id);
        recording.settled.notify_waiters();
    }

    pub(super) fn unlink(&self, hash: &KeyHash) {
        if let Err(error) = self.store.unlink(hash) {
            tracing::warn!(recording = ?hash, %error, "a file of the cache cannot be removed: recording {hash:?}: {}", chain(&error));
        }
    }
}

/// The open files; none if they are not open, and may be.
fn open_files(state: &State) -> io::Result<Option<Arc<Files>>> {
    if state.files.is_some() {
        return Ok(state.files.clone());
    }
    if state.charged == 0 || state.stale.is_some() {
        return Err(io::ErrorKind::NotFound.into());
    }
    if state.out_of_reach {
        return Err(io::Error::other("the files could not be opened before"));
    }
    Ok(None)
}

fn keep_open(recording: &Recording, files: &Arc<Files>) {
    let stamp = files.stamp();
    let mut state = recording.lock();
    if state.check_stamp(stamp) {
        warn_touched(recording);
    }
    if state.is_used() || state.blocks.has_in_flight() {
        state.files = Some(Arc::clone(files));
    }
}

/// Compares the data file with how it was left, if it is open and nobody writes to it. Asks the file system with no lock held: who needs one must not
/// wait for a disk.
fn look_for_others(recording: &Recording) {
    let (files, left) = {
        let state = recording.lock();
        (state.files.clone().filter(|_| state.is_quiet()), state.stamp)
    };
    let now = files.and_then(|files| files.stamp());
    let mut state = recording.lock();
    // Else we wrote to it meanwhile.
    if state.is_quiet() && state.stamp == left && state.check_stamp(now) {
        warn_touched(recording);
    }
}

fn warn_touched(recording: &Recording) {
    tracing::warn!(recording = ?recording.hash, "another program changed a file of the cache: the checksums of recording {:?} are compared again", recording.hash);
}
