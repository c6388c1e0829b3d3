//! One cell: bring an interaction into a state, let a program read its files, and judge what became of them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};

use super::lane::{Guess, Kind, Lane, open_to_all};
use super::servers;
use super::table::{Class, Gives, Program, Runs};
use crate::harness::{Done, tool};

/// A program that takes longer hangs.
const WITHIN_S: &str = "60";
/// `timeout` adds some seconds, and so does a busy machine.
const TOOL_WITHIN: Duration = Duration::from_secs(100);

/// What is known of the interaction before the program comes. `stat` was asked for before that, so the kernel has heard the guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Unresolved,
    Resolved,
    Cached,
}

#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub program: &'static Program,
    pub kind: Kind,
    pub state: State,
    pub is_root: bool,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.is_root { "root" } else { "user" };
        let passthrough = if self.kind.is_passthrough { "passthrough" } else { "no passthrough" };
        let door = if self.kind.is_exact_door { ", exact door" } else { "" };
        write!(f, "{} [{:?}, guess {:?}, {passthrough}, {user}{door}]", self.program.name, self.state, self.kind.guess)
    }
}

/// What a program made of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Exact,
    /// Its exit code is not 0.
    Loud(String),
    /// Its exit code is 0.
    Wrong(String),
}

/// One file of a cell.
struct Subject {
    path: PathBuf,
    relative: PathBuf,
    truth: Option<Vec<u8>>,
}

impl Cell {
    /// Whether the kernel may have heard a size of an unresolved file that is not the true one.
    fn is_estimated(&self) -> bool {
        self.state == State::Unresolved && !self.kind.is_exact_door
    }

    /// Whether the open that finds out that the size shown was too low is this cell's.
    fn may_fail_once(&self) -> bool {
        self.kind.guess == Guess::Low && self.state != State::Cached && !self.kind.is_exact_door
    }

    /// Why a verdict is not what is promised.
    fn objection(&self, verdict: &Verdict, was_opened: bool) -> Option<String> {
        let is_low = self.kind.guess == Guess::Low;
        let is_unrepeated = self.program.is_unrepeated && self.state == State::Resolved && !self.kind.is_exact_door;
        let is_promised = match (verdict, self.program.class) {
            (Verdict::Exact, _) | (Verdict::Loud(_), Class::Refused) => true,
            (Verdict::Loud(_), Class::Loud | Class::Door) if self.is_estimated() || is_unrepeated => true,
            (Verdict::Loud(_), _) => self.may_fail_once(),
            // A program that decides by `stat` alone never gives us an open to fail.
            (Verdict::Wrong(_), Class::Door) => self.is_estimated() && (!is_low || !was_opened),
            (Verdict::Wrong(_), _) => false,
        };
        (!is_promised).then(|| format!("{verdict:?}"))
    }
}

/// Runs it: the worst verdict, and what is wrong with the cell.
pub fn run(lane: &mut Lane, cell: &Cell) -> (Verdict, Result<(), String>) {
    let (place, dir) = lane.next();
    if let Err(why) = lane.needed(cell.program.needs) {
        return (Verdict::Loud(why.clone()), Err(why));
    }
    // What it needs may have ended with an error of the file before.
    let judge = |lane: &mut Lane, subject: &Subject, dir: &Path| match lane.needed(cell.program.needs) {
        Ok(says) => judged(cell, &says, subject, dir),
        Err(why) => Verdict::Wrong(why),
    };
    let folder = lane.root().join(&place.path);
    let relative = |name: &str| place.path.join(name);
    let truth = lane.recording(&place);
    let recording =
        Subject { path: folder.join("recording.mp4"), relative: relative("recording.mp4"), truth: Some(truth) };
    let document = Subject { path: folder.join("metadata.json"), relative: relative("metadata.json"), truth: None };
    let mut subjects = vec![recording];
    if matches!(cell.program.gives, Gives::Copy | Gives::Tail(_)) && cell.program.runs != Runs::Slow {
        // Every other time the document is what resolves, so that the recording's size is learned before its open.
        subjects.insert(place.master as usize % 2, document);
    }
    lane.drive.tenant.reset_counters();
    if let Err(why) = prepare(cell, &folder, &subjects) {
        return (Verdict::Loud(why.clone()), Err(format!("preparing: {why}")));
    }
    let before = lane.drive.counters().playback_calls;
    let (mut worst, mut objections) = (Verdict::Exact, Vec::new());
    for (number, subject) in subjects.iter().enumerate() {
        let verdict = judge(lane, subject, &dir.join(number.to_string()));
        let was_opened = lane.drive.counters().playback_calls > 0;
        objections.extend(cell.objection(&verdict, was_opened));
        let may_again = cell.program.class == Class::Exact && cell.may_fail_once();
        if matches!(verdict, Verdict::Loud(_)) && may_again {
            // Now the size is known.
            match judge(lane, subject, &dir.join(format!("{number}-again"))) {
                Verdict::Exact => {}
                other => objections.push(format!("again: {other:?}")),
            }
        }
        if worst == Verdict::Exact || matches!(verdict, Verdict::Wrong(_)) {
            worst = verdict;
        }
    }
    let calls = lane.drive.counters().playback_calls - before;
    let is_free = cell.state != State::Unresolved || cell.program.gives == Gives::Estimate && !cell.kind.is_exact_door;
    if is_free && calls > 0 || calls > 1 || !is_free && calls == 0 && worst == Verdict::Exact {
        objections.push(format!("{calls} billed calls"));
    }
    // Archives of high guesses are large.
    let _ = std::fs::remove_dir_all(&dir);
    (worst, if objections.is_empty() { Ok(()) } else { Err(objections.join("; ")) })
}

