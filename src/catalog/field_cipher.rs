//! Encryption of what the database says of people: agents' names, reporting records, documents of interactions, reasons of refusals.
//!
//! In the clear stay what the index is searched by (days, ids of agents, contacts and interactions, channels, times), sizes,
//! validators, the names of interactions' folders and files, and the ledger.
//!
//! A value is sealed as a BLOB: 2 (format), nonce (12 bytes), tag (16 bytes), ciphertext. The tag covers where the value stands (table, column,
//! key of the row), so that no row's value passes for another's. `rows` covers what stays in the clear. The nonce is a keyed hash of place and value: the same value at the same place is sealed to
//! the same bytes, so that it can be looked up and compared, and no nonce is used for two values.

use rusqlite::types::{Value, ValueRef};

use super::error::CatalogError;
use crate::base::crypt::{self, Cipher, KEY_LEN, MasterKey, NONCE_LEN, TAG_LEN};
use crate::base::locked::Locked;
use crate::base::{AgentId, Day, MasterId};

const FORMAT: u8 = 2;

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    AgentName {
        day: i64,
        agent: i64,
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
    pub(super) fn agent_name(day: Day, agent: AgentId) -> Place {
        Place::AgentName { day: i64::from(day.0), agent: agent.0 }
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

    /// Table and column, and what names the row.
    fn bytes(self) -> Vec<u8> {
        let (column, row): (&str, [i64; 4]) = match self {
            Place::AgentName { day, agent } => ("agents.name", [day, agent, 0, 0]),
            Place::Record { day, agent, master, contact } => ("legs.record", [day, agent, master, contact]),
            Place::Document { master, kind } => ("documents.bytes", [master, kind, 0, 0]),
            Place::Obstacle { master, subject } => ("obstacles.reason", [master, subject, 0, 0]),
            Place::ErasureKey => ("erasure_keys.key", [0; 4]),
            Place::Hold { master } => ("holds.reason", [master, 0, 0, 0]),
        };
        [column.as_bytes(), &[0], &row.map(i64::to_le_bytes).concat()].concat()
    }

    /// As the first format had it: no agent.
    fn first_format(self) -> Vec<u8> {
        let (kind, row): (u8, [i64; 4]) = match self {
            Place::AgentName { day, .. } => (1, [day, 0, 0, 0]),
            Place::Record { day, agent, master, contact } => (2, [day, agent, master, contact]),
            Place::Document { master, kind } => (3, [master, kind, 0, 0]),
            Place::Obstacle { master, subject } => (4, [master, subject, 0, 0]),
            Place::ErasureKey => (5, [0; 4]),
            Place::Hold { master } => (6, [master, 0, 0, 0]),
        };
        [vec![kind], row.map(i64::to_le_bytes).concat()].concat()
    }
}

/// Seals and opens values, or lets them through where there is no key.
pub(super) struct FieldCipher(Option<Sealing>);

struct Sealing {
    cipher: Cipher,
    nonces: Locked<[u8; KEY_LEN]>,
}

impl FieldCipher {
    pub(super) fn of(key: Option<&MasterKey>) -> FieldCipher {
        FieldCipher(key.map(|key| Sealing {
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
            (Some(sealing), ValueRef::Blob(sealed)) => sealing.open(FORMAT, &place.bytes(), sealed),
            _ => Err(CatalogError::Damaged("a value is neither text nor encrypted")),
        }
    }

    /// Bytes that a version before the checksums of rows encrypted.
    pub(super) fn open_first_format(&self, place: Place, stored: ValueRef<'_>) -> Result<Vec<u8>, CatalogError> {
        match (&self.0, stored) {
            (Some(sealing), ValueRef::Blob(sealed)) => sealing.open(1, &place.first_format(), sealed),
            _ => Err(CatalogError::Damaged("a value is not encrypted")),
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

    fn open(&self, format: u8, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CatalogError> {
        const DAMAGED: CatalogError = CatalogError::Damaged("an encrypted value was changed");
        let Some(rest) = sealed.strip_prefix(&[format]) else { return Err(DAMAGED) };
        let Some((nonce, rest)) = rest.split_first_chunk::<NONCE_LEN>() else { return Err(DAMAGED) };
        let Some((tag, bytes)) = rest.split_first_chunk::<TAG_LEN>() else { return Err(DAMAGED) };
        let mut plain = bytes.to_vec();
        self.cipher.open(*nonce, place, &mut plain, *tag).map_err(|_| DAMAGED)?;
        Ok(plain)
    }
}

#[cfg(test)]
mod tests;
