//! What commands read of a state directory that another process may hold, without its key.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

use super::error::CatalogError;
use super::rows::Rows;
use super::{ChainEnds, audit_chain, db};

const MASTERS: &str = "SELECT DISTINCT master_id FROM legs WHERE contact_id = ?1";

/// Where the chain of the audit log begins and ends; none where there is no database, or none that knows of a log.
pub fn read_audit_chain(dir: &Path) -> Result<Option<ChainEnds>, CatalogError> {
    with_table(dir, "audit_chain", audit_chain::get).map(Option::flatten)
}

/// The master contact ids that a number stands for: itself, and those of the interactions of which it is a contact's.
pub fn read_masters(dir: &Path, number: i64) -> Result<BTreeSet<i64>, CatalogError> {
    let found = with_table(dir, "legs", |connection| {
        let mut select = connection.prepare(MASTERS)?;
        let masters = select.query_map([number], |row| row.get(0))?.collect::<Result<BTreeSet<i64>, _>>()?;
        Ok(masters)
    })?;
    let mut masters = found.unwrap_or_default();
    masters.insert(number);
    Ok(masters)
}

fn with_table<T>(
    dir: &Path,
    table: &str,
    f: impl FnOnce(&Connection) -> Result<T, CatalogError>,
) -> Result<Option<T>, CatalogError> {
    let path = db::file_in(dir);
    if !path.exists() {
        return Ok(None);
    }
    let connection = db::connection::open_reader(&path, &Rows::of(None))?;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
    let tables: i64 = connection.query_row(tables, [table], |row| row.get(0))?;
    if tables == 0 { Ok(None) } else { f(&connection).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{catalog, record, time};
    use super::*;

    #[test]
    fn a_contact_leads_to_its_interaction() {
        let (catalog, dir) = catalog();
        let records = [record(5, 5, 7, "2026-11-02T15:00:00Z"), record(6, 5, 8, "2026-11-02T15:01:00Z")];
        catalog.record_day("2026-11-02".parse().unwrap(), &records, time("2026-11-05T12:00:00Z"), true, None).unwrap();
        assert_eq!(read_masters(dir.path(), 6).unwrap(), BTreeSet::from([5, 6]));
        assert_eq!(read_masters(dir.path(), 7).unwrap(), BTreeSet::from([7]));
        assert_eq!(read_masters(Path::new("/nonexistent"), 7).unwrap(), BTreeSet::from([7]));
    }
}
