//! The files of the log: `audit.log`, which is written to, and older ones, which are named by their first line's number and compressed. Those are
//! deleted by age alone, each as a whole.
//!
//! Before a file is deleted the state database notes the place in the chain up to which the log is gone, so that the rest is still proven. A file's
//! first line repeats the hash that it follows. Files of versions before the chain are `audit.log.1` and so on.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::Value;

use super::line::{Head, Line};
use crate::ops::heap::WIPED_MAX;

/// What is written to, in the state directory.
pub const CURRENT: &str = "audit.log";
/// Stands behind a file's name while it is written.
const UNFINISHED: &str = ".tmp";
/// A line longer than this is none of ours (bytes).
const LINE_BYTES_MAX: u64 = 64 << 10;

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub path: PathBuf,
    /// The number of its first line; none for the one that is written to.
    pub first: Option<u64>,
    pub is_compressed: bool,
}

/// The file of older lines that begins with line `first`.
#[must_use]
pub fn old(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("audit-{first:012}.log"))
}

fn number_of(name: &str) -> Option<(u64, bool)> {
    let rest = name.strip_prefix("audit-")?;
    let (digits, is_compressed) = match rest.strip_suffix(".log.gz") {
        Some(digits) => (digits, true),
        None => (rest.strip_suffix(".log")?, false),
    };
    let is_number = digits.len() >= 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().map(|number| (number, is_compressed))
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(dir)?;
    entries.filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose()).collect()
}

/// The files with a chain, oldest first.
pub fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut found: Vec<Segment> = Vec::new();
    for name in names(dir)? {
        let path = dir.join(&name);
        if name == CURRENT {
            found.push(Segment { path, first: None, is_compressed: false });
        } else if let Some((first, is_compressed)) = number_of(&name) {
            found.push(Segment { path, first: Some(first), is_compressed });
        }
    }
    // Where a process ended before it had removed what it had compressed, the compressed one counts.
    found.sort_by_key(|segment| (segment.first.unwrap_or(u64::MAX), !segment.is_compressed));
    found.dedup_by_key(|segment| segment.first);
    Ok(found)
}

