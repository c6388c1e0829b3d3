//! The documents, executed: every `console` block of those named here runs on a mounted demo tenant and prints what it shows, every `sh` block
//! succeeds.
//!
//! `console` says how a block is written, `session` runs it. To add a document: a test here that prepares what it speaks of and calls
//! [`walk`], or [`Session::go_through`] where it needs more than a mount.

mod console;
mod session;

use std::path::Path;

use cxonefs::sim::{Credentials, SimSettings};

use jiff::tz::TimeZone;

use crate::harness::{Drive, Mount, Sandbox, Tenant, daemons_of, mount_at, plain};
pub use session::Session;

/// A tenant of three days and few agents, mounted at `~/recordings` with its configuration where `cxonefs` looks for it. It is the one of
/// `cxonefs simulate --agents 3 --contacts-per-day 12 --timezone America/New_York --last-day 2026-11-02`.
fn prepare(flags: &[&str]) -> (Drive, Session) {
    let timezone = TimeZone::get("America/New_York").unwrap();
    let drive = Drive::with(SimSettings { agents: 3, contacts_per_day: 12, timezone, ..SimSettings::default() }, flags);
    let home = drive.sandbox.home();
    std::fs::create_dir_all(home.join(".config/cxonefs")).unwrap();
    std::fs::copy(drive.sandbox.config(), home.join(".config/cxonefs/config.toml")).unwrap();
    std::os::unix::fs::symlink(drive.path(), home.join("recordings")).unwrap();
    std::fs::create_dir_all(home.join(".local/state")).unwrap();
    std::os::unix::fs::symlink(drive.sandbox.state(), home.join(".local/state/cxonefs")).unwrap();
    let session = Session::new(&drive.sandbox);
    (drive, session)
}

/// Goes through a document on a mount of a small tenant; the remarks `remount` and `reset counters` are understood.
fn walk(document: &str) {
    let (mut drive, mut session) = prepare(&[]);
    session.go_through(document, |remark| match remark {
        "remount" => drive.mount.remount(),
        "reset counters" => drive.tenant.reset_counters(),
        "nothing was paid" => drive.assert_nothing_was_paid(document),
        other => panic!("{document}: the test does not know how to {other}"),
    });
}

#[test]
fn costs() {
    walk("docs/COSTS.md");
}

#[test]
fn troubleshooting() {
    walk("docs/TROUBLESHOOTING.md");
}

#[test]
fn semantics() {
    walk("docs/SEMANTICS.md");
}

#[test]
fn upgrading() {
    walk("docs/UPGRADING.md");
}

#[test]
fn simulator() {
    let sandbox = Sandbox::empty();
    let mut session = Session::new(&sandbox);
    session.go_through("docs/SIMULATOR.md", |remark| panic!("the test does not know how to {remark}"));
}

#[test]
fn backup() {
    let (mut drive, mut session) = prepare(&["--profile", "backup"]);
    session.go_through("docs/BACKUP.md", |remark| match remark {
        "remount" => drive.mount.remount(),
        other => panic!("the test does not know how to {other}"),
    });
}

/// A newcomer's machine: nothing is configured, and the variables lead to a tenant of theirs instead of CXone.
fn newcomer(session: &mut Session, tenant: &Tenant, home: &Path) {
    let text = tenant.config_toml(Path::new("state"), Path::new("cache"), Path::new("secret"));
    let url = text.lines().find_map(|line| line.strip_prefix("issuer = ")).unwrap().trim_matches('"').to_owned();
    let Credentials { access_key_id, access_key_secret, .. } = &tenant.settings().credentials;
    let at = |name: &str| home.join(name).display().to_string();
    for (name, value) in [
        ("ISSUER", url.clone()),
        ("AUTH_ENDPOINT", url.clone()),
        ("API_ENDPOINT", url.clone()),
        ("PLAYBACK_ENDPOINT", url),
        ("TREE_SINCE", String::from("2026-11-01")),
        ("ACCESS_KEY_ID", access_key_id.clone()),
        ("ACCESS_KEY_SECRET", access_key_secret.clone()),
        // Where root's would be, others of this machine may have theirs.
        ("CONFIG", at(".config/cxonefs/config.toml")),
        ("STATE_DIR", at(".local/state/cxonefs")),
        ("CACHE_DIR", at(".cache/cxonefs")),
    ] {
        session.run(&format!("export CXONEFS_{name}='{value}'"));
    }
}

/// Ends mounts that a document begins and, where the test fails, does not end.
struct Begun<'a>(&'a Sandbox);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        for pid in daemons_of(self.0) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let place = self.0.home().join("recordings");
        let flags = rustix::mount::UnmountFlags::DETACH;
        while mount_at(&place).is_some() && rustix::mount::unmount(&place, flags).is_ok() {}
    }
}

/// First the demo's tenant, mounted; then, where the document comes to it, the reader's own.
#[test]
fn readme() {
    let timezone = TimeZone::get("America/New_York").unwrap();
    let tenant = Tenant::start(SimSettings { timezone, ..SimSettings::default() });
    // Not that of a drive, which may hold no secret: `init` writes one.
    let sandbox = Sandbox::empty();
    let (home, _begun) = (sandbox.home(), Begun(&sandbox));
    let place = home.join("recordings");
    std::fs::create_dir(&place).unwrap();
    sandbox.write_secret(&tenant.settings().credentials.access_key_secret);
    std::fs::write(sandbox.config(), tenant.config_toml(&sandbox.state(), &sandbox.cache(), &sandbox.secret()))
        .unwrap();
    let arguments = vec!["mount".into(), "--config".into(), sandbox.config().into(), place.clone().into()];
    let mut mount = Mount::spawn(&sandbox, arguments, place.clone()).ready().expect("it is mounted");
    let mut session = Session::new(&sandbox);
    newcomer(&mut session, &tenant, &home);
    session.go_through("README.md", |remark| match remark {
        "their own tenant" => {
            mount.terminate();
            std::fs::remove_dir(&place).unwrap();
        }
        other => panic!("the test does not know how to {other}"),
    });
}

#[test]
fn install() {
    let credentials =
        Credentials { access_key_id: "ABC123".into(), access_key_secret: "…".into(), ..Credentials::default() };
    let tenant = Tenant::start(SimSettings { credentials, ..plain(1, 2) });
    let sandbox = Sandbox::empty();
    let _begun = Begun(&sandbox);
    let mut session = Session::new(&sandbox);
    newcomer(&mut session, &tenant, &sandbox.home());
    session.go_through("docs/INSTALL.md", |remark| panic!("the test does not know how to {remark}"));
}
