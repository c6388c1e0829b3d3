//! Erasing: what the catalog knows of an interaction goes, and nothing of it stays in free pages or in the write-ahead log.
//!
//! The one exception from "a folder never disappears". The ledger keeps that a call was made and when, because limits and budgets count
//! it, and forgets for whom and by whom. A mark stays of each contact (`marks`), so that no listing brings it back. Knows no bytes of
//! recordings.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use super::db::Db;
use super::error::CatalogError;
use super::field_cipher::{FieldCipher, Place};
use super::handle::Catalog;
use super::marks::Mark;
use super::model::{AgentFolder, ERASED_COMM, ERASED_UID};
use super::statedir::DAMAGED_MARK;
use super::{listing, marks, slack};
use crate::base::{AgentId, Day, MasterId};

// All rows are looked through: erasing is rare, and an index for it would cost every listing.
const MASTERS: &str = "SELECT master_id FROM legs WHERE contact_id = ?1 UNION SELECT master_id FROM legs WHERE master_id = ?1
    UNION SELECT master_id FROM interactions WHERE master_id = ?1 UNION SELECT DISTINCT master_id FROM ledger WHERE master_id = ?1";
const PLACES: &str = "SELECT f.day, f.agent_id, f.name, f.ino, a.name, a.ino FROM folders f
    JOIN agents a ON a.day = f.day AND a.agent_id = f.agent_id WHERE f.master_id = ?1 ORDER BY f.day, f.agent_id";
const DOCUMENTS: &str = "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM documents WHERE master_id = ?1";
const LEDGER: &str = "SELECT count(*) FROM ledger WHERE master_id = ?1";
const ALL_COUNTS: &str =
    "SELECT (SELECT count(*) FROM interactions), (SELECT count(*) FROM folders), (SELECT count(*) FROM documents),
    (SELECT coalesce(sum(length(bytes)), 0) FROM documents), (SELECT count(*) FROM ledger WHERE master_id <> 0)";

/// Of rows that were found before, and of the few that came since.
const FORGET_CALLS: &str =
    "UPDATE ledger SET master_id = 0, uid = ?2, pid = 0, comm = ?3 WHERE master_id = ?1 AND id > ?4";
const FORGET_CALL: &str =
    "UPDATE ledger SET master_id = 0, uid = ?2, pid = 0, comm = ?3 WHERE master_id = ?1 AND id = ?4";
const FORGET_ALL_CALLS: &str =
    "UPDATE ledger SET master_id = 0, uid = ?1, pid = 0, comm = ?2 WHERE master_id <> 0 AND id BETWEEN ?3 AND ?4";
const CALLS_OF: &str = "SELECT id FROM ledger WHERE master_id = ?1";
const LAST_CALL: &str = "SELECT coalesce(max(id), 0) FROM ledger";
const NUMBERS: &str = "SELECT DISTINCT contact_id FROM legs WHERE master_id = ?1";
/// Interactions that are erased in one transaction, and rows of the ledger that are changed in one: some ten milliseconds. Billed calls are
/// written between two.
const ERASED_AT_ONCE: usize = 64;
const CALLS_AT_ONCE: i64 = 2000;
const EVIDENCE: &str = "SELECT count(*) FROM evidence WHERE master_id = ?1";
/// By the day and agent too: without them all legs would be looked through while everybody waits.
const LEGS_IN_PLACE: &str = "DELETE FROM legs WHERE day = ?1 AND agent_id = ?2 AND master_id = ?3";
const BY_MASTER: [&str; 7] = [
    "DELETE FROM evidence WHERE master_id = ?1",
    "DELETE FROM holds WHERE master_id = ?1",
    "DELETE FROM obstacles WHERE master_id = ?1",
    "DELETE FROM documents WHERE master_id = ?1",
    "DELETE FROM files WHERE master_id = ?1",
    "DELETE FROM folders WHERE master_id = ?1",
    "DELETE FROM interactions WHERE master_id = ?1",
];
const BY_FOLDER: [&str; 2] = [
    "DELETE FROM agent_channels WHERE day = ?1 AND agent_id = ?2 AND NOT EXISTS (SELECT 1 FROM folders f
        WHERE f.day = ?1 AND f.agent_id = ?2 AND f.channel = agent_channels.channel)",
    "DELETE FROM agents WHERE day = ?1 AND agent_id = ?2 AND NOT EXISTS (SELECT 1 FROM folders f
        WHERE f.day = ?1 AND f.agent_id = ?2)",
];
const EVERYTHING: &str =
    "DELETE FROM evidence; DELETE FROM obstacles; DELETE FROM documents; DELETE FROM files; DELETE FROM legs; DELETE FROM shapes; DELETE FROM folders;
    DELETE FROM agent_channels; DELETE FROM agents; DELETE FROM interactions; DELETE FROM days;";

/// A folder of an interaction, with what the kernel may know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedPlace {
    pub day: Day,
    pub agent: AgentId,
    pub folder_name: String,
    pub folder_ino: u64,
    pub agent_name: String,
    pub agent_ino: u64,
}