/// Files of versions before the chain.
pub fn legacy(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let is_legacy = |name: &String| {
        let number = name.strip_prefix(CURRENT).and_then(|rest| rest.strip_prefix('.'));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut found: Vec<PathBuf> = names(dir)?.into_iter().filter(is_legacy).map(|name| dir.join(name)).collect();
    found.sort();
    Ok(found)
}

/// Removes what a killed process left unfinished.
pub fn tidy(dir: &Path) -> io::Result<()> {
    for name in names(dir)? {
        if name.starts_with("audit") && name.ends_with(UNFINISHED) {
            std::fs::remove_file(dir.join(name))?;
        }
    }
    for segment in list(dir)?.iter().filter(|segment| segment.is_compressed) {
        remove(&segment.path.with_extension(""))?;
    }
    Ok(())
}

/// Opens a file of ours for reading; links are not followed.
fn open(path: &Path) -> io::Result<File> {
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
}

/// Lines of a file, one after the other.
pub struct Lines(Box<dyn BufRead>);

/// A line, or what stands in place of the last one.
#[derive(Debug, PartialEq, Eq)]
pub enum Text {
    /// Without its newline.
    Whole(Vec<u8>),
    /// The end of the file came first.
    Torn(usize),
}

impl Segment {
    /// Opens it.
    pub fn lines(&self) -> io::Result<Lines> {
        let file = BufReader::with_capacity(WIPED_MAX, open(&self.path)?);
        let plain: Box<dyn BufRead> =
            if self.is_compressed { Box::new(BufReader::new(GzDecoder::new(file))) } else { Box::new(file) };
        Ok(Lines(plain))
    }

    /// The first line's number, the hash that it follows, and its time.
    fn beginning(&self) -> io::Result<Option<(Head, Timestamp)>> {
        let Some(Text::Whole(text)) = self.lines()?.next_text()? else { return Ok(None) };
        let Some(line) = Line::read(&text) else { return Ok(None) };
        let time = line.object.get("time").and_then(Value::as_str).and_then(|time| time.parse().ok());
        let before = line.says_before.map(|hash| Head { number: line.head.number.saturating_sub(1), hash });
        Ok(before.zip(time))
    }

    /// The time of its first line.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.beginning().ok().flatten().map(|(_, time)| time)
    }

    /// The file's name, for people.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Lines of an uncompressed file that need not be a segment.
pub fn lines_of(path: &Path) -> io::Result<Lines> {
    Segment { path: path.to_owned(), first: None, is_compressed: false }.lines()
}

impl Lines {
    /// The next line.
    pub fn next_text(&mut self) -> io::Result<Option<Text>> {
        let mut text = Vec::new();
        let read = (&mut self.0).take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        if text.pop_if(|last| *last == b'\n').is_some() || read as u64 == LINE_BYTES_MAX {
            return Ok(Some(Text::Whole(text)));
        }
        Ok((read > 0).then_some(Text::Torn(read)))
    }
}

/// Writes a file anew, each line as `change` gives it (`None`: as it is); the old one stays until the new one is on disk. Gives how many
/// lines changed; with none, nothing is written.
pub fn rewrite(segment: &Segment, mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> io::Result<u64> {
    let mut changed = 0;
    let mut look = segment.lines()?;
    while let Some(Text::Whole(text)) = look.next_text()? {
        changed += u64::from(change(&text).is_some());
    }
    if changed == 0 {
        return Ok(0);
    }
    let mut lines = segment.lines()?;
    replace(&segment.path, segment.is_compressed, |out| {
        while let Some(Text::Whole(text)) = lines.next_text()? {
            out.write_all(&change(&text).unwrap_or(text))?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })?;
    Ok(changed)
}

/// Compresses a file; the plain one goes when the other is on disk.
pub fn compress(segment: &Segment) -> io::Result<()> {
    let mut compressed = segment.path.clone().into_os_string();
    compressed.push(".gz");
    let mut from = open(&segment.path)?;
    replace(Path::new(&compressed), true, |out| io::copy(&mut from, out).map(drop))?;
    remove(&segment.path)
}

fn replace(path: &Path, is_compressed: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(UNFINISHED);
    let unfinished = PathBuf::from(unfinished);
    remove(&unfinished)?;
    let written = || -> io::Result<()> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let mut out = io::BufWriter::with_capacity(WIPED_MAX, file);
        if is_compressed {
            let mut encoder = GzEncoder::new(&mut out, Compression::default());
            write(&mut encoder)?;
            encoder.finish()?;
        } else {
            write(&mut out)?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        sync_dir(path)
    }();
    if written.is_err() {
        // It may hold what is to be erased, and takes room.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

/// Has what was renamed in a file's directory outlive a loss of power.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Which files may go because every line in them is older than `oldest`, and the last place in the chain that goes with them.
///
/// A file's last line is as old as the first line of the next one, or older. Times of files are not looked at: a copy or a restored backup changes
/// them.
pub fn expired(segments: &[Segment], oldest: Timestamp) -> io::Result<Option<(usize, Head)>> {
    let mut found = None;
    for (index, next) in segments.iter().enumerate().skip(1) {
        match next.beginning()? {
            Some((before, time)) if time < oldest => found = Some((index, before)),
            _ => break,
        }
    }
    Ok(found)
}

/// Deletes files.
pub fn delete(segments: &[Segment]) -> io::Result<()> {
    segments.iter().try_for_each(|segment| remove(&segment.path))
}

/// Files of versions before the chain that were last written before `oldest`.
pub fn delete_legacy(dir: &Path, oldest: Timestamp) -> io::Result<()> {
    for path in legacy(dir)? {
        let written = Timestamp::try_from(path.symlink_metadata()?.modified()?);
        if written.is_ok_and(|written| written < oldest) {
            remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::line::{Object, SALT_BYTES, sealed};
    use super::*;

    /// Files of two lines each, the last one being written to; a day between lines.
    fn files(dir: &Path, count: u64) -> Head {
        let mut head = Head::default();
        let mut heads = Vec::new();
        for file in 0..count {
            let mut bytes = Vec::new();
            let first = head.number + 1;
            for line in 0..2 {
                let day = file * 2 + line + 1;
                let text = format!(r#"{{"time":"2026-01-{day:02}T00:00:00Z","event":"open","path":"p{day}"}}"#);
                let fields: Object = serde_json::from_str(&text).unwrap();
                let (text, next) = sealed(&fields, &head, line == 0, [0; SALT_BYTES]);
                bytes.extend(text);
                head = next;
                heads.push(head);
            }
            let path = if file + 1 == count { dir.join(CURRENT) } else { old(dir, first) };
            std::fs::write(path, bytes).unwrap();
        }
        head
    }

    fn texts(segment: &Segment) -> Vec<Vec<u8>> {
        let mut lines = segment.lines().unwrap();
        let mut texts = Vec::new();
        while let Some(Text::Whole(text)) = lines.next_text().unwrap() {
            texts.push(text);
        }
        texts
    }

    #[test]
    fn files_are_found_in_order_compressed_or_not_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path(), 4);
        for name in ["audit.log.1", "audit-x.log", "audit-1.log", "audit.log.tmp", "audit.logs", "other"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let before = list(dir.path()).unwrap();
        assert_eq!(before.iter().map(|segment| segment.first).collect::<Vec<_>>(), [Some(1), Some(3), Some(5), None]);
        let plain = texts(&before[0]);
        compress(&before[0]).unwrap();
        let after = list(dir.path()).unwrap();
        assert!(after[0].is_compressed && after[0].name() == "audit-000000000001.log.gz" && !before[0].path.exists());
        assert_eq!(texts(&after[0]), plain);
        assert_eq!(legacy(dir.path()).unwrap(), [dir.path().join("audit.log.1")]);
        // Killed before the plain one was removed.
        std::fs::write(&before[0].path, "x").unwrap();
        assert_eq!(list(dir.path()).unwrap(), after);
        tidy(dir.path()).unwrap();
        assert!(!before[0].path.exists() && !dir.path().join("audit.log.tmp").exists());
    }

    #[test]
    fn files_go_by_age_as_a_whole_and_the_chain_knows_where_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path(), 4);
        let segments = list(dir.path()).unwrap();
        let at = |text: &str| expired(&segments, text.parse().unwrap()).unwrap();
        assert_eq!(at("2026-01-02T00:00:00Z"), None);
        assert_eq!(at("2026-01-03T00:00:00Z"), None);
        let (count, start) = at("2026-01-05T12:00:00Z").unwrap();
        assert_eq!((count, start.number), (2, 4));
        let last = Line::read(texts(&segments[1]).last().unwrap()).unwrap();
        assert_eq!(start, last.head);
        assert_eq!(at("2030-01-01T00:00:00Z").unwrap().0, 3, "never what is written to");
        delete(&segments[..count]).unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 2);
    }

    #[test]
    fn rewriting_changes_what_it_should_also_in_what_is_compressed() {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path(), 2);
        compress(&list(dir.path()).unwrap()[0]).unwrap();
        let erase = |text: &[u8]| {
            let line = Line::read(text)?;
            (line.object["path"] == "p2").then(|| line.erased())?
        };
        let segments = list(dir.path()).unwrap();
        let changed: Vec<u64> = segments.iter().map(|segment| rewrite(segment, erase).unwrap()).collect();
        assert_eq!(changed, [1, 0]);
        let read: Vec<Line> = texts(&segments[0]).iter().map(|text| Line::read(text).unwrap()).collect();
        assert!(!read[0].is_erased && read[1].is_erased && read[1].follows(&read[0].head.hash));
        assert_eq!(rewrite(&segments[0], erase).unwrap(), 0, "once");
    }

    #[test]
    fn a_line_without_an_end_and_one_without_measure_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CURRENT);
        std::fs::write(&path, "one\ntwo").unwrap();
        let mut lines = lines_of(&path).unwrap();
        assert_eq!(lines.next_text().unwrap(), Some(Text::Whole(b"one".to_vec())));
        assert_eq!(lines.next_text().unwrap(), Some(Text::Torn(3)));
        assert_eq!(lines.next_text().unwrap(), None);
        std::fs::write(&path, vec![b'x'; LINE_BYTES_MAX as usize * 2]).unwrap();
        let mut lines = lines_of(&path).unwrap();
        assert!(matches!(lines.next_text().unwrap(), Some(Text::Whole(text)) if text.len() as u64 == LINE_BYTES_MAX));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(lines_of(&path).is_err());
    }
}
