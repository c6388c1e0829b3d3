//! What `cxonefs cache` asks and is told, by a mount through its control socket or by the directories themselves. Plain data; field names are
//! part of what users see, and fields may be added.

use serde::{Deserialize, Serialize};

use super::certificate::Certificate;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    pub recordings: u64,
    pub blocks: u64,
    pub bytes: u64,
    /// Blocks that did not match their checksum. They were dropped and are fetched again when somebody reads them.
    pub damaged_blocks: u64,
    /// Recordings whose index was of no use. They were dropped as a whole.
    pub damaged_recordings: u64,
    /// Recordings that were compared with what they hashed to when all of them was here first.
    #[serde(default)]
    pub hashed: u64,
    /// Those of them that are something else now. They are left as they are.
    #[serde(default)]
    pub mismatched: Vec<Mismatch>,
    /// Why not everything was compared.
    #[serde(default)]
    pub failed: Option<String>,
}

/// A recording that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    pub master_contact: i64,
    /// Which recording of the interaction, from 0.
    pub recording: u8,
    /// When it was hashed first (ISO 8601, UTC).
    pub hashed_at: String,
}

/// What to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRequest {
    /// Master contact ids, or ids of their contacts.
    pub contacts: Vec<i64>,
    pub reason: String,
}

/// What no longer to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRequest {
    pub contacts: Vec<i64>,
}

/// An interaction that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReport {
    pub master_contact: i64,
    pub reason: String,
    /// ISO 8601, UTC.
    pub since: String,
    /// Who asked for it last.
    pub uid: u32,
    pub user: Option<String>,
    /// Bytes of it in the cache.
    pub bytes: u64,
    /// Recordings that it has, or is expected to have, and those of which bytes are missing here.
    pub recordings: u64,
    pub missing: u64,
    /// Its folders, below the mount point.
    pub paths: Vec<String>,
}

/// What became of a change of holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldsReport {
    /// Those that were set, or ended.
    pub holds: Vec<HoldReport>,
    /// Contacts of which nothing is known, or that were not held. With any, nothing new is held.
    pub unknown: Vec<i64>,
}

/// The day whose manifest is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRequest {
    /// `YYYY-MM-DD`.
    pub day: String,
}

/// What a day's recordings hash to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub day: String,
    pub lines: Vec<ManifestLine>,
    /// Recordings that were never here as a whole.
    pub missing: Vec<String>,
}

/// One recording. Paths are relative to the day's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLine {
    pub sha256: String,
    pub path: String,
    pub size: u64,
    /// When it was hashed (ISO 8601, UTC), and on which machine.
    pub hashed_at: String,
    pub host: String,
    /// What the media host told its version by.
    pub validator: String,
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
    /// Why, for the certificate.
    #[serde(default)]
    pub reason: Option<String>,
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
    /// SHA-256 of recordings.
    #[serde(default)]
    pub hashes: u64,
    /// Contacts that were asked for and of which nothing was known.
    #[serde(default)]
    pub unknown: Vec<i64>,
    /// Those of them that were erased before.
    #[serde(default)]
    pub erased_before: Vec<ErasedBefore>,
    /// What is held: bytes of it stay, and where contacts or everything was to be erased, nothing was.
    #[serde(default)]
    pub held: Vec<HoldReport>,
    /// Of an erasure.
    #[serde(default)]
    pub certificate: Option<Certificate>,
}

/// A contact that was erased, and when (ISO 8601, UTC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedBefore {
    pub contact: i64,
    pub at: String,
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

    /// Removes, for a local user. An error is a text; what was begun can be asked for again.
    fn purge(
        &self,
        request: &PurgeRequest,
        uid: u32,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PurgeReport, String>;

    /// What is held.
    fn holds(&self) -> Result<Vec<HoldReport>, String>;

    /// Holds interactions, for a local user.
    fn add_holds(&self, request: &HoldRequest, uid: u32) -> Result<HoldsReport, String>;

    /// Ends holds.
    fn remove_holds(&self, contacts: &[i64]) -> Result<HoldsReport, String>;

    /// What a day's recordings hash to. Within a runtime.
    fn manifest(&self, day: &str, progress: &mut dyn FnMut(Progress)) -> Result<Manifest, String>;
}
