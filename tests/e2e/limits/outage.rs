//! The tenant away, silent or slow: what is indexed and cached goes on, the rest fails in time, and comes back by itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cxonefs::sim::{Endpoint, Fault, FaultRule, SimSettings};
use rustix::process::{Pid, Signal, kill_process};

use super::{billed_files, drive, open};
use crate::harness::{Drive, Mount, Proxy, Sandbox, Tree, Weather, eventually, plain, tool, wait_for};

const DEADLINE: Duration = Duration::from_secs(4);
const FLAGS: [&str; 2] = ["--set", "limits.deadline=4s"];
/// Beyond a limit in seconds, for processes on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

/// Every request hangs, as where a firewall swallows what was accepted.
fn black_hole(drive: &Drive) {
    let rules = Endpoint::ALL.map(|endpoint| FaultRule::always(endpoint, Fault::Hang));
    drive.tenant.switch(|switches| switches.faults = rules.to_vec());
}

#[track_caller]
fn opens_again(path: &PathBuf) {
    let begun = Instant::now();
    let opened = wait_for(Duration::from_secs(10), || open(path).ok());
    assert!(opened.is_some() && begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Walks everything and reads what is cached.
#[track_caller]
fn goes_on(drive: &Drive, cached: &Path, expected: &[u8]) -> Duration {
    let begun = Instant::now();
    tool("ls").arg("-lR").arg(drive.path()).ok();
    let walked = begun.elapsed();
    assert!(std::fs::read(cached).unwrap() == expected);
    walked
}

#[test]
fn a_tenant_that_is_away_fails_at_once_says_so_once_and_comes_back() {
    let mut drive = drive(3, 20, (1000, 2), &FLAGS);
    let files = billed_files(&drive);
    let cached = files[0].with_file_name("recording.mp4");
    let bytes = std::fs::read(&cached).unwrap();
    goes_on(&drive, &cached, &bytes);
    drive.tenant.shut_down();
    for path in &files[1..30] {
        let begun = Instant::now();
        assert_eq!(open(path), Err(libc::EIO));
        assert!(begun.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", begun.elapsed());
    }
    goes_on(&drive, &cached, &bytes);
    assert_eq!(drive.mount.stderr().matches("down: what needs it").count(), 1, "{}", drive.mount.stderr());
    assert!(drive.mount.stderr().matches("failed").count() <= 4, "not a line per request");
    drive.tenant.start_again();
    opens_again(&files[1]);
    for path in &files {
        open(path).unwrap();
    }
    assert!(drive.mount.stderr().contains("answers again after"));
}

#[test]
fn calls_that_never_left_spend_no_budget() {
    let mut drive = drive(2, 10, (1000, 2), &["--set", "limits.daily_budget=5"]);
    let files = billed_files(&drive);
    open(&files[0]).unwrap();
    drive.tenant.shut_down();
    for _ in 0..10 {
        assert_eq!(open(&files[1]), Err(libc::EIO));
    }
    drive.tenant.start_again();
    opens_again(&files[1]);
    for path in &files[2..5] {
        open(path).unwrap();
    }
    assert_eq!(open(&files[5]), Err(libc::EDQUOT));
}

#[test]
fn in_a_black_hole_every_wait_ends_and_the_rest_goes_on() {
    let drive = drive(4, 20, (1000, 2), &FLAGS);
    every_wait_ends(drive, black_hole, |drive| drive.tenant.heal());
}

#[test]
fn where_every_packet_is_lost_every_wait_ends_and_the_rest_goes_on() {
    let settings = SimSettings { bulk_bytes: Some(2048), playback_requests: 1000, ..plain(4, 20) };
    let (api, media, tenant, flags) = Proxy::around(settings);
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(FLAGS).collect();
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, &flags);
    let tree = Tree::of(&tenant);
    let drive = Drive { mount, sandbox, tenant, tree };
    for place in &drive.tree.places {
        drive.at(&place.path).metadata().unwrap();
    }
    let weather = |now: Weather| [&api, &media].into_iter().for_each(|proxy| proxy.set(now));
    every_wait_ends(drive, |_| weather(Weather::Lost), |_| weather(Weather::Fine));
}

/// What must hold while nobody answers, and when they do again.
fn every_wait_ends(mut drive: Drive, silence: impl Fn(&Drive), heal: impl Fn(&Drive)) {
    let files = billed_files(&drive);
    let cached = files[0].with_file_name("recording.mp4");
    let bytes = std::fs::read(&cached).unwrap();
    let usual = (0..3).map(|_| goes_on(&drive, &cached, &bytes)).max().unwrap();
    silence(&drive);
    std::thread::scope(|scope| {
        let stuck: Vec<_> = files[1..65]
            .iter()
            .map(|path| {
                scope.spawn(move || {
                    let begun = Instant::now();
                    (open(path), begun.elapsed())
                })
            })
            .collect();
        let resolving = || drive.mount.status()["work"]["resolving"].as_u64().unwrap();
        eventually("they wait", Duration::from_secs(3), || resolving() >= 64);
        let walked = goes_on(&drive, &cached, &bytes);
        assert!(walked < usual * 2 + SLACK, "{walked:?}, usually {usual:?}");
        // Ctrl-C of one that waits.
        let mut waiting = tool("cat").arg(&files[70]).start();
        eventually("one more waits", Duration::from_secs(2), || resolving() >= 65);
        kill_process(Pid::from_child(&waiting.0), Signal::INT).unwrap();
        assert!(wait_for(Duration::from_secs(1) + SLACK, || waiting.0.try_wait().unwrap()).is_some());
        for stuck in stuck {
            let (outcome, took) = stuck.join().unwrap();
            assert_eq!(outcome, Err(libc::ETIMEDOUT));
            assert!(took < DEADLINE + SLACK * 2, "{took:?}");
        }
    });
    // It is known by now.
    for path in &files[66..70] {
        let begun = Instant::now();
        assert_eq!(open(path), Err(libc::ETIMEDOUT));
        assert!(begun.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", begun.elapsed());
    }
    heal(&drive);
    opens_again(&files[70]);
    silence(&drive);
    let begun = Instant::now();
    drive.mount.terminate();
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
}

#[test]
fn only_playback_silent_is_found_out_and_comes_back_too() {
    let drive = drive(2, 10, (1000, 2), &FLAGS);
    let files = billed_files(&drive);
    drive.tenant.fail(Endpoint::Playback, Fault::Hang);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(12) {
        assert_eq!(open(&files[0]), Err(libc::ETIMEDOUT));
    }
    let calls = drive.counters().playback_calls;
    assert!(calls <= 4, "{calls} calls into silence");
    drive.tenant.heal();
    let opened = wait_for(Duration::from_secs(10), || open(&files[1]).ok());
    assert!(opened.is_some());
    // The call for the first one is under way for as long as `limits.call_timeout` allows.
    for path in &files[1..] {
        open(path).unwrap();
    }
}

/// Answers every request with 404, so that it is there at all.
fn a_host_that_answers(port: u16) -> std::thread::JoinHandle<()> {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(20) {
            let mut stream = stream.unwrap();
            let mut request = [0; 8192];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    })
}

#[test]
fn a_media_host_that_is_down_is_found_out_once_while_documents_still_open() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let media_base_url = Some(format!("http://127.0.0.1:{port}/").parse().unwrap());
    let drive = Drive::of(SimSettings { media_base_url, ..plain(2, 10) });
    let files = billed_files(&drive);
    for path in &files {
        let begun = Instant::now();
        open(path).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", begun.elapsed());
        assert_eq!(open(&path.with_file_name("recording.mp4")), Err(libc::EIO));
        assert!(begun.elapsed() < Duration::from_secs(4) + SLACK, "{:?}", begun.elapsed());
    }
    assert_eq!(drive.counters().playback_billed, files.len() as u64, "a host that is down costs no second call");
    assert_eq!(drive.mount.stderr().matches("down: what needs it").count(), 1, "{}", drive.mount.stderr());
    let _host = a_host_that_answers(port);
    let begun = Instant::now();
    while !drive.mount.stderr().contains("answers again after") {
        let _ = open(&files[0].with_file_name("recording.mp4"));
        assert!(begun.elapsed() < Duration::from_secs(5), "{}", drive.mount.stderr());
    }
}
