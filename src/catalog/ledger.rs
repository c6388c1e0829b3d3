//! The ledger: one row per billed call, on disk before the call is made.
//!
//! A row without an outcome is a call during which the process ended: it counts as billed, because it may have been.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::convert::{from_time, to_time, to_unsigned};
use super::db;
use super::error::CatalogError;
use super::handle::Catalog;
use super::model::{ERASED_COMM, ERASED_UID};
use super::model::{LedgerEntry, LedgerId, LedgerRow};
use super::rows::Rows;
use crate::base::MasterId;

const BEGIN: &str = "INSERT INTO ledger(at, master_id, reason, uid, pid, comm) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
const FINISH: &str = "UPDATE ledger SET outcome = ?2 WHERE id = ?1";
pub(super) const TIMES: &str = "SELECT at FROM ledger WHERE at >= ?1 AND coalesce(outcome, '') <> 'unsent' ORDER BY at";
// What was refused for the rate, and what never left this machine, was not billed. No outcome: it may have been.
pub(super) const COUNT: &str = "SELECT count(*) FROM ledger WHERE at >= ?1 AND coalesce(outcome, '') NOT IN ('throttled', 'token ended', 'unsent')";
const COUNT_OF_USER: &str = "SELECT count(*) FROM ledger WHERE at >= ?1 AND uid = ?2 AND coalesce(outcome, '') NOT IN ('throttled', 'token ended', 'unsent')";
pub(super) const ROWS: &str =
    "SELECT id, at, master_id, reason, uid, pid, comm, outcome FROM ledger WHERE at >= ?1 ORDER BY at, id";

impl Catalog {
    /// Writes a row for a call that is about to be made; on disk when this returns.
    pub fn ledger_begin(&self, entry: &LedgerEntry) -> Result<LedgerId, CatalogError> {
        let rows = self.ledger_begin_all([entry])?;
        rows.into_iter().next().ok_or(CatalogError::Refused("the ledger took no row"))
    }

    /// As [`Catalog::ledger_begin`] for several calls, with one flush of the disk.
    pub fn ledger_begin_all<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a LedgerEntry>,
    ) -> Result<Vec<LedgerId>, CatalogError> {
        self.inner.db.write(|transaction| {
            let mut begin = transaction.prepare_cached(BEGIN)?;
            let marks = self.inner.marks.snapshot();
            let mut rows = Vec::new();
            for entry in entries {
                // Erased since it was asked for: the call counts; the caller is not recorded.
                let (master, uid, pid, comm) = if marks.has(entry.master_id.0) {
                    (0, ERASED_UID, 0, ERASED_COMM)
                } else {
                    (entry.master_id.0, entry.uid, entry.pid, entry.comm.as_str())
                };
                begin.execute(params![from_time(entry.at), master, entry.reason.word(), uid, pid, comm])?;
                rows.push(LedgerId(transaction.last_insert_rowid()));
            }
            Ok(rows)
        })
    }

    /// Adds what came of the call, in a word or two.
    pub fn ledger_finish(&self, id: LedgerId, outcome: &str) -> Result<(), CatalogError> {
        self.inner.db.write(|transaction| {
            let rows = transaction.prepare_cached(FINISH)?.execute(params![id.0, outcome])?;
            if rows == 1 { Ok(()) } else { Err(CatalogError::Refused("the ledger has no such row")) }
        })
    }

    /// When calls were made since `since` (inclusive), oldest first: all that the tenant may have counted.
    pub fn ledger_times(&self, since: Timestamp) -> Result<Vec<Timestamp>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(TIMES)?;
            let mut rows = statement.query([from_time(since)])?;
            let mut times = Vec::new();
            while let Some(row) = rows.next()? {
                times.push(to_time(row.get(0)?)?);
            }
            Ok(times)
        })
    }

    /// How many billed calls were made since `since` (inclusive): not those that the tenant refused for their rate, nor those that never
    /// left this machine.
    pub fn ledger_count(&self, since: Timestamp) -> Result<u64, CatalogError> {
        self.inner.db.read(|connection| {
            to_unsigned(connection.prepare_cached(COUNT)?.query_row([from_time(since)], |row| row.get(0))?)
        })
    }

    /// The same of one user.
    pub fn ledger_count_of(&self, since: Timestamp, uid: u32) -> Result<u64, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(COUNT_OF_USER)?;
            to_unsigned(statement.query_row(rusqlite::params![from_time(since), uid], |row| row.get(0))?)
        })
    }

    /// Calls `each` with every row since `since` (inclusive), oldest first; nothing is held in memory.
    pub fn ledger_rows(&self, since: Timestamp, each: impl FnMut(LedgerRow)) -> Result<(), CatalogError> {
        self.inner.db.read(|connection| rows(connection, since, each))
    }
}

/// The ledger alone, read-only: for commands that look while a daemon holds the state directory.
pub struct LedgerReader {
    connection: Connection,
}

impl LedgerReader {
    /// Opens the ledger of a state directory. Fails if there is no database yet.
    pub fn open(dir: &Path) -> Result<LedgerReader, CatalogError> {
        Ok(LedgerReader { connection: db::connection::open_reader(&db::file_in(dir), &Rows::of(None))? })
    }

    /// As [`Catalog::ledger_rows`].
    pub fn rows(&self, since: Timestamp, each: impl FnMut(LedgerRow)) -> Result<(), CatalogError> {
        rows(&self.connection, since, each)
    }
}

fn rows(connection: &Connection, since: Timestamp, mut each: impl FnMut(LedgerRow)) -> Result<(), CatalogError> {
    let mut statement = connection.prepare_cached(ROWS)?;
    let mut rows = statement.query([from_time(since)])?;
    while let Some(row) = rows.next()? {
        each(LedgerRow {
            id: LedgerId(row.get(0)?),
            at: to_time(row.get(1)?)?,
            master_id: MasterId(row.get(2)?),
            reason: row.get(3)?,
            uid: row.get(4)?,
            pid: row.get(5)?,
            comm: row.get(6)?,
            outcome: row.get(7)?,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
