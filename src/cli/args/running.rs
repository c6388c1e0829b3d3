//! The command line of what is asked of a mount that is there: `status`, `refresh`, `log-level`, `warm`, `ledger`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::base::Day;

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

/// List days anew, now; or have refused recordings asked for again
///
/// Listing is free. Open days refresh by themselves; this also reads closed days again, for instance after a correction. What CXone refused
/// (locked, restoring, archived, failed) is not asked for again before its time, because each ask is billed; --retry forgets that, and makes
/// no call itself.
#[derive(Debug, Args)]
#[command(after_help = REFRESH_EXAMPLES)]
pub struct RefreshArgs {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    pub mount_point: PathBuf,

    /// The days (YYYY-MM-DD); without any, and without --retry, all that are still open
    #[arg(value_name = "DATE")]
    pub days: Vec<Day>,

    /// Forget refusals, so that the next open asks again: those below the paths (and there also that a recording is missing), or all
    #[arg(long, value_name = "PATH", num_args = 0..)]
    pub retry: Option<Vec<PathBuf>>,
}

const REFRESH_EXAMPLES: &str = "\
Examples:
  cxonefs refresh ~/recordings
  cxonefs refresh ~/recordings 2026-11-02
  cxonefs refresh ~/recordings --retry
  cxonefs refresh ~/recordings --retry ~/recordings/2026-11-02/Keller_Rosa_8812345";

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

/// A state directory that is not named by a mount.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// The configuration file that names the state directory; else the usual places
    #[arg(short, long, value_name = "FILE", env = "CXONEFS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// The state directory itself
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Show every billed call: when, for which interaction, why, who and what came of it
///
/// Reads the state directory only; a mount may be using it. docs/COSTS.md says what makes a call and what counts.
#[derive(Debug, Args)]
#[command(after_help = LEDGER_EXAMPLES)]
pub struct LedgerArgs {
    /// Where it is mounted. Without it, the state directory that the configuration names
    #[arg(value_name = "DIR", conflicts_with = "state_dir")]
    pub mount_point: Option<PathBuf>,

    #[command(flatten)]
    pub state: StateArgs,

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
  cxonefs ledger --since 1d ~/recordings
  cxonefs ledger --by day
  cxonefs ledger --since 2026-11-01 --by program
  cxonefs ledger --json | jq -r 'select(.billed) | .interaction'";
