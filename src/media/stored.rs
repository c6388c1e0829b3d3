//! What can be read of a recording without the network: present blocks from the data file, and blocks that have just arrived from memory.
//!
//! Each look is told whether it may wait for the disk. Knows no links and decides nothing about what to fetch.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::Passthrough;
use super::assemble::Pieces;
use super::blocks::Block;
use super::cache::WouldWait;
use super::disk::Wait;
use super::engine::Engine;
use super::error::MediaError;
use super::geometry::{block_at, block_start, blocks_of};
use super::recording::{Copied, Progress, Recording};

/// A complete data file whose checksums were verified in this process.
pub struct VerifiedFile {
    /// Open for reading. As long as the recording.
    pub file: File,
    /// Keep it for as long as the kernel reads the file.
    pub guard: Passthrough,
}

/// What was found of a span.
pub(super) enum Found {
    Here(Vec<u8>),
    NeedsDisk,
    Missing,
}

/// What to do next for a read.
pub(super) enum Step {
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

/// The bytes `span`, from the file and from blocks that have just arrived.
pub(super) fn find(engine: &Engine, recording: &Arc<Recording>, span: &Range<u64>, wait: Wait) -> Found {
    let mut out = Vec::new();
    if span.is_empty() {
        return Found::Here(out);
    }
    // As a rule all of it is in the file; or it is known at once that something is missing.
    match copy(engine, recording, span, wait, &mut out) {
        Copied::Done => return Found::Here(out),
        Copied::NeedsDisk if wait == Wait::Forbidden => return Found::NeedsDisk,
        _ => {}
    }
    {
        let state = recording.lock();
        if state.stale.is_some() || !blocks_of(span).all(|block| state.is_here(block)) {
            return Found::Missing;
        }
    }
    out.reserve_exact((span.end - span.start) as usize);
    while (out.len() as u64) < span.end - span.start {
        let at = span.start + out.len() as u64;
        match step(engine, recording, at, span.end) {
            Ok(Step::Copy(until)) => match copy(engine, recording, &(at..until), wait, &mut out) {
                Copied::Done => {}
                Copied::NeedsDisk if wait == Wait::Forbidden => return Found::NeedsDisk,
                _ => return Found::Missing,
            },
            Ok(Step::Arrived(blocks)) => append(&mut out, &blocks, at, span.end),
            _ => return Found::Missing,
        }
    }
    Found::Here(out)
}

/// Copies present bytes; what turns out to be damaged goes.
pub(super) fn copy(
    engine: &Engine,
    recording: &Arc<Recording>,
    span: &Range<u64>,
    wait: Wait,
    out: &mut Vec<u8>,
) -> Copied {
    let copied = match wait {
        Wait::Allowed => engine.cache.copy(recording, span, out),
        Wait::Forbidden => engine.cache.copy_now(recording, span, out),
    };
    match (copied, wait) {
        (Copied::Done, _) => engine.cache.touch(recording, blocks_of(span)),
        (Copied::Damaged(block), Wait::Allowed) => engine.cache.drop_damaged(recording, block),
        // Found again, and dropped, where the disk may be waited for.
        (Copied::Damaged(_), Wait::Forbidden) => return Copied::NeedsDisk,
        (Copied::Moved | Copied::NeedsDisk, _) => {}
    }
    copied
}

/// The data file for the kernel, if every block is present and verified.
pub(super) fn verified_file(
    engine: &Arc<Engine>,
    recording: &Arc<Recording>,
    wait: Wait,
) -> Result<Option<VerifiedFile>, WouldWait> {
    let file = engine.cache.begin_passthrough(recording, wait)?;
    let guard = || Passthrough { engine: Arc::clone(engine), recording: Arc::clone(recording) };
    Ok(file.map(|file| VerifiedFile { file, guard: guard() }))
}

pub(super) fn step(engine: &Engine, recording: &Recording, at: u64, end: u64) -> Result<Step, MediaError> {
    let block = block_at(at);
    let state = recording.lock();
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
        Block::Absent => engine.cache.spilled(recording.id, block).map_or(Step::Fetch, Step::Spilled),
    })
}

/// Appends the bytes from `at` to `end`, as far as `blocks` hold them; the first one is the block of `at`.
pub(super) fn append(out: &mut Vec<u8>, blocks: &[Pieces], at: u64, end: u64) {
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
