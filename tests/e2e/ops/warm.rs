//! `warm`: what it says it costs is what it costs; afterwards everything is here; it ends when told to.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Drive, Tool, assert_same_bytes, cxonefs, eventually, plain, settings, sh, true_bytes};

fn warm(drive: &Drive) -> Tool {
    cxonefs(&drive.sandbox.home()).arg("warm")
}

fn cost(drive: &Drive, flags: &[&str]) -> Value {
    let done = warm(drive).args(flags).args(["--dry-run", "--json"]).arg(drive.path()).ok();
    serde_json::from_str::<Value>(&done.stdout).unwrap()["cost"].clone()
}

#[test]
fn it_costs_what_it_said_and_then_everything_is_here() {
    let mut drive = Drive::of(settings(2, 12));
    let day = drive.tree.places[0].path.components().next().unwrap().as_os_str().to_owned();
    let said = cost(&drive, &[]);
    drive.assert_nothing_was_paid("a dry run");
    let interactions = said["interactions"].as_u64().unwrap();
    assert_eq!(said["calls"], interactions);
    assert!(said["bytes"].as_u64() > Some(0) && said["bytes"] == said["bytes_guessed"], "{said}");

    let refused = warm(&drive).arg(drive.path()).run();
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    drive.assert_nothing_was_paid("a question without an answer");

    // One day through a terminal, so that there is a bar; then the rest.
    let line = format!(
        "exec script -qec '{} warm --yes {}' /dev/null",
        env!("CARGO_BIN_EXE_cxonefs"),
        drive.at(&day).display()
    );
    let shown = sh(&line).env("HOME", drive.sandbox.home()).ok().stdout;
    assert!(shown.contains("% [") && shown.contains("left"), "no bar: {shown}");
    assert!(shown.contains("billed calls"), "no cost: {shown}");
    let of_day = drive.counters().playback_calls;
    assert!(0 < of_day && of_day < interactions);
    let done = warm(&drive).args(["--yes", "--json"]).arg(drive.path()).ok();
    let result: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(result["result"]["state"], "finished");
    assert_eq!(drive.counters().playback_calls, interactions);
    assert_eq!((cost(&drive, &[])["calls"].as_u64(), cost(&drive, &[])["recordings"].as_u64()), (Some(0), Some(0)));
    let ledger =
        cxonefs(&drive.sandbox.home()).args(["ledger", "--json", "--state-dir"]).arg(drive.sandbox.state()).ok();
    for line in ledger.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!((row["why"].as_str(), row["program"].as_str()), (Some("warm"), Some("cxonefs")), "{line}");
    }

    let by_mount = cxonefs(&drive.sandbox.home()).args(["ledger", "--json"]).arg(drive.path()).ok();
    assert_eq!(by_mount.stdout, ledger.stdout, "found from the mount point");

    let recorded: Vec<(PathBuf, Vec<u8>)> = drive
        .tree
        .recorded()
        .map(|place| (drive.at(&place.path).join("recording.mp4"), place.master))
        .filter(|(path, _)| path.exists())
        .map(|(path, master)| (path, true_bytes(&drive.tenant, master, 1)))
        .collect();
    assert!(recorded.len() > 10);
    drive.tenant.shut_down();
    drive.mount.terminate();
    assert_audited(&drive, interactions, recorded.len());
    drive.mount.start_again();
    for (path, truth) in recorded {
        assert_same_bytes(&std::fs::read(&path).unwrap(), &truth, &path);
    }
}

