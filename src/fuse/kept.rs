//! A kernel, and the names that it was told are absent: they are dropped with the directory that changes.

use std::sync::Arc;

use async_trait::async_trait;

use crate::fuse::absent::Absent;
use crate::tree::Observer;

/// Tells the kernel.
pub struct Kept {
    pub kernel: Arc<dyn Observer>,
    pub absent: Arc<Absent>,
}

#[async_trait]
impl Observer for Kept {
    fn attributes_changed(&self, ino: u64) {
        self.kernel.attributes_changed(ino);
    }

    fn listing_changed(&self, ino: u64) {
        let names = self.absent.changed(ino);
        self.kernel.listing_changed(ino);
        for name in names {
            self.kernel.name_changed(ino, &name);
        }
    }

    fn name_changed(&self, directory: u64, name: &str) {
        self.kernel.name_changed(directory, name);
    }

    fn estimates_raised(&self) {
        self.kernel.estimates_raised();
    }

    async fn delivered(&self) {
        self.kernel.delivered().await;
    }
}
