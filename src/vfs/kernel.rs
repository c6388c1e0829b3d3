//! What the tree tells the kernel unasked. The adapter carries it out, on a thread of its own.

/// Drops what the kernel keeps. Pages of files are never dropped this way (known kernel deadlock with reads under way).
pub trait KernelCache: Send + Sync + 'static {
    /// Size and times of a file changed.
    fn forget_attributes(&self, ino: u64);
    /// The names of a directory changed.
    fn forget_directory(&self, ino: u64);
}

/// For a tree that no kernel looks at.
pub struct NoKernel;

impl KernelCache for NoKernel {
    fn forget_attributes(&self, _ino: u64) {}
    fn forget_directory(&self, _ino: u64) {}
}
