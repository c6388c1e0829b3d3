//! Takes the blocks of one fetch to its readers, and to the disk on blocking threads, while the next ones arrive.
//!
//! Readers take a block from memory as soon as it is shown to them. So the disk is not hurried: blocks are written in batches,
//! and what is left when the fetch ends.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::assemble::Pieces;
use super::engine::Engine;
use super::recording::{Progress, Recording};
use super::settings::WRITE_BATCH_BLOCKS;
use super::sync::{JoinHandle, never_ran, spawn_blocking, yield_now};

/// Writes blocks on a blocking thread while the next ones arrive: one batch at a time, of what came meanwhile.
pub struct Writer {
    engine: Arc<Engine>,
    pending: Batch,
    /// How many of `pending` the readers know of.
    shown: usize,
    running: Option<JoinHandle<()>>,
}

/// Claimed blocks on their way to disk; gives back what it did not store when dropped.
struct Batch {
    recording: Arc<Recording>,
    progress: Arc<watch::Sender<Progress>>,
    blocks: VecDeque<(u32, Pieces)>,
}

impl Batch {
    fn new(recording: &Arc<Recording>, progress: &Arc<watch::Sender<Progress>>) -> Batch {
        Batch { recording: Arc::clone(recording), progress: Arc::clone(progress), blocks: VecDeque::new() }
    }

    fn store(mut self, engine: &Engine) {
        // One writer per file at a time: the kernel would have the others spin for the inode's lock.
        let recording = Arc::clone(&self.recording);
        let turn = recording.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut run_max = usize::MAX;
        while let Some((first, _)) = self.blocks.front() {
            let first = *first;
            let blocks = self.blocks.make_contiguous();
            let adjacent = blocks.iter().zip(first..).take_while(|((block, _), expected)| block == expected);
            let adjacent = adjacent.take(run_max).count();
            let run: Vec<&[bytes::Bytes]> = blocks[..adjacent].iter().map(|(_, pieces)| pieces.as_slice()).collect();
            if !engine.cache.store_run(&recording, first, &run) {
                run_max = 1;
                continue;
            }
            self.blocks.drain(..adjacent);
        }
        drop(turn);
        // Its fetch may have been broken off meanwhile, and have left the files open for this.
        let is_used = recording.lock().is_used();
        if !is_used {
            engine.cache.rest(&recording);
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
            state.release(*block);
        }
        drop(state);
        self.progress.send_modify(|_| {});
    }
}

impl Writer {
    /// For the blocks of one fetch, whose waiters learn of each by `progress`.
    pub fn new(engine: &Arc<Engine>, recording: &Arc<Recording>, progress: &Arc<watch::Sender<Progress>>) -> Writer {
        Writer { engine: Arc::clone(engine), pending: Batch::new(recording, progress), shown: 0, running: None }
    }

    /// Takes a block over, to be shown and written with those that follow at once. Waits while too much waits for the disk.
    pub async fn push(&mut self, block: u32, bytes: Pieces) {
        self.pending.blocks.push_back((block, bytes));
        if self.pending.blocks.len() >= WRITE_BATCH_BLOCKS {
            self.flush().await;
        }
    }

    /// Shows the readers what has come since the last time.
    pub fn show(&mut self) {
        let fresh = self.pending.blocks.len() - self.shown;
        if fresh == 0 {
            return;
        }
        {
            let mut state = self.pending.recording.lock();
            for (block, pieces) in self.pending.blocks.iter().skip(self.shown) {
                state.arrive(*block, pieces.clone());
            }
        }
        self.shown += fresh;
        self.pending.progress.send_modify(|progress| progress.arrived += fresh as u32);
    }

    /// Starts writing what waits, all of which was shown, when nothing is being written.
    fn write(&mut self) {
        let next = Batch::new(&self.pending.recording, &self.pending.progress);
        let batch = std::mem::replace(&mut self.pending, next);
        self.shown = 0;
        let engine = Arc::clone(&self.engine);
        self.running = Some(spawn_blocking(move || batch.store(&engine)));
    }

    /// Ends with the running batch.
    async fn written(&mut self) {
        if let Some(running) = self.running.take()
            && let Err(error) = running.await
            // Where the program ends before it was begun, nobody misses it.
            && !never_ran(&error)
        {
            tracing::error!(%error, "internal error: the cache could not be written to: {error}; please report it");
        }
    }

    /// Starts writing everything that came.
    pub async fn flush(&mut self) {
        if !self.pending.blocks.is_empty() {
            self.show();
            // Whoever was woken is answered first, on this thread, with what its caches still hold.
            yield_now().await;
            self.written().await;
            self.write();
        }
    }

    /// Ends when everything is stored.
    pub async fn finish(&mut self) {
        self.flush().await;
        self.written().await;
    }
}

/// A fetch that is broken off, as all are when the mount ends, has given blocks to readers that the next process should find.
impl Drop for Writer {
    fn drop(&mut self) {
        let next = Batch::new(&self.pending.recording, &self.pending.progress);
        let batch = std::mem::replace(&mut self.pending, next);
        if !batch.blocks.is_empty() {
            batch.store(&self.engine);
        }
    }
}
