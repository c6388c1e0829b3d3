//! Programs that read a recording or two, and the ledger that people read.

use super::work::{Work, recorded_all};
use crate::harness::{sh, tool};

#[test]
fn file_and_sox_know_a_recording() {
    let mut work = Work::of(recorded_all(), &[]);
    let recording = work.drive.at(&work.drive.tree.recorded().next().unwrap().path).join("recording.mp4");
    for round in 0..2 {
        let kind = tool("file").arg("--brief").arg(&recording).ok().stdout;
        assert!(kind.contains("ISO Media"), "{kind}");
        let decoded = format!("ffmpeg -v error -i '{}' -f wav - | sox -t wav - -n stat 2>&1", recording.display());
        let heard = sh(&decoded).ok().stdout;
        assert!(heard.contains("Samples read") && heard.contains("Length (seconds)"), "{heard}");
        let counters = work.drive.counters();
        if round == 1 {
            assert_eq!((counters.playback_calls, counters.media_bytes), (0, 0), "{counters:?}");
        }
        work.drive.mount.remount();
        work.drive.tenant.reset_counters();
    }
}

#[test]
fn sqlite_reads_the_ledger_of_a_running_mount() {
    let work = Work::of(recorded_all(), &[]);
    let query =
        "SELECT count(*) || ' ' || group_concat(DISTINCT outcome) || ' ' || group_concat(DISTINCT comm) FROM ledger";
    let ask = || tool("sqlite3").arg("-readonly").arg(work.drive.sandbox.state().join("cxonefs.db")).arg(query).ok();
    assert_eq!(ask().stdout.trim(), "");
    for place in work.places.iter().take(3) {
        tool("cat").arg(work.drive.at(&place.path).join("metadata.json")).ok();
    }
    assert_eq!(ask().stdout.trim(), "3 found cat");
    let plan = "EXPLAIN QUERY PLAN SELECT * FROM ledger WHERE at >= 0";
    let database = work.drive.sandbox.state().join("cxonefs.db");
    let plan = tool("sqlite3").arg("-readonly").arg(database).arg(plan).ok().stdout;
    assert!(plan.contains("ledger_at"), "{plan}");
}
