//! What exists: days, agents, interactions, their names and inode numbers, resolution state, documents, ledger.
//! In SQLite, so that a restart forgets nothing.
//!
//! Knows no bytes of recordings and no FUSE. The map:
//!
//! | file | what lives there |
//! | --- | --- |
//! | `memory` | SQLite's memory, wiped when it is freed |
//! | `statedir`, `db`, `schema`, `salvage` | the file on disk: whose, held by whom, which tables, what if it is damaged |
//! | `names`, `inode`, `contact_json` | pure functions: directory names, inode numbers, `contact.json` |
//! | `plan`, `record`, `beginnings` | writing a day: what is to be stored (pure), storing it, what began the day before |
//! | `days`, `listing` | reading days and folders, by index only |
//! | `resolution`, `rates`, `highest`, `ledger`, `facts` | what billed calls said, what sizes were learned, what was billed, small facts |
//! | `audit_chain` | where the chain of the audit log begins and ends |
//! | `beside` | what commands read of a state that another process holds |
//! | `state`, `obstacles` | states merged from what each source said (pure); keeping what was refused |
//! | `vault`, `rows`, `sealing` | encryption of what is said of people, checksums of rows, which key is in force |
//! | `backup` | a copy of the file while it is written to |
//! | `erase`, `marks` | forgetting an interaction so that nothing of it stays in the file, and does not come back |
//! | `holds`, `evidence` | what may not be removed, and what recordings hashed to |
//! | `recent` | interactions looked at lately |
//! | `zone` | a state directory under another time zone |
//! | `indexer` | when to ask the tenant for a day, each day once at a time |
//!
//! Invariants: a published name, inode number or time never changes; a folder never disappears, unless somebody erases it; what was paid for outlives the index.

mod audit_chain;
mod backup;
mod beginnings;
mod beside;
mod contact_json;
mod convert;
mod days;
mod db;
mod erase;
mod error;
mod evidence;
mod facts;
mod highest;
mod holds;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod indexer;
mod inode;
mod ledger;
mod listing;
mod marks;
mod memory;
mod model;
pub mod names;
mod obstacles;
mod plan;
mod rates;
mod recent;
mod record;
mod resolution;
mod rows;
mod salvage;
mod schema;
mod sealing;
mod state;
mod statedir;
#[cfg(test)]
mod testing;
mod vault;
mod zone;

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;

use days::KnownDays;
use db::Db;
use inode::InodeNumbers;
use marks::Marks;
use recent::Recent;
use vault::Vault;

use crate::base::crypt::Keys;

pub use audit_chain::{ChainEnds, ChainPlace};
pub use backup::backup;
pub use beside::{read_audit_chain, read_masters};
pub use days::Unreadable;
pub use erase::{AllHoldings, ERASED, ERASED_COMM, ERASED_UID, ErasedPlace, Holdings};
pub use error::CatalogError;
pub use evidence::Evidence;
pub use highest::SHORTEST_SECONDS;
pub use holds::Hold;
pub use indexer::{IndexError, Indexer, Lister};
pub use inode::{MAX_EMAILS, MAX_RECORDINGS, ROOT_INO, contact_ino, day_ino, file_ino};
pub use ledger::LedgerReader;
pub use marks::Mark;
pub use model::{
    AgentFolder, CatalogSettings, DayState, FileKind, Interaction, InteractionFolder, LedgerEntry, LedgerId, LedgerRow,
    Leg, NewResolution, Resolution, ResolvedFile, is_billed_outcome,
};
pub use state::{Facts, Given, Obstacle, ObstacleKind, Obstacles, Scope, State, merge};

/// The state database. All methods block for microseconds (reads) or a disk flush (writes). Cheap to clone.
///
/// A state directory belongs to one catalog at a time, across processes, until its last clone is dropped.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    recent: Recent,
    timezone: TimeZone,
    numbers: InodeNumbers,
    vault: Vault,
    known_days: KnownDays,
    highest: highest::Highest,
    marks: Marks,
    checked: rows::Checked,
    unsaid: record::Unsaid,
}

impl Catalog {
    /// Opens or creates `cxonefs.db` in `dir` (0700, the file 0600) and migrates it.
    ///
    /// Refuses a directory or file of someone else, one that is in use, and a database of a newer version. A damaged or foreign
    /// database is moved aside with a warning, and a new one is begun with what could be salvaged.
    pub fn open(dir: &Path, settings: CatalogSettings) -> Result<Catalog, CatalogError> {
        Catalog::open_sealed(dir, settings, &Keys::default())
    }

    /// As [`Catalog::open`], with what is said of people encrypted if there is a current key. A database encrypted with the previous key is
    /// encrypted anew; without a current key, it is decrypted. Any other key is refused before anything is touched, and so is a
    /// database in the clear if there is a current key.
    pub fn open_sealed(dir: &Path, settings: CatalogSettings, keys: &Keys) -> Result<Catalog, CatalogError> {
        Catalog::open_with(dir, settings, keys, InodeNumbers::default())
    }

    /// Opens what is there, for looking after it: nothing is listed by it, so that it needs no time zone. Its
    /// encryption stays as it is; one of `keys` must fit. `None` where there is no database.
    pub fn open_existing(dir: &Path, keys: &Keys) -> Result<Option<Catalog>, CatalogError> {
        if !db::file_in(dir).exists() {
            return Ok(None);
        }
        let (db, vault) = sealing::open_as_found(dir, keys)?;
        Catalog::over(db, vault, TimeZone::UTC, InodeNumbers::default()).map(Some)
    }

    /// Encrypts a state directory with the current key, without checking its origin. Returns whether there was anything to do.
    pub fn encrypt(dir: &Path, keys: &Keys) -> Result<bool, CatalogError> {
        sealing::take_over(dir, keys)
    }

    fn open_with(
        dir: &Path,
        settings: CatalogSettings,
        keys: &Keys,
        numbers: InodeNumbers,
    ) -> Result<Catalog, CatalogError> {
        let (db, vault) = sealing::open(dir, keys)?;
        zone::adopt(&db, &settings.timezone)?;
        Catalog::over(db, vault, settings.timezone, numbers)
    }

    fn over(db: Db, vault: Vault, timezone: TimeZone, numbers: InodeNumbers) -> Result<Catalog, CatalogError> {
        let (known_days, recent) = (KnownDays::default(), Recent::new());
        let (highest, marks) = (highest::Highest::default(), Marks::load(&db, &vault)?);
        let (checked, unsaid) = (rows::Checked::default(), record::Unsaid::default());
        let inner = Inner { db, recent, timezone, numbers, vault, known_days, highest, marks, checked, unsaid };
        Ok(Catalog { inner: Arc::new(inner) })
    }
}
