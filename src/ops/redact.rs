//! Erasing what log files say of an interaction, where it stands: lines keep their length and their place, so that a process that appends to
//! the file, or turns it over, notices nothing.
//!
//! An audit line keeps when, who and what came of it, and loses path and number. A line of another log that names the interaction goes as a
//! whole. A number names an interaction only where contacts are named: a line of another person stays whose process, time or size happens to be the
//! same number. Knows no catalog: numbers come as text.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde_json::{Map, Value};

/// What a line becomes of which nothing may be kept.
const ERASED: &str = "(erased)";
/// A line longer than this is none that we wrote; it is looked at in pieces of this size (bytes).
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Which lines are meant.
#[derive(Clone, Debug)]
pub enum Meant {
    /// Those that name one of these numbers.
    Numbers(Vec<String>),
    /// All of them.
    All,
}

/// Words of log lines behind which a contact's number stands, as a field or in a sentence; compared without regard to case.
const BEFORE_NUMBERS: [&[u8]; 8] =
    [b"contact", b"contacts", b"master", b"masters", b"interaction", b"contactid", b"contact-id", b"acd-call-id"];
/// So many digits have nothing else in a log but a contact's number.
const TELLING_DIGITS: usize = 10;

impl Meant {
    /// Whether a line of a log names one of them.
    pub(super) fn names(&self, line: &[u8]) -> bool {
        let Meant::Numbers(numbers) = self else { return true };
        let mut there = numbers.iter().filter(|number| has_number(line, number.as_bytes(), |_, _| true)).peekable();
        if there.peek().is_none() {
            return false;
        }
        match audit_record(line) {
            Some(record) => self.are_of(&record),
            None => there.any(|number| has_number(line, number.as_bytes(), is_contact)),
        }
    }

    /// Whether the fields of an audit line are of one of them.
    pub(super) fn are_of(&self, fields: &Map<String, Value>) -> bool {
        let Meant::Numbers(numbers) = self else { return true };
        let is_one = |value: &Value| value.as_i64().is_some_and(|value| numbers.contains(&value.to_string()));
        let leads_to_one =
            |value: &Value| value.as_str().is_some_and(|path| numbers.iter().any(|number| leads_to(path, number)));
        let each = |name: &str| match fields.get(name) {
            Some(Value::Array(values)) => values.iter().collect::<Vec<_>>(),
            other => other.into_iter().collect(),
        };
        ["master_contact", "contacts"].into_iter().flat_map(each).any(is_one)
            || ["path", "paths"].into_iter().flat_map(each).any(leads_to_one)
    }
}

/// Whether a path below the mount point leads to an interaction or into it: folders of interactions, the third from the top, and files that are
/// named as they are end with the number.
fn leads_to(path: &str, number: &str) -> bool {
    let ends = |name: &str| {
        let stem = name.split('.').next().unwrap_or_default();
        stem.rsplit('_').next() == Some(number)
    };
    path.split('/').skip(2).any(ends)
}

/// Whether what stands before a number, or it is itself, says that it is a contact's.
fn is_contact(before: &[u8], number: &[u8]) -> bool {
    if number.len() >= TELLING_DIGITS {
        return true;
    }
    // A folder or a file of an interaction; agents' folders are called otherwise.
    if before.ends_with(b"_") {
        return !before.ends_with(b"agent_");
    }
    let is_between = |byte: &u8| b" \"':=%[{(,".contains(byte);
    let end = before.iter().rposition(|byte| !is_between(byte)).map_or(0, |last| last + 1);
    let before = &before[..end];
    BEFORE_NUMBERS.iter().any(|word| {
        let start = before.len().checked_sub(word.len());
        start.is_some_and(|start| before[start..].eq_ignore_ascii_case(word))
    })
}

/// A text without a number that stands in it by itself.
pub fn without(text: &str, number: &str, instead: &str) -> String {
    let (mut rest, mut done) = (text, String::new());
    while let Some(at) = find_number(rest.as_bytes(), number.as_bytes(), 0) {
        done.push_str(&rest[..at]);
        done.push_str(instead);
        rest = &rest[at + number.len()..];
    }
    done + rest
}

