//! Keyed checksums of rows whose columns are readable: nobody without the key can write a row that is read, or move a value to another one.
//!
//! Where a key is in force, every row of [`COVERED`] has an HMAC over its table's name and the named columns. Temporary triggers of the
//! writer's connection keep it, so that no statement can forget to; they refuse to change a row that was not genuine before, or the
//! change would vouch for it. Statements that read for the tree call `row_ok`, which fails where the checksum does; small tables are checked as a
//! whole when the database is opened.
//!
//! Of a table of which a missing row does harm (a hold, a mark of an erased contact, a fact), a seal covers the checksums of all rows in their order.
//! It is written with each transaction that changed the table.
//!
//! Not noticed: that rows of the other tables are missing, and that a row or a whole table stands as it once stood. Knows no key file and no
//! meaning of a column.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;
use ring::hmac;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};

use super::error::{CatalogError, NOT_GENUINE};
use crate::base::crypt::MasterKey;
use crate::base::locked::Locked;
use crate::base::{AgentId, Day};

/// Bytes of a checksum that are stored.
const MAC_LEN: usize = 16;
/// So many of the latest rows of the ledger are checked at start: more than any window or day of calls.
const LEDGER_ROWS: i64 = 100_000;

const CHANGED: &str = "SELECT name FROM temp.unsealed";
const ALL_SEALED: &str = "DELETE FROM temp.unsealed";
const PUT_SEAL: &str = "INSERT OR REPLACE INTO seals(name, mac) VALUES(?1, ?2)";
const SEAL: &str = "SELECT mac FROM seals WHERE name = ?1";

/// A table whose rows have checksums.
pub(super) struct Covered {
    pub table: &'static str,
    /// What names a row.
    key: &'static [&'static str],
    /// What the checksum covers, the key among it. A column with a slash is a sealed value: the first bytes of it, its nonce and tag, stand for it.
    columns: &'static [&'static str],
    /// Checked as a whole when the database is opened.
    at_start: bool,
    /// Whether a missing row is noticed, too. Checked as a whole when the database is opened.
    is_sealed: bool,
}

