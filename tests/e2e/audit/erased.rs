//! A contact is erased from plain and compressed files, with and without a mount, and the chain still holds.

use std::path::Path;

use super::{assert_sound, files, findings, lines, lines_of, of_event};
use crate::harness::{Drive, FakeTime, Mount, Sandbox, Tenant, Tree, cxonefs, eventually, plain};

/// Nothing names the contact, in whatever file.
fn traces(state: &Path, master: i64) -> usize {
    lines_of(state).iter().filter(|line| line.to_string().contains(&master.to_string())).count()
}

#[test]
fn erasing_a_contact_leaves_a_sound_log_in_compressed_files_too() {
    let tenant = Tenant::start(plain(1, 4));
    let sandbox = Sandbox::of(&tenant);
    let clock = FakeTime::new(&sandbox);
    let mut drive = {
        let mount = Mount::start_in(&sandbox, &[], clock.environment());
        let tree = Tree::of(&tenant);
        Drive { mount, sandbox, tenant, tree }
    };
    let read = |drive: &Drive| {
        for place in &drive.tree.places {
            std::fs::read(drive.at(&place.path).join("contact.json")).unwrap();
        }
    };
    read(&drive);
    let (state, victim) = (drive.sandbox.state(), drive.tree.places[0].master);
    // Two days later the file is turned over.
    let now = lines(&drive).last().unwrap()["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let later = now + jiff::SignedDuration::from_hours(48);
    clock.set(&later.to_string());
    drive.mount.remount();
    read(&drive);
    eventually("the older file is compressed", std::time::Duration::from_secs(20), || {
        files(&state).iter().any(|file| file.extension().is_some_and(|ending| ending == "gz"))
    });
    lines(&drive);
    let before = lines_of(&state).len();
    assert!(traces(&state, victim) >= 2);
    let done = cxonefs(&drive.sandbox.home()).args(["cache", "purge", "--yes", "--contact", &victim.to_string()]);
    done.arg(drive.path()).ok();
    assert_eq!(traces(&state, victim), 0);
    assert!(lines_of(&state).len() > before, "no line is gone");
    assert_sound(&drive);
    drive.mount.terminate();
    // Without a mount it is on record, too.
    let other = drive.tree.places[1].master;
    let done = cxonefs(&drive.sandbox.home()).args(["cache", "purge", "--yes", "--contact", &other.to_string()]);
    done.arg("--config").arg(drive.sandbox.config()).ok();
    assert_eq!(traces(&state, other), 0);
    let all = lines_of(&state);
    assert_eq!((of_event(&all, "purge").len(), of_event(&all, "purged").len()), (2, 2));
    assert_eq!(findings(&drive.sandbox, &state), Vec::<String>::new());
}
