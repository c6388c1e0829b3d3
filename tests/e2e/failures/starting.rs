//! Mounts that cannot be: one clear line, what to do, the right exit code, no mount.

use std::path::Path;
use std::time::{Duration, Instant};

use cxonefs::sim::{Credentials, SimSettings};

use crate::harness::{Done, Ended, Mount, Sandbox, Tenant, cxonefs, mount_at, plain, tool};

const OTHER_TENANT: &str = "22fc0000-0000-4000-8000-0242ac110002";
const SECRET: &str = "wrong-secret-4711";

/// One line that says what is wrong, indented lines that say what to do, nothing that frightens.
#[track_caller]
fn assert_clear(sandbox: &Sandbox, (code, said): (i32, &str), expected: i32, what: &str, remedy: &str) {
    assert_eq!(code, expected, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("cxonefs: ")).unwrap_or_else(|| panic!("no line: {said}"));
    assert!(lines[at].contains(what), "{what:?} is missing in: {said}");
    let remedies = &lines[at + 1..];
    assert!(!remedies.is_empty() && remedies.iter().all(|line| line.starts_with("  ")), "{said}");
    assert!(remedies.iter().any(|line| line.contains(remedy)), "{remedy:?} is missing in: {said}");
    for part in ["panicked", "RUST_BACKTRACE", "Error {", SECRET, "simulated+secret"] {
        assert!(!said.contains(part), "{part:?} in: {said}");
    }
    assert_eq!(mount_at(&sandbox.mount_point()), None);
}

fn ended(result: Result<Mount, Ended>) -> (i32, String) {
    match result {
        Ok(_) => panic!("it mounted"),
        Err(Ended { code, said }) => (code.expect("it ended by itself"), said),
    }
}

fn told(done: &Done) -> (i32, &str) {
    (done.code(), &done.stderr)
}

#[test]
fn a_wrong_secret() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    sandbox.write_secret(SECRET);
    let (code, said) = ended(Mount::attempt(&sandbox, &[]));
    assert_clear(&sandbox, (code, &said), 1, "logging in to 127.0.0.1:", "check tenant.access_key_id");
    assert!(said.contains(&tenant.settings().credentials.access_key_id), "{said}");
}

#[test]
fn a_host_that_is_not_reached() {
    let mut tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    tenant.shut_down();
    let started = Instant::now();
    let (code, said) = ended(Mount::attempt(&sandbox, &["--set", "limits.deadline=3s"]));
    assert_clear(&sandbox, (code, &said), 1, "logging in to 127.0.0.1:", "check the network");
    assert!(said.contains("refused"), "the cause is missing: {said}");
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
}

#[test]
fn a_host_that_does_not_answer() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    tenant.fail(cxonefs::sim::Endpoint::Login, cxonefs::sim::Fault::Hang);
    let started = Instant::now();
    // A login has 30 s, whatever the deadline of a request.
    let (code, said) = ended(Mount::attempt(&sandbox, &["--set", "limits.deadline=2s"]));
    assert_clear(&sandbox, (code, &said), 1, "logging in to 127.0.0.1:", "check the network");
    assert!(started.elapsed() < Duration::from_secs(50), "took {:?}", started.elapsed());
}

#[test]
fn a_time_zone_that_nobody_knows() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let (code, said) = ended(Mount::attempt(&sandbox, &["--timezone", "America/New_Yorck"]));
    assert_eq!(code, 2, "{said}");
    assert!(said.starts_with("cxonefs: ") && said.contains("--timezone") && said.contains("New_Yorck"), "{said}");
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    std::fs::write(sandbox.config(), text.replace("America/New_York", "Mars/Base")).unwrap();
    let (code, said) = ended(Mount::attempt(&sandbox, &[]));
    assert_eq!(code, 2, "{said}");
    let line = text.lines().position(|line| line.starts_with("timezone")).unwrap() + 1;
    assert!(said.contains(&format!("config.toml:{line}:")) && said.contains("time zone"), "{said}");
}

#[test]
fn a_key_that_nobody_knows() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let mut text = std::fs::read_to_string(sandbox.config()).unwrap();
    let line = text.lines().count() + 2;
    text.push_str("[limits]\ndaily_bugdet = 5\n");
    std::fs::write(sandbox.config(), text).unwrap();
    let (code, said) = ended(Mount::attempt(&sandbox, &[]));
    assert_eq!(code, 2, "{said}");
    assert!(said.contains(&format!("config.toml:{line}:1:")) && said.contains("daily_budget"), "{said}");
    assert_eq!(mount_at(&sandbox.mount_point()), None);
}

#[test]
fn mount_points_that_are_missing_or_not_empty() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let mount = |path: &Path| {
        let command = cxonefs(&sandbox.home()).args(["mount", "--config"]).arg(sandbox.config());
        command.arg(path).run()
    };
    assert_clear(&sandbox, told(&mount(&sandbox.path("missing"))), 1, "does not exist", "mkdir");
    std::fs::write(sandbox.mount_point().join("something"), "").unwrap();
    assert_clear(&sandbox, told(&mount(&sandbox.mount_point())), 1, "is not empty", "empty directory");
    assert_clear(&sandbox, told(&mount(&sandbox.secret())), 1, "is not a directory", "directory");
    assert_eq!(tenant.counters().logins, 0, "found out before any login");
}

