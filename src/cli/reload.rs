//! SIGHUP: which settings of a new configuration hold at once, and which need a remount. Decides and says; applies nothing.

use std::fmt;

use super::failure::Failure;
use crate::config::Config;

/// Reads the configuration again, from where it came.
pub struct Reload(Box<dyn Fn() -> Result<Config, Failure> + Send + Sync>);

impl Reload {
    pub fn new(read: impl Fn() -> Result<Config, Failure> + Send + Sync + 'static) -> Reload {
        Reload(Box::new(read))
    }

    /// The configuration as it is now.
    pub fn read(&self) -> Result<Config, Failure> {
        (self.0)()
    }
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

/// A setting that is another one now.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    pub key: &'static str,
    pub before: String,
    pub after: String,
    /// It holds at once; otherwise from the next mount on.
    pub holds: bool,
}

/// What is different. Secrets are not compared: a new one is used from the next mount on.
pub fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let mut found = Vec::new();
    macro_rules! compare {
        ($holds:literal: $($section:ident . $name:ident),* $(,)?) => {$(
            // What `Debug` shows is the whole value; only secrets hide in it, and none is in this list.
            let (old, new) = (format!("{:?}", before.$section.$name), format!("{:?}", after.$section.$name));
            if old != new {
                let key = concat!(stringify!($section), ".", stringify!($name));
                found.push(Change { key, before: old, after: new, holds: $holds });
            }
        )*};
    }
    compare!(true: limits.playback_requests, limits.playback_window, limits.daily_budget, limits.patience,
        mount.deny_processes);
    compare!(false: tenant.issuer, tenant.access_key_id, tenant.area, tenant.auth_endpoint, tenant.api_endpoint,
        tenant.playback_endpoint, tenant.reporting_version, tree.since, tree.timezone, tree.media_types, tree.refresh,
        mount.resolve_on, mount.allow_other, mount.passthrough, mount.uid, mount.gid, mount.dir_mode, mount.file_mode,
        cache.dir, cache.size, cache.min_free, cache.whole_file_below, cache.max_age, state.dir, limits.deadline,
        limits.memory, limits.media_connections);
    found
}

/// Says what changed.
pub fn log(changes: &[Change]) {
    if changes.is_empty() {
        tracing::info!("configuration read again: nothing changed");
    }
    for Change { key, before, after, holds } in changes {
        if *holds {
            tracing::info!(key, before, after, "changed");
        } else {
            tracing::warn!(key, before, after, "changed in the configuration; holds from the next mount on");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::{Assignment, Host, Sources, env, resolve};

    fn config(settings: &[&str]) -> Config {
        let variables = [("CXONEFS_ACCESS_KEY_ID", "KEYID"), ("CXONEFS_ACCESS_KEY_SECRET", "hunter2")];
        let environment =
            env::read(variables.map(|(name, value)| (OsString::from(name), OsString::from(value)))).unwrap();
        let flags = settings.iter().map(|text| Assignment::parse(text, "--set").unwrap()).collect();
        let host = Host { home: Some("/home/u".into()), ..Host::default() };
        resolve(&Sources { environment, flags, ..Sources::default() }, &host).unwrap()
    }

    #[test]
    fn a_raised_budget_holds_at_once_and_another_cache_does_not() {
        let before = config(&[]);
        assert_eq!(changes(&before, &config(&[])), []);
        let after = config(&["limits.daily_budget=5000", "cache.size=20GiB", "mount.deny_processes=updatedb"]);
        let found = changes(&before, &after);
        let seen: Vec<(&str, bool)> = found.iter().map(|change| (change.key, change.holds)).collect();
        assert_eq!(seen, [("limits.daily_budget", true), ("mount.deny_processes", true), ("cache.size", false)]);
        assert!(found[0].after.contains("5000"));
    }

    #[test]
    fn every_key_but_secrets_is_compared() {
        let compared = include_str!("reload.rs");
        for key in crate::config::keys::ALL {
            let info = key.info();
            let is_secret =
                info.name.contains("secret") || info.name == "client_id" || info.name.contains("encryption");
            assert!(is_secret || compared.contains(&info.path()), "{}", info.path());
        }
    }
}
