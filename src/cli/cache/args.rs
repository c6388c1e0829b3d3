//! The command line of `cxonefs cache`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Look after what is kept of recordings on disk: what is there, is it sound, erase it
///
/// Asks the mount that uses the cache; where none does, looks into the directories that the configuration names. Makes no call to the
/// tenant. docs/SECURITY.md says what lies on disk and what erasing does.
#[derive(Debug, Args)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show how much is there, of how many recordings, from when
    Stats(Where),

    /// Read every block and compare it with its checksum; drop what is damaged. Compare whole recordings with their SHA-256
    ///
    /// Exit code 1 if anything was damaged, or is not what it was when it was hashed first.
    Verify(Where),

    Purge(PurgeArgs),

    /// Encrypt what is on disk in the clear with the configured key
    ///
    /// Once, after a key was configured for directories that are in use already: a mount refuses them, because nothing in them can be told
    /// from what somebody else wrote there. Nothing may be mounted from them meanwhile. Makes no call to the tenant.
    Encrypt(EncryptArgs),
}

/// Which directories.
#[derive(Debug, Args)]
pub struct EncryptArgs {
    /// The configuration file that names the key, the cache and the state directory; else the usual places
    #[arg(short, long, value_name = "FILE", env = "CXONEFS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
}

/// Which cache.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// Where it is mounted. Without it, the mount or the directories that the configuration names
    #[arg(value_name = "DIR")]
    pub mount_point: Option<PathBuf>,

    /// The configuration file that names cache and state directory; else the usual places
    #[arg(short, long, value_name = "FILE", env = "CXONEFS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Remove recordings' bytes, or everything about one contact or about everybody
///
/// Alone it removes the bytes of all recordings; sizes, documents and the tree stay, and reading fetches again. Asks first. An erased
/// contact is marked, so that it is not listed again, and a certificate is printed and kept in the state directory. What is held
/// (cxonefs hold) is not touched. Exit code 1 if something is held, or if nothing was known of a contact.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PurgeArgs {
    #[command(flatten)]
    pub place: Where,

    /// Erase everything about one interaction instead: bytes, documents, its places in the tree, who made its calls, what the logs say
    /// of it. By master contact id or by one of its contact ids; may be given many times
    #[arg(long, value_name = "ID", conflicts_with = "all", value_parser = clap::value_parser!(i64).range(1..))]
    pub contact: Vec<i64>,

    /// Erase everything about everybody instead. What was resolved has to be paid for again
    #[arg(long)]
    pub all: bool,

    /// Why, for the certificate of erasure; do not name the person in it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Only tell what would go
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

const EXAMPLES: &str = "\
Examples:
  cxonefs cache purge ~/recordings
  cxonefs cache purge --contact 701000000122 --dry-run
  cxonefs cache purge --contact 701000000122 --yes ~/recordings";
