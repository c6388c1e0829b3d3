//! What `cxonefs cache` asks and is told, by a mount through its control socket or by the directories themselves. Plain data; field names are
//! part of what users see, and fields may be added.

use serde::{Deserialize, Serialize};

/// What is in the cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheReport {
    pub dir: String,
    /// Where it is mounted; `null` where the directory was looked at directly.
    pub mount_point: Option<String>,
    /// Bytes on disk, and how many it may occupy.
    pub used_bytes: u64,
    pub size_bytes: u64,
    /// Recordings of which something is here: all of it, or a part.
    pub recordings: u64,
    pub complete: u64,
    pub partial: u64,
    pub blocks: u64,
    /// When the oldest and the newest recording was fetched (ISO 8601, UTC).
    pub oldest: Option<String>,
    pub newest: Option<String>,
    /// Bytes go so long after they were fetched.
    pub max_age_s: f64,
    /// Of the reads since the mount began, those that needed no network; `null` where nobody knows.
    pub hit_ratio: Option<f64>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub done: u64,
    pub of: u64,
}

/// What a look at every block found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    pub recordings: u64,
    pub blocks: u64,
    pub bytes: u64,
    /// Blocks that did not match their checksum. They were dropped and are fetched again when somebody reads them.
    pub damaged_blocks: u64,
    /// Recordings whose index was of no use. They were dropped as a whole.
    pub damaged_recordings: u64,
}

/// What to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Bytes of all recordings; sizes, documents and the tree stay.
    Media,
    /// Everything about some interactions, each named by its master contact id or by one of its contact ids.
    Contacts(Vec<i64>),
    /// Everything about everybody.
    All,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeRequest {
    pub what: What,
    /// Only tell what would go.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeReport {
    pub dry_run: bool,
    /// Recordings of which something was in the cache, and the bytes that their files occupied.
    pub recordings: u64,
    pub bytes: u64,
    /// Interactions of which anything was known; their master contact ids, where one was asked for.
    pub interactions: u64,
    pub master_contacts: Vec<i64>,
    /// Folders of the tree.
    pub folders: u64,
    pub documents: u64,
    pub document_bytes: u64,
    /// Rows of the ledger that keep when a call was made, and forget for whom and by whom.
    pub ledger_rows: u64,
    /// Lines of the audit log and of the log file that were made unreadable.
    pub log_lines: u64,
}

/// A line of the answer to something that takes long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told<T> {
    /// It goes on.
    Alive,
    Progress(Progress),
    Done(T),
    Failed(String),
}

/// Looks after what is kept on disk. Everything here blocks, and may take long.
pub trait Keeping: Send + Sync + 'static {
    /// What is in the cache.
    fn stats(&self) -> CacheReport;

    /// Compares every block with its checksum. Ends early when `progress` says false.
    fn verify(&self, progress: &mut dyn FnMut(Progress) -> bool) -> VerifyReport;

    /// Removes. An error is a text; what was begun can be asked for again.
    fn purge(&self, request: &PurgeRequest, progress: &mut dyn FnMut(Progress)) -> Result<PurgeReport, String>;
}
