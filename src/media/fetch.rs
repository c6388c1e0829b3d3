//! One task per range: streams a body into the cache, block by block, and wakes readers as blocks arrive.
//!
//! A fetch owns the blocks that it claimed until each is handed to the writer or given back; whatever way it ends, dropping
//! its [`Claim`] leaves no block in flight and tells the waiters.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::assemble::Assembler;
use super::engine::Engine;
use super::error::MediaError;
use super::gate::Pass;
use super::geometry::bytes_of;
use super::key::Version;
use super::links::LinkSource;
use super::recording::{FetchEntry, Progress, Recording, State};
use super::session::{Reply, Session};
use super::settings::PROGRESS_BYTES_MIN;
use super::source::Answer;
use super::sync::{Runtime, aside, spawn_blocking, timeout, yield_now};
use super::traffic::Traffic;
use super::writer::Writer;

/// When a host pauses for this long, what it sent before is written without waiting for a full batch.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers with another validator, one after the other, after which it is believed that the recording changed. Nodes of one media host may tag the
/// same bytes differently (Apache and nginx make an `ETag` of inode or time), and the next request may meet the node that was met first: only
/// bytes that came under one validator are put together.
const OTHERS_MAX: u32 = 8;

/// The order in which fetches that are begun together ask for connections: those that are open already are for the range that is read
/// first. The runtime would start them in any order.
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Dropped, it lets the next one go.
    after: Option<oneshot::Sender<()>>,
}

impl Turn {
    /// Nobody goes before it.
    pub fn first() -> Turn {
        Turn { before: None, after: None }
    }

    /// This turn, and the one after it.
    pub fn then(mut self) -> (Turn, Turn) {
        let (sender, receiver) = oneshot::channel();
        self.after = Some(sender);
        (self, Turn { before: Some(receiver), after: None })
    }

    /// Runs `work`, which has had its first step when the next turn comes.
    async fn take<T>(self, work: impl Future<Output = T>) -> T {
        if let Some(before) = self.before {
            // It ends either way when the one before is gone.
            let _ = before.await;
        }
        let mut work = pin!(work);
        let done = work.as_mut().now_or_never();
        drop(self.after);
        match done {
            Some(value) => value,
            None => work.await,
        }
    }
}

/// The blocks that one fetch is to bring.
pub struct Claim {
    engine: Arc<Engine>,
    recording: Arc<Recording>,
    id: u64,
    owned: BTreeSet<u32>,
    /// The fetch that takes the whole body from a host which sends no less.
    gives_way_to: Option<watch::Receiver<Progress>>,
    progress: Arc<watch::Sender<Progress>>,
    traffic: Arc<Traffic>,
    /// A small recording: brought whole even when nobody reads any more, while its link still works.
    keep: bool,
    finished: bool,
}

impl Claim {
    /// Claims what is absent of `blocks`.
    /// `asked`: a read waits for some of them.
    pub fn take(
        engine: &Arc<Engine>,
        recording: &Arc<Recording>,
        state: &mut State,
        blocks: Range<u32>,
        asked: bool,
    ) -> Claim {
        let traffic = Arc::new(if asked { Traffic::asked() } else { Traffic::default() });
        let (sender, receiver) = watch::channel(Progress { traffic: Arc::clone(&traffic), ..Progress::default() });
        let id = engine.next_fetch_id();
        let count = state.blocks.count();
        let whole = blocks == (0..count) && count > 1;
        let owned = blocks.filter(|block| state.claim(*block, id)).collect();
        state.fetches.push(FetchEntry { id, whole, progress: receiver });
        Claim {
            engine: Arc::clone(engine),
            recording: Arc::clone(recording),
            id,
            owned,
            gives_way_to: None,
            progress: Arc::new(sender),
            traffic,
            keep: engine.is_small(recording.version.size),
            finished: false,
        }
    }

    /// As [`Claim::spawn`], on the runtime of the caller.
    pub fn spawn_here(self, links: Arc<dyn LinkSource>, turn: Turn) {
        let engine = Arc::clone(&self.engine);
        if let Some(runtime) = engine.runtime() {
            self.spawn(runtime, links, turn);
        }
    }

