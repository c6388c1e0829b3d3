//! What exists: days, agents, interactions, their names and inode numbers, resolution state, documents, ledger.
//! In SQLite, so that a restart forgets nothing.
//!
//! Knows no bytes of recordings and no FUSE.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::base::{AgentId, Channel, Clock, Day, MasterId};
use crate::cxone::{ApiError, ContactRecord, ContactsAnswer, Priority};

/// One agent's folder of one day.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentFolder {
    pub agent_id: AgentId,
    /// Directory name as first published.
    pub name: Arc<str>,
    /// Inode number of the directory.
    pub ino: u64,
    /// The newest child's time.
    pub mtime: Timestamp,
}

/// One interaction's folder below an agent's.
#[derive(Clone, Debug, PartialEq)]
pub struct InteractionFolder {
    pub master_id: MasterId,
    pub channel: Channel,
    /// Directory name as first published.
    pub name: Arc<str>,
    /// Inode number of the directory; [`contact_ino`] derives that of its `contact.json`.
    pub ino: u64,
    /// Latest `lastUpdateTime` of the legs in `contact.json`, else the start of the latest leg.
    pub contact_mtime: Timestamp,
    /// Bytes of `contact.json`.
    pub contact_size: u64,
}

/// What all places of one interaction share.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    pub master_id: MasterId,
    pub channel: Channel,
    /// Inode numbers of the shared files derive from it: [`file_ino`].
    pub ino_base: u64,
    /// Start of the earliest leg as known when first published.
    pub mtime: Timestamp,
    /// Sum or maximum of leg durations, whichever estimates the recording's length better; seconds.
    pub duration_s: f64,
    /// In how many folders it appears.
    pub places: u32,
    pub resolution: Resolution,
}

/// Whether the billed call was made, and what it said.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    Unresolved,
    /// The exact listing. Empty where there is no recording (404). `recheck_at`: from then on a missing recording may be asked for
    /// again (set only where there is no recording).
    Resolved {
        files: Arc<[ResolvedFile]>,
        recheck_at: Option<Timestamp>,
    },
}

/// A file that one billed call revealed.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedFile {
    pub kind: FileKind,
    pub name: Arc<str>,
    /// Bytes; `None` for a recording whose media host has not yet told.
    pub size: Option<u64>,
    /// Recordings: the media host's validator, empty where it sent none.
    pub validator: String,
}

/// Which of an interaction's shared files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    Metadata,
    TranscriptText,
    TranscriptJson,
    Email,
    /// `recording.mp4` is 0, `recording_2.mp4` is 1, …
    Recording(u8),
}

/// What a resolution stores: documents with their bytes, recordings with what is known of them.
#[derive(Clone, Debug)]
pub struct NewResolution {
    pub files: Vec<(ResolvedFile, Option<Vec<u8>>)>,
    pub recheck_at: Option<Timestamp>,
}

/// Inode number of a folder's `contact.json`.
#[must_use]
pub fn contact_ino(folder_ino: u64) -> u64 {
    folder_ino | 1
}

/// Inode number of one of an interaction's shared files.
#[must_use]
pub fn file_ino(ino_base: u64, kind: FileKind) -> u64 {
    ino_base
        | match kind {
            FileKind::Metadata => 1,
            FileKind::TranscriptText => 2,
            FileKind::TranscriptJson => 3,
            FileKind::Email => 4,
            FileKind::Recording(index) => 16 + u64::from(index.min(239)),
        }
}

/// Inode number of a day's directory.
#[must_use]
pub fn day_ino(day: Day) -> u64 {
    (1 << 60) | ((i64::from(day.0) + (1 << 31)) as u64) << 8
}

/// One leg of an interaction, for `user.cxone.*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    pub day: Day,
    pub agent_id: AgentId,
    pub contact_id: crate::base::ContactId,
}

/// A day's state in the index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DayState {
    pub indexed_at: Timestamp,
    /// Final: indexed later than 48 h after its end.
    pub closed: bool,
    /// The newest child's time; the day's start where it has none.
    pub mtime: Timestamp,
    /// To be used as `updated_since`.
    pub last_poll: Option<Timestamp>,
}

/// A row of the ledger, written before the call is made.
#[derive(Clone, Debug)]
pub struct LedgerEntry {
    pub at: Timestamp,
    pub master_id: MasterId,
    pub reason: Priority,
    pub uid: u32,
    pub pid: u32,
    pub comm: String,
}

/// A ledger row's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerId(pub i64);

/// What can go wrong with the state database.
#[derive(Debug, thiserror::Error)]
#[error("state database: {0}")]
pub struct CatalogError(pub String);

/// The state database. All methods block for microseconds (reads) or a disk flush (writes). Cheap to clone.
#[derive(Clone)]
pub struct Catalog;

/// Settings that decide names and days.
#[derive(Clone, Debug)]
pub struct CatalogSettings {
    pub timezone: TimeZone,
}

