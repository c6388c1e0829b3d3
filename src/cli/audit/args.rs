//! The command line of `cxonefs audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::running::StateArgs;
use crate::ops::audit::Head;
use crate::ops::audit::verify::checkpoint;

/// Prove, show or sum up the audit log: who opened what, and who did what to the mount
///
/// Reads the state directory only; a mount may be using it. docs/SECURITY.md says what is on record and what the proof is worth.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    pub command: AuditCommand,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    Verify(VerifyArgs),
    Show(ShowArgs),
    Report(ReportArgs),
}

/// Prove that every line is there, in order, and as it was written or erased
///
/// Each line is chained to the one before it by a hash, and the state database knows where the log begins and ends. Exit code 1 if anything was
/// removed, changed, moved, inserted or cut off; each finding is named.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub place: Where,

    /// A line's number and hash that were noted elsewhere, as "audit log checkpoint" in the log has them; may be given many times
    #[arg(long, value_name = "NUMBER:HASH", value_parser = parse_checkpoint)]
    pub checkpoint: Vec<Head>,

    /// As JSON
    #[arg(long)]
    pub json: bool,
}

fn parse_checkpoint(text: &str) -> Result<Head, String> {
    checkpoint(text).ok_or_else(|| String::from("it is no NUMBER:HASH"))
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  cxonefs audit verify ~/recordings
  cxonefs audit verify --state-dir /var/lib/cxonefs
  cxonefs audit verify --config /etc/cxonefs/config.toml --json";

/// Show lines of the audit log, the newest last
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    #[command(flatten)]
    pub place: Where,

    #[command(flatten)]
    pub filter: Filter,

    /// So many lines at most, the newest
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    pub lines: usize,

    #[command(flatten)]
    pub form: FormArgs,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  cxonefs audit show ~/recordings
  cxonefs audit show --who rosa --since 1d -n 1000 ~/recordings
  cxonefs audit show --event purge --json --state-dir /var/lib/cxonefs";

/// Sum up who opened what: by person and contact, with first and last time
#[derive(Debug, Args)]
#[command(after_help = REPORT_EXAMPLES)]
pub struct ReportArgs {
    #[command(flatten)]
    pub place: Where,

    #[command(flatten)]
    pub filter: Filter,

    #[command(flatten)]
    pub form: FormArgs,
}

const REPORT_EXAMPLES: &str = "\
Examples:
  cxonefs audit report ~/recordings
  cxonefs audit report --who rosa --since 90d ~/recordings
  cxonefs audit report --contact 701000000122 --csv ~/recordings";

/// Which log.
#[derive(Debug, Args)]
pub struct Where {
    /// Where it is mounted, or the state directory. Without it, the state directory that the configuration names
    #[arg(value_name = "DIR", conflicts_with = "state_dir")]
    pub mount_point: Option<PathBuf>,

    #[command(flatten)]
    pub state: StateArgs,
}

/// Which lines.
#[derive(Debug, Args)]
pub struct Filter {
    /// Only what this user did: a name or a number
    #[arg(long, value_name = "USER")]
    pub who: Option<String>,

    /// Only what was done to this contact: its master contact id, or the id of one of its contacts
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub contact: Option<i64>,

    /// From then on: a date, a time such as 2026-11-02T08:00:00Z, or how long ago, such as 90d or 12h
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,

    /// Only events of this name, such as open, warm, purge, log-level or lost
    #[arg(long, value_name = "EVENT")]
    pub event: Option<String>,
}

/// In what form.
#[derive(Clone, Copy, Debug, Args)]
pub struct FormArgs {
    /// One JSON object per line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,

    /// Comma-separated values with a header
    #[arg(long)]
    pub csv: bool,
}
