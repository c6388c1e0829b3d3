//! `cxonefs state`: a copy of what was paid for, while a mount may use it.

use std::path::{Path, PathBuf};

use super::args::{StateArgs, StateBackupArgs, StateCommand, StateCommandArgs};
use super::status;
use crate::base::failure::Failure;
use crate::catalog::{self, CatalogError};
use crate::config::{self, Host};
use crate::daemon;
use crate::ops::control::{self, ControlError};
use crate::ops::status::Status;

/// Runs one of its commands.
pub fn run(args: &StateCommandArgs) -> Result<(), Failure> {
    match &args.command {
        StateCommand::Backup(args) => backup(args),
    }
}

fn backup(args: &StateBackupArgs) -> Result<(), Failure> {
    let dir = state_dir(&args.state, args.mount_point.as_deref())?;
    let bytes = catalog::backup(&dir, &args.file).map_err(|error| not_copied(error, &dir))?;
    println!("{}: {bytes} bytes, the state database of {}", args.file.display(), dir.display());
    Ok(())
}

fn not_copied(error: CatalogError, dir: &Path) -> Failure {
    let remedy = match &error {
        CatalogError::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            "name a file that does not exist yet: a backup is never replaced".to_owned()
        }
        CatalogError::Io { doing: "create a file in", .. } => {
            "name a file in a folder that you may write to".to_owned()
        }
        _ if error.is_damage() => "restart the mount, which keeps what is readable, and try again".to_owned(),
        _ => format!(
            "{} is the state directory that was looked into: name the mount point, the state directory (--state-dir) or the configuration \
             (--config)",
            dir.display()
        ),
    };
    Failure::failed(error).while_doing("copying the state database").remedy(remedy)
}

/// The state directory that is named, or that of a mount, or the configuration's.
pub fn state_dir(named: &StateArgs, mount_point: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(dir) = &named.state_dir {
        return Ok(dir.clone());
    }
    if let Some(mount_point) = mount_point {
        let socket = status::socket(mount_point)?;
        let asked = daemon::runtime()?.block_on(control::get::<Status>(&socket, "/status"));
        return Ok(PathBuf::from(asked.map_err(without_daemon)?.state.dir));
    }
    let configuration = named.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    Ok(config::load_state_dir(configuration, std::env::vars_os(), &Host::of_process())?)
}

/// The same, of a directory that can be read without a daemon.
fn without_daemon(error: ControlError) -> Failure {
    let is_gone = matches!(error, ControlError::NoDaemon { .. });
    let failure = status::not_answered(error);
    match failure.remedy_text().map(str::to_owned).filter(|_| is_gone) {
        Some(known) => failure.remedy(format!(
            "{known}\nthe state directory can be named instead of DIR: --state-dir DIR, or --config FILE"
        )),
        None => failure,
    }
}
