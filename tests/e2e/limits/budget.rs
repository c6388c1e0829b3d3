//! The daily budget and the scanner guard.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cxonefs::sim::SimSettings;
use rustix::process::Signal;

use super::{billed_files, drive, open};
use crate::harness::{Drive, FakeTime, Mount, Sandbox, Tenant, Tree, eventually, plain, sh, tool};

const BUDGET_OF_TEN: [&str; 2] = ["--set", "limits.daily_budget=10"];

#[test]
fn the_eleventh_is_refused_and_what_is_paid_still_opens() {
    let mut drive = drive(2, 10, (1000, 2), &BUDGET_OF_TEN);
    let files = billed_files(&drive);
    for file in &files[..10] {
        open(file).unwrap();
    }
    for file in &files[10..] {
        assert_eq!(open(file), Err(libc::EDQUOT));
    }
    drive.mount.remount();
    assert_eq!(open(&files[10]), Err(libc::EDQUOT), "a restart does not forget");
    for file in &files[..10] {
        assert!(!std::fs::read(file).unwrap().is_empty());
    }
    assert_eq!(drive.counters().playback_billed, 10);
    assert_eq!(drive.mount.stderr().matches("daily budget").count(), 2, "one line per start, not per request");
    drive.mount.terminate();
    let audit = std::fs::read_to_string(drive.sandbox.state().join("audit.log")).unwrap();
    assert_eq!(audit.lines().filter(|line| line.contains("\"billed\":true")).count(), 10);
    assert!(audit.lines().all(|line| !(line.contains("EDQUOT") && line.contains("\"billed\":true"))), "{audit}");
}

#[test]
fn a_raised_budget_holds_without_a_remount() {
    let drive = drive(2, 10, (1000, 2), &[]);
    let files = billed_files(&drive);
    let config = std::fs::read_to_string(drive.sandbox.config()).unwrap();
    let with_budget = |budget: u32| {
        let line = format!("daily_budget = {budget}");
        let text = match config.split_once("[limits]") {
            Some((head, tail)) => format!("{head}[limits]\n{line}\n{tail}"),
            None => format!("{config}\n[limits]\n{line}\n"),
        };
        std::fs::write(drive.sandbox.config(), text).unwrap();
        drive.mount.signal(Signal::HUP);
    };
    with_budget(3);
    eventually("the budget is lowered", Duration::from_secs(10), || {
        drive.mount.stderr().contains("limits.daily_budget")
    });
    let outcomes: Vec<Result<(), i32>> = files[..5].iter().map(open).collect();
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Err(libc::EDQUOT), Err(libc::EDQUOT)]);
    with_budget(5);
    eventually("the budget is raised", Duration::from_secs(10), || open(&files[3]).is_ok());
    open(&files[4]).unwrap();
    std::fs::write(drive.sandbox.config(), "nonsense = 1").unwrap();
    drive.mount.signal(Signal::HUP);
    eventually("it says that it stays as it was", Duration::from_secs(10), || {
        drive.mount.stderr().contains("stays as it was")
    });
    assert_eq!(open(&files[5]), Err(libc::EDQUOT));
}

#[test]
fn the_next_utc_day_has_a_budget_of_its_own_without_a_restart() {
    let tenant = Tenant::start(plain(2, 10));
    let sandbox = Sandbox::of(&tenant);
    let clock = FakeTime::new(&sandbox);
    clock.set("2026-11-23T23:59:00Z");
    let mount = Mount::start_in(&sandbox, &BUDGET_OF_TEN, clock.environment());
    let tree = Tree::of(&tenant);
    let files: Vec<PathBuf> = tree.recorded().map(|place| mount.at(&place.path).join("metadata.json")).collect();
    for file in &files[..10] {
        open(file).unwrap();
    }
    for file in &files[10..13] {
        assert_eq!(open(file), Err(libc::EDQUOT));
        open(&files[0]).unwrap();
    }
    clock.set("2026-11-24T00:00:01Z");
    open(&files[10]).unwrap();
    let budget = &mount.status()["budget"];
    assert_eq!((&budget["limit"], &budget["spent_today"]), (&10.into(), &1.into()));
    assert_eq!(tenant.counters().playback_billed, 11);
}

/// The one that machines run every night, without the settings that keep it out of most mounts.
#[test]
fn updatedb_walks_the_whole_tree_and_costs_nothing() {
    let drive = drive(3, 10, (1000, 2), &BUDGET_OF_TEN);
    let database = drive.sandbox.path("locate.db");
    let updatedb = tool("updatedb").arg("--database-root").arg(drive.path()).arg("--output").arg(&database);
    updatedb.args(["--require-visibility", "0", "--prunefs", "", "--prunepaths", "", "--prune-bind-mounts", "0"]).ok();
    let found = tool("locate").arg("--database").arg(&database).arg("recording.mp4").ok();
    assert_eq!(found.lines().len(), 30, "it saw everything");
    drive.assert_nothing_was_paid("updatedb");
}

/// A copy of a tool under another name, which is what the kernel says of it.
fn renamed(program: &str, name: &str, dir: &Path) -> PathBuf {
    let found = sh(&format!("readlink -f \"$(command -v {program})\"")).ok();
    let copy = dir.join(name);
    std::fs::copy(found.stdout.trim(), &copy).unwrap();
    copy
}

#[test]
fn scanners_cost_nothing_and_a_grep_over_all_stops_at_the_budget() {
    let drive = drive(3, 10, (1000, 2), &BUDGET_OF_TEN);
    let bin = drive.sandbox.dir("bin");
    for (program, name) in [("find", "updatedb"), ("cat", "tumblerd")] {
        let tool = tool(renamed(program, name, &bin));
        let done = match program {
            "find" => tool.arg(drive.path()).arg("-ls").run(),
            _ => tool.args(billed_files(&drive)).run(),
        };
        assert_eq!(program == "find", done.status.success(), "{name}: {}", done.stderr);
        drive.assert_nothing_was_paid(name);
    }
    let done = tool("grep").args(["-r", "-c", "no such text"]).arg(drive.path()).run();
    assert!(done.stderr.contains("quota"), "{}", done.stderr);
    assert_eq!(drive.counters().playback_billed, 10);
}

/// A recording that others opened, and of which a part is here: a scanner reads that part, and has no new link signed for the rest.
#[test]
fn a_scanner_that_reads_on_costs_nothing() {
    let drive = Drive::with(SimSettings { bulk_bytes: Some(24 << 20), ..plain(1, 2) }, &[]);
    drive.tenant.switch(|switches| switches.link_life_s = 1);
    let path = drive.at(&drive.tree.recorded().next().unwrap().path).join("recording.mp4");
    let scanner = renamed("dd", "clamscan", &drive.sandbox.dir("bin"));
    let read = |program: &Path, skip: u32| {
        tool(program)
            .arg(format!("if={}", path.display()))
            .args(["of=/dev/null", "bs=64k", "count=1"])
            .arg(format!("skip={skip}"))
            .run()
    };
    assert!(read(Path::new("dd"), 0).status.success());
    std::thread::sleep(Duration::from_millis(2100));
    assert!(read(&scanner, 0).status.success(), "what is here may be read");
    let denied = read(&scanner, 300);
    assert!(denied.stderr.contains("Permission denied"), "{}", denied.stderr);
    assert_eq!(drive.counters().playback_calls, 1);
    assert!(read(Path::new("dd"), 300).status.success());
    assert_eq!(drive.counters().playback_calls, 2);
}
