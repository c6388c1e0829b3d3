//! Comparing what an earlier process left with its checksums, before the kernel reads it without us.

use std::sync::Arc;

use super::blocks::Block;
use super::engine::Engine;
use super::geometry::{block_len, block_start};
use super::reader::Reader;
use super::recording::{Copied, Recording};

/// Blocks that are compared before anything else may be done (4 MiB).
const BLOCKS_PER_TURN: u32 = 64;
/// An `open` waits for the comparison of a recording up to this size (bytes): a few milliseconds even from a cold disk.
const AT_ONCE_BYTES_MAX: u64 = 4 << 20;

impl Reader {
    /// Compares every block that no one verified in this process with its checksum. True: the recording is complete and
    /// verified.
    pub async fn verify_all(&self) -> bool {
        verify_all(&self.engine, &self.recording).await
    }

    /// Sees to it that a complete recording becomes a verified one: at once if it is small, else in the background, for the
    /// next open. Does nothing for one that is verified or incomplete.
    pub async fn prepare_passthrough(&self) {
        {
            let mut state = self.recording.lock();
            // An encrypted file is none that the kernel could read.
            if self.engine.cache.is_sealed()
                || state.blocks.is_verified()
                || !state.blocks.is_complete()
                || state.verifying
            {
                return;
            }
            state.verifying = true;
        }
        let ended = Verifying(Arc::clone(&self.recording));
        if self.recording.version.size <= AT_ONCE_BYTES_MAX {
            self.verify_all().await;
            return;
        }
        let (engine, recording) = (Arc::clone(&self.engine), Arc::clone(&self.recording));
        let work = async move {
            let _ended = ended;
            // One at a time, so that readers keep most of the disk.
            let _turn = engine.verifying.acquire().await;
            verify_all(&engine, &recording).await;
        };
        if let Some(runtime) = self.engine.runtime() {
            runtime.spawn(work);
        }
    }
}

/// Takes the mark back however the comparison ends.
struct Verifying(Arc<Recording>);

impl Drop for Verifying {
    fn drop(&mut self) {
        self.0.lock().verifying = false;
    }
}

async fn verify_all(engine: &Arc<Engine>, recording: &Arc<Recording>) -> bool {
    let count = recording.lock().blocks.count();
    for start in (0..count).step_by(BLOCKS_PER_TURN as usize) {
        if engine.is_closed() {
            return false;
        }
        let (theirs, blocks) = (Arc::clone(recording), start..count.min(start + BLOCKS_PER_TURN));
        let turn_engine = Arc::clone(engine);
        let turn = move || {
            let mut scratch = Vec::new();
            blocks.into_iter().all(|block| verify(&turn_engine, &theirs, block, &mut scratch))
        };
        if !tokio::task::spawn_blocking(turn).await.unwrap_or(false) {
            return false;
        }
    }
    recording.lock().blocks.is_verified()
}

fn verify(engine: &Engine, recording: &Arc<Recording>, block: u32, scratch: &mut Vec<u8>) -> bool {
    let state = recording.lock().blocks.get(block);
    match state {
        Block::Present { verified: true } => true,
        Block::Present { verified: false } => {
            let start = block_start(block);
            let span = start..start + block_len(recording.version.size, block);
            scratch.clear();
            match engine.cache.copy(recording, &span, scratch) {
                Copied::Done => true,
                Copied::Damaged(block) => {
                    engine.cache.drop_damaged(recording, block);
                    false
                }
                Copied::Moved | Copied::NeedsDisk => false,
            }
        }
        _ => false,
    }
}
