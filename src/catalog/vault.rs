//! Encryption of what the database says of people: agents' names, reporting records, documents of interactions, reasons of refusals.
//!
//! In the clear stay what the index is searched by (days, ids of agents, contacts and interactions, channels, times), sizes,
//! validators, the names of interactions' folders and files, and the ledger.
//!
//! A value is sealed as a BLOB: 1 (format), nonce (12 bytes), tag (16 bytes), ciphertext. The tag covers where the value stands, so that
//! no row's value passes for another's. The nonce is a keyed hash of place and value: the same value at the same place is sealed to
//! the same bytes, so that it can be looked up and compared, and no nonce is used for two values.

use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Transaction, params};

use super::db::{self, Db};
use super::error::CatalogError;
use super::schema::{self, Found};
use super::{erase, facts};
use crate::base::crypt::{self, Cipher, KEY_LEN, KeyId, Keys, MasterKey, NONCE_LEN, TAG_LEN};
use crate::base::{AgentId, Day, MasterId};
use zeroize::Zeroizing;

/// The fact that says with which key the database is encrypted.
const KEY_FACT: &str = "encryption.key";
const FORMAT: u8 = 1;
/// Rows that are sealed anew at once.
const BATCH_ROWS: usize = 1000;

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    AgentName {
        day: Day,
    },
    Record {
        day: i64,
        agent: i64,
        master: i64,
        contact: i64,
    },
    Document {
        master: i64,
        kind: i64,
    },
    Obstacle {
        master: i64,
        subject: i64,
    },
    /// The key of erasure marks; there is one.
    ErasureKey,
    /// Why an interaction is held.
    Hold {
        master: i64,
    },
}

impl Place {
    /// Of an agent's name on a day.
    pub(super) fn agent_name(day: Day) -> Place {
        Place::AgentName { day }
    }

    /// Of a leg's record.
    pub(super) fn record(day: Day, agent: AgentId, master: MasterId, contact: i64) -> Place {
        Place::Record { day: i64::from(day.0), agent: agent.0, master: master.0, contact }
    }

    /// Of a document.
    pub(super) fn document(master: MasterId, kind: u8) -> Place {
        Place::Document { master: master.0, kind: i64::from(kind) }
    }

    /// Of the reason of an obstacle.
    pub(super) fn obstacle(master: MasterId, subject: u8) -> Place {
        Place::Obstacle { master: master.0, subject: i64::from(subject) }
    }

    fn bytes(self) -> Vec<u8> {
        let (kind, numbers): (u8, [i64; 4]) = match self {
            Place::AgentName { day } => (1, [i64::from(day.0), 0, 0, 0]),
            Place::Record { day, agent, master, contact } => (2, [day, agent, master, contact]),
            Place::Document { master, kind } => (3, [master, kind, 0, 0]),
            Place::Obstacle { master, subject } => (4, [master, subject, 0, 0]),
            Place::ErasureKey => (5, [0; 4]),
            Place::Hold { master } => (6, [master, 0, 0, 0]),
        };
        [vec![kind], numbers.map(i64::to_le_bytes).concat()].concat()
    }
}

/// Seals and opens values, or lets them through where there is no key.
pub(super) struct Vault(Option<Sealing>);

struct Sealing {
    cipher: Cipher,
    nonces: Zeroizing<[u8; KEY_LEN]>,
}

impl Vault {
    pub(super) fn of(key: Option<&MasterKey>) -> Vault {
        Vault(key.map(|key| Sealing {
            cipher: Cipher::new(&key.derive(b"state values", b"")),
            nonces: key.derive(b"state nonces", b""),
        }))
    }

    /// Whether values are encrypted, so that their order in the database says nothing.
    pub(super) fn is_sealed(&self) -> bool {
        self.0.is_some()
    }

    /// What to store for a text.
    pub(super) fn text(&self, place: Place, text: &str) -> Result<Value, CatalogError> {
        match &self.0 {
            None => Ok(Value::Text(text.to_owned())),
            Some(sealing) => sealing.seal(place, text.as_bytes()).map(Value::Blob),
        }
    }

    /// What to store for bytes.
    pub(super) fn blob(&self, place: Place, bytes: &[u8]) -> Result<Value, CatalogError> {
        match &self.0 {
            None => Ok(Value::Blob(bytes.to_vec())),
            Some(sealing) => sealing.seal(place, bytes).map(Value::Blob),
        }
    }

    /// The bytes that were stored.
    pub(super) fn open(&self, place: Place, stored: ValueRef<'_>) -> Result<Vec<u8>, CatalogError> {
        match (&self.0, stored) {
            (None, ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => Ok(bytes.to_vec()),
            (Some(sealing), ValueRef::Blob(sealed)) => sealing.open(place, sealed),
            _ => Err(CatalogError::Damaged("a value is neither text nor encrypted")),
        }
    }

    /// The text that was stored.
    pub(super) fn open_text(&self, place: Place, stored: ValueRef<'_>) -> Result<String, CatalogError> {
        String::from_utf8(self.open(place, stored)?).map_err(|_| CatalogError::Damaged("a text is none"))
    }
}

impl Sealing {
    fn seal(&self, place: Place, plain: &[u8]) -> Result<Vec<u8>, CatalogError> {
        let place = place.bytes();
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&crypt::keyed_hash(&self.nonces, &[&place, plain])[..NONCE_LEN]);
        let mut sealed = vec![FORMAT];
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&[0; TAG_LEN]);
        let start = sealed.len();
        sealed.extend_from_slice(plain);
        let tag = self.cipher.seal(nonce, &place, &mut sealed[start..])?;
        sealed[start - TAG_LEN..start].copy_from_slice(&tag);
        Ok(sealed)
    }

    fn open(&self, place: Place, sealed: &[u8]) -> Result<Vec<u8>, CatalogError> {
        const DAMAGED: CatalogError = CatalogError::Damaged("an encrypted value was changed");
        let Some((&FORMAT, rest)) = sealed.split_first() else { return Err(DAMAGED) };
        let (Some((nonce, rest)), place) = (rest.split_first_chunk::<NONCE_LEN>(), place.bytes()) else {
            return Err(DAMAGED);
        };
        let Some((tag, bytes)) = rest.split_first_chunk::<TAG_LEN>() else { return Err(DAMAGED) };
        let mut plain = bytes.to_vec();
        self.cipher.open(*nonce, &place, &mut plain, *tag).map_err(|_| DAMAGED)?;
        Ok(plain)
    }
}

