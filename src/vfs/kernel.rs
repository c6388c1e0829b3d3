//! What the tree tells the kernel unasked. The adapter carries it out, on a thread of its own.

use async_trait::async_trait;

/// Drops what the kernel keeps. Pages of files are never dropped this way (known kernel deadlock with reads under way).
#[async_trait]
pub trait KernelCache: Send + Sync + 'static {
    /// Size and times of a file changed.
    fn forget_attributes(&self, ino: u64);
    /// The names of a directory changed.
    fn forget_directory(&self, ino: u64);
    /// A name below a directory is gone, and whatever was below it.
    fn forget_name(&self, parent: u64, name: &str);
    /// Waits until what was told so far has reached the kernel, for at most a moment.
    async fn delivered(&self);
}

/// For a tree that no kernel looks at.
pub struct NoKernel;

#[async_trait]
impl KernelCache for NoKernel {
    fn forget_attributes(&self, _ino: u64) {}
    fn forget_directory(&self, _ino: u64) {}
    fn forget_name(&self, _parent: u64, _name: &str) {}
    async fn delivered(&self) {}
}