/// A log file in `dir` named `name` and what it was turned over to, `name.1`, `name.2`, …; those that are there.
pub fn rotated(dir: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(file) = path.file_name().and_then(|file| file.to_str()) else { continue };
        let number = file.strip_prefix(name).map(|rest| rest.strip_prefix('.').unwrap_or(rest));
        if number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// How many lines of a file are meant.
pub fn count(path: &Path, meant: &Meant) -> io::Result<u64> {
    each_line(&open(path, false)?, |_, line| Ok(meant.names(line))).map(|(count, _)| count)
}

/// Erases what is meant from a file; on disk when this returns. Gives how many lines that were.
pub fn redact(path: &Path, meant: &Meant) -> io::Result<u64> {
    let file = open(path, true)?;
    let (count, _) = each_line(&file, |at, line| {
        if !meant.names(line) {
            return Ok(false);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        // What is there already in the form that it gets is done.
        let replacement = replacement(text);
        if replacement == text {
            return Ok(false);
        }
        file.write_all_at(&replacement, at)?;
        Ok(true)
    })?;
    if count > 0 {
        file.sync_data()?;
    }
    Ok(count)
}

fn open(path: &Path, writing: bool) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(writing).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Calls `f` with every line up to the present end, and where it begins. Gives how often it said true, and the end.
fn each_line(file: &File, mut f: impl FnMut(u64, &[u8]) -> io::Result<bool>) -> io::Result<(u64, u64)> {
    let end = file.metadata()?.size();
    let mut reader = BufReader::new(io::Read::take(file, end));
    let (mut at, mut count) = (0, 0);
    let mut line = Vec::new();
    while at < end {
        line.clear();
        let read = io::Read::take(&mut reader, LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            break;
        }
        count += u64::from(f(at, &line)?);
        at += read;
    }
    Ok((count, at))
}

/// As many bytes as `line` has: an audit line without path and number, else nothing but the word.
fn replacement(line: &[u8]) -> Vec<u8> {
    let mut text = audit_line(line).filter(|text| text.len() <= line.len()).unwrap_or_else(|| ERASED.into());
    text.truncate(line.len());
    text.resize(line.len(), b' ');
    text
}

fn audit_line(line: &[u8]) -> Option<Vec<u8>> {
    let mut record = audit_record(line)?;
    record.insert(String::from("path"), Value::Null);
    record.insert(String::from("master_contact"), Value::Null);
    serde_json::to_vec(&record).ok()
}

/// The fields of a line of an audit log before the chain.
fn audit_record(line: &[u8]) -> Option<Map<String, Value>> {
    let record: Map<String, Value> = serde_json::from_slice(line).ok()?;
    record.contains_key("master_contact").then_some(record)
}

/// Whether a number stands in a line by itself, not as a part of a longer one, at a place where it `counts` (given what stands before it).
fn has_number(line: &[u8], number: &[u8], counts: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let mut from = 0;
    while let Some(at) = find_number(line, number, from) {
        if counts(&line[..at], number) {
            return true;
        }
        from = at + number.len();
    }
    false
}

/// Where a number stands by itself, from a place on.
fn find_number(line: &[u8], number: &[u8], mut from: usize) -> Option<usize> {
    if number.is_empty() {
        return None;
    }
    while let Some(found) = memmem::find(line.get(from..).unwrap_or_default(), number) {
        let (start, end) = (from + found, from + found + number.len());
        let digit = |index: Option<usize>| index.and_then(|index| line.get(index)).is_some_and(u8::is_ascii_digit);
        if !digit(start.checked_sub(1)) && !digit(Some(end)) {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const VICTIM: &str = r#"{"time":"2026-11-02T13:59:31Z","uid":1000,"gid":100,"pid":7,"comm":"cat","path":"2026-11-02/Keller_Rosa_88/085931_call_in_701000000122/recording.mp4","master_contact":701000000122,"billed":true,"outcome":"ok"}"#;

    fn meant() -> Meant {
        Meant::Numbers(vec![String::from("701000000122"), String::from("5")])
    }

    #[test]
    fn only_the_lines_that_are_meant_change_and_none_moves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let other = VICTIM.replace("701000000122", "7010000001221");
        let noise = "WARN reading failed path=2026-11-02/x/085931_call_in_701000000122/a\n";
        let lines = format!("{VICTIM}\n{other}\n{noise}{{\"lost\":75}}\n{VICTIM}");
        std::fs::write(&path, &lines).unwrap();
        let mut appending = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(count(&path, &meant()).unwrap(), 3);
        assert_eq!(redact(&path, &meant()).unwrap(), 3);
        appending.write_all(b"\nnew\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.len(), lines.len() + 5);
        let now: Vec<&str> = text.lines().collect();
        let record: Value = serde_json::from_str(now[0]).unwrap();
        assert_eq!((&record["path"], &record["master_contact"]), (&Value::Null, &Value::Null));
        assert_eq!((record["uid"].as_i64(), record["outcome"].as_str()), (Some(1000), Some("ok")));
        assert_eq!((now[1], now[2].trim_end(), now[3], now[5]), (other.as_str(), ERASED, "{\"lost\":75}", "new"));
        assert_eq!(now[4].trim_end(), now[0].trim_end());
        assert!(!text.contains("701000000122\"") && !text.contains("_701000000122/"));
        assert_eq!(redact(&path, &meant()).unwrap(), 0, "what is done is done");
    }

    #[test]
    fn a_short_number_is_a_contacts_only_where_contacts_are_named() {
        let meant = Meant::Numbers(vec![String::from("1523")]);
        for line in [
            "ERROR read of recording.mp4 of master contact 1523 failed with EIO for cat: cut master=1523 errno=5",
            "ERROR x master=1523",
            r#"{"level":"ERROR","master":"1523"}"#,
            "WARN the answer for acd-call-id=1523 cannot be read",
            "path=2026-11-02/agent_88/085931_call_in_1523/a.mp4",
            r#"{"time":"t","uid":7,"path":"2026-11-02/A_88/085931_call_in_1523/x.mp4","master_contact":1523}"#,
            r#"{"time":"t","uid":7,"path":"2026-11-02/A_88/085931_call_in_1523/x.mp4","master_contact":null}"#,
        ] {
            assert!(meant.names(line.as_bytes()), "{line}");
        }
        for line in [
            "ERROR read failed uid=1523 pid=1523 errno=5 master=7",
            "INFO 1523 bytes in 1523 ms at 2026-11-02T13:15:23.1523Z",
            "INFO the day 2026-11-02 of agent 1523; agent_1523",
            "ERROR x master=15230 contact 91523",
            r#"{"time":"t","uid":1523,"pid":1523,"path":"2026-11-02/Keller_1523/152300_call_in_9/152300_call_in_9.mp4","master_contact":9}"#,
            r#"{"time":"t","uid":7,"path":"1523/x/y_1523_z/a.mp4","master_contact":9}"#,
        ] {
            assert!(!meant.names(line.as_bytes()), "{line}");
        }
        assert_eq!(without("case 15, contact 5 of 5", "5", "X"), "case 15, contact X of X");
        assert_eq!(without("5", "5", ""), "");
    }

    #[test]
    fn everything_can_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        std::fs::write(&path, format!("{VICTIM}\nWARN reading failed\nab\n")).unwrap();
        assert_eq!(redact(&path, &Meant::All).unwrap(), 3);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let record: Value = serde_json::from_str(lines[0]).unwrap();
        assert!(record["path"].is_null() && record["uid"] == 1000, "who and when stay");
        assert_eq!(lines[1..], [ERASED, "(e"]);
    }

    #[test]
    fn rotated_files_are_found_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["audit.log", "audit.log.1", "audit.log.12", "audit.log.x", "other", "audit.logs"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = rotated(dir.path(), "audit.log").unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["audit.log", "audit.log.1", "audit.log.12"]);
    }

    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("audit.log")).unwrap();
        assert!(redact(&dir.path().join("audit.log"), &meant()).is_err());
    }
}