/// One line for each call, and one for each recording, in the name of who ran it.
#[track_caller]
fn assert_audited(drive: &Drive, calls: u64, recordings: usize) {
    let text = std::fs::read_to_string(drive.sandbox.state().join("audit.log")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<Value> = lines.into_iter().filter(|line| line["path"].is_string()).collect();
    let of = |ends: fn(&str) -> bool| -> Vec<&Value> {
        lines.iter().filter(|line| ends(line["path"].as_str().unwrap())).collect()
    };
    let metadata = of(|path| path.ends_with("/metadata.json"));
    assert_eq!(metadata.len() as u64, calls);
    assert!(metadata.iter().all(|line| line["billed"] == true && line["comm"] == "cxonefs"), "{text}");
    let brought: Vec<&Value> =
        of(|path| path.contains("/recording")).into_iter().filter(|line| line["outcome"] == "ok").collect();
    assert!(brought.len() >= recordings && brought.iter().all(|line| line["billed"] == false), "{text}");
    assert!(
        lines.iter().all(|line| drive.tree.places.iter().any(|place| line["master_contact"] == place.master)),
        "{text}"
    );
}

/// Its listing is here, and the link that went with it is not.
#[test]
fn bytes_that_were_lost_are_said_to_cost_a_link() {
    let mut drive = Drive::of(plain(1, 8));
    warm(&drive).arg("--yes").arg(drive.path()).ok();
    cxonefs(&drive.sandbox.home()).args(["cache", "purge", "--yes"]).arg(drive.path()).ok();
    drive.mount.remount();
    let said = cost(&drive, &[]);
    let (calls, recordings) = (said["calls"].as_u64().unwrap(), said["recordings"].as_u64().unwrap());
    assert!(calls > 0 && calls == recordings, "{said}");
    assert_eq!(cost(&drive, &["--metadata-only"])["calls"], 0);
    let before = drive.counters().playback_calls;
    let done = warm(&drive).args(["--yes", "--json"]).arg(drive.path()).ok();
    let result: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        (result["result"]["state"].as_str(), result["result"]["calls"].as_u64()),
        (Some("finished"), Some(calls))
    );
    assert_eq!(drive.counters().playback_calls - before, calls);
    let audit = std::fs::read_to_string(drive.sandbox.state().join("audit.log")).unwrap();
    let billed = audit.lines().filter(|line| line.contains("/recording") && line.contains("\"billed\":true"));
    assert_eq!(billed.count() as u64, calls);
}

#[test]
fn metadata_only_fetches_no_recording_and_one_file_is_one_call() {
    let drive = Drive::of(plain(1, 5));
    let folder = drive.at(&drive.tree.places[0].path);
    warm(&drive).arg("--yes").arg(folder.join("recording.mp4")).ok();
    assert_eq!(drive.counters().playback_calls, 1);
    let head = drive.counters().media_bytes;
    warm(&drive).args(["--yes", "--metadata-only"]).arg(drive.path()).ok();
    assert_eq!(drive.counters().playback_calls, 5);
    // Sizes cost the head of each; small recordings are streamed on only when they are read.
    let later = drive.counters().media_bytes - head;
    assert!(later < 4 * 300 * 1024, "{later} bytes");
    let nowhere = warm(&drive).args(["--yes"]).arg(drive.at("2020-01-01")).run();
    assert_eq!(nowhere.code(), 1);
    assert!(nowhere.stderr.contains("there is no \"2020-01-01\" in this mount"), "{}", nowhere.stderr);
}

#[test]
fn a_spent_budget_is_said_and_the_exit_code_is_1() {
    let drive = Drive::with(plain(1, 9), &["--set", "limits.daily_budget=4"]);
    let said = warm(&drive).args(["--dry-run"]).arg(drive.path()).ok().stdout;
    assert!(said.contains("9; today's budget allows 4 more"), "{said}");
    let done = warm(&drive).arg("--yes").arg(drive.path()).run();
    assert_eq!(done.code(), 1);
    assert!(done.stderr.contains("budget") && done.stderr.contains("00:00 UTC"), "{}", done.stderr);
    assert_eq!(drive.counters().playback_calls, 4);
}

#[test]
fn interrupted_at_the_rate_limit_it_stops_at_once_and_a_reader_goes_before_it() {
    let flags = ["--set", "limits.playback_requests=3", "--set", "limits.playback_window=3s"];
    let drive = Drive::with(plain(1, 12), &flags);
    let mut running = warm(&drive).arg("--yes").arg(drive.path()).start();
    eventually("the limit is reached", Duration::from_secs(10), || drive.counters().playback_calls >= 3);
    // Opened last by name: it would be warmed last.
    let last = drive.at(&drive.tree.places.last().unwrap().path).join("metadata.json");
    std::fs::read(&last).unwrap();
    assert!(drive.counters().playback_calls <= 6, "a reader had to wait for what is warmed");
    kill_process(Pid::from_child(&running.0), Signal::INT).unwrap();
    eventually("it ends", Duration::from_secs(5), || running.0.try_wait().unwrap().is_some());
    assert_eq!(running.0.wait().unwrap().code(), Some(1));
    let status = || -> Value {
        let done = cxonefs(&drive.sandbox.home()).args(["status", "--json"]).arg(drive.path()).ok();
        serde_json::from_str(&done.stdout).unwrap()
    };
    eventually("nobody waits any more", Duration::from_secs(5), || status()["playback"]["waiting"]["warm"] == 0);
    let made = drive.counters().playback_calls;
    assert!(made < 12, "{made}");
    warm(&drive).arg("--yes").arg(drive.path()).ok();
    assert_eq!(drive.counters().playback_calls, 12);
}
