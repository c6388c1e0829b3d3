//! What the tree tells the kernel unasked.
//!
//! Dropping attributes waits for no lock that a request under way could hold, and is done at once. Dropping names and directories can
//! wait for such locks, so that is delivered from a thread of its own and never from a request.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fuser::{INodeNo, Notifier};
use tokio::sync::oneshot;

use crate::vfs::KernelCache;

/// A listing that was read before a change may reach the kernel's cache after the notice of it, so that is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a change waits for its notice to reach the kernel.
const DELIVERED_WITHIN: Duration = Duration::from_millis(500);

enum Notice {
    /// A directory, and a name of it.
    Name(u64, Box<str>),
    Directory(u64),
    DirectoryAgain(u64),
    /// All before it have reached the kernel.
    Mark(oneshot::Sender<()>),
}

struct NoticeSender {
    queue: Sender<Notice>,
    notifier: Arc<OnceLock<Notifier>>,
}

#[async_trait]
impl KernelCache for NoticeSender {
    fn forget_attributes(&self, ino: u64) {
        // Before it is mounted the kernel keeps nothing. Length 0 from offset -1: attributes only, no page is touched.
        let sent = self.notifier.get().map_or(Ok(()), |notifier| notifier.inval_inode(INodeNo(ino), -1, 0));
        if let Err(error) = sent {
            tracing::debug!(%error, "the kernel did not take a notice");
        }
    }

    // A send fails only when the mount is gone, and with it what the kernel kept.
    fn forget_directory(&self, ino: u64) {
        let _ = self.queue.send(Notice::Directory(ino));
    }

    fn forget_name(&self, directory: u64, name: &str) {
        let _ = self.queue.send(Notice::Name(directory, name.into()));
    }

    async fn delivered(&self) {
        let (mark, reached) = oneshot::channel();
        let _ = self.queue.send(Notice::Mark(mark));
        // A kernel that takes its time with a notice must not hold up who waits for bytes.
        let _ = tokio::time::timeout(DELIVERED_WITHIN, reached).await;
    }
}

/// Notices that wait for a mount.
pub struct NoticeQueue {
    queue: Receiver<Notice>,
    notifier: Arc<OnceLock<Notifier>>,
}

/// The tree's end and the mount's end of one queue.
pub fn notices() -> (Arc<dyn KernelCache>, NoticeQueue) {
    let (sender, receiver) = channel();
    let notifier = Arc::<OnceLock<Notifier>>::default();
    let ours = NoticeSender { queue: sender, notifier: Arc::clone(&notifier) };
    (Arc::new(ours), NoticeQueue { queue: receiver, notifier })
}

impl NoticeQueue {
    /// Starts the thread; it ends when the tree is dropped.
    pub(super) fn deliver_to(self, notifier: Notifier) {
        let _ = self.notifier.set(notifier.clone());
        let queue = self.queue;
        let deliver = move || {
            let mut again: VecDeque<(Instant, u64)> = VecDeque::new();
            loop {
                let due = again.front().map(|(at, _)| at.saturating_duration_since(Instant::now()));
                let notice = match due {
                    None => queue.recv().ok(),
                    Some(left) => match queue.recv_timeout(left) {
                        Ok(notice) => Some(notice),
                        Err(RecvTimeoutError::Timeout) => again.pop_front().map(|(_, ino)| Notice::DirectoryAgain(ino)),
                        Err(RecvTimeoutError::Disconnected) => None,
                    },
                };
                let Some(notice) = notice else { return };
                let directory = if let Notice::Directory(ino) = notice { Some(ino) } else { None };
                let sent = match notice {
                    Notice::Name(directory, ref name) => notifier.inval_entry(INodeNo(directory), OsStr::new(&**name)),
                    // A directory's pages hold names; dropping them waits for no read of ours.
                    Notice::Directory(ino) | Notice::DirectoryAgain(ino) => notifier.inval_inode(INodeNo(ino), 0, 0),
                    Notice::Mark(mark) => {
                        let _ = mark.send(());
                        Ok(())
                    }
                };
                if let Some(ino) = directory {
                    again.push_back((Instant::now() + AGAIN_AFTER, ino));
                }
                if let Err(error) = sent {
                    tracing::debug!(%error, "the kernel did not take a notice");
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("notices".into()).spawn(deliver) {
            tracing::warn!(%error, "no thread for notices to the kernel; changed folders show when their time is up");
        }
    }
}
