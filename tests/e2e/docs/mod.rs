//! The documents, executed: every ```console block of those named here runs on a mounted demo tenant and prints what it shows.
//!
//! `console` says how a block is written, `session` runs it. To add a document: a test here that prepares what it speaks of and calls
//! [`walk`], or [`Session::go_through`] where it needs more than a mount.

mod console;
mod session;

use cxonefs::sim::SimSettings;

use crate::harness::{Drive, settings};
pub use session::Session;

/// A tenant of three days and few agents, mounted at `~/recordings` with its configuration where `cxonefs` looks for it.
fn prepare(settings: SimSettings, flags: &[&str]) -> (Drive, Session) {
    let drive = Drive::with(settings, flags);
    let home = drive.sandbox.home();
    std::fs::create_dir_all(home.join(".config/cxonefs")).unwrap();
    std::fs::copy(drive.sandbox.config(), home.join(".config/cxonefs/config.toml")).unwrap();
    std::os::unix::fs::symlink(drive.path(), home.join("recordings")).unwrap();
    let session = Session::new(&drive.sandbox);
    (drive, session)
}

/// Goes through a document on a mount of a small tenant; the remarks `remount` and `reset counters` are understood.
fn walk(document: &str) {
    let (mut drive, mut session) = prepare(settings(3, 12), &[]);
    session.go_through(document, |remark| match remark {
        "remount" => drive.mount.remount(),
        "reset counters" => drive.tenant.reset_counters(),
        "nothing was paid" => drive.assert_nothing_was_paid(document),
        other => panic!("{document}: the test does not know how to {other}"),
    });
}

#[test]
fn semantics() {
    walk("docs/SEMANTICS.md");
}
