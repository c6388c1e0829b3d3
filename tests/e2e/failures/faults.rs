//! Trouble on the way: one slow file stays alone, what is cut goes on, links that end are renewed, waiting can be ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cxonefs::sim::{Endpoint, Fault, FaultRule, SimSettings};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Drive, assert_same_bytes, eventually, plain, read_at, tool, true_bytes, wait_for};

const MIB: usize = 1024 * 1024;

fn recordings(drive: &Drive) -> Vec<(i64, PathBuf)> {
    drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect()
}

/// A drive of recordings of this size, fetched in pieces.
fn drive_of(bytes: usize, flags: &[&str]) -> Drive {
    let flags = [&["--set", "cache.whole_file_below=64KiB"], flags].concat();
    Drive::with(SimSettings { bulk_bytes: Some(bytes as u64), ..plain(2, 4) }, &flags)
}

#[test]
fn one_slow_file_never_freezes_the_rest() {
    let drive = drive_of(MIB, &["--set", "limits.deadline=6s"]);
    let files = recordings(&drive);
    let (slow, slow_path) = &files[0];
    drive.tenant.switch(|switches| {
        let mut rule = FaultRule::always(Endpoint::Media, Fault::Hang);
        rule.path_contains = Some(slow.to_string());
        switches.faults = vec![rule];
    });
    std::thread::scope(|scope| {
        let started = Instant::now();
        let read = || std::fs::read(slow_path).map(|bytes| bytes.len()).map_err(|error| error.raw_os_error());
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
        assert!(wait_for(Duration::from_secs(3), || (drive.counters().faults > 0).then_some(())).is_some());
        tool("ls").arg("-lR").arg(drive.path()).ok();
        slow_path.metadata().unwrap();
        for (master, path) in &files[1..] {
            assert_same_bytes(&std::fs::read(path).unwrap(), &true_bytes(&drive.tenant, *master, 1), path);
        }
        let hanging = waiting.iter().filter(|reader| !reader.is_finished()).count();
        assert_eq!(hanging, 8, "the rest had to wait for the slow one, {:?}", started.elapsed());
        for reader in waiting {
            assert_eq!(reader.join().unwrap(), Err(Some(libc::ETIMEDOUT)));
        }
        assert!(started.elapsed() < Duration::from_secs(20), "every wait ends: {:?}", started.elapsed());
    });
    drive.tenant.heal();
    assert_same_bytes(&std::fs::read(slow_path).unwrap(), &true_bytes(&drive.tenant, *slow, 1), slow_path);
}

#[test]
fn who_waits_can_be_stopped() {
    let drive = drive_of(4 * MIB, &[]);
    let files = recordings(&drive);
    let opened = File::open(&files[1].1).unwrap();
    assert_eq!(read_at(&opened, 0, 4096).len(), 4096);
    drive.tenant.fail(Endpoint::Media, Fault::Hang);
    // Blocked in `open`, and blocked in `read`.
    for (path, signal) in [(&files[0].1, Signal::INT), (&files[2].1, Signal::KILL), (&files[1].1, Signal::TERM)] {
        let faults = drive.counters().faults;
        let mut tail = tool("tail").args(["-c", "2000000"]).arg(path).start();
        assert!(wait_for(Duration::from_secs(5), || (drive.counters().faults > faults).then_some(())).is_some());
        kill_process(Pid::from_child(&tail.0), signal).unwrap();
        let signalled = Instant::now();
        let ended = wait_for(Duration::from_secs(10), || tail.0.try_wait().unwrap());
        assert!(
            ended.is_some() && signalled.elapsed() < Duration::from_secs(2),
            "{signal:?}: {:?}",
            signalled.elapsed()
        );
    }
    // Also who gave up has an entry in the audit log: the call may have been made.
    let audit = drive.sandbox.state().join("audit.log");
    let given_up = || {
        let text = std::fs::read_to_string(&audit).unwrap();
        text.lines().filter(|line| line.contains("EINTR")).count()
    };
    eventually("two opens that ended without a file are audited", Duration::from_secs(5), || given_up() == 2);
}

#[test]
fn trouble_with_the_storage_does_not_show() {
    let drive = drive_of(3 * MIB + 11, &[]);
    let files = recordings(&drive);
    let faults = [
        Fault::CutAfter { bytes: 100_000 },
        Fault::Drop,
        Fault::Status { status: 503, retry_after_s: None },
        Fault::WrongContentRange { by: 1 },
        Fault::RefuseRange,
        Fault::Truncate { bytes: 70_000 },
    ];
    for (fault, (master, path)) in faults.into_iter().zip(&files) {
        // The size is known before the trouble begins.
        drop(File::open(path).unwrap());
        drive.tenant.switch(|switches| switches.faults = vec![FaultRule::next(Endpoint::Media, fault.clone(), 2)]);
        let read = std::fs::read(path).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_same_bytes(&read, &true_bytes(&drive.tenant, *master, 1), path);
    }
    assert!(drive.counters().faults >= 6, "{:?}", drive.counters());
}

