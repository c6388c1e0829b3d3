//! Certificates of erasure: who had what erased, when and why. The requester gets the contact ids; the copy in the state directory names
//! contacts by their marks alone, or it would keep what was to be erased.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::privacy;

/// Where they are kept, in the state directory.
const FOLDER: &str = "certificates";
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

impl Certificate {
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
        let without = |reason: String| numbers.iter().fold(reason, |text, number| text.replace(*number, "(contact)"));
        Certificate { contacts: None, reason: self.reason.clone().map(without), ..self.clone() }
    }
}

/// Keeps a certificate in a state directory (0600); on disk when this returns. Its path.
pub fn keep(state_dir: &Path, certificate: &Certificate) -> io::Result<PathBuf> {
    let folder = state_dir.join(FOLDER);
    privacy::private_dir(&folder).map_err(io::Error::other)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    serde_json::to_writer_pretty(&mut file, certificate)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    let path = folder.join(format!("{}.json", certificate.certificate));
    file.persist(&path).map_err(|error| error.error)?;
    std::fs::File::open(&folder)?.sync_all()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_kept_copy_names_no_contact() {
        let certificate = Certificate {
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
            marks: vec!["ab".into()],
            erased: Erased::default(),
            not_reached: Certificate::not_reached(),
        };
        let dir = tempfile::tempdir().unwrap();
        let path = keep(dir.path(), &certificate.nameless(&[String::from("701000000122")])).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("701000000122") && text.contains("request 9 of contact (contact)"), "{text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let kept: Certificate = serde_json::from_str(&text).unwrap();
        assert_eq!((kept.marks, kept.contacts), (certificate.marks, None));
    }
}
