//! Marks of erased contacts: keyed hashes of their numbers, so that no later listing, sweep or refresh brings one back.
//!
//! A mark is HMAC-SHA256, cut to 16 bytes, under a random key of this state directory. The list names no contact; whoever has the database
//! can test a number that they know against it, because that is what it is for. With a key of the owner's the random key is encrypted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use super::convert::{from_time, to_time};
use super::db::Db;
use super::error::CatalogError;
use super::field_cipher::{FieldCipher, Place};
use super::model::ERASED;
use crate::base::crypt::{KEY_LEN, keyed_hash};
use crate::base::{ContactId, MasterId};
use crate::cxone::ContactRecord;

const KEY: &str = "SELECT key FROM erasure_keys WHERE id = 1";
const KEY_ADD: &str = "INSERT INTO erasure_keys(id, key) VALUES(1, ?1)";
const ALL: &str = "SELECT mark, at FROM erased";
const ADD: &str = "INSERT OR IGNORE INTO erased(mark, at) VALUES(?1, ?2)";

/// What stays of an erased contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark([u8; 16]);

/// 32 lower-case hexadecimal digits.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Every mark. A snapshot stays as it is; an erasure replaces it.
pub(super) struct Marks {
    key: Zeroizing<[u8; KEY_LEN]>,
    known: Mutex<Arc<HashMap<Mark, Timestamp>>>,
}

/// The marks at one moment.
pub(super) struct Snapshot<'a> {
    marks: &'a Marks,
    known: Arc<HashMap<Mark, Timestamp>>,
}

impl Marks {
    /// Those of a database, whose key is made if it has none.
    pub(super) fn load(db: &Db, field_cipher: &FieldCipher) -> Result<Marks, CatalogError> {
        let (key, known) = db.read(|connection| {
            let mut select = connection.prepare(KEY)?;
            let mut rows = select.query([])?;
            let key = rows.next()?.map(|row| field_cipher.open(Place::ErasureKey, row.get_ref(0)?)).transpose()?;
            Ok((key.map(Zeroizing::new), read_all(connection)?))
        })?;
        let key = match key {
            Some(bytes) => sized(&bytes)?,
            None => make_key(db, field_cipher)?,
        };
        Ok(Marks { key, known: Mutex::new(Arc::new(known)) })
    }

    pub(super) fn of(&self, number: i64) -> Mark {
        let hash = keyed_hash(&self.key, &[b"erased contact", &number.to_le_bytes()]);
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash[..16]);
        Mark(mark)
    }

    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { marks: self, known: Arc::clone(&self.known.lock()) }
    }

    /// A job that stores a day in pieces begins again, because days that were stored are erased.
    pub(super) fn renew(&self) {
        let mut known = self.known.lock();
        *known = Arc::new(HashMap::clone(&known));
    }

    /// In memory, before anything is erased: later writes see them.
    pub(super) fn add(&self, numbers: &[i64], at: Timestamp) -> Vec<Mark> {
        let marks: Vec<Mark> = numbers.iter().map(|number| self.of(*number)).collect();
        let mut known = self.known.lock();
        let mut next = HashMap::clone(&known);
        for mark in &marks {
            next.entry(*mark).or_insert(at);
        }
        *known = Arc::new(next);
        marks
    }
}

impl Snapshot<'_> {
    /// Whether nothing was erased since.
    pub(super) fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.known, &self.marks.snapshot().known)
    }

    /// When it was erased.
    pub(super) fn at(&self, number: i64) -> Option<Timestamp> {
        if self.known.is_empty() { None } else { self.known.get(&self.marks.of(number)).copied() }
    }

    pub(super) fn has(&self, number: i64) -> bool {
        self.at(number).is_some()
    }

    fn hides(&self, record: &ContactRecord) -> bool {
        let (MasterId(master), ContactId(contact)) = (record.master_id, record.contact_id);
        self.has(master) || (contact != master && self.has(contact))
    }

    /// The records that tell of no erased contact.
    pub(super) fn unmarked<'a>(&self, records: &'a [ContactRecord]) -> Cow<'a, [ContactRecord]> {
        if self.known.is_empty() || !records.iter().any(|record| self.hides(record)) {
            return Cow::Borrowed(records);
        }
        Cow::Owned(records.iter().filter(|record| !self.hides(record)).cloned().collect())
    }

    /// Fails for an erased interaction: nothing is stored of it any more.
    pub(super) fn check(&self, master: MasterId) -> Result<(), CatalogError> {
        if self.has(master.0) { Err(CatalogError::Refused(ERASED)) } else { Ok(()) }
    }
}

