//! A private file that is appended to in whole lines and rotated by size: `name`, `name.1` (newest) … `name.N`.
//!
//! Knows nothing of what the lines say. No fsync: a log may lose its last lines when the machine fails.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::privacy::{self, PrivacyError};

/// How large a file may grow, and how many older ones are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes; a line longer than this still is written whole.
    pub size_max: u64,
    pub keep: u32,
}

impl Rotation {
    /// 10 MiB × 5, the present file included.
    pub const LOG: Rotation = Rotation { size_max: 10 << 20, keep: 4 };
}

/// The file.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
}

impl RotatingFile {
    /// Opens or creates it, mode 0600.
    pub fn open(path: &Path, rotation: Rotation) -> Result<RotatingFile, PrivacyError> {
        let file = privacy::private_append(path)?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(RotatingFile { path: path.to_owned(), rotation, file, size })
    }

    /// Appends one line, which must end with its newline, in a single write; rotates first if it would not fit.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + line.len() as u64 > self.rotation.size_max {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.rotation.keep).rev() {
            rename_if_there(&self.numbered(number), &self.numbered(number + 1))?;
        }
        if self.rotation.keep == 0 {
            std::fs::remove_file(&self.path)?;
        } else {
            rename_if_there(&self.path, &self.numbered(1))?;
        }
        self.file = privacy::private_append(&self.path).map_err(io::Error::other)?;
        self.size = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let rotation = Rotation { size_max: 30, keep: 2 };
        for number in 0..10 {
            // Reopened every time: what is there counts.
            RotatingFile::open(&path, rotation).unwrap().append(format!("line {number:04}\n").as_bytes()).unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["audit.log", "audit.log.1", "audit.log.2"]);
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let all = read("audit.log.2") + &read("audit.log.1") + &read("audit.log");
        let expected: Vec<String> = (3..10).map(|number| format!("line {number:04}")).collect();
        assert_eq!(all.lines().collect::<Vec<_>>(), expected);
        assert!(names.iter().all(|name| std::fs::metadata(dir.path().join(name)).unwrap().len() <= 30));
    }

    #[test]
    fn a_long_line_is_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = RotatingFile::open(&path, Rotation { size_max: 4, keep: 0 }).unwrap();
        file.append(b"0123456789\n").unwrap();
        file.append(b"x\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x\n");
    }
}
