//! The command line, defined once: parser, help, completions and man pages come from it. Knows no effects.

// Doc comments here are the help, which is plain text.
#![expect(clippy::doc_markdown)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use url::Url;

use super::cache::CacheArgs;
use crate::base::Day;
use crate::config::{Profile, units};
use crate::ops::logging::Format;
use crate::ops::version;

/// Mount a NICE CXone tenant's recordings as a read-only drive
///
/// Days, agents and interactions are folders; metadata are JSON files; recordings are fetched by range when something reads them,
/// into a cache on disk. Looking around is free; opening an interaction's recording for the first time makes one billed call.
#[derive(Debug, Parser)]
#[command(name = "cxonefs", version = version::SHORT, long_version = version::LONG, max_term_width = 110, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  cxonefs demo                              try it with a simulated tenant, no credentials needed
  cxonefs mount ~/recordings                mount as ~/.config/cxonefs/config.toml says, until Ctrl-C
  cxonefs mount --background /srv/calls     return when the mount is ready
  cxonefs mount --profile backup /mnt/calls exact names and sizes, for complete backups
  cxonefs umount ~/recordings

Exit codes: 0 ok, 1 failure, 2 usage or configuration.";

#[derive(Debug, Subcommand)]
pub enum Command {
    Mount(MountArgs),
    Umount(UmountArgs),
    Demo(DemoArgs),
    Simulate(SimulateArgs),
    Ledger(LedgerArgs),
    Status(StatusArgs),
    Refresh(RefreshArgs),
    Cache(CacheArgs),
    Warm(WarmArgs),
    LogLevel(LogLevelArgs),
    Init(InitArgs),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Show how a mount is: rate limit, budget, cache, memory
///
/// Without a directory, all mounts of this user. Asks the daemon through its control socket; makes no call to the tenant.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    pub mount_point: Option<PathBuf>,

    /// For programs: one JSON object with DIR, else an array of them; docs/status.schema.json says what is in it
    #[arg(long)]
    pub json: bool,

    /// Show it again every second, until Ctrl-C
    #[arg(short, long, conflicts_with = "json")]
    pub watch: bool,
}

/// List days anew, now
///
/// Listing is free. Open days refresh by themselves; this also reads closed days again, for instance after a correction.
#[derive(Debug, Args)]
pub struct RefreshArgs {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    pub mount_point: PathBuf,

    /// The days (YYYY-MM-DD); without any, all that are still open
    #[arg(value_name = "DATE")]
    pub days: Vec<Day>,
}

/// Show or change what a mount logs, while it runs
#[derive(Debug, Args)]
pub struct LogLevelArgs {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    pub mount_point: PathBuf,

    /// error, warn, info, debug, trace, or a filter such as info,cxonefs::media=debug; without it, what is logged now is shown
    #[arg(value_name = "LEVEL")]
    pub level: Option<String>,
}

/// Write a commented configuration, try its login, and say what to do next
///
/// Asks on a terminal for what is not given. The secret is asked for without showing it, or taken from CXONEFS_ACCESS_KEY_SECRET, and
/// stored beside the configuration in a file of its own; both are readable by you alone. Nothing is written before the login works, and
/// nothing is overwritten without --force.
#[derive(Debug, Args)]
#[command(after_help = INIT_EXAMPLES)]
pub struct InitArgs {
    /// Where to write it; else ~/.config/cxonefs/config.toml, or /etc/cxonefs/config.toml for root
    #[arg(short, long, value_name = "FILE", env = "CXONEFS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// The id of the access key
    #[arg(long, value_name = "ID", env = "CXONEFS_ACCESS_KEY_ID", hide_env_values = true)]
    pub access_key_id: Option<String>,

    /// A file that holds the secret already; it is named in the configuration and left as it is
    #[arg(long, value_name = "FILE", env = "CXONEFS_ACCESS_KEY_SECRET_FILE", hide_env_values = true)]
    pub secret_file: Option<PathBuf>,

    /// Any other key of the configuration, uncommented with this value (may be repeated)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// Write it whether the login works or not
    #[arg(long)]
    pub no_test: bool,

    /// Overwrite what is there
    #[arg(long)]
    pub force: bool,

    /// Print an example to standard output and write nothing
    #[arg(long, conflicts_with_all = ["no_test", "force", "config", "access_key_id", "secret_file"])]
    pub print: bool,
}

const INIT_EXAMPLES: &str = "\
Examples:
  cxonefs init
  CXONEFS_ACCESS_KEY_SECRET=… cxonefs init --access-key-id ABC123 --set tree.timezone=America/New_York
  cxonefs init --print > config.toml";

