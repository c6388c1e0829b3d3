//! Everything that a mount needs to know.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::reload::Reload;
use crate::config::Config;

/// Everything that a mount needs to know.
#[derive(Debug)]
pub struct Plan {
    pub config: Config,
    /// Absolute, checked.
    pub mount_point: PathBuf,
    /// Where a new configuration comes from, if there can be one.
    pub reload: Option<Reload>,
    /// Where metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// The service manager takes the mount away before it ends us.
    pub service_unmounts: bool,
}
