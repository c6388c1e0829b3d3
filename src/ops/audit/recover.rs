//! Where the log goes on after a start: behind the last line that is whole, or, where the state database knows of more, behind that.
//!
//! What is amiss is never smoothed over: the line that goes on repeats the hash that should have been before it, so that a proof of the chain
//! still finds what is missing.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::line::{Head, Line};
use super::segments::{self, CURRENT, Segment, Text};
use super::verify::Anchors;

/// Where it goes on.
#[derive(Debug, Default, PartialEq)]
pub struct Resumed {
    /// The place that the next line follows.
    pub before: Head,
    /// Bytes of `audit.log` that are whole lines, and those behind them.
    pub good_bytes: u64,
    pub torn_bytes: u64,
    /// The first line of `audit.log`.
    pub first: Option<(u64, Timestamp)>,
    /// What is amiss, in words.
    pub amiss: Vec<String>,
}

#[derive(Default)]
struct Scanned {
    lines: u64,
    bytes: u64,
    torn_bytes: u64,
    first: Option<(u64, Timestamp)>,
    last: Option<Head>,
    /// Whether the last line is none as it was written.
    ends_badly: bool,
    /// The hash of the line that has the number asked for.
    at: Option<Head>,
}

fn scan(segment: &Segment, number: u64) -> io::Result<Scanned> {
    let mut found = Scanned::default();
    let mut lines = segment.lines()?;
    while let Some(text) = lines.next_text()? {
        let text = match text {
            Text::Whole(text) => text,
            Text::Torn(bytes) => {
                found.torn_bytes = bytes as u64;
                break;
            }
        };
        found.lines += 1;
        found.bytes += text.len() as u64 + 1;
        let line = Line::read(&text);
        found.ends_badly = line.is_none();
        let Some(line) = line else { continue };
        let time = line.object.get("time").and_then(Value::as_str).and_then(|time| time.parse().ok());
        found.first = found.first.or(time.map(|time| (line.head.number, time)));
        found.last = Some(line.head);
        if line.head.number == number {
            found.at = Some(line.head);
        }
    }
    Ok(found)
}

/// Looks at what is there. `known` is what the state database knows.
pub fn resume(dir: &Path, known: Option<Anchors>) -> io::Result<Resumed> {
    let head = known.map(|anchors| anchors.head).unwrap_or_default();
    let files = segments::list(dir)?;
    let current = files.iter().find(|segment| segment.first.is_none());
    let scanned = current.map(|segment| scan(segment, head.number)).transpose()?.unwrap_or_default();
    let mut resumed = Resumed {
        good_bytes: scanned.bytes,
        torn_bytes: scanned.torn_bytes,
        first: scanned.first,
        ..Resumed::default()
    };
    let mut amiss = |what: String| resumed.amiss.push(what);
    if scanned.torn_bytes > 0 {
        amiss(format!("{} bytes of a line that was not finished are removed", scanned.torn_bytes));
    }
    if scanned.ends_badly {
        amiss(String::from("the last line is not as it was written"));
    }
    let older = || -> io::Result<Scanned> {
        let last = files.iter().rfind(|segment| segment.first.is_some());
        last.map(|segment| scan(segment, head.number)).transpose().map(Option::unwrap_or_default)
    };
    let (last, at) = match scanned.last {
        Some(last) => (Some(last), scanned.at),
        None => older().map(|older| (older.last, older.at))?,
    };
    let last = last.unwrap_or_default();
    let is_other = at.is_some_and(|at| at != head);
    if known.is_none() && last.number > 0 {
        amiss(String::from("the state database does not know the log"));
    }
    resumed.before = if last.number < head.number {
        amiss(format!("lines {} to {} are missing", last.number + 1, head.number));
        head
    } else if is_other {
        amiss(format!("line {} is another one than the state database knows", head.number));
        Head { number: last.number, hash: head.hash }
    } else {
        last
    };
    Ok(resumed)
}

