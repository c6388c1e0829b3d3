//! A daemon that is stopped: commands about its mount end soon with a remedy, and the mount can be taken away. None of them looks into the mount.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Drive, Mount, Sandbox, Tenant, cxonefs, mount_at, plain, tool};

/// Longer than any of these commands waits, and far shorter than for ever.
const WITHIN: Duration = Duration::from_mins(1);

#[test]
fn commands_about_a_stopped_daemon_end_and_it_is_unmounted() {
    let drive = Drive::of(plain(1, 2));
    let (path, home) = (drive.path().to_owned(), drive.sandbox.home());
    drive.mount.signal(Signal::STOP);
    let folder = path.join("2026-11-02");
    for arguments in [
        vec!["status".as_ref(), path.as_os_str()],
        vec!["ledger".as_ref(), path.as_os_str()],
        vec!["refresh".as_ref(), path.as_os_str()],
        vec!["log-level".as_ref(), path.as_os_str()],
        vec!["warm".as_ref(), "--yes".as_ref(), folder.as_os_str()],
        vec!["cache".as_ref(), "stats".as_ref(), path.as_os_str()],
    ] {
        let begun = Instant::now();
        let done = cxonefs(&home).args(&arguments).within(WITHIN).run();
        assert_eq!(done.code(), 1, "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains("kill -CONT"), "{arguments:?}: {}", done.stderr);
        assert!(begun.elapsed() < WITHIN, "{arguments:?}");
        // As from cron: no home, no session.
        let program = env!("CARGO_BIN_EXE_cxonefs");
        let done =
            tool("env").args(["-i", program]).args(&arguments).in_dir(std::path::Path::new("/")).within(WITHIN).run();
        assert_eq!(done.code(), 1, "{arguments:?}: {}", done.stderr);
        assert!(done.stderr.contains("kill -CONT"), "{arguments:?}: {}", done.stderr);
    }
    let done = cxonefs(&home).args(["umount", "--lazy"]).arg(&path).within(WITHIN).run();
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(mount_at(&path), None);
    drive.mount.signal(Signal::CONT);
}

#[test]
fn an_idle_mount_of_a_stopped_daemon_is_unmounted_without_force() {
    let drive = Drive::of(plain(1, 2));
    let path = drive.path().to_owned();
    drive.mount.signal(Signal::STOP);
    let done = cxonefs(&drive.sandbox.home()).arg("umount").arg(&path).within(WITHIN).run();
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(done.stderr.contains("kill -CONT"), "{}", done.stderr);
    assert_eq!(mount_at(&path), None);
    drive.mount.signal(Signal::CONT);
}

/// A limit on the size of files ends no daemon: what does not fit is read without the cache.
#[test]
fn a_limit_on_the_size_of_files() {
    let mut settings = plain(1, 2);
    settings.bulk_bytes = Some(8 << 20);
    let tenant = Tenant::start(settings);
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, &["--set", "mount.passthrough=false"]);
    let pid = mount.status()["pid"].as_u64().unwrap().to_string();
    // 2 MiB for everything that the daemon writes from now on.
    crate::harness::tool("prlimit").args(["--pid", &pid, "--fsize=2097152:2097152"]).ok();
    let tree = crate::harness::Tree::of(&tenant);
    for truth in tree.recorded() {
        let bytes = std::fs::read(mount.at(truth.path.join("recording.mp4"))).unwrap();
        assert_eq!(bytes.len(), 8 << 20);
    }
    assert!(!mount.is_dead());
    assert_eq!(mount.status()["pid"].as_u64().unwrap().to_string(), pid, "the daemon lives");
}
