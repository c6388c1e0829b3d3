//! What all fetches and readers of one cache share: the cache, the HTTP side, the limits, and the sign that it is over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cache::Cache;
use super::error::{MediaError, chain};
use super::gate::{Gate, GateSnapshot};
use super::geometry::BLOCK_SIZE;
use super::key::{KeyHash, Version};
use super::line::Line;
use super::links::{Link, LinkSource};
use super::memory_disk::MemoryDisk;
use super::plan::{Allowance, WINDOW_BLOCKS_MAX};
use super::recording::{Recording, State};
use super::session::Session;
use super::settings::{MediaSettings, Patience};
use super::signings::Signings;
use super::source::Source;
use super::store::Store;
use crate::base::Clock;
use crate::base::crypt::Keys;
use crate::net::ServiceState;

/// The answer of a probe under way.
pub type ProbeAnswer = watch::Receiver<Option<Result<Version, MediaError>>>;

/// A probe under way.
pub struct Probe {
    pub answer: ProbeAnswer,
    /// The recording was erased since the probe began: nothing that the probe brings is stored.
    pub is_erased: bool,
}

/// Shared by everything; see the module.
pub struct Engine {
    pub cache: Cache,
    pub settings: MediaSettings,
    pub clock: Arc<dyn Clock>,
    /// Probes under way, one per recording.
    probes: Mutex<HashMap<KeyHash, Probe>>,
    /// What the line carries.
    line: Line,
    /// Reads that wait for bytes.
    waiting: AtomicUsize,
    /// Whether signings of a recording lead to the same object, as far as was seen.
    pub signings: Signings,
    /// Turns at comparing checksums in the background.
    pub verifying: tokio::sync::Semaphore,
    source: Source,
    gate: Gate,
    patience: Patience,
    closed: watch::Sender<bool>,
    fetch_ids: AtomicU64,
    brought_bytes: AtomicU64,
    runtime: OnceLock<tokio::runtime::Handle>,
    watch: OnceLock<Watch>,
}

/// What is done when a recording is met by a link: see [`Engine::note_link`].
pub type Watch = fn(&Arc<Engine>, &Arc<Recording>, Link, Timestamp, Option<Vec<u8>>);

/// A read that waits.
pub struct WaitingRead<'a>(&'a AtomicUsize);

impl Drop for WaitingRead<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Engine {
    /// Opens the cache and sets up HTTP. Starts no task and makes no request.
    pub fn new(settings: MediaSettings, keys: &Keys, clock: Arc<dyn Clock>) -> Result<Engine, MediaError> {
        let cache = Cache::open(&settings.cache_dir, keys, settings.cache_size, settings.min_free, Arc::clone(&clock))?;
        let gate = Gate::new(settings.connections, settings.memory);
        Engine::over(cache, gate, settings, clock)
    }

    /// One with the same turns at media hosts, whose cache is in memory.
    pub fn in_memory(&self, settings: MediaSettings) -> Result<Engine, MediaError> {
        let store = Store::on(Arc::new(MemoryDisk::default()), "/".into(), None);
        let cache = store.and_then(|store| Cache::over(store, settings.cache_size, 0, Arc::clone(&self.clock)));
        let cache = cache.map_err(|error| MediaError::source(chain(&error)))?;
        Engine::over(cache, self.gate.clone(), settings, Arc::clone(&self.clock))
    }

    fn over(cache: Cache, gate: Gate, settings: MediaSettings, clock: Arc<dyn Clock>) -> Result<Engine, MediaError> {
        let cache = cache.keeping_for(settings.max_age);
        let engine = Engine {
            cache,
            clock,
            probes: Mutex::default(),
            line: Line::default(),
            waiting: AtomicUsize::new(0),
            signings: Signings::default(),
            verifying: tokio::sync::Semaphore::new(1),
            source: Source::new(settings.connections, settings.reach.clone(), settings.ca.as_ref())?,
            gate,
            patience: Patience::within(settings.deadline),
            closed: watch::Sender::new(false),
            fetch_ids: AtomicU64::new(1),
            brought_bytes: AtomicU64::new(0),
            runtime: OnceLock::new(),
            watch: OnceLock::new(),
            settings,
        };
        engine.note_runtime();
        Ok(engine)
    }

