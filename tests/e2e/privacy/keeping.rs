//! `cxonefs cache stats` and `verify`, and `cache.max_age`, mounted and not.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Done, Drive, cxonefs, eventually, plain};

/// Three seconds of age, and a look every second.
const DROPPED_WITHIN: Duration = Duration::from_secs(20);

/// `cxonefs cache … --config F`, or with the mount point.
fn cache(drive: &Drive, words: &[&str], named: bool) -> Done {
    let tool = cxonefs(&drive.sandbox.home()).arg("cache").args(words).args(["--json"]);
    if named { tool.arg(drive.path()).run() } else { tool.arg("--config").arg(drive.sandbox.config()).run() }
}

fn json(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}{}", done.stdout, done.stderr))
}

/// Every recording of the tree.
fn recordings(drive: &Drive) -> Vec<PathBuf> {
    drive.tree.places.iter().map(|place| drive.at(&place.path).join("recording.mp4")).collect()
}

fn data_files(dir: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path);
    files.filter(|path| path.extension().is_some_and(|ending| ending == "data")).collect()
}

#[test]
fn the_cache_is_counted_and_verified_by_mount_point_by_configuration_and_unmounted() {
    counted_and_verified(false);
}

#[test]
fn an_encrypted_cache_is_counted_and_verified_too() {
    counted_and_verified(true);
}

fn counted_and_verified(is_encrypted: bool) {
    let mut drive = Drive::encrypted(is_encrypted, plain(1, 4), &[]);
    let files = recordings(&drive);
    for path in &files {
        std::fs::read(path).unwrap();
    }
    let count = files.len() as u64;
    for (named, mounted) in [(true, true), (false, true), (false, false)] {
        if !mounted && drive.mount.path().exists() {
            drive.mount.terminate();
        }
        let stats = complete(&drive, named, count);
        assert_eq!((stats["recordings"].as_u64(), stats["complete"].as_u64()), (Some(count), Some(count)), "{stats}");
        assert!(stats["blocks"].as_u64() >= Some(count) && stats["used_bytes"].as_u64() > Some(0), "{stats}");
        assert_eq!(stats["mount_point"].is_string(), mounted);
        assert!(stats["oldest"].as_str() <= stats["newest"].as_str() && stats["oldest"].is_string());
        let verified = cache(&drive, &["verify"], named);
        assert_eq!(verified.code(), 0, "{}", verified.stderr);
        assert_eq!(json(&verified)["blocks"], stats["blocks"]);
        let data = data_files(&drive.sandbox.cache());
        let file = std::fs::OpenOptions::new().write(true).open(&data[0]).unwrap();
        file.write_all_at(b"damage", 1000).unwrap();
        let found = cache(&drive, &["verify"], named);
        assert_eq!((found.code(), json(&found)["damaged_blocks"].as_u64()), (1, Some(1)), "{}", found.stderr);
        assert!(found.stderr.contains("damage was found"), "{}", found.stderr);
        assert_eq!(cache(&drive, &["verify"], named).code(), 0, "what is damaged was dropped");
        if mounted {
            for path in &files {
                drop_pages(path);
                std::fs::read(path).unwrap();
            }
            // What a mount that ends at once has not written yet is fetched again some day.
            complete(&drive, named, count);
        }
    }
}

/// The cache's numbers once `count` recordings are complete: what was read is being written for a moment longer.
#[track_caller]
fn complete(drive: &Drive, named: bool, count: u64) -> Value {
    let mut stats = Value::Null;
    eventually("everything is on disk", DROPPED_WITHIN, || {
        stats = json(&cache(drive, &["stats"], named));
        stats["complete"].as_u64() == Some(count)
    });
    stats
}

#[test]
fn bytes_go_by_age_and_sizes_and_documents_stay() {
    let drive = Drive::with(plain(1, 3), &["--set", "cache.max_age=3s"]);
    let files = recordings(&drive);
    let true_sizes: Vec<u64> = files.iter().map(|path| std::fs::read(path).unwrap().len() as u64).collect();
    let calls = drive.counters().playback_calls;
    eventually("every recording's bytes are dropped", DROPPED_WITHIN, || data_files(&drive.sandbox.cache()).is_empty());
    let media = drive.counters().media_requests;
    for (path, size) in files.iter().zip(&true_sizes) {
        assert_eq!(std::fs::metadata(path).unwrap().len(), *size);
        assert!(!std::fs::read(path.with_file_name("metadata.json")).unwrap().is_empty());
    }
    let counters = drive.counters();
    assert_eq!((counters.playback_calls, counters.media_requests), (calls, media), "looking costs nothing");
    // Read again: fetched again, by the link that still works.
    drop_pages(&files[0]);
    assert_eq!(std::fs::read(&files[0]).unwrap().len() as u64, true_sizes[0]);
    assert_eq!(drive.counters().playback_calls, calls);
    // What a process that ended left behind goes too.
    let mut drive = drive;
    drive.mount.terminate();
    assert!(!data_files(&drive.sandbox.cache()).is_empty());
    drive.mount.start_again();
    eventually("what was left goes too", DROPPED_WITHIN, || data_files(&drive.sandbox.cache()).is_empty());
}

/// The kernel keeps pages of its own, which nobody's age touches.
fn drop_pages(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}
