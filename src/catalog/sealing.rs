//! With which key a state directory is encrypted, and changing that.
//!
//! A key that is configured vouches for all that is read: a state in the clear, or of the first format, is refused then, because whoever may
//! write to the directory could have put it there. Taking it over is a command's ([`Catalog::encrypt`](super::Catalog::encrypt)). Replacing a
//! key by another needs the former one, which vouches for what is there.
//!
//! A change is one transaction. That what was in the clear has to be overwritten in unused parts of the database file is noted in
//! the same transaction, and done at the next start if it was not done then.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params};

use super::db::{self, Db};
use super::error::CatalogError;
use super::field_cipher::{FieldCipher, Place};
use super::rows::{COVERED, Rows};
use super::schema::{self, Found};
use super::{facts, slack};
use crate::base::crypt::{KeyId, Keys, MasterKey};
use crate::base::{AgentId, Day, MasterId};

/// The fact that says with which key the database is encrypted: `2 ` and the key's id.
const KEY_FACT: &str = "encryption.key";
/// The fact that says that the file may still hold values of before a change.
const PENDING_FACT: &str = "encryption.rewrite";
/// How the value begins in the format that this version writes. The first one was the id alone.
const FORMAT: &str = "2 ";
/// Tables that have rows before anything was listed: facts, the key of marks, the ends of the audit log.
const BEFORE_ROWS: [&str; 3] = ["facts", "erasure_keys", "audit_chain"];
/// Rows that are sealed anew at once.
const BATCH_ROWS: usize = 1000;

/// What protects a database.
#[derive(Clone, Debug)]
pub(super) enum Protection {
    /// There is no row yet.
    Nothing,
    Plain,
    /// By this key, in the first format, in which rows have no checksums.
    FirstFormat(MasterKey),
    Sealed(MasterKey),
}

impl Protection {
    /// The key that vouches for every row.
    fn key(&self) -> Option<&MasterKey> {
        match self {
            Protection::Sealed(key) => Some(key),
            _ => None,
        }
    }
}

/// Finds out what protects a state directory. Refuses one that is encrypted with a key that is not among `keys`. Touches nothing.
pub(super) fn examine(dir: &Path, keys: &Keys) -> Result<Protection, CatalogError> {
    let path = db::file_in(dir);
    if !path.exists() {
        return Ok(Protection::Nothing);
    }
    // Whatever else is wrong with the file is the opening's business. What it saves then is what the key in force vouches for.
    let unknown = || keys.current.clone().map_or(Protection::Plain, Protection::Sealed);
    let Ok(connection) = db::connection::open_reader(&path, &Rows::of(None)) else { return Ok(unknown()) };
    match schema::identify(&connection) {
        Ok(Found::Ours(_)) => {}
        Ok(Found::Empty) => return Ok(Protection::Nothing),
        _ => return Ok(unknown()),
    }
    match facts::get(&connection, KEY_FACT) {
        Ok(Some(found)) => match found.strip_prefix(FORMAT) {
            Some(id) => fitting(id, keys, &path).map(Protection::Sealed),
            None => fitting(&found, keys, &path).map(Protection::FirstFormat),
        },
        Ok(None) if has_rows(&connection) => Ok(Protection::Plain),
        Ok(None) => Ok(Protection::Nothing),
        Err(_) => Ok(unknown()),
    }
}

fn fitting(id: &str, keys: &Keys, path: &Path) -> Result<MasterKey, CatalogError> {
    let key = KeyId::from_hex(id).and_then(|id| keys.with_id(&id)).cloned();
    key.ok_or_else(|| CatalogError::OtherKey { path: path.to_owned(), found: id.to_owned() })
}

/// Whether there is anything that somebody could have made up.
fn has_rows(connection: &Connection) -> bool {
    let tables = COVERED.iter().map(|covered| covered.table);
    let mut tables = tables.filter(|table| !BEFORE_ROWS.contains(table));
    tables.any(|table| {
        let any = format!("SELECT EXISTS(SELECT 1 FROM {table})");
        // A table that is not there yet is empty; one that cannot be read is not.
        match connection.query_row(&any, [], |row| row.get(0)) {
            Ok(found) => found,
            Err(error) => !error.to_string().contains("no such table"),
        }
    })
}

