//! Connections to the database file, and what each is told before its first statement.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::catalog::error::CatalogError;
use crate::catalog::rows::Rows;
use crate::catalog::schema::{self, Found};
use crate::catalog::{memory, statedir};

/// Stands beside the database after SQLite called it damaged in use; the next opening then checks all of it.
pub(super) const SUSPECT_SUFFIX: &str = ".suspect";

/// Pages that a reader may keep.
pub(super) const READER_CACHE_KIB: i64 = 1024;
/// Enough for the inner pages of every index that a day's recording touches.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// The WAL is cut back to this after a large day.
const WAL_BYTES: i64 = 16 << 20;
/// Only another process (an `sqlite3` shell) can make us wait for a lock.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// The one connection that writes; brings the schema up to date.
pub(in crate::catalog) fn open_writer(path: &Path, rows: &Rows) -> Result<Connection, CatalogError> {
    // Created here and not by SQLite, for its mode and against links.
    drop(statedir::private_file(path)?);
    connect_writer(path, rows)
}

/// The same for a file that is there, and may be open: it is opened and closed by SQLite alone.
pub(super) fn connect_writer(path: &Path, rows: &Rows) -> Result<Connection, CatalogError> {
    memory::wipe_what_is_freed();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(canonical(path)?, flags)?;
    connection.busy_timeout(BUSY)?;
    let version = match schema::identify(&connection)? {
        Found::Empty => 0,
        Found::Ours(found) if found > schema::VERSION => {
            // Not moved aside: it is sound, and what is in it was paid for.
            return Err(CatalogError::Newer { path: path.to_owned(), found, known: schema::VERSION });
        }
        Found::Ours(found) => found,
        Found::Foreign => return Err(CatalogError::Damaged("it was written by another program")),
    };
    let suspect = statedir::with_suffix(path, SUSPECT_SUFFIX);
    if suspect.exists() {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(CatalogError::Damaged("its pages contradict each other"));
        }
        std::fs::remove_file(&suspect).map_err(CatalogError::io("remove", suspect))?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    // Intermediate results may hold what must not be written anywhere.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    keep_plans(&connection)?;
    // What is erased must not linger in free pages.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.set_prepared_statement_cache_capacity(64);
    // Nothing that stands in the file may call our functions.
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    rows.register(&connection)?;
    schema::migrate(&mut connection, version)?;
    rows.keep(&connection)?;
    Ok(connection)
}

/// A read-only connection; also serves commands that look while a daemon runs.
pub(in crate::catalog) fn open_reader(path: &Path, rows: &Rows) -> Result<Connection, CatalogError> {
    memory::wipe_what_is_freed();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(canonical(path)?, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    keep_plans(&connection)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    rows.register(&connection)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// A prepared statement keeps its plan whatever it is given. Without this SQLite (with `STAT4`) plans a statement anew each time that a
/// parameter has another value, which takes several times as long as running it.
fn keep_plans(connection: &Connection) -> Result<(), CatalogError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// SQLite's NOFOLLOW refuses links anywhere in the path; only the file itself must not be one.
fn canonical(path: &Path) -> Result<PathBuf, CatalogError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(CatalogError::NotA { path: path.to_owned(), expected: "file" });
    };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    Ok(dir.canonicalize().map_err(CatalogError::io("find", dir))?.join(name))
}
