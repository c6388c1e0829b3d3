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
    /// The rate limit of listings, which cost nothing.
    #[serde(default)]
    pub reporting: ReportingStatus,
    /// Connections to media hosts.
    #[serde(default)]
    pub media: MediaStatus,
    /// What is under way.
    #[serde(default)]
    pub work: WorkStatus,
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
    /// Calls refused with 429 since it was mounted.
    #[serde(default)]
    pub refused: u64,
}

/// The rate limit of listings. Built in, and lowered where the tenant throttles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportingStatus {
    /// Pages allowed in any window.
    pub limit: u32,
    pub window_s: f64,
    /// The limit in force: lower after the tenant throttled.
    pub learned_limit: u32,
    /// Pages in the present window.
    pub used: u32,
    /// Pages waiting.
    pub waiting: usize,
    /// How long a pause after throttling still lasts.
    pub paused_for_s: f64,
    /// Pages refused with 429 since it was mounted.
    pub refused: u64,
}

/// Connections to media hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaStatus {
    /// What each host may have.
    pub connections_limit: usize,
    /// What the buffers of fetches under way may take together (bytes).
    pub buffer_limit_bytes: u64,
    /// The hosts that are in use now.
    pub hosts: Vec<MediaHostStatus>,
}

/// What goes to one media host now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaHostStatus {
    /// Scheme, host and port.
    pub host: String,
    pub connections: usize,
    /// Fetches waiting for a connection.
    pub waiting: usize,
}

/// What is under way. All but `tasks` is zero when nobody wants anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkStatus {
    /// Interactions being resolved, waiting ones included.
    pub resolving: usize,
    /// Recordings whose size is being asked for.
    pub sizes: usize,
    /// Fetches of media, waiting ones included.
    pub fetches: usize,
    /// Tasks of the daemon.
    pub tasks: usize,
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
    /// Why the disk takes nothing at present, if it does not; `null`: it does. Recordings are then read uncached.
    #[serde(default)]
    pub trouble: Option<String>,
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
