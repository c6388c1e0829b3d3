//! What somebody does to the log shows: removed, changed, swapped, inserted, cut off; while mounted, afterwards, and after `kill -9`.

use std::path::Path;

use super::{assert_sound, audit, findings, lines, lines_of};
use crate::harness::{Drive, plain, sh};

fn rewritten(state: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let path = state.join("audit.log");
    let mut lines: Vec<String> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
}

/// What was done to the lines, and how.
type Way<'a> = (&'a str, &'a dyn Fn(&mut Vec<String>));

#[test]
fn every_way_to_tamper_with_the_log_shows() {
    let mut drive = Drive::of(plain(1, 8));
    for place in &drive.tree.places {
        std::fs::read(drive.at(&place.path).join("contact.json")).unwrap();
    }
    assert!(lines(&drive).len() > 9);
    assert_sound(&drive);
    let state = drive.sandbox.state();
    let whole = std::fs::read(state.join("audit.log")).unwrap();
    let put_back = || std::fs::write(state.join("audit.log"), &whole).unwrap();

    // While it is mounted, the end is known exactly.
    let done = audit(&drive.sandbox, &["verify"], &[drive.path()]);
    assert_eq!(done.code(), 0, "{}", done.stdout);
    rewritten(&state, |lines| drop(lines.pop()));
    let done = audit(&drive.sandbox, &["verify"], &[drive.path()]);
    assert!(done.code() == 1 && done.stdout.contains("cut: line"), "{}{}", done.stdout, done.stderr);
    put_back();

    drive.mount.terminate();
    let whole = std::fs::read(state.join("audit.log")).unwrap();
    let put_back = || std::fs::write(state.join("audit.log"), &whole).unwrap();
    let ways: [Way; 7] = [
        ("removed", &|lines| drop(lines.remove(4))),
        ("removed", &|lines| drop(lines.drain(..2))),
        ("changed", &|lines| lines[4] = lines[4].replace("\"uid\":0", "\"uid\":7")),
        ("changed", &|lines| lines[4] = lines[4].replace("contact.json", "contact.jsom")),
        ("moved", &|lines| lines.swap(4, 5)),
        ("inserted", &|lines| lines.insert(6, lines[3].clone())),
        ("cut", &|lines| lines.truncate(lines.len() - 1)),
    ];
    for (kind, way) in ways {
        put_back();
        assert_eq!(findings(&drive.sandbox, &state), Vec::<String>::new());
        rewritten(&state, way);
        assert_eq!(findings(&drive.sandbox, &state), [kind]);
    }
    std::fs::remove_file(state.join("audit.log")).unwrap();
    assert_eq!(findings(&drive.sandbox, &state), ["cut"]);
    // A start does not hide it.
    drive.mount.start_again();
    drive.mount.terminate();
    assert_eq!(findings(&drive.sandbox, &state), ["removed"]);
    let nothing = audit(&drive.sandbox, &["verify", "--state-dir"], &[&drive.sandbox.home()]);
    assert!(nothing.code() == 1 && nothing.stderr.contains("no audit log"), "{}", nothing.stderr);
    assert_eq!(audit(&drive.sandbox, &["verify", "--checkpoint", "x"], &[&state]).code(), 2);
}

#[test]
fn after_a_kill_the_log_goes_on_behind_its_last_whole_line() {
    let mut drive = Drive::of(plain(1, 6));
    let read = |drive: &Drive, index: usize| {
        let path = drive.at(&drive.tree.places[index].path).join("contact.json");
        sh(&format!("cat '{}' > /dev/null", path.display())).ok();
    };
    for index in 0..4 {
        read(&drive, index);
    }
    lines(&drive);
    drive.mount.kill_nine();
    let (sandbox, state) = (&drive.sandbox, drive.sandbox.state());
    assert_eq!(findings(sandbox, &state), Vec::<String>::new());
    let said = audit(sandbox, &["verify", "--config"], &[&sandbox.config()]);
    assert_eq!(said.code(), 0, "{}{}", said.stdout, said.stderr);
    // A line that was being written.
    let path = state.join("audit.log");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], b"{\"n\":99,\"time\":\"2026-"].concat()).unwrap();
    assert_eq!(findings(sandbox, &state), ["torn"]);
    drive.mount.start_again();
    read(&drive, 5);
    assert_sound(&drive);
    let all = lines_of(&drive.sandbox.state());
    let begun = all.iter().rfind(|line| line["event"] == "begin").unwrap();
    assert!(begun["detail"].as_str().unwrap().contains("not finished"), "{begun}");
    assert!(drive.mount.stderr().contains("not finished"), "{}", drive.mount.stderr());
    let numbers: Vec<u64> = all.iter().map(|line| line["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<u64>>());
}
