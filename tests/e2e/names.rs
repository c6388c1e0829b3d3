//! Agents whose names make trouble get names that are distinct, legal and stable.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cxonefs::sim::SimSettings;
use unicode_normalization::is_nfc;

use crate::harness::{Drive, plain, tool};

/// Every odd name stands with every second agent, in turn.
fn odd() -> SimSettings {
    SimSettings { odd_names: true, days: 2, ..plain(34, 3) }
}

#[test]
fn odd_names_are_distinct_legal_and_complete() {
    let drive = Drive::of(odd());
    for day in std::fs::read_dir(drive.path()).unwrap().map(|entry| entry.unwrap().path()) {
        let names: Vec<String> =
            std::fs::read_dir(&day).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let folded: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(folded.len(), names.len(), "alike where case does not count: {names:?}");
        for name in &names {
            assert_legal(name);
        }
        let ids: BTreeSet<&str> = names.iter().map(|name| name.rsplit('_').next().unwrap()).collect();
        assert_eq!(ids.len(), names.len());
        if !names.is_empty() {
            let expected: Vec<String> = (0..34).map(|n| drive.tenant.world().agent(n).id.to_string()).collect();
            assert_eq!(ids, expected.iter().map(String::as_str).collect());
        }
        for name in names {
            assert!(std::fs::read_dir(day.join(&name)).unwrap().count() >= 3, "{name:?} can be entered");
        }
    }
}

fn assert_legal(name: &str) {
    assert!(!name.is_empty() && name.len() <= 255, "{} bytes: {name:?}", name.len());
    assert!(is_nfc(name), "{name:?}");
    assert!(!name.starts_with('.') && !name.ends_with(['.', ' ']), "{name:?}");
    assert!(!name.chars().any(|c| c.is_control() || r#"/\:*?"<>|"#.contains(c)), "{name:?}");
    // Windows takes these for devices, whatever follows the dot.
    let stem = name.split('.').next().unwrap().trim_end().to_lowercase();
    assert!(!["con", "prn", "aux", "nul", "com1", "lpt1"].contains(&stem.as_str()), "{name:?}");
}

#[test]
fn names_and_inode_numbers_survive_a_remount_and_a_new_index() {
    let mut drive = Drive::of(odd());
    let before = names_with_inodes(drive.path());
    assert!(before.len() > 34 * 3 * 2, "{}", before.len());
    drive.mount.remount();
    assert_eq!(names_with_inodes(drive.path()), before);
    drive.mount.terminate();
    std::fs::remove_dir_all(drive.sandbox.state()).unwrap();
    drive.mount.start_again();
    assert_eq!(names_with_inodes(drive.path()), before, "after the state directory was lost");
}

fn names_with_inodes(mount: &Path) -> BTreeMap<Vec<u8>, u64> {
    let entries = walkdir::WalkDir::new(mount).into_iter().map(Result::unwrap);
    entries
        .map(|entry| (entry.path().as_os_str().as_encoded_bytes().to_vec(), entry.metadata().unwrap().ino()))
        .collect()
}

/// Tools get along with them: a copy of an odd agent's folder and its way through tar.
#[test]
fn odd_names_can_be_copied() {
    let drive = Drive::of(odd());
    let day = drive.tree.places[0].path.iter().next().unwrap();
    let (copy, unpacked) = (drive.sandbox.path("copy"), drive.sandbox.dir("unpacked"));
    tool("cp").arg("-r").arg(drive.at(day)).arg(&copy).ok();
    let archive = drive.sandbox.path("day.tar");
    tool("tar").arg("-cf").arg(&archive).arg("-C").arg(drive.at(day)).arg(".").ok();
    tool("tar").arg("-xf").arg(&archive).arg("-C").arg(&unpacked).ok();
    tool("diff").arg("-r").arg(&copy).arg(&unpacked).ok();
    tool("diff").arg("-r").arg(&copy).arg(drive.at(day)).ok();
}
