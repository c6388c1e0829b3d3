//! What `cxonefs status` says: the stable form of a mount's state. Field names are part of what users see; fields may be added.

use serde::{Deserialize, Serialize};

/// A mount's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// With the commit, where it is known.
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
    /// Index, ledger and audit log.
    #[serde(default)]
    pub state: StateStatus,
    /// The audit log.
    #[serde(default)]
    pub audit: AuditStatus,
    pub kernel: KernelStatus,
    /// Every place at which the tree is mounted.
    #[serde(default)]
    pub doors: Vec<DoorStatus>,
    pub reads: ReadStatus,
    /// The slowest requests of the last quarter of an hour, slowest first.
    pub slowest: Vec<SlowRequest>,
    /// Resident memory of the daemon (bytes).
    pub memory_bytes: u64,
}

/// Whose recordings they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantStatus {
    /// Host (with port) that logs us in.
    pub host: String,
    pub access_key_id: String,
    pub login: LoginStatus,
}

/// How the login is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStatus {
    /// `none` (not needed yet), `good` or `failed`.
    pub state: String,
    /// Until when a good one lasts; it is renewed before (ISO 8601, UTC).
    pub until: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// What is indexed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeStatus {
    /// First and last day shown (`YYYY-MM-DD`).
    pub first_day: String,
    pub last_day: String,
    /// Days in the index.
    pub days_indexed: u64,
    /// Indexed days that may still change.
    pub days_open: u64,
    pub interactions: u64,
    /// When a billed call may be made: open, stat or list.
    pub resolve_on: String,
    /// Days that are being listed now.
    #[serde(default)]
    pub indexing: Vec<IndexingStatus>,
    /// Days of which contacts are not shown, because their records cannot be read.
    #[serde(default)]
    pub unreadable: Vec<UnreadableStatus>,
    /// Interactions and files that cannot be had now, by their state (`user.cxone.state`).
    #[serde(default)]
    pub hindered: HinderedStatus,
}

/// What cannot be had now: interactions, and single recordings of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HinderedStatus {
    pub refused: u64,
    pub restoring: u64,
    pub archived: u64,
    pub failed: u64,
    /// Recordings that CXone gave once and does not give out any more.
    pub withdrawn: u64,
}

/// A day of which contacts are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableStatus {
    pub day: String,
    /// How many.
    pub contacts: u64,
}

/// A day that is being listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexingStatus {
    pub day: String,
    /// Contacts that came so far.
    pub rows: u64,
    /// How many there are; `null` until the tenant has told.
    pub total: Option<u64>,
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
    /// What the next of them waits for: `window` (all calls of the window are used), `pause` (the tenant throttled) or `slow start` (as many
    /// calls are under way as the tenant is known to take at once). `null` if none waits.
    #[serde(default)]
    pub held_by: Option<String>,
    /// How long the next of them waits at least; `null` where nobody knows.
    #[serde(default)]
    pub held_for_s: Option<f64>,
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

/// The state directory: index, ledger, audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateStatus {
    pub dir: String,
}

/// The audit log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// The last line's number.
    pub number: u64,
    /// Lines written since it was mounted.
    pub written: u64,
    /// Events that could not be written since it was mounted.
    pub lost: u64,
    /// Lines that the log service did not take since it was mounted.
    pub not_exported: u64,
    /// Whether nothing is opened that cannot be put on record.
    pub required: bool,
    /// `none`, `journald` or `syslog`.
    pub export: String,
    /// How long lines are kept.
    pub keep_s: f64,
    pub files: u64,
    /// What the files occupy, and what they will within `keep_s` if it goes on so; `null` in the first day.
    pub bytes: u64,
    pub need_bytes: Option<u64>,
    /// What is free where they are; `null` where the file system does not tell.
    pub free_bytes: Option<u64>,
    /// The first line's time (ISO 8601, UTC).
    pub oldest: Option<String>,
    /// What is to be done about the disk, if anything.
    pub warning: Option<String>,
    /// Why it cannot be written, if it cannot.
    pub trouble: Option<String>,
}

/// Reads of recordings since mounting; what the kernel read by passthrough is not among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadStatus {
    pub cache_bytes: u64,
    /// Bytes of reads that had to wait for the media host.
    pub network_bytes: u64,
    /// The part of reads that the cache answered, 0 to 1; `null` before the first.
    pub hit_ratio: Option<f64>,
    /// Bytes that arrived from media hosts, readahead included.
    pub fetched_bytes: u64,
}

