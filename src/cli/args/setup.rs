//! The command line of what comes before a mount: `init`, `doctor`, `completions`, `man`.

use std::path::PathBuf;

use clap::Args;

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
