//! Whom to ask about a cache: the mount that uses it, or nobody, and then its directories are held by this command as long as it runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::args::Where;
use crate::base::SystemClock;
use crate::base::failure::Failure;
use crate::catalog::{Catalog, CatalogError};
use crate::cli::status;
use crate::config::{self, Host, Stores};
use crate::daemon::keeping::Keeper;
use crate::daemon::keeping::{self, Books};
use crate::daemon::{self};
use crate::media::Media;
use crate::ops::control::{self, ControlError};
use crate::ops::keeping::Keeping;
use crate::ops::status::Status;

/// Who knows.
pub enum Kept {
    /// The mount with this control socket.
    Mounted(PathBuf),
    /// Nobody else has it open.
    Directly(Box<dyn Keeping>),
}

/// Finds it.
pub fn find(place: &Where) -> Result<Kept, Failure> {
    if let Some(mount_point) = &place.mount_point {
        let socket = status::socket(mount_point)?;
        match daemon::runtime()?.block_on(control::get::<Status>(&socket, "/status")) {
            Ok(_) => return Ok(Kept::Mounted(socket)),
            Err(ControlError::NoDaemon { .. }) => {}
            Err(error) => return Err(status::not_answered(error)),
        }
        // Not mounted now. Only a configuration that is named with it tells what it would use: any other's cache may be another mount's.
        if named(place).is_none() && !is_in_environment() {
            return Err(not_mounted(mount_point));
        }
        return directly_or_mounted(&stores(place)?);
    }
    match stores(place) {
        Ok(stores) => directly_or_mounted(&stores),
        Err(failure) if named(place).is_some() => Err(failure),
        Err(failure) => match all()?.as_slice() {
            [(socket, _)] => Ok(Kept::Mounted(socket.clone())),
            [] => Err(failure),
            _ => Err(Failure::usage("several mounts are running").remedy("name one: cxonefs cache … DIR")),
        },
    }
}

fn named(place: &Where) -> Option<&Path> {
    place.config.as_deref().filter(|path| !path.as_os_str().is_empty())
}

/// Whether the environment says which cache is meant.
fn is_in_environment() -> bool {
    std::env::var_os("CXONEFS_CACHE_DIR").is_some_and(|dir| !dir.is_empty())
}

fn stores(place: &Where) -> Result<Stores, Failure> {
    stores_of(named(place))
}

/// The directories that a configuration names, and their key.
pub fn stores_of(config: Option<&Path>) -> Result<Stores, Failure> {
    Ok(config::load_stores(config, std::env::vars_os(), &Host::of_process())?)
}

fn not_mounted(mount_point: &Path) -> Failure {
    Failure::failed(format!("{} is no cxonefs mount of yours", mount_point.display())).remedy(
        "the mounts are shown by: findmnt -t fuse.cxonefs\n\
         a cache that is not mounted is found by its configuration: leave DIR out, or name it: --config FILE",
    )
}

fn directly_or_mounted(stores: &Stores) -> Result<Kept, Failure> {
    let same = |one: &Path, other: &str| {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        real(one) == real(Path::new(other))
    };
    let mut mounts = all()?.into_iter();
    if let Some((socket, _)) = mounts.find(|(_, status)| same(&stores.cache.dir, &status.cache.dir)) {
        return Ok(Kept::Mounted(socket));
    }
    let nothing = |what: &str, dir: &Path| {
        Failure::failed(format!("there is no {what} at {}", dir.display()))
            .remedy("name the mount point, or the configuration: --config")
    };
    if !stores.cache.dir.is_dir() && !stores.state_dir.is_dir() {
        return Err(nothing("cache", &stores.cache.dir));
    }
    let keys = &stores.cache.keys;
    let in_use = "if a mount uses it, name the mount point: cxonefs cache … DIR";
    let catalog = Catalog::open_existing(&stores.state_dir, keys).map_err(|error| state_failure(error, in_use))?;
    let media = Media::open_sealed(
        crate::daemon::settings::media_settings(&stores.cache, &stores.limits),
        keys,
        Arc::new(SystemClock),
    )
    .map_err(|error| Failure::failed(error).while_doing("cache.dir").remedy(in_use))?;
    if let Some(catalog) = &catalog {
        keeping::apply_holds(catalog, &media).map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    }
    Ok(Kept::Directly(Box::new(Keeper {
        media,
        cache_dir: stores.cache.dir.clone(),
        max_age: stores.cache.max_age,
        catalog,
        state_dir: stores.state_dir.clone(),
        audit: Books::Closed(stores.audit.clone()),
        live: None,
        clock: Arc::new(SystemClock),
        changing: Mutex::default(),
    })))
}

fn state_failure(error: CatalogError, in_use: &str) -> Failure {
    let remedy = error.remedy().unwrap_or(in_use).to_owned();
    Failure::failed(error).while_doing("state.dir").remedy(remedy)
}

/// Every mount of this user that answers.
fn all() -> Result<Vec<(PathBuf, Status)>, Failure> {
    let mut found = Vec::new();
    for socket in status::own_sockets()? {
        if let Some(status) = answers(&socket)? {
            found.push((socket, status));
        }
    }
    Ok(found)
}

/// The state of the mount behind a socket, if there is one. A daemon that was killed leaves its socket behind.
fn answers(socket: &Path) -> Result<Option<Status>, Failure> {
    match daemon::runtime()?.block_on(control::get::<Status>(socket, "/status")) {
        Ok(status) => Ok(Some(status)),
        // One that is stopped holds its directories: should they be those that are meant, opening them says so.
        // One that ends just now is gone, too.
        Err(ControlError::NoDaemon { .. } | ControlError::Silent { .. } | ControlError::Exchange(_)) => Ok(None),
        Err(error) => Err(status::not_answered(error)),
    }
}
