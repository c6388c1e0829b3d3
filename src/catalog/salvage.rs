//! Saves what can be read from a damaged database into a new one: ledger, resolutions, documents. Best effort, row by row.
//!
//! The index (days, folders, legs) is not saved: the tenant has it.

use std::path::Path;

use rusqlite::{Connection, params_from_iter, types::Value};

use super::db;
use super::error::CatalogError;
use super::schema::{self, Found};

/// Copies rows until one cannot be read, table by table. Returns how many were copied.
pub(super) fn copy(damaged: &Path, into: &mut Connection) -> usize {
    let mut copied = 0;
    for table in schema::WORTH_SALVAGING {
        match copy_table(damaged, into, table) {
            Ok(rows) => copied += rows,
            Err(error) => tracing::debug!(table, %error, "nothing was salvaged from this table"),
        }
    }
    copied
}

fn copy_table(damaged: &Path, into: &mut Connection, table: &str) -> Result<usize, CatalogError> {
    let from = db::open_reader(damaged)?;
    if schema::identify(&from)? != Found::Ours(schema::VERSION) {
        return Err(CatalogError::Damaged("not a database of this version"));
    }
    let mut select = from.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = select.column_count();
    let marks = vec!["?"; columns].join(", ");
    let transaction = into.transaction()?;
    let mut copied = 0;
    {
        let mut insert = transaction.prepare(&format!("INSERT OR IGNORE INTO {table} VALUES({marks})"))?;
        let mut rows = select.query([])?;
        // The first unreadable row ends this table.
        while let Ok(Some(row)) = rows.next() {
            let values: Result<Vec<Value>, _> = (0..columns).map(|column| row.get(column)).collect();
            let Ok(values) = values else { break };
            copied += insert.execute(params_from_iter(values)).unwrap_or(0);
        }
    }
    if table == "interactions" {
        // Their folders are listed anew, and count themselves again.
        transaction.execute("UPDATE interactions SET places = 0", [])?;
    }
    transaction.commit()?;
    Ok(copied)
}