/// Opens a database that is to be encrypted with the current key, or with none, and makes it so where the key that is in force is known to
/// vouch for it.
pub(super) fn open(dir: &Path, keys: &Keys) -> Result<(Db, FieldCipher), CatalogError> {
    let found = examine(dir, keys)?;
    let wanted = keys.current.as_ref();
    if let (Some(_), Protection::Plain | Protection::FirstFormat(_)) = (wanted, &found) {
        let what = if matches!(found, Protection::Plain) { "is not encrypted" } else { "has rows without checksums" };
        return Err(CatalogError::Unsealed { path: db::file_in(dir), what });
    }
    changed(dir, &found, wanted)
}

/// Opens a database as it is protected now, for looking after it.
pub(super) fn open_as_found(dir: &Path, keys: &Keys) -> Result<(Db, FieldCipher), CatalogError> {
    let found = examine(dir, keys)?;
    if let Protection::FirstFormat(_) = found {
        return Err(CatalogError::Unsealed { path: db::file_in(dir), what: "has rows without checksums" });
    }
    let wanted = if let Protection::Nothing = found { keys.current.as_ref() } else { found.key() };
    changed(dir, &found, wanted)
}

/// Takes over whatever is there: encrypts it with the current key, though nothing vouches for it. Returns whether there was anything to do.
pub(super) fn take_over(dir: &Path, keys: &Keys) -> Result<bool, CatalogError> {
    let found = examine(dir, keys)?;
    let wanted = keys.current.as_ref();
    let already = wanted.map(MasterKey::id) == found.key().map(MasterKey::id);
    changed(dir, &found, wanted)?;
    Ok(!already && !matches!(found, Protection::Nothing))
}

fn changed(dir: &Path, found: &Protection, wanted: Option<&MasterKey>) -> Result<(Db, FieldCipher), CatalogError> {
    let is_new = matches!(found, Protection::Nothing);
    if is_new && wanted.is_some() && db::file_in(dir).exists() {
        forget_facts(dir, wanted)?;
    }
    let vouching = if is_new { wanted } else { found.key() };
    let db = Db::open(dir, vouching)?;
    if is_new || db.was_salvaged() && vouching.is_some() {
        db.write(|transaction| note_key(transaction, vouching))?;
    }
    if is_new {
        db.seal()?;
    } else if vouching.is_some() {
        db.check_seals()?;
    }
    // Nobody else holds the directory now.
    let noted = db.read(|connection| facts::get(connection, KEY_FACT))?;
    let as_noted = |key: Option<&MasterKey>| key.map(|key| FORMAT.to_owned() + &key.id().to_string());
    let expected = match found {
        Protection::FirstFormat(key) => Some(key.id().to_string()),
        _ => as_noted(vouching),
    };
    if noted != expected {
        return Err(CatalogError::Refused("the state directory changed while it was opened: try again"));
    }
    let db = if noted == as_noted(wanted) { db } else { change(db, dir, found, wanted)? };
    finish(&db)?;
    Ok((db, FieldCipher::of(wanted)))
}

/// Removes facts noted before there was a key: nothing vouches for them. The ends of the audit log stay: without them lines of before would not be
/// proven at all.
fn forget_facts(dir: &Path, wanted: Option<&MasterKey>) -> Result<(), CatalogError> {
    Db::open_unguarded(dir)?.write(|transaction| {
        if has_rows(transaction) {
            return Err(CatalogError::Refused("the state directory changed while it was opened: try again"));
        }
        transaction.execute("DELETE FROM facts", [])?;
        // A key of marks that was never used.
        transaction.execute("DELETE FROM erasure_keys", [])?;
        Ok(Rows::of(wanted).renew(transaction)?)
    })
}

/// Replaces the protection.
fn change(db: Db, dir: &Path, found: &Protection, wanted: Option<&MasterKey>) -> Result<Db, CatalogError> {
    drop(db);
    let unguarded = Db::open_unguarded(dir)?;
    let rows = reseal(&unguarded, found, wanted)?;
    tracing::warn!(rows, encrypted = wanted.is_some(), "the encryption of the state database was changed");
    drop(unguarded);
    Db::open(dir, wanted)
}

/// The same in a database that is open, in one transaction. Returns how many values were sealed anew.
fn reseal(db: &Db, found: &Protection, wanted: Option<&MasterKey>) -> Result<usize, CatalogError> {
    let after = FieldCipher::of(wanted);
    db.write(|transaction| {
        if let Some(key) = found.key() {
            Rows::of(Some(key)).check_all(transaction)?;
        }
        let mut rows = 0;
        for table in TABLES {
            rows += table.seal_anew(transaction, found, &after)?;
        }
        note_key(transaction, wanted)?;
        facts::set(transaction, PENDING_FACT, "1")?;
        Rows::of(wanted).renew(transaction)?;
        Ok(rows)
    })
}

