//! Rows stand before their calls, and what counts as billed.

use super::super::testing::{catalog, settings, time};
use super::*;
use crate::net::Priority;

fn entry(at: &str, master: i64, reason: Priority) -> LedgerEntry {
    LedgerEntry { at: time(at), master_id: MasterId(master), reason, uid: 1000, pid: 42, comm: String::from("ffprobe") }
}

#[test]
fn rows_are_there_before_the_call_and_after_a_crash() {
    let (catalog, dir) = catalog();
    let first = catalog.ledger_begin(&entry("2026-11-02T15:00:00Z", 1, Priority::Open)).unwrap();
    catalog.ledger_finish(first, "found").unwrap();
    let second = catalog.ledger_begin(&entry("2026-11-02T15:00:01.5Z", 2, Priority::Warm)).unwrap();
    assert_ne!(first, second);

    // Another process sees them while the daemon runs.
    let mut seen = Vec::new();
    LedgerReader::open(dir.path()).unwrap().rows(Timestamp::MIN, |row| seen.push(row)).unwrap();
    drop(catalog);
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    let mut rows = Vec::new();
    catalog.ledger_rows(Timestamp::MIN, |row| rows.push(row)).unwrap();
    assert_eq!(rows, seen);
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].outcome.as_deref(), rows[0].reason.as_str()), (Some("found"), "open"));
    let crashed = LedgerRow {
        id: second,
        at: time("2026-11-02T15:00:01.5Z"),
        master_id: MasterId(2),
        reason: String::from("warm"),
        uid: 1000,
        pid: 42,
        comm: String::from("ffprobe"),
        outcome: None,
    };
    assert_eq!(rows[1], crashed);
}

#[test]
fn since_is_inclusive_and_a_row_without_outcome_counts() {
    let (catalog, _dir) = catalog();
    for at in ["2026-11-02T15:00:02Z", "2026-11-02T15:00:00Z", "2026-11-02T15:00:01Z"] {
        catalog.ledger_begin(&entry(at, 1, Priority::List)).unwrap();
    }
    let since = time("2026-11-02T15:00:01Z");
    assert_eq!(catalog.ledger_count(since).unwrap(), 2);
    assert_eq!(catalog.ledger_times(since).unwrap(), [since, time("2026-11-02T15:00:02Z")]);
}

#[test]
fn an_unknown_row_cannot_be_finished_and_no_ledger_cannot_be_read() {
    let (catalog, _dir) = catalog();
    assert!(catalog.ledger_finish(LedgerId(9), "found").is_err());
    assert!(LedgerReader::open(tempfile::tempdir().unwrap().path()).is_err());
}
