//! `cxonefs hold`: nothing removes what is held.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Done, Drive, cxonefs, eventually, plain};

fn run(drive: &Drive, words: &[&str]) -> Done {
    cxonefs(&drive.sandbox.home()).args(words).arg(drive.path()).run()
}

fn unmounted(drive: &Drive, words: &[&str]) -> Done {
    cxonefs(&drive.sandbox.home()).args(words).arg("--config").arg(drive.sandbox.config()).run()
}

fn holds(drive: &Drive) -> Vec<Value> {
    let done = run(drive, &["hold", "list", "--json"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

fn data_files(dir: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path);
    files.filter(|path| path.extension().is_some_and(|ending| ending == "data")).collect()
}

#[test]
fn what_is_held_survives_purges_age_and_restarts_until_it_is_released() {
    let mut drive = Drive::with(plain(2, 3), &["--set", "cache.max_age=4s"]);
    let places = drive.tree.places.clone();
    let (held, other) = (places[0].clone(), places.last().unwrap().clone());
    assert_ne!(held.master, other.master);
    let id = held.master.to_string();
    assert!(drive.at(&held.path).exists(), "listed, so that it is known");

    let unknown = run(&drive, &["hold", "add", "5", "--reason", "x"]);
    assert_eq!(unknown.code(), 1, "{}", unknown.stdout);
    assert!(unknown.stderr.contains("nothing is known of contact 5"), "{}", unknown.stderr);
    assert_eq!(run(&drive, &["hold", "add", &id]).code(), 2, "a reason is needed");
    let missing = run(&drive, &["hold", "add", &id, "--reason", "complaint 17"]);
    assert_eq!(missing.code(), 0, "{}", missing.stderr);
    assert!(
        missing.stdout.contains("0 of 1 recordings here") && missing.stdout.contains("cxonefs warm '"),
        "{}",
        missing.stdout
    );
    assert_eq!(drive.counters().playback_calls, 0, "a hold never bills");

    for place in [&held, &other] {
        std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap();
    }
    let calls = drive.counters().playback_calls;
    eventually("what is not held goes by age, and what is held stays", Duration::from_secs(20), || {
        data_files(&drive.sandbox.cache()).len() == 1
    });
    std::thread::sleep(Duration::from_secs(3));
    let listed = holds(&drive);
    assert_eq!(
        (listed.len(), &listed[0]["master_contact"], &listed[0]["missing"]),
        (1, &held.master.into(), &0.into())
    );
    assert_eq!((&listed[0]["reason"], &listed[0]["user"]), (&"complaint 17".into(), &"root".into()));

    for words in [
        &["cache", "purge", "--yes", "--contact", &id][..],
        &["cache", "purge", "--yes", "--all"],
        &["cache", "purge", "--yes"],
    ] {
        let refused = run(&drive, words);
        assert_eq!(refused.code(), 1, "{words:?}: {}", refused.stdout);
        assert!(refused.stderr.contains("complaint 17") && refused.stderr.contains(&id), "{}", refused.stderr);
        assert_eq!(data_files(&drive.sandbox.cache()).len(), 1, "{words:?}");
        assert!(drive.at(&held.path).join("metadata.json").exists());
    }
    drive.mount.remount();
    assert_eq!(holds(&drive), listed);
    // Its own pages of the kernel's are not what is read.
    let media = drive.counters().media_requests;
    std::fs::read(drive.at(&held.path).join("recording.mp4")).unwrap();
    assert_eq!((drive.counters().playback_calls, drive.counters().media_requests), (calls, media));

    drive.mount.terminate();
    let refused = unmounted(&drive, &["cache", "purge", "--yes", "--contact", &id]);
    assert_eq!(refused.code(), 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("complaint 17"), "{}", refused.stderr);
    let released = unmounted(&drive, &["hold", "remove", &id]);
    assert_eq!(released.code(), 0, "{}", released.stderr);
    assert_eq!(unmounted(&drive, &["hold", "remove", &id]).code(), 1, "there is no hold any more");
    let erased = unmounted(&drive, &["cache", "purge", "--yes", "--contact", &id]);
    assert_eq!(erased.code(), 0, "{}", erased.stderr);
    assert_eq!(data_files(&drive.sandbox.cache()).len(), 0);
    // Who held and released is on record, by the mount and without one; which contact it was, is erased.
    let log = std::fs::read_to_string(drive.sandbox.state().join("audit.log")).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |event: &str| -> Vec<String> {
        let lines = lines.iter().filter(|line| line["event"] == event);
        lines.map(|line| format!("{} {}", line["outcome"].as_str().unwrap(), line["contacts"].is_null())).collect()
    };
    assert_eq!(told("hold")[1..], ["begun true"], "{log}");
    assert_eq!(told("held"), ["ok true"], "{log}");
    assert_eq!(
        (told("release"), told("released")),
        (vec!["begun true".to_owned()], vec!["ok true".to_owned()]),
        "{log}"
    );
    assert!(!log.contains(&id), "{log}");
}

#[test]
fn nothing_is_released_or_purged_that_cannot_be_put_on_record() {
    let mut drive = Drive::of(plain(1, 2));
    let place = drive.tree.places[0].clone();
    let id = place.master.to_string();
    std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap();
    assert_eq!(run(&drive, &["hold", "add", &id, "--reason", "complaint"]).code(), 0);
    drive.mount.terminate();
    // It cannot be written to.
    let log = drive.sandbox.state().join("audit.log");
    std::fs::rename(&log, drive.sandbox.path("kept")).unwrap();
    std::fs::create_dir(&log).unwrap();
    for words in [&["hold", "remove", &*id][..], &["cache", "purge", "--yes"], &["cache", "purge", "--yes", "--all"]] {
        let refused = unmounted(&drive, words);
        assert_eq!(refused.code(), 1, "{words:?}: {}", refused.stdout);
        assert!(refused.stderr.contains("audit"), "{words:?}: {}", refused.stderr);
    }
    std::fs::remove_dir(&log).unwrap();
    std::fs::rename(drive.sandbox.path("kept"), &log).unwrap();
    let held = unmounted(&drive, &["hold", "list", "--json"]);
    assert!(held.stdout.contains(&id), "{}{}", held.stdout, held.stderr);
    assert_eq!(data_files(&drive.sandbox.cache()).len(), 1);
}

#[test]
fn eviction_passes_over_what_is_held_and_no_more_than_half_of_the_cache_is_held() {
    let drive = Drive::of(plain(2, 6));
    let places = drive.tree.places.clone();
    let sizes: Vec<u64> = places
        .iter()
        .map(|place| std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap().len() as u64)
        .collect();
    let (all, largest) = (sizes.iter().sum::<u64>(), *sizes.iter().max().unwrap());
    // Room for half of them, and at least for two that are held.
    let limit = (all / 2).max(largest * 5).max(1 << 20);
    let mut drive = drive;
    drive.mount.terminate();
    let config = std::fs::read_to_string(drive.sandbox.config()).unwrap();
    std::fs::write(drive.sandbox.config(), config.replace("[cache]", &format!("[cache]\nsize = \"{limit}B\"")))
        .unwrap();
    let calls = drive.counters().playback_calls;
    drive.mount.start_again();
    assert_eq!(drive.mount.status()["cache"]["size_bytes"], limit);
    let masters: Vec<String> = places.iter().map(|place| place.master.to_string()).collect();
    let words = |masters: &[String]| -> Vec<String> {
        let named = ["hold", "add", "--reason", "audit"].into_iter().map(String::from);
        named.chain(masters.iter().cloned()).collect()
    };
    let add = |masters: &[String]| run(&drive, &words(masters).iter().map(String::as_str).collect::<Vec<_>>());
    let too_many = add(&masters);
    assert_eq!(too_many.code(), 1, "{}", too_many.stdout);
    assert!(too_many.stderr.contains("more than half of cache.size"), "{}", too_many.stderr);
    assert_eq!(holds(&drive), Vec::<Value>::new());
    let few = add(&masters[..2]);
    assert_eq!(few.code(), 0, "{}", few.stderr);
    // Everything is read again, twice, through a cache that has no room for it.
    for place in places.iter().chain(&places) {
        std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap();
    }
    let now = holds(&drive);
    assert!(now.iter().all(|hold| hold["missing"] == 0), "{now:?}");
    assert_eq!(drive.counters().playback_calls, calls, "links are at hand or not needed");
}
