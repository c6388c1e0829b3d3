//! Saves what can be read from a damaged database into a new one: ledger, resolutions, documents. Best effort, row by row.
//!
//! The index (days, folders, legs) is not saved: the tenant has it. A resolution of which something is lost is forgotten as a whole, or
//! its files would be missing for ever; what the cache has of it then comes back by itself.
//!
//! Where a key is in force, only rows that it vouches for are saved.
//!
//! The damaged database may be of any version: a table is read by the columns that it has, and later ones keep their defaults.

use std::path::Path;

use rusqlite::{Connection, params_from_iter, types::Value};

use super::db::connection;
use super::error::CatalogError;
use super::inode::IS_DOCUMENT;
use super::rows::Rows;
use super::schema::{self, Found};

/// What was read of a table.
#[derive(Default)]
struct Copied {
    rows: usize,
    /// The first column of the last row that was read, where another row could not be.
    broken_after: Option<Value>,
}

/// Copies rows until one cannot be read, table by table. Returns how many were copied.
pub(super) fn copy(damaged: &Path, into: &mut Connection, genuine: &Rows) -> usize {
    let mut copied = 0;
    let mut files_from = None;
    for table in schema::WORTH_SALVAGING {
        let table_copied = copy_table(damaged, into, table, genuine).unwrap_or_else(|error| {
            tracing::debug!(table, %error, "nothing was salvaged from this table");
            Copied { rows: 0, broken_after: Some(Value::Integer(i64::MIN)) }
        });
        copied += table_copied.rows;
        if table == "files" {
            files_from = table_copied.broken_after;
        }
    }
    if let Err(error) = forget_incomplete(into, files_from) {
        tracing::warn!(%error, "what was salvaged of the damaged state database could not be checked: {error}");
    }
    copied
}

fn copy_table(damaged: &Path, into: &mut Connection, table: &str, genuine: &Rows) -> Result<Copied, CatalogError> {
    let from = connection::open_reader(damaged, genuine)?;
    match schema::identify(&from)? {
        // A newer one too: its columns of the same names say the same.
        Found::Ours(_) => {}
        Found::Empty | Found::Foreign => return Err(CatalogError::Damaged("not a database of this program")),
    }
    let columns = shared_columns(&from, into, table)?;
    if columns.is_empty() {
        return Ok(Copied::default());
    }
    let (names, marks) = (columns.join(", "), vec!["?"; columns.len()].join(", "));
    let condition = genuine.condition(table);
    let mut select = from.prepare(&format!("SELECT {names} FROM {table} WHERE {condition}"))?;
    let transaction = into.transaction()?;
    let mut copied = Copied::default();
    {
        let mut insert = transaction.prepare(&format!("INSERT OR IGNORE INTO {table}({names}) VALUES({marks})"))?;
        let mut rows = select.query([])?;
        let mut last = Value::Integer(i64::MIN);
        // The first unreadable row ends this table.
        loop {
            let values: Result<Option<Vec<Value>>, _> = rows
                .next()
                .and_then(|row| row.map(|row| (0..columns.len()).map(|column| row.get(column)).collect()).transpose());
            match values {
                Ok(Some(values)) => {
                    copied.rows += insert.execute(params_from_iter(&values)).unwrap_or(0);
                    last = values.into_iter().next().unwrap_or(Value::Null);
                }
                Ok(None) => break,
                Err(_) => {
                    copied.broken_after = Some(last);
                    break;
                }
            }
        }
    }
    if table == "interactions" {
        // Their folders are listed anew, and count themselves again.
        transaction.execute("UPDATE interactions SET places = 0", [])?;
    }
    transaction.commit()?;
    Ok(copied)
}

/// The columns of a table that both databases have, in the order of the damaged one: what a later version added has its default. None where
/// the damaged one, of an earlier version, has no such table.
fn shared_columns(from: &Connection, into: &Connection, table: &str) -> Result<Vec<String>, CatalogError> {
    let columns = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        statement.query_map([table], |row| row.get(0))?.collect()
    };
    let known = columns(into)?;
    Ok(columns(from)?.into_iter().filter(|column| known.contains(column)).collect())
}

/// Forgets the resolutions of which files or documents are missing; of those from `files_from` on (they come in order), any may be.
fn forget_incomplete(into: &mut Connection, files_from: Option<Value>) -> Result<(), CatalogError> {
    let transaction = into.transaction()?;
    transaction.execute(
        &format!(
            "UPDATE interactions SET resolved_at = NULL, recheck_at = NULL WHERE resolved_at IS NOT NULL AND (
                master_id >= ?1
                OR recheck_at IS NULL AND NOT EXISTS(SELECT 1 FROM files WHERE files.master_id = interactions.master_id)
                OR EXISTS(SELECT 1 FROM files WHERE files.master_id = interactions.master_id AND {IS_DOCUMENT}
                    AND NOT EXISTS(SELECT 1 FROM documents
                        WHERE documents.master_id = files.master_id AND documents.kind = files.kind)))"
        ),
        [files_from.unwrap_or(Value::Null)],
    )?;
    for table in ["files", "documents"] {
        let resolved = "SELECT master_id FROM interactions WHERE resolved_at IS NOT NULL";
        transaction.execute(&format!("DELETE FROM {table} WHERE master_id NOT IN ({resolved})"), [])?;
    }
    transaction.commit()?;
    Ok(())
}
