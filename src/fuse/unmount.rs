//! Taking a FUSE mount out of the tree: by the system call or, without the right to it, by `fusermount3`.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::UnmountFlags;

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
    let flags = match busy {
        Busy::Refuse => UnmountFlags::NOFOLLOW,
        Busy::Detach => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    match rustix::mount::unmount(path, flags) {
        Err(rustix::io::Errno::PERM) => by_helper(path, busy),
        result => result.map_err(io::Error::from),
    }
}

/// For users that may not unmount by themselves.
fn by_helper(path: &Path, busy: Busy) -> io::Result<()> {
    let mut command = Command::new("fusermount3");
    command.arg(if busy == Busy::Detach { "-uz" } else { "-u" }).arg("--").arg(path).stdin(Stdio::null());
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "fusermount3 is missing; install the package fuse3"),
        _ => error,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(io::Error::other(if text.is_empty() { format!("fusermount3 failed ({})", output.status) } else { text }))
}
