//! Data that comes late or changes: what the tree shows then, and what a following incremental backup copies. The table in
//! `docs/SEMANTICS.md`, row by row.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use cxonefs::sim::{Endpoint, Fault, FaultRule, Shares, SimSettings};
use serde_json::json;

use super::{Dump, dump};
use crate::harness::{Drive, Place, assert_same_bytes, cxonefs, plain, tool, true_bytes, wait_for};

/// A mirror of the whole drive.
struct Mirror {
    drive: Drive,
    copy: PathBuf,
}

impl Mirror {
    /// With what is hidden and unrecorded at first, already mirrored once.
    fn of(prepare: impl FnOnce(&Drive)) -> Mirror {
        let shares = Shares { transferred: 500, ..Shares::plain() };
        let drive = Drive::with(SimSettings { shares, ..plain(3, 8) }, &["--profile", "backup"]);
        prepare(&drive);
        let copy = drive.sandbox.path("copy");
        let mirror = Mirror { drive, copy };
        mirror.backup();
        mirror
    }

    /// What rsync says that it copied, by path; of files only.
    fn backup(&self) -> Vec<String> {
        let mut from = self.drive.path().as_os_str().to_owned();
        from.push("/");
        let done = tool("rsync").args(["-a", "-H", "--itemize-changes"]).arg(from).arg(&self.copy).ok();
        done.lines().iter().filter(|line| line.starts_with(">f")).map(ToString::to_string).collect()
    }

    fn dump(&self) -> Dump {
        dump(self.drive.path(), true)
    }

    fn refresh(&self) {
        let day = self.drive.tenant.settings().last_day.to_string();
        cxonefs(&self.drive.sandbox.home()).arg("refresh").arg(self.drive.path()).arg(day).ok();
    }

    fn contact_json(place: &Place) -> String {
        place.path.join("contact.json").display().to_string()
    }

    /// A place, and those above it whose time follows their children's.
    fn above(place: &Place) -> BTreeSet<String> {
        [place.path.as_path(), place.path.parent().unwrap()].map(|path| path.display().to_string()).into()
    }
}

/// A call that a second agent took over.
fn transferred(drive: &Drive) -> [Place; 2] {
    let two = |places: &Vec<&Place>| places.len() == 2;
    let masters = drive.tree.interactions.keys().map(|master| drive.tree.places_of_master(*master));
    let mut places: Vec<Place> = masters.filter(two).flatten().take(2).cloned().collect();
    // The second leg is the later one.
    places.sort_by_key(|place| place.contacts.clone());
    places.try_into().unwrap()
}

#[test]
fn a_late_leg_adds_a_folder_and_a_link() {
    let mirror = Mirror::of(|drive| {
        let [_, later] = transferred(drive);
        drive.tenant.switch(|switches| switches.amendments.hidden.extend(later.contacts));
    });
    let [first, later] = transferred(&mirror.drive);
    let before = mirror.dump();
    mirror.drive.tenant.reset_counters();
    mirror.drive.tenant.switch(|switches| switches.amendments.hidden.clear());
    mirror.refresh();
    let after = mirror.dump();
    let folder = later.path.display().to_string();
    let names = ["", "/contact.json", "/metadata.json", "/recording.mp4"].map(|name| format!("{folder}{name}"));
    assert_eq!(before.added(&after), names.into());
    let shared = ["metadata.json", "recording.mp4"].map(|name| first.path.join(name).display().to_string());
    let mut may_change = Mirror::above(&later);
    may_change.extend(shared.clone());
    let changed = before.changed(&after);
    assert!(changed.is_subset(&may_change), "{changed:#?}");
    assert!(changed.is_superset(&shared.clone().into()), "a link more: {changed:#?}");
    for path in &shared {
        let stay = |dump: &Dump| {
            let fields: Vec<String> = dump.0[path].split(' ').map(str::to_owned).collect();
            (fields[0].clone(), fields[2..7].to_vec())
        };
        assert_eq!(stay(&before), stay(&after), "inode number, size and times");
    }
    let copied = mirror.backup();
    assert_eq!(copied.len(), 1, "{copied:#?}");
    assert!(copied[0].ends_with(&Mirror::contact_json(&later)), "{copied:#?}");
    mirror.drive.assert_nothing_was_paid("a leg more of a call that was paid for");
}

#[test]
fn a_late_contact_adds_its_folder() {
    let hidden = |drive: &Drive| drive.tree.recorded().next().unwrap().clone();
    let mirror = Mirror::of(|drive| {
        let contacts = hidden(drive).contacts;
        drive.tenant.switch(|switches| switches.amendments.hidden.extend(contacts));
    });
    let late = hidden(&mirror.drive);
    let before = mirror.dump();
    // The kernel knows that it is not there.
    assert!(!mirror.drive.at(&late.path).exists());
    mirror.drive.tenant.switch(|switches| switches.amendments.hidden.clear());
    mirror.refresh();
    assert!(mirror.drive.at(&late.path).exists());
    let after = mirror.dump();
    assert_eq!(before.added(&after).len(), 4, "{:#?}", before.added(&after));
    assert!(before.changed(&after).is_subset(&Mirror::above(&late)));
    assert_eq!(mirror.backup().len(), 3);
}