/// Writes marks in the transaction that erases.
pub(super) fn store(connection: &Connection, marks: &[Mark], at: Timestamp) -> Result<(), CatalogError> {
    let mut add = connection.prepare_cached(ADD)?;
    for mark in marks {
        add.execute(params![mark.0, from_time(at)])?;
    }
    Ok(())
}

fn read_all(connection: &Connection) -> Result<HashMap<Mark, Timestamp>, CatalogError> {
    let mut select = connection.prepare(ALL)?;
    let mut rows = select.query([])?;
    let mut known = HashMap::new();
    while let Some(row) = rows.next()? {
        known.insert(Mark(row.get(0)?), to_time(row.get(1)?)?);
    }
    Ok(known)
}

fn make_key(db: &Db, field_cipher: &FieldCipher) -> Result<Zeroizing<[u8; KEY_LEN]>, CatalogError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    let filled = SystemRandom::new().fill(key.as_mut_slice());
    filled.map_err(|_| CatalogError::Refused("the operating system gave no random bytes"))?;
    db.write(|transaction| {
        // Marks without their key match nothing: the database was damaged, and only they could be saved.
        let lost = transaction.execute("DELETE FROM erased", [])?;
        if lost > 0 {
            tracing::error!(marks = lost, "the key of erasure marks is lost: erased contacts may be listed again");
        }
        transaction.prepare(KEY_ADD)?.execute([field_cipher.blob(Place::ErasureKey, key.as_slice())?])?;
        Ok(())
    })?;
    Ok(key)
}

fn sized(bytes: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, CatalogError> {
    let key =
        <[u8; KEY_LEN]>::try_from(bytes).map_err(|_| CatalogError::Damaged("the key of erasure marks is none"))?;
    Ok(Zeroizing::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::catalog::testing::{catalog, record, settings, time};

    #[test]
    fn a_mark_names_nobody_and_survives_a_restart() {
        let (catalog, dir) = catalog();
        let at = time("2026-11-05T12:00:00Z");
        catalog.erase(&[MasterId(701)], at).unwrap();
        let mark = catalog.mark_of(701);
        drop(catalog);
        let again = Catalog::open(dir.path(), settings()).unwrap();
        assert_eq!((again.erased_at(701), again.erased_at(702), again.mark_of(701)), (Some(at), None, mark));
        assert!(!mark.to_string().contains("701"));
        // Another state directory marks the same contact otherwise.
        let (other, _dir) = super::super::testing::catalog();
        assert_ne!(other.mark_of(701), mark);
    }

    #[test]
    fn a_listing_that_was_read_before_the_erasure_brings_nothing_back() {
        let (catalog, _dir) = catalog();
        let day = "2026-11-02".parse().unwrap();
        let now = time("2026-11-05T12:00:00Z");
        let records = [
            record(5, 5, 7, "2026-11-02T15:00:00Z"),
            record(6, 5, 8, "2026-11-02T15:01:00Z"),
            record(9, 9, 7, "2026-11-02T16:00:00Z"),
        ];
        catalog.record_day(day, &records, now, true, None).unwrap();
        catalog.erase(&[MasterId(5)], now).unwrap();
        catalog.record_day(day, &records, now, true, None).unwrap();
        catalog.add_legs(day, &records).unwrap();
        assert_eq!(catalog.interaction(MasterId(5)).unwrap(), None);
        assert_eq!(catalog.totals().unwrap().0, 1);
        assert!(catalog.erased_at(6).is_some(), "the other leg's number is marked, too");
    }

    #[test]
    fn nothing_is_stored_of_an_erased_contact() {
        let (catalog, _dir) = catalog();
        let now = time("2026-11-05T12:00:00Z");
        catalog.erase(&[MasterId(5)], now).unwrap();
        let entry = crate::catalog::LedgerEntry {
            at: now,
            master_id: MasterId(5),
            reason: crate::net::Priority::Open,
            uid: 1,
            pid: 1,
            comm: String::new(),
        };
        catalog.ledger_begin(&entry).unwrap();
        let obstacle = crate::catalog::Obstacle {
            kind: crate::catalog::ObstacleKind::Failed,
            reason: "x".into(),
            said_at: now,
            again_at: now,
            times: 1,
            scope: crate::catalog::Scope::Own,
        };
        let kept = catalog.put_obstacle(MasterId(5), None, &obstacle);
        assert!(matches!(kept, Err(CatalogError::Refused(ERASED))), "{kept:?}");
        assert_eq!(catalog.holdings(&[5]).unwrap().masters, []);
    }
}
