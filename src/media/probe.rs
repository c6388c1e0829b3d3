//! Learning a recording's size: one ranged GET of its head, whose bytes go into the cache. One at a time per recording.
//!
//! Where the asker is about to read a recording that is thought to be short, the head is all of it, and the size is told as soon as the
//! answer's headers are here: what is read next is under way already, and a short recording costs one round trip instead of two.
//!
//! A server that sends all of it and tells no length (`Transfer-Encoding: chunked`) is listened to up to the end, and the bytes are counted. They are
//! fetched again when they are read: where blocks go is known only by then.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::engine::{Engine, Probe, ProbeAnswer};
use super::error::MediaError;
use super::fetch::Claim;
use super::geometry::{BLOCK_SIZE, MAX_RECORDING_BYTES, block_count};
use super::key::{KeyHash, Version};
use super::links::LinkSource;
use super::recording::{FetchEntry, Recording};
use super::session::Reply;
use super::source::Answer;
use super::sync::aside;

/// The longest head (bytes) that is asked for.
pub const HEAD_MAX: u64 = 1 << 20;

/// How much of the head to ask for (bytes). `to_read`: bytes that it is thought to have, if it is read next.
fn head(engine: &Engine, to_read: Option<u64>) -> u64 {
    match to_read {
        Some(expected) if expected <= HEAD_MAX && engine.fetches_whole(expected) => HEAD_MAX,
        _ => BLOCK_SIZE,
    }
}

/// Joins the probe of this recording that is under way, or starts one.
pub fn join(
    engine: &Arc<Engine>,
    hash: KeyHash,
    links: Arc<dyn LinkSource>,
    to_read: Option<u64>,
) -> Result<ProbeAnswer, MediaError> {
    let runtime = engine.runtime().ok_or_else(|| MediaError::source("no runtime to fetch on"))?;
    let mut probes = engine.probes();
    if let Some(probe) = probes.get(&hash) {
        return Ok(probe.answer.clone());
    }
    let (sender, receiver) = watch::channel(None);
    probes.insert(hash, Probe { answer: receiver.clone(), is_erased: false });
    let engine = Arc::clone(engine);
    runtime.spawn(async move {
        let mut asker = Asker { entry: Some(Entry { engine: Arc::clone(&engine), hash }), sender };
        let answer = tokio::select! {
            answer = run(&engine, hash, links.as_ref(), head(&engine, to_read), &mut asker) => answer,
            () = engine.closed() => Err(MediaError::source("the cache is closed")),
        };
        asker.tell(answer);
    });
    Ok(receiver)
}

/// Takes the probe off the list however it ends.
struct Entry {
    engine: Arc<Engine>,
    hash: KeyHash,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.engine.probes().remove(&self.hash);
    }
}

/// Who waits for the answer.
struct Asker {
    entry: Option<Entry>,
    sender: watch::Sender<Option<Result<Version, MediaError>>>,
}

impl Asker {
    /// The first answer counts. The next probe of this recording is another one.
    fn tell(&mut self, answer: Result<Version, MediaError>) {
        if self.entry.take().is_some() {
            self.sender.send_replace(Some(answer));
        }
    }
}

async fn run(
    engine: &Arc<Engine>,
    hash: KeyHash,
    links: &dyn LinkSource,
    head: u64,
    asker: &mut Asker,
) -> Result<Version, MediaError> {
    let mut session = engine.session(links);
    // One receiver is the list's.
    let wanted = |linked| !engine.is_closed() && (linked || asker.sender.receiver_count() > 1);
    let reply = session.get(0..head, wanted).await?;
    let (version, whole, first) = match reply {
        Reply::Unwanted => return Err(MediaError::source("nobody waits for the size any more")),
        Reply::Outside { .. } => return Err(MediaError::failed("the media host refuses the first byte")),
        Reply::Partial { ref version, .. } => (version.clone(), false, Some(reply)),
        Reply::Whole { total: Some(size), ref validator, .. } => {
            (Version { size, validator: validator.clone() }, true, Some(reply))
        }
        // Without a version nothing would tell later whose bytes they are.
        Reply::Whole { answer, validator, pass, .. } if !validator.is_empty() && answer.marks_its_end() => {
            let size = counted(answer, session.patience.silence_max).await?;
            drop(pass);
            (Version { size, validator }, true, None)
        }
        Reply::Whole { .. } => {
            return Err(MediaError::failed(
                "the media host tells neither the recording's size nor where it ends, or no version (ETag, Last-Modified)",
            ));
        }
    };
    let recording = if let Some(recording) = engine.cache.attach_known(&hash, &version) {
        recording
    } else {
        let (engine, version) = (Arc::clone(engine), version.clone());
        let attached = tokio::task::spawn_blocking(move || engine.cache.attach(hash, &version)).await;
        attached.map_err(|_| MediaError::source("opening a recording in the cache was interrupted"))?
    };
    // An erasure that came before the recording was attached has not found it.
    if engine.probes().get(&hash).is_none_or(|probe| probe.is_erased) {
        let cache = Arc::clone(engine);
        aside(move || cache.cache.detach(&recording));
        return Err(MediaError::Erased);
    }
    let wanted = if whole && engine.is_small(version.size) { block_count(version.size) } else { block_count(head) };
    let claim = {
        let mut state = recording.lock();
        let blocks = 0..wanted.min(state.blocks.count());
        (!blocks.is_empty()).then(|| Claim::take(engine, &recording, &mut state, blocks, true))
    };
    let mut outcome = Ok(());
    if let Some(mut claim) = claim {
        if head > BLOCK_SIZE {
            // The blocks are claimed: who reads now waits for them.
            asker.tell(Ok(version.clone()));
        }
        outcome = {
            let mut driving = pin!(claim.drive(&mut session, first));
            tokio::select! {
                outcome = &mut driving => outcome,
                // What waits for the disk then keeps nobody from opening it.
                () = arrived(&recording) => {
                    asker.tell(Ok(version.clone()));
                    driving.await
                }
            }
        };
        claim.finish(outcome.clone());
    }
    let cache = Arc::clone(engine);
    aside(move || cache.cache.detach(&recording));
    // The size is known; a head that did not arrive is fetched when it is read.
    match outcome {
        Err(MediaError::Changed(version)) => Err(MediaError::Changed(version)),
        _ => Ok(version),
    }
}

/// Ends when the first block can be read; never if its fetch ends before.
async fn arrived(recording: &Recording) {
    let progress = recording.lock().fetch_of(0).map(FetchEntry::watch);
    let Some(mut progress) = progress else { return std::future::pending().await };
    while !recording.lock().is_here(0) {
        if progress.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Bytes of a body of which only the end is told.
async fn counted(mut answer: Answer, silence_max: Duration) -> Result<u64, MediaError> {
    let mut size = 0;
    loop {
        let piece = tokio::time::timeout(silence_max, answer.piece()).await;
        match piece.unwrap_or_else(|_| Err("the media host fell silent".to_owned())).map_err(MediaError::failed)? {
            Some(piece) => size += piece.len() as u64,
            None if size == 0 => return Err(MediaError::failed("the media host sent an empty recording")),
            None => return Ok(size),
        }
        if size > MAX_RECORDING_BYTES {
            return Err(MediaError::failed("the media host sends more than any recording has"));
        }
    }
}
