//! One task per range: streams a body into the cache, block by block, and wakes readers as blocks arrive.
//!
//! A fetch owns the blocks that it claimed until each is handed to the writer or given back; whatever way it ends, dropping
//! its [`Claim`] leaves no block in flight and tells the waiters.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::error::MediaError;
use super::geometry::{block_at, block_len, block_start, bytes_of};
use super::key::Version;
use super::links::LinkSource;
use super::recording::{FetchEntry, Progress, Recording, State};
use super::session::{Reply, Session};
use super::settings::WRITE_BATCH_BLOCKS;
use super::source::Answer;

/// The blocks that one fetch is to bring.
pub struct Claim {
    engine: Arc<Engine>,
    recording: Arc<Recording>,
    id: u64,
    owned: BTreeSet<u32>,
    progress: Arc<watch::Sender<Progress>>,
    /// Worth finishing when nobody reads any more.
    keep: bool,
    finished: bool,
}

impl Claim {
    /// Claims what is absent of `blocks`.
    pub fn take(engine: &Arc<Engine>, recording: &Arc<Recording>, state: &mut State, blocks: Range<u32>) -> Claim {
        let (sender, receiver) = watch::channel(Progress::default());
        let id = engine.next_fetch_id();
        let owned = blocks.clone().filter(|block| state.blocks.claim(*block)).collect();
        state.fetches.push(FetchEntry { id, blocks, progress: receiver });
        Claim {
            engine: Arc::clone(engine),
            recording: Arc::clone(recording),
            id,
            owned,
            progress: Arc::new(sender),
            keep: engine.is_small(recording.version.size),
            finished: false,
        }
    }

    /// Brings the blocks in a task of its own.
    pub fn spawn(self, runtime: &tokio::runtime::Handle, links: Arc<dyn LinkSource>) {
        runtime.spawn(async move {
            let mut claim = self;
            let engine = Arc::clone(&claim.engine);
            let mut session = engine.session(links.as_ref());
            let outcome = tokio::select! {
                outcome = claim.drive(&mut session, None) => outcome,
                () = engine.closed() => Ok(()),
            };
            if let Err(error) = &outcome {
                tracing::debug!(recording = ?claim.recording.hash, error = %super::error::chain(error), "fetch failed");
            }
            claim.finish(outcome);
        });
    }

    /// Brings the blocks; `first` is an answer that is there already. `Ok` although blocks are missing: nobody wants them, or
    /// another fetch brings them.
    pub async fn drive(&mut self, session: &mut Session<'_>, first: Option<Reply>) -> Result<(), MediaError> {
        let mut writer = Writer::new(self);
        let mut assembler = Assembler::new(self.recording.version.size, self.owned.first().copied().unwrap_or(0));
        let outcome = self.fetch(session, first, &mut assembler, &mut writer).await;
        writer.finish().await;
        outcome
    }

