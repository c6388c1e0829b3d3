//! Evidence: SHA-256 of recordings that were here as a whole, for ever, also when their bytes are gone. One row for each version of a recording.
//! Knows no bytes: it is told what they hash to.

use std::fmt::Write as _;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::convert::{from_time, from_unsigned, to_time, to_unsigned};
use super::error::CatalogError;
use super::handle::Catalog;
use super::inode::{kind_code, kind_from_code};
use super::kind::FileKind;
use super::known::check_known;
use super::rows::genuine;
use crate::base::MasterId;

const PUT: &str = "INSERT OR IGNORE INTO evidence(master_id, recording, sha256, size, validator, host, at)
    VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const OF_VERSION: &str = concat!(
    "SELECT master_id, recording, sha256, size, validator, host, at FROM evidence
    WHERE master_id = ?1 AND recording = ?2 AND size = ?3 AND validator = ?4 AND ",
    genuine!(evidence ""),
    " ORDER BY id LIMIT 1"
);
/// What is known of the version that the catalog has now, of every recording.
const CURRENT: &str = concat!(
    "SELECT e.master_id, e.recording, e.sha256, e.size, e.validator, e.host, e.at FROM evidence e
    JOIN files f ON f.master_id = e.master_id AND f.kind = e.recording + ?1 AND f.size = e.size AND f.validator = e.validator
    WHERE ",
    genuine!(evidence "e."),
    " ORDER BY e.id"
);
const MISSING: &str =
    "SELECT f.master_id, f.kind, f.size, f.validator FROM files f WHERE f.kind >= ?1 AND f.size IS NOT NULL
    AND NOT EXISTS(SELECT 1 FROM evidence e WHERE e.master_id = f.master_id AND e.recording = f.kind - ?1
        AND e.size = f.size AND e.validator = f.validator) ORDER BY f.master_id, f.kind";

/// What one version of a recording hashed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub master: MasterId,
    /// Which recording of the interaction.
    pub recording: u8,
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
    /// As the media host sent it.
    pub validator: String,
    /// The machine on which the bytes were.
    pub host: String,
    /// When they were hashed.
    pub at: Timestamp,
}

impl Evidence {
    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.sha256.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl Catalog {
    /// Keeps what a version of a recording hashed to; on disk when this returns. What was kept of it first stays. Refuses an interaction that no
    /// listing told of: everything may have been erased while the recording was hashed.
    pub fn put_evidence(&self, evidence: &Evidence) -> Result<(), CatalogError> {
        self.inner.db.write(|transaction| {
            self.inner.marks.snapshot().check(evidence.master)?;
            check_known(transaction, evidence.master)?;
            transaction.prepare_cached(PUT)?.execute(params![
                evidence.master.0,
                evidence.recording,
                evidence.sha256,
                from_unsigned(evidence.size)?,
                evidence.validator,
                evidence.host,
                from_time(evidence.at),
            ])?;
            Ok(())
        })
    }

    /// What this version of a recording hashed to, if all of it was here once.
    pub fn evidence(
        &self,
        master: MasterId,
        recording: u8,
        size: u64,
        validator: &str,
    ) -> Result<Option<Evidence>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut select = connection.prepare_cached(OF_VERSION)?;
            let mut rows = select.query(params![master.0, recording, from_unsigned(size)?, validator])?;
            rows.next()?.map(read).transpose()
        })
    }

    /// What is known of the present versions of all recordings, oldest first.
    pub fn current_evidence(&self) -> Result<Vec<Evidence>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut select = connection.prepare_cached(CURRENT)?;
            let mut rows = select.query([first_recording()])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(read(row)?);
            }
            Ok(found)
        })
    }

    /// Recordings of known size whose present version was never hashed: interaction, which of it, size, validator.
    pub fn without_evidence(&self) -> Result<Vec<(MasterId, u8, u64, String)>, CatalogError> {
        self.inner.db.read(without)
    }
}

fn without(connection: &Connection) -> Result<Vec<(MasterId, u8, u64, String)>, CatalogError> {
    let mut select = connection.prepare_cached(MISSING)?;
    let mut rows = select.query([first_recording()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(FileKind::Recording(index)) = kind_from_code(row.get(1)?) {
            found.push((MasterId(row.get(0)?), index, to_unsigned(row.get(2)?)?, row.get(3)?));
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<Evidence, CatalogError> {
    Ok(Evidence {
        master: MasterId(row.get(0)?),
        recording: row.get(1)?,
        sha256: row.get(2)?,
        size: to_unsigned(row.get(3)?)?,
        validator: row.get(4)?,
        host: row.get(5)?,
        at: to_time(row.get(6)?)?,
    })
}

fn first_recording() -> i64 {
    i64::from(kind_code(FileKind::Recording(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::{catalog, record, time};
    use crate::catalog::{NewResolution, ResolvedFile};

    #[test]
    fn each_version_keeps_its_hash_and_the_present_one_is_found() {
        let (catalog, _dir) = catalog();
        let now = time("2026-11-05T12:00:00Z");
        let master = MasterId(5);
        let records = [record(5, 5, 7, "2026-11-02T15:00:00Z")];
        catalog.record_day("2026-11-02".parse().unwrap(), &records, now, true, None).unwrap();
        let file = |validator: &str| ResolvedFile {
            kind: FileKind::Recording(0),
            name: "recording.mp4".into(),
            size: Some(10),
            validator: validator.to_owned(),
        };
        let resolution = |validator| NewResolution { files: vec![(file(validator), None)], recheck_at: None };
        let evidence = |validator: &str, byte| Evidence {
            master,
            recording: 0,
            sha256: [byte; 32],
            size: 10,
            validator: validator.to_owned(),
            host: String::from("h"),
            at: now,
        };
        catalog.store_resolution(master, &resolution("a"), now).unwrap();
        assert_eq!(catalog.without_evidence().unwrap(), [(master, 0, 10, String::from("a"))]);
        catalog.put_evidence(&evidence("a", 1)).unwrap();
        assert_eq!(catalog.without_evidence().unwrap(), []);
        catalog.set_recording_version(master, 0, 10, "b").unwrap();
        assert_eq!(catalog.current_evidence().unwrap(), []);
        catalog.put_evidence(&evidence("b", 2)).unwrap();
        assert_eq!(catalog.current_evidence().unwrap(), [evidence("b", 2)]);
        assert_eq!(catalog.evidence(master, 0, 10, "a").unwrap(), Some(evidence("a", 1)), "the old one stays");
        assert_eq!(catalog.evidence(master, 0, 10, "c").unwrap(), None);
        catalog.erase(&[master], now).unwrap();
        assert_eq!(catalog.evidence(master, 0, 10, "a").unwrap(), None);
        assert!(catalog.put_evidence(&evidence("a", 1)).is_err());
    }
}
