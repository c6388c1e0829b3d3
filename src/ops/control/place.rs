//! Where control sockets are: one private directory per user, one socket per mount point, named by a hash of its path, so that a
//! command finds it from the mount point alone, in a login session or without one (cron, `su`).
//!
//! A directory or socket that anybody but the mount's owner could have put there is never used: another user's socket would answer
//! "erased" and erase nothing.

use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

/// Bytes of the hash in a socket's name: socket paths are limited to 107 bytes.
const NAME_BYTES: usize = 12;
const EXTENSION: &str = "sock";
/// Others may neither enter nor write.
const OTHERS: u32 = 0o077;

/// Where the sockets of a user's mounts may be, in the order in which a mount chooses. Not all of them exist.
#[must_use]
pub fn runtime_dirs(uid: u32) -> Vec<PathBuf> {
    if uid == 0 {
        return vec![PathBuf::from("/run/cxonefs")];
    }
    let ours = uid == rustix::process::geteuid().as_raw();
    let variable =
        |name: &str| std::env::var_os(name).filter(|_| ours).map(PathBuf::from).filter(|path| path.is_absolute());
    let session = variable("XDG_RUNTIME_DIR").map(|dir| dir.join("cxonefs"));
    // What systemd gives to a login session, which cron and `su` are not told.
    let login = PathBuf::from(format!("/run/user/{uid}/cxonefs"));
    let shared = std::env::temp_dir().join(format!("cxonefs-{uid}"));
    // Where another user took the name in the shared directory.
    let home = variable("HOME").map(|home| home.join(".cache/cxonefs/run"));
    let mut dirs: Vec<PathBuf> = session.into_iter().chain([login, shared]).chain(home).collect();
    dirs.dedup();
    dirs
}

/// The directory for the sockets of our own mounts: the first that can be had. A directory of the session is used only where the session has
/// one, because it ends with it.
#[must_use]
pub fn own_runtime_dir() -> PathBuf {
    let dirs = runtime_dirs(rustix::process::geteuid().as_raw());
    let uid = rustix::process::geteuid().as_raw();
    let usable = |dir: &&PathBuf| {
        if dir.symlink_metadata().is_ok() { is_private(dir, uid) } else { dir.parent().is_some_and(Path::is_dir) }
    };
    let home = dirs.last().cloned();
    dirs.iter().find(usable).cloned().or(home).unwrap_or_default()
}

/// Whether a directory is `owner`'s alone, and no link.
fn is_private(dir: &Path, owner: u32) -> bool {
    dir.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == owner && found.mode() & OTHERS == 0)
}

/// The name of the door for other users than the owner (`members`): abstract, so it begins with a zero byte.
const MEMBERS: &str = "\0cxonefs/members";

/// Where other users than `owner` find the daemon of the mount at an absolute path.
#[must_use]
pub fn members_socket(mount_point: &Path, owner: u32) -> PathBuf {
    PathBuf::from(MEMBERS).join(owner.to_string()).join(hash(mount_point))
}

/// The user who must own the daemon behind such a socket.
#[must_use]
pub fn owner_behind(socket: &Path) -> Option<u32> {
    socket.strip_prefix(MEMBERS).ok()?.iter().next()?.to_str()?.parse().ok()
}

/// The socket of the mount at an absolute path, in a directory.
#[must_use]
pub fn socket_of(dir: &Path, mount_point: &Path) -> PathBuf {
    dir.join(hash(mount_point)).with_extension(EXTENSION)
}

fn hash(mount_point: &Path) -> String {
    let hash = digest(&SHA256, mount_point.as_os_str().as_bytes());
    let mut name = String::with_capacity(2 * NAME_BYTES);
    for byte in hash.as_ref().iter().take(NAME_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The socket of the mount at an absolute path, of a mount that `owner` made. Where there is none that can be trusted, the path where one
/// would be.
#[must_use]
pub fn find_socket(mount_point: &Path, owner: u32) -> PathBuf {
    let dirs = runtime_dirs(owner);
    let exists = |dir: &&PathBuf| is_private(dir, owner) && is_socket(&socket_of(dir, mount_point), owner);
    let dir = dirs.iter().find(exists).or_else(|| dirs.iter().find(|dir| is_private(dir, owner))).or(dirs.first());
    dir.map(|dir| socket_of(dir, mount_point)).unwrap_or_default()
}

fn is_socket(path: &Path, owner: u32) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket() && found.uid() == owner)
}

/// Every socket of this user's mounts, dead ones included.
pub fn own_sockets() -> io::Result<Vec<PathBuf>> {
    let uid = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    for dir in runtime_dirs(uid).iter().filter(|dir| is_private(dir, uid)) {
        found.extend(sockets(dir, uid)?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn sockets(dir: &Path, owner: u32) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) && is_socket(&path, owner) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_mount_point_has_a_socket_of_its_own_with_a_short_name() {
        let dir = Path::new("/run/cxonefs");
        let one = socket_of(dir, Path::new("/mnt/a"));
        assert_ne!(one, socket_of(dir, Path::new("/mnt/b")));
        assert_eq!(one, socket_of(dir, Path::new("/mnt/a")));
        assert!(one.as_os_str().len() < 60);
    }

    #[test]
    fn the_door_for_others_says_who_has_to_be_behind_it() {
        let door = members_socket(Path::new("/mnt/a"), 1000);
        assert_eq!(owner_behind(&door), Some(1000));
        // A name in the abstract namespace is limited like a path.
        assert!(door.as_os_str().len() < 100 && door.as_os_str().as_bytes()[0] == 0, "{door:?}");
        assert_ne!(door, members_socket(Path::new("/mnt/a"), 1001));
        assert_eq!(owner_behind(&socket_of(Path::new("/run/cxonefs"), Path::new("/mnt/a"))), None);
    }

    #[test]
    fn sockets_of_a_user_are_looked_for_where_a_session_without_variables_finds_them() {
        assert_eq!(runtime_dirs(0), [PathBuf::from("/run/cxonefs")]);
        let dirs = runtime_dirs(4_000_000_000);
        assert!(dirs.contains(&PathBuf::from("/run/user/4000000000/cxonefs")), "{dirs:?}");
        assert!(dirs.iter().any(|dir| dir.ends_with("cxonefs-4000000000")), "{dirs:?}");
    }

    #[test]
    fn only_a_directory_and_a_socket_of_the_owner_are_trusted() {
        let temp = tempfile::tempdir().unwrap();
        let us = rustix::process::geteuid().as_raw();
        let chmod = |mode| std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        chmod(0o700);
        assert!(is_private(temp.path(), us) && !is_private(temp.path(), us + 1));
        chmod(0o770);
        assert!(!is_private(temp.path(), us));
        chmod(0o700);
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path(), &link).unwrap();
        assert!(!is_private(&link, us));
        let path = temp.path().join("a.sock");
        std::fs::write(&path, "").unwrap();
        assert!(!is_socket(&path, us));
        std::fs::remove_file(&path).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(is_socket(&path, us) && !is_socket(&path, us + 1));
        assert_eq!(sockets(temp.path(), us).unwrap(), [path]);
    }
}
