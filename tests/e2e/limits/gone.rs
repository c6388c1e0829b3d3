//! Who has gone costs nothing more.

use std::time::Duration;

use cxonefs::sim::SimSettings;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Drive, eventually, plain, tool};

/// Longer than any step of a test on a busy machine takes.
const SOON: Duration = Duration::from_secs(30);

/// Reads the head of a file, and when there is a second file reads far behind it.
const READER: &str = "exec 3<\"$0\"; dd bs=10 count=1 <&3 >/dev/null 2>&1; while [ ! -e \"$1\" ]; do sleep 0.1; done;
    exec dd bs=65536 skip=350 count=1 <&3 of=/dev/null";

#[test]
fn a_reader_that_was_killed_is_not_billed() {
    let settings = SimSettings { bulk_bytes: Some(24 << 20), ..plain(1, 2) };
    let flags = ["--set", "limits.playback_requests=1", "--set", "limits.playback_window=12s"];
    let drive = Drive::with(settings, &flags);
    drive.tenant.switch(|switches| switches.link_life_s = 1);
    let recording = drive.at(&drive.tree.recorded().next().unwrap().path).join("recording.mp4");
    let go = drive.sandbox.path("go");
    let mut reader = tool("bash").arg("-c").arg(READER).arg(&recording).arg(&go).start();
    eventually("it reads", SOON, || drive.counters().media_requests > 0);
    // Its link ends; the only call of the window is made.
    std::thread::sleep(Duration::from_secs(2));
    std::fs::write(&go, "").unwrap();
    let waiting = || drive.mount.status()["playback"]["waiting"]["open"].as_u64();
    eventually("it waits for a link", SOON, || waiting() == Some(1));
    assert_eq!(drive.counters().playback_calls, 1);
    kill_process(Pid::from_child(&reader.0), Signal::KILL).unwrap();
    reader.0.wait().unwrap();
    eventually("nothing waits for it", SOON, || waiting() == Some(0) && drive.mount.status()["work"]["resolving"] == 0);
    std::thread::sleep(Duration::from_secs(13));
    assert_eq!(drive.counters().playback_calls, 1);
}
