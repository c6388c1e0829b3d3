//! One open of one recording: reads what is here, waits for what is not. Decides nothing about what to fetch: see `plan`.
//!
//! What is in the kernel's memory is read on the thread that asks. What has to come from the disk is read on another one, and waited for no longer
//! than for a media host: the threads that ask are needed by all others.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::asking::{AskersLinks, Asking};
use super::blocks::Block;
use super::disk::Wait;
use super::engine::Engine;
use super::error::MediaError;
use super::error_replay::ErrorReplay;
use super::fetch::{Claim, Turn};
use super::geometry::{block_at, block_count, block_start, clamp};
use super::key::Version;
use super::lifeline::Lifeline;
use super::links::LinkSource;
use super::plan::{Readahead, plan};
use super::recording::{Copied, FetchEntry, Progress, Recording, State};
use super::settings::PROGRESS_BYTES_MIN;
use super::stored::{Found, Step, VerifiedFile, append, copy, find, step, verified_file};
use super::sync::{Mutex, spawn_blocking, timeout, yield_now};
use super::traffic::Traffic;

/// One open of one recording.
pub struct Reader {
    pub(super) engine: Arc<Engine>,
    pub(super) recording: Arc<Recording>,
    links: Arc<dyn LinkSource>,
    readahead: Mutex<Readahead>,
    /// Nothing was read yet: the first read begins to fetch a small recording whole, even if it finds its own bytes here.
    untouched: AtomicBool,
    error_replay: ErrorReplay,
    _lifeline: Arc<Lifeline>,
}

/// The time that a read may take without progress.
struct Allowed {
    begun: Instant,
    time: Duration,
    deadline: Duration,
    /// What had arrived when the time began.
    heard: Option<Heard>,
}

/// How far the fetch was that a read waits for, and all others.
struct Heard {
    fetch: Arc<Traffic>,
    received: usize,
    /// How often it had begun to wait for a connection.
    queued: usize,
    brought: u64,
}

impl Heard {
    fn now(fetch: &Arc<Traffic>, brought: u64) -> Heard {
        Heard { fetch: Arc::clone(fetch), received: fetch.received(), queued: fetch.queued(), brought }
    }

    /// Whether something arrived since: of the fetch itself, or, while it waited behind them for a connection, of others.
    fn has_grown(&self, now: &Heard) -> bool {
        let waited_behind = now.fetch.is_queued() || now.queued != self.queued;
        now.received >= self.received + PROGRESS_BYTES_MIN
            || waited_behind && now.brought >= self.brought + PROGRESS_BYTES_MIN as u64
    }
}

impl Allowed {
    fn of(deadline: Duration) -> Allowed {
        Allowed { begun: Instant::now(), time: deadline, deadline, heard: None }
    }

    fn left(&self) -> Duration {
        self.time.saturating_sub(self.begun.elapsed())
    }

    fn put_off(&mut self, by: Duration) {
        self.time = self.time.saturating_add(by);
    }

    /// Something arrived: the time begins anew.
    fn renew(&mut self) {
        (self.begun, self.time) = (Instant::now(), self.deadline);
    }

    /// A fetch is waited for: the time begins anew if something arrived. A slow line is no error while bytes arrive.
    fn hear(&mut self, fetch: &Arc<Traffic>, brought: u64) {
        let now = Heard::now(fetch, brought);
        match &self.heard {
            Some(before) if Arc::ptr_eq(&before.fetch, fetch) => {
                if before.has_grown(&now) {
                    self.heard = Some(now);
                    self.renew();
                }
            }
            _ => self.heard = Some(now),
        }
    }
}

/// What can be had of a read without waiting.
#[derive(Debug)]
pub enum Now {
    /// All of it; shorter than asked for only at the end of the recording.
    Here(Bytes),
    /// All of it is here, but the disk has to be waited for: see [`Reader::read_stored`].
    OnDisk,
    /// Something is missing, and has to be fetched: see [`Reader::read`].
    Missing,
}

