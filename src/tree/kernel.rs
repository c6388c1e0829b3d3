//! What the tree tells the kernel unasked. The adapter carries it out, on a thread of its own.

use std::sync::Arc;

use async_trait::async_trait;

use crate::tree::absent::Absent;

/// Drops what the kernel keeps. Pages of files are never dropped this way (known kernel deadlock with reads under way).
#[async_trait]
pub trait KernelCache: Send + Sync + 'static {
    /// Size, times or links of a file changed. Done when this returns, so that who is answered next sees them as they are.
    fn forget_attributes(&self, ino: u64);
    /// The names of a directory changed.
    fn forget_directory(&self, ino: u64);
    /// A name of a directory is there that was absent, or is gone, with whatever was below it.
    fn forget_name(&self, directory: u64, name: &str);
    /// Estimates would be higher now than those that were shown.
    fn forget_estimates(&self) {}
    /// Waits until what was told so far has reached the kernel, for at most a moment.
    async fn delivered(&self);
}

/// A kernel, and the names that it was told are absent: they are dropped with the directory that changes.
pub struct WithAbsent {
    pub kernel: Arc<dyn KernelCache>,
    pub absent: Arc<Absent>,
}

#[async_trait]
impl KernelCache for WithAbsent {
    fn forget_attributes(&self, ino: u64) {
        self.kernel.forget_attributes(ino);
    }

    fn forget_directory(&self, ino: u64) {
        let names = self.absent.changed(ino);
        self.kernel.forget_directory(ino);
        for name in names {
            self.kernel.forget_name(ino, &name);
        }
    }

    fn forget_name(&self, directory: u64, name: &str) {
        self.kernel.forget_name(directory, name);
    }

    fn forget_estimates(&self) {
        self.kernel.forget_estimates();
    }

    async fn delivered(&self) {
        self.kernel.delivered().await;
    }
}

/// For a tree that no kernel looks at.
pub struct NoKernel;

#[async_trait]
impl KernelCache for NoKernel {
    fn forget_attributes(&self, _ino: u64) {}
    fn forget_directory(&self, _ino: u64) {}
    fn forget_name(&self, _directory: u64, _name: &str) {}
    async fn delivered(&self) {}
}
