//! The settings that the rest of the program reads: typed, complete, checked. Knows nothing of how they were written.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use url::Url;

use crate::base::crypt::Keys;
use crate::base::{Channels, Day, Export, ResolveOn, Since};
use crate::net::{CaBundle, HostPattern};

/// A bundle of settings for one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Complete backups: names and sizes are exact when listed, and no wait for the rate limit is too long.
    Backup,
}

impl Profile {
    /// The word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Profile::Backup => "backup",
        }
    }

    /// The inverse of [`Profile::word`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Profile> {
        (word == "backup").then_some(Profile::Backup)
    }
}

/// Everything, settled. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from, if any.
    pub file: Option<PathBuf>,
    pub tenant: TenantConfig,
    pub tree: TreeConfig,
    pub mount: MountConfig,
    pub media: MediaConfig,
    pub cache: CacheConfig,
    pub state: StateConfig,
    pub audit: AuditConfig,
    pub limits: LimitsConfig,
    /// What the user should know although it can be used, whatever the time; one line each.
    pub warnings: Vec<String>,
}

impl Config {
    /// The warnings, and what is odd at that time; one line each.
    #[must_use]
    pub fn warnings_at(&self, now: Timestamp) -> Vec<String> {
        let today = Day::of(now, &self.tree.timezone);
        let first = self.tree.since.first_day(today);
        let empty = (first > today)
            .then(|| format!("the tree is empty until {first}: tree.since is in the future; choose an earlier day"));
        self.warnings.iter().cloned().chain(empty).collect()
    }
}

/// `[tenant]`
#[derive(Clone, Debug)]
pub struct TenantConfig {
    pub issuer: Url,
    pub access_key_id: String,
    pub access_key_secret: SecretString,
    /// The files that secrets were read from.
    pub secret_files: Vec<PathBuf>,
    /// With a client, the OIDC password grant is used.
    pub client: Option<ClientConfig>,
    pub area: Option<String>,
    pub auth_endpoint: Option<Url>,
    pub api_endpoint: Option<Url>,
    pub playback_endpoint: Option<Url>,
    /// The only hosts that recordings are fetched from; none: any with a public address.
    pub media_hosts: Vec<HostPattern>,
    /// The only hosts that key and password are sent to; none: where configuration and discovery lead.
    pub login_hosts: Vec<HostPattern>,
    /// Trusted beside the system's authorities.
    pub ca_file: Option<CaBundle>,
    pub reporting_version: String,
}

/// An OIDC client registration.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub client_id: String,
    pub client_secret: SecretString,
}

/// `[tree]`
#[derive(Clone, Debug)]
pub struct TreeConfig {
    pub since: Since,
    pub timezone: TimeZone,
    /// Nobody named it: it is the system's.
    pub timezone_is_default: bool,
    /// At least one, each once.
    pub media_types: Channels,
    pub refresh: Duration,
}

/// `[mount]`
#[derive(Clone, Debug)]
pub struct MountConfig {
    pub resolve_on: ResolveOn,
    pub allow_other: bool,
    pub passthrough: bool,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits, none of them for writing.
    pub dir_mode: u16,
    pub file_mode: u16,
    /// Patterns for names of programs that cause no billed call; `*` and `?` stand for other characters.
    pub deny_processes: Vec<String>,
    /// The same for programs that cause no billed call by a document.
    pub file_managers: Vec<String>,
    /// Programs, as `deny_processes` names them, and users by name or number, for whom `stat` resolves.
    pub resolve_on_stat_for: Vec<String>,
    /// Further places at which the tree is mounted.
    pub also: Vec<AlsoConfig>,
}

/// `[[mount.also]]`
#[derive(Clone, Debug)]
pub struct AlsoConfig {
    /// Absolute.
    pub dir: PathBuf,
    pub resolve_on: ResolveOn,
    /// Whoever comes through it waits for the rate limit as long as calls still go through, whatever `limits.patience` says.
    pub waits_long: bool,
}

/// `[media]`
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Trusted beside the system's authorities.
    pub ca_file: Option<CaBundle>,
}

/// `[cache]`
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// Absolute.
    pub dir: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Bytes.
    pub min_free: u64,
    /// Bytes.
    pub whole_file_below: u64,
    pub max_age: Duration,
    /// What encrypts cache and state.
    pub keys: Keys,
    /// Skills whose recordings are never on disk.
    pub never: Vec<String>,
}

/// `[state]`
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// Absolute.
    pub dir: PathBuf,
}

/// What is kept on disk, and what is needed to look after it.
#[derive(Clone, Debug)]
pub struct Stores {
    /// Absolute.
    pub state_dir: PathBuf,
    pub cache: CacheConfig,
    pub audit: AuditConfig,
    pub limits: LimitsConfig,
}

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    pub keep: Duration,
    /// Nothing is opened whose line is not on disk.
    pub required: bool,
    pub export: Export,
}

/// `[limits]`
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    pub playback_requests: u32,
    pub playback_window: Duration,
    /// Billed calls per UTC day; `None` is unlimited.
    pub daily_budget: Option<u32>,
    /// The same for each user.
    pub daily_budget_per_user: Option<u32>,
    pub deadline: Duration,
    /// The longest that one billed call may take.
    pub call_timeout: Duration,
    /// `None` is unlimited.
    pub patience: Option<Duration>,
    /// Bytes.
    pub memory: u64,
    pub media_connections: usize,
}