    /// The start of a conversation with the media host.
    pub fn session<'a>(&'a self, links: &'a dyn LinkSource) -> Session<'a> {
        Session::new(&self.source, &self.gate, self.clock.as_ref(), links, self.patience)
    }

    /// How the media hosts are.
    pub fn hosts(&self) -> Vec<ServiceState> {
        self.source.hosts()
    }

    /// What fetches under way take.
    pub fn gate(&self) -> GateSnapshot {
        self.gate.snapshot()
    }

    /// A number that no other fetch has.
    pub fn next_fetch_id(&self) -> u64 {
        self.fetch_ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Bytes of a body arrived.
    pub fn note_brought(&self, bytes: usize) {
        self.brought_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A read waits for bytes, until the answer is dropped.
    pub fn waiting(&self) -> WaitingRead<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        WaitingRead(&self.waiting)
    }

    /// A read has waited so long for a piece of what it needs.
    pub fn note_wait(&self, waited: Duration) {
        self.line.note_wait(waited, self.brought_bytes(), Instant::now());
    }

    /// Has `watch` called for every link from now on. Once.
    pub fn watch_links(&self, watch: Watch) {
        let _ = self.watch.set(watch);
    }

    /// A recording was met by this link, which ends at `end` by this machine's clock.
    pub fn note_link(self: &Arc<Self>, recording: &Arc<Recording>, link: &Link, end: Timestamp, note: Option<Vec<u8>>) {
        if let Some(watch) = self.watch.get() {
            watch(self, recording, link.clone(), end, note);
        }
    }

    /// Bytes that arrived from media hosts so far.
    pub fn brought_bytes(&self) -> u64 {
        self.brought_bytes.load(Ordering::Relaxed)
    }

    /// Whether a recording of `size` bytes is fetched whole.
    pub fn is_small(&self, size: u64) -> bool {
        size <= self.settings.whole_file_below
    }

    /// Whether a recording of this size (bytes) is fetched whole at its first read.
    pub fn fetches_whole(&self, size: u64) -> bool {
        !self.cache.is_spilling() && size <= self.cache.limit() / 4 && self.is_small(size)
    }

    /// What a reader of a recording may start now.
    pub fn allowance(&self, size: u64, state: &State) -> Allowance {
        let spilling = self.cache.is_spilling();
        // A window that evicts what it has just brought is worse than none.
        let by_cache = u32::try_from(self.cache.limit() / 8 / BLOCK_SIZE).unwrap_or(u32::MAX);
        let waiting = self.waiting.load(Ordering::Relaxed);
        let by_line = self.line.window_max(waiting, self.brought_bytes(), Instant::now()).unwrap_or(u32::MAX);
        Allowance {
            block_count: state.blocks.count(),
            whole: self.fetches_whole(size),
            window_max: if spilling || state.no_ranges { 0 } else { WINDOW_BLOCKS_MAX.min(by_cache).min(by_line) },
            ranges_spare: self.gate.spare(state.host.as_ref()),
        }
    }

    /// Remembers the runtime of the caller, for callers that are in none.
    pub fn note_runtime(&self) {
        if self.runtime.get().is_none()
            && let Ok(handle) = tokio::runtime::Handle::try_current()
        {
            let _ = self.runtime.set(handle);
        }
    }

    /// The runtime for fetches; none while nobody called from within one.
    pub fn runtime(&self) -> Option<&tokio::runtime::Handle> {
        self.note_runtime();
        self.runtime.get()
    }

    /// Ends every fetch.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Ends when it is over.
    pub async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // An error means that the sender is gone, which `self` holds.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// The probes under way.
    pub fn probes(&self) -> parking_lot::MutexGuard<'_, HashMap<KeyHash, Probe>> {
        self.probes.lock()
    }

    /// Removes a recording for good, also what a probe under way brings of it.
    pub fn erase(&self, hash: &KeyHash) {
        // Before the registry is looked at: a probe that attaches its recording after that look sees the mark.
        if let Some(probe) = self.probes().get_mut(hash) {
            probe.is_erased = true;
        }
        self.cache.erase(hash);
    }

    /// As [`Engine::erase`], all recordings.
    pub fn erase_all(&self, each: &mut dyn FnMut(u64, u64)) {
        self.probes().values_mut().for_each(|probe| probe.is_erased = true);
        self.cache.erase_all(each);
    }
}
