//! Recordings that were closed: whoever hashes them waits for them here.

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use crate::base::MasterId;
use crate::media::Version;

/// Recordings that may wait for being hashed; more are found by the next look.
const WAITING_MAX: usize = 1024;
/// Recordings that are hashed at once for those who ask: each takes a thread of those on which opens and billed calls wait for the disk.
pub const HASHED_AT_ONCE: usize = 2;

/// A version of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub master: MasterId,
    pub recording: u8,
    pub version: Version,
}

/// Recordings that were closed.
pub struct Closed {
    sender: mpsc::Sender<Wanted>,
    receiver: Mutex<Option<mpsc::Receiver<Wanted>>>,
    /// Turns at hashing for those who ask.
    pub turns: Semaphore,
}

impl Closed {
    /// None yet.
    pub fn new() -> Closed {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Closed { sender, receiver: Mutex::new(Some(receiver)), turns: Semaphore::new(HASHED_AT_ONCE) }
    }

    /// A recording was closed.
    pub fn note(&self, wanted: Wanted) {
        // A full queue is made good by the next look.
        let _ = self.sender.try_send(wanted);
    }

    /// What was noted and will be, for the first who asks.
    pub fn take(&self) -> Option<mpsc::Receiver<Wanted>> {
        self.receiver.lock().take()
    }
}