    async fn fetch(
        &mut self,
        session: &mut Session<'_>,
        mut first: Option<Reply>,
        assembler: &mut Assembler,
        writer: &mut Writer,
    ) -> Result<(), MediaError> {
        let mut asked_once = first.is_some();
        while let Some(last) = self.owned.last().copied() {
            let asked = assembler.position..bytes_of(self.recording.version.size, &(last..last + 1)).end;
            let reply = match first.take() {
                Some(reply) => reply,
                None => session.get(asked.clone(), || self.is_wanted(asked_once)).await?,
            };
            asked_once = true;
            let stopped = match reply {
                Reply::Unwanted => return Ok(()),
                Reply::Outside { version } => return Err(self.changed(version)),
                Reply::Partial { mut answer, bytes, version, pass: _pass } => {
                    if !self.recording.version.agrees_with(&version) {
                        return Err(self.changed(version));
                    }
                    if bytes.end < asked.end {
                        session.count_short_part()?;
                    }
                    self.stream(session, &mut answer, bytes, assembler, writer).await?
                }
                Reply::Whole { mut answer, total, validator, pass: _pass } => {
                    let size = self.recording.version.size;
                    let version = Version { size: total.unwrap_or(size), validator };
                    if !self.recording.version.agrees_with(&version) {
                        return Err(self.changed(version));
                    }
                    if !self.widen(assembler) {
                        return Ok(());
                    }
                    self.stream(session, &mut answer, 0..size, assembler, writer).await?
                }
            };
            if stopped {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes the body, whose bytes are `body` of the recording, into the cache. True: nobody wants the rest.
    async fn stream(
        &mut self,
        session: &mut Session<'_>,
        answer: &mut Answer,
        body: Range<u64>,
        assembler: &mut Assembler,
        writer: &mut Writer,
    ) -> Result<bool, MediaError> {
        let mut at = body.start;
        while at < body.end {
            let silence = tokio::time::sleep(session.patience.silence_max);
            tokio::pin!(silence);
            let piece = loop {
                tokio::select! {
                    biased;
                    piece = answer.piece() => break piece,
                    () = writer.written() => {}
                    () = &mut silence => break Err("the media host fell silent".to_owned()),
                }
            };
            let mut piece = match piece {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    session.setback("the media host sent less than it promised", None).await?;
                    return Ok(false);
                }
                Err(why) => {
                    session.setback(&why, None).await?;
                    return Ok(false);
                }
            };
            piece.truncate(usize::try_from(body.end - at).unwrap_or(usize::MAX));
            if !piece.is_empty() {
                session.progressed();
            }
            // A whole body starts before what is wanted of it.
            let ahead = assembler.position.saturating_sub(at).min(piece.len() as u64);
            at += piece.len() as u64;
            let _ = piece.split_to(ahead as usize);
            while let Some((block, bytes)) = assembler.push(&mut piece) {
                if self.owned.remove(&block) {
                    writer.push(block, bytes).await;
                }
                if self.owned.is_empty() || !self.is_wanted(true) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The host ignores ranges and sends everything: then everything that is absent is taken. False: another fetch does that.
    fn widen(&mut self, assembler: &mut Assembler) -> bool {
        let mut state = self.recording.lock();
        let count = state.blocks.count();
        let mine = self.id;
        if state.fetches.iter().any(|fetch| fetch.id != mine && fetch.blocks == (0..count) && count > 1) {
            return false;
        }
        // Probing wants the head only.
        let everything = self.keep || state.readers > 0 && !self.head_only();
        state.no_ranges = true;
        if everything {
            for block in 0..count {
                if state.blocks.claim(block) {
                    self.owned.insert(block);
                }
            }
            if let Some(entry) = state.fetches.iter_mut().find(|fetch| fetch.id == mine) {
                entry.blocks = 0..count;
            }
        }
        drop(state);
        if let Some(first) = self.owned.first().copied().filter(|first| block_start(*first) < block_floor(assembler)) {
            assembler.restart(first);
        }
        true
    }

    fn head_only(&self) -> bool {
        self.owned.len() == 1 && self.owned.contains(&0)
    }

    fn is_wanted(&self, begun: bool) -> bool {
        if self.engine.is_closed() {
            return false;
        }
        let state = self.recording.lock();
        state.stale.is_none() && (state.readers > 0 || begun && self.keep)
    }

    fn changed(&self, version: Version) -> MediaError {
        self.engine.cache.changed(&self.recording, &version);
        MediaError::Changed(version)
    }

    /// Gives back what was not brought and tells the waiters.
    pub fn finish(mut self, outcome: Result<(), MediaError>) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Result<(), MediaError>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        {
            let mut state = self.recording.lock();
            for block in std::mem::take(&mut self.owned) {
                state.blocks.release(block);
            }
            let mine = self.id;
            state.fetches.retain(|fetch| fetch.id != mine);
        }
        self.progress.send_modify(|progress| progress.outcome = Some(outcome));
        self.engine.cache.rest(&self.recording);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

/// Cuts a stream of pieces into blocks.
struct Assembler {
    size: u64,
    /// The next byte that is wanted.
    position: u64,
    /// The bytes of the block at `position` that are here.
    partial: BytesMut,
}

fn block_floor(assembler: &Assembler) -> u64 {
    block_start(block_at(assembler.position))
}

impl Assembler {
    fn new(size: u64, first: u32) -> Assembler {
        Assembler { size, position: block_start(first), partial: BytesMut::new() }
    }

    fn restart(&mut self, first: u32) {
        *self = Assembler::new(self.size, first);
    }

    /// Takes from `piece`; a block when one is complete. Without copying where a piece holds all of a block.
    fn push(&mut self, piece: &mut Bytes) -> Option<(u32, Bytes)> {
        let block = block_at(self.position);
        let len = block_len(self.size, block) as usize;
        let wanted = len - self.partial.len();
        if piece.is_empty() || wanted == 0 {
            return None;
        }
        let taken = piece.split_to(wanted.min(piece.len()));
        self.position += taken.len() as u64;
        if taken.len() == len {
            return Some((block, taken));
        }
        self.partial.reserve(wanted);
        self.partial.extend_from_slice(&taken);
        (self.partial.len() == len).then(|| (block, self.partial.split().freeze()))
    }
}

/// Writes blocks on a blocking thread while the next ones arrive: one batch at a time, of what came meanwhile.
struct Writer {
    engine: Arc<Engine>,
    pending: Batch,
    running: Option<JoinHandle<()>>,
}

/// Claimed blocks on their way to disk; gives back what it did not store when dropped.
struct Batch {
    recording: Arc<Recording>,
    progress: Arc<watch::Sender<Progress>>,
    blocks: std::collections::VecDeque<(u32, Bytes)>,
}

impl Batch {
    fn new(recording: &Arc<Recording>, progress: &Arc<watch::Sender<Progress>>) -> Batch {
        Batch {
            recording: Arc::clone(recording),
            progress: Arc::clone(progress),
            blocks: std::collections::VecDeque::new(),
        }
    }

    fn store(mut self, engine: &Engine) {
        while let Some((block, bytes)) = self.blocks.front() {
            engine.cache.store_block(&self.recording, *block, bytes);
            self.blocks.pop_front();
            self.progress.send_modify(|progress| progress.settled += 1);
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.blocks.is_empty() {
            return;
        }
        let mut state = self.recording.lock();
        for (block, _) in &self.blocks {
            state.blocks.release(*block);
        }
        drop(state);
        self.progress.send_modify(|_| {});
    }
}

impl Writer {
    fn new(claim: &Claim) -> Writer {
        let pending = Batch::new(&claim.recording, &claim.progress);
        Writer { engine: Arc::clone(&claim.engine), pending, running: None }
    }

    /// Takes a block over. Waits while too much waits for the disk.
    async fn push(&mut self, block: u32, bytes: Bytes) {
        self.pending.blocks.push_back((block, bytes));
        let busy = self.running.as_ref().is_some_and(|running| !running.is_finished());
        if self.running.is_some() && (!busy || self.pending.blocks.len() >= WRITE_BATCH_BLOCKS) {
            self.written().await;
        }
        self.kick();
    }

    fn kick(&mut self) {
        if self.running.is_some() || self.pending.blocks.is_empty() {
            return;
        }
        let next = Batch::new(&self.pending.recording, &self.pending.progress);
        let batch = std::mem::replace(&mut self.pending, next);
        let engine = Arc::clone(&self.engine);
        self.running = Some(tokio::task::spawn_blocking(move || batch.store(&engine)));
    }

    /// Ends with the running batch, after starting the next one; never if none runs. Cancel-safe.
    async fn written(&mut self) {
        match &mut self.running {
            Some(running) => {
                if let Err(error) = running.await {
                    tracing::error!(%error, "writing to the cache ended abnormally");
                }
                self.running = None;
                self.kick();
            }
            None => std::future::pending().await,
        }
    }

    async fn finish(&mut self) {
        while self.running.is_some() || !self.pending.blocks.is_empty() {
            self.kick();
            self.written().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::geometry::BLOCK_SIZE;
    use super::*;

    proptest! {
        /// However a stream is cut, the blocks are the same.
        #[test]
        fn pieces_become_blocks(cuts in prop::collection::vec(1usize..200_000, 1..20), tail in 1u64..BLOCK_SIZE) {
            let size = 3 * BLOCK_SIZE + tail;
            let truth: Vec<u8> = (0..size).map(|byte| (byte * 7 / 3) as u8).collect();
            let mut stream = Bytes::from(truth[BLOCK_SIZE as usize..].to_vec());
            let mut assembler = Assembler::new(size, 1);
            let mut next = 1;
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let mut piece = stream.split_to(cut.min(stream.len()));
                while let Some((block, bytes)) = assembler.push(&mut piece) {
                    prop_assert_eq!(block, next);
                    let start = block_start(block) as usize;
                    prop_assert_eq!(&bytes[..], &truth[start..start + block_len(size, block) as usize]);
                    next += 1;
                }
                prop_assert!(piece.is_empty());
            }
            prop_assert_eq!(next, 4);
            prop_assert_eq!(assembler.position, size);
        }
    }
}
