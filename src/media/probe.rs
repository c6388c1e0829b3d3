//! Learning a recording's size: one ranged GET of its head, whose bytes go into the cache. One at a time per recording.
//!
//! Where the asker is about to read a recording that is thought to be short, the head is all of it, and the size is told as soon as the
//! answer's headers are here: what is read next is under way already, and a short recording costs one round trip instead of two.

use std::sync::Arc;

use tokio::sync::watch;

use super::engine::{Engine, Probe, ProbeAnswer};
use super::error::MediaError;
use super::fetch::Claim;
use super::geometry::{BLOCK_SIZE, block_count};
use super::key::{KeyHash, Version};
use super::links::LinkSource;
use super::session::Reply;

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
    let (version, whole) = match &reply {
        Reply::Unwanted => return Err(MediaError::source("nobody waits for the size any more")),
        Reply::Outside { .. } => return Err(MediaError::failed("the media host refuses the first byte")),
        Reply::Partial { version, .. } => (version.clone(), false),
        Reply::Whole { total, validator, .. } => {
            let size = total.ok_or_else(|| MediaError::failed("the media host does not tell the size"))?;
            (Version { size, validator: validator.clone() }, true)
        }
    };
    let recording = engine.cache.attach(hash, &version);
    // An erasure that came before the recording was attached has not found it.
    if engine.probes().get(&hash).is_none_or(|probe| probe.is_erased) {
        engine.cache.detach(&recording);
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
        outcome = claim.drive(&mut session, Some(reply)).await;
        claim.finish(outcome.clone());
    }
    engine.cache.detach(&recording);
    // The size is known; a head that did not arrive is fetched when it is read.
    match outcome {
        Err(MediaError::Changed(version)) => Err(MediaError::Changed(version)),
        _ => Ok(version),
    }
}
