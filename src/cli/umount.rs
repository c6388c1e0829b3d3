//! `cxonefs umount`: takes a mount of ours out of the tree and waits until it is gone.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::args::UmountArgs;
use super::failure::Failure;
use super::mounts;
use crate::fuse::{Busy, unmount};

/// How long the mount may take to leave the table after the kernel said yes.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Unmounts.
pub fn run(args: &UmountArgs) -> Result<(), Failure> {
    let shown = args.mount_point.display();
    let not_ours = |what: String| Failure::failed(what).remedy("cxonefs mounts are shown by: findmnt -t fuse.cxonefs");
    let path =
        mounts::resolve(&args.mount_point).map_err(|error| Failure::failed(error).while_doing(shown.to_string()))?;
    let table =
        |path: &Path| mounts::at(path).map_err(|error| Failure::failed(error).while_doing("reading the mount table"));
    match table(&path)? {
        Some(mount) if mount.is_ours() => {}
        Some(mount) => return Err(not_ours(format!("{shown} is not a cxonefs mount but of type {}", mount.kind))),
        None => return Err(not_ours(format!("{shown} is not a mount"))),
    }
    unmount(&path, if args.lazy { Busy::Detach } else { Busy::Refuse }).map_err(|error| {
        let busy = error.kind() == io::ErrorKind::ResourceBusy || error.to_string().contains("busy");
        let failure = Failure::failed(error).while_doing(format!("unmounting {shown}"));
        if busy {
            failure.remedy(format!(
                "close what is open in it (fuser -vm {shown} shows it), or: cxonefs umount --lazy {shown}"
            ))
        } else {
            failure
        }
    })?;
    let deadline = Instant::now() + GONE_WITHIN;
    while table(&path)?.is_some_and(|mount| mount.is_ours()) {
        if Instant::now() > deadline {
            return Err(Failure::failed(format!("{shown} is still mounted"))
                .remedy("another mount may lie below it; try again"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_mounts_are_unmounted() {
        let dir = tempfile::tempdir().unwrap();
        let said = |path: &Path| run(&UmountArgs { mount_point: path.to_owned(), lazy: false }).unwrap_err().render();
        assert!(said(dir.path()).contains("is not a mount"));
        assert!(said(Path::new("/proc")).contains("not a cxonefs mount but of type proc"));
    }
}
