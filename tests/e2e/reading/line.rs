//! A line that is too narrow for everybody at once: slow is no error.

use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

use cxonefs::sim::SimSettings;

use crate::harness::{Mount, Proxy, Sandbox, Tree, Weather, assert_same_bytes, is_full, plain, true_bytes};

const READERS: usize = 12;
const LINE_BYTES_PER_S: u64 = 1_000_000;

#[test]
fn twelve_readers_share_a_narrow_line_and_none_times_out() {
    let bytes: u64 = if is_full() { 8 << 20 } else { 1 << 20 };
    let settings = SimSettings { bulk_bytes: Some(bytes), ..plain(2, 10) };
    let (_api, media, tenant, flags) = Proxy::around(settings);
    let sandbox = Sandbox::of(&tenant);
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--set", "limits.deadline=5s"]).collect();
    let mount = Mount::start(&sandbox, &flags);
    let tree = Tree::of(&tenant);
    let files: Vec<_> = tree
        .recorded()
        .take(READERS)
        .map(|place| (place.master, mount.at(&place.path).join("recording.mp4")))
        .collect();
    assert_eq!(files.len(), READERS);
    media.set(Weather::Narrow { bytes_per_s: LINE_BYTES_PER_S });
    let begun = Instant::now();
    let longest = std::thread::scope(|scope| {
        let readers: Vec<_> = files
            .iter()
            .map(|(master, path)| {
                let tenant = &tenant;
                scope.spawn(move || {
                    let (mut file, mut read, mut piece) = (File::open(path).unwrap(), Vec::new(), vec![0; 128 << 10]);
                    let mut longest = Duration::ZERO;
                    loop {
                        let asked = Instant::now();
                        let count = file.read(&mut piece).unwrap_or_else(|error| {
                            panic!("{master} at {} after {:?}: {error}", read.len(), asked.elapsed())
                        });
                        longest = longest.max(asked.elapsed());
                        if count == 0 {
                            break;
                        }
                        read.extend_from_slice(&piece[..count]);
                    }
                    assert_same_bytes(&read, &true_bytes(tenant, *master, 1), path);
                    longest
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).max().unwrap()
    });
    let took = begun.elapsed();
    println!(
        "{READERS} readers of {bytes} bytes at {LINE_BYTES_PER_S} bytes/s: {took:?}, the longest read {longest:?}"
    );
    let at_best = (READERS as u64 * bytes) as f64 / LINE_BYTES_PER_S as f64;
    assert!(took.as_secs_f64() > at_best * 0.8, "the line was not narrow");
}
