//! Reading the log, in order, while it may be written to: for `cxonefs audit`.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::line::{Head, Object};
use super::segments::{self, CURRENT, Lines, Segment, Text};
use super::verify::{Anchors, Verdict, Verifier};

/// Looks again so often where files were turned over meanwhile.
const LOOKS: u32 = 10;

/// Where a line stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub file: &'a str,
    pub line: u64,
}

/// The files, and the one that is written to already open: it may be turned over at any time.
fn open(dir: &Path) -> io::Result<(Vec<Segment>, Option<Lines>)> {
    let inode = || dir.join(CURRENT).symlink_metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    for _ in 0..LOOKS {
        let before = inode();
        let lines = match segments::lines_of(&dir.join(CURRENT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            lines => Some(lines?),
        };
        let files = segments::list(dir)?;
        if inode() == before {
            return Ok((files, lines));
        }
    }
    Err(io::Error::other("its files change all the time"))
}

/// One that was compressed meanwhile has another name.
fn lines(segment: &Segment) -> io::Result<Lines> {
    match segment.lines() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !segment.is_compressed => {
            let mut path = segment.path.clone().into_os_string();
            path.push(".gz");
            Segment { path: path.into(), is_compressed: true, ..segment.clone() }.lines()
        }
        lines => lines,
    }
}

/// Calls `each` with every line with a chain, oldest first, until it says false.
pub fn each_text(dir: &Path, mut each: impl FnMut(Place<'_>, Text) -> bool) -> io::Result<()> {
    let (files, mut current) = open(dir)?;
    for segment in files {
        let opened = if segment.first.is_none() { current.take().map(Ok) } else { Some(lines(&segment)) };
        let Some(opened) = opened else { continue };
        let (mut lines, file, mut line) = (opened?, segment.name(), 0);
        while let Some(text) = lines.next_text()? {
            line += 1;
            if !each(Place { file: &file, line }, text) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Calls `each` with what every line says, oldest first, files of before the chain included, until it says false. Lines that say nothing are left
/// out: [`verify`] finds those.
pub fn each(dir: &Path, mut each: impl FnMut(Object) -> bool) -> io::Result<()> {
    let mut legacy = segments::legacy(dir)?;
    // The oldest has the highest number; the one without a number then was set aside as 0.
    legacy.sort_by_key(|path| {
        std::cmp::Reverse(path.extension().and_then(|number| number.to_str()?.parse::<u32>().ok()))
    });
    let mut goes_on = true;
    let mut tell = |text: Text| {
        if let Text::Whole(text) = text
            && let Ok(object) = serde_json::from_slice::<Object>(&text)
        {
            goes_on = each(object);
        }
        goes_on
    };
    for path in legacy {
        let mut lines = segments::lines_of(&path)?;
        while let Some(text) = lines.next_text()? {
            if !tell(text) {
                return Ok(());
            }
        }
    }
    each_text(dir, |_, text| tell(text))
}

/// Proves the chain. `is_live`: somebody writes, so that the last line may be unfinished.
pub fn verify(dir: &Path, anchors: Option<Anchors>, checkpoints: Vec<Head>, is_live: bool) -> io::Result<Verdict> {
    let mut verifier = Verifier::new(anchors, checkpoints);
    segments::legacy(dir)?.iter().for_each(|_| verifier.unchained_file());
    let (files, mut current) = open(dir)?;
    for segment in files {
        verifier.file();
        let file = segment.name();
        let opened = if segment.first.is_none() { current.take().map(Ok) } else { Some(lines(&segment)) };
        let Some(opened) = opened else { continue };
        let mut line = 0_u64;
        let look = || -> io::Result<()> {
            let mut lines = opened?;
            while let Some(text) = lines.next_text()? {
                line += 1;
                let place = format!("{file}:{line}");
                match text {
                    Text::Whole(text) => verifier.line(&text, &place),
                    Text::Torn(_) if is_live => {}
                    Text::Torn(bytes) => verifier.torn(bytes, &place),
                }
            }
            Ok(())
        };
        if let Err(error) = look() {
            verifier.note("changed", None, &file, format!("it cannot be read: {error}"));
        }
    }
    Ok(verifier.finish(CURRENT))
}
