//! Where the chain of the audit log begins and ends: kept apart from the log, so that lines cut off at either end show.
//!
//! Knows numbers and hashes, and no line.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::CatalogError;
use super::handle::Catalog;

const GET: &str = "SELECT start_number, start_hash, head_number, head_hash FROM audit_chain";
const SET_HEAD: &str =
    "INSERT INTO audit_chain(id, start_number, start_hash, head_number, head_hash) VALUES(1, 0, zeroblob(32), ?1, ?2)
    ON CONFLICT(id) DO UPDATE SET head_number = excluded.head_number, head_hash = excluded.head_hash";
const SET_START: &str = "UPDATE audit_chain SET start_number = ?1, start_hash = ?2";

/// A line's number and hash.
pub type ChainPlace = (u64, [u8; 32]);

/// The last line that is gone by age, and the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainEnds {
    pub start: ChainPlace,
    pub head: ChainPlace,
}

impl Catalog {
    /// What is known of the audit log's chain; none if there never was one.
    pub fn audit_chain(&self) -> Result<Option<ChainEnds>, CatalogError> {
        self.inner.db.read(get)
    }

    /// Notes the last line. It outlives this process at once, and a loss of power with the next commit: this happens several times a second,
    /// and nothing that is cached depends on it.
    pub fn note_audit_head(&self, (number, hash): ChainPlace) -> Result<(), CatalogError> {
        self.inner.db.write_loosely(|writer| {
            writer.prepare_cached(SET_HEAD)?.execute(params![number as i64, hash])?;
            Ok(())
        })
    }

    /// Notes the last line that is gone by age; on disk when this returns.
    pub fn note_audit_start(&self, (number, hash): ChainPlace) -> Result<(), CatalogError> {
        self.inner.db.write(|transaction| {
            transaction.prepare_cached(SET_START)?.execute(params![number as i64, hash])?;
            Ok(())
        })
    }
}

pub(super) fn get(connection: &Connection) -> Result<Option<ChainEnds>, CatalogError> {
    let row = connection.prepare_cached(GET)?.query_row([], |row| {
        let number = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
        Ok(ChainEnds { start: (number(0)?, row.get(1)?), head: (number(2)?, row.get(3)?) })
    });
    Ok(row.optional()?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{read_audit_chain, testing};
    use super::*;

    #[test]
    fn both_ends_are_kept_and_read_from_beside() {
        let (catalog, dir) = testing::catalog();
        assert_eq!(catalog.audit_chain().unwrap(), None);
        assert_eq!(read_audit_chain(dir.path()).unwrap(), None);
        let generation = catalog.inner.db.generation();
        catalog.note_audit_head((7, [7; 32])).unwrap();
        catalog.note_audit_start((3, [3; 32])).unwrap();
        catalog.note_audit_head((9, [9; 32])).unwrap();
        let ends = ChainEnds { start: (3, [3; 32]), head: (9, [9; 32]) };
        assert_eq!(catalog.audit_chain().unwrap(), Some(ends));
        assert_eq!(read_audit_chain(dir.path()).unwrap(), Some(ends));
        assert_eq!(catalog.inner.db.generation(), generation + 1, "the head makes nothing that is cached stale");
        assert_eq!(read_audit_chain(Path::new("/nonexistent")).unwrap(), None);
    }
}
