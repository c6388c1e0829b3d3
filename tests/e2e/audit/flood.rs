//! A user who opens files as fast as he can, under names that are long in JSON: nothing of what another user did is lost, whatever he does.

use std::time::{Duration, Instant};

use super::{MALLORY, OPEN_TO_ALL, ROSA, as_user, assert_sound, count, files, lines};
use crate::harness::{Drive, is_full, plain, sh, tool};

/// Opens under another name each time, of control bytes alone, and as another process every few times, so that most opens are no repeats.
const FLOOD: &str = "
import ctypes, os, sys
libc = ctypes.CDLL(None)
path, processes, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
number = 0
for process in range(processes):
    child = os.fork()
    if child == 0:
        for number in range(process * each, (process + 1) * each):
            name = bytes(1 + (number >> shift) % 16 for shift in range(0, 60, 4))
            libc.prctl(15, name, 0, 0, 0)
            os.close(os.open(path, os.O_RDONLY))
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(1)
";

#[test]
fn a_flood_of_opens_wipes_nothing() {
    let drive = Drive::with(plain(1, 2), &OPEN_TO_ALL);
    sh(&format!("chmod 711 {}", drive.sandbox.root().display())).ok();
    let places: Vec<_> = drive.tree.recorded().collect();
    let file = |index: usize| drive.at(&places[index].path).join("recording.mp4");
    let read = format!("cat '{}' > /dev/null", file(0).display());
    assert_eq!(as_user(ROSA, &read).code(), 0);
    std::fs::read(file(1)).unwrap();
    let (processes, each): (u64, u64) = if is_full() { (100_000, 10) } else { (100, 30) };
    let opens = processes * each;
    let user = [format!("--reuid={MALLORY}"), format!("--regid={MALLORY}"), "--clear-groups".into()];
    let flood = tool("setpriv").args(user).args(["/usr/bin/python3", "-c", FLOOD]).arg(file(1));
    let flood = flood.arg(processes.to_string()).arg(each.to_string());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| flood.within(Duration::from_mins(40)).ok());
        for _ in 0..20 {
            assert_eq!(as_user(ROSA, &read).code(), 0);
        }
    });
    let all = lines(&drive);
    let of = |uid: u32| all.iter().filter(move |line| line["uid"] == uid);
    assert_eq!(count(of(ROSA)), 21, "the first one, from before, and all meanwhile");
    assert_eq!(count(of(MALLORY)), opens, "and his own");
    assert_eq!(all[0]["n"], 1);
    let longest = all.iter().map(|line| line.to_string().len()).max().unwrap();
    assert!(longest < 1000, "{longest} bytes");
    let bytes: u64 = files(&drive.sandbox.state()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes < opens * 700 + 100_000, "{bytes} bytes");
    let status = drive.mount.status();
    if is_full() {
        let files = files(&drive.sandbox.state()).len();
        eprintln!(
            "{opens} opens in {:?}: {} lines in {files} files of {bytes} bytes; {} bytes of memory",
            begun.elapsed(),
            all.len(),
            status["memory_bytes"]
        );
        assert!(files > 3, "turned over by size, and nothing deleted");
    }
    assert_eq!(status["audit"]["lost"], 0, "{}", status["audit"]);
    assert_sound(&drive);
}
