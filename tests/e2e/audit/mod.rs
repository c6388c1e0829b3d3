//! The audit log: what is on record, that nobody wipes it, that a change of it shows, and what a full disk does.

mod disk;
mod erased;
mod export;
mod flood;
mod record;
mod tamper;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Done, Drive, Sandbox, cxonefs, tool};

/// Users that need no account: their numbers are enough.
const ROSA: u32 = 64_021;
const MALLORY: u32 = 64_022;

/// Lets every user of the machine read, by its modes.
const OPEN_TO_ALL: [&str; 6] =
    ["--set", "mount.allow_other=true", "--set", "mount.dir_mode=0555", "--set", "mount.file_mode=0444"];

/// The files of the log, oldest first.
fn files(state: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    let is_log = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("audit");
    let mut files: Vec<PathBuf> = names.filter(is_log).collect();
    // audit-000000000001.log.gz … audit.log
    files.sort();
    files
}

/// Every line, read without any code of the product.
fn lines_of(state: &Path) -> Vec<Value> {
    let mut lines = Vec::new();
    for file in files(state) {
        let is_compressed = file.extension().is_some_and(|ending| ending == "gz");
        let text = if is_compressed {
            let unpacked = Command::new("gzip").arg("-dc").arg(&file).output().unwrap();
            String::from_utf8(unpacked.stdout).unwrap()
        } else {
            std::fs::read_to_string(&file).unwrap()
        };
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        lines.extend(text.lines().map(parse));
    }
    lines
}

/// The same, once all that is counted is written.
fn lines(drive: &Drive) -> Vec<Value> {
    audit(&drive.sandbox, &["show", "-n", "1"], &[drive.path()]);
    lines_of(&drive.sandbox.state())
}

fn of_event<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// How often a thing happened, by the lines that tell of it.
fn count<'a>(lines: impl IntoIterator<Item = &'a Value>) -> u64 {
    lines.into_iter().map(|line| line["count"].as_u64().unwrap_or(1)).sum()
}

/// `cxonefs audit …`, whatever it says.
fn audit(sandbox: &Sandbox, words: &[&str], places: &[&Path]) -> Done {
    cxonefs(&sandbox.home()).arg("audit").args(words).args(places).run()
}

/// The kinds of what `audit verify` finds in a state directory.
fn findings(sandbox: &Sandbox, state: &Path) -> Vec<String> {
    let done = audit(sandbox, &["verify", "--json", "--state-dir"], &[state]);
    let verdict: Value =
        serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}{}", done.stdout, done.stderr));
    let found: Vec<String> = verdict["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(done.code(), i32::from(!found.is_empty()), "{}{}", done.stdout, done.stderr);
    found
}

#[track_caller]
fn assert_sound(drive: &Drive) {
    let done = audit(&drive.sandbox, &["verify"], &[drive.path()]);
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("sound: "), "{}", done.stdout);
}

/// A line of shell as another user.
fn as_user(uid: u32, line: &str) -> Done {
    let user = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()];
    tool("setpriv").args(user).args(["bash", "-c", line]).run()
}
