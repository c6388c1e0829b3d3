//! Precedence, defaults, ranges and secrets.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::*;
use crate::base::{ResolveOn, Since};
use crate::config::env;

const MINIMAL: &str = "[tenant]\naccess_key_id = \"id\"\n";

struct Given {
    file: String,
    env: Vec<(String, String)>,
    profile: Option<Profile>,
    flags: Vec<String>,
}

fn given(file: &str) -> Given {
    Given {
        file: file.to_owned(),
        env: vec![("CXONEFS_ACCESS_KEY_SECRET".to_owned(), "hunter2".to_owned())],
        profile: None,
        flags: Vec::new(),
    }
}

impl Given {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, text: &str) -> Self {
        self.flags.push(text.to_owned());
        self
    }

    fn profile(mut self) -> Self {
        self.profile = Some(Profile::Backup);
        self
    }

    fn no_secret(mut self) -> Self {
        self.env.clear();
        self
    }

    fn resolve_on(&self, host: &Host) -> Result<Config, ConfigError> {
        let file = ConfigFile { path: PathBuf::from("/etc/x/config.toml"), text: self.file.clone() };
        let environment = env::read(self.env.iter().map(|(n, v)| (OsString::from(n), OsString::from(v))))?;
        let flags = self.flags.iter().map(|text| Assignment::parse(text, "--set")).collect::<Result<_, _>>()?;
        resolve(&Sources { file: Some(file), environment, profile: self.profile, flags }, host)
    }

    fn resolve(&self) -> Result<Config, ConfigError> {
        self.resolve_on(&host())
    }
}

fn host() -> Host {
    Host {
        euid: rustix::process::geteuid().as_raw(),
        egid: 7,
        home: Some("/home/u".into()),
        xdg_cache: Some("/xc".into()),
        xdg_state: Some("/xs".into()),
        current_dir: "/srv/here".into(),
        ..Host::default()
    }
}

#[test]
fn the_defaults_are_the_designs() {
    let config = given(MINIMAL).resolve().unwrap();
    assert_eq!(config.tenant.issuer.as_str(), "https://cxone.niceincontact.com/");
    assert_eq!(config.tenant.reporting_version, "v30.0");
    assert!(config.tenant.client.is_none());
    assert_eq!(config.tree.since, Since::DaysAgo(90));
    assert!(config.tree.timezone_is_default);
    assert!(!given(MINIMAL).flag("tree.timezone=UTC").resolve().unwrap().tree.timezone_is_default);
    assert_eq!(config.tree.media_types.to_string(), "call,voicemail,chat,email,sms,digital,social,other");
    assert_eq!(config.tree.refresh, Duration::from_mins(5));
    assert_eq!(config.mount.resolve_on, ResolveOn::Open);
    assert!(!config.mount.allow_other && config.mount.passthrough);
    assert_eq!((config.mount.dir_mode, config.mount.file_mode), (0o550, 0o440));
    assert_eq!((config.mount.uid, config.mount.gid), (host().euid, 7));
    assert_eq!(config.mount.deny_processes[..2], ["updatedb*", "mlocate"]);
    assert_eq!(config.mount.file_managers[0], "gio");
    assert_eq!(config.cache.dir, Path::new("/xc/cxonefs"));
    assert_eq!(config.cache.size, 10 << 30);
    assert_eq!(config.cache.min_free, 1 << 30);
    assert_eq!(config.cache.whole_file_below, 16 << 20);
    assert_eq!(config.cache.max_age, Duration::from_hours(30 * 24));
    assert_eq!(config.state.dir, Path::new("/xs/cxonefs"));
    assert_eq!(config.limits.playback_requests, 150);
    assert_eq!(config.limits.playback_window, Duration::from_mins(5));
    assert_eq!(config.limits.daily_budget, Some(1000));
    assert_eq!(config.limits.deadline, Duration::from_secs(30));
    assert_eq!(config.limits.patience, Some(Duration::from_mins(10)));
    assert_eq!(config.limits.call_timeout, Duration::from_mins(5));
    assert_eq!(config.limits.memory, 128 << 20);
    assert_eq!(config.limits.media_connections, 16);
}

#[test]
fn a_tree_that_begins_in_the_future_is_warned_of() {
    let warnings = |since: &str, zone: &str| {
        let flags = given(MINIMAL).flag(&format!("tree.since={since}")).flag(&format!("tree.timezone={zone}"));
        flags.resolve().unwrap().warnings_at("2026-11-23T02:00:00Z".parse().unwrap())
    };
    assert_eq!(warnings("2026-11-23", "UTC"), [""; 0]);
    assert_eq!(warnings("0d", "America/New_York"), [""; 0]);
    let [warning] = warnings("2026-11-23", "America/New_York").try_into().unwrap();
    assert!(warning.starts_with("the tree is empty until 2026-11-23: tree.since is in the future"), "{warning}");
}

#[test]
fn file_then_environment_then_flags() {
    let file = format!("{MINIMAL}[tree]\nsince = \"1d\"\n");
    let since = |given: Given| given.resolve().unwrap().tree.since;
    assert_eq!(since(given(&file)), Since::DaysAgo(1));
    assert_eq!(since(given(&file).env("CXONEFS_TREE_SINCE", "2d")), Since::DaysAgo(2));
    assert_eq!(since(given(&file).env("CXONEFS_TREE_SINCE", "2d").flag("tree.since=3d")), Since::DaysAgo(3));
    assert_eq!(since(given(&file).flag("tree.since=3d").flag("tree.since=4d")), Since::DaysAgo(4));
}

