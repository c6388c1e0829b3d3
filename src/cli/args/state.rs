//! The command line of `cxonefs state`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::running::StateArgs;

/// Look after the state directory, which holds what was paid for
#[derive(Debug, Args)]
pub struct StateCommandArgs {
    #[command(subcommand)]
    pub command: StateCommand,
}

#[derive(Debug, Subcommand)]
pub enum StateCommand {
    Backup(StateBackupArgs),
}

/// Copy the state database to a file, while a mount may be using it
///
/// One consistent state of index, sizes, documents and ledger. The file is new (what exists is never replaced), readable by its owner only,
/// and as encrypted as the state is. Audit logs and keys are files of their own, and are copied as such; docs/UPGRADING.md says how, and how a
/// copy is put back.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StateBackupArgs {
    /// The file to write
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Where it is mounted. Without it, the state directory that the configuration names
    #[arg(value_name = "DIR", conflicts_with = "state_dir")]
    pub mount_point: Option<PathBuf>,

    #[command(flatten)]
    pub state: StateArgs,
}

const EXAMPLES: &str = "\
Examples:
  cxonefs state backup ~/cxonefs-2026-11-02.db ~/recordings
  cxonefs state backup /srv/backup/cxonefs.db --config /etc/cxonefs/config.toml";
