//! Three days, eight agents, two hundred contacts each: every name in its place, and nothing else.

use std::collections::BTreeSet;

use crate::harness::{Drive, settings, tool};

#[test]
fn every_directory_and_file_stands_where_the_tenant_says() {
    let drive = Drive::of(settings(8, 200));
    let listed = tool("find").in_dir(drive.path()).args([".", "-mindepth", "1", "-printf", "%y %P\n"]).ok();
    let mut expected = BTreeSet::new();
    for path in drive.tree.directories() {
        expected.insert(format!("d {}", path.display()));
    }
    for place in &drive.tree.places {
        for name in drive.tree.predicted(place.master) {
            expected.insert(format!("f {}/{name}", place.path.display()));
        }
    }
    assert!(drive.tree.places.len() > 3 * 8 * 190, "{} places", drive.tree.places.len());
    let lines = listed.lines();
    let shown: BTreeSet<String> = lines.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), lines.len(), "a name is listed twice");
    // The days from the tenant's last one to today are there, and empty.
    let last_day = format!("d {}", drive.tenant.settings().last_day);
    let strangers: Vec<&String> =
        shown.difference(&expected).filter(|line| line.contains('/') || **line <= last_day).collect();
    let missing: Vec<&String> = expected.difference(&shown).collect();
    assert!(strangers.is_empty() && missing.is_empty(), "not expected: {strangers:#?}\nmissing: {missing:#?}");
    drive.assert_nothing_was_paid("find");
}

#[test]
fn only_the_chosen_channels_are_shown() {
    let drive = Drive::with(settings(4, 30), &["--set", "tree.media_types=email,work"]);
    let listed = tool("find").in_dir(drive.path()).args([".", "-mindepth", "3", "-maxdepth", "3"]).ok();
    let wanted = |channel: &str| matches!(channel, "email" | "work");
    let expected: usize =
        drive.tree.interactions.values().filter(|truth| wanted(&truth.channel)).map(|truth| truth.legs.len()).sum();
    let lines = listed.lines();
    assert!(expected > 10, "{expected}");
    assert_eq!(lines.len(), expected, "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains("_email_") || line.contains("_work_")), "{lines:#?}");
    // Nor can what is not shown be looked up.
    let hidden = drive.tree.places.iter().filter(|place| !lines.iter().any(|line| place.path.ends_with(&line[2..])));
    let mut agents = 0;
    for place in hidden {
        assert!(!drive.at(&place.path).exists(), "{}", place.path.display());
        let agent = place.path.parent().unwrap();
        if !lines.iter().any(|line| line[2..].starts_with(agent.to_str().unwrap())) {
            agents += 1;
            assert!(!drive.at(agent).exists(), "{}", agent.display());
        }
    }
    assert!(agents > 0, "every agent has an email");
}

#[test]
fn names_that_are_not_there_are_refused() {
    let drive = Drive::of(settings(2, 4));
    let place = &drive.tree.places[0].path;
    let agent = place.parent().unwrap();
    for name in ["2026-11-02x", "2026-1-2", "1999-01-01", "9999-12-31", "x", "2026-11-02 "] {
        assert!(!drive.at(name).exists(), "{name:?}");
    }
    for path in [agent.join("x"), place.join("x"), place.join("recording_2.mp4"), place.join("contact.json.bak")] {
        let error = std::fs::metadata(drive.at(&path)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{}", path.display());
    }
    let below_a_file = std::fs::metadata(drive.at(place).join("contact.json/x")).unwrap_err();
    assert_eq!(below_a_file.raw_os_error(), Some(libc::ENOTDIR));
    drive.assert_nothing_was_paid("looking for what is not there");
}
