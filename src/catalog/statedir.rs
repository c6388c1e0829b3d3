//! The state directory on disk: whose it is, who may read it, who holds it.
//!
//! Knows nothing of what the files contain.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::CatalogError;
use crate::base::lock::{PATIENCE, lock_exclusively};

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const LOCK_NAME: &str = "cxonefs.lock";
/// Stood beside the database while earlier versions erased.
pub(super) const REWRITTEN_SUFFIX: &str = ".rewritten";

/// Tests know that nobody will let go.
const LOCK_PATIENCE: Duration = if cfg!(test) { Duration::ZERO } else { PATIENCE };

/// A state directory that is ours alone; held against other daemons until dropped, also when the process is killed.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Creates the directory (0700, its parents too) or checks it, and locks it.
    pub(super) fn hold(path: &Path) -> Result<StateDir, CatalogError> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(path)
            .map_err(CatalogError::io("create the state directory", path))?;
        check_dir(path)?;
        let lock_path = path.join(LOCK_NAME);
        let lock = private_file(&lock_path)?;
        match lock_exclusively(&lock, LOCK_PATIENCE) {
            Ok(true) => Ok(StateDir { path: path.to_owned(), _lock: lock }),
            Ok(false) => Err(CatalogError::InUse { path: path.to_owned() }),
            Err(error) => Err(CatalogError::io("lock", lock_path)(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Refuses a directory that is not ours or that others can write to; takes away others' right to read.
fn check_dir(path: &Path) -> Result<(), CatalogError> {
    let metadata = path.metadata().map_err(CatalogError::io("read", path))?;
    if !metadata.is_dir() {
        return Err(CatalogError::NotA { path: path.to_owned(), expected: "directory" });
    }
    check_owner(path, metadata.uid())?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(CatalogError::Writable { path: path.to_owned() });
    }
    if mode & 0o777 != DIR_MODE {
        tracing::warn!(path = %path.display(), mode = format!("{mode:o}"), "others could look into the state directory {} (mode {mode:o}): its mode is 0700 from now on", path.display());
        std::fs::set_permissions(path, Permissions::from_mode(DIR_MODE)).map_err(CatalogError::io("restrict", path))?;
    }
    Ok(())
}

fn check_owner(path: &Path, owner: u32) -> Result<(), CatalogError> {
    let us = rustix::process::geteuid().as_raw();
    if owner == us { Ok(()) } else { Err(CatalogError::Owner { path: path.to_owned(), owner, us }) }
}

/// Opens or creates a file of mode 0600 that is ours. SQLite gives its `-wal` and `-shm` files the mode of the database.
pub(super) fn private_file(path: &Path) -> Result<File, CatalogError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(CatalogError::io("open", path))?;
    let metadata = file.metadata().map_err(CatalogError::io("read", path))?;
    if !metadata.is_file() {
        return Err(CatalogError::NotA { path: path.to_owned(), expected: "regular file" });
    }
    check_owner(path, metadata.uid())?;
    if metadata.mode() & 0o777 != FILE_MODE {
        file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(CatalogError::io("restrict", path))?;
    }
    Ok(file)
}

/// `path` with `suffix` appended to its last component.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// In the names of what was moved aside.
pub(super) const DAMAGED_MARK: &str = ".damaged-";

/// Moves a database and its `-wal` and `-shm` aside, under a name that tells when it was last written. Returns the new path.
pub(super) fn move_aside(database: &Path) -> Result<PathBuf, CatalogError> {
    let written = database.metadata().map_err(CatalogError::io("read", database))?.mtime();
    let stamp = jiff::Timestamp::from_second(written)
        .map_or_else(|_| written.to_string(), |time| time.strftime("%Y%m%dT%H%M%SZ").to_string());
    // Bounded: nobody has a thousand damaged databases of one second.
    for attempt in 0..1000 {
        let number = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let aside = with_suffix(database, &format!("{DAMAGED_MARK}{stamp}{number}"));
        if aside.symlink_metadata().is_ok() {
            continue;
        }
        for suffix in ["-wal", "-shm", ""] {
            let from = with_suffix(database, suffix);
            match std::fs::rename(&from, with_suffix(&aside, suffix)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
                other => other.map_err(CatalogError::io("move aside", from))?,
            }
        }
        return Ok(aside);
    }
    Err(CatalogError::Refused("too many damaged databases were moved aside: remove some"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn a_new_directory_is_private_and_held_once() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        let held = StateDir::hold(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(LOCK_NAME)), 0o600);
        let error = StateDir::hold(&path).unwrap_err();
        assert!(matches!(error, CatalogError::InUse { .. }));
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        drop(held);
        StateDir::hold(&path).unwrap();
    }

    #[test]
    fn a_readable_directory_is_closed_and_a_writable_one_refused() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::set_permissions(temp.path(), Permissions::from_mode(0o755)).unwrap();
        drop(StateDir::hold(temp.path()).unwrap());
        assert_eq!(mode(temp.path()), 0o700);
        std::fs::set_permissions(temp.path(), Permissions::from_mode(0o1777)).unwrap();
        assert!(matches!(StateDir::hold(temp.path()), Err(CatalogError::Writable { .. })));
        assert_eq!(mode(temp.path()), 0o1777);
    }

    #[test]
    fn strangers_files_links_and_other_things_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let us = rustix::process::geteuid().as_raw();
        assert!(matches!(check_owner(temp.path(), us + 1), Err(CatalogError::Owner { .. })));
        let link = temp.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert!(matches!(private_file(&link), Err(CatalogError::Io { .. })));
        assert!(private_file(temp.path()).is_err());
        let file = temp.path().join("file");
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        private_file(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
    }

    #[test]
    fn what_is_moved_aside_keeps_its_companions_and_overwrites_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("cxonefs.db");
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2 {
            std::fs::write(&path, "x").unwrap();
            std::fs::write(with_suffix(&path, "-wal"), "w").unwrap();
            File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
            let aside = move_aside(&path).unwrap();
            assert!(!path.exists() && with_suffix(&aside, "-wal").exists());
            assert!(aside.to_str().unwrap().contains("cxonefs.db.damaged-19700101T000000Z"), "{}", aside.display());
            assert!(seen.insert(aside));
        }
    }
}
