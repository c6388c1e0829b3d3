//! What one door keeps of what it showed: the names that the kernel was told are absent, which are dropped with the directory that changes;
//! listings that are being read; open files; and the slowest requests.

use std::sync::Arc;

use async_trait::async_trait;

use crate::fuse::absent::Absent;
use crate::fuse::handles::Handles;
use crate::fuse::listings::Listings;
use crate::fuse::meters::Meters;
use crate::tree::{Erased, File, Observer};

/// Tells the kernel.
pub struct Kept {
    pub kernel: Arc<dyn Observer>,
    pub absent: Arc<Absent>,
    pub listings: Arc<Listings>,
    pub files: Arc<Handles<File>>,
    pub meters: Arc<Meters>,
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

    fn erased(&self, what: Erased<'_>) {
        self.meters.forget(what);
        self.listings.forget_all();
        self.files.replace(|file| {
            let master = file.master()?;
            let goes = match what {
                Erased::These(masters) => masters.contains(&master),
                Erased::Everything => true,
            };
            goes.then(File::erased)
        });
        self.kernel.erased(what);
    }

    fn estimates_raised(&self) {
        self.kernel.estimates_raised();
    }

    async fn delivered(&self) {
        self.kernel.delivered().await;
    }
}