/// What is known of some interactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    pub masters: Vec<MasterId>,
    pub places: Vec<ErasedPlace>,
    pub documents: u64,
    pub document_bytes: u64,
    pub ledger_rows: u64,
    /// Hashes of recordings.
    pub hashes: u64,
}

/// How much is known of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllHoldings {
    pub interactions: u64,
    pub folders: u64,
    pub documents: u64,
    pub document_bytes: u64,
    pub ledger_rows: u64,
}

impl Catalog {
    /// When a contact was erased; none if it was not. By master contact id or by one of its contact ids.
    pub fn erased_at(&self, number: i64) -> Option<Timestamp> {
        self.inner.marks.snapshot().at(number)
    }

    /// What stays of a contact that is erased.
    pub fn mark_of(&self, number: i64) -> Mark {
        self.inner.marks.of(number)
    }

    /// What is known of the interactions of which one of `ids` is the master contact, or the id of one of the legs. Nothing known: no
    /// masters.
    pub fn holdings(&self, ids: &[i64]) -> Result<Holdings, CatalogError> {
        self.inner.db.read(|connection| {
            let mut named = connection.prepare(MASTERS)?;
            let mut masters = BTreeSet::new();
            for id in ids {
                let found = named.query_map([id], |row| row.get(0).map(MasterId))?;
                masters.extend(found.collect::<Result<Vec<_>, _>>()?);
            }
            holdings(connection, &self.inner.field_cipher, masters.into_iter().collect())
        })
    }

    /// How much is known of everything; names nobody.
    pub fn all_holdings(&self) -> Result<AllHoldings, CatalogError> {
        self.inner.db.read(|connection| {
            let counts: [i64; 5] = connection.query_row(ALL_COUNTS, [], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
            })?;
            let [interactions, folders, documents, document_bytes, ledger_rows] = counts.map(i64::unsigned_abs);
            Ok(AllHoldings { interactions, folders, documents, document_bytes, ledger_rows })
        })
    }

    /// The agents' folders of all days.
    pub fn all_agents(&self) -> Result<Vec<(Day, AgentFolder)>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare("SELECT agent_id, name, ino, mtime, day FROM agents")?;
            let mut rows = statement.query([])?;
            let mut agents = Vec::new();
            while let Some(row) = rows.next()? {
                let day = Day(row.get(4)?);
                agents.extend(listing::agent_folder(&self.inner.field_cipher, day, row).ok().map(|agent| (day, agent)));
            }
            Ok(agents)
        })
    }

    /// Forgets interactions for ever: index, documents, sizes, hashes, and in the ledger for whom and by whom. Marks of their numbers stay.
    /// [`Catalog::wipe`] then removes the rest of them from the file.
    pub fn erase(&self, masters: &[MasterId], at: Timestamp) -> Result<(), CatalogError> {
        let mut numbers: Vec<i64> = masters.iter().map(|master| master.0).collect();
        self.inner.db.read(|connection| {
            let mut select = connection.prepare(NUMBERS)?;
            for master in masters {
                let found = select.query_map([master.0], |row| row.get(0))?;
                numbers.extend(found.collect::<Result<Vec<i64>, _>>()?);
            }
            Ok(())
        })?;
        let marks = self.inner.marks.add(&numbers, at);
        self.inner.db.write(|transaction| marks::store(transaction, &marks, at))?;
        let calls = self.calls_of(masters)?;
        for masters in masters.chunks(ERASED_AT_ONCE) {
            self.inner.db.write(|transaction| {
                for master in masters {
                    erase(transaction, *master)?;
                    calls.forget(transaction, *master)?;
                }
                Ok(())
            })?;
        }
        self.inner.recent.clear();
        Ok(())
    }

    /// Which rows of the ledger are about them, so far.
    fn calls_of(&self, masters: &[MasterId]) -> Result<Calls, CatalogError> {
        self.inner.db.read(|connection| {
            let mut calls = Calls { last: connection.query_row(LAST_CALL, [], |row| row.get(0))?, of: HashMap::new() };
            let mut select = connection.prepare(CALLS_OF)?;
            for master in masters {
                let found = select.query_map([master.0], |row| row.get(0))?;
                calls.of.insert(*master, found.collect::<Result<_, _>>()?);
            }
            Ok(calls)
        })
    }

    /// Forgets all interactions, agents and days. The days are listed anew when they are looked at: with the first interaction of a day that
    /// is forgotten, the day is.
    pub fn erase_all(&self) -> Result<(), CatalogError> {
        let (masters, last_call) = self.inner.db.read(|connection| {
            let mut select = connection.prepare("SELECT master_id FROM interactions")?;
            let masters = select.query_map([], |row| row.get(0).map(MasterId))?.collect::<Result<Vec<_>, _>>()?;
            Ok((masters, connection.query_row(LAST_CALL, [], |row| row.get::<_, i64>(0))?))
        })?;
        for masters in masters.chunks(ERASED_AT_ONCE) {
            self.erase_with_days(|transaction| {
                for master in masters {
                    for (day, _) in erase(transaction, *master)? {
                        transaction.prepare_cached("DELETE FROM days WHERE day = ?1")?.execute([day])?;
                    }
                }
                Ok(())
            })?;
        }
        for from in (0..=last_call).step_by(CALLS_AT_ONCE as usize) {
            let span = params![ERASED_UID, ERASED_COMM, from, from + CALLS_AT_ONCE - 1];
            self.inner.db.write(|transaction| Ok(transaction.prepare_cached(FORGET_ALL_CALLS)?.execute(span)?))?;
        }
        // What is left: what came meanwhile, and what belongs to no interaction.
        self.erase_with_days(|transaction| {
            transaction.execute_batch(EVERYTHING)?;
            transaction.execute(FORGET_ALL_CALLS, params![ERASED_UID, ERASED_COMM, last_call, i64::MAX])?;
            Ok(())
        })?;
        self.inner.recent.clear();
        Ok(())
    }

    /// A job that stores such a day in pieces begins again.
    fn erase_with_days(
        &self,
        erase: impl FnOnce(&Transaction<'_>) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        self.inner.db.write(|transaction| {
            self.inner.marks.renew();
            erase(transaction)
        })?;
        self.inner.known_days.forget_all();
        Ok(())
    }

    /// Overwrites what erased rows left in the database file and in its log, and removes damaged databases that were moved aside. Takes as long as
    /// reading the file; reading and writing go on.
    pub fn wipe(&self) -> Result<(), CatalogError> {
        slack::wipe(&self.inner.db)?;
        self.inner.recent.clear();
        remove_asides(&self.inner.db)
    }
}

