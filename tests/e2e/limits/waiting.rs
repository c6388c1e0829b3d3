//! Waiting for the rate limit: it ends by itself, it can be ended, it holds up nobody, and it leaves nothing behind.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{billed_files, drive, open};
use crate::harness::{eventually, tool, wait_for};

/// One call in a minute: whoever comes second waits as long as he likes.
const FLAGS: [&str; 6] =
    ["--set", "limits.playback_requests=1", "--set", "limits.playback_window=1m", "--set", "limits.patience=3s"];
/// Beyond a limit in seconds, for processes on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

#[test]
fn sixty_four_who_wait_hold_up_nobody_and_leave_nothing_behind() {
    let drive = drive(4, 20, (1000, 2), &FLAGS);
    let files = billed_files(&drive);
    let cached = files[0].with_file_name("recording.mp4");
    let bytes = std::fs::read(&cached).unwrap();
    let walk = || {
        let begun = Instant::now();
        tool("ls").arg("-lR").arg(drive.path()).ok();
        begun.elapsed()
    };
    let usual = (0..3).map(|_| walk()).max().unwrap();
    let waiting = || drive.mount.status()["playback"]["waiting"]["open"].as_u64().unwrap();
    std::thread::scope(|scope| {
        let timed = |path: &PathBuf| {
            let begun = Instant::now();
            (open(path), begun.elapsed())
        };
        let stuck: Vec<_> = files[1..65].iter().map(|path| scope.spawn(move || timed(path))).collect();
        assert!(wait_for(Duration::from_secs(2), || (waiting() == 64).then_some(())).is_some(), "{}", waiting());
        let walked = walk();
        assert!(walked < usual * 2 + SLACK, "{walked:?}, usually {usual:?}");
        assert!(std::fs::read(&cached).unwrap() == bytes);
        for stuck in stuck {
            let (outcome, took) = stuck.join().unwrap();
            assert_eq!(outcome, Err(libc::ETIMEDOUT));
            assert!(took < Duration::from_secs(3) + SLACK * 2, "{took:?}");
        }
    });
    // Ctrl-C of one that waits.
    for signal in [Signal::INT, Signal::TERM] {
        let mut cat = tool("cat").arg(&files[70]).start();
        eventually("it waits", Duration::from_secs(2), || waiting() == 1);
        let signalled = Instant::now();
        kill_process(Pid::from_child(&cat.0), signal).unwrap();
        let ended = wait_for(Duration::from_secs(1) + SLACK, || cat.0.try_wait().unwrap());
        assert!(ended.is_some(), "{signal:?}: {:?}", signalled.elapsed());
    }
    eventually("nothing is left", Duration::from_secs(2), || {
        let status = drive.mount.status();
        status["work"]["resolving"] == 0
            && status["playback"]["waiting"]["open"] == 0
            && status["playback"]["used"] == 1
    });
    assert_eq!(drive.counters().playback_calls, 1);
}

/// Listings have a limit of their own: throttling one says nothing of the other, and nothing is lost.
#[test]
fn a_listing_that_is_throttled_waits_and_is_whole() {
    use cxonefs::sim::{Endpoint, Fault, FaultRule, SimSettings};

    use crate::harness::{Drive, plain};

    let drive = Drive::of(SimSettings { bulk_bytes: Some(2048), ..plain(3, 1200) });
    drive.tenant.switch(|switches| {
        let throttled = Fault::Status { status: 429, retry_after_s: Some(1) };
        let mut rule = FaultRule::next(Endpoint::Completed, throttled, 2);
        rule.after = 1;
        switches.faults = vec![rule];
    });
    let day = drive.at("2026-11-02");
    let count: usize =
        std::fs::read_dir(&day).unwrap().map(|agent| std::fs::read_dir(agent.unwrap().path()).unwrap().count()).sum();
    assert_eq!(count, 3600);
    let status = drive.mount.status();
    let (listing, playback) = (&status["reporting"], &status["playback"]);
    assert_eq!((&listing["refused"], &playback["refused"]), (&2.into(), &0.into()), "{listing}");
    assert!(listing["used"].as_u64() >= Some(4) && playback["used"] == 0, "{status}");
    assert_eq!(playback["learned_limit"], playback["limit"]);
    open(&billed_files(&drive)[0]).unwrap();
}
