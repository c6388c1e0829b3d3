//! What the tree tells the kernel unasked, delivered from a thread of its own: a notification can wait for locks that a request under
//! way holds, so it must never be sent from one.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
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
    Attributes(u64),
    Directory(u64),
    DirectoryAgain(u64),
    Name(u64, String),
    /// All before it have reached the kernel.
    Mark(oneshot::Sender<()>),
}

struct NoticeSender(Sender<Notice>);

#[async_trait]
impl KernelCache for NoticeSender {
    // A send fails only when the mount is gone, and with it what the kernel kept.
    fn forget_attributes(&self, ino: u64) {
        let _ = self.0.send(Notice::Attributes(ino));
    }

    fn forget_directory(&self, ino: u64) {
        let _ = self.0.send(Notice::Directory(ino));
    }

    fn forget_name(&self, parent: u64, name: &str) {
        let _ = self.0.send(Notice::Name(parent, name.to_owned()));
    }

    async fn delivered(&self) {
        let (mark, reached) = oneshot::channel();
        let _ = self.0.send(Notice::Mark(mark));
        // A kernel that takes its time with a notice must not hold up who waits for bytes.
        let _ = tokio::time::timeout(DELIVERED_WITHIN, reached).await;
    }
}

/// Notices that wait for a mount.
pub struct NoticeQueue(Receiver<Notice>);

/// The tree's end and the mount's end of one queue.
pub fn notices() -> (Arc<dyn KernelCache>, NoticeQueue) {
    let (sender, receiver) = channel();
    (Arc::new(NoticeSender(sender)), NoticeQueue(receiver))
}

impl NoticeQueue {
    /// Starts the thread; it ends when the tree is dropped.
    pub(super) fn deliver_to(self, notifier: Notifier) {
        let deliver = move || {
            let mut again: VecDeque<(Instant, u64)> = VecDeque::new();
            loop {
                let due = again.front().map(|(at, _)| at.saturating_duration_since(Instant::now()));
                let notice = match due {
                    None => self.0.recv().ok(),
                    Some(left) => match self.0.recv_timeout(left) {
                        Ok(notice) => Some(notice),
                        Err(RecvTimeoutError::Timeout) => again.pop_front().map(|(_, ino)| Notice::DirectoryAgain(ino)),
                        Err(RecvTimeoutError::Disconnected) => None,
                    },
                };
                let Some(notice) = notice else { return };
                let directory = if let Notice::Directory(ino) = notice { Some(ino) } else { None };
                let sent = match notice {
                    // Length 0 from offset -1: attributes only, no page is touched.
                    Notice::Attributes(ino) => notifier.inval_inode(INodeNo(ino), -1, 0),
                    // A directory's pages hold names; dropping them waits for no read of ours.
                    Notice::Directory(ino) | Notice::DirectoryAgain(ino) => notifier.inval_inode(INodeNo(ino), 0, 0),
                    Notice::Name(parent, name) => notifier.inval_entry(INodeNo(parent), OsStr::new(&name)),
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
