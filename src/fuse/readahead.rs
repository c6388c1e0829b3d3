//! How far the kernel reads ahead of a reader, which bounds the size of its requests to us. Best effort: it takes the right to write
//! to sysfs, and costs nothing but speed where that is missing.

use std::fs;
use std::io;
use std::path::Path;

/// Requests of up to 1 MiB instead of 128 KiB, the most that the kernel sends (`fs.fuse.max_pages_limit`): each costs two context
/// switches whatever its size.
const READ_AHEAD_KIB: u32 = 1024;

/// Has the kernel read ahead farther in the mount at `path`. `Ok(false)`: it may not be changed by us.
pub fn widen(path: &Path) -> io::Result<bool> {
    if !cfg!(target_os = "linux") {
        return Ok(false);
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    // Not `stat`: asking the mount for its device would be a request to ourselves.
    let Some(device) = device_of(&mounts, path) else { return Ok(false) };
    let control = format!("/sys/class/bdi/{device}/read_ahead_kb");
    match fs::write(control, READ_AHEAD_KIB.to_string()) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => Ok(false),
        // A read-only sysfs, as in most containers.
        Err(error) if error.raw_os_error() == Some(libc::EROFS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `MAJOR:MINOR` of the last mount at `path`, which hides the others.
fn device_of(mountinfo: &str, path: &Path) -> Option<String> {
    let line_of = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let (device, _root, point) = (fields.next()?, fields.next()?, fields.next()?);
        (Path::new(&unescaped(point)) == path).then(|| device.to_owned())
    };
    mountinfo.lines().rev().find_map(line_of)
}

/// Blanks, tabs, line ends and backslashes are written as a backslash and three octal digits.
fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                text.push_str(&part[3..]);
            }
            None => text.push_str(part),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_at_a_path_counts() {
        let mounts = "36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 - ext4 /dev/root rw\n\
                      37 35 0:51 / /mnt/a\\040b ro - fuse.cxonefs cxonefs ro\n38 35 0:52 / /mnt/a ro - fuse x ro\n";
        assert_eq!(device_of(mounts, Path::new("/mnt/a b")), Some("0:51".to_owned()));
        assert_eq!(device_of(mounts, Path::new("/mnt/a")), Some("0:52".to_owned()));
        assert_eq!(device_of(mounts, Path::new("/mnt")), None);
    }
}
