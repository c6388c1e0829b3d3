//! What is paid, by the tenant's own counters: looking is free, and an interaction is paid once.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::harness::{Drive, plain, settings, tool, true_bytes};

#[test]
fn looking_at_everything_is_free() {
    let drive = Drive::of(settings(8, 60));
    drive.tenant.reset_counters();
    let commands: [&[&str]; 9] = [
        &["find", "."],
        &["find", ".", "-size", "+1k", "-newermt", "2020-01-01"],
        &["ls", "-R"],
        &["ls", "-lR"],
        &["ls", "-laR", "--color=always"],
        &["du", "-a", "."],
        &["du", "-s", "--apparent-size", "."],
        &["grep", "-r", "--include=contact.json", "-l", "contactId", "."],
        &["tar", "cf", "/dev/null", "."],
    ];
    for command in commands {
        let done = tool(command[0]).args(&command[1..]).in_dir(drive.path()).ok();
        let folders = drive.tree.places.len();
        let is_deep = !matches!(command, ["du", "-s", ..] | ["tar", ..]);
        assert!(!is_deep || done.lines().len() >= folders, "{command:?} saw {} lines", done.lines().len());
        drive.assert_nothing_was_paid(&format!("{command:?}"));
    }
    let counters = drive.counters();
    assert!(counters.completed_pages > 0, "nobody asked the tenant for anything: {counters:?}");
}

#[test]
fn an_interaction_is_paid_once() {
    let mut drive = Drive::of(settings(6, 40));
    let transferred = drive.tree.first(|truth| {
        truth.legs.len() == 2 && truth.legs[0].agent != truth.legs[1].agent && truth.media.len() == 1 && truth.known
    });
    let master = transferred.master;
    let folders: Vec<PathBuf> = drive.tree.places_of_master(master).iter().map(|place| drive.at(&place.path)).collect();
    let [one, other] = &folders[..] else { panic!("{folders:?}") };
    drive.tenant.reset_counters();

    drop(std::fs::File::open(one.join("recording.mp4")).unwrap());
    assert_eq!((drive.counters().playback_calls, drive.counters().playback_billed), (1, 1), "one open, one call");
    for path in [one.join("recording.mp4"), one.join("metadata.json"), other.join("metadata.json")] {
        drop(std::fs::File::open(&path).unwrap());
        assert_eq!(drive.counters().playback_calls, 1, "{}", path.display());
    }
    let expected = true_bytes(&drive.tenant, master, drive.tree.truth(master).media[0].number);
    assert!(std::fs::read(other.join("recording.mp4")).unwrap() == expected);
    assert_eq!(drive.counters().playback_calls, 1, "reading it under the other agent");

    drive.mount.remount();
    let media_requests = drive.counters().media_requests;
    for folder in [one, other] {
        assert!(std::fs::read(folder.join("recording.mp4")).unwrap() == expected);
        std::fs::read(folder.join("metadata.json")).unwrap();
    }
    let counters = drive.counters();
    assert_eq!(counters.playback_calls, 1, "after a remount");
    assert_eq!(counters.media_requests, media_requests, "it was read to its end before");
}

#[test]
fn many_at_once_share_one_call() {
    let drive = Drive::of(plain(2, 3));
    let path = drive.at(&drive.tree.places[0].path).join("recording.mp4");
    drive.tenant.switch(|switches| {
        switches.latency_ms.insert(cxonefs::sim::Endpoint::Playback, 300);
    });
    std::thread::scope(|scope| {
        for number in 0..16 {
            let name = if number % 2 == 0 { "recording.mp4" } else { "metadata.json" };
            let path = path.with_file_name(name);
            scope.spawn(move || drop(std::fs::File::open(path).unwrap()));
        }
    });
    assert_eq!(drive.counters().playback_calls, 1);
}

#[test]
fn a_size_is_a_guess_until_it_is_opened_and_exact_from_then_on() {
    let drive = Drive::of(plain(2, 6));
    for place in &drive.tree.places {
        let path = drive.at(&place.path).join("recording.mp4");
        let exact = drive.tree.truth(place.master).media[0].bytes;
        let guess = path.metadata().unwrap();
        assert!(guess.size() > 0 && guess.blocks() > 0);
        let file = std::fs::File::open(&path).unwrap();
        assert_eq!(file.metadata().unwrap().size(), exact, "as soon as it is open");
        assert_eq!(path.metadata().unwrap().size(), exact);
        assert_eq!(path.metadata().unwrap().blocks(), exact.div_ceil(512));
    }
    assert_eq!(drive.counters().playback_calls, drive.tree.places.len() as u64);
}

#[test]
fn resolving_on_stat_or_on_listing_is_a_choice() {
    let names = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    let drive = Drive::with(plain(1, 4), &["--resolve-on", "stat"]);
    let place = &drive.tree.places[0];
    let folder = drive.at(&place.path);
    assert_eq!(names(&folder), 3);
    drive.assert_nothing_was_paid("a listing");
    let size = folder.join("recording.mp4").metadata().unwrap().size();
    assert_eq!(size, drive.tree.truth(place.master).media[0].bytes);
    assert_eq!(drive.counters().playback_calls, 1);
    drop(drive);

    let mut lossy = settings(3, 30);
    lossy.shares.unrecorded = 500;
    let drive = Drive::with(lossy, &["--resolve-on", "list"]);
    let agents = drive.at(drive.tree.places[0].path.parent().unwrap());
    assert!(names(&agents) > 10);
    drive.assert_nothing_was_paid("a listing above the interactions");
    let lost = drive.tree.first(|truth| !truth.known && truth.channel == "call");
    assert_eq!(names(&drive.at(&lost.path)), 1, "only what exists");
    assert_eq!(drive.counters().playback_calls, 1);
}
