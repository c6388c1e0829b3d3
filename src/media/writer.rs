//! Takes the blocks of one fetch to the disk, on blocking threads, while the next ones arrive.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::assemble::Pieces;
use super::engine::Engine;
use super::recording::{Progress, Recording};
use super::settings::WRITE_BATCH_BLOCKS;
use super::sync::{JoinHandle, spawn_blocking};

/// Writes blocks on a blocking thread while the next ones arrive: one batch at a time, of what came meanwhile.
pub struct Writer {
    engine: Arc<Engine>,
    pending: Batch,
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
        let _turn = recording.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut run_max = usize::MAX;
        while let Some((first, _)) = self.blocks.front() {
            let first = *first;
            let blocks = self.blocks.make_contiguous();
            let adjacent = blocks.iter().zip(first..).take_while(|((block, _), expected)| block == expected);
            let adjacent = adjacent.take(run_max).count();
            let run: Vec<&[bytes::Bytes]> = blocks[..adjacent].iter().map(|(_, pieces)| pieces.as_slice()).collect();
            if !engine.cache.store_run(&recording, first, &run) {
                // Where room is short, each is shown to its readers before the next one may push it out.
                run_max = 1;
                continue;
            }
            self.blocks.drain(..adjacent);
            self.progress.send_modify(|progress| progress.settled += adjacent as u32);
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
    /// For the blocks of one fetch, whose waiters learn of each by `progress`.
    pub fn new(engine: &Arc<Engine>, recording: &Arc<Recording>, progress: &Arc<watch::Sender<Progress>>) -> Writer {
        Writer { engine: Arc::clone(engine), pending: Batch::new(recording, progress), running: None }
    }

    /// Takes a block over, to be written with those that follow at once. Waits while too much waits for the disk.
    pub async fn push(&mut self, block: u32, bytes: Pieces) {
        self.pending.blocks.push_back((block, bytes));
        if self.pending.blocks.len() >= WRITE_BATCH_BLOCKS {
            if self.running.is_some() {
                self.written().await;
            }
            self.kick();
        }
    }

    /// Starts writing what waits, unless the batch before it is still being written.
    pub fn kick(&mut self) {
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) {
            self.running = None;
        }
        if self.running.is_some() || self.pending.blocks.is_empty() {
            return;
        }
        let next = Batch::new(&self.pending.recording, &self.pending.progress);
        let batch = std::mem::replace(&mut self.pending, next);
        let engine = Arc::clone(&self.engine);
        self.running = Some(spawn_blocking(move || batch.store(&engine)));
    }

    /// Ends with the running batch, after starting the next one; never if none runs. Cancel-safe.
    pub async fn written(&mut self) {
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

    /// Ends when everything is stored.
    pub async fn finish(&mut self) {
        loop {
            self.kick();
            if self.running.is_none() {
                return;
            }
            self.written().await;
        }
    }
}