/// Another size is another object, even if it was a mistake: who reads gets an error, never a mixture, and later opens are right.
#[test]
fn an_object_that_seems_to_change_is_never_mixed() {
    for (fault, answers) in [(Fault::WrongTotal { by: 5 }, 1), (Fault::Changed { version: 2 }, 100)] {
        let drive = drive_of(3 * MIB + 11, &[]);
        let (master, path) = recordings(&drive)[0].clone();
        let expected = true_bytes(&drive.tenant, master, 1);
        let file = File::open(&path).unwrap();
        assert_same_bytes(&read_at(&file, 0, 200_000), &expected[..200_000], &path);
        drive
            .tenant
            .switch(|switches| switches.faults = vec![FaultRule::next(Endpoint::Media, fault.clone(), answers)]);
        let mut tail = [0; 4096];
        let stale = file.read_at(&mut tail, 2 * MIB as u64).unwrap_err();
        assert_eq!(stale.raw_os_error(), Some(libc::ESTALE), "{fault:?}: {stale}");
        drop(file);
        drive.tenant.heal();
        let reread = wait_for(Duration::from_secs(5), || std::fs::read(&path).ok());
        assert_same_bytes(&reread.unwrap_or_else(|| panic!("{fault:?}: it never reads again")), &expected, &path);
    }
}

/// Nodes of one storage that give the same bytes different validators: another node is asked, and nothing shows.
#[test]
fn a_node_that_tags_the_bytes_differently_is_passed_over() {
    let drive = drive_of(3 * MIB + 11, &[]);
    let (master, path) = recordings(&drive)[0].clone();
    let expected = true_bytes(&drive.tenant, master, 1);
    let file = File::open(&path).unwrap();
    for begin in [0, MIB, 2 * MIB] {
        let other_node = FaultRule::next(Endpoint::Media, Fault::Changed { version: 2 }, 3);
        drive.tenant.switch(|switches| switches.faults = vec![other_node]);
        assert_same_bytes(&read_at(&file, begin as u64, 200_000), &expected[begin..][..200_000], &path);
    }
    assert!(drive.counters().faults > 0);
}

/// Whoever opens it anew reads the new one, also while the old one is open; who has that open sees nothing of the new one.
#[test]
fn two_versions_of_a_recording_are_never_mixed_by_the_pages_that_they_share() {
    let drive = drive_of(3 * MIB + 11, &[]);
    let (master, path) = recordings(&drive)[0].clone();
    let old = true_bytes(&drive.tenant, master, 1);
    let file = File::open(&path).unwrap();
    assert_same_bytes(&read_at(&file, 0, 100_000), &old[..100_000], &path);
    drive.tenant.switch(|switches| {
        switches.faults = vec![FaultRule::always(Endpoint::Media, Fault::Changed { version: 1 })];
    });
    let mut block = [0; 4096];
    let stale = file.read_at(&mut block, 2 * MIB as u64).unwrap_err();
    assert_eq!(stale.raw_os_error(), Some(libc::ESTALE), "{stale}");
    let new = std::fs::read(&path).unwrap();
    assert!(new.len() == old.len() && new[..100_000] != old[..100_000] && new[2 * MIB..] != old[2 * MIB..]);
    for offset in [0, 2 * MIB] {
        match file.read_at(&mut block, offset as u64) {
            Ok(read) => assert!(block[..read] == old[offset..offset + read], "bytes of the new one at {offset}"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ESTALE)),
        }
    }
    drop(file);
    assert_same_bytes(&std::fs::read(&path).unwrap(), &new, &path);
}

#[test]
fn a_link_that_ends_is_renewed_while_reading_goes_on() {
    // So much larger than what is read that readahead leaves something for later.
    let drive = drive_of(32 * MIB, &[]);
    let (master, path) = recordings(&drive)[0].clone();
    let expected = true_bytes(&drive.tenant, master, 1);
    let file = File::open(&path).unwrap();
    assert_same_bytes(&read_at(&file, 0, MIB), &expected[..MIB], &path);
    assert_eq!(drive.counters().playback_calls, 1);
    // All links that were given out have ended now, as the tenant sees it.
    drive.tenant.switch(|switches| switches.clock_offset_s = 1000);
    assert_same_bytes(&read_at(&file, 0, expected.len()), &expected, &path);
    let counters = drive.counters();
    assert_eq!(counters.playback_calls, 2, "one new link: {counters:?}");
    assert_eq!(counters.media_with_authorization, 0, "the bearer token never goes to the storage");
}

