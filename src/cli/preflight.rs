//! What must be true before a mount is tried, each failure with its remedy: the mount point, `/dev/fuse`, `fusermount3`,
//! `user_allow_other`, the directories. What is found wrong here costs no login and leaves no mount.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::failure::Failure;
use crate::base::{complain, mounts};
use crate::config::{Config, Host};
use crate::fuse::{Busy, unmount};
use crate::ops::privacy;

/// Checks everything; the answer is the mount point's absolute path.
pub fn check(mount_point: &Path, config: &Config, host: &Host) -> Result<PathBuf, Failure> {
    fuse_device(Path::new("/dev/fuse"))?;
    if !host.is_root() {
        helper_program(std::env::var_os("PATH").as_deref())?;
        if config.mount.allow_other {
            allow_other(Path::new("/etc/fuse.conf"))?;
        }
    }
    let mount_point = free_mount_point(mount_point)?;
    for (key, dir) in [("cache.dir", &config.cache.dir), ("state.dir", &config.state.dir)] {
        if dir.starts_with(&mount_point) {
            return Err(Failure::usage(format!("{key}: {} lies below the mount point", dir.display()))
                .remedy("choose another directory, or another mount point"));
        }
        privacy::private_dir(dir).map_err(|error| Failure::from(error).while_doing(key))?;
    }
    Ok(mount_point)
}

/// The same for the places of `[[mount.also]]`, which become absolute.
pub fn check_further(mount_point: &Path, config: &mut Config, host: &Host) -> Result<(), Failure> {
    let mut taken = vec![mount_point.to_owned()];
    for index in 0..config.mount.also.len() {
        let dir = check(&config.mount.also[index].dir, config, host)?;
        if let Some(other) = taken.iter().find(|other| dir.starts_with(other) || other.starts_with(&dir)) {
            let both = format!("{} and {}", other.display(), dir.display());
            return Err(Failure::usage(format!("mount.also: {both} lie in each other"))
                .remedy("name directories beside each other"));
        }
        config.mount.also[index].dir.clone_from(&dir);
        taken.push(dir);
    }
    Ok(())
}

/// The directory to mount at, free and empty. A dead mount of ours that is still there is detached first.
fn free_mount_point(path: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let absolute = mounts::resolve(path).map_err(|error| mount_point_failure(path, error))?;
    if let Some(there) = mounts::at(&absolute).map_err(|error| mount_point_failure(path, error))?
        && there.is_ours()
    {
        if !is_dead(&absolute) {
            return Err(Failure::failed(format!("{shown} is a cxonefs mount already"))
                .remedy(format!("use it, or unmount it first: cxonefs umount {shown}")));
        }
        clear_dead_mount(&absolute)?;
    }
    let metadata = absolute.metadata().map_err(|error| mount_point_failure(path, error))?;
    if !metadata.is_dir() {
        return Err(Failure::failed(format!("the mount point {shown} is not a directory"))
            .remedy("name a directory; a new one: mkdir"));
    }
    let mut entries = absolute.read_dir().map_err(|error| mount_point_failure(path, error))?;
    if entries.next().is_some() {
        return Err(Failure::failed(format!("the mount point {shown} is not empty"))
            .remedy("mounting would hide what is in it; name an empty directory"));
    }
    Ok(absolute)
}

fn mount_point_failure(path: &Path, error: io::Error) -> Failure {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::failed(format!("the mount point {shown} does not exist")).remedy(format!("mkdir -p {shown}"))
        }
        _ if error.raw_os_error() == Some(libc::ENOTCONN) => {
            Failure::failed(format!("the mount point {shown} is a dead mount of another file system"))
                .remedy(format!("unmount it first: umount -l {shown}"))
        }
        io::ErrorKind::PermissionDenied => Failure::failed(error)
            .while_doing(format!("the mount point {shown}"))
            .remedy("name a directory that you own"),
        _ => Failure::failed(error).while_doing(format!("the mount point {shown}")),
    }
}