impl Covered {
    /// For tables whose rows are checked one by one when they are read.
    const fn read_by_row(
        table: &'static str,
        key: &'static [&'static str],
        columns: &'static [&'static str],
    ) -> Covered {
        Covered { table, key, columns, at_start: false, is_sealed: false }
    }

    const fn small(table: &'static str, key: &'static [&'static str], columns: &'static [&'static str]) -> Covered {
        Covered { at_start: true, ..Covered::read_by_row(table, key, columns) }
    }

    const fn sealed(table: &'static str, key: &'static [&'static str], columns: &'static [&'static str]) -> Covered {
        Covered { is_sealed: true, ..Covered::small(table, key, columns) }
    }
}

/// Every table whose rows decide something. Adding a column here changes what is stored: the state must then be sealed anew.
pub(super) const COVERED: [Covered; 17] = [
    Covered::sealed("facts", &["key"], &["key", "value"]),
    Covered::sealed("holds", &["master_id"], &["master_id", "/reason", "at", "uid"]),
    Covered::sealed("erased", &["mark"], &["mark", "at"]),
    Covered::sealed("erasure_keys", &["id"], &["id", "/key"]),
    Covered::sealed("audit_chain", &["id"], &["id", "start_number", "start_hash", "head_number", "head_hash"]),
    Covered::read_by_row(
        "evidence",
        &["id"],
        &["id", "master_id", "recording", "sha256", "size", "validator", "host", "at"],
    ),
    Covered::small("days", &["day"], &["day", "indexed_at", "closed", "last_poll", "unreadable"]),
    Covered::read_by_row("agents", &["day", "agent_id"], &["day", "agent_id", "/name", "ino", "mtime"]),
    Covered::read_by_row("agent_channels", &["day", "agent_id", "channel"], &["day", "agent_id", "channel"]),
    Covered::read_by_row(
        "folders",
        &["day", "agent_id", "name"],
        &["day", "agent_id", "name", "master_id", "channel", "ino", "contact_mtime", "contact_size"],
    ),
    Covered::small("shapes", &["id"], &["id", "keys"]),
    Covered::read_by_row(
        "legs",
        &["id"],
        &["day", "agent_id", "master_id", "contact_id", "start", "last_update", "shape", "/record", "json_size"],
    ),
    Covered::read_by_row(
        "interactions",
        &["master_id"],
        &["master_id", "ino_base", "channel", "mtime", "first_start", "last_end", "resolved_at", "recheck_at"],
    ),
    Covered::read_by_row("files", &["master_id", "kind"], &["master_id", "kind", "name", "size", "validator"]),
    Covered::read_by_row(
        "obstacles",
        &["id"],
        &["master_id", "subject", "kind", "/reason", "said_at", "again_at", "times", "scope"],
    ),
    Covered::small("ledger", &["id"], &["id", "at", "master_id", "reason", "uid", "pid", "comm", "outcome"]),
    Covered::small("highest", &["channel", "kind"], &["channel", "kind", "value"]),
];

/// The condition, in SQL, under which a row is genuine; the statement fails where it is not. `$row` is the row's name in the statement, with
/// its dot. Held against [`COVERED`] by a test.
macro_rules! genuine {
    (agents $r:literal) => {
        genuine!(@ "agents", $r, "day,", "agent_id,", "substr(" $r "name,1,29),", "ino,", "mtime")
    };
    (agent_channels $r:literal) => {
        genuine!(@ "agent_channels", $r, "day,", "agent_id,", "channel")
    };
    (folders $r:literal) => {
        genuine!(@ "folders", $r, "day,", "agent_id,", "name,", "master_id,", "channel,", "ino,", "contact_mtime,", "contact_size")
    };
    (legs $r:literal) => {
        genuine!(@ "legs", $r, "day,", "agent_id,", "master_id,", "contact_id,", "start,", "last_update,", "shape,",
            "substr(" $r "record,1,29),", "json_size")
    };
    (interactions $r:literal) => {
        genuine!(@ "interactions", $r, "master_id,", "ino_base,", "channel,", "mtime,", "first_start,", "last_end,",
            "resolved_at,", "recheck_at")
    };
    (files $r:literal) => {
        genuine!(@ "files", $r, "master_id,", "kind,", "name,", "size,", "validator")
    };
    (obstacles $r:literal) => {
        genuine!(@ "obstacles", $r, "master_id,", "subject,", "kind,", "substr(" $r "reason,1,29),", "said_at,", "again_at,",
            "times,", "scope")
    };
    (evidence $r:literal) => {
        genuine!(@ "evidence", $r, "id,", "master_id,", "recording,", "sha256,", "size,", "validator,", "host,", "at")
    };
    (@ $table:literal, $r:literal, $($($column:literal)+),+) => {
        concat!("row_ok('", $table, "',", $r, "mac,", $(genuine!(# $r, $($column)+)),+, ")")
    };
    (# $r:literal, $column:literal) => { concat!($r, $column) };
    (# $r:literal, $open:literal $same:literal $column:literal) => { concat!($open, $r, $column) };
}
pub(super) use genuine;

impl Covered {
    /// The columns as they are given to the functions, each after `row`: a name with a dot, or nothing.
    fn arguments(&self, row: &str) -> String {
        let argument = |column: &&str| match column.strip_prefix('/') {
            Some(sealed) => format!("substr({row}{sealed},1,29)"),
            None => format!("{row}{column}"),
        };
        self.columns.iter().map(argument).collect::<Vec<_>>().join(",")
    }

    fn names(&self) -> String {
        self.columns.iter().map(|column| column.trim_start_matches('/')).collect::<Vec<_>>().join(",")
    }

    fn is_row(&self, row: &str) -> String {
        self.key.iter().map(|column| format!("{column} = {row}{column}")).collect::<Vec<_>>().join(" AND ")
    }

    fn triggers(&self) -> String {
        let (table, names) = (self.table, self.names());
        let (new, old) = (self.arguments("new."), self.arguments("old."));
        let set = format!("UPDATE {table} SET mac = row_mac('{table}',{new}) WHERE {};", self.is_row("new."));
        format!(
            "CREATE TEMP TRIGGER {table}_added AFTER INSERT ON main.{table} BEGIN {set} END;
             CREATE TEMP TRIGGER {table}_changing BEFORE UPDATE OF {names} ON main.{table} BEGIN
                SELECT row_ok('{table}',old.mac,{old}); END;
             CREATE TEMP TRIGGER {table}_changed AFTER UPDATE OF {names} ON main.{table} BEGIN {set} END;"
        ) + &self.noting_changes()
    }

    /// The seal is to be written anew: `mac` changes with every change of a row.
    fn noting_changes(&self) -> String {
        if !self.is_sealed {
            return String::new();
        }
        let table = self.table;
        let note = format!("INSERT OR IGNORE INTO unsealed(name) VALUES('{table}');");
        format!(
            "CREATE TEMP TRIGGER {table}_sealed_anew AFTER UPDATE OF mac ON main.{table} BEGIN {note} END;
             CREATE TEMP TRIGGER {table}_removed AFTER DELETE ON main.{table} BEGIN {note} END;"
        )
    }

    /// Over the checksums of all rows.
    fn seal(&self, connection: &Connection, key: &hmac::Key) -> rusqlite::Result<Vec<u8>> {
        let mut context = hmac::Context::with_key(key);
        context.update(b"seal of a table");
        context.update(self.table.as_bytes());
        let mut select =
            connection.prepare(&format!("SELECT mac FROM {} ORDER BY {}", self.table, self.key.join(",")))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            // What is no checksum was found before: here it only has to be told from one.
            let mac = row.get_ref(0)?.as_blob_or_null()?.unwrap_or_default();
            context.update(&[mac.len() as u8]);
            context.update(mac);
        }
        Ok(context.sign().as_ref()[..MAC_LEN].to_vec())
    }
}

/// Agents' folders whose rows were all checked in this process. The state directory is held by it, so what comes to them later is its own.
#[derive(Default)]
pub(super) struct Checked(pub(super) RwLock<HashSet<(Day, AgentId)>>);

impl Checked {
    pub(super) fn contains(&self, day: Day, agent: AgentId) -> bool {
        self.0.read().contains(&(day, agent))
    }

    pub(super) fn note(&self, day: Day, agent: AgentId) {
        self.0.write().insert((day, agent));
    }
}

/// What makes checksums, or lets everything through where there is no key.
#[derive(Clone)]
pub(super) struct Rows(Option<Arc<Locked<hmac::Key>>>);

impl Rows {
    pub(super) fn of(key: Option<&MasterKey>) -> Rows {
        let derived = key.map(|key| key.derive(b"state rows", b""));
        Rows(derived.map(|key| Arc::new(Locked::new(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice())))))
    }

    /// The condition under which a row of a table is genuine; it does not fail. Values that were sealed by themselves are checked when they are read.
    pub(super) fn condition(&self, table: &str) -> String {
        match COVERED.iter().find(|covered| covered.table == table) {
            Some(covered) if self.0.is_some() => format!("mac IS row_mac('{table}',{})", covered.arguments("")),
            _ => String::from("true"),
        }
    }

    /// Makes `row_mac` and `row_ok` known to a connection.
    pub(super) fn register(&self, connection: &Connection) -> rusqlite::Result<()> {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        let (key, text) = (self.0.clone(), RefCell::default());
        connection.create_scalar_function("row_mac", -1, flags, move |row| {
            Ok(key.as_ref().map(|key| mac(key, &mut text.borrow_mut(), row, 0, 1).to_vec()))
        })?;
        let (key, text) = (self.0.clone(), RefCell::default());
        connection.create_scalar_function("row_ok", -1, flags, move |row| match &key {
            Some(key) if !is_genuine(key, &mut text.borrow_mut(), row) => {
                let table = row.get_raw(0).as_str().unwrap_or("?");
                Err(rusqlite::Error::UserFunctionError(format!("{NOT_GENUINE}{table}").into()))
            }
            _ => Ok(true),
        })
    }

    /// Has the writer's statements keep the checksums.
    pub(super) fn keep(&self, writer: &Connection) -> rusqlite::Result<()> {
        if self.0.is_none() {
            return Ok(());
        }
        writer.execute_batch("CREATE TEMP TABLE unsealed(name TEXT PRIMARY KEY) WITHOUT ROWID")?;
        COVERED.iter().try_for_each(|covered| writer.execute_batch(&covered.triggers()))
    }

    /// Seals the tables that the present transaction of the writer changed. To be called before it is committed.
    pub(super) fn seal_changed(&self, writer: &Connection) -> rusqlite::Result<()> {
        let Some(key) = &self.0 else { return Ok(()) };
        let changed: Vec<String> =
            writer.prepare_cached(CHANGED)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        if changed.is_empty() {
            return Ok(());
        }
        for covered in COVERED.iter().filter(|covered| changed.iter().any(|name| name == covered.table)) {
            writer.prepare_cached(PUT_SEAL)?.execute(params![covered.table, covered.seal(writer, key)?])?;
        }
        writer.prepare_cached(ALL_SEALED)?.execute([])?;
        Ok(())
    }

    /// Seals every table whose missing rows are noticed, or removes the seals where there is no key.
    pub(super) fn seal_all(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute("DELETE FROM seals", [])?;
        let Some(key) = &self.0 else { return Ok(()) };
        for covered in COVERED.iter().filter(|covered| covered.is_sealed) {
            connection.execute(PUT_SEAL, params![covered.table, covered.seal(connection, key)?])?;
        }
        Ok(())
    }

    /// Whether no row is missing of a table of which that is noticed.
    pub(super) fn check_seals(&self, connection: &Connection) -> Result<(), CatalogError> {
        let Some(key) = &self.0 else { return Ok(()) };
        for covered in COVERED.iter().filter(|covered| covered.is_sealed) {
            let sealed: Option<Vec<u8>> = connection.query_row(SEAL, [covered.table], |row| row.get(0)).optional()?;
            let wanted = covered.seal(connection, key)?;
            if !sealed.is_some_and(|sealed| is_same(&sealed, &wanted)) {
                return Err(CatalogError::Forged(format!("rows are missing or were added in table {}", covered.table)));
            }
        }
        Ok(())
    }

    /// Gives every row its checksum, or none where there is no key.
    pub(super) fn renew(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.register(connection)?;
        for covered in &COVERED {
            let (table, arguments) = (covered.table, covered.arguments(""));
            connection.execute(&format!("UPDATE {table} SET mac = row_mac('{table}',{arguments})"), [])?;
        }
        self.seal_all(connection)
    }

    /// Checks every row.
    pub(super) fn check_all(&self, connection: &Connection) -> Result<(), CatalogError> {
        self.register(connection)?;
        COVERED.iter().try_for_each(|covered| check(connection, covered, i64::MAX))?;
        self.check_seals(connection)
    }

    /// Checks the tables of which reading checks nothing.
    pub(super) fn check_small(&self, connection: &Connection) -> Result<(), CatalogError> {
        if self.0.is_none() {
            return Ok(());
        }
        COVERED
            .iter()
            .filter(|covered| covered.at_start)
            .try_for_each(|covered| check(connection, covered, if covered.is_sealed { i64::MAX } else { LEDGER_ROWS }))
    }
}

fn check(connection: &Connection, covered: &Covered, rows: i64) -> Result<(), CatalogError> {
    let (table, arguments, key) = (covered.table, covered.arguments(""), covered.key.join(" DESC,"));
    let sql = format!(
        "SELECT count(*) FROM (SELECT row_ok('{table}',mac,{arguments}) AS ok FROM {table} ORDER BY {key} DESC LIMIT ?1) WHERE ok"
    );
    connection.query_row(&sql, params![rows], |_| Ok(()))?;
    Ok(())
}

fn is_genuine(key: &hmac::Key, text: &mut Vec<u8>, row: &Context<'_>) -> bool {
    let ValueRef::Blob(stored) = row.get_raw(1) else { return false };
    let wanted = mac(key, text, row, 0, 2);
    is_same(stored, &wanted)
}

/// All bytes are looked at, wherever they differ first.
fn is_same(stored: &[u8], wanted: &[u8]) -> bool {
    stored.len() == MAC_LEN
        && stored.iter().zip(wanted).fold(0, |different, (one, other)| different | (one ^ other)) == 0
}

/// Over the table's name and the values from `first` on, each with its kind and length, so that no two rows look alike. `text` is room for them, which
/// a listing of many rows would otherwise allocate and wipe for each.
fn mac(key: &hmac::Key, text: &mut Vec<u8>, row: &Context<'_>, table: usize, first: usize) -> [u8; MAC_LEN] {
    text.clear();
    for value in [table].into_iter().chain(first..row.len()) {
        let (kind, bytes): (u8, &[u8]) = match row.get_raw(value) {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(number) => (1, &number.to_le_bytes()),
            ValueRef::Real(number) => (2, &number.to_le_bytes()),
            ValueRef::Text(bytes) => (3, bytes),
            ValueRef::Blob(bytes) => (4, bytes),
        };
        text.push(kind);
        text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        text.extend_from_slice(bytes);
    }
    let mut out = [0; MAC_LEN];
    out.copy_from_slice(&hmac::sign(key, text).as_ref()[..MAC_LEN]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_check_what_triggers_keep() {
        let written = [
            ("agents", genuine!(agents "")),
            ("agent_channels", genuine!(agent_channels "")),
            ("folders", genuine!(folders "")),
            ("legs", genuine!(legs "")),
            ("interactions", genuine!(interactions "")),
            ("files", genuine!(files "")),
            ("obstacles", genuine!(obstacles "")),
            ("evidence", genuine!(evidence "")),
        ];
        for covered in COVERED.iter().filter(|covered| !covered.at_start) {
            let (_, sql) = written.iter().find(|(table, _)| *table == covered.table).unwrap();
            assert_eq!(*sql, format!("row_ok('{}',mac,{})", covered.table, covered.arguments("")));
        }
        assert!(genuine!(legs "l.").contains("substr(l.record,1,29),l.json_size"));
    }
}
