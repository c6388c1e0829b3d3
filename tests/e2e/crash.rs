//! Ends of every kind: killed, told to stop while busy, unmounted from outside, in the background.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use cxonefs::sim::{Endpoint, SimSettings};
use rustix::process::Signal;

use crate::harness::{
    Drive, Mount, Sandbox, Tenant, assert_same_bytes, cxonefs, daemons_of, eventually, mount_at, plain, read_at, tool,
    true_bytes,
};

const MIB: usize = 1024 * 1024;

/// What was read before is served without any network; the rest is right once the network is back.
#[test]
fn what_was_read_before_kill_nine_needs_no_network() {
    let settings = SimSettings { bulk_bytes: Some(24 * MIB as u64 + 5), ..plain(2, 3) };
    let flags = ["--set", "cache.whole_file_below=64KiB", "--set", "limits.deadline=2s"];
    let mut drive = Drive::with(settings, &flags);
    let places: Vec<(i64, PathBuf)> =
        drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect();
    let [(whole, whole_path), (part, part_path), (busy, busy_path), .., (unseen, unseen_path)] = &places[..] else {
        panic!("{places:?}")
    };
    let truth = |master: &i64| true_bytes(&drive.tenant, *master, 1);
    let [whole, part, busy, unseen] = [whole, part, busy, unseen].map(truth);
    let listing = tool("find").arg(drive.path()).ok().stdout;
    assert_same_bytes(&std::fs::read(whole_path).unwrap(), &whole, whole_path);
    assert_same_bytes(
        &read_at(&File::open(part_path).unwrap(), 5 * MIB as u64, MIB),
        &part[5 * MIB..6 * MIB],
        part_path,
    );

    // Killed in the middle of a read, with requests on the way.
    let mut reader = File::open(busy_path).unwrap();
    let mut head = vec![0; MIB];
    reader.read_exact(&mut head).unwrap();
    drive.tenant.switch(|switches| {
        switches.latency_ms.insert(Endpoint::Media, 1000);
    });
    let before = drive.counters().media_requests;
    let cat = tool("cat").arg(busy_path).start();
    eventually("cat reads", Duration::from_secs(10), || drive.counters().media_requests > before);
    drive.mount.kill_nine();
    assert!(drive.mount.is_dead());
    assert_eq!(reader.read_to_end(&mut head).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    drop((reader, cat));

    drive.tenant.shut_down();
    drive.mount.start_again();
    assert!(drive.mount.stderr().contains("cleared the dead mount"), "{}", drive.mount.stderr());
    assert_eq!(tool("find").arg(drive.path()).ok().stdout, listing);
    assert_same_bytes(&std::fs::read(whole_path).unwrap(), &whole, whole_path);
    let file = File::open(part_path).unwrap();
    assert_same_bytes(&read_at(&file, 5 * MIB as u64, MIB), &part[5 * MIB..6 * MIB], part_path);
    let file = File::open(busy_path).unwrap();
    assert_same_bytes(&read_at(&file, 0, MIB), &busy[..MIB], busy_path);
    // What is missing is an error in time, and not zeros.
    let missing = std::fs::read(part_path).unwrap_err();
    assert!(matches!(missing.raw_os_error(), Some(libc::EIO | libc::ETIMEDOUT)), "{missing}");
    let missing = File::open(unseen_path).unwrap_err();
    assert!(matches!(missing.raw_os_error(), Some(libc::EIO | libc::ETIMEDOUT)), "{missing}");

    drive.tenant.start_again();
    for (path, expected) in [(part_path, &part), (busy_path, &busy), (unseen_path, &unseen), (whole_path, &whole)] {
        assert_same_bytes(&std::fs::read(path).unwrap(), expected, path);
    }
}

/// Before anything was listed, too, and again and again: the state is never worse for it.
#[test]
fn killed_at_any_time_it_comes_back() {
    let mut drive = Drive::of(plain(3, 40));
    let mut random = fastrand::Rng::with_seed(3);
    let place = drive.tree.places[0].path.clone();
    for round in 0..6_u64 {
        let walk = tool("find").arg(drive.path()).args(["-name", "metadata.json", "-exec", "cat", "{}", ";"]).start();
        // A time, and not a condition: the moment of a crash is what is varied.
        std::thread::sleep(Duration::from_millis(random.u64(0..60 * (round + 1))));
        drive.mount.kill_nine();
        drop(walk);
        drive.mount.start_again();
        let contact = std::fs::read(drive.at(&place).join("contact.json")).unwrap();
        assert!(!contact.is_empty());
    }
    let paid = drive.counters().playback_calls;
    for place in &drive.tree.places {
        std::fs::read(drive.at(&place.path).join("metadata.json")).unwrap();
    }
    let billed = drive.counters().playback_calls;
    assert!(
        paid < billed && billed <= drive.tree.places.len() as u64 + 6,
        "{billed} calls, at most one lost per crash"
    );
    let listed = tool("find").arg(drive.path()).args(["-mindepth", "3", "-maxdepth", "3"]).ok();
    assert_eq!(listed.lines().len(), drive.tree.places.len());
}

#[test]
fn told_to_stop_while_busy_it_leaves_no_mount() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut drive = Drive::of(SimSettings { bulk_bytes: Some(20 * MIB as u64), ..plain(1, 2) });
        let path = drive.at(&drive.tree.places[0].path).join("recording.mp4");
        drive.tenant.switch(|switches| {
            switches.latency_ms.insert(Endpoint::Media, 200);
        });
        let open = File::open(&path).unwrap();
        let inside = tool("sleep").arg("100").in_dir(drive.path()).start();
        let reader = tool("cat").arg(&path).start();
        drive.mount.signal(signal);
        eventually("the mount is gone from the table", Duration::from_secs(3), || mount_at(drive.path()).is_none());
        let status = drive.mount.wait();
        assert!(status.success(), "{status}");
        drop((open, inside, reader));
        assert_eq!(mount_at(drive.path()), None);
        assert_eq!(std::fs::read_dir(drive.path()).unwrap().count(), 0);
    }
}

