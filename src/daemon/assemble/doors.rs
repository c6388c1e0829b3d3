//! Mounts the tree at each of its places: at all of them, or at none.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;

use super::settings::ownership;
use crate::base::failure::Failure;
use crate::config::Config;
use crate::daemon::report::DoorView;
use crate::fuse::{self, Meters, Mounted, NoticeQueue};
use crate::tree::{Observer, Tree};

/// A place at which the tree is mounted.
pub struct Door {
    pub kernel: Arc<fuse::Door>,
    pub mounted: Mounted,
    pub view: DoorView,
}

/// Mounts every tree at its place. If one cannot be, the others are unmounted again.
pub fn open(config: &Config, trees: Vec<(Arc<Tree>, PathBuf)>) -> Result<Vec<Door>, Failure> {
    // The kernel cannot decrypt.
    let passthrough = config.mount.passthrough && config.cache.keys.current.is_none();
    let options =
        fuse::MountOptions { allow_other: config.mount.allow_other, passthrough, cache_dir: config.cache.dir.clone() };
    let mut doors: Vec<Door> = Vec::new();
    let meters = Arc::new(Meters::default());
    for (tree, path) in trees {
        let (kernel, notices): (Arc<dyn Observer>, NoticeQueue) = fuse::notices();
        let door = Arc::new(fuse::Door::new(tree, ownership(&config.mount), kernel, Arc::clone(&meters)));
        fuse::start_keeping_fresh(&door, config.tree.refresh);
        match fuse::mount(Arc::clone(&door), notices, &path, &options, &Handle::current()) {
            Ok(mounted) => {
                let view = DoorView {
                    mount_point: mounted.path().to_owned(),
                    door: Arc::clone(&door),
                    passthrough: mounted.passthrough(),
                    is_mounted: Arc::new(AtomicBool::new(true)),
                };
                doors.push(Door { kernel: door, mounted, view });
            }
            Err(error) => {
                for door in &doors {
                    if let Err(error) = door.mounted.detach() {
                        tracing::error!(error = &error as &dyn std::error::Error, "a mount stays behind");
                    }
                }
                return Err(Failure::failed(error).while_doing("mounting"));
            }
        }
    }
    Ok(doors)
}
