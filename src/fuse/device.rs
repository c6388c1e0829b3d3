//! Which device stands for a mount: what tells it from another one at the same place.

use std::fs;
use std::io;
use std::path::Path;

/// `MAJOR:MINOR` of the topmost mount at `path`, if there is one, and where the system tells.
pub fn device_at(path: &Path) -> io::Result<Option<String>> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    // Not `stat`: asking the mount for its device would be a request to ourselves.
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(device_of(&mounts, path))
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
