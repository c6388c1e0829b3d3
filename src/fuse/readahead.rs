//! How far the kernel reads ahead of a reader, which bounds the size of its requests to us. Best effort: it takes the right to write
//! to sysfs, and costs nothing but speed where that is missing.

use std::fs;
use std::io;

/// Requests of up to 1 MiB instead of 128 KiB, the most that the kernel sends (`fs.fuse.max_pages_limit`): each costs two context
/// switches whatever its size.
const READ_AHEAD_KIB: u32 = 1024;

/// Has the kernel read ahead farther in the mount of this device. `Ok(false)`: it may not be changed by us.
pub fn widen(device: &str) -> io::Result<bool> {
    let control = format!("/sys/class/bdi/{device}/read_ahead_kb");
    match fs::write(control, READ_AHEAD_KIB.to_string()) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => Ok(false),
        // A read-only sysfs, as in most containers.
        Err(error) if error.raw_os_error() == Some(libc::EROFS) => Ok(false),
        Err(error) => Err(error),
    }
}