impl Reader {
    pub(super) fn new(lifeline: Arc<Lifeline>, recording: Arc<Recording>, links: Arc<dyn LinkSource>) -> Reader {
        let engine = Arc::clone(&lifeline.engine);
        Reader {
            engine,
            recording,
            links,
            readahead: Mutex::default(),
            untouched: AtomicBool::new(true),
            error_replay: ErrorReplay::default(),
            _lifeline: lifeline,
        }
    }

    /// Bytes at `offset` if they are all here and nothing has to be waited for. A recording that changed at the source reads as not cached.
    pub fn read_now(&self, offset: u64, len: u32) -> Now {
        let span = clamp(self.recording.version.size, offset, len);
        match find(&self.engine, &self.recording, &span, Wait::Forbidden) {
            Found::Here(bytes) => {
                self.note_read(&span, false);
                Now::Here(Bytes::from(bytes))
            }
            Found::NeedsDisk => Now::OnDisk,
            Found::Missing => Now::Missing,
        }
    }

    /// Bytes at `offset` if they are all here. May wait for the disk, never for the network.
    pub fn read_cached(&self, offset: u64, len: u32) -> Option<Bytes> {
        let span = clamp(self.recording.version.size, offset, len);
        self.noted(&span, find(&self.engine, &self.recording, &span, Wait::Allowed))
    }

    /// The same, waiting on another thread, and no longer than the deadline.
    pub async fn read_stored(&self, offset: u64, len: u32) -> Result<Option<Bytes>, MediaError> {
        let span = clamp(self.recording.version.size, offset, len);
        let theirs = span.clone();
        let found = self.aside(move |engine, recording| find(engine, recording, &theirs, Wait::Allowed)).await?;
        Ok(self.noted(&span, found))
    }

    fn noted(&self, span: &Range<u64>, found: Found) -> Option<Bytes> {
        let Found::Here(bytes) = found else { return None };
        self.note_read(span, false);
        Some(Bytes::from(bytes))
    }

