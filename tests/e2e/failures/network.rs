//! What networks do: whoever reads gets the right bytes or an error in time, and all is well when the network is.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cxonefs::sim::SimSettings;

use crate::harness::{
    Drive, Mount, Proxy, Sandbox, Tree, Weather, assert_same_bytes, is_full, plain, true_bytes, wait_for,
};

const MIB: usize = 1024 * 1024;
const FLAGS: [&str; 6] =
    ["--set", "limits.deadline=2s", "--set", "limits.call_timeout=2s", "--set", "cache.whole_file_below=64KiB"];
/// Beyond the deadline: both waits of an `open`, and a busy machine.
const SLACK: Duration = Duration::from_secs(2);

/// The documented errors of a network that fails, in time.
#[track_caller]
fn fails_in_time<T>(what: &str, attempt: impl FnOnce() -> std::io::Result<T>) {
    let begun = Instant::now();
    let errno = attempt().map(drop).expect_err(what).raw_os_error();
    assert!(matches!(errno, Some(libc::EIO | libc::ETIMEDOUT)), "{what}: {errno:?}");
    assert!(begun.elapsed() < Duration::from_secs(2) + SLACK, "{what}: {:?}", begun.elapsed());
}

/// Right from some time soon.
#[track_caller]
fn reads_again(path: &Path, expected: &[u8]) {
    let mut last = None;
    let read = wait_for(Duration::from_secs(10), || {
        let begun = Instant::now();
        std::fs::read(path).map_err(|error| last = Some((error, begun.elapsed()))).ok()
    });
    assert_same_bytes(&read.unwrap_or_else(|| panic!("it never reads again: {last:?}")), expected, path);
}

#[test]
fn whatever_the_network_does_a_read_is_right_or_fails_in_time() {
    let (api, media, tenant, flags) = Proxy::around(SimSettings { bulk_bytes: Some(MIB as u64), ..plain(2, 10) });
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(FLAGS).collect();
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, &flags);
    let tree = Tree::of(&tenant);
    let drive = Drive { mount, sandbox, tenant, tree };
    let files: Vec<(i64, PathBuf)> =
        drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect();
    let mut files = files.into_iter();
    let quick = [Weather::Refuses, Weather::Resets, Weather::Cuts { after: 20 }];
    // Each costs three deadlines and more.
    let slow = [Weather::Silent, Weather::Lost, Weather::Crawls { bytes_per_s: 1 }];
    let slow = if is_full() { &slow[..] } else { &slow[..1] };
    for weather in quick.iter().chain(slow).copied() {
        let mut next = || {
            let (master, path) = files.next().unwrap();
            (true_bytes(&drive.tenant, master, 1), path)
        };
        // In the middle of a read.
        let (expected, path) = next();
        let file = File::open(&path).unwrap();
        let mut head = [0; 4096];
        file.read_exact_at(&mut head, 0).unwrap();
        assert_same_bytes(&head, &expected[..4096], &path);
        media.set(weather);
        fails_in_time(&format!("{weather:?}, a read"), || file.read_at(&mut [0; 4096], MIB as u64 - 4096));
        let mut again = [0; 4096];
        file.read_exact_at(&mut again, 0).unwrap();
        assert_same_bytes(&again, &expected[..4096], &path);
        // At an open whose link is there, and whose head is not.
        let (unseen, unseen_path) = next();
        fails_in_time(&format!("{weather:?}, an open"), || File::open(&unseen_path));
        media.set(Weather::Fine);
        reads_again(&path, &expected);
        reads_again(&unseen_path, &unseen);
        // At the billed call.
        let (unpaid, unpaid_path) = next();
        api.set(weather);
        fails_in_time(&format!("{weather:?}, resolving"), || File::open(&unpaid_path));
        assert_eq!(drive.at("no such day").metadata().unwrap_err().kind(), ErrorKind::NotFound);
        reads_again(&path, &expected);
        api.set(Weather::Fine);
        // A call that was cut may have been billed: it is not made again before its time, unless somebody wants that.
        let read = wait_for(Duration::from_secs(10), || std::fs::read(&unpaid_path).map_err(|_| drive.retry()).ok());
        assert_same_bytes(&read.expect("it never reads again"), &unpaid, &unpaid_path);
    }
}