/// A request that took long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowRequest {
    /// When it was answered (ISO 8601, UTC).
    pub at: String,
    pub operation: String,
    /// Below the mount point.
    pub path: String,
    pub took_ms: u64,
    /// The name of the errno, if it failed.
    pub error: Option<String>,
}

/// What the kernel holds of this mount, and what it does without asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelStatus {
    pub inodes: u64,
    pub open_files: u64,
    pub passthrough: PassthroughStatus,
}

/// One place at which the tree is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorStatus {
    pub mount_point: String,
    /// `open`, `stat` or `list`.
    pub resolve_on: String,
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
    /// Why not; `null` while it works, and before it was tried.
    pub why: Option<String>,
}

/// One in which every field says something, for tests of what is made of it.
#[cfg(test)]
pub fn example() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 1,
        mount_point: "/mnt".into(),
        mounted_at: "2026-11-02T17:00:00Z".into(),
        tenant: TenantStatus {
            host: "cxone.example".into(),
            access_key_id: "KEYID".into(),
            login: LoginStatus { state: "good".into(), until: Some("2026-11-02T18:00:00Z".into()), error: None },
        },
        tree: TreeStatus {
            first_day: "2026-11-01".into(),
            last_day: "2026-11-02".into(),
            days_indexed: 2,
            days_open: 1,
            interactions: 100,
            resolve_on: "open".into(),
            indexing: vec![IndexingStatus { day: "2026-11-02".into(), rows: 1000, total: Some(20_000) }],
            unreadable: vec![UnreadableStatus { day: "2026-11-02".into(), contacts: 3 }],
            hindered: HinderedStatus { refused: 5, restoring: 1, archived: 2, failed: 3, withdrawn: 4 },
        },
        playback: PlaybackStatus {
            limit: 150,
            window_s: 300.0,
            learned_limit: 100,
            used: 3,
            waiting: Waiting { open: 1, stat: 2, list: 3, warm: 4 },
            held_by: Some("slow start".into()),
            held_for_s: Some(1.5),
            paused_for_s: 0.5,
            refused: 0,
        },
        reporting: ReportingStatus::default(),
        media: MediaStatus::default(),
        work: WorkStatus::default(),
        services: vec![ServiceStatus {
            name: "reporting".into(),
            down_for_s: Some(3.0),
            error: Some("cannot be reached".into()),
        }],
        budget: BudgetStatus { limit: Some(1000), spent_today: 12 },
        cache: CacheStatus {
            dir: "/var/cache/cxonefs".into(),
            used_bytes: 5,
            size_bytes: 10,
            encrypted: false,
            trouble: None,
        },
        state: StateStatus { dir: "/var/lib/cxonefs".into() },
        audit: AuditStatus {
            number: 17,
            written: 5,
            lost: 3,
            not_exported: 2,
            required: true,
            export: "syslog".into(),
            keep_s: 34_560_000.0,
            files: 2,
            bytes: 1 << 20,
            need_bytes: Some(1 << 30),
            free_bytes: Some(1 << 28),
            oldest: Some("2026-10-02T17:00:00Z".into()),
            warning: Some("the disk is small".into()),
            trouble: Some("no space left".into()),
        },
        kernel: KernelStatus {
            inodes: 7,
            open_files: 1,
            passthrough: PassthroughStatus { state: "refused".into(), opens: 0, why: Some("it takes root".into()) },
        },
        doors: vec![DoorStatus {
            mount_point: "/mnt".into(),
            resolve_on: "open".into(),
            inodes: 7,
            open_files: 1,
            passthrough: PassthroughStatus { state: "off".into(), opens: 0, why: None },
        }],
        reads: ReadStatus { cache_bytes: 1, network_bytes: 2, hit_ratio: Some(0.5), fetched_bytes: 3 },
        slowest: vec![SlowRequest {
            at: "2026-11-02T17:00:00Z".into(),
            operation: "open".into(),
            path: "2026-11-02/x".into(),
            took_ms: 1200,
            error: Some("EDQUOT".into()),
        }],
        memory_bytes: 4096,
    }
}