    /// Brings the blocks in a task of its own, which asks for a connection in its `turn`.
    pub fn spawn(self, runtime: &Runtime, links: Arc<dyn LinkSource>, turn: Turn) {
        runtime.spawn(async move {
            let mut claim = self;
            let engine = Arc::clone(&claim.engine);
            let mut session = engine.session(links.as_ref());
            let work = async {
                let outcome = turn.take(claim.drive(&mut session, None)).await;
                claim.give_way().await;
                outcome
            };
            let outcome = tokio::select! {
                outcome = work => outcome,
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
        let mut writer = Writer::new(&self.engine, &self.recording, &self.progress);
        let mut assembler = Assembler::new(self.recording.version.size, self.owned.first().copied().unwrap_or(0));
        session.progress = Some(Arc::clone(&self.progress));
        session.traffic = Arc::clone(&self.traffic);
        let outcome = self.fetch(session, first, &mut assembler, &mut writer).await;
        writer.finish().await;
        self.leave_note(session).await;
        outcome
    }

    /// Writes beside the bytes what their owner wants to be found with them.
    async fn leave_note(&self, session: &Session<'_>) {
        if !self.recording.lock().lacks_note() {
            return;
        }
        let note = session.note().unwrap_or_default();
        let (engine, recording) = (Arc::clone(&self.engine), Arc::clone(&self.recording));
        if let Err(error) = spawn_blocking(move || engine.cache.keep_note(&recording, &note)).await {
            tracing::error!(%error, "internal error: a note could not be written to the cache: {error}; please report it");
        }
    }

    async fn fetch(
        &mut self,
        session: &mut Session<'_>,
        mut first: Option<Reply>,
        assembler: &mut Assembler,
        writer: &mut Writer,
    ) -> Result<(), MediaError> {
        let mut others = 0;
        while let Some(last) = self.owned.last().copied() {
            let asked = assembler.position..bytes_of(self.recording.version.size, &(last..last + 1)).end;
            let reply = match first.take() {
                Some(reply) => reply,
                None => session.get(asked.clone(), |linked| self.is_wanted(linked)).await?,
            };
            if others < OTHERS_MAX && self.may_be_another_node(&reply) {
                others += 1;
                continue;
            }
            others = 0;
            self.note_reply(session, &reply);
            let stopped = match reply {
                Reply::Unwanted => return Ok(()),
                Reply::Outside { version } => return Err(self.changed(version).await),
                Reply::Partial { answer, bytes, version, pass } => {
                    if !self.recording.version.agrees_with(&version) {
                        return Err(self.changed(version).await);
                    }
                    if bytes.end < asked.end {
                        session.count_short_part()?;
                    }
                    self.take_in(session, (answer, pass), bytes, true, assembler, writer).await?
                }
                Reply::Whole { answer, total, validator, pass } => {
                    let size = self.recording.version.size;
                    // Nothing tells whose bytes they are.
                    if total.is_none() && (validator.is_empty() || self.recording.version.validator.is_empty()) {
                        return Err(MediaError::failed(
                            "the media host sends it all, and tells neither size nor version",
                        ));
                    }
                    let version = Version { size: total.unwrap_or(size), validator };
                    if !self.recording.version.agrees_with(&version) {
                        return Err(self.changed(version).await);
                    }
                    if !self.widen(assembler) {
                        return Ok(());
                    }
                    // Broken off, it would begin anew.
                    self.take_in(session, (answer, pass), 0..size, false, assembler, writer).await?
                }
            };
            if stopped {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether the answer is about a recording of this size, under another validator. Not where each link leads to another object.
    fn may_be_another_node(&self, reply: &Reply) -> bool {
        let version = match reply {
            Reply::Partial { version, .. } => version,
            Reply::Whole { total: Some(size), validator, .. } => &Version { size: *size, validator: validator.clone() },
            _ => return false,
        };
        let ours = &self.recording.version;
        version.size == ours.size && !ours.agrees_with(version) && !self.engine.signings.differ()
    }

    /// So that readahead knows whose connections it would take, and what a link led to.
    fn note_reply(&self, session: &Session<'_>, reply: &Reply) {
        let met = match reply {
            Reply::Partial { version, .. } | Reply::Outside { version } => version,
            Reply::Whole { .. } | Reply::Unwanted => return,
        };
        let mut state = self.recording.lock();
        if state.host != session.host {
            state.host.clone_from(&session.host);
        }
        let Some(link) = &session.link else { return };
        let agrees = self.recording.version.agrees_with(met);
        if let Some(before) = &state.link {
            let tells = !met.validator.is_empty() && !self.recording.version.validator.is_empty();
            if before.serial == link.serial {
                return;
            } else if agrees && tells {
                self.engine.signings.note_same();
            } else if !agrees && met.size == self.recording.version.size {
                self.engine.signings.note_different();
            }
        }
        if !agrees {
            return;
        }
        state.link = Some(link.clone());
        let is_noted = !state.lacks_note();
        drop(state);
        if let Some(end) = session.end_of(link) {
            let note = if is_noted { None } else { session.note() };
            self.engine.note_link(&self.recording, link, end, note);
        }
    }

    /// [`Claim::stream`], up to the end of writing: what waits for the disk takes memory, though no connection.
    async fn take_in(
        &mut self,
        session: &mut Session<'_>,
        (mut answer, mut pass): (Answer, Pass),
        body: Range<u64>,
        may_yield: bool,
        assembler: &mut Assembler,
        writer: &mut Writer,
    ) -> Result<bool, MediaError> {
        let yields = may_yield.then_some(&mut pass);
        let stopped = self.stream(session, &mut answer, body, yields, assembler, writer).await;
        drop(answer);
        pass.hang_up();
        writer.finish().await;
        stopped
    }

    /// Takes the body, whose bytes are `body` of the recording, into the cache. True: nobody wants the rest. The pass given, the body is left
    /// for later where another fetch needs the connection more.
    async fn stream(
        &mut self,
        session: &mut Session<'_>,
        answer: &mut Answer,
        body: Range<u64>,
        mut yields: Option<&mut Pass>,
        assembler: &mut Assembler,
        writer: &mut Writer,
    ) -> Result<bool, MediaError> {
        let mut at = body.start;
        let mut came_far = (Instant::now(), self.traffic.received());
        while at < body.end {
            let mut piece = match next_piece(answer, writer, session.patience.silence_max).await {
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
                self.traffic.receive(piece.len());
            }
            // A whole body starts before what is wanted of it.
            let ahead = assembler.position.saturating_sub(at).min(piece.len() as u64);
            at += piece.len() as u64;
            self.engine.note_brought(piece.len());
            let _ = piece.split_to(ahead as usize);
            let mut came_on = false;
            while let Some((block, bytes)) = assembler.push(&mut piece) {
                came_on = true;
                if self.owned.remove(&block) {
                    writer.push(block, bytes).await;
                }
                if self.owned.is_empty() || !self.is_wanted(true) {
                    return Ok(true);
                }
            }
            if came_on && at < body.end && yields.as_mut().is_some_and(|pass| pass.must_yield(&self.traffic)) {
                return Ok(false);
            }
            let received = self.traffic.received();
            if received >= came_far.1 + PROGRESS_BYTES_MIN {
                came_far = (Instant::now(), received);
            } else if came_far.0.elapsed() > session.patience.crawl_max {
                // Never silent, but of no use to anyone who waits; and another connection may be better. What is here is kept.
                session.setback("the media host sends next to nothing", None).await?;
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Ends when the fetch has ended that this one gave way to. Before that, every further request would bring a whole body in vain. That
    /// one gives way to nobody.
    async fn give_way(&mut self) {
        if let Some(mut other) = self.gives_way_to.take() {
            // An error means that it is gone.
            let _ = other.wait_for(|progress| progress.outcome.is_some()).await;
        }
    }

    /// The host ignores ranges and sends everything: then everything that is absent is taken. False: another fetch does that.
    fn widen(&mut self, assembler: &mut Assembler) -> bool {
        let mut state = self.recording.lock();
        let mine = self.id;
        let mut whole = state.fetches.iter().filter(|fetch| fetch.whole);
        let is_whole = whole.clone().any(|fetch| fetch.id == mine);
        if !is_whole && let Some(other) = whole.next() {
            self.gives_way_to = Some(other.progress.clone());
            return false;
        }
        // Probing wants the head only.
        let everything = self.keep || state.readers > 0 && !self.head_only();
        state.no_ranges = true;
        if everything {
            for block in 0..state.blocks.count() {
                if state.claim(block, mine) {
                    self.owned.insert(block);
                }
            }
            if let Some(entry) = state.fetches.iter_mut().find(|fetch| fetch.id == mine) {
                entry.whole = true;
            }
        }
        drop(state);
        if let Some(first) = self.owned.first().copied().filter(|first| *first < assembler.block()) {
            assembler.restart(first);
        }
        true
    }

    fn head_only(&self) -> bool {
        self.owned.len() == 1 && self.owned.contains(&0)
    }

    /// No link is signed but for a read that waits; with a link, bytes are brought for whoever has it open.
    fn is_wanted(&self, linked: bool) -> bool {
        if self.engine.is_closed() {
            return false;
        }
        let state = self.recording.lock();
        let wanted = if linked { state.readers > 0 || self.keep } else { state.askers.any() };
        state.stale.is_none() && wanted
    }

    async fn changed(&self, version: Version) -> MediaError {
        let (engine, recording, new) = (Arc::clone(&self.engine), Arc::clone(&self.recording), version.clone());
        // Removes files.
        let _ = spawn_blocking(move || engine.cache.changed(&recording, &new)).await;
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
        let is_used = {
            let mut state = self.recording.lock();
            for block in std::mem::take(&mut self.owned) {
                state.release(block);
            }
            let mine = self.id;
            state.fetches.retain(|fetch| fetch.id != mine);
            state.is_used()
        };
        self.progress.send_modify(|progress| progress.outcome = Some(outcome));
        if !is_used {
            let (engine, recording) = (Arc::clone(&self.engine), Arc::clone(&self.recording));
            // Closes files, and may remove some.
            aside(move || engine.cache.rest(&recording));
        }
    }
}

/// The next piece of the body. What came before is shown to the readers as soon as no piece is at hand, so that a fast host's
/// readers are woken few times and a slow host's wait for nothing.
async fn next_piece(answer: &mut Answer, writer: &mut Writer, silence_max: Duration) -> Result<Option<Bytes>, String> {
    if let Some(piece) = answer.piece().now_or_never() {
        return piece;
    }
    // The connection's own task may have the next piece already, and needs its turn to hand it over.
    yield_now().await;
    if let Some(piece) = answer.piece().now_or_never() {
        return piece;
    }
    writer.show();
    if let Ok(piece) = timeout(PAUSE.min(silence_max), answer.piece()).await {
        return piece;
    }
    writer.flush().await;
    let piece = timeout(silence_max.saturating_sub(PAUSE), answer.piece()).await;
    piece.unwrap_or_else(|_| Err("the media host fell silent".to_owned()))
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}
