//! Copying and backing up an agent's day of which nothing was opened before, with the tools that people use: the first run is byte-exact,
//! the second costs nothing, an interrupted one resumes, and what has no recording fails none.

mod programs;
mod reading;
mod samba;
mod work;

use std::time::Duration;

use cxonefs::sim::Endpoint;

use self::programs::Program;
use self::work::{Work, recorded_all, unrecorded_too};
use crate::harness::eventually;

/// From unresolved: every byte, one call per interaction. Then after unmounting, a restart and mounting again: nothing.
#[track_caller]
fn first_exact_second_free(program: &Program) {
    let mut work = Work::of(recorded_all(), program.flags);
    (program.prepare)(&work);
    let first = (program.run)(&work).ok();
    assert!(!(program.copied)(&first).is_empty(), "it reports nothing: {}{}", first.stdout, first.stderr);
    assert_eq!(work.drive.counters().playback_calls, work.interactions());
    work.drive.mount.remount();
    work.drive.tenant.reset_counters();
    let second = (program.run)(&work).ok();
    let counters = work.drive.counters();
    assert_eq!((counters.playback_calls, counters.media_bytes), (0, 0), "a second run: {counters:?}");
    let copied = (program.copied)(&second);
    assert!(copied.len() <= program.again, "nothing has changed, and it copied {copied:#?}");
    let copy = (program.copy)(&work);
    work.assert_copy(&copy, |master| work.drive.tree.predicted(master));
    work.assert_sizes_agree();
}

macro_rules! matrix {
    ($($name:ident $program:ident,)*) => {
        $(#[test]
        fn $name() {
            first_exact_second_free(&programs::$program);
        })*

        /// Every program, and its name.
        const ALL: &[(&str, &Program)] = &[$((stringify!($name), &programs::$program)),*];
    };
}

matrix! {
    cp CP,
    rsync RSYNC,
    rsync_linking RSYNC_LINKING,
    tar TAR,
    zip ZIP,
    shutil SHUTIL,
    rclone RCLONE,
    restic RESTIC,
    borg BORG,
    duplicity DUPLICITY,
}

/// Killed in the middle, and run again: complete, and nothing is paid twice.
#[track_caller]
fn an_interrupted_run_resumes(program: &Program, unlock: impl Fn(&Work)) {
    let work = Work::of(recorded_all(), program.flags);
    (program.prepare)(&work);
    work.drive.tenant.switch(|switches| switches.latency_ms = [(Endpoint::Playback, 250)].into());
    let running = (program.run)(&work).start();
    eventually("it is in the middle", Duration::from_secs(20), || work.drive.counters().playback_calls >= 5);
    drop(running);
    unlock(&work);
    work.drive.tenant.switch(|switches| switches.latency_ms.clear());
    let so_far = work.drive.counters().playback_calls;
    assert!(so_far < work.interactions(), "it was through already");
    (program.run)(&work).ok();
    assert_eq!(work.drive.counters().playback_calls, work.interactions(), "something was paid twice");
    let copy = (program.copy)(&work);
    work.assert_copy(&copy, |master| work.drive.tree.predicted(master));
}

#[test]
fn an_interrupted_rsync_resumes() {
    an_interrupted_run_resumes(&programs::RSYNC, |_| ());
}

#[test]
fn an_interrupted_restic_resumes() {
    an_interrupted_run_resumes(&programs::RESTIC, |_| ());
}

#[test]
fn an_interrupted_borg_resumes() {
    an_interrupted_run_resumes(&programs::BORG, programs::break_borgs_lock);
}

#[test]
fn an_interrupted_rclone_resumes() {
    an_interrupted_run_resumes(&programs::RCLONE, |_| ());
}

/// Where listing resolves, a listed name never fails to open, even where half of the calls have no recording.
#[test]
fn what_has_no_recording_fails_no_run() {
    let mut work = Work::of(unrecorded_too(), &["--profile", "backup"]);
    for (name, program) in ALL {
        (program.prepare)(&work);
        (program.run)(&work).ok();
        let copy = (program.copy)(&work);
        work.assert_copy(&copy, |master| work.drive.tree.exact(master));
        work.clear();
        assert!(work.drive.counters().playback_calls <= work.interactions(), "{name} paid again");
    }
    work.drive.mount.terminate();
}
