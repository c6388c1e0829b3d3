//! Certificates of erasure: who had what erased, when and why. The requester gets the contact ids; the copy in the state directory names
//! contacts by their marks alone, or it would keep what was to be erased.
//!
//! A certificate is noted before anything is erased, with what there is to erase. Should the erasure be killed, it is finished by the one that is asked for
//! again: what is gone by then can no longer be counted.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{privacy, redact};

/// Where they are kept, in the state directory.
const FOLDER: &str = "certificates";
/// How the name of one ends whose erasure has not ended.
const UNFINISHED: &str = "unfinished";
/// What erasing does not reach.
const NOT_REACHED: [&str; 4] = [
    "the tenant itself",
    "copies that programs and backups made",
    "the system's journal and syslog, and exported audit lines",
    "pages of files in the kernel's memory, and bytes that a program reads by passthrough, until it closes the file",
];

/// One erasure. Field names are part of what users see; fields may be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Tells it from others.
    pub certificate: String,
    pub program: String,
    /// The machine on which it was erased.
    pub host: String,
    pub tenant: Option<String>,
    pub requested_by: Requester,
    pub reason: Option<String>,
    /// When it began and ended (ISO 8601, UTC).
    pub begun_at: String,
    pub finished_at: String,
    /// `contacts` or `everything`.
    pub scope: String,
    /// Master contact ids and contact ids as they were asked for. Not in the kept copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contacts: Option<Vec<i64>>,
    /// The marks of the ids as they were asked for: only a request that covers all of them goes on with an erasure that was killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requested: Vec<String>,
    /// What stays of the contacts: keyed hashes by which a later listing is recognised.
    pub marks: Vec<String>,
    pub erased: Erased,
    pub not_reached: Vec<String>,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    pub uid: u32,
    pub name: Option<String>,
}

/// How much was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    pub interactions: u64,
    pub folders: u64,
    pub recordings: u64,
    pub recording_bytes: u64,
    pub documents: u64,
    pub document_bytes: u64,
    /// SHA-256 of recordings.
    pub hashes: u64,
    /// Rows of the ledger that forgot for whom and by whom.
    pub ledger_rows: u64,
    pub log_lines: u64,
}

impl Erased {
    /// Both, number by number.
    fn with(self, other: Erased, both: impl Fn(u64, u64) -> u64) -> Erased {
        Erased {
            interactions: both(self.interactions, other.interactions),
            folders: both(self.folders, other.folders),
            recordings: both(self.recordings, other.recordings),
            recording_bytes: both(self.recording_bytes, other.recording_bytes),
            documents: both(self.documents, other.documents),
            document_bytes: both(self.document_bytes, other.document_bytes),
            hashes: both(self.hashes, other.hashes),
            ledger_rows: both(self.ledger_rows, other.ledger_rows),
            log_lines: both(self.log_lines, other.log_lines),
        }
    }
}

impl Certificate {
    /// Goes on with an erasure that was killed. `left`: how much of what this one counted is of the interactions that the killed one counted.
    pub fn go_on(&mut self, before: &Certificate, left: Erased) {
        self.certificate.clone_from(&before.certificate);
        if before.begun_at < self.begun_at {
            self.begun_at.clone_from(&before.begun_at);
        }
        self.reason = self.reason.take().or_else(|| before.reason.clone());
        for mark in &before.marks {
            if !self.marks.contains(mark) {
                self.marks.push(mark.clone());
            }
        }
        // What is left was counted by both; what is gone by the killed one alone.
        let further = self.erased.with(left, u64::saturating_sub);
        self.erased = further.with(before.erased.with(left, u64::max), |further, before| further + before);
    }

    /// What no erasure reaches.
    #[must_use]
    pub fn not_reached() -> Vec<String> {
        NOT_REACHED.map(String::from).to_vec()
    }

    /// The copy that is kept: it names no contact. `numbers`: all of theirs, should the reason have any.
    #[must_use]
    pub fn nameless(&self, numbers: &[String]) -> Certificate {
        let mut numbers: Vec<&String> = numbers.iter().collect();
        // The longest first: a number may be a part of another.
        numbers.sort_by_key(|number| std::cmp::Reverse(number.len()));
        let without =
            |reason: String| numbers.iter().fold(reason, |text, number| redact::without(&text, number, "(contact)"));
        Certificate { contacts: None, reason: self.reason.clone().map(without), ..self.clone() }
    }
}

