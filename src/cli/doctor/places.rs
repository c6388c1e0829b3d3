//! The directories of cache and state: whose, how open, whether they can be written, how much room there is. Creates and changes
//! nothing but a temporary file without a name.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::check::Check;
use crate::base::failure::Failure;
use crate::base::{Clock as _, SystemClock};
use crate::cli::units::size;
use crate::config::{Config, Host};
use crate::ops::audit::{self, Figures};
use crate::ops::privacy;

/// With less than this (bytes) for the state database, its next large day may not fit.
const STATE_ROOM: u64 = 256 << 20;

/// Looks at both directories and their file systems.
pub fn checks(config: &Config, host: &Host) -> Vec<Check> {
    let (cache, state) = (&config.cache.dir, &config.state.dir);
    vec![
        directory("cache directory", cache, host),
        cache_room(config, room(cache)),
        directory("state directory", state, host),
        state_room(state, room(state)),
        audit_room(config, &audit::figures::measured(state).unwrap_or_default(), SystemClock.now()),
    ]
}

fn directory(name: &'static str, dir: &Path, host: &Host) -> Check {
    let shown = dir.display();
    let Ok(metadata) = std::fs::metadata(dir) else { return missing(name, dir) };
    if metadata.is_dir()
        && metadata.uid() == host.euid
        && metadata.mode() & 0o077 != 0
        && privacy::holds_nothing_for_others(dir).unwrap_or(false)
    {
        return Check::ok(name, format!("{shown} holds nothing for others and will be closed to them"));
    }
    match privacy::private_dir(dir) {
        Ok(()) => Check::ok(name, format!("{shown}, mode {:04o}", metadata.mode() & 0o7777)),
        Err(error) => Check::of_failure(name, &Failure::from(error)),
    }
}

/// It will be created, if the folder that is to hold it can be written.
fn missing(name: &'static str, dir: &Path) -> Check {
    let above = nearest(dir);
    match tempfile::tempfile_in(&above) {
        Ok(_) => Check::ok(name, format!("{} will be created", dir.display())),
        Err(error) => Check::failed(
            name,
            format!("{} cannot be created in {}: {}", dir.display(), above.display(), crate::base::chain(&error)),
            format!("as root: install -d -m 700 -o $USER {}; or choose another directory", dir.display()),
        ),
    }
}

/// The directory itself, or the nearest one above it that is there.
fn nearest(dir: &Path) -> PathBuf {
    let there = dir.ancestors().find(|above| above.is_dir());
    there.unwrap_or(Path::new("/")).to_owned()
}

/// Bytes that are free on its file system; none if it does not tell.
fn room(dir: &Path) -> Option<u64> {
    rustix::fs::statvfs(nearest(dir)).ok().map(|told| told.f_bavail * told.f_frsize)
}

fn cache_room(config: &Config, free: Option<u64>) -> Check {
    const NAME: &str = "cache space";
    let Some(free) = free else { return Check::skipped(NAME, "the file system does not tell") };
    let (min_free, wanted) = (config.cache.min_free, config.cache.size);
    if free <= min_free {
        return Check::failed(
            NAME,
            format!("{} free, of which cache.min_free keeps {}: nothing can be cached", size(free), size(min_free)),
            "free some space, choose another cache.dir, or lower cache.min_free",
        );
    }
    // What the cache holds already is not free, but its.
    let held = held(&config.cache.dir);
    if free - min_free + held < wanted {
        return Check::hint(
            NAME,
            format!("{} free: the cache will stay below cache.size, {}", size(free), size(wanted)),
            "lower cache.size, or choose a cache.dir with more room",
        );
    }
    Check::ok(NAME, format!("{} free; the cache takes up to {} of it (cache.size)", size(free), size(wanted)))
}

/// Bytes on disk below a directory of ours, two levels deep as the cache is.
fn held(dir: &Path) -> u64 {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = |entry: &std::fs::DirEntry| entry.metadata().map_or(0, |metadata| metadata.blocks() * 512);
    entries(dir).map(|entry| bytes(&entry) + entries(&entry.path()).map(|below| bytes(&below)).sum::<u64>()).sum()
}

