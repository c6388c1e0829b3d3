//! Learning a recording's size: one ranged GET of its head, whose bytes go into the cache. One at a time per recording.

use std::sync::Arc;

use tokio::sync::watch;

use super::engine::{Engine, ProbeAnswer};
use super::error::MediaError;
use super::fetch::Claim;
use super::geometry::{BLOCK_SIZE, MAX_RECORDING_BYTES, block_count};
use super::key::{KeyHash, Version};
use super::links::LinkSource;
use super::session::Reply;

/// Joins the probe of this recording that is under way, or starts one.
pub fn join(engine: &Arc<Engine>, hash: KeyHash, links: Arc<dyn LinkSource>) -> Result<ProbeAnswer, MediaError> {
    let runtime = engine.runtime().ok_or_else(|| MediaError::source("no runtime to fetch on"))?;
    let mut probes = engine.probes();
    if let Some(answer) = probes.get(&hash) {
        return Ok(answer.clone());
    }
    let (sender, receiver) = watch::channel(None);
    probes.insert(hash, receiver.clone());
    let engine = Arc::clone(engine);
    runtime.spawn(async move {
        let entry = Entry { engine: Arc::clone(&engine), hash };
        let answer = tokio::select! {
            answer = run(&engine, hash, links.as_ref()) => answer,
            () = engine.closed() => Err(MediaError::source("the cache is closed")),
        };
        drop(entry);
        sender.send_replace(Some(answer));
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

async fn run(engine: &Arc<Engine>, hash: KeyHash, links: &dyn LinkSource) -> Result<Version, MediaError> {
    let mut session = engine.session(links);
    let reply = session.get(0..BLOCK_SIZE, || !engine.is_closed()).await?;
    let (version, whole) = match &reply {
        Reply::Unwanted => return Err(MediaError::source("the cache is closed")),
        Reply::Outside { version } if version.size == 0 => (version.clone(), false),
        Reply::Outside { .. } => return Err(MediaError::source("the media host refuses the first byte")),
        Reply::Partial { version, .. } => (version.clone(), false),
        Reply::Whole { total, validator, .. } => {
            let size = total.ok_or_else(|| MediaError::source("the media host does not tell the size"))?;
            (Version { size, validator: validator.clone() }, true)
        }
    };
    if version.size > MAX_RECORDING_BYTES {
        return Err(MediaError::source("the media host tells a size beyond all reason"));
    }
    let recording = engine.cache.attach(hash, &version);
    let wanted = if whole && engine.is_small(version.size) { block_count(version.size) } else { 1 };
    let claim = {
        let mut state = recording.lock();
        let blocks = 0..wanted.min(state.blocks.count());
        (!blocks.is_empty()).then(|| Claim::take(engine, &recording, &mut state, blocks))
    };
    let mut outcome = Ok(());
    if let Some(mut claim) = claim {
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