#[test]
fn umount_waits_until_it_is_gone_and_refuses_a_busy_mount() {
    let mut drive = Drive::of(plain(1, 2));
    let home = drive.sandbox.home();
    let path = drive.at(&drive.tree.places[0].path).join("contact.json");
    let open = File::open(&path).unwrap();
    let refused = cxonefs(&home).arg("umount").arg(drive.path()).run();
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.contains("busy") && refused.stderr.contains("--lazy"), "{}", refused.stderr);
    drop(open);
    cxonefs(&home).arg("umount").arg(drive.path()).ok();
    assert_eq!(mount_at(drive.path()), None);
    assert!(drive.mount.wait().success());

    drive.mount.start_again();
    let mut open = File::open(&path).unwrap();
    cxonefs(&home).args(["umount", "--lazy"]).arg(drive.path()).ok();
    assert_eq!(mount_at(drive.path()), None);
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert!(text.contains("contactId"), "still readable: {text}");
    drop(open);
    assert!(drive.mount.wait().success());
}

/// Neither what was taken out of the tree before nor what is mounted in its place is unmounted once more.
#[test]
fn told_to_stop_after_a_lazy_umount_it_gives_open_files_their_time_and_leaves_strangers_alone() {
    let mut drive = Drive::of(SimSettings { bulk_bytes: Some(4 * MIB as u64), ..plain(1, 2) });
    let place = drive.tree.recorded().next().unwrap();
    let (master, path) = (place.master, drive.at(&place.path).join("recording.mp4"));
    let truth = true_bytes(&drive.tenant, master, 1);
    let open = File::open(&path).unwrap();
    cxonefs(&drive.sandbox.home()).args(["umount", "--lazy"]).arg(drive.path()).ok();
    tool("mount").args(["-t", "tmpfs", "stranger"]).arg(drive.path()).ok();
    drive.mount.signal(Signal::TERM);
    std::thread::sleep(Duration::from_secs(1));
    let read = read_at(&open, 0, truth.len());
    let stranger = mount_at(drive.path());
    tool("umount").arg(drive.path()).run();
    assert_same_bytes(&read, &truth, &path);
    assert_eq!(stranger.as_deref(), Some("tmpfs"));
    drop(open);
    let status = drive.mount.wait();
    assert!(status.success(), "{status}");
}

