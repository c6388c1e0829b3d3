//! What exists: days, agents, interactions, their names and inode numbers, resolution state, documents, ledger.
//! In SQLite, so that a restart forgets nothing.
//!
//! Knows no bytes of recordings and no FUSE. The map:
//!
//! | file | what lives there |
//! | --- | --- |
//! | `handle`, `opening` | what everything here has methods on, and how it comes to be |
//! | `memory` | SQLite's memory, wiped when it is freed |
//! | `statedir`, `db`, `schema`, `salvage` | the file on disk: whose, held by whom, which tables, what if it is damaged |
//! | `names`, `inode`, `contact_json` | pure functions: directory names, inode numbers, `contact.json` |
//! | `plan`, `record`, `unsaid`, `overnight` | writing a day: what is to be stored (pure), storing it, what began the day before |
//! | `days`, `known_days`, `listing` | reading days and folders, by index only |
//! | `resolution`, `rates`, `highest`, `ledger`, `facts`, `known` | what billed calls said, what sizes were learned, what was billed, small facts |
//! | `audit_chain` | where the chain of the audit log begins and ends |
//! | `beside` | what commands read of a state that another process holds |
//! | `state`, `obstacles` | states merged from what each source said (pure); keeping what was refused |
//! | `field_cipher`, `rows`, `sealing` | encryption of what is said of people, checksums of rows, which key is in force |
//! | `backup` | a copy of the file while it is written to |
//! | `erase`, `slack`, `marks` | forgetting an interaction so that nothing of it stays in the file, and does not come back |
//! | `holds`, `evidence` | what may not be removed, and what recordings hashed to |
//! | `recent` | interactions looked at lately |
//! | `zone` | a state directory under another time zone |
//! | `indexer` | when to ask the tenant for a day, each day once at a time |
//!
//! Invariants: a published name, inode number or time never changes; a folder never disappears, unless somebody erases it; what was paid for outlives the index.

mod audit_chain;
mod backup;
mod beside;
mod contact_json;
mod convert;
mod days;
mod db;
mod erase;
mod error;
mod evidence;
mod facts;
mod field_cipher;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handle;
mod highest;
mod holds;
mod indexer;
mod inode;
mod kind;
mod known;
mod known_days;
mod ledger;
mod listing;
mod marks;
mod memory;
mod model;
pub mod names;
mod obstacle;
mod obstacles;
mod opening;
mod overnight;
mod plan;
mod rates;
mod recent;
mod record;
mod resolution;
mod rows;
mod salvage;
mod schema;
mod sealing;
mod slack;
mod state;
mod statedir;
#[cfg(test)]
mod testing;
mod unsaid;
mod zone;

pub use audit_chain::{ChainEnds, ChainPlace};
pub use backup::backup;
pub use beside::{read_audit_chain, read_masters};
pub use days::Unreadable;
pub use erase::{AllHoldings, ErasedPlace, Holdings};
pub use error::CatalogError;
pub use evidence::Evidence;
pub use handle::Catalog;
pub use highest::SHORTEST_SECONDS;
pub use holds::Hold;
pub use indexer::{IndexError, Indexer, Lister};
pub use inode::{MAX_EMAILS, MAX_RECORDINGS, ROOT_INO, contact_ino, day_ino, file_ino};
pub use kind::FileKind;
pub use ledger::LedgerReader;
pub use marks::Mark;
pub use model::{
    AgentFolder, CatalogSettings, DayState, ERASED, ERASED_COMM, ERASED_UID, Interaction, InteractionFolder,
    LedgerEntry, LedgerId, LedgerRow, Leg, NewResolution, Resolution, ResolvedFile, is_billed_outcome,
};
pub use obstacle::{Obstacle, ObstacleKind, Obstacles, Scope};
pub use state::{Facts, Given, State, merge};