/// Moves a log of a version before the chain out of the way; it is kept as long as the others.
pub fn set_legacy_aside(dir: &Path) -> io::Result<()> {
    let path = dir.join(CURRENT);
    let is_chained = match segments::lines_of(&path) {
        Ok(mut lines) => match lines.next_text()? {
            Some(Text::Whole(text)) => {
                serde_json::from_slice::<Value>(&text).is_ok_and(|line| line.get("chain").is_some())
            }
            _ => true,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error),
    };
    if is_chained {
        return Ok(());
    }
    let mut aside = (0..).map(|number: u32| dir.join(format!("{CURRENT}.{number}")));
    match aside.find(|path| path.symlink_metadata().is_err()) {
        Some(aside) => std::fs::rename(path, aside),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Object, SALT_BYTES, sealed};
    use super::*;

    fn lines(count: u64) -> (Vec<u8>, Vec<Head>) {
        let (mut bytes, mut heads) = (Vec::new(), vec![Head::default()]);
        for number in 0..count {
            let fields: Object = serde_json::from_str(r#"{"time":"2026-11-02T00:00:00Z","event":"open"}"#).unwrap();
            let (line, head) = sealed(&fields, &heads[number as usize], number == 0, [0; SALT_BYTES]);
            bytes.extend(line);
            heads.push(head);
        }
        (bytes, heads)
    }

    fn resumed(bytes: Option<&[u8]>, head: Option<Head>) -> Resumed {
        let dir = tempfile::tempdir().unwrap();
        if let Some(bytes) = bytes {
            std::fs::write(dir.path().join(CURRENT), bytes).unwrap();
        }
        resume(dir.path(), head.map(|head| Anchors { head, ..Anchors::default() })).unwrap()
    }

    #[test]
    fn it_goes_on_behind_the_last_line() {
        assert_eq!(resumed(None, None), Resumed::default());
        let (bytes, heads) = lines(5);
        for head in [5, 3] {
            let found = resumed(Some(&bytes), Some(heads[head]));
            assert_eq!((found.before, found.good_bytes, found.amiss.len()), (heads[5], bytes.len() as u64, 0));
            assert_eq!(found.first.unwrap().0, 1);
        }
    }

    #[test]
    fn a_torn_line_is_measured() {
        let (bytes, heads) = lines(5);
        let torn = &bytes[..bytes.len() - 7];
        let found = resumed(Some(torn), Some(heads[4]));
        assert_eq!(found.before, heads[4]);
        assert!(found.torn_bytes > 50 && found.good_bytes + found.torn_bytes == torn.len() as u64);
        assert!(found.amiss[0].contains("not finished"), "{found:?}");
    }

    #[test]
    fn what_is_missing_stays_missing() {
        let (bytes, heads) = lines(5);
        let (short, _) = lines(2);
        let found = resumed(Some(&short), Some(heads[5]));
        assert_eq!((found.before, &*found.amiss[0]), (heads[5], "lines 3 to 5 are missing"));
        assert_eq!(resumed(None, Some(heads[5])).before, heads[5]);
        let other = Head { number: 3, hash: super::super::line::Hash([9; 32]) };
        let found = resumed(Some(&bytes), Some(other));
        assert_eq!(found.before, Head { number: 5, hash: other.hash });
        assert!(found.amiss[0].contains("line 3 is another one"));
        assert!(resumed(Some(&bytes), None).amiss[0].contains("does not know"));
    }

    #[test]
    fn an_older_file_tells_where_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (bytes, heads) = lines(5);
        std::fs::write(segments::old(dir.path(), 1), &bytes).unwrap();
        std::fs::write(dir.path().join(CURRENT), b"").unwrap();
        let known = Anchors { head: heads[5], ..Anchors::default() };
        assert_eq!(resume(dir.path(), Some(known)).unwrap(), Resumed { before: heads[5], ..Resumed::default() });
    }

    #[test]
    fn a_log_of_before_the_chain_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        set_legacy_aside(dir.path()).unwrap();
        let path = dir.path().join(CURRENT);
        std::fs::write(&path, "{\"time\":\"x\",\"path\":\"y\"}\n").unwrap();
        set_legacy_aside(dir.path()).unwrap();
        assert!(!path.exists());
        assert_eq!(segments::legacy(dir.path()).unwrap(), [dir.path().join("audit.log.0")]);
        std::fs::write(&path, lines(1).0).unwrap();
        set_legacy_aside(dir.path()).unwrap();
        assert!(path.exists());
    }
}
