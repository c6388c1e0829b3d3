//! The command line of `demo` and `simulate`: the simulated tenant.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::tz::TimeZone;
use url::Url;

use super::LogArgs;
use crate::base::Day;
use crate::config::units;

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

    /// Word records and answers as real tenants have been met: dates and channels in odd forms, totals that lie, redirects
    #[arg(long)]
    pub irregular: bool,

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

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("there is no time zone {name:?}"))
}
