//! The command line of what an auditor asks for: `hold`, `manifest`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::cache::args::Where;

/// Hold interactions: nothing removes what is here of them
///
/// No purge, no age and no eviction touches bytes and documents of what is held. Held bytes count in cache.size, and more than half of it
/// is not held. Nothing is fetched: what is missing is said, with the command that fetches it.
#[derive(Debug, Args)]
#[command(after_help = HOLD_EXAMPLES)]
pub struct HoldArgs {
    #[command(subcommand)]
    pub command: HoldCommand,
}

#[derive(Debug, Subcommand)]
pub enum HoldCommand {
    /// Hold interactions, or give their holds another reason
    ///
    /// Exit code 1, and nothing is held, if nothing is known of a contact.
    Add {
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,

        #[command(flatten)]
        place: HoldWhere,
    },

    /// End holds
    ///
    /// Exit code 1 if one of the contacts is not held.
    Remove {
        #[command(flatten)]
        place: HoldWhere,
    },

    /// Show what is held, since when, by whom and why
    List(Where),
}

/// Which interactions, in which state.
#[derive(Debug, Args)]
pub struct HoldWhere {
    /// Master contact ids, or ids of their contacts, and at the end the directory where they are mounted; without a directory, the mount or
    /// the directories that the configuration names
    #[arg(value_name = "MASTER… DIR", required = true)]
    pub words: Vec<String>,

    /// The configuration file that names cache and state directory; else the usual places
    #[arg(short, long, value_name = "FILE", env = "CXONEFS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    pub json: bool,
}

const HOLD_EXAMPLES: &str = "\
Examples:
  cxonefs hold add 701000000122 --reason 'complaint 2026-17' ~/recordings
  cxonefs hold list ~/recordings
  cxonefs hold remove 701000000122 ~/recordings";

/// Print the SHA-256 of a day's recordings, for sha256sum -c
///
/// A recording is hashed once all of it was here, and the hash is kept when its bytes are gone. Nothing is fetched. Paths are relative to the
/// day's folder: (cd DIR/DAY && sha256sum -c) < manifest. That reads the recordings, also those that have to be fetched again. Exit code 1
/// if recordings were never here as a whole; they are named on standard error.
#[derive(Debug, Args)]
#[command(after_help = MANIFEST_EXAMPLES)]
pub struct ManifestArgs {
    /// The folder of a day in a mount
    #[arg(value_name = "DIR/DAY")]
    pub day: PathBuf,

    /// As JSON, with sizes, validators, and when and on which machine each was hashed
    #[arg(long)]
    pub json: bool,
}

const MANIFEST_EXAMPLES: &str = "\
Examples:
  cxonefs manifest ~/recordings/2026-11-02 > 2026-11-02.sha256
  (cd ~/recordings/2026-11-02 && sha256sum -c --quiet) < 2026-11-02.sha256";