/// A mount whose daemon is gone answers ENOTCONN, or ECONNABORTED while it goes.
///
/// Asked by statfs(2), which the kernel passes on each time: attributes it would answer from its cache, and a mount that died just
/// now would look alive.
pub fn is_dead(path: &Path) -> bool {
    matches!(rustix::fs::statvfs(path), Err(rustix::io::Errno::NOTCONN | rustix::io::Errno::CONNABORTED))
}

fn clear_dead_mount(path: &Path) -> Result<(), Failure> {
    let shown = path.display();
    unmount(path, Busy::Detach).map_err(|error| {
        Failure::failed(error)
            .while_doing(format!("clearing the dead mount at {shown}"))
            .remedy(format!("unmount it first: umount -l {shown}"))
    })?;
    complain(format_args!("cxonefs: cleared the dead mount that an earlier cxonefs left at {shown}"));
    Ok(())
}

/// Whether the device is there and may be opened.
pub fn fuse_device(device: &Path) -> Result<(), Failure> {
    let shown = device.display();
    match OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Failure::failed(format!("no permission to open {shown}"))
                .remedy(format!("as root: chmod 666 {shown} (in a container: allow the device)")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::failed(format!("{shown} is missing"))
            .remedy(
                "load the module: modprobe fuse (as root); in a container: --device /dev/fuse --cap-add SYS_ADMIN",
            )),
        Err(error) => Err(Failure::failed(error)
            .while_doing(format!("opening {shown}"))
            .remedy("load the module: modprobe fuse (as root)")),
    }
}

/// Without root's rights, `fusermount3` mounts for us.
pub fn helper_program(search_path: Option<&std::ffi::OsStr>) -> Result<(), Failure> {
    let found = search_path
        .map(std::env::split_paths)
        .into_iter()
        .flatten()
        .any(|directory| directory.join("fusermount3").is_file());
    if found {
        return Ok(());
    }
    Err(Failure::failed("fusermount3 is missing; it mounts for users that are not root")
        .remedy("install the package fuse3, or run as root"))
}

/// Whether users that are not root may let others in.
pub fn allow_other(fuse_conf: &Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(fuse_conf).unwrap_or_default();
    if permits_allow_other(&text) {
        return Ok(());
    }
    let shown = fuse_conf.display();
    Err(Failure::failed(format!("mount.allow_other is set, but {shown} does not permit it to users that are not root"))
        .remedy(format!("as root: echo user_allow_other >> {shown}; or leave allow_other out")))
}

fn permits_allow_other(fuse_conf: &str) -> bool {
    fuse_conf.lines().any(|line| line.trim() == "user_allow_other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_must_be_empty_directories() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(free_mount_point(dir.path()).unwrap(), dir.path().canonicalize().unwrap());
        let missing = free_mount_point(&dir.path().join("missing")).unwrap_err();
        assert!(missing.render().contains("does not exist\n  mkdir -p "), "{}", missing.render());
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(free_mount_point(&file).unwrap_err().render().contains("is not a directory"));
        assert!(free_mount_point(dir.path()).unwrap_err().render().contains("is not empty"));
        assert!(free_mount_point(&dir.path().join("no/where")).unwrap_err().render().contains("does not exist"));
    }

    #[test]
    fn the_device_and_the_helper_are_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        assert!(fuse_device(&dir.path().join("fuse")).unwrap_err().render().contains("modprobe fuse"));
        assert!(helper_program(Some(dir.path().as_os_str())).unwrap_err().render().contains("fuse3"));
        assert!(helper_program(None).is_err());
        std::fs::write(dir.path().join("fusermount3"), "").unwrap();
        assert!(helper_program(Some(dir.path().as_os_str())).is_ok());
    }

    #[test]
    fn fuse_conf() {
        assert!(permits_allow_other("# x\nuser_allow_other\n"));
        assert!(!permits_allow_other("#user_allow_other\nmount_max = 5\n"));
        let dir = tempfile::tempdir().unwrap();
        assert!(allow_other(&dir.path().join("none")).unwrap_err().render().contains("user_allow_other"));
    }
}
