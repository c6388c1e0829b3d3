//! The cache's disk is full, and then gone: recordings are read all the same, and it is said once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cxonefs::sim::SimSettings;

use crate::harness::{Mount, Sandbox, Tenant, Tree, assert_same_bytes, eventually, plain, tool, true_bytes};

/// A small file system of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: PathBuf) -> SmallDisk {
        std::fs::create_dir(&path).unwrap();
        tool("mount").args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "small"]).arg(&path).ok();
        SmallDisk(path)
    }

    fn take_away(&self) {
        tool("umount").arg("-l").arg(&self.0).ok();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        tool("umount").arg("-lq").arg(&self.0).run();
    }
}

#[track_caller]
fn read(tenant: &Tenant, place: &(i64, PathBuf)) {
    let (master, path) = place;
    assert_same_bytes(&std::fs::read(path).unwrap(), &true_bytes(tenant, *master, 1), path);
}

fn trouble(mount: &Mount) -> Option<String> {
    mount.status()["cache"]["trouble"].as_str().map(ToOwned::to_owned)
}

#[test]
fn a_full_disk_means_uncached_reads_until_there_is_room_and_a_lost_one_does_no_harm() {
    let tenant = Tenant::start(SimSettings { bulk_bytes: Some(700_001), ..plain(2, 8) });
    let sandbox = Sandbox::of(&tenant);
    let disk = SmallDisk::at(sandbox.cache());
    let flags = ["--set", "cache.min_free=64KiB", "--set", "mount.passthrough=false"];
    let mount = Mount::start(&sandbox, &flags);
    let tree = Tree::of(&tenant);
    let places: Vec<(i64, PathBuf)> =
        tree.recorded().map(|place| (place.master, mount.at(&place.path).join("recording.mp4"))).collect();
    let filler: &Path = &sandbox.cache().join("filler");

    assert_eq!(trouble(&mount), None);
    // Others have taken all the room that there is, and nothing is cached that could go.
    tool("sh").arg("-c").arg(format!("cat /dev/zero > {}", filler.display())).run();
    for place in &places[..5] {
        read(&tenant, place);
    }
    assert!(trouble(&mount).is_some(), "{}", mount.status()["cache"]);
    assert_eq!(mount.stderr().matches("reading uncached").count(), 1, "{}", mount.stderr());
    let said = mount.stderr();
    assert!(
        said.contains(
            "the cache cannot be written to (no room in the cache): reading uncached until it can; see cache.dir"
        ),
        "{said}"
    );

    std::fs::remove_file(filler).unwrap();
    let mut more = places[5..].iter();
    eventually("the cache takes blocks again", Duration::from_secs(20), || {
        more.next().into_iter().for_each(|place| read(&tenant, place));
        trouble(&mount).is_none()
    });

    disk.take_away();
    for place in places.iter().rev().take(3) {
        read(&tenant, place);
    }
    assert!(mount.status()["pid"].is_number());
}
