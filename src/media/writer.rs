//! Takes the blocks of one fetch to the disk, on blocking threads, while the next ones arrive.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::engine::Engine;
use super::recording::{Progress, Recording};
use super::settings::WRITE_BATCH_BLOCKS;

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
    blocks: VecDeque<(u32, Bytes)>,
}

impl Batch {
    fn new(recording: &Arc<Recording>, progress: &Arc<watch::Sender<Progress>>) -> Batch {
        Batch { recording: Arc::clone(recording), progress: Arc::clone(progress), blocks: VecDeque::new() }
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
    /// For the blocks of one fetch, whose waiters learn of each by `progress`.
    pub fn new(engine: &Arc<Engine>, recording: &Arc<Recording>, progress: &Arc<watch::Sender<Progress>>) -> Writer {
        Writer { engine: Arc::clone(engine), pending: Batch::new(recording, progress), running: None }
    }

    /// Takes a block over. Waits while too much waits for the disk.
    pub async fn push(&mut self, block: u32, bytes: Bytes) {
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
        while self.running.is_some() || !self.pending.blocks.is_empty() {
            self.kick();
            self.written().await;
        }
    }
}
