//! Small facts that outlive the process, by name: learned limits and the like.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::CatalogError;
use super::handle::Catalog;

pub(super) const GET: &str = "SELECT value FROM facts WHERE key = ?1";
const SET: &str = "INSERT INTO facts(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = excluded.value";

impl Catalog {
    /// The fact last set under `key`.
    pub fn fact(&self, key: &str) -> Result<Option<String>, CatalogError> {
        self.inner.db.read(|connection| get(connection, key))
    }

    /// Sets a fact; on disk when this returns.
    pub fn set_fact(&self, key: &str, value: &str) -> Result<(), CatalogError> {
        self.inner.db.write(|transaction| set(transaction, key, value))
    }
}

pub(super) fn get(connection: &Connection, key: &str) -> Result<Option<String>, CatalogError> {
    Ok(connection.prepare_cached(GET)?.query_row([key], |row| row.get(0)).optional()?)
}

pub(super) fn clear(connection: &Connection, key: &str) -> Result<(), CatalogError> {
    connection.prepare_cached("DELETE FROM facts WHERE key = ?1")?.execute([key])?;
    Ok(())
}

pub(super) fn set(connection: &Connection, key: &str, value: &str) -> Result<(), CatalogError> {
    connection.prepare_cached(SET)?.execute(params![key, value])?;
    Ok(())
}
