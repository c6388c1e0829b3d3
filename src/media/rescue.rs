//! The rest of a recording before its link ends. With some tenants each signing leads to another object, so that what is still missing when
//! a link ends can never be had: the next link has other bytes, and the reader is stale. So what a reader goes on reading is fetched in time
//! under the link with which it began. That it was needless is known once two signings led to the same object; that it is needed, once
//! they did not.
//!
//! Never signs, and leaves recordings alone that are a large part of the cache.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::blocks::Block;
use super::engine::Engine;
use super::fetch::{Claim, Turn};
use super::geometry::bytes_of;
use super::links::{Link, OneLink};
use super::plan::RANGE_BLOCKS_MAX;
use super::recording::{Recording, State};

/// It is looked again whether there is a reader so often at least within what is left of the link's life.
const LOOKS: u32 = 8;
/// And no more often than this.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(250);
/// Part of a link's life after which a reader that still reads will hardly be done by its end.
const GRACE_PART: u32 = 4;

/// Sees to it that what is missing of a recording is fetched before `link` ends, if somebody reads it by then.
pub fn watch(engine: &Arc<Engine>, recording: &Arc<Recording>, link: Link, end: Timestamp, note: Option<Vec<u8>>) {
    if engine.signings.are_the_same() || engine.is_small(recording.version.size) {
        return;
    }
    let Some(runtime) = engine.runtime() else { return };
    let (engine, recording) = (Arc::clone(engine), Arc::clone(recording));
    runtime.spawn(async move {
        let watching = Arc::clone(&engine);
        tokio::select! {
            () = run(&watching, &recording, OneLink { link, note }, end) => {}
            // Erased or replaced: the link and the note must not stay in memory until the link ends.
            () = recording.retired() => {}
            () = engine.closed() => {}
        }
    });
}

/// What is to be done now.
enum Step {
    Later,
    /// There is nothing to do any more.
    Done,
    Fetch(Vec<Claim>),
}

async fn run(engine: &Arc<Engine>, recording: &Arc<Recording>, link: OneLink, end: Timestamp) {
    let left = |from: Timestamp| Duration::try_from(end.duration_since(from)).unwrap_or_default();
    let signed_at = link.link.signed_at;
    let links = Arc::new(link);
    loop {
        let now = engine.clock.now();
        if left(now).is_zero() {
            return;
        }
        let patience = left(signed_at) / GRACE_PART;
        let waited = Duration::try_from(now.duration_since(signed_at)).unwrap_or_default();
        let differ = engine.signings.differ();
        let early = if differ { Duration::ZERO } else { patience.saturating_sub(waited) };
        let step = if early.is_zero() { look(engine, recording, differ) } else { Step::Later };
        match step {
            Step::Done => return,
            Step::Fetch(claims) => {
                tracing::debug!(recording = ?recording.hash, ranges = claims.len(), "fetching the rest before its link ends");
                for claim in claims {
                    claim.spawn_here(links.clone(), Turn::first());
                }
                return;
            }
            Step::Later => {
                tokio::time::sleep((left(now) / LOOKS).min(early.max(LOOK_EVERY_MIN)).max(LOOK_EVERY_MIN)).await;
            }
        }
    }
}

fn look(engine: &Arc<Engine>, recording: &Arc<Recording>, differ: bool) -> Step {
    let mut state = recording.lock();
    if engine.signings.are_the_same() || state.stale.is_some() || state.no_ranges || state.blocks.is_complete() {
        return Step::Done;
    }
    if state.readers == 0 || !(differ || state.reads_on) {
        return Step::Later;
    }
    let runs = missing(engine, recording, &state);
    let size = recording.version.size;
    let bytes: u64 = runs.iter().map(|run| bytes_of(size, run)).map(|bytes| bytes.end - bytes.start).sum();
    if engine.cache.is_spilling() || bytes > engine.cache.limit() / 4 {
        return Step::Done;
    }
    let claims = runs.into_iter().map(|run| Claim::take(engine, recording, &mut state, run, false));
    Step::Fetch(claims.collect())
}

/// The runs of blocks that nobody has or brings.
fn missing(engine: &Engine, recording: &Recording, state: &State) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for block in 0..state.blocks.count() {
        if state.blocks.get(block) != Block::Absent || engine.cache.spilled(recording.id, block).is_some() {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == block && run.end - run.start < RANGE_BLOCKS_MAX => run.end += 1,
            _ => runs.push(block..block + 1),
        }
    }
    runs
}