/// Check everything that a mount needs, and say what to do about what is missing
///
/// FUSE, the configuration and its secret, directories and their space, the clock, the network, the login, the permissions. Makes no
/// billed call unless --billed is given. Exit codes: 0 all well, 1 a check failed, 2 the configuration cannot be used.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The configuration file; else the usual places
    #[arg(short, long, value_name = "FILE", env = "CXONEFS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// Make one billed call, for this master contact, to see whether recordings may be played
    #[arg(long, value_name = "CONTACT")]
    pub billed: Option<i64>,

    /// For programs: one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Resolve and cache ahead of use what lies below some paths of a mount
///
/// Says first what it costs (billed calls, bytes, time at the rate limit) and asks. Calls are made only when nobody waits for a file,
/// within the rate limit and the daily budget. What was brought stays: interrupted, it goes on where it was when run again. The mount does
/// the work; it ends when this command does.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(after_help = WARM_EXAMPLES)]
pub struct WarmArgs {
    /// Days, agents, interactions or files of one mount, or the mount itself
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Only say what it costs
    #[arg(long)]
    pub dry_run: bool,

    /// Metadata, transcripts, emails and exact sizes, but not the bytes of recordings
    #[arg(long)]
    pub metadata_only: bool,

    /// For programs: one JSON object with the cost and, unless --dry-run, the result; never asks, so it needs --yes or --dry-run
    #[arg(long)]
    pub json: bool,
}

const WARM_EXAMPLES: &str = "\
Examples:
  cxonefs warm --dry-run ~/recordings/2026-11-02
  cxonefs warm ~/recordings/2026-11-02/Keller_Rosa_8812345
  cxonefs warm --yes --metadata-only ~/recordings/2026-11-02";

/// Mount the tenant's recordings at a directory
#[derive(Debug, Args)]
#[command(after_help = MOUNT_EXAMPLES)]
pub struct MountArgs {
    /// An existing, empty directory
    #[arg(value_name = "DIR")]
    pub mount_point: PathBuf,

    /// The configuration file; else ~/.config/cxonefs/config.toml, else /etc/cxonefs/config.toml
    #[arg(short, long, value_name = "FILE", env = "CXONEFS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// Settings for one purpose; "backup": exact names and sizes, unlimited patience
    #[arg(long, value_name = "NAME", value_parser = profile_parser())]
    pub profile: Option<Profile>,

    /// Mount options separated by commas, as in fstab: allow_other, uid=N, gid=N, section.key=value, …
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<String>,

    /// Set any key of the configuration (may be repeated)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// Return when the mount is ready; log lines then go to syslog, or to --log-file
    #[arg(short, long)]
    pub background: bool,

    /// Serve metrics for Prometheus at http://ADDRESS:PORT/metrics, for instance 127.0.0.1:9402
    #[arg(long, value_name = "ADDRESS:PORT", env = "CXONEFS_METRICS", hide_env_values = true)]
    pub metrics: Option<SocketAddr>,

    #[command(flatten, next_help_heading = "Settings (each overrides the configuration)")]
    pub settings: SettingFlags,

    #[command(flatten, next_help_heading = "Logging")]
    pub log: LogArgs,
}

const MOUNT_EXAMPLES: &str = "\
Examples:
  cxonefs mount --config tenant.toml ~/recordings
  cxonefs mount --since 7d --set limits.daily_budget=200 ~/recordings
  cxonefs mount --profile backup --cache-size 100GiB /mnt/calls

In /etc/fstab:
  /etc/cxonefs/config.toml /srv/calls cxonefs ro,allow_other,_netdev 0 0

Every key is listed in docs/CONFIGURATION.md.";

/// Flags for the most wanted keys. Their values are read as the keys' are, so that one reader says what is wrong.
#[derive(Debug, Default, Args)]
pub struct SettingFlags {
    /// When a billed call is made to learn exact names and sizes: open, stat or list
    #[arg(long, value_name = "WHEN")]
    pub resolve_on: Option<String>,

    /// Let other users in
    #[arg(long)]
    pub allow_other: bool,

    /// Where bytes of recordings are kept
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// What the cache may occupy on disk, such as 10GiB
    #[arg(long, value_name = "SIZE")]
    pub cache_size: Option<String>,

    /// Where the index, the ledger and the audit log are kept
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// The first day shown: a date, or days before today, such as 90d
    #[arg(long, value_name = "DATE|DAYS")]
    pub since: Option<String>,

    /// The time zone of days and times, such as America/New_York
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
}

/// What is logged and how.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_field_names, reason = "the fields are named as the flags")]
pub struct LogArgs {
    /// error, warn, info, debug, trace, or a filter such as info,cxonefs::media=debug
    #[arg(long, value_name = "LEVEL", env = "CXONEFS_LOG", hide_env_values = true)]
    pub log_level: Option<String>,

    /// The form of log lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// Log to this file (mode 0600, rotated at 10 MiB) instead of standard error
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
    /// With fields of their own in the systemd journal, wherever standard error goes
    Journal,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Format {
        match format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
            LogFormat::Journal => Format::Journal,
        }
    }
}