/// Notes what is about to be erased; on disk when this returns.
pub fn begin(state_dir: &Path, certificate: &Certificate) -> io::Result<()> {
    write(state_dir, certificate, UNFINISHED).map(drop)
}

/// Erasures that have not ended. What is no certificate is left out.
pub fn unfinished(state_dir: &Path) -> io::Result<Vec<Certificate>> {
    let entries = match std::fs::read_dir(state_dir.join(FOLDER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == UNFINISHED) {
            found.extend(serde_json::from_slice::<Certificate>(&std::fs::read(path)?).ok());
        }
    }
    found.sort_by(|one, other| one.certificate.cmp(&other.certificate));
    Ok(found)
}

/// Keeps a certificate in a state directory (0600), in place of its note and of those that it went on with; on disk when this returns. Its path.
pub fn keep(state_dir: &Path, certificate: &Certificate, went_on: &[Certificate]) -> io::Result<PathBuf> {
    let path = write(state_dir, certificate, "json")?;
    for note in std::iter::once(certificate).chain(went_on) {
        let note = place(state_dir, note, UNFINISHED);
        match std::fs::remove_file(&note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(path)
}

fn place(state_dir: &Path, certificate: &Certificate, ending: &str) -> PathBuf {
    // It may have been read from a file.
    let name: String =
        certificate.certificate.chars().filter(|char| char.is_ascii_alphanumeric() || *char == '-').collect();
    state_dir.join(FOLDER).join(format!("{name}.{ending}"))
}

fn write(state_dir: &Path, certificate: &Certificate, ending: &str) -> io::Result<PathBuf> {
    let folder = state_dir.join(FOLDER);
    privacy::private_dir(&folder).map_err(io::Error::other)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    serde_json::to_writer_pretty(&mut file, certificate)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    let path = place(state_dir, certificate, ending);
    file.persist(&path).map_err(|error| error.error)?;
    std::fs::File::open(&folder)?.sync_all()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn certificate() -> Certificate {
        Certificate {
            certificate: "20261105T120000Z-1a2b".into(),
            program: "cxonefs 0.1.0".into(),
            host: "h".into(),
            tenant: None,
            requested_by: Requester { uid: 7, name: Some("anna".into()) },
            reason: Some("request 9 of contact 701000000122".into()),
            begun_at: "2026-11-05T12:00:00Z".into(),
            finished_at: "2026-11-05T12:00:01Z".into(),
            scope: "contacts".into(),
            contacts: Some(vec![701_000_000_122]),
            requested: vec!["ab".into()],
            marks: vec!["ab".into()],
            erased: Erased { recordings: 2, folders: 1, ..Erased::default() },
            not_reached: Certificate::not_reached(),
        }
    }

    #[test]
    fn one_that_was_begun_is_gone_on_with_and_counts_what_went_before() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(unfinished(dir.path()).unwrap(), []);
        let begun = certificate();
        begin(dir.path(), &begun).unwrap();
        assert_eq!(unfinished(dir.path()).unwrap(), std::slice::from_ref(&begun));
        let again = Certificate {
            certificate: "20261105T130000Z-2".into(),
            begun_at: "2026-11-05T13:00:00Z".into(),
            reason: None,
            marks: vec!["cd".into()],
            erased: Erased { recordings: 1, folders: 1, ..Erased::default() },
            ..certificate()
        };
        let half = Erased { recordings: 1, ..Erased::default() };
        for (left, recordings, folders) in [(again.erased, 2, 1), (half, 2, 2), (Erased::default(), 3, 2)] {
            let mut again = again.clone();
            again.go_on(&begun, left);
            assert_eq!((again.erased.recordings, again.erased.folders), (recordings, folders));
            assert_eq!(
                (&again.certificate, &again.begun_at, &again.reason),
                (&begun.certificate, &begun.begun_at, &begun.reason)
            );
            assert_eq!(again.marks, ["cd", "ab"]);
            keep(dir.path(), &again, &[]).unwrap();
        }
        assert_eq!(unfinished(dir.path()).unwrap(), []);
        assert_eq!(std::fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 1);
    }

    #[test]
    fn the_kept_copy_names_no_contact() {
        let certificate = certificate();
        let dir = tempfile::tempdir().unwrap();
        let path = keep(dir.path(), &certificate.nameless(&[String::from("701000000122")]), &[]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("701000000122") && text.contains("request 9 of contact (contact)"), "{text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let kept: Certificate = serde_json::from_str(&text).unwrap();
        assert_eq!((kept.marks, kept.contacts), (certificate.marks, None));
    }
}
