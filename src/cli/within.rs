//! From a path somewhere in a mount to the mount and the path in it. Looks at nothing inside the mount: a mere `stat` there may
//! cost a billed call, depending on its configuration.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::base::mounts;

/// Symbolic links that are followed, as in the kernel.
const LINKS_MAX: u32 = 40;

/// Where a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Within {
    pub mount_point: PathBuf,
    /// Relative to the mount point; empty for the mount point itself.
    pub relative: PathBuf,
}

/// The mount of ours that a path lies in; `None` if there is none.
pub fn locate(path: &Path) -> io::Result<Option<Within>> {
    let absolute = std::path::absolute(path)?;
    walk(&absolute, LINKS_MAX, |place| Ok(mounts::at(place)?.is_some_and(|mount| mount.is_ours())))
}

fn walk(
    absolute: &Path,
    links_left: u32,
    is_ours: impl Fn(&Path) -> io::Result<bool> + Copy,
) -> io::Result<Option<Within>> {
    let mut here = PathBuf::from("/");
    let mut rest = absolute.components();
    while let Some(component) = rest.next() {
        match component {
            Component::Normal(name) => here.push(name),
            Component::ParentDir => {
                here.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
        if is_ours(&here)? {
            match below(rest.as_path()) {
                Below::Inside(relative) => return Ok(Some(Within { mount_point: here, relative })),
                Below::Outside(rest) => {
                    here.pop();
                    return walk(&here.join(rest), links_left, is_ours);
                }
            }
        }
        if here.is_symlink() {
            let links_left = links_left.checked_sub(1).ok_or_else(|| io::Error::from_raw_os_error(libc::ELOOP))?;
            let folder = here.parent().unwrap_or(Path::new("/"));
            return walk(&folder.join(here.read_link()?).join(rest.as_path()), links_left, is_ours);
        }
    }
    Ok(None)
}

/// Where a path that starts in a mount leads.
enum Below<'a> {
    /// Without `.` and `..`.
    Inside(PathBuf),
    /// Out of it again; what is left of the path goes on from the folder that holds the mount point.
    Outside(&'a Path),
}

fn below(rest: &Path) -> Below<'_> {
    let mut relative = PathBuf::new();
    let mut components = rest.components();
    while let Some(component) = components.next() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::ParentDir if !relative.pop() => return Below::Outside(components.as_path()),
            _ => {}
        }
    }
    Below::Inside(relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &Path, mount: &Path) -> Option<(PathBuf, PathBuf)> {
        let found = walk(path, LINKS_MAX, |place| Ok(place == mount)).unwrap();
        found.map(|within| (within.mount_point, within.relative))
    }

    #[test]
    fn the_mount_is_found_from_anywhere_below_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mount = root.join("mnt");
        std::fs::create_dir(&mount).unwrap();
        std::os::unix::fs::symlink("mnt/2026-11-02", root.join("day")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        let at = |relative: &str| Some((mount.clone(), PathBuf::from(relative)));
        assert_eq!(find(&mount, &mount), at(""));
        assert_eq!(find(&mount.join("2026-11-02/x/../y/."), &mount), at("2026-11-02/y"));
        assert_eq!(find(&root.join("day/agent"), &mount), at("2026-11-02/agent"));
        assert_eq!(find(&root.join("./mnt/../mnt/a"), &mount), at("a"));
        assert_eq!(find(&mount.join("../other"), &mount), None);
        assert_eq!(find(&root.join("other"), &mount), None);
        let looped = walk(&root.join("loop/x"), LINKS_MAX, |place| Ok(place == mount));
        assert_eq!(looped.unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }
}
