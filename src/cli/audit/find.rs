//! Where the log is, and whether somebody writes to it.

use std::path::{Path, PathBuf};

use super::args::Where;
use crate::base::failure::Failure;
use crate::base::mounts;
use crate::cli::status;
use crate::config::{self, Host};
use crate::daemon;
use crate::ops::audit::segments;
use crate::ops::control::{self, AuditHead, ControlError};
use crate::ops::status::Status;

/// A log.
pub struct Found {
    pub dir: PathBuf,
    /// The socket of the mount that writes to it.
    socket: Option<PathBuf>,
}

/// Finds it.
pub fn find(place: &Where) -> Result<Found, Failure> {
    let dir = match (&place.state.state_dir, &place.mount_point) {
        (Some(dir), _) => dir.clone(),
        (None, Some(mount_point)) => match of_mount(mount_point, place)? {
            Ok(found) => return Ok(found),
            Err(dir) => dir,
        },
        (None, None) => configured(place)?,
    };
    if segments::list(&dir).map_or(true, |files| files.is_empty())
        && segments::legacy(&dir).map_or(true, |files| files.is_empty())
        && !dir.join("cxonefs.db").exists()
    {
        return Err(Failure::failed(format!("there is no audit log in {}", dir.display()))
            .remedy("name the mount point, the state directory (--state-dir) or the configuration (--config); there is a log once something was mounted"));
    }
    let socket = writer(&dir)?;
    Ok(Found { dir, socket })
}

fn named(place: &Where) -> Option<&Path> {
    place.state.config.as_deref().filter(|path| !path.as_os_str().is_empty())
}

fn configured(place: &Where) -> Result<PathBuf, Failure> {
    Ok(config::load_state_dir(named(place), std::env::vars_os(), &Host::of_process())?)
}

/// The log of a mount, or else the state directory that is meant.
fn of_mount(mount_point: &Path, place: &Where) -> Result<Result<Found, PathBuf>, Failure> {
    let socket = status::socket(mount_point)?;
    match daemon::runtime()?.block_on(control::get::<Status>(&socket, "/status")) {
        Ok(status) => return Ok(Ok(Found { dir: PathBuf::from(status.state.dir), socket: Some(socket) })),
        // A daemon that is stopped has written what it has written.
        Err(ControlError::NoDaemon { .. } | ControlError::Silent { .. }) => {}
        Err(error) => return Err(status::not_answered(error)),
    }
    if named(place).is_some() {
        return configured(place).map(Err);
    }
    // Not looked into where a mount is dead.
    let is_mounted = mounts::at(mount_point).ok().flatten().is_some_and(|mount| mount.is_ours());
    let holds_state = |dir: &Path| dir.join("cxonefs.db").is_file() || dir.join(segments::CURRENT).is_file();
    if !is_mounted && holds_state(mount_point) {
        return Ok(Err(mount_point.to_owned()));
    }
    Err(Failure::failed(format!("no daemon answers for {}, and it is no state directory", mount_point.display()))
        .remedy("name the state directory: --state-dir DIR, or the configuration: --config FILE"))
}

/// The mount of this user that writes to a state directory.
fn writer(dir: &Path) -> Result<Option<PathBuf>, Failure> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for socket in status::own_sockets()? {
        let status = daemon::runtime()?.block_on(control::get::<Status>(&socket, "/status"));
        if status.is_ok_and(|status| real(Path::new(&status.state.dir)) == real(dir)) {
            return Ok(Some(socket));
        }
    }
    Ok(None)
}

impl Found {
    /// Has the mount that writes to it write what waits; the last line then. None where no mount does.
    pub fn head(&self) -> Result<Option<AuditHead>, Failure> {
        let Some(socket) = &self.socket else { return Ok(None) };
        match daemon::runtime()?.block_on(control::get::<AuditHead>(socket, "/audit/head")) {
            Ok(head) => Ok(Some(head)),
            Err(ControlError::NoDaemon { .. } | ControlError::Silent { .. }) => Ok(None),
            Err(error) => Err(status::not_answered(error)),
        }
    }
}
