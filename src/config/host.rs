//! What the configuration's defaults depend on: who runs it, and the directories of the XDG base directory specification.
//! Read once from the process; given as a value everywhere else.

use std::ffi::OsString;
use std::path::PathBuf;

/// The process's surroundings.
#[derive(Clone, Debug, Default)]
pub struct Host {
    pub euid: u32,
    pub egid: u32,
    pub home: Option<PathBuf>,
    pub xdg_config: Option<PathBuf>,
    pub xdg_cache: Option<PathBuf>,
    pub xdg_state: Option<PathBuf>,
    /// systemd's `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// Where relative paths of flags and variables start from.
    pub current_dir: PathBuf,
}

impl Host {
    /// Reads this process's.
    #[must_use]
    pub fn of_process() -> Host {
        Host {
            euid: rustix::process::geteuid().as_raw(),
            egid: rustix::process::getegid().as_raw(),
            home: absolute(std::env::var_os("HOME")),
            xdg_config: absolute(std::env::var_os("XDG_CONFIG_HOME")),
            xdg_cache: absolute(std::env::var_os("XDG_CACHE_HOME")),
            xdg_state: absolute(std::env::var_os("XDG_STATE_HOME")),
            credentials: absolute(std::env::var_os("CREDENTIALS_DIRECTORY")),
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    /// Whether it runs as root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.euid == 0
    }

    /// The user's own configuration file.
    #[must_use]
    pub fn user_config(&self) -> Option<PathBuf> {
        let base = self.xdg_config.clone().or_else(|| self.home.as_ref().map(|home| home.join(".config")))?;
        Some(base.join("cxonefs/config.toml"))
    }

    /// The default cache directory.
    #[must_use]
    pub fn cache_dir(&self) -> Option<PathBuf> {
        self.dir("/var/cache", self.xdg_cache.as_ref(), ".cache")
    }

    /// The default state directory.
    #[must_use]
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.dir("/var/lib", self.xdg_state.as_ref(), ".local/state")
    }

    fn dir(&self, of_root: &str, xdg: Option<&PathBuf>, below_home: &str) -> Option<PathBuf> {
        let base = match xdg {
            Some(xdg) => xdg.clone(),
            None if self.is_root() => PathBuf::from(of_root),
            None => self.home.as_ref()?.join(below_home),
        };
        Some(base.join("cxonefs"))
    }
}

/// The XDG specification says that relative paths are to be ignored.
fn absolute(value: Option<OsString>) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories() {
        let user = Host { euid: 1000, home: Some("/home/u".into()), ..Host::default() };
        assert_eq!(user.user_config().unwrap(), PathBuf::from("/home/u/.config/cxonefs/config.toml"));
        assert_eq!(user.cache_dir().unwrap(), PathBuf::from("/home/u/.cache/cxonefs"));
        assert_eq!(user.state_dir().unwrap(), PathBuf::from("/home/u/.local/state/cxonefs"));
        let root = Host { home: Some("/root".into()), ..Host::default() };
        assert_eq!(root.cache_dir().unwrap(), PathBuf::from("/var/cache/cxonefs"));
        assert_eq!(root.state_dir().unwrap(), PathBuf::from("/var/lib/cxonefs"));
        let xdg = Host { euid: 1000, xdg_state: Some("/s".into()), ..Host::default() };
        assert_eq!(xdg.state_dir().unwrap(), PathBuf::from("/s/cxonefs"));
        assert_eq!(xdg.cache_dir(), None);
    }
}
