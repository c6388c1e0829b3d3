//! What the kernel keeps: a second look asks nobody, and what changes is not kept.

use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Drive, settings, sh};

/// Long enough for a walk, and short for a test that hangs because somebody is asked.
const AT_ONCE: Duration = Duration::from_secs(10);

#[test]
fn a_second_look_asks_nobody() {
    let mut drive = Drive::of(settings(3, 20));
    // A day that was listed just now is looked at again a moment later, lest a listing crossed the news of it.
    sh("find .").in_dir(drive.path()).ok();
    drive.mount.remount();
    let look = "find . -printf '%i %s %n %T@ %p\\n'; for name in .git desktop.ini x; do stat $name 2>&1 || true; done";
    let path = drive.path().to_owned();
    let looks = move || sh(look).in_dir(&path).within(AT_ONCE).ok().stdout;
    let first = looks();
    assert!(first.lines().count() > 500, "{first}");
    // What the kernel has to ask now is never answered.
    drive.mount.signal(Signal::STOP);
    let second = std::thread::spawn(looks).join();
    drive.mount.signal(Signal::CONT);
    assert_eq!(second.expect("the kernel had to ask"), first);
}

#[test]
fn a_guess_is_gone_when_a_file_of_the_interaction_is_open() {
    let drive = Drive::of(settings(3, 20));
    for place in drive.tree.recorded().take(8) {
        let folder = drive.at(&place.path);
        let recording = folder.join("recording.mp4");
        let truth = drive.tree.truth(place.master).media[0].bytes;
        assert_ne!(recording.metadata().unwrap().len(), truth, "a guess that is right by chance");
        // Through another file of the interaction.
        let document = std::fs::File::open(folder.join("metadata.json")).unwrap();
        assert_ne!(document.metadata().unwrap().len(), 256 * 1024);
        assert_eq!(recording.metadata().unwrap().len(), truth, "{}", recording.display());
    }
}