#[test]
fn the_backup_profile_yields_to_flags_only() {
    let file = format!("{MINIMAL}[mount]\nresolve_on = \"open\"\n");
    let backup = given(&file).env("CXONEFS_LIMITS_PATIENCE", "1m").profile().resolve().unwrap();
    assert_eq!(backup.mount.resolve_on, ResolveOn::List);
    assert_eq!(backup.limits.patience, None);
    let flagged = given(&file).profile().flag("mount.resolve_on=stat").resolve().unwrap();
    assert_eq!(flagged.mount.resolve_on, ResolveOn::Stat);
    assert_eq!(flagged.limits.patience, None);
}

#[test]
fn the_default_patience_is_never_shorter_than_the_window_but_a_written_one_may_be() {
    let patience = |text: &str| given(&format!("{MINIMAL}[limits]\n{text}\n")).resolve().unwrap().limits.patience;
    assert_eq!(patience("playback_window = \"1h\""), Some(Duration::from_hours(1)));
    assert_eq!(patience("playback_window = \"2s\""), Some(Duration::from_mins(10)));
    assert_eq!(patience("playback_window = \"1h\"\npatience = \"2m\""), Some(Duration::from_mins(2)));
}

#[test]
fn paths_start_where_they_were_written() {
    let file = format!("{MINIMAL}[cache]\ndir = \"c\"\n[state]\ndir = \"~/s\"\n");
    let config = given(&file).resolve().unwrap();
    assert_eq!(config.cache.dir, Path::new("/etc/x/c"));
    assert_eq!(config.state.dir, Path::new("/home/u/s"));
    let config = given(&file).flag("cache.dir=c").resolve().unwrap();
    assert_eq!(config.cache.dir, Path::new("/srv/here/c"));
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    let error = given("").resolve().unwrap_err();
    assert_eq!(error.to_string(), "tenant.access_key_id is missing");
    assert!(error.remedy().unwrap().contains("CXONEFS_ACCESS_KEY_ID"));
    let error = given(MINIMAL).no_secret().resolve().unwrap_err();
    assert_eq!(error.to_string(), "the secret access_key_secret is missing");
    assert!(error.remedy().unwrap().contains("tenant.access_key_secret_file"));
    let error = given(&format!("{MINIMAL}client_id = \"c\"\n")).resolve().unwrap_err();
    assert_eq!(error.to_string(), "the secret client_secret is missing");
}

#[test]
fn ranges_are_checked_where_they_were_written() {
    for (text, start) in [
        ("[cache]\nsize = \"1kB\"", "/etc/x/config.toml:4:8: cache.size: it must be at least 1MiB"),
        ("[limits]\nmemory = \"1MiB\"", "/etc/x/config.toml:4:10: limits.memory: it must be at least 8MiB"),
        ("[limits]\ndeadline = \"1ms\"", "/etc/x/config.toml:4:12: limits.deadline: it must be at least 100ms"),
    ] {
        assert_eq!(given(&format!("{MINIMAL}{text}\n")).resolve().unwrap_err().to_string(), start);
    }
}

#[test]
fn a_version_or_file_that_cannot_be_is_refused_with_its_place_and_a_remedy() {
    for (text, start, remedy) in [
        (
            "reporting_version = \"30\"",
            "/etc/x/config.toml:3:21: tenant.reporting_version: expected a version of the Reporting API, such as \"v30.0\"",
            "the default is \"v30.0\"",
        ),
        (
            "access_key_secret_file = \"/nowhere/secret\"",
            "/etc/x/config.toml:3:26: tenant.access_key_secret_file: cannot read /nowhere/secret",
            "chmod 600 /nowhere/secret",
        ),
    ] {
        let error = given(&format!("{MINIMAL}{text}\n")).no_secret().resolve().unwrap_err();
        assert!(error.to_string().starts_with(start), "{error}");
        assert!(error.remedy().unwrap().contains(remedy), "{error:?}");
    }
}

fn secret_file(dir: &Path, name: &str, content: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn secrets_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = secret_file(dir.path(), "one", "from-file");
    secret_file(dir.path(), "access_key_secret", "from-systemd");
    let in_file = format!("{MINIMAL}access_key_secret_file = \"{}\"\n", file.display());
    let host = Host { credentials: Some(dir.path().to_owned()), ..host() };
    let secret = |given: Given| {
        let config = given.resolve_on(&host).unwrap();
        assert!(!format!("{config:?}").contains("from-"), "{config:?}");
        config.tenant.access_key_secret.expose_secret().to_owned()
    };
    assert_eq!(secret(given(MINIMAL).no_secret()), "from-systemd");
    assert_eq!(secret(given(&in_file).no_secret()), "from-file");
    assert_eq!(secret(given(&in_file)), "hunter2");
    let flag = format!("tenant.access_key_secret_file={}", file.display());
    assert_eq!(secret(given(&in_file).flag(&flag)), "from-file");
}