fn state_room(dir: &Path, free: Option<u64>) -> Check {
    const NAME: &str = "state space";
    match free {
        None => Check::skipped(NAME, "the file system does not tell"),
        Some(free) if free < STATE_ROOM => Check::failed(
            NAME,
            format!("{} free for {}", size(free), dir.display()),
            format!("free at least {}, or choose another state.dir", size(STATE_ROOM)),
        ),
        Some(free) => Check::ok(NAME, format!("{} free", size(free))),
    }
}

/// Whether the audit log fits for as long as it is kept.
fn audit_room(config: &Config, figures: &Figures, now: Timestamp) -> Check {
    const NAME: &str = "audit log space";
    let keep_s = config.audit.keep.as_secs_f64();
    if figures.files == 0 {
        return Check::skipped(NAME, "there is no audit log yet; 100,000 opens a day need about 8 GB in 400 days");
    }
    if let Some(warning) = figures.warning(keep_s, now) {
        return Check::hint(NAME, warning, "free some space, choose another state.dir, or lower audit.keep");
    }
    let need = figures.need_bytes(keep_s, now);
    let need = need.map_or_else(String::new, |need| format!(", about {} within audit.keep", size(need)));
    Check::ok(NAME, format!("{} in {} files{need}", size(figures.bytes()), figures.files))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::check::Outcome;
    use super::*;
    use crate::daemon::testing;

    fn host() -> Host {
        Host { euid: rustix::process::geteuid().as_raw(), ..Host::default() }
    }

    fn look(dir: &Path) -> (Outcome, String) {
        let check = directory("cache directory", dir, &host());
        (check.outcome, check.remedy.unwrap_or_default())
    }

    #[test]
    fn directories_that_are_or_will_be_private_are_well() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path()).0, Outcome::Ok);
        assert_eq!(look(&dir.path().join("a/b")).0, Outcome::Ok);
        assert!(!dir.path().join("a").exists(), "looking creates nothing");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(look(dir.path()).0, Outcome::Ok);
        assert_eq!(dir.path().metadata().unwrap().mode() & 0o777, 0o755, "looking changes nothing");
    }

    #[test]
    fn each_fault_has_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "").unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (outcome, remedy) = look(dir.path());
        assert!(outcome == Outcome::Failed && remedy.starts_with("chmod 700 "), "{remedy}");
        let (outcome, remedy) = look(&dir.path().join("x"));
        assert!(outcome == Outcome::Failed && remedy.contains("another directory"), "{remedy}");
        let (outcome, remedy) = look(Path::new("/proc/cxonefs"));
        assert!(outcome == Outcome::Failed && remedy.contains("install -d -m 700"), "{remedy}");
        if host().is_root() {
            let other = tempfile::tempdir().unwrap();
            std::os::unix::fs::chown(other.path(), Some(12345), None).unwrap();
            let (outcome, remedy) = look(other.path());
            assert!(outcome == Outcome::Failed && remedy.contains("chown"), "{remedy}");
        }
    }

    #[test]
    fn room_is_compared_with_what_the_configuration_wants() {
        let dir = tempfile::tempdir().unwrap();
        let at = format!("cache.dir={}", dir.path().display());
        let config = testing::config(&["cache.size=10GiB", "cache.min_free=1GiB", &at]);
        for (free, outcome, remedy) in [
            (1 << 30, Outcome::Failed, "free some space"),
            (5 << 30, Outcome::Hint, "lower cache.size"),
            (12 << 30, Outcome::Ok, ""),
        ] {
            let check = cache_room(&config, Some(free));
            assert_eq!(check.outcome, outcome);
            assert!(check.remedy.unwrap_or_default().contains(remedy));
        }
        assert_eq!(state_room(dir.path(), Some(1 << 20)).outcome, Outcome::Failed);
        assert_eq!(state_room(dir.path(), Some(1 << 30)).outcome, Outcome::Ok);
        assert!(room(&dir.path().join("not/yet")).is_some());
        let now = SystemClock.now();
        let figures = Figures { files: 1, closed_bytes: 1 << 20, free_bytes: Some(1 << 40), ..Figures::default() };
        assert_eq!(audit_room(&config, &figures, now).outcome, Outcome::Ok);
        let small = Figures { free_bytes: Some(1 << 20), ..figures };
        assert_eq!(audit_room(&config, &small, now).outcome, Outcome::Hint);
    }
}
