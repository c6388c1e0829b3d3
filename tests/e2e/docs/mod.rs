//! The documents, executed: every `console` block of those named here runs on a mounted demo tenant and prints what it shows.
//!
//! `console` says how a block is written, `session` runs it. To add a document: a test here that prepares what it speaks of and calls
//! [`walk`], or [`Session::go_through`] where it needs more than a mount.

mod console;
mod session;

use cxonefs::sim::SimSettings;

use jiff::tz::TimeZone;

use crate::harness::Drive;
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
fn backup() {
    let (mut drive, mut session) = prepare(&["--profile", "backup"]);
    session.go_through("docs/BACKUP.md", |remark| match remark {
        "remount" => drive.mount.remount(),
        other => panic!("the test does not know how to {other}"),
    });
}