/// Unmount a directory, and wait until it is gone
#[derive(Debug, Args)]
pub struct UmountArgs {
    /// Where cxonefs is mounted
    #[arg(value_name = "DIR")]
    pub mount_point: PathBuf,

    /// Also if files are open: they stay readable until they are closed
    #[arg(short, long, visible_short_alias = 'z')]
    pub lazy: bool,
}

/// Mount a simulated tenant that lives in this process; no credentials, no costs
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to mount it; created if missing. Without it, a temporary directory
    #[arg(value_name = "DIR")]
    pub mount_point: Option<PathBuf>,

    #[command(flatten, next_help_heading = "The simulated tenant")]
    pub tenant: TenantArgs,

    #[command(flatten, next_help_heading = "Logging")]
    pub log: LogArgs,
}

/// Run a simulated tenant that speaks the CXone APIs, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = SIMULATE_EXAMPLES)]
pub struct SimulateArgs {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Write the port to this file once it is listening
    #[arg(long, value_name = "FILE")]
    pub port_file: Option<PathBuf>,

    /// Write a configuration that mounts it to standard output
    #[arg(long)]
    pub print_config: bool,

    /// Directory for what the printed configuration names: secret, state, cache. Without it, a temporary one
    #[arg(long, value_name = "DIR", requires = "print_config")]
    pub dir: Option<PathBuf>,

    #[command(flatten, next_help_heading = "The simulated tenant")]
    pub tenant: TenantArgs,

    #[command(flatten, next_help_heading = "Limits and faults")]
    pub limits: TenantLimits,

    #[command(flatten, next_help_heading = "Logging")]
    pub log: LogArgs,
}

const SIMULATE_EXAMPLES: &str = "\
Examples:
  cxonefs simulate --print-config > sim.toml &
  cxonefs mount --config sim.toml ~/recordings

  cxonefs simulate --listen 127.0.0.1:8080 --days 30 --agents 50 --contacts-per-day 200";

/// What the simulated tenant is made of.
#[derive(Clone, Debug, Args)]
pub struct TenantArgs {
    /// Another seed gives another tenant
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// Days with contacts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub days: u32,

    /// Agents
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub agents: u32,

    /// Contacts of each agent on each day
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub contacts_per_day: u32,

    /// The last day with contacts; today if not given
    #[arg(long, value_name = "DATE")]
    pub last_day: Option<Day>,

    /// The tenant's time zone; the system's if not given
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<TimeZone>,

    /// Give agents names that make trouble
    #[arg(long)]
    pub odd_names: bool,

    /// Every recording is this many pseudo-random bytes instead of a playable file
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    pub bulk_bytes: Option<u64>,

    /// Answer with recordings' links below this URL
    #[arg(long, value_name = "URL")]
    pub media_base_url: Option<Url>,
}

/// The simulated tenant's limits.
#[derive(Clone, Debug, Args)]
pub struct TenantLimits {
    /// Playback calls in any window
    #[arg(long, value_name = "N", default_value_t = 150)]
    pub playback_limit: u32,

    /// That window
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = units::parse_duration)]
    pub playback_window: Duration,

    /// How long a recording's link works; as the tenant's own if not given
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    pub link_life: Option<Duration>,

    /// How long a login lasts
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = units::parse_duration)]
    pub token_life: Duration,
}

/// Show every billed call: when, for which interaction, why, who and what came of it
///
/// Reads the state directory only; a mount may be using it. docs/COSTS.md says what makes a call and what counts.
#[derive(Debug, Args)]
#[command(after_help = LEDGER_EXAMPLES)]
pub struct LedgerArgs {
    /// The configuration file that names the state directory; else the usual places
    #[arg(short, long, value_name = "FILE", env = "CXONEFS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// The state directory itself
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Calls from then on: a date, a time such as 2026-11-02T08:00:00Z, or how long ago, such as 7d or 12h
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,

    /// Totals instead of single calls
    #[arg(long, value_name = "WHAT", value_enum)]
    pub by: Option<LedgerBy>,

    /// One JSON object per line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,

    /// Comma-separated values with a header
    #[arg(long)]
    pub csv: bool,
}

/// What calls are added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LedgerBy {
    /// UTC days, as the budget
    Day,
    /// Names of processes
    Program,
    /// Users
    User,
}

const LEDGER_EXAMPLES: &str = "\
Examples:
  cxonefs ledger --since 1d
  cxonefs ledger --by day
  cxonefs ledger --since 2026-11-01 --by program
  cxonefs ledger --json | jq -r 'select(.billed) | .interaction'";

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Print the manual page, or write all of them to a directory
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write cxonefs.1, cxonefs-mount.1, … here
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

fn profile_parser() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new([Profile::Backup.word()])
        .try_map(|word| Profile::parse(&word).ok_or_else(|| format!("there is no profile {word:?}")))
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("there is no time zone {name:?}"))
}

#[cfg(test)]
mod tests;
