//! Where control sockets are: one private directory per user, one socket per mount point, named by a hash of its path, so that a
//! command finds it from the mount point alone.

use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Bytes of the hash in a socket's name: socket paths are limited to 107 bytes.
const NAME_BYTES: usize = 12;
const EXTENSION: &str = "sock";

/// The user's directory for sockets: below `$XDG_RUNTIME_DIR`, below `/run` for root, else in the temporary directory.
#[must_use]
pub fn runtime_dir() -> PathBuf {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return PathBuf::from("/run/cxonefs");
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute() && dir.is_dir()) {
        Some(dir) => dir.join("cxonefs"),
        None => std::env::temp_dir().join(format!("cxonefs-{}", uid.as_raw())),
    }
}

/// The socket of the mount at an absolute path.
#[must_use]
pub fn socket_of(dir: &Path, mount_point: &Path) -> PathBuf {
    let hash = Sha256::digest(mount_point.as_os_str().as_bytes());
    let mut name = String::with_capacity(2 * NAME_BYTES);
    for byte in hash.iter().take(NAME_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    dir.join(name).with_extension(EXTENSION)
}

/// Every socket in the directory, dead ones included.
pub fn sockets(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mount_point_has_a_socket_of_its_own_with_a_short_name() {
        let dir = Path::new("/run/cxonefs");
        let one = socket_of(dir, Path::new("/mnt/a"));
        assert_ne!(one, socket_of(dir, Path::new("/mnt/b")));
        assert_eq!(one, socket_of(dir, Path::new("/mnt/a")));
        assert!(one.as_os_str().len() < 60);
    }
}
