//! The command line, defined once: parser, help, completions and man pages come from it. Knows no effects.

// Doc comments here are the help, which is plain text.
#![expect(clippy::doc_markdown)]

mod evidence;
mod mount;
pub mod running;
mod setup;
mod simulated;
mod state;
#[cfg(test)]
mod tests;

use clap::{Parser, Subcommand};

use super::audit::args::AuditArgs;
use super::cache::args::CacheArgs;
use crate::ops::version;
pub use evidence::{HoldArgs, HoldCommand, HoldWhere, ManifestArgs};
pub use mount::{LogArgs, MountArgs, SettingFlags, UmountArgs};
pub use running::{LedgerArgs, LedgerBy, LogLevelArgs, RefreshArgs, StateArgs, StatusArgs, WarmArgs};
pub use setup::{CompletionsArgs, DoctorArgs, InitArgs, ManArgs};
pub use simulated::{DemoArgs, SimulateArgs, TenantArgs, TenantLimits};
pub use state::{StateBackupArgs, StateCommand, StateCommandArgs};

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
    State(StateCommandArgs),
    Status(StatusArgs),
    Refresh(RefreshArgs),
    Audit(AuditArgs),
    Cache(CacheArgs),
    Hold(HoldArgs),
    Manifest(ManifestArgs),
    Warm(WarmArgs),
    LogLevel(LogLevelArgs),
    Init(InitArgs),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}