#[test]
fn directories_that_cannot_be_written() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let file = sandbox.path("file");
    std::fs::write(&file, "").unwrap();
    for (flag, key) in [("--cache-dir", "cache.dir"), ("--state-dir", "state.dir")] {
        let path = file.join("below");
        let (code, said) = ended(Mount::attempt(&sandbox, &[flag, path.to_str().unwrap()]));
        assert_clear(&sandbox, (code, &said), 1, key, "directory");
        // Root writes everywhere, but not on a file system that is read-only.
        let frozen = sandbox.path(&format!("frozen{flag}"));
        std::fs::create_dir(&frozen).unwrap();
        let prepare = format!("mount -t tmpfs -o ro,mode=0700 none '{}'", frozen.display());
        let done = in_own_namespace(&sandbox, &prepare, &[flag, frozen.to_str().unwrap()]);
        assert_clear(&sandbox, told(&done), 1, key, "directory");
    }
}

#[test]
fn without_the_device() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let done = in_own_namespace(&sandbox, "mount -t tmpfs none /dev", &[]);
    assert_clear(&sandbox, told(&done), 1, "/dev/fuse is missing", "modprobe fuse");
    // Something is there, but it is no such device: the mount itself is refused.
    let done = in_own_namespace(&sandbox, "mount --bind /dev/zero /dev/fuse", &[]);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert!(done.stderr.lines().any(|line| line.starts_with("cxonefs: mounting")), "{}", done.stderr);
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
}

/// `cxonefs mount` among mounts of its own, which `prepare` changes and which are gone afterwards.
fn in_own_namespace(sandbox: &Sandbox, prepare: &str, flags: &[&str]) -> Done {
    let line = format!("{prepare} && exec \"$@\"");
    let unshared = tool("unshare").args(["--mount", "--propagation", "private", "sh", "-c", &line, "sh"]);
    let mount = unshared.arg(env!("CARGO_BIN_EXE_cxonefs")).args(["mount", "--config"]).arg(sandbox.config());
    mount.args(flags).arg(sandbox.mount_point()).run()
}

/// State and cache belong to the tenant that they saw first.
#[test]
fn another_tenant_with_the_same_directories() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    drop(Mount::start(&sandbox, &[]));

    // The other tenant, at another address with another key: nothing is served before the login told, and then nothing at all.
    let other = Tenant::start(SimSettings { tenant_id: OTHER_TENANT.into(), ..plain(1, 2) });
    let moved = other.config_toml(&sandbox.state(), &sandbox.cache(), &sandbox.secret());
    std::fs::write(sandbox.config(), &moved).unwrap();
    let (code, said) = ended(Mount::attempt(&sandbox, &[]));
    assert_clear(&sandbox, (code, &said), 2, "belongs to tenant 11eb0000", "state.dir and cache.dir");
    assert!(said.contains(OTHER_TENANT), "{said}");

    // Each directory alone is enough to refuse it.
    for flag in ["--state-dir", "--cache-dir"] {
        let (code, said) = ended(Mount::attempt(&sandbox, &[flag, sandbox.path(flag).to_str().unwrap()]));
        assert_eq!(code, 2, "{said}");
    }

    // The same tenant by another key and address is fine, and the first one too.
    let renamed = Credentials { access_key_id: "another-key".into(), ..Credentials::default() };
    let again = Tenant::start(SimSettings { credentials: renamed, ..plain(1, 2) });
    std::fs::write(sandbox.config(), again.config_toml(&sandbox.state(), &sandbox.cache(), &sandbox.secret())).unwrap();
    drop(Mount::start(&sandbox, &[]));
    std::fs::write(sandbox.config(), text).unwrap();
    drop(Mount::start(&sandbox, &[]));
}

/// Where a key was never seen, what is indexed may be another tenant's: it is not shown while the login cannot tell.
#[test]
fn an_unknown_key_shows_nothing_before_it_has_logged_in() {
    let mut tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, &[]);
    assert!(std::fs::read_dir(mount.path()).unwrap().next().is_some());
    std::fs::read_dir(mount.at(plain(1, 2).last_day.to_string())).unwrap().count();
    drop(mount);
    tenant.shut_down();
    drop(Mount::start(&sandbox, &[]));
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let key = format!("access_key_id = \"{}\"", tenant.settings().credentials.access_key_id);
    assert!(text.contains(&key), "{text}");
    std::fs::write(sandbox.config(), text.replace(&key, "access_key_id = \"never-seen\"")).unwrap();
    let (code, said) = ended(Mount::attempt(&sandbox, &[]));
    assert_clear(&sandbox, (code, &said), 1, "logging in to", "never saw this issuer and access key");
}