#[expect(unused_variables, clippy::missing_errors_doc)]
impl Catalog {
    /// Opens or creates `cxonefs.db` in `dir` (0700, the file 0600) and migrates it.
    pub fn open(dir: &Path, settings: CatalogSettings) -> Result<Catalog, CatalogError> {
        unimplemented!()
    }
    pub fn day(&self, day: Day) -> Result<Option<DayState>, CatalogError> {
        unimplemented!()
    }
    /// Adds or updates a day's legs in one transaction; publishes new names, never changes published ones. Returns whether anything changed.
    pub fn record_day(
        &self,
        day: Day,
        records: &[ContactRecord],
        indexed_at: Timestamp,
        closed: bool,
        last_poll: Option<Timestamp>,
    ) -> Result<bool, CatalogError> {
        unimplemented!()
    }
    /// Agent folders that have an interaction on one of `channels`, ordered by name.
    pub fn agents(&self, day: Day, channels: &[Channel]) -> Result<Vec<AgentFolder>, CatalogError> {
        unimplemented!()
    }
    pub fn agent(&self, day: Day, agent: AgentId) -> Result<Option<AgentFolder>, CatalogError> {
        unimplemented!()
    }
    pub fn agent_by_name(&self, day: Day, name: &str) -> Result<Option<AgentFolder>, CatalogError> {
        unimplemented!()
    }
    /// Interaction folders on `channels`, ordered by name.
    pub fn interactions(
        &self,
        day: Day,
        agent: AgentId,
        channels: &[Channel],
    ) -> Result<Vec<InteractionFolder>, CatalogError> {
        unimplemented!()
    }
    pub fn interaction_folder(
        &self,
        day: Day,
        agent: AgentId,
        master: MasterId,
    ) -> Result<Option<InteractionFolder>, CatalogError> {
        unimplemented!()
    }
    pub fn interaction_folder_by_name(
        &self,
        day: Day,
        agent: AgentId,
        name: &str,
    ) -> Result<Option<InteractionFolder>, CatalogError> {
        unimplemented!()
    }
    /// `contact.json`: a pretty-printed JSON array with a final newline, one object per leg.
    pub fn contact_json(&self, day: Day, agent: AgentId, master: MasterId) -> Result<Option<Vec<u8>>, CatalogError> {
        unimplemented!()
    }
    pub fn interaction(&self, master: MasterId) -> Result<Option<Interaction>, CatalogError> {
        unimplemented!()
    }
    /// Every folder in which an interaction appears (for invalidation).
    pub fn places(&self, master: MasterId) -> Result<Vec<(Day, AgentId)>, CatalogError> {
        unimplemented!()
    }
    pub fn store_resolution(
        &self,
        master: MasterId,
        resolution: &NewResolution,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        unimplemented!()
    }
    /// Learned after resolving, or changed at the source.
    pub fn set_recording_version(
        &self,
        master: MasterId,
        index: u8,
        size: u64,
        validator: &str,
    ) -> Result<(), CatalogError> {
        unimplemented!()
    }
    pub fn document(&self, master: MasterId, kind: FileKind) -> Result<Option<Vec<u8>>, CatalogError> {
        unimplemented!()
    }
    /// Bytes per second learned for a channel from resolved recordings, if any.
    pub fn learned_rate(&self, channel: Channel) -> Result<Option<f64>, CatalogError> {
        unimplemented!()
    }
    pub fn ledger_begin(&self, entry: &LedgerEntry) -> Result<LedgerId, CatalogError> {
        unimplemented!()
    }
    pub fn ledger_finish(&self, id: LedgerId, outcome: &str) -> Result<(), CatalogError> {
        unimplemented!()
    }
    /// When billed calls were made since `since`, oldest first.
    pub fn ledger_times(&self, since: Timestamp) -> Result<Vec<Timestamp>, CatalogError> {
        unimplemented!()
    }
    pub fn legs(&self, master: MasterId) -> Result<Vec<Leg>, CatalogError> {
        unimplemented!()
    }
    pub fn ledger_count(&self, since: Timestamp) -> Result<u64, CatalogError> {
        unimplemented!()
    }
    /// Known interactions and bytes, for `statfs`.
    pub fn totals(&self) -> Result<(u64, u64), CatalogError> {
        unimplemented!()
    }
}

/// Who lists a window of completed contacts; the tenant, or a double in tests.
#[async_trait]
pub trait Lister: Send + Sync + 'static {
    /// Legs that start in `[start, end)`.
    async fn list(
        &self,
        start: Timestamp,
        end: Timestamp,
        updated_since: Option<Timestamp>,
    ) -> Result<ContactsAnswer, ApiError>;
}

/// Fills the catalog day by day, each day at most once at a time.
#[derive(Clone)]
pub struct Indexer;

/// Why a day could not be indexed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    #[error("listing contacts failed")]
    Api(#[source] Arc<ApiError>),
    #[error("storing the listing failed")]
    Catalog(#[source] Arc<CatalogError>),
}

#[expect(unused_variables)]
impl Indexer {
    pub fn new(catalog: Catalog, lister: Arc<dyn Lister>, clock: Arc<dyn Clock>, timezone: TimeZone) -> Indexer {
        unimplemented!()
    }
    /// Returns at once if the day is in the index; else fetches it (single flight) and waits. An open day older than the refresh age
    /// is answered from the index and refreshed behind.
    pub async fn ensure(&self, day: Day) -> Result<DayState, IndexError> {
        unimplemented!()
    }
}