#[test]
fn tokens_that_end_are_renewed() {
    let drive = Drive::of(plain(2, 4));
    let files = recordings(&drive);
    std::fs::read(&files[0].1).unwrap();
    drive.tenant.switch(|switches| switches.token_generation += 1);
    std::thread::scope(|scope| {
        for (master, path) in &files[1..] {
            let tenant = &drive.tenant;
            scope
                .spawn(move || assert_same_bytes(&std::fs::read(path).unwrap(), &true_bytes(tenant, *master, 1), path));
        }
    });
    let counters = drive.counters();
    assert_eq!(counters.logins, 2, "one login for all: {counters:?}");
}

/// Days that are indexed list without the tenant; one that is not is an error in time, and comes back.
#[test]
fn listing_goes_on_while_the_tenant_is_away() {
    let mut drive = Drive::with(SimSettings { days: 3, ..plain(2, 4) }, &["--set", "limits.deadline=2s"]);
    let days: Vec<PathBuf> = ["2026-11-01", "2026-11-02"].map(|day| drive.at(day)).to_vec();
    let agents = std::fs::read_dir(&days[0]).unwrap().count();
    assert!(agents > 0);
    drive.tenant.shut_down();
    assert_eq!(std::fs::read_dir(&days[0]).unwrap().count(), agents);
    let started = Instant::now();
    let refused = std::fs::read_dir(&days[1]).and_then(Iterator::collect::<Result<Vec<_>, _>>).unwrap_err();
    assert!(matches!(refused.raw_os_error(), Some(libc::EIO | libc::ETIMEDOUT)), "{refused}");
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    drive.tenant.start_again();
    assert!(std::fs::read_dir(&days[1]).unwrap().count() > 0);
}

/// Nothing that opens a recording, and no secret, reaches the log, the audit log or any file of the state.
#[test]
fn no_secret_is_written_anywhere() {
    let mut drive = Drive::with(plain(1, 4), &["--log-level", "trace"]);
    let files = recordings(&drive);
    drive.tenant.switch(|switches| {
        switches.faults = vec![FaultRule::next(Endpoint::Media, Fault::Status { status: 403, retry_after_s: None }, 1)];
    });
    for (_, path) in &files {
        // One of them fails; the log says so.
        let _ = std::fs::read(path);
        std::fs::read(path.with_file_name("metadata.json")).unwrap();
    }
    drive.mount.terminate();
    let secret = drive.tenant.settings().credentials.access_key_secret.clone();
    let needles = [secret.as_str(), "X-Amz-Signature=", "x-amz-signature=", "eyJ"];
    let mut looked_at = 0;
    let state = walkdir::WalkDir::new(drive.sandbox.state()).into_iter().map(|entry| entry.unwrap().into_path());
    for path in state.filter(|path| path.is_file()).chain([drive.sandbox.path("stderr")]) {
        let bytes = std::fs::read(&path).unwrap();
        for needle in needles {
            let found = bytes.windows(needle.len()).position(|part| part == needle.as_bytes());
            assert_eq!(found, None, "{needle:?} in {}", path.display());
        }
        looked_at += bytes.len();
    }
    assert!(looked_at > 10_000, "{looked_at} bytes");
}

/// Storages hold objects without a byte where a recorder failed, often many of one day.
#[test]
fn many_empty_recordings_are_no_outage_of_their_host() {
    let drive = Drive::of(plain(2, 8));
    let files = recordings(&drive);
    let (last, empty) = files.split_last().unwrap();
    assert!(empty.len() > 10, "{} recordings", empty.len());
    let headers = BTreeMap::from([("content-type".to_owned(), "video/mp4".to_owned())]);
    drive.tenant.fail(Endpoint::Media, Fault::Answer { status: 200, headers, body: String::new() });
    std::thread::scope(|scope| {
        for (_, path) in empty {
            scope.spawn(move || {
                assert_eq!(std::fs::read(path).unwrap_err().raw_os_error(), Some(libc::EIO), "{path:?}");
            });
        }
    });
    drive.tenant.heal();
    assert_same_bytes(&std::fs::read(&last.1).unwrap(), &true_bytes(&drive.tenant, last.0, 1), &last.1);
    let said = drive.mount.stderr();
    assert!(!said.contains("is down"), "{said}");
}
