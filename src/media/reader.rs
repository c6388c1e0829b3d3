//! One open of one recording: reads what is here, waits for what is not. Decides nothing about what to fetch: see `plan`.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Passthrough;
use super::again::Again;
use super::asking::{AskersLinks, Asking};
use super::assemble::Pieces;
use super::blocks::Block;
use super::engine::Engine;
use super::error::MediaError;
use super::fetch::{Claim, Turn};
use super::geometry::{block_at, block_count, block_start, blocks_of, clamp};
use super::key::Version;
use super::lifeline::Lifeline;
use super::links::LinkSource;
use super::plan::{Readahead, plan};
use super::recording::{Copied, FetchEntry, Progress, Recording, State};
use super::settings::PROGRESS_BYTES_MIN;
use super::sync::{Mutex, timeout, yield_now};
use super::traffic::Traffic;

/// One open of one recording.
pub struct Reader {
    pub(super) engine: Arc<Engine>,
    pub(super) recording: Arc<Recording>,
    links: Arc<dyn LinkSource>,
    readahead: Mutex<Readahead>,
    /// Nothing was read yet: the first read begins to fetch a small recording whole, even if it finds its own bytes here.
    untouched: AtomicBool,
    again: Again,
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

/// What to do next for a read.
enum Step {
    /// The bytes up to this offset are in the data file.
    Copy(u64),
    /// These adjacent blocks have arrived and are on their way there.
    Arrived(Vec<Pieces>),
    /// The disk did not take the block; here it is.
    Spilled(Bytes),
    /// A fetch brings the block.
    Wait(watch::Receiver<Progress>),
    /// The block is being evicted.
    Settling,
    /// Nobody brings the block.
    Fetch,
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
            again: Again::default(),
            _lifeline: lifeline,
        }
    }

    /// Bytes at `offset` if they are all here; shorter than `len` only at the end of the recording.
    /// Never waits for the network. A recording that changed at the source reads as not cached.
    pub fn read_cached(&self, offset: u64, len: u32) -> Option<Bytes> {
        let span = clamp(self.recording.version.size, offset, len);
        let mut out = Vec::new();
        // As a rule all of it is in the file; or it is known at once that something is missing.
        if !span.is_empty() && !matches!(self.copy_present(&span, &mut out), Copied::Done) {
            out = self.gather(&span)?;
        }
        self.note_read(&span, false);
        Some(Bytes::from(out))
    }

    /// The bytes `span`, from the file and from blocks that have just arrived; none if any is missing.
    fn gather(&self, span: &Range<u64>) -> Option<Vec<u8>> {
        {
            let state = self.recording.lock();
            if state.stale.is_some() || !blocks_of(span).all(|block| state.is_here(block)) {
                return None;
            }
        }
        let mut out = Vec::with_capacity((span.end - span.start) as usize);
        while (out.len() as u64) < span.end - span.start {
            let at = span.start + out.len() as u64;
            match self.step(at, span.end) {
                Ok(Step::Copy(until)) if self.copy(&(at..until), &mut out) => {}
                Ok(Step::Arrived(blocks)) => append(&mut out, &blocks, at, span.end),
                _ => return None,
            }
        }
        Some(out)
    }

    /// Bytes at `offset`, fetched where missing; shorter than `len` only at the end of the recording.
    /// Ends within the deadline after the last byte arrived, in which waiting for a link does not count: whoever signs has a patience of
    /// his own. Dropping the future abandons the wait, not the fetch, which signs no link then unless another read waits.
    pub async fn read(&self, offset: u64, len: u32) -> Result<Bytes, MediaError> {
        self.read_for(&self.links, offset, len).await
    }

    /// As [`Reader::read`]; a link that has to be signed is asked of `links`.
    pub async fn read_for(&self, links: &Arc<dyn LinkSource>, offset: u64, len: u32) -> Result<Bytes, MediaError> {
        if let Some(bytes) = self.read_cached(offset, len) {
            return Ok(bytes);
        }
        let span = clamp(self.recording.version.size, offset, len);
        if let Some(error) = self.again.repeats(&span) {
            return Err(error);
        }
        let asking = Asking::begin(&self.recording, Arc::clone(links));
        let outcome = self.read_missing(&span).await;
        drop(asking);
        if let Err(error) = &outcome {
            self.again.note(&span, error);
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
    pub fn verified_file(&self) -> Option<VerifiedFile> {
        let file = self.engine.cache.begin_passthrough(&self.recording)?;
        let guard = Passthrough { engine: Arc::clone(&self.engine), recording: Arc::clone(&self.recording) };
        Some(VerifiedFile { file, guard })
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
            let step = self.step(at, span.end)?;
            match step {
                Step::Copy(until) => {
                    if self.copy(&(at..until), &mut out) {
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

    fn step(&self, at: u64, end: u64) -> Result<Step, MediaError> {
        let block = block_at(at);
        let state = self.recording.lock();
        if let Some(error) = &state.stale {
            return Err(error.clone());
        }
        Ok(match state.blocks.get(block) {
            Block::Present { .. } => Step::Copy(state.present_until(at, end)),
            Block::InFlight => match (state.arrived(block), state.fetch_of(block)) {
                (Some(_), _) => {
                    let blocks = blocks_of(&(at..end));
                    Step::Arrived(blocks.map_while(|block| state.arrived(block).cloned()).collect())
                }
                (None, Some(fetch)) => Step::Wait(fetch.watch()),
                // Its fetch has ended, and is just giving it back.
                (None, None) => Step::Settling,
            },
            Block::Evicting => Step::Settling,
            Block::Absent => self.engine.cache.spilled(self.recording.id, block).map_or(Step::Fetch, Step::Spilled),
        })
    }

    fn is_here(&self, block: u32) -> bool {
        let here = self.recording.lock().is_here(block);
        here || self.engine.cache.spilled(self.recording.id, block).is_some()
    }

    /// Copies present bytes. False: something of it is not there any more.
    fn copy(&self, span: &Range<u64>, out: &mut Vec<u8>) -> bool {
        matches!(self.copy_present(span, out), Copied::Done)
    }

    /// The same; what turns out to be damaged goes.
    fn copy_present(&self, span: &Range<u64>, out: &mut Vec<u8>) -> Copied {
        let copied = self.engine.cache.copy(&self.recording, span, out);
        match copied {
            Copied::Done => self.engine.cache.touch(&self.recording, blocks_of(span)),
            Copied::Moved | Copied::Closed => {}
            Copied::Damaged(block) => self.engine.cache.drop_damaged(&self.recording, block),
        }
        copied
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

/// Appends the bytes from `at` to `end`, as far as `blocks` hold them; the first one is the block of `at`.
fn append(out: &mut Vec<u8>, blocks: &[Pieces], at: u64, end: u64) {
    let mut skipped = (at - block_start(block_at(at))) as usize;
    let mut wanted = (end - at) as usize;
    for piece in blocks.iter().flatten() {
        let here = piece.get(skipped..).unwrap_or_default();
        skipped = skipped.saturating_sub(piece.len());
        let here = &here[..here.len().min(wanted)];
        out.extend_from_slice(here);
        wanted -= here.len();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.engine.cache.detach(&self.recording);
    }
}

/// A complete data file whose checksums were verified in this process.
pub struct VerifiedFile {
    /// Open for reading. As long as the recording.
    pub file: File,
    /// Keep it for as long as the kernel reads the file.
    pub guard: Passthrough,
}
