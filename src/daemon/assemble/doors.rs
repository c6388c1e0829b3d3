//! Mounts the tree at each of its places: at all of them, or at none.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;

use crate::base::failure::Failure;
use crate::config::Config;
use crate::daemon::report::DoorView;
use crate::daemon::settings::ownership;
use crate::fuse::{self, Meters, Mounted, NoticeQueue, PassthroughState};
use crate::ops::privileges::{self, Situation};
use crate::tree::{Observer, Tree};

/// A place at which the tree is mounted.
pub struct Door {
    pub kernel: Arc<fuse::Door>,
    pub mounted: Mounted,
    pub view: DoorView,
}

/// Gives up the right to mount, where nothing takes it any more and the mounts can be taken away without it.
pub fn give_up_rights(doors: &[&Door], unmounted_by_others: bool) {
    let passthrough = |door: &&Door| {
        let state = door.mounted.passthrough().state();
        matches!(state, PassthroughState::Untried | PassthroughState::Working { .. })
    };
    let situation = Situation {
        passthrough: doors.iter().any(passthrough),
        no_new_privs: privileges::no_new_privs(),
        unmounted_by_others,
        doors: doors.len(),
    };
    let can_be_unmounted = unmounted_by_others || fuse::can_be_helped(std::env::var_os("PATH").as_deref());
    if !privileges::may_go(situation) || !can_be_unmounted {
        return;
    }
    match privileges::give_up() {
        Ok(true) => tracing::info!("the right to mount is given up: nothing takes it any more"),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the right to mount cannot be given up"),
    }
}

/// What `df` and the table of mounts show as the source: whose recordings these are, and as whom they are asked for.
pub fn source(config: &Config) -> String {
    let text = format!("cxonefs:{}@{}", config.tenant.access_key_id, super::host(config));
    // Commas separate options of mount(8), and blanks fields of its tables.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-@:+=[]".contains(c);
    text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// Mounts every tree at its place. If one cannot be, the others are unmounted again.
pub fn open(config: &Config, trees: Vec<(Arc<Tree>, PathBuf)>) -> Result<Vec<Door>, Failure> {
    // The kernel cannot decrypt.
    let passthrough = config.mount.passthrough && config.cache.keys.current.is_none();
    let options = fuse::MountOptions {
        source: source(config),
        allow_other: config.mount.allow_other,
        passthrough,
        cache_dir: config.cache.dir.clone(),
    };
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
                        let error = crate::base::chain(&error);
                        tracing::error!(
                            error,
                            "one place of this mount stays mounted ({error}): detach it with umount --lazy"
                        );
                    }
                }
                return Err(Failure::failed(error).while_doing("mounting"));
            }
        }
    }
    Ok(doors)
}
