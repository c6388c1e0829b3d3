//! What is mounted where: `/proc/self/mountinfo`, read as proc(5) defines it; on macOS as getmntinfo(3) tells. Asks no mount. Knows no
//! mounting. By hand: the crate for `/proc` fails for the whole table where one line is not as it expects.

#[cfg(any(target_os = "linux", test))]
use std::ffi::OsString;
use std::io;
#[cfg(any(target_os = "linux", test))]
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The type of our mounts.
pub const TYPE: &str = "fuse.cxonefs";

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub point: PathBuf,
    pub kind: String,
    pub source: String,
    /// The user who mounted it, where its options tell (`user_id`, which every FUSE mount has).
    pub owner: Option<u32>,
    /// `MAJOR:MINOR` of the device that stands for it, where the system tells: what tells it from another mount at the same place.
    pub device: Option<String>,
}

impl Mount {
    /// Whether it is one of ours.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.kind == TYPE
    }
}

/// The topmost mount at exactly that absolute path.
#[cfg(target_os = "linux")]
pub fn at(path: &Path) -> io::Result<Option<Mount>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(topmost(&table, path))
}

/// Every mount of ours that this process sees.
#[cfg(target_os = "linux")]
pub fn ours() -> io::Result<Vec<Mount>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(parse).filter(Mount::is_ours).collect())
}

/// Every mount of ours; not asked for here, where there is no door for other users.
#[cfg(not(target_os = "linux"))]
pub fn ours() -> io::Result<Vec<Mount>> {
    Ok(Vec::new())
}

/// The topmost mount at exactly that absolute path. macFUSE tells one type for all of its mounts: ours are known by their source.
#[cfg(target_os = "macos")]
pub fn at(path: &Path) -> io::Result<Option<Mount>> {
    use std::ffi::CStr;
    use std::os::unix::ffi::OsStrExt;
    use std::sync::Mutex;
    static TABLE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = TABLE.lock();
    let mut table = std::ptr::null_mut();
    // SAFETY: the call points `table` at memory of its own, of so many entries, that is valid until the next call: we make one at a time.
    let entries = unsafe {
        let count = libc::getmntinfo(&raw mut table, libc::MNT_NOWAIT);
        if count <= 0 {
            return Err(io::Error::last_os_error());
        }
        std::slice::from_raw_parts(table, count as usize)
    };
    // SAFETY: the kernel ends each of these arrays with NUL.
    let text = |field: &[libc::c_char]| unsafe { CStr::from_ptr(field.as_ptr()) }.to_owned();
    let found = entries.iter().rfind(|entry| text(&entry.f_mntonname).to_bytes() == path.as_os_str().as_bytes());
    Ok(found.map(|entry| {
        let (kind, source) = (text(&entry.f_fstypename), text(&entry.f_mntfromname));
        let (kind, source) = (kind.to_string_lossy(), source.to_string_lossy().into_owned());
        let is_ours = kind.ends_with("fuse") && source.starts_with("cxonefs");
        Mount {
            point: path.to_owned(),
            kind: if is_ours { TYPE.into() } else { kind.into_owned() },
            source,
            owner: Some(entry.f_owner),
            device: None,
        }
    }))
}

/// A path that names a mount point even where the mount is dead: its parent is resolved, its own name is not looked at.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            let whole = parent.canonicalize()?.join(name);
            // A mount of ours is never looked at: its daemon may be stopped.
            if at(&whole)?.is_some_and(|mount| mount.is_ours()) {
                return Ok(whole);
            }
            // A link is followed, if what it leads to is alive.
            match whole.symlink_metadata() {
                Ok(metadata) if metadata.is_symlink() => whole.canonicalize(),
                _ => Ok(whole),
            }
        }
        // "/", "..", or what ends in "..".
        _ => path.canonicalize(),
    }
}

#[cfg(any(target_os = "linux", test))]
fn topmost(table: &[u8], path: &Path) -> Option<Mount> {
    table.split(|byte| *byte == b'\n').filter_map(parse).rfind(|mount| mount.point == path)
}

/// `36 35 98:0 /root /point options [optional…] - type source superoptions`
#[cfg(any(target_os = "linux", test))]
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
    let point = fields.nth(1)?;
    let mut after = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(after.next()?).into_owned();
    let source = OsString::from_vec(unescape(after.next()?)).to_string_lossy().into_owned();
    let options = String::from_utf8_lossy(after.next().unwrap_or_default()).into_owned();
    let owner = options.split(',').find_map(|option| option.strip_prefix("user_id=")?.parse().ok());
    Some(Mount { point: PathBuf::from(OsString::from_vec(unescape(point))), kind, source, owner, device: Some(device) })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
#[cfg(any(target_os = "linux", test))]
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if let [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] = rest {
            bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw - ext4 /dev/vda rw\n\
        90 22 0:55 / /mnt/my\\040calls ro,nosuid shared:5 master:1 - fuse.cxonefs cxonefs ro,user_id=0\n\
        91 22 0:56 / /mnt/x rw - tmpfs tmpfs rw\n\
        92 91 0:57 / /mnt/x ro - fuse.cxonefs cxonefs ro\n\
        broken\n";

    #[test]
    fn the_topmost_mount_is_found() {
        assert!(topmost(TABLE, Path::new("/mnt/my calls")).unwrap().is_ours());
        assert!(topmost(TABLE, Path::new("/mnt/x")).unwrap().is_ours());
        assert_eq!(topmost(TABLE, Path::new("/mnt/x")).unwrap().device.as_deref(), Some("0:57"));
        assert_eq!(topmost(TABLE, Path::new("/")).unwrap().kind, "ext4");
        assert_eq!(topmost(TABLE, Path::new("/mnt")), None);
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(b"a\\040b\\134\\0"), b"a b\\\\0");
    }

    #[test]
    fn paths_are_resolved_without_looking_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        assert_eq!(resolve(&dir.path().join("missing")).unwrap(), real.join("missing"));
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        assert_eq!(resolve(&dir.path().join("link")).unwrap(), real);
        assert_eq!(resolve(Path::new("/")).unwrap(), Path::new("/"));
        assert!(resolve(&dir.path().join("no/missing")).is_err());
    }
}
