//! Taking a FUSE mount out of the tree: by the system call or, without the right to it, by a program that has it: `fusermount3` for users, `umount`
//! for root, who may have given up the right (`fusermount3` unmounts, by some distributions' `AppArmor` profiles, in a few places only).

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// How to treat a mount that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Fail with [`io::ErrorKind::ResourceBusy`], or the helper's words.
    Refuse,
    /// Take it out of the tree at once; open files stay readable until they are closed.
    Detach,
}

/// Unmounts what is topmost at `path`. Follows no link at its end.
pub fn unmount(path: &Path, busy: Busy) -> io::Result<()> {
    match by_call(path, busy) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => by_helper(path, busy),
        result => result,
    }
}

#[cfg(target_os = "linux")]
fn by_call(path: &Path, busy: Busy) -> io::Result<()> {
    use rustix::mount::UnmountFlags;
    let flags = match busy {
        Busy::Refuse => UnmountFlags::NOFOLLOW,
        Busy::Detach => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    Ok(rustix::mount::unmount(path, flags)?)
}

/// There is no detaching: what is in use is unmounted by force, and open files fail from then on.
#[cfg(target_os = "macos")]
fn by_call(path: &Path, busy: Busy) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let flags = if busy == Busy::Detach { libc::MNT_FORCE } else { 0 };
    // SAFETY: the path ends with NUL and outlives the call.
    if unsafe { libc::unmount(path.as_ptr(), flags) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The program that unmounts for us.
fn helper() -> &'static str {
    if rustix::process::geteuid().is_root() { "umount" } else { "fusermount3" }
}

/// Whether somebody can unmount for us; `search_path` is `PATH`.
pub fn can_be_helped(search_path: Option<&OsStr>) -> bool {
    let folders = search_path.map(std::env::split_paths).into_iter().flatten();
    folders.into_iter().any(|folder| folder.join(helper()).is_file())
}

/// For those that may not unmount by themselves.
fn by_helper(path: &Path, busy: Busy) -> io::Result<()> {
    let name = helper();
    let mut command = Command::new(name);
    let flag: &[&str] = match (name, busy) {
        ("umount", Busy::Detach) => &["-l"],
        ("umount", Busy::Refuse) => &[],
        (_, Busy::Detach) => &["-uz"],
        (_, Busy::Refuse) => &["-u"],
    };
    command.args(flag).arg("--").arg(path).stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if name == "fusermount3" => {
            io::Error::new(error.kind(), "fusermount3 is missing; install the package fuse3")
        }
        _ => error,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(io::Error::other(if text.is_empty() { format!("{name} failed ({})", output.status) } else { text }))
}
