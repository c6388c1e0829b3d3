//! How deep file systems may be stacked on the mount. Passthrough stacks the mount on the cache's file system, and the kernel stacks no more
//! than two: what the mount claims for itself, an overlayfs above it cannot have.

use std::path::Path;

/// A cache on an ordinary file system: one level, so that overlayfs can still have the mount as a layer.
const ORDINARY: u32 = 1;
/// A cache on a file system that is itself stacked: both levels.
const STACKED: u32 = 2;
/// File systems that are stacked themselves, by their magic numbers (statfs(2)): overlayfs, ecryptfs.
const STACKED_TYPES: [u64; 2] = [0x794c_7630, 0xf15f];

/// What passthrough of files in `cache_dir` needs.
#[must_use]
pub fn depth_for(cache_dir: &Path) -> u32 {
    let is_stacked = rustix::fs::statfs(cache_dir).is_ok_and(|found| STACKED_TYPES.contains(&(found.f_type as u64)));
    if is_stacked { STACKED } else { ORDINARY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_cache_leaves_a_level_to_others() {
        assert_eq!(depth_for(Path::new("/proc")), ORDINARY);
        assert_eq!(depth_for(Path::new("/does/not/exist")), ORDINARY);
    }
}
