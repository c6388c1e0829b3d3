//! Private directories and files, and no core dumps: recordings and tokens are nobody else's business.
//!
//! Knows no layout: callers say which directory holds what.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit};

use crate::base::failure::Failure;

/// Why a directory or file cannot hold private data.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    #[error("cannot create {}", path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot examine {}", path.display())]
    Examine {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write to {}", path.display())]
    NotWritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} belongs to user {owner}", path.display())]
    Stranger { path: PathBuf, owner: u32 },
    #[error("others can enter {} (mode {mode:04o})", path.display())]
    Open { path: PathBuf, mode: u32 },
}

impl PrivacyError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            PrivacyError::Create { path, .. } | PrivacyError::NotWritable { path, .. } => {
                format!("make {} writable for you, or choose another directory", path.display())
            }
            PrivacyError::Examine { path, .. } => {
                format!("make {} accessible, or choose another directory", path.display())
            }
            PrivacyError::NotADirectory { .. } | PrivacyError::NotAFile { .. } => {
                String::from("move it away, or choose another directory")
            }
            PrivacyError::Stranger { path, .. } => {
                format!("run as its owner, choose another directory, or chown {}", path.display())
            }
            PrivacyError::Open { path, .. } => format!("chmod 700 {}", path.display()),
        }
    }
}

/// Makes sure that `path` is a directory of ours that nobody else can enter and that we can write to.
///
/// It is created with mode 0700 where missing, parents too. A directory of ours that others can enter is closed if nothing in it is for them,
/// as where systemd made it above those of services, and refused if not: closing a directory full of someone's things would surprise them.
pub fn private_dir(path: &Path) -> Result<(), PrivacyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| {
        if path.exists() && !path.is_dir() {
            PrivacyError::NotADirectory { path: path.to_owned() }
        } else {
            PrivacyError::Create { path: path.to_owned(), source }
        }
    })?;
    let examine = |source| PrivacyError::Examine { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(examine)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(PrivacyError::Stranger { path: path.to_owned(), owner: metadata.uid() });
    }
    if metadata.mode() & 0o077 != 0 {
        if !holds_nothing_for_others(path).map_err(examine)? {
            return Err(PrivacyError::Open { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(examine)?;
    }
    // Root may write where the mode forbids it, and a read-only file system forbids it where the mode does not.
    tempfile::tempfile_in(path)
        .map_err(|source| PrivacyError::NotWritable { path: path.to_owned(), source })
        .map(|_| ())
}

/// Whether everything in a directory is ours and closed to others; nothing in it is for them then.
pub fn holds_nothing_for_others(path: &Path) -> io::Result<bool> {
    let euid = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(path)? {
        let metadata = entry?.metadata()?;
        if metadata.uid() != euid || metadata.mode() & 0o077 != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Opens a file of ours for appending, created with mode 0600. Refused if it is a link, is no regular file or belongs to
/// someone else; a looser mode is tightened.
pub fn private_append(path: &Path) -> Result<File, PrivacyError> {
    let create = |source| PrivacyError::Create { path: path.to_owned(), source };
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(create)?;
    let metadata = file.metadata().map_err(create)?;
    if !metadata.is_file() {
        return Err(PrivacyError::NotAFile { path: path.to_owned() });
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(PrivacyError::Stranger { path: path.to_owned(), owner: metadata.uid() });
    }
    if metadata.mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(create)?;
    }
    Ok(file)
}

/// Turns core dumps off for this process: by limit, and by making it undumpable, which also covers a core pattern that is a
/// pipe (the kernel ignores the limit there) and keeps other processes of the same user from attaching.
///
/// Children that are executed, such as `fusermount3`, are dumpable again and are not hindered.
pub fn no_core_dumps() -> io::Result<()> {
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

impl From<PrivacyError> for Failure {
    fn from(error: PrivacyError) -> Failure {
        let remedy = error.remedy();
        Failure::failed(error).remedy(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn directories_are_created_private() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        private_dir(&deep).unwrap();
        assert_eq!(mode(&deep), 0o700);
        assert_eq!(mode(&dir.path().join("a")), 0o700);
        private_dir(&deep).unwrap();
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
    }

    #[test]
    fn open_directories_are_closed_if_empty_and_refused_if_not() {
        let dir = tempfile::tempdir().unwrap();
        chmod(dir.path(), 0o755);
        private_dir(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        // As systemd leaves the directory above those of services.
        private_dir(&dir.path().join("service")).unwrap();
        chmod(dir.path(), 0o755);
        private_dir(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        std::fs::write(dir.path().join("x"), "").unwrap();
        chmod(&dir.path().join("x"), 0o644);
        chmod(dir.path(), 0o755);
        let error = private_dir(dir.path()).unwrap_err();
        assert!(matches!(error, PrivacyError::Open { mode: 0o755, .. }), "{error}");
        assert!(error.remedy().starts_with("chmod 700 "));
        assert_eq!(mode(dir.path()), 0o755);
    }

    #[test]
    fn what_is_no_directory_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(private_dir(&file), Err(PrivacyError::NotADirectory { .. })));
        assert!(matches!(private_dir(&file.join("below")), Err(PrivacyError::Create { .. })));
    }

    #[test]
    fn strangers_are_refused() {
        if !rustix::process::geteuid().is_root() {
            assert!(matches!(private_dir(Path::new("/usr")), Err(PrivacyError::Stranger { owner: 0, .. })));
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(12345), None).unwrap();
        assert!(matches!(private_dir(dir.path()), Err(PrivacyError::Stranger { owner: 12345, .. })));
    }

    #[test]
    fn files_are_private_and_no_links() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        drop(private_append(&path).unwrap());
        assert_eq!(mode(&path), 0o600);
        chmod(&path, 0o644);
        drop(private_append(&path).unwrap());
        assert_eq!(mode(&path), 0o600);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(private_append(&link).is_err());
        assert!(matches!(private_append(Path::new("/dev/null")), Err(PrivacyError::NotAFile { .. })));
    }
}
