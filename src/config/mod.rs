//! Configuration: as written ([`raw`], [`env`]), and as resolved ([`settings`], by [`resolve`]). One table ([`keys`]) defines
//! every key.
//!
//! Knows neither the mount nor the tenant that it is for, and makes no request.

pub mod also;
pub mod docs;
pub mod env;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod host;
mod key_command;
pub mod keys;
pub mod kinds;
mod layer;
pub mod locate;
pub mod raw;
pub mod resolve;
pub mod secrets;
pub mod settings;
pub mod suggest;
pub mod template;
mod trust;
pub mod units;
pub mod value;
pub mod written;

use std::ffi::OsString;
use std::path::Path;

pub use error::ConfigError;
pub use host::Host;
pub use raw::{Assignment, ConfigFile};
pub use resolve::{Sources, default_dirs, resolve};
pub use settings::{
    AlsoConfig, AuditConfig, CacheConfig, ClientConfig, Config, LimitsConfig, MediaConfig, MountConfig, Profile,
    StateConfig, Stores, TenantConfig, TreeConfig,
};

/// Finds the configuration file, reads the environment and settles every key.
///
/// `named` is the file that the user named. Without one and without a file in the usual places, the environment and the flags must
/// name the access key themselves.
pub fn load(
    named: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    profile: Option<Profile>,
    flags: Vec<Assignment>,
    host: &Host,
) -> Result<Config, ConfigError> {
    let environment = env::read(variables)?;
    let places = locate::places(host);
    let file = locate::find(named, &places, host)?;
    let id = keys::ACCESS_KEY_ID.info.path();
    if file.is_none() && !environment.layer.contains_key(&id) && !flags.iter().any(|flag| flag.key == id) {
        return Err(ConfigError::NoConfiguration { looked_for: places });
    }
    resolve(&Sources { file, environment, profile, flags }, host)
}

/// What is kept on disk and where, as [`load`] would say; without a configuration the usual places.
pub fn load_stores(
    named: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    host: &Host,
) -> Result<Stores, ConfigError> {
    let environment = env::read(variables)?;
    let file = locate::find(named, &locate::places(host), host)?;
    resolve::stores(&Sources { file, environment, ..Sources::default() }, host)
}

/// Where the state directory is, as [`load`] would say; without a configuration the usual place.
pub fn load_state_dir(
    named: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    host: &Host,
) -> Result<std::path::PathBuf, ConfigError> {
    let environment = env::read(variables)?;
    let file = locate::find(named, &locate::places(host), host)?;
    resolve::state_dir(&Sources { file, environment, ..Sources::default() }, host)
}