fn prepare(cell: &Cell, folder: &Path, subjects: &[Subject]) -> Result<(), String> {
    // Through the exact door the program itself is to resolve.
    for subject in subjects.iter().filter(|_| !cell.kind.is_exact_door) {
        subject.path.metadata().map_err(|error| error.to_string())?;
    }
    let names: &[&str] = match cell.state {
        State::Unresolved => &[],
        State::Resolved => &["metadata.json"],
        State::Cached => &["metadata.json", "recording.mp4"],
    };
    for name in names {
        let mut file = opened(&folder.join(name))?;
        if cell.state == State::Cached {
            file.read_to_end(&mut Vec::new()).map_err(|error| error.to_string())?;
        }
        fadvise(&file, 0, None, Advice::DontNeed).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A low guess fails the open that finds it out, once.
fn opened(path: &Path) -> Result<File, String> {
    File::open(path).or_else(|_| File::open(path)).map_err(|error| error.to_string())
}

/// Runs the line for one file in a folder of its own.
fn judged(cell: &Cell, says: &str, subject: &Subject, dir: &Path) -> Verdict {
    let name = subject.path.file_name().unwrap_or_default();
    let (room, control) = (dir.join("w"), dir.join("t"));
    for folder in [dir, &room, &control] {
        std::fs::create_dir(folder).unwrap();
        open_to_all(folder);
    }
    let true_copy = control.join(name);
    if let Some(truth) = &subject.truth {
        std::fs::write(&true_copy, truth).unwrap();
        std::fs::write(control.join("metadata.json"), "{}").unwrap();
    }
    let done = line(cell, says, &subject.path, &subject.relative, &room, &true_copy);
    if done.code() != 0 {
        let said: String = format!("{}{}", done.stdout, done.stderr).chars().take(300).collect();
        let verdict = format!("exit code {}: {}", done.code(), said.trim());
        // Of one that is not installed nothing is known, and of one that hangs nothing is heard.
        return if [124, 127, 137].contains(&done.code()) { Verdict::Wrong(verdict) } else { Verdict::Loud(verdict) };
    }
    match cell.program.gives {
        Gives::Copy | Gives::Tail(_) => {
            // By a `read` after it, where the tenant is not asked: an open of a document that is resolved is exact.
            let truth = subject.truth.clone().or_else(|| std::fs::read(&subject.path).ok()).unwrap_or_default();
            let from = if let Gives::Tail(bytes) = cell.program.gives { truth.len().saturating_sub(bytes) } else { 0 };
            compared(&std::fs::read(room.join("copy")).unwrap_or_default(), &truth[from..])
        }
        Gives::Estimate if cell.is_estimated() => {
            let shown: u64 = done.stdout.trim().parse().unwrap_or(0);
            if shown > 0 { Verdict::Exact } else { Verdict::Wrong(format!("shows {:?}", done.stdout)) }
        }
        Gives::Text | Gives::Media | Gives::Estimate => {
            let room = dir.join("w2");
            std::fs::create_dir(&room).unwrap();
            open_to_all(&room);
            let expected = line(cell, says, &true_copy, &subject.relative, &room, &true_copy);
            // Some of these say nothing where all is well, of the copy too.
            if (expected.code(), &expected.stdout) == (0, &done.stdout) {
                Verdict::Exact
            } else {
                Verdict::Wrong(format!("says {:?}, of a true copy {:?}", done.stdout.trim(), expected.stdout.trim()))
            }
        }
    }
}

fn compared(read: &[u8], truth: &[u8]) -> Verdict {
    if read == truth {
        return Verdict::Exact;
    }
    let (read, truth_len) = (read.len(), truth.len());
    let how = match read.cmp(&truth_len) {
        std::cmp::Ordering::Less => "truncated",
        std::cmp::Ordering::Equal => "other bytes",
        std::cmp::Ordering::Greater => "padded",
    };
    Verdict::Wrong(format!("{how}: {read} bytes instead of {truth_len}"))
}

/// A path as it stands in an address.
fn percent_encoded(path: &Path) -> String {
    let shown = |byte: &u8| match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.as_os_str().as_encoded_bytes().iter().map(shown).collect()
}

fn line(cell: &Cell, says: &str, source: &Path, relative: &Path, room: &Path, true_copy: &Path) -> Done {
    let script = format!(
        "call() {{ \"$PYTHON\" \"$CALLS\" \"$@\"; }}\nN=${{S##*/}} P=${{S%/*}} p=() {says}\nexport N P\n{}\n",
        cell.program.line
    );
    let mut command = tool("timeout").args(["-k", "5", WITHIN_S]);
    if !cell.is_root {
        command = command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    let command = command.args(["bash", "-o", "pipefail", "-euc", &script]);
    let command = command
        .env("S", source)
        .env("R", relative)
        .env("E", percent_encoded(relative))
        .env("W", room)
        .env("D", room.join("copy"));
    let command = command.env("T", true_copy).env("HOME", room).env("PYTHON", servers::python());
    let command = command.env("CALLS_JS", servers::calls_of("calls.js"));
    command.env("CALLS", servers::calls()).in_dir(room).within(TOOL_WITHIN).run()
}
