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

use crate::fuse::told::Told;
use crate::tree::Observer;

/// A listing that was read before a change may reach the kernel's cache after the notice of it, so that is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long a change waits for its notice to reach the kernel.
const DELIVERED_WITHIN: Duration = Duration::from_millis(500);

enum Notice {
    /// A directory, and a name of it.
    Name(u64, Box<str>),
    Directory(u64),
    DirectoryAgain(u64),
    /// A file whose attributes could not be dropped before.
    Attributes(u64),
    /// Estimates of sizes are higher now.
    Estimates,
    /// All before it have reached the kernel.
    Mark(oneshot::Sender<()>),
}

/// What one mount told its kernel of sizes, and the way to have that dropped.
pub struct KernelView {
    pub told: Told,
    notifier: OnceLock<Notifier>,
}

impl KernelView {
    /// Drops what the kernel keeps of a file or directory, but not its pages.
    pub fn drop_attributes(&self, ino: u64) {
        // Before it is mounted the kernel keeps nothing. Length 0 from offset -1: attributes only, no page is touched.
        let sent = self.notifier.get().map_or(Ok(()), |notifier| notifier.inval_inode(INodeNo(ino), -1, 0));
        if let Err(error) = sent {
            tracing::debug!(%error, "the kernel did not take a notice");
        }
    }

    /// The same for a change that was not found by an open. False if it must wait.
    fn attributes_changed(&self, ino: u64) -> bool {
        self.told.notice(ino, || self.drop_attributes(ino))
    }
}

struct NoticeSender {
    queue: Sender<Notice>,
    kernel: Arc<KernelView>,
}

#[async_trait]
impl Observer for NoticeSender {
    fn attributes_changed(&self, ino: u64) {
        if !self.kernel.attributes_changed(ino) {
            let _ = self.queue.send(Notice::Attributes(ino));
        }
    }

    // A send fails only when the mount is gone, and with it what the kernel kept.
    fn listing_changed(&self, ino: u64) {
        let _ = self.queue.send(Notice::Directory(ino));
    }

    fn name_changed(&self, directory: u64, name: &str) {
        let _ = self.queue.send(Notice::Name(directory, name.into()));
    }

    fn estimates_raised(&self) {
        let _ = self.queue.send(Notice::Estimates);
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
    pub(super) kernel: Arc<KernelView>,
}

/// The tree's end and the mount's end of one queue.
pub fn notices() -> (Arc<dyn Observer>, NoticeQueue) {
    let (sender, receiver) = channel();
    let kernel = Arc::new(KernelView { told: Told::new(), notifier: OnceLock::new() });
    let ours = NoticeSender { queue: sender, kernel: Arc::clone(&kernel) };
    (Arc::new(ours), NoticeQueue { queue: receiver, kernel })
}

impl NoticeQueue {
    /// Starts the thread; it ends when the tree is dropped.
    pub(super) fn deliver_to(self, notifier: Notifier) {
        let NoticeQueue { queue, kernel } = self;
        let _ = kernel.notifier.set(notifier.clone());
        let deliver = move || {
            let mut again: VecDeque<(Instant, Notice)> = VecDeque::new();
            loop {
                let due = again.front().map(|(at, _)| at.saturating_duration_since(Instant::now()));
                let notice = match due {
                    None => queue.recv().ok(),
                    Some(left) => match queue.recv_timeout(left) {
                        Ok(notice) => Some(notice),
                        Err(RecvTimeoutError::Timeout) => again.pop_front().map(|(_, notice)| notice),
                        Err(RecvTimeoutError::Disconnected) => None,
                    },
                };
                let Some(notice) = notice else { return };
                let mut later =
                    if let Notice::Directory(ino) = notice { Some(Notice::DirectoryAgain(ino)) } else { None };
                let sent = match notice {
                    Notice::Name(directory, ref name) => notifier.inval_entry(INodeNo(directory), OsStr::new(&**name)),
                    // A directory's pages hold names; dropping them waits for no read of ours.
                    Notice::Directory(ino) | Notice::DirectoryAgain(ino) => notifier.inval_inode(INodeNo(ino), 0, 0),
                    Notice::Attributes(ino) => {
                        later = (!kernel.attributes_changed(ino)).then_some(Notice::Attributes(ino));
                        Ok(())
                    }
                    Notice::Estimates => {
                        kernel.told.raised(|ino| kernel.drop_attributes(ino));
                        Ok(())
                    }
                    Notice::Mark(mark) => {
                        let _ = mark.send(());
                        Ok(())
                    }
                };
                if let Some(notice) = later {
                    again.push_back((Instant::now() + AGAIN_AFTER, notice));
                }
                if let Err(error) = sent {
                    tracing::debug!(%error, "the kernel did not take a notice");
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("notices".into()).spawn(deliver) {
            tracing::warn!(%error, "the thread that tells the kernel of changes could not be started ({error}): changed folders show when the kernel asks again");
        }
    }
}
