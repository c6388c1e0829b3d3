//! What is refused on a mount: recordings that do not exist, a spent budget, scanners, and what the tenant refuses.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use cxonefs::sim::{Endpoint, Fault, FaultRule};

use crate::harness::{Drive, plain, settings, tool, true_bytes};

#[track_caller]
fn refused(path: &Path) -> i32 {
    match File::open(path) {
        Ok(_) => panic!("{} opens", path.display()),
        Err(error) => error.raw_os_error().unwrap(),
    }
}

fn names(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_call_without_a_recording_is_predicted_tried_once_and_remembered() {
    let mut drive = Drive::of(settings(4, 60));
    let lost = drive.tree.first(|truth| !truth.known && truth.channel == "call" && truth.legs[0].agent != 0).clone();
    let silent = drive.tree.first(|truth| truth.known && truth.channel == "call" && truth.media.is_empty()).clone();
    let cases = [(&lost, 1, libc::ENOENT), (&silent, 2, 0)];
    for (place, left, metadata_errno) in cases {
        let folder = drive.at(&place.path);
        assert_eq!(names(&folder), 3, "predicted");
        assert!(folder.join("recording.mp4").metadata().unwrap().len() > 0);
        drive.tenant.reset_counters();
        assert_eq!(refused(&folder.join("recording.mp4")), libc::ENOENT);
        assert_eq!(names(&folder), left, "exact");
        assert_eq!(drive.tree.exact(place.master).len(), left);
        assert_eq!(refused(&folder.join("recording.mp4")), libc::ENOENT);
        match metadata_errno {
            0 => assert!(!std::fs::read(folder.join("metadata.json")).unwrap().is_empty()),
            errno => assert_eq!(refused(&folder.join("metadata.json")), errno),
        }
        let counters = drive.counters();
        assert_eq!((counters.playback_calls, counters.media_requests), (1, 0), "asked once: {counters:?}");
    }
    drive.mount.remount();
    drive.tenant.reset_counters();
    for (place, left, _) in cases {
        assert_eq!(names(&drive.at(&place.path)), left);
        assert_eq!(refused(&drive.at(&place.path).join("recording.mp4")), libc::ENOENT);
    }
    drive.assert_nothing_was_paid("asking again after a remount");
}

#[test]
fn a_spent_budget_is_edquot_and_looking_goes_on() {
    let mut drive = Drive::with(plain(2, 4), &["--set", "limits.daily_budget=2"]);
    let paths: Vec<_> = drive.tree.places.iter().map(|place| drive.at(&place.path).join("recording.mp4")).collect();
    for path in &paths[..2] {
        std::fs::read(path).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(refused(&paths[2]), libc::EDQUOT);
        assert_eq!(refused(&paths[3].with_file_name("metadata.json")), libc::EDQUOT);
        tool("ls").arg("-lR").arg(drive.path()).ok();
        std::fs::read(&paths[0]).unwrap();
        std::fs::read(paths[2].with_file_name("contact.json")).unwrap();
        assert_eq!(drive.counters().playback_calls, 2);
        // The day's spending outlives the process.
        drive.mount.remount();
    }
    assert!(drive.mount.stderr().contains("budget"), "the log says so: {}", drive.mount.stderr());
}

#[test]
fn a_scanner_may_look_but_never_costs_anything() {
    let drive = Drive::of(plain(1, 3));
    let folder = drive.at(&drive.tree.places[0].path);
    for name in ["tumblerd", "updatedb", "baloo_file_extr", "TRACKER-miner-f"] {
        let program = drive.sandbox.path(name);
        std::fs::copy("/bin/cat", &program).unwrap();
        for billed in ["recording.mp4", "metadata.json"] {
            let done = tool(&program).arg(folder.join(billed)).run();
            assert_eq!(done.code(), 1);
            assert!(done.stderr.contains("Permission denied"), "{name}: {}", done.stderr);
        }
        assert!(tool(&program).arg(folder.join("contact.json")).ok().stdout.contains("contactId"));
        drive.assert_nothing_was_paid(name);
    }
    // By the name under which it was started alone, and by the file of the program alone.
    let metadata = folder.join("metadata.json");
    let masked = drive.sandbox.path("falcon-sensor");
    std::fs::copy("/bin/bash", &masked).unwrap();
    for script in [
        "exec -a /opt/clamav/clamscan cat \"$0\"",
        "exec -a other \"$1\" -c 'printf other > /proc/$$/comm; read line < \"$0\"' \"$0\"",
    ] {
        let done = tool("/bin/bash").arg("-c").arg(script).arg(&metadata).arg(&masked).run();
        assert_ne!(done.code(), 0, "{script}");
        assert!(done.stderr.contains("Permission denied"), "{script}: {}", done.stderr);
        drive.assert_nothing_was_paid(script);
    }
    // Others are not kept out, and what they paid for scanners may see, too.
    std::fs::read(folder.join("metadata.json")).unwrap();
    tool(drive.sandbox.path("tumblerd")).arg(folder.join("metadata.json")).ok();
}

#[test]
fn what_the_tenant_refuses_has_its_errno_and_passes() {
    let drive = Drive::with(plain(2, 6), &["--set", "limits.deadline=2s"]);
    let folders: Vec<_> = drive.tree.places.iter().map(|place| drive.at(&place.path)).collect();
    let cases = [
        (Endpoint::Playback, 403, libc::EACCES),
        (Endpoint::Playback, 500, libc::EIO),
        (Endpoint::Playback, 401, libc::EACCES),
        (Endpoint::Media, 500, libc::EIO),
        (Endpoint::Media, 403, libc::EACCES),
    ];
    for ((endpoint, status, errno), folder) in cases.into_iter().zip(&folders) {
        drive.tenant.fail(endpoint, Fault::Status { status, retry_after_s: None });
        let started = Instant::now();
        let got = refused(&folder.join("recording.mp4"));
        let took = started.elapsed();
        // A server's trouble that lasts may also end at the deadline.
        let is_right = got == errno || (status == 500 && got == libc::ETIMEDOUT);
        assert!(is_right, "{endpoint:?} {status}: {}", std::io::Error::from_raw_os_error(got));
        assert!(took < Duration::from_secs(6), "{endpoint:?} {status} took {took:?}");
        assert_eq!(names(folder), 3, "nothing is concluded from trouble");
        drive.tenant.heal();
        // What was answered is remembered; with a link at hand, asking the media host again costs nothing.
        if endpoint == Endpoint::Playback && status != 401 {
            drive.tenant.reset_counters();
            assert_eq!(refused(&folder.join("recording.mp4")), errno, "remembered");
            assert_eq!(drive.counters().playback_calls, 0, "{endpoint:?} {status}");
            drive.retry();
        }
        File::open(folder.join("recording.mp4"))
            .unwrap_or_else(|error| panic!("{endpoint:?} {status}, healed: {error}"));
    }
}

/// A 429 makes slower; no request is lost by it.
#[test]
fn the_rate_limit_is_waited_for() {
    let drive = Drive::of(plain(1, 6));
    let limited = Fault::Status { status: 429, retry_after_s: Some(1) };
    drive.tenant.switch(|switches| switches.faults = vec![FaultRule::next(Endpoint::Playback, limited, 2)]);
    std::thread::scope(|scope| {
        for place in &drive.tree.places {
            let drive = &drive;
            scope.spawn(move || {
                let bytes = std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap();
                assert!(bytes == true_bytes(&drive.tenant, place.master, 1));
            });
        }
    });
    assert_eq!(drive.counters().playback_billed, 6, "{:?}", drive.counters());
}
