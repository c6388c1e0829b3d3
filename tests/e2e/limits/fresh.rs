//! A fresh limiter, after the first start and after every other: many opens side by side do not go out one at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use cxonefs::sim::Endpoint;

use crate::harness::{Drive, plain};

const OPENS: usize = 24;
const CALL: Duration = Duration::from_secs(1);

#[test]
fn opens_side_by_side_go_out_together() {
    let mut drive = Drive::of(plain(4, 20));
    drive
        .tenant
        .switch(|switches| switches.latency_ms = BTreeMap::from([(Endpoint::Playback, CALL.as_millis() as u64)]));
    let paths: Vec<PathBuf> =
        drive.tree.recorded().map(|place| drive.at(&place.path).join("recording.mp4")).take(2 * OPENS).collect();
    for (round, paths) in paths.chunks_exact(OPENS).enumerate() {
        drive.tenant.reset_counters();
        std::thread::scope(|scope| {
            let opens: Vec<_> = paths.iter().map(|path| scope.spawn(move || File::open(path))).collect();
            for open in opens {
                open.join().unwrap().unwrap();
            }
        });
        let arrivals = drive.tenant.playback_arrivals();
        assert_eq!(arrivals.len(), OPENS, "round {round}");
        let took = arrivals[OPENS - 1].at.duration_since(arrivals[0].at);
        assert!(took.as_secs_f64() <= 4.0 * CALL.as_secs_f64(), "round {round}: the calls went out over {took:#}");
        assert_eq!(drive.counters().playback_429, 0);
        drive.mount.remount();
    }
}
