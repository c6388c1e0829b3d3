//! What an administrator reads: each failure is one line whose message is a whole sentence with operation, errno, interaction, user, program
//! and cause, in which nobody's name or path stands.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use cxonefs::sim::{Endpoint, Fault, FaultRule, SimSettings};
use serde_json::Value;

use crate::harness::{Drive, Mount, Tree, eventually, plain, tool, wait_for};

/// The messages of the log, which is JSON.
fn messages(log: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| Some(line["message"].as_str()?.to_owned())).collect()
}

/// Waits for one message that has all parts.
#[track_caller]
fn assert_said(mount: &Mount, parts: &[&str]) {
    let has = |message: &String| parts.iter().all(|part| message.contains(part));
    let said = wait_for(Duration::from_secs(10), || messages(&mount.stderr()).iter().any(has).then_some(()));
    assert!(said.is_some(), "no message has all of {parts:?}:\n{}", messages(&mount.stderr()).join("\n"));
}

/// No message, and no field of one, may name an agent.
#[track_caller]
fn assert_nobody_is_named(mount: &Mount, tree: &Tree) {
    let log = mount.stderr();
    for place in &tree.places {
        let agent = place.path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
        let named = log.lines().find(|line| line.contains(agent));
        assert_eq!(named, None, "an agent is named in the log");
        let last_name = agent.split('_').next().unwrap();
        assert!(last_name.len() < 4 || !log.contains(last_name), "{last_name} is in the log:\n{log}");
    }
    for message in messages(&log) {
        assert!(message.split_whitespace().count() >= 4, "{message:?} is no sentence");
    }
}

fn cat(path: &Path) -> i32 {
    tool("cat").arg(path).run().code()
}

const JSON: [&str; 2] = ["--log-format", "json"];

#[test]
fn a_failed_request_is_a_sentence_with_everything_in_it() {
    let settings = SimSettings { bulk_bytes: Some(3 * 1024 * 1024), ..plain(2, 6) };
    let limits = ["--set", "limits.deadline=3s", "--set", "cache.whole_file_below=64KiB"];
    let drive = Drive::with(settings, &[&JSON[..], &limits].concat());
    let mut places = drive.tree.recorded().map(|place| (place.master.to_string(), drive.at(&place.path)));
    let mut next = || places.next().unwrap();
    let status = |status| Fault::Status { status, retry_after_s: None };

    let (master, folder) = next();
    drive.tenant.fail(Endpoint::Playback, status(500));
    assert_eq!(cat(&folder.join("recording.mp4")), 1);
    assert_said(
        &drive.mount,
        &[
            &format!("master contact {master} cannot be had now: EIO for user 0 (root), program cat (process "),
            "500",
            "refresh DIR --retry",
        ],
    );

    drive.tenant.heal();
    let (master, folder) = next();
    drive.tenant.fail(Endpoint::Playback, status(403));
    assert_eq!(cat(&folder.join("metadata.json")), 1);
    assert_said(
        &drive.mount,
        &[&format!("master contact {master} cannot be had now: EACCES for user 0 (root), program cat"), "403"],
    );
    drive.tenant.heal();
    drive.retry();

    let (master, folder) = next();
    File::open(folder.join("recording.mp4")).unwrap();
    drive.tenant.fail(Endpoint::Media, Fault::Hang);
    assert_eq!(tool("tail").args(["-c", "10"]).arg(folder.join("recording.mp4")).run().code(), 1);
    assert_said(
        &drive.mount,
        &[&format!(
            "read of recording.mp4 of master contact {master} failed with ETIMEDOUT for user 0 (root), program tail"
        )],
    );
    drive.tenant.heal();

    let (master, folder) = next();
    let scanner = drive.sandbox.path("tumblerd");
    std::fs::copy("/bin/cat", &scanner).unwrap();
    assert_eq!(tool(&scanner).arg(folder.join("recording.mp4")).run().code(), 1);
    assert_said(
        &drive.mount,
        &[
            &format!(
                "open of recording.mp4 of master contact {master} failed with EACCES for user 0 (root), program tumblerd"
            ),
            "mount.deny_processes",
        ],
    );

    let file = File::open(folder.join("recording.mp4")).unwrap();
    file.read_at(&mut [0; 4096], 0).unwrap();
    drive.tenant.switch(|switches| {
        switches.faults = vec![FaultRule::next(Endpoint::Media, Fault::Changed { version: 2 }, 100)];
    });
    assert!(file.read_at(&mut [0; 4096], 2 * 1024 * 1024).is_err());
    assert_said(
        &drive.mount,
        &[&format!("recording 1 of master contact {master} changed at the media host"), "ESTALE"],
    );
    drop(file);

    let (_, folder) = next();
    let limited = Fault::Status { status: 429, retry_after_s: Some(1) };
    drive.tenant.switch(|switches| switches.faults = vec![FaultRule::next(Endpoint::Playback, limited, 1)]);
    assert_eq!(cat(&folder.join("metadata.json")), 0);
    assert_said(&drive.mount, &["the tenant throttles", "no calls for "]);

    assert_nobody_is_named(&drive.mount, &drive.tree);
    let log = drive.mount.stderr();
    let fields: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let read = fields.iter().find(|line| line["operation"] == "read").expect("fields stay fields");
    assert_eq!((&read["uid"], &read["errno"], &read["comm"]), (&0.into(), &libc::ETIMEDOUT.into(), &"tail".into()));
    assert!(read["master"].is_string() && read["error"].is_string() && read.get("path").is_none(), "{read}");
}

