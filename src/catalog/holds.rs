//! Holds: interactions of which nothing may be removed, why, since when, and by whom. Knows no bytes; who removes bytes asks here, or is told.

use jiff::Timestamp;
use rusqlite::params;

use super::convert::{from_time, to_time};
use super::error::CatalogError;
use super::field_cipher::Place;
use super::handle::Catalog;
use crate::base::MasterId;

const ALL: &str = "SELECT master_id, reason, at, uid FROM holds ORDER BY at, master_id";
const ADD: &str = "INSERT INTO holds(master_id, reason, at, uid) VALUES(?1, ?2, ?3, ?4)
    ON CONFLICT(master_id) DO UPDATE SET reason = excluded.reason, uid = excluded.uid";
const REMOVE: &str = "DELETE FROM holds WHERE master_id = ?1";

/// One interaction that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub master: MasterId,
    pub reason: String,
    /// Since when; a new reason does not change it.
    pub at: Timestamp,
    /// Who asked for it last.
    pub uid: u32,
}

impl Catalog {
    /// Every hold, oldest first.
    pub fn holds(&self) -> Result<Vec<Hold>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut select = connection.prepare_cached(ALL)?;
            let mut rows = select.query([])?;
            let mut holds = Vec::new();
            while let Some(row) = rows.next()? {
                let master = row.get(0)?;
                holds.push(Hold {
                    master: MasterId(master),
                    reason: self.inner.field_cipher.open_text(Place::Hold { master }, row.get_ref(1)?)?,
                    at: to_time(row.get(2)?)?,
                    uid: row.get(3)?,
                });
            }
            Ok(holds)
        })
    }

    /// Holds an interaction, or gives its hold another reason; on disk when this returns. Refuses one that was erased.
    pub fn add_hold(&self, hold: &Hold) -> Result<(), CatalogError> {
        let reason = self.inner.field_cipher.text(Place::Hold { master: hold.master.0 }, &hold.reason)?;
        self.inner.db.write(|transaction| {
            self.inner.marks.snapshot().check(hold.master)?;
            transaction.execute(ADD, params![hold.master.0, reason, from_time(hold.at), hold.uid])?;
            Ok(())
        })
    }

    /// Ends the hold of an interaction. Whether there was one.
    pub fn remove_hold(&self, master: MasterId) -> Result<bool, CatalogError> {
        self.inner.db.write(|transaction| Ok(transaction.execute(REMOVE, [master.0])? > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::crypt::{Keys, MasterKey};
    use crate::catalog::testing::{catalog, settings, time};

    #[test]
    fn a_hold_survives_restarts_and_a_change_of_keys() {
        let (catalog, dir) = catalog();
        let hold = |master: i64, reason: &str| Hold {
            master: MasterId(master),
            reason: reason.to_owned(),
            at: time("2026-11-05T12:00:00Z"),
            uid: 7,
        };
        catalog.add_hold(&hold(5, "complaint 17")).unwrap();
        catalog.add_hold(&hold(6, "audit")).unwrap();
        catalog.add_hold(&hold(5, "complaint 18")).unwrap();
        drop(catalog);
        let keys = Keys { current: MasterKey::parse(&[7; 32]), previous: None };
        assert!(Catalog::encrypt(dir.path(), &keys).unwrap());
        let sealed = Catalog::open_sealed(dir.path(), settings(), &keys).unwrap();
        assert_eq!(sealed.holds().unwrap(), [hold(5, "complaint 18"), hold(6, "audit")]);
        drop(sealed);
        let written = std::fs::read(dir.path().join("cxonefs.db")).unwrap();
        assert!(memchr::memmem::find(&written, b"complaint").is_none());
        let again = Catalog::open_sealed(dir.path(), settings(), &keys).unwrap();
        assert!(again.remove_hold(MasterId(5)).unwrap() && !again.remove_hold(MasterId(5)).unwrap());
        assert_eq!(again.holds().unwrap(), [hold(6, "audit")]);
        drop(again);
        let last = Catalog::open_sealed(dir.path(), settings(), &keys).unwrap();
        assert_eq!(last.holds().unwrap(), [hold(6, "audit")]);
    }
}
