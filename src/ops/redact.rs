//! Erasing what log files say of an interaction, where it stands: lines keep their length and their place, so that a process that appends to
//! the file, or turns it over, notices nothing.
//!
//! An audit line keeps when, who and what came of it, and loses path and number. A line of another log that names the interaction goes as a
//! whole. Knows no catalog: numbers come as text.

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

impl Meant {
    /// Whether a text names one of them.
    pub(super) fn names(&self, line: &[u8]) -> bool {
        match self {
            Meant::All => true,
            Meant::Numbers(numbers) => numbers.iter().any(|number| has_number(line, number.as_bytes())),
        }
    }
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
    let mut record: Map<String, Value> = serde_json::from_slice(line).ok()?;
    if !record.contains_key("master_contact") {
        return None;
    }
    record.insert(String::from("path"), Value::Null);
    record.insert(String::from("master_contact"), Value::Null);
    serde_json::to_vec(&record).ok()
}

/// Whether a number stands in a line by itself, and not as a part of a longer one.
fn has_number(line: &[u8], number: &[u8]) -> bool {
    if number.is_empty() {
        return false;
    }
    let mut at = 0;
    while let Some(found) = memmem::find(line.get(at..).unwrap_or_default(), number) {
        let (start, end) = (at + found, at + found + number.len());
        let digit = |index: Option<usize>| index.and_then(|index| line.get(index)).is_some_and(u8::is_ascii_digit);
        if !digit(start.checked_sub(1)) && !digit(Some(end)) {
            return true;
        }
        at = start + 1;
    }
    false
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