/// Refuses a state directory that is encrypted with a key that is not among `keys`. Touches nothing.
pub(super) fn check(dir: &Path, keys: &Keys) -> Result<(), CatalogError> {
    let path = db::file_in(dir);
    if !path.exists() {
        return Ok(());
    }
    // Whatever else is wrong with the file is the opening's business.
    let Ok(connection) = db::open_reader(&path) else { return Ok(()) };
    match schema::identify(&connection) {
        Ok(Found::Ours(_)) => {}
        _ => return Ok(()),
    }
    let Ok(Some(found)) = facts::get(&connection, KEY_FACT) else { return Ok(()) };
    match KeyId::from_hex(&found).and_then(|id| keys.with_id(&id)) {
        Some(_) => Ok(()),
        None => Err(CatalogError::OtherKey { path, found }),
    }
}

/// For a database whose encryption is to stay as it is.
pub(super) fn as_found(db: &Db, keys: &Keys) -> Result<Vault, CatalogError> {
    let found = db.read(|connection| facts::get(connection, KEY_FACT))?;
    Ok(Vault::of(found.as_deref().and_then(KeyId::from_hex).and_then(|id| keys.with_id(&id))))
}

/// Makes the database one that is encrypted with the current key, or with none, in one transaction.
pub(super) fn adopt(db: &Db, keys: &Keys) -> Result<Vault, CatalogError> {
    let found = db.read(|connection| facts::get(connection, KEY_FACT))?;
    let wanted = keys.current.as_ref().map(|key| key.id().to_string());
    let vault = Vault::of(keys.current.as_ref());
    if found == wanted {
        return Ok(vault);
    }
    let before = found.as_deref().and_then(KeyId::from_hex).and_then(|id| keys.with_id(&id));
    if before.is_none() && found.is_some() {
        return Err(CatalogError::OtherKey { path: db.path().to_owned(), found: found.unwrap_or_default() });
    }
    let before = Vault::of(before);
    let rows = db.write(|transaction| {
        let mut rows = 0;
        for table in TABLES {
            rows += table.seal_anew(transaction, &before, &vault)?;
        }
        match &wanted {
            Some(id) => facts::set(transaction, KEY_FACT, id)?,
            None => facts::clear(transaction, KEY_FACT)?,
        }
        Ok(rows)
    })?;
    if rows > 0 {
        // What was overwritten must not linger in free pages or in the write-ahead log.
        erase::rewrite(db)?;
        let now = if vault.is_sealed() { "encrypted with the configured key" } else { "no longer encrypted" };
        tracing::warn!(
            rows,
            encrypted = vault.is_sealed(),
            "the state database is {now}: {rows} rows were written anew"
        );
    }
    Ok(vault)
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
        select: "SELECT ino, day, 0, 0, 0, name FROM agents WHERE ino > ?1 ORDER BY ino LIMIT ?2",
        update: "UPDATE agents SET name = ?2 WHERE ino = ?1",
        place: |row| Place::AgentName { day: Day(row[1] as i32) },
        is_text: true,
    },
    Table {
        select: "SELECT id, day, agent_id, master_id, contact_id, record FROM legs WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE legs SET record = ?2 WHERE id = ?1",
        place: |row| Place::Record { day: row[1], agent: row[2], master: row[3], contact: row[4] },
        is_text: true,
    },
    Table {
        select: "SELECT id, master_id, kind, 0, 0, bytes FROM documents WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE documents SET bytes = ?2 WHERE id = ?1",
        place: |row| Place::Document { master: row[1], kind: row[2] },
        is_text: false,
    },
    Table {
        select: "SELECT id, master_id, subject, 0, 0, reason FROM obstacles WHERE id > ?1 ORDER BY id LIMIT ?2",
        update: "UPDATE obstacles SET reason = ?2 WHERE id = ?1",
        place: |row| Place::Obstacle { master: row[1], subject: row[2] },
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
    fn seal_anew(&self, transaction: &Transaction<'_>, before: &Vault, after: &Vault) -> Result<usize, CatalogError> {
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
        before: &Vault,
        after: &Vault,
    ) -> Result<Vec<(i64, Value)>, CatalogError> {
        let mut select = connection.prepare_cached(self.select)?;
        let mut rows = select.query(params![last, BATCH_ROWS as i64])?;
        let mut batch = Vec::new();
        while let Some(row) = rows.next()? {
            let numbers = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
            let (place, stored) = ((self.place)(&numbers), row.get_ref(5)?);
            // What was saved from a damaged database may be encrypted although nothing says so.
            let plain = if before.is_sealed() {
                before.open(place, stored)?
            } else {
                after.open(place, stored).or_else(|_| before.open(place, stored))?
            };
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
