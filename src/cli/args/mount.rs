//! The command line of `mount` and `umount`, and of what everything that mounts logs.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::config::Profile;
use crate::ops::logging::Format;

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

    /// Mount options separated by commas, as in fstab: allow_other, uid=USER, gid=GROUP, section.key=value, …
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub options: Vec<String>,

    /// Set any key of the configuration (may be repeated)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// Return when the mount is ready; log lines then go to syslog, or to --log-file
    #[arg(short, long)]
    pub background: bool,

    /// Only read the configuration as a mount with these flags would, and say what is wrong with it
    #[arg(long)]
    pub check: bool,

    /// Serve metrics for Prometheus at http://ADDRESS:PORT/metrics, for instance 127.0.0.1:9402
    #[arg(long, value_name = "ADDRESS:PORT", env = "CXONEFS_METRICS", hide_env_values = true)]
    pub metrics: Option<SocketAddr>,

    /// For services: the stop command unmounts DIR first, so that the right to mount can be given up where nothing else takes it
    #[arg(long)]
    pub service_unmounts: bool,

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

fn profile_parser() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new([Profile::Backup.word()])
        .try_map(|word| Profile::parse(&word).ok_or_else(|| format!("there is no profile {word:?}")))
}
