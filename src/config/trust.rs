//! Whether nobody else can change a file that we follow: a configuration says where the access key is sent.
//!
//! Everybody who may write to the file, to a folder above it, or swap one of them, decides over its contents. Root may; so may we.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a file cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust {
    /// The file, or a folder above it.
    pub path: PathBuf,
    pub problem: String,
    pub remedy: String,
}

/// Checks the opened file and, at its real place, every folder above it.
pub fn check(path: &Path, opened: &Metadata, euid: u32) -> Result<(), Distrust> {
    judge(path, Facts::of(opened), euid)?;
    // A folder that cannot be examined cannot be changed by those of whom we know either: opening the file went through it.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for folder in real.ancestors().skip(1) {
        if let Ok(found) = folder.metadata() {
            judge(folder, Facts::of(&found), euid)?;
        }
    }
    Ok(())
}

/// What decides.
#[derive(Clone, Copy)]
struct Facts {
    uid: u32,
    gid: u32,
    mode: u32,
    is_dir: bool,
}

impl Facts {
    fn of(metadata: &Metadata) -> Facts {
        Facts { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() & 0o7777, is_dir: metadata.is_dir() }
    }
}

fn judge(path: &Path, found: Facts, euid: u32) -> Result<(), Distrust> {
    let shown = path.display();
    let distrust = |problem: String, remedy: String| Err(Distrust { path: path.to_owned(), problem, remedy });
    if found.uid != euid && found.uid != 0 {
        let owner = found.uid;
        return distrust(
            format!("belongs to user {owner}, who is neither you nor root"),
            format!("chown {euid} {shown}, or name a configuration of your own: --config FILE"),
        );
    }
    // In a sticky folder (/tmp) only a file's owner can replace it.
    if found.is_dir && found.mode & 0o1000 != 0 {
        return Ok(());
    }
    // Where every user has a group of the same number, a umask of 002 makes everything writable for a group of one.
    let private_group = euid != 0 && found.gid == euid;
    let writable = if private_group { found.mode & 0o002 } else { found.mode & 0o022 };
    if writable != 0 {
        return distrust(format!("can be changed by others (mode {:04o})", found.mode), format!("chmod go-w {shown}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(uid: u32, gid: u32, mode: u32, is_dir: bool) -> bool {
        judge(Path::new("/x"), Facts { uid, gid, mode, is_dir }, 1000).is_ok()
    }

    #[test]
    fn only_what_we_or_root_alone_can_change_is_followed() {
        assert!(allowed(1000, 1000, 0o644, false) && allowed(0, 0, 0o644, false) && allowed(0, 0, 0o755, true));
        assert!(!allowed(1001, 1001, 0o600, false), "another's file");
        assert!(!allowed(1001, 1001, 0o755, true), "another's folder");
        assert!(!allowed(1000, 1000, 0o666, false) && !allowed(0, 100, 0o664, false));
        assert!(!allowed(0, 100, 0o775, true) && !allowed(0, 0, 0o777, true));
        assert!(allowed(0, 0, 0o1777, true), "/tmp");
        assert!(allowed(1000, 1000, 0o664, false) && allowed(1000, 1000, 0o775, true), "a group of one");
        assert!(
            judge(Path::new("/x"), Facts { uid: 0, gid: 0, mode: 0o664, is_dir: false }, 0).is_err(),
            "root has no group of one"
        );
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (folder, euid) = (dir.path().join("open"), rustix::process::geteuid().as_raw());
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("config.toml");
        std::fs::write(&file, "").unwrap();
        let checked = || check(&file, &file.metadata().unwrap(), euid);
        assert_eq!(checked(), Ok(()));
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(checked().unwrap_err().path, folder.canonicalize().unwrap());
    }
}