    /// Does what may wait for the disk on another thread. That goes on when it took too long, or when nobody waits for it any more.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Engine>, &Arc<Recording>) -> T + Send + 'static,
    ) -> Result<T, MediaError> {
        let interrupted = || MediaError::source("reading the cache was interrupted");
        let (engine, recording) = (Arc::clone(&self.engine), Arc::clone(&self.recording));
        let waiting = async move {
            let turn = Arc::clone(&engine.cache.disk_threads).acquire_owned().await.map_err(|_| interrupted())?;
            let working = spawn_blocking(move || {
                let _turn = turn;
                work(&engine, &recording)
            });
            working.await.map_err(|_| interrupted())
        };
        timeout(self.engine.settings.deadline, waiting).await.unwrap_or(Err(MediaError::SlowDisk))
    }

    /// Bytes at `offset`, fetched where missing; shorter than `len` only at the end of the recording.
    /// Ends within the deadline after the last byte arrived, in which waiting for a link does not count: whoever signs has a patience of
    /// his own. Dropping the future abandons the wait, not the fetch, which signs no link then unless another read waits.
    pub async fn read(&self, offset: u64, len: u32) -> Result<Bytes, MediaError> {
        self.read_for(&self.links, offset, len).await
    }

    /// As [`Reader::read`]; a link that has to be signed is asked of `links`.
    pub async fn read_for(&self, links: &Arc<dyn LinkSource>, offset: u64, len: u32) -> Result<Bytes, MediaError> {
        let here = match self.read_now(offset, len) {
            Now::Here(bytes) => Some(bytes),
            Now::OnDisk => self.read_stored(offset, len).await?,
            Now::Missing => None,
        };
        if let Some(bytes) = here {
            return Ok(bytes);
        }
        let span = clamp(self.recording.version.size, offset, len);
        if let Some(error) = self.error_replay.repeats(&span) {
            return Err(error);
        }
        let asking = Asking::begin(&self.recording, Arc::clone(links));
        let outcome = self.read_missing(&span).await;
        drop(asking);
        if let Err(error) = &outcome {
            self.error_replay.note(&span, error);
        }
        outcome
    }

    /// Brings a recording that is fetched whole anyway into the cache, unless `share` of its size would fill much of the cache.
    pub async fn fetch_small(&self, share: u64) -> Result<(), MediaError> {
        let size = self.recording.version.size;
        let whole = self.engine.allowance(size, &self.recording.lock()).whole;
        if !whole || size.saturating_mul(share) > self.engine.cache.limit() / 4 {
            return Ok(());
        }
        for block in 0..block_count(size) {
            if !self.is_here(block) {
                // The first one begins the fetch of all.
                self.read(block_start(block), 1).await?;
            }
        }
        Ok(())
    }

    /// The data file, if every block is present and was verified in this process; for passthrough. While the answer lives,
    /// no hole is punched into the file: it is evicted by unlinking alone, and its bytes count as used.
    pub async fn verified_file(&self) -> Option<VerifiedFile> {
        if let Ok(file) = verified_file(&self.engine, &self.recording, Wait::Forbidden) {
            return file;
        }
        let opened = self.aside(|engine, recording| verified_file(engine, recording, Wait::Allowed).ok());
        opened.await.ok().flatten().flatten()
    }

    /// The version that it reads.
    pub fn version(&self) -> &Version {
        &self.recording.version
    }

    /// Copies the bytes, deeper down a loop of steps: each block is taken when it is there, so that a read makes progress
    /// even where the cache is too small to hold all of it at once.
    async fn read_missing(&self, span: &Range<u64>) -> Result<Bytes, MediaError> {
        let mut out = Vec::with_capacity((span.end - span.start) as usize);
        let mut allowed = Allowed::of(self.engine.settings.deadline);
        self.note_read(span, true);
        while (out.len() as u64) < span.end - span.start {
            if allowed.left().is_zero() {
                return Err(MediaError::Timeout);
            }
            let at = span.start + out.len() as u64;
            let settled = self.recording.settled.notified();
            let step = step(&self.engine, &self.recording, at, span.end)?;
            match step {
                Step::Copy(until) => {
                    if self.copy(at..until, &mut out).await? {
                        allowed.renew();
                    } else {
                        yield_now().await;
                    }
                }
                Step::Arrived(blocks) => {
                    append(&mut out, &blocks, at, span.end);
                    allowed.renew();
                }
                Step::Spilled(bytes) => {
                    append(&mut out, &[vec![bytes]], at, span.end);
                    allowed.renew();
                }
                Step::Wait(progress) => {
                    self.read_on(&(at..span.end));
                    self.wait(progress, at, &mut allowed).await?;
                }
                Step::Settling => {
                    // Rung without a memory: the eviction may have ended between the look and the wait.
                    let pause = Duration::from_millis(5);
                    let _ = timeout(pause, settled).await;
                }
                // Waited for without another look: a fetch that has failed by then would be begun again, and its links signed again.
                Step::Fetch => {
                    if let Some(progress) = self.fetch(&(at..span.end))? {
                        self.wait(progress, at, &mut allowed).await?;
                    }
                }
            }
        }
        Ok(Bytes::from(out))
    }

    /// Ends when a fetch brought something, ended, or begins or ends to wait for a link, which puts the deadline off; fails with the
    /// fetch, if the byte at `at` is not here then.
    async fn wait(
        &self,
        mut progress: watch::Receiver<Progress>,
        at: u64,
        allowed: &mut Allowed,
    ) -> Result<(), MediaError> {
        let begun = Instant::now();
        let traffic = Arc::clone(&progress.borrow().traffic);
        // What is fetched ahead of anybody goes behind what somebody waits for.
        let _waiter = self.links.may_sign().then(|| (traffic.wait(), self.engine.waiting()));
        allowed.hear(&traffic, self.engine.brought_bytes());
        // The sender lives until it has told the outcome; should it be gone, looking again is right.
        if progress.borrow().signing {
            let _ = progress.changed().await;
            allowed.put_off(begun.elapsed());
        } else {
            let _ = timeout(allowed.left(), progress.changed()).await;
            allowed.hear(&traffic, self.engine.brought_bytes());
            self.engine.note_wait(begun.elapsed());
        }
        let failed = progress.borrow().outcome.clone();
        match failed {
            // It was fetched ahead by a link that has ended; this read may sign another.
            Some(Err(MediaError::Unsigned)) if self.links.may_sign() => Ok(()),
            Some(Err(error)) if !self.is_here(block_at(at)) => Err(error),
            _ => Ok(()),
        }
    }

    fn is_here(&self, block: u32) -> bool {
        let here = self.recording.lock().is_here(block);
        here || self.engine.cache.spilled(self.recording.id, block).is_some()
    }

    /// Copies present bytes. False: something of it is not there any more.
    async fn copy(&self, span: Range<u64>, out: &mut Vec<u8>) -> Result<bool, MediaError> {
        let copied = copy(&self.engine, &self.recording, &span, Wait::Forbidden, out);
        if copied != Copied::NeedsDisk {
            return Ok(copied == Copied::Done);
        }
        let copying = self.aside(move |engine, recording| {
            let mut bytes = Vec::new();
            (copy(engine, recording, &span, Wait::Allowed, &mut bytes) == Copied::Done).then_some(bytes)
        });
        let copied = copying.await?;
        out.extend_from_slice(copied.as_deref().unwrap_or_default());
        Ok(copied.is_some())
    }

    /// Tells the readahead of a read, and starts what it wants if the read itself starts nothing.
    fn note_read(&self, span: &Range<u64>, stalled: bool) {
        let mut readahead = self.readahead.lock().unwrap_or_else(PoisonError::into_inner);
        readahead.observe(span, stalled);
        let first = self.untouched.swap(false, Ordering::Relaxed) && self.engine.is_small(self.recording.version.size);
        if stalled || !(first || readahead.is_due(block_count(self.recording.version.size))) {
            return;
        }
        // Failing to read ahead fails nothing: the read that needs the bytes asks again.
        let _ = self.start(&mut readahead, span);
    }

    /// A read waits for what is under way, which may have earned it a larger window: the round trip that it waits is not to be lost.
    fn read_on(&self, span: &Range<u64>) {
        let mut readahead = self.readahead.lock().unwrap_or_else(PoisonError::into_inner);
        if readahead.is_due(block_count(self.recording.version.size)) {
            let _ = self.start(&mut readahead, span);
        }
    }

    /// Starts what a read needs; the progress of what brings its first byte.
    fn fetch(&self, span: &Range<u64>) -> Result<Option<watch::Receiver<Progress>>, MediaError> {
        let mut readahead = self.readahead.lock().unwrap_or_else(PoisonError::into_inner);
        self.start(&mut readahead, span)
    }

    fn start(
        &self,
        readahead: &mut Readahead,
        span: &Range<u64>,
    ) -> Result<Option<watch::Receiver<Progress>>, MediaError> {
        let runtime = self.engine.runtime().ok_or_else(|| MediaError::source("no runtime to fetch on"))?;
        let (claims, progress) = {
            let mut state = self.recording.lock();
            if state.stale.is_some() {
                return Ok(None);
            }
            let claims = self.claims(readahead, span, &mut state);
            (claims, state.fetch_of(block_at(span.start)).map(FetchEntry::watch))
        };
        let links = AskersLinks { recording: Arc::clone(&self.recording), links: Arc::clone(&self.links) };
        let links: Arc<dyn LinkSource> = Arc::new(links);
        let mut turn = Turn::first();
        for claim in claims {
            let (mine, next) = turn.then();
            claim.spawn(runtime, Arc::clone(&links), mine);
            turn = next;
        }
        Ok(progress)
    }

    /// In the order in which they are wanted.
    fn claims(&self, readahead: &mut Readahead, span: &Range<u64>, state: &mut State) -> Vec<Claim> {
        let allowance = self.engine.allowance(self.recording.version.size, state);
        let plan = plan(readahead, span, &allowance, |block| {
            state.blocks.get(block) == Block::Absent && self.engine.cache.spilled(self.recording.id, block).is_none()
        });
        state.reads_on |= readahead.window() > 0;
        let is_awaited = self.links.may_sign();
        let asked = plan.asked.into_iter().map(|blocks| (blocks, is_awaited));
        let ranges = asked.chain(plan.ahead.into_iter().map(|blocks| (blocks, false)));
        ranges.map(|(blocks, asked)| Claim::take(&self.engine, &self.recording, state, blocks, asked)).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.engine.cache.detach(&self.recording);
    }
}
