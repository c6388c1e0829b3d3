//! SIGHUP: which settings of a new configuration hold at once, and which need a remount. Decides and says; applies nothing.

use std::fmt;
use std::sync::Arc;

use crate::base::failure::Failure;
use crate::config::Config;
use crate::config::written::Written as _;

/// Reads the configuration again, from where it came.
#[derive(Clone)]
pub struct Reload(Arc<dyn Fn() -> Result<Config, Failure> + Send + Sync>);

impl Reload {
    pub fn new(read: impl Fn() -> Result<Config, Failure> + Send + Sync + 'static) -> Reload {
        Reload(Arc::new(read))
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
    /// As the configuration writes it, as is `after`.
    pub before: String,
    pub after: String,
    /// It holds at once; otherwise from the next mount on.
    pub holds: bool,
}

/// What is different. Secrets are not compared: a new one is used from the next login on.
pub fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let mut found = Vec::new();
    macro_rules! compare {
        ($holds:literal: $($section:ident . $name:ident),* $(,)?) => {$(
            let (old, new) = (&before.$section.$name, &after.$section.$name);
            if old != new {
                let key = concat!(stringify!($section), ".", stringify!($name));
                found.push(Change { key, before: old.written(), after: new.written(), holds: $holds });
            }
        )*};
    }
    compare!(true: limits.playback_requests, limits.playback_window, limits.daily_budget,
        limits.daily_budget_per_user, limits.patience,
        mount.deny_processes, mount.file_managers, tenant.access_key_id);
    compare!(false: tenant.issuer, tenant.area, tenant.auth_endpoint, tenant.api_endpoint,
        tenant.playback_endpoint, tenant.media_hosts, tenant.login_hosts, tenant.ca_file, media.ca_file, tenant.reporting_version, tree.since, tree.timezone, tree.media_types, tree.refresh,
        mount.resolve_on, mount.resolve_on_stat_for, mount.allow_other, mount.passthrough, mount.uid, mount.gid, mount.dir_mode, mount.file_mode,
        cache.dir, cache.size, cache.min_free, cache.whole_file_below, cache.max_age, cache.never, state.dir, audit.keep, audit.required, audit.export, limits.deadline,
        limits.call_timeout, limits.memory, limits.media_connections);
    found
}

/// What changed, for the audit log: keys alone.
pub fn named(changes: &[Change], is_new_secret: bool) -> Option<String> {
    let keys = changes.iter().map(|change| change.key).chain(is_new_secret.then_some("tenant.access_key_secret"));
    let keys: Vec<&str> = keys.collect();
    (!keys.is_empty()).then(|| format!("changed: {}", keys.join(", ")))
}

/// Says what changed.
pub fn log(changes: &[Change], is_new_secret: bool) {
    if is_new_secret {
        tracing::info!(
            "the configuration was read again: the access key's secret is another one; the next login uses it"
        );
    } else if changes.is_empty() {
        tracing::info!("the configuration was read again: nothing changed");
    }
    for Change { key, before, after, holds } in changes {
        if *holds {
            tracing::info!(
                key,
                before,
                after,
                "the configuration was read again: {key} was {before} and is {after} from now on"
            );
        } else {
            tracing::warn!(
                key,
                before,
                after,
                "the configuration was read again: {key} was {before} and is {after} from the next mount on"
            );
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
        assert_eq!((found[0].before.as_str(), found[0].after.as_str()), ("1000", "5000"));
    }

    #[test]
    fn values_are_said_as_the_configuration_writes_them() {
        let after = [
            "limits.daily_budget=unlimited",
            "limits.patience=90s",
            "mount.deny_processes=updatedb,mds*",
            "tenant.area=na1",
            "tree.since=7d",
            "tree.media_types=call",
            "cache.size=20GiB",
        ];
        let found = changes(&config(&["tree.since=2026-11-02", "mount.deny_processes=mds*"]), &config(&after));
        let said: Vec<String> = found.iter().map(|it| format!("{}: {} -> {}", it.key, it.before, it.after)).collect();
        assert_eq!(
            said,
            [
                "limits.daily_budget: 1000 -> unlimited",
                "limits.patience: 10m -> 1m30s",
                "mount.deny_processes: mds* -> updatedb,mds*",
                "tenant.area:  -> na1",
                "tree.since: 2026-11-02 -> 7d",
                "tree.media_types: call,voicemail,chat,email,sms,digital,social,other -> call",
                "cache.size: 10GiB -> 20GiB",
            ]
        );
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