fn holdings(
    connection: &Connection,
    field_cipher: &FieldCipher,
    masters: Vec<MasterId>,
) -> Result<Holdings, CatalogError> {
    let mut found = Holdings { masters, ..Holdings::default() };
    let (mut places, mut documents, mut ledger) =
        (connection.prepare(PLACES)?, connection.prepare(DOCUMENTS)?, connection.prepare(LEDGER)?);
    let mut evidence = connection.prepare(EVIDENCE)?;
    for master in &found.masters {
        let mut rows = places.query([master.0])?;
        while let Some(row) = rows.next()? {
            let (day, agent) = (Day(row.get(0)?), AgentId(row.get(1)?));
            found.places.push(ErasedPlace {
                day,
                agent,
                folder_name: row.get(2)?,
                folder_ino: row.get::<_, i64>(3)?.cast_unsigned(),
                // A name that is not genuine keeps nobody from erasing.
                agent_name: field_cipher.open_text(Place::agent_name(day, agent), row.get_ref(4)?).unwrap_or_default(),
                agent_ino: row.get::<_, i64>(5)?.cast_unsigned(),
            });
        }
        let (count, bytes): (i64, i64) = documents.query_row([master.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        found.documents += count.unsigned_abs();
        found.document_bytes += bytes.unsigned_abs();
        found.hashes += evidence.query_row([master.0], |row| row.get::<_, i64>(0))?.unsigned_abs();
        found.ledger_rows += ledger.query_row([master.0], |row| row.get::<_, i64>(0))?.unsigned_abs();
    }
    Ok(found)
}

/// Rows of the ledger about some interactions.
struct Calls {
    of: HashMap<MasterId, Vec<i64>>,
    /// What came after this row was not looked at.
    last: i64,
}

impl Calls {
    fn forget(&self, transaction: &Transaction<'_>, master: MasterId) -> Result<(), CatalogError> {
        let mut forget = transaction.prepare_cached(FORGET_CALL)?;
        for id in self.of.get(&master).into_iter().flatten() {
            forget.execute(params![master.0, ERASED_UID, ERASED_COMM, id])?;
        }
        transaction.prepare_cached(FORGET_CALLS)?.execute(params![master.0, ERASED_UID, ERASED_COMM, self.last])?;
        Ok(())
    }
}

/// Everything about an interaction but the ledger's rows. Returns where it was: every leg is in one of its folders.
fn erase(transaction: &Transaction<'_>, master: MasterId) -> Result<Vec<(i32, i64)>, CatalogError> {
    let mut places = transaction.prepare_cached(listing::PLACES)?;
    let places: Vec<(i32, i64)> =
        places.query_map([master.0], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (day, agent) in &places {
        transaction.prepare_cached(LEGS_IN_PLACE)?.execute(params![day, agent, master.0])?;
    }
    for sql in BY_MASTER {
        transaction.prepare_cached(sql)?.execute([master.0])?;
    }
    for (day, agent) in &places {
        for sql in BY_FOLDER {
            transaction.prepare_cached(sql)?.execute(params![day, agent])?;
        }
    }
    Ok(places)
}

fn remove_asides(db: &Db) -> Result<(), CatalogError> {
    let Some(dir) = db.path().parent() else { return Ok(()) };
    for entry in fs::read_dir(dir).map_err(CatalogError::io("list", dir))? {
        let path = entry.map_err(CatalogError::io("list", dir))?.path();
        let is_aside = path.file_name().is_some_and(|name| name.to_string_lossy().contains(DAMAGED_MARK));
        if is_aside {
            tracing::info!(path = %path.display(), "removing {}, a damaged database that was kept aside: it may hold what was erased", path.display());
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &std::path::Path) -> Result<(), CatalogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CatalogError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