#[test]
fn corrected_and_renamed_records_change_contact_json_alone() {
    let mirror = Mirror::of(|_| ());
    let before = mirror.dump();
    let place = mirror.drive.tree.recorded().next().unwrap().clone();
    let amended = json!({
        "dispositionNotes": "corrected", "lastName": "Newlywed", "lastUpdateTime": "2026-11-10T09:00:00.000Z",
    });
    let fields = amended.as_object().unwrap().clone();
    mirror.drive.tenant.switch(|switches| drop(switches.amendments.records.insert(place.contacts[0], fields)));
    mirror.drive.tenant.reset_counters();
    mirror.refresh();
    let after = mirror.dump();
    assert_eq!(before.added(&after), BTreeSet::new(), "the day keeps the agent's name");
    let mut expected = Mirror::above(&place);
    expected.insert(Mirror::contact_json(&place));
    assert_eq!(before.changed(&after), expected);
    let copied = mirror.backup();
    assert!(copied.len() == 1 && copied[0].ends_with(&Mirror::contact_json(&place)), "{copied:#?}");
    let text = std::fs::read_to_string(mirror.copy.join(&place.path).join("contact.json")).unwrap();
    assert!(text.contains("corrected") && text.contains("Newlywed"), "{text}");
    mirror.drive.assert_nothing_was_paid("a correction");
}

#[test]
fn a_recording_that_appears_later_is_shown_when_it_may_be_asked_for_again() {
    let missing = |drive: &Drive| drive.tree.recorded().next().unwrap().clone();
    let mut mirror = Mirror::of(|drive| {
        let master = missing(drive).master;
        drive.tenant.switch(|switches| switches.amendments.unrecorded = [master].into());
    });
    let place = missing(&mirror.drive);
    let folder = mirror.drive.at(&place.path);
    let names = || std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(names(), 1, "contact.json alone");
    mirror.drive.tenant.switch(|switches| switches.amendments.unrecorded.clear());
    mirror.drive.tenant.reset_counters();
    assert_eq!(mirror.backup(), [""; 0], "that answer is remembered");
    mirror.drive.assert_nothing_was_paid("a backup while it is");
    // As if that time had gone by.
    mirror.drive.mount.terminate();
    let due = "UPDATE interactions SET recheck_at = recheck_at - 8 * 86400000000 WHERE recheck_at IS NOT NULL";
    tool("sqlite3").arg(mirror.drive.sandbox.state().join("cxonefs.db")).arg(due).ok();
    mirror.drive.mount.start_again();
    assert_eq!(mirror.backup().len(), 2, "metadata.json and recording.mp4");
    assert_eq!(names(), 3);
    assert_eq!(mirror.drive.counters().playback_calls, 1);
    let truth = true_bytes(&mirror.drive.tenant, place.master, 1);
    let copied = mirror.copy.join(&place.path).join("recording.mp4");
    assert_same_bytes(&std::fs::read(&copied).unwrap(), &truth, &copied);
}

#[test]
fn what_is_deleted_at_the_source_stays_as_far_as_it_is_here() {
    let mut mirror = Mirror::of(|_| ());
    let before = mirror.dump();
    let place = mirror.drive.tree.recorded().next().unwrap().clone();
    mirror.drive.tenant.switch(|switches| {
        switches.amendments.hidden.extend(&place.contacts);
        switches.amendments.unrecorded.insert(place.master);
        let gone = Fault::Status { status: 404, retry_after_s: None };
        let of_it = Some(place.master.to_string());
        switches.faults.push(FaultRule { path_contains: of_it, ..FaultRule::always(Endpoint::Media, gone) });
    });
    mirror.refresh();
    before.assert_same(&mirror.dump(), "deleting a contact at the source");
    assert_eq!(mirror.backup(), [""; 0]);
    mirror.drive.mount.remount();
    let recording = mirror.drive.at(&place.path).join("recording.mp4");
    let truth = true_bytes(&mirror.drive.tenant, place.master, 1);
    assert_same_bytes(&std::fs::read(&recording).unwrap(), &truth, &recording);
    // What is not here any more cannot be read, and is told as it was.
    mirror.drive.mount.terminate();
    std::fs::remove_dir_all(mirror.drive.sandbox.cache()).unwrap();
    mirror.drive.mount.start_again();
    assert!(std::fs::read(&recording).is_err());
    assert_eq!(recording.metadata().unwrap().len(), truth.len() as u64);
    assert_eq!(mirror.backup(), [""; 0]);
}

/// As `docs/SEMANTICS.md` says of a redaction that keeps the size: readers get the new bytes, and only a backup that compares contents sees it.
#[test]
fn a_redaction_to_the_same_size_is_read_and_not_seen() {
    let mut mirror = Mirror::of(|_| ());
    let place = mirror.drive.tree.recorded().next().unwrap().clone();
    let recording = mirror.drive.at(&place.path).join("recording.mp4");
    let copied = mirror.copy.join(&place.path).join("recording.mp4");
    let old = std::fs::read(&copied).unwrap();
    mirror.drive.tenant.switch(|switches| {
        let of_it = Some(place.master.to_string());
        let changed = FaultRule::always(Endpoint::Media, Fault::Changed { version: 1 });
        switches.faults.push(FaultRule { path_contains: of_it, ..changed });
    });
    mirror.drive.mount.remount();
    assert_same_bytes(&std::fs::read(&recording).unwrap(), &old, &recording);
    mirror.drive.mount.terminate();
    std::fs::remove_dir_all(mirror.drive.sandbox.cache()).unwrap();
    mirror.drive.mount.start_again();
    let before = dump(mirror.drive.path(), false);
    // Who comes first may have an open file of which the size and validator were those of the old one.
    let new = wait_for(Duration::from_secs(10), || std::fs::read(&recording).ok()).expect("it reads again");
    assert!(new.len() == old.len() && new != old);
    before.assert_same(&dump(mirror.drive.path(), false), "a redaction to the same size");
    assert_eq!(mirror.backup(), [""; 0], "by size and time");
    let mut from = mirror.drive.path().as_os_str().to_owned();
    from.push("/");
    tool("rsync").args(["-a", "-H", "--checksum"]).arg(from).arg(&mirror.copy).ok();
    assert_same_bytes(&std::fs::read(&copied).unwrap(), &new, &copied);
}