/// Ends what a test left in the background.
struct Background<'a>(&'a Sandbox);

impl Drop for Background<'_> {
    fn drop(&mut self) {
        for pid in daemons_of(self.0) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let flags = rustix::mount::UnmountFlags::DETACH;
        while mount_at(&self.0.mount_point()).is_some() && rustix::mount::unmount(self.0.mount_point(), flags).is_ok() {
        }
    }
}

#[test]
fn in_the_background_it_returns_when_ready_and_ends_when_unmounted() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let _background = Background(&sandbox);
    let mount = || cxonefs(&sandbox.home()).args(["mount", "--background", "--config"]).arg(sandbox.config());
    mount().arg(sandbox.mount_point()).ok();
    assert_eq!(mount_at(&sandbox.mount_point()).as_deref(), Some("fuse.cxonefs"));
    assert!(std::fs::read_dir(sandbox.mount_point()).unwrap().count() > 0);
    assert_eq!(daemons_of(&sandbox).len(), 1);

    let again = mount().arg(sandbox.mount_point()).run();
    assert_eq!(again.code(), 1);
    assert!(again.stderr.contains("is a cxonefs mount already"), "{}", again.stderr);

    cxonefs(&sandbox.home()).arg("umount").arg(sandbox.mount_point()).ok();
    assert_eq!(mount_at(&sandbox.mount_point()), None);
    assert!(daemons_of(&sandbox).is_empty(), "umount waits for the daemon, too");
    // So its state directory is free at once.
    mount().arg(sandbox.mount_point()).ok();
    cxonefs(&sandbox.home()).arg("umount").arg(sandbox.mount_point()).ok();
}

#[test]
fn in_the_background_a_failure_is_told_to_who_started_it() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    sandbox.write_secret("wrong");
    let _background = Background(&sandbox);
    let mount = cxonefs(&sandbox.home()).args(["mount", "--background", "--config"]).arg(sandbox.config());
    let done = mount.arg(sandbox.mount_point()).run();
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert!(done.stderr.starts_with("cxonefs: logging in to "), "{}", done.stderr);
    eventually("the daemon is gone", Duration::from_secs(10), || daemons_of(&sandbox).is_empty());
    assert_eq!(mount_at(&sandbox.mount_point()), None);
}

#[test]
fn two_mounts_cannot_share_a_state_directory() {
    let drive = Drive::of(plain(1, 2));
    let other = drive.sandbox.dir("other");
    let config = drive.sandbox.config();
    let done = cxonefs(&drive.sandbox.home()).args(["mount", "--config"]).arg(config).arg(&other).run();
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert!(done.stderr.contains("in use by another cxonefs"), "{}", done.stderr);
    assert_eq!(mount_at(&other), None);
    assert!(std::fs::read_dir(drive.path()).unwrap().count() > 0, "the first one goes on");
}

/// As if the machine lost power while the mount was up and the directories came back: no `Mount` helper is in the way.
#[test]
fn a_dead_mount_is_cleared_at_the_next_start() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let mut first = Mount::start(&sandbox, &[]);
    first.kill_nine();
    assert!(first.is_dead());
    let mut second = Mount::start(&sandbox, &[]);
    assert!(std::fs::read_dir(second.path()).unwrap().count() > 0);
    second.terminate();
    assert_eq!(mount_at(&sandbox.mount_point()), None, "nothing lies below it");
}