fn note_key(transaction: &Transaction<'_>, key: Option<&MasterKey>) -> Result<(), CatalogError> {
    match key {
        Some(key) => facts::set(transaction, KEY_FACT, &format!("{FORMAT}{}", key.id())),
        None => facts::clear(transaction, KEY_FACT),
    }
}

/// What was replaced must not linger in unused parts of the file or in the write-ahead log.
fn finish(db: &Db) -> Result<(), CatalogError> {
    if db.read(|connection| facts::get(connection, PENDING_FACT))?.is_none() {
        return Ok(());
    }
    slack::wipe(db)?;
    db.write(|transaction| facts::clear(transaction, PENDING_FACT))
}

/// A table with a value to seal: its rows after a place, the update of one, and how a row's place is read.
struct Table {
    select: &'static str,
    update: &'static str,
    place: fn(&[i64; 5]) -> Place,
    is_text: bool,
}

/// The first column orders the rows; the last is the value.
const TABLES: [Table; 6] = [
    Table {
        select: "SELECT ino, day, agent_id, 0, 0, name FROM agents WHERE ino > ?1 ORDER BY ino LIMIT ?2",
        update: "UPDATE agents SET name = ?2 WHERE ino = ?1",
        place: |row| Place::agent_name(Day(row[1] as i32), AgentId(row[2])),
        is_text: true,
    },
    Table {
        select: "SELECT id, day, agent_id, master_id, contact_id, record FROM legs WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE legs SET record = ?2 WHERE id = ?1",
        place: |row| Place::record(Day(row[1] as i32), AgentId(row[2]), MasterId(row[3]), row[4]),
        is_text: true,
    },
    Table {
        select: "SELECT id, master_id, kind, 0, 0, bytes FROM documents WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE documents SET bytes = ?2 WHERE id = ?1",
        place: |row| Place::document(MasterId(row[1]), row[2] as u8),
        is_text: false,
    },
    Table {
        select: "SELECT id, master_id, subject, 0, 0, reason FROM obstacles WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE obstacles SET reason = ?2 WHERE id = ?1",
        place: |row| Place::obstacle(MasterId(row[1]), row[2] as u8),
        is_text: true,
    },
    Table {
        select: "SELECT id, 0, 0, 0, 0, key FROM erasure_keys WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE erasure_keys SET key = ?2 WHERE id = ?1",
        place: |_| Place::ErasureKey,
        is_text: false,
    },
    Table {
        select: "SELECT master_id, 0, 0, 0, 0, reason FROM holds WHERE master_id > ?1 ORDER BY master_id LIMIT ?2",
        update: "UPDATE holds SET reason = ?2 WHERE master_id = ?1",
        place: |row| Place::Hold { master: row[0] },
        is_text: true,
    },
];

impl Table {
    fn seal_anew(
        &self,
        transaction: &Transaction<'_>,
        before: &Protection,
        after: &FieldCipher,
    ) -> Result<usize, CatalogError> {
        let mut last = i64::MIN;
        let mut rows = 0;
        loop {
            let batch = self.batch(transaction, last, before, after)?;
            let Some((id, _)) = batch.last() else { return Ok(rows) };
            last = *id;
            rows += batch.len();
            let mut update = transaction.prepare_cached(self.update)?;
            for (id, value) in batch {
                update.execute(params![id, value])?;
            }
        }
    }

    fn batch(
        &self,
        connection: &Connection,
        last: i64,
        before: &Protection,
        after: &FieldCipher,
    ) -> Result<Vec<(i64, Value)>, CatalogError> {
        let (opened, is_first_format) = match before {
            Protection::FirstFormat(key) => (FieldCipher::of(Some(key)), true),
            other => (FieldCipher::of(other.key()), false),
        };
        let mut select = connection.prepare_cached(self.select)?;
        let mut rows = select.query(params![last, BATCH_ROWS as i64])?;
        let mut batch = Vec::new();
        while let Some(row) = rows.next()? {
            let numbers = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
            let (place, stored) = ((self.place)(&numbers), row.get_ref(5)?);
            let plain =
                if is_first_format { opened.open_first_format(place, stored)? } else { opened.open(place, stored)? };
            let value = if self.is_text {
                let text = String::from_utf8(plain).map_err(|_| CatalogError::Damaged("a text is none"))?;
                after.text(place, &text)?
            } else {
                after.blob(place, &plain)?
            };
            batch.push((numbers[0], value));
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests;