#[test]
fn so_are_the_rate_limit_and_a_day_that_cannot_be_listed() {
    let limits = [
        "--set",
        "limits.playback_requests=1",
        "--set",
        "limits.playback_window=1h",
        "--set",
        "limits.patience=1s",
        "--set",
        "limits.deadline=2s",
    ];
    let drive = Drive::with(plain(2, 4), &[&JSON[..], &limits].concat());
    let places: Vec<_> = drive.tree.places.iter().map(|place| (place.master, drive.at(&place.path))).collect();
    let day = places[0].1.parent().unwrap().parent().unwrap().to_owned();
    let name = day.file_name().unwrap().to_str().unwrap().to_owned();
    drive.tenant.fail(Endpoint::Completed, Fault::Status { status: 400, retry_after_s: None });
    assert_ne!(tool("ls").arg(&day).run().code(), 0);
    assert_said(&drive.mount, &[&format!("of the day {name} failed with E"), "for user 0 (root), program ls", "400"]);
    drive.tenant.heal();
    eventually("the day is listed", Duration::from_secs(20), || std::fs::read_dir(&day).is_ok());
    assert_eq!(cat(&places[0].1.join("metadata.json")), 0);
    assert_eq!(cat(&places[1].1.join("metadata.json")), 1);
    assert_said(
        &drive.mount,
        &[
            &format!(
                "open of metadata.json of master contact {} failed with ETIMEDOUT for user 0 (root), program cat",
                places[1].0
            ),
            "rate limit took longer than 1 s (limits.patience)",
        ],
    );
    assert_said(&drive.mount, &["is used up (1 of 1 calls in 1 h): 1 wait, the next of them for "]);
    assert_nobody_is_named(&drive.mount, &drive.tree);
}

#[test]
fn so_is_a_spent_budget() {
    let drive = Drive::with(plain(2, 4), &[&JSON[..], &["--set", "limits.daily_budget=1"]].concat());
    let places: Vec<_> = drive.tree.places.iter().map(|place| (place.master, drive.at(&place.path))).collect();
    assert_eq!(cat(&places[0].1.join("metadata.json")), 0);
    assert_eq!(cat(&places[1].1.join("metadata.json")), 1);
    assert_said(
        &drive.mount,
        &[
            &format!("master contact {} cannot be had now: EDQUOT for user 0 (root), program cat", places[1].0),
            "daily budget of 1 billed calls",
            "limits.daily_budget",
        ],
    );
    assert_nobody_is_named(&drive.mount, &drive.tree);
}
