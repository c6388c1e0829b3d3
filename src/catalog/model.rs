//! The words in which the catalog answers: folders, interactions, resolutions, ledger rows.
//!
//! Plain data; knows no SQL.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::kind::FileKind;
use super::obstacle::Obstacles;
use crate::base::{AgentId, Channel, ContactId, Day, MasterId};
use crate::net::Priority;

/// Settings that decide names and days.
#[derive(Clone, Debug)]
pub struct CatalogSettings {
    /// Decides on which local day a leg falls and the time in an interaction's name. A state directory that was filled under
    /// another zone is listed anew (see `zone.rs`); what was paid for stays.
    pub timezone: TimeZone,
}

/// One agent's folder of one day.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentFolder {
    pub agent_id: AgentId,
    /// Directory name as first published.
    pub name: Arc<str>,
    /// Inode number of the directory.
    pub ino: u64,
    /// The newest child's time, all channels counted.
    pub mtime: Timestamp,
}

/// One interaction's folder below an agent's.
#[derive(Clone, Debug, PartialEq)]
pub struct InteractionFolder {
    pub master_id: MasterId,
    /// Of this agent's first leg that day, as first published.
    pub channel: Channel,
    /// Directory name as first published.
    pub name: Arc<str>,
    /// Inode number of the directory; [`contact_ino`](super::contact_ino) derives that of its `contact.json`.
    pub ino: u64,
    /// Latest `lastUpdateTime` of the legs in `contact.json`, else the start of the latest leg.
    pub contact_mtime: Timestamp,
    /// Bytes of `contact.json`.
    pub contact_size: u64,
    /// The newest child's time: of `contact.json` or of the shared files.
    pub mtime: Timestamp,
    /// The interaction's: inode numbers of the shared files derive from it.
    pub ino_base: u64,
}

/// One leg of an interaction, as the index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    pub day: Day,
    pub agent_id: AgentId,
    pub contact_id: ContactId,
}

/// What all places of one interaction share.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    pub master_id: MasterId,
    /// Of the earliest leg, as first published.
    pub channel: Channel,
    /// Inode numbers of the shared files derive from it: [`file_ino`](super::file_ino).
    pub ino_base: u64,
    /// Start of the earliest leg as known when first published.
    pub mtime: Timestamp,
    /// Seconds from the earliest start to the latest end of all known legs; at least 1. For estimates only.
    pub duration_s: f64,
    /// In how many (day, agent) folders it appears, all channels counted.
    pub places: u32,
    pub resolution: Resolution,
    pub obstacles: Obstacles,
}

/// Whether the billed call was made, and what it said.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    Unresolved,
    /// The exact listing, ordered by [`FileKind`]. Empty where there is no recording (404).
    Resolved {
        files: Arc<[ResolvedFile]>,
        /// From then on a missing recording may be asked for again (set only where there is no recording).
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

/// What a resolution stores: documents with their bytes, recordings with what is known of them.
#[derive(Clone, Debug)]
pub struct NewResolution {
    /// A document's bytes decide its size; a recording has none here.
    pub files: Vec<(ResolvedFile, Option<Vec<u8>>)>,
    pub recheck_at: Option<Timestamp>,
}

/// A day's state in the index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DayState {
    /// When the newest listing was asked for.
    pub indexed_at: Timestamp,
    /// Final: indexed later than 48 h after its end.
    pub closed: bool,
    /// The tenant's `lastPollTime`, to be used as `updated_since`.
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

/// A row of the ledger as read back.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerRow {
    pub id: LedgerId,
    /// When the call was about to be made, in microseconds.
    pub at: Timestamp,
    pub master_id: MasterId,
    /// The word of the [`Priority`]: open, stat, list, warm.
    pub reason: String,
    pub uid: u32,
    pub pid: u32,
    pub comm: String,
    /// `None`: the process ended before the answer came. It counts as billed.
    pub outcome: Option<String>,
}

impl LedgerRow {
    /// Whether it counts as billed: the tenant did not refuse it for its rate, and it may have left this machine.
    #[must_use]
    pub fn is_billed(&self) -> bool {
        is_billed_outcome(self.outcome.as_deref())
    }
}

/// What stands in the ledger in place of the one who made an erased interaction's call.
pub const ERASED_COMM: &str = "(erased)";
/// As above; the number by which POSIX says "nobody in particular".
pub const ERASED_UID: u32 = u32::MAX;
/// Why nothing is stored of an interaction any more.
pub const ERASED: &str = "the interaction was erased";

/// Whether a call with that outcome counts as billed; `None`: it was not answered yet.
#[must_use]
pub fn is_billed_outcome(outcome: Option<&str>) -> bool {
    !matches!(outcome, Some("throttled" | "token ended" | "unsent"))
}
