//! What `cxonefs status` says: the stable form of a mount's state. Field names are part of what users see; fields may be added.

use serde::{Deserialize, Serialize};

/// A mount's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    pub mount_point: String,
    /// When it was mounted (ISO 8601, UTC).
    pub mounted_at: String,
    pub tenant: TenantStatus,
    pub tree: TreeStatus,
    pub playback: PlaybackStatus,
    /// What can be down by itself.
    #[serde(default)]
    pub services: Vec<ServiceStatus>,
    pub budget: BudgetStatus,
    pub cache: CacheStatus,
    pub kernel: KernelStatus,
    /// Resident memory of the daemon (bytes).
    pub memory_bytes: u64,
}

/// Whose recordings they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantStatus {
    /// Host (with port) that logs us in.
    pub host: String,
    pub access_key_id: String,
}

/// What is indexed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeStatus {
    /// First and last day shown (`YYYY-MM-DD`).
    pub first_day: String,
    pub last_day: String,
    /// Indexed days that may still change.
    pub days_open: u64,
    pub interactions: u64,
    /// When a billed call may be made: open, stat or list.
    pub resolve_on: String,
}

/// The rate limit of billed calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaybackStatus {
    /// Calls allowed in any window.
    pub limit: u32,
    pub window_s: f64,
    /// The limit in force: lower after the tenant throttled.
    pub learned_limit: u32,
    /// Calls in the present window.
    pub used: u32,
    /// Requests waiting, by class.
    pub waiting: Waiting,
    /// How long a pause after throttling still lasts.
    pub paused_for_s: f64,
}

/// One of the tenant's services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub name: String,
    /// How long it has been down; `null`: it is up.
    pub down_for_s: Option<f64>,
    /// What failed last, while it is down.
    pub error: Option<String>,
}

/// Requests that wait for the rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub open: usize,
    pub stat: usize,
    pub list: usize,
    pub warm: usize,
}

/// The daily budget of billed calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// `null`: unlimited.
    pub limit: Option<u64>,
    /// Calls made on this UTC day.
    pub spent_today: u64,
}

/// The cache of recordings' bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheStatus {
    pub dir: String,
    pub used_bytes: u64,
    pub size_bytes: u64,
    /// Whether recordings, and what the state says of people, are encrypted on disk.
    #[serde(default)]
    pub encrypted: bool,
}

/// What the kernel holds of this mount, and what it does without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelStatus {
    pub inodes: u64,
    pub open_files: u64,
    pub passthrough: PassthroughStatus,
}

/// Whether the kernel reads complete recordings from the cache by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassthroughStatus {
    /// `off`, `not offered`, `untried`, `working` or `refused`.
    pub state: String,
    /// Opens served so.
    pub opens: u64,
    /// Why the kernel refused.
    pub why: Option<String>,
}
