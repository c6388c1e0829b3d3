//! Erasing leaves nothing of an interaction in any file of the state directory, and everything else as it was.

use std::path::Path;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aho_corasick::AhoCorasick;

use super::*;
use crate::base::Channels;
use crate::catalog::testing::{calls_beside, catalog, dump, record, settings, time};
use crate::catalog::{FileKind, LedgerEntry, NewResolution, ResolvedFile};
use crate::net::Priority;

const DAY: &str = "2026-11-02";
const VICTIM: MasterId = MasterId(701_000_000_122);
const LEG: i64 = 701_000_777_333;

/// Two days' worth of pages: the victim's rows are moved about by those around them.
fn filled() -> (Catalog, tempfile::TempDir) {
    let (catalog, dir) = catalog();
    let mut records: Vec<_> =
        (0..400).map(|n| record(800_000_000_000 + n, 800_000_000_000 + n, 7, "2026-11-02T15:00:00Z")).collect();
    records.insert(200, record(VICTIM.0, VICTIM.0, 7, "2026-11-02T15:00:00Z"));
    records.insert(300, record(LEG, VICTIM.0, 9, "2026-11-02T15:00:00Z"));
    catalog.record_day(DAY.parse().unwrap(), &records, time("2026-11-05T12:00:00Z"), true, None).unwrap();
    for record in &records {
        let file = ResolvedFile {
            kind: FileKind::Metadata,
            name: "metadata.json".into(),
            size: None,
            validator: String::new(),
        };
        let says = if record.master_id == VICTIM { "Priscilla Unmistakable" } else { "Somebody Else" };
        let bytes = format!("{{\"customer\": \"{says}\", \"fill\": \"{}\"}}", "x".repeat(3000)).into_bytes();
        let resolution = NewResolution { files: vec![(file, Some(bytes))], recheck_at: None };
        catalog.store_resolution(record.master_id, &resolution, time("2026-11-05T12:00:00Z")).unwrap();
        let entry = LedgerEntry {
            at: time("2026-11-05T12:00:00Z"),
            master_id: record.master_id,
            reason: Priority::Open,
            uid: 4242,
            pid: 1,
            comm: if record.master_id == VICTIM { String::from("nosy-caller") } else { String::from("cat") },
        };
        let row = catalog.ledger_begin(&entry).unwrap();
        catalog.ledger_finish(row, "ok").unwrap();
    }
    (catalog, dir)
}

/// Files of the directory that hold one of the texts or the number in the form in which SQLite stores it.
fn traces(dir: &Path) -> Vec<String> {
    let id = VICTIM.0.to_be_bytes();
    let needles: [&[u8]; 5] = [b"701000000122", b"701000777333", b"Priscilla", b"nosy-caller", &id[2..]];
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file())
    {
        let bytes = std::fs::read(entry.path()).unwrap();
        for needle in needles {
            if bytes.windows(needle.len()).any(|part| part == needle) {
                found.push(format!("{} in {}", needle.escape_ascii(), entry.path().display()));
            }
        }
    }
    found
}

/// A billed call that is made meanwhile waits for one piece at most, not for all.
#[test]
fn erasing_many_lets_others_write() {
    let (catalog, _dir) = catalog();
    let masters: Vec<MasterId> = (1..=6000).map(MasterId).collect();
    let records: Vec<_> = masters.iter().map(|master| record(master.0, master.0, 7, "2026-11-02T15:00:00Z")).collect();
    let store =
        || catalog.record_day(DAY.parse().unwrap(), &records, time("2026-11-05T12:00:00Z"), true, None).unwrap();
    store();
    let (longest, all) = calls_beside(&catalog, || catalog.erase_all().unwrap());
    assert!(longest * 10 < all, "a call waited {longest:?} of {all:?}");
    let empty = AllHoldings { ledger_rows: catalog.all_holdings().unwrap().ledger_rows, ..AllHoldings::default() };
    assert_eq!(catalog.all_holdings().unwrap(), empty);
    assert_eq!(catalog.day(DAY.parse().unwrap()).unwrap(), None);
    store();
    let (longest, all) = calls_beside(&catalog, || catalog.erase(&masters, time("2026-11-05T12:00:00Z")).unwrap());
    assert!(longest * 10 < all, "a call waited {longest:?} of {all:?}");
    assert_eq!(catalog.all_holdings().unwrap(), AllHoldings { ledger_rows: 0, ..AllHoldings::default() });
}

#[test]
fn nothing_of_it_stays_in_any_file() {
    let (catalog, dir) = filled();
    assert!(traces(dir.path()).len() >= 5, "the traces that are looked for are there before: {:?}", traces(dir.path()));
    std::fs::write(dir.path().join("cxonefs.db.damaged-20261101T000000Z"), "701000000122").unwrap();
    // A reader that has the old pages in its cache.
    let day: Day = DAY.parse().unwrap();
    assert_eq!(catalog.interactions(day, AgentId(9), &Channels::ALL).unwrap().len(), 1);
    for id in [LEG, VICTIM.0] {
        let held = catalog.holdings(&[id]).unwrap();
        assert_eq!(
            (held.masters, held.places.len(), held.documents, held.ledger_rows),
            (vec![VICTIM], 2, 1, 2),
            "{id}"
        );
    }
    catalog.erase(&[VICTIM], time("2026-11-06T12:00:00Z")).unwrap();
    catalog.wipe().unwrap();
    assert_eq!(traces(dir.path()), Vec::<String>::new());
    assert_eq!(catalog.holdings(&[LEG]).unwrap(), Holdings::default());
    assert_eq!(catalog.holdings(&[VICTIM.0]).unwrap(), Holdings::default());
    // Its agent had nothing else that day.
    assert_eq!(catalog.agent(day, AgentId(9)).unwrap(), None);
    drop(catalog);
    assert_eq!(traces(dir.path()), Vec::<String>::new(), "after closing");
}

/// An id as text, as SQLite stores numbers, and as it stores the numbers of rows.
fn forms(id: i64) -> [Vec<u8>; 3] {
    let mut varint: Vec<u8> = (0..6).rev().map(|group| (id >> (7 * group)) as u8 | 0x80).collect();
    varint[5] &= 0x7f;
    [id.to_string().into_bytes(), id.to_be_bytes()[2..].to_vec(), varint]
}

fn documented(catalog: &Catalog, master: MasterId, len: usize) {
    let (name, validator) = ("metadata.json".into(), String::new());
    let file = ResolvedFile { kind: FileKind::Metadata, name, size: None, validator };
    let document = format!("{{\"of\": {master}, \"fill\": \"{}\"}}", "x".repeat(len)).into_bytes();
    let resolution = NewResolution { files: vec![(file, Some(document))], recheck_at: None };
    catalog.store_resolution(master, &resolution, time("2026-11-05T12:00:00Z")).unwrap();
}

/// Whatever the order in which rows came, and whatever is written meanwhile, no byte of any file tells of what was erased.
#[test]
fn no_layout_keeps_anything() {
    for seed in 0..3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (catalog, dir) = catalog();
        let mut masters: Vec<i64> = (0..1500).map(|n| 701_000_000_000 + n * 1_000_003).collect();
        random.shuffle(&mut masters);
        for (day, masters) in masters.chunks(500).enumerate() {
            let start = format!("2026-11-{:02}T15:00:00Z", day + 2);
            let legs = masters.iter().map(|master| record(master + 7, *master, random.i64(1..9), &start));
            let (records, at) = (legs.collect::<Vec<_>>(), time("2026-11-09T12:00:00Z"));
            let day = format!("2026-11-{:02}", day + 2).parse().unwrap();
            catalog.record_day(day, &records, at, true, None).unwrap();
            for master in masters {
                if random.u8(0..3) > 0 {
                    let most = if random.bool() { 9000 } else { 300 };
                    documented(&catalog, MasterId(*master), random.usize(0..most));
                }
            }
        }
        random.shuffle(&mut masters);
        let (erased, kept) = masters.split_at(400);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = fastrand::Rng::with_seed(seed);
                while !is_over.load(Ordering::Relaxed) {
                    let master = kept[random.usize(0..kept.len())];
                    documented(&catalog, MasterId(master), random.usize(0..5000));
                }
            });
            for erased in erased.chunks(150) {
                let erased: Vec<MasterId> = erased.iter().copied().map(MasterId).collect();
                catalog.erase(&erased, time("2026-11-10T12:00:00Z")).unwrap();
            }
            catalog.wipe().unwrap();
            is_over.store(true, Ordering::Relaxed);
        });
        let needles = AhoCorasick::new(erased.iter().flat_map(|id| [forms(*id), forms(id + 7)]).flatten()).unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let found = needles.find_iter(&fs::read(&path).unwrap()).count();
            assert_eq!(found, 0, "{} with seed {seed}", path.display());
        }
        let verdict =
            |connection: &Connection| Ok(connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?);
        assert_eq!(catalog.inner.db.read::<String>(verdict).unwrap(), "ok");
        assert_eq!(catalog.totals().unwrap().0, kept.len() as u64);
    }
}

/// 100 MB are searched for what was erased; a billed call that is made meanwhile waits for one piece.
#[test]
fn wiping_lets_others_write() {
    let (catalog, _dir) = catalog();
    let masters: Vec<MasterId> = (1..=100).map(MasterId).collect();
    let records: Vec<_> = masters.iter().map(|master| record(master.0, master.0, 7, "2026-11-02T15:00:00Z")).collect();
    catalog.record_day(DAY.parse().unwrap(), &records, time("2026-11-05T12:00:00Z"), true, None).unwrap();
    for master in &masters {
        documented(&catalog, *master, 1 << 20);
    }
    catalog.erase(&masters[..1], time("2026-11-05T12:00:00Z")).unwrap();
    let (longest, all) = calls_beside(&catalog, || catalog.wipe().unwrap());
    assert!(longest * 2 < all, "a call waited {longest:?} of {all:?}");
}

/// Who reads an old state keeps it in the log: it is waited for, and others write meanwhile.
#[test]
fn a_reader_of_another_process_is_waited_for() {
    let (catalog, dir) = filled();
    let other = Connection::open(crate::catalog::db::file_in(dir.path())).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM ledger").unwrap();
    catalog.erase(&[VICTIM], time("2026-11-06T12:00:00Z")).unwrap();
    let ends = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(other);
    });
    let before = catalog.ledger_count(Timestamp::MIN).unwrap();
    let (_, all) = calls_beside(&catalog, || catalog.wipe().unwrap());
    assert!(all > Duration::from_millis(200), "{all:?}");
    assert!(catalog.ledger_count(Timestamp::MIN).unwrap() > before + 1);
    ends.join().unwrap();
    assert_eq!(traces(dir.path()), Vec::<String>::new());
}

#[test]
fn everything_else_stays_as_it_was() {
    let (catalog, dir) = filled();
    let day: Day = DAY.parse().unwrap();
    let others = |dump: String| -> Vec<String> {
        dump.lines()
            .filter(|line| !line.contains("701000000122") && !line.contains("701000777333"))
            .map(str::to_owned)
            .collect()
    };
    let calls = |catalog: &Catalog| {
        let mut rows = Vec::new();
        catalog.ledger_rows(jiff::Timestamp::MIN, |row| rows.push(row)).unwrap();
        rows
    };
    let before = (catalog.interactions(day, AgentId(7), &Channels::ALL).unwrap(), calls(&catalog).len());
    let document = catalog.document(MasterId(800_000_000_007), FileKind::Metadata).unwrap();
    let listed = others(dump(&catalog, &[day]));
    catalog.erase(&[VICTIM], time("2026-11-06T12:00:00Z")).unwrap();
    catalog.wipe().unwrap();
    drop(catalog);
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    let after = catalog.interactions(day, AgentId(7), &Channels::ALL).unwrap();
    assert_eq!(after.len() + 1, before.0.len());
    assert!(after.iter().all(|folder| before.0.contains(folder)));
    assert_eq!(catalog.document(MasterId(800_000_000_007), FileKind::Metadata).unwrap(), document);
    let still = others(dump(&catalog, &[day]));
    assert!(still.iter().all(|line| listed.contains(line)), "another's line changed");
    let rows = calls(&catalog);
    assert_eq!(rows.len(), before.1, "every call still counts");
    let forgotten: Vec<_> = rows.iter().filter(|row| row.master_id == MasterId(0)).collect();
    assert!(!forgotten.is_empty());
    assert!(forgotten.iter().all(|row| row.uid == ERASED_UID && row.comm == ERASED_COMM && row.is_billed()));
    assert_eq!(catalog.totals().unwrap().0, 400);
}

#[test]
fn everything_goes_when_everything_is_erased() {
    let (catalog, dir) = filled();
    catalog.erase_all().unwrap();
    catalog.wipe().unwrap();
    assert_eq!(traces(dir.path()), Vec::<String>::new());
    assert_eq!(catalog.totals().unwrap(), (0, 0));
    assert_eq!(catalog.day(DAY.parse().unwrap()).unwrap(), None);
    assert_eq!(catalog.all_holdings().unwrap(), AllHoldings::default());
    assert!(catalog.inner.db.path().metadata().unwrap().len() < 500_000, "next to nothing is left");
    // It works on.
    let again = [record(5, 5, 7, "2026-11-02T15:00:00Z")];
    assert!(catalog.record_day(DAY.parse().unwrap(), &again, time("2026-11-05T12:00:00Z"), true, None).unwrap());
    assert_eq!(catalog.totals().unwrap().0, 1);
}

#[test]
fn a_copy_that_a_killed_process_left_goes() {
    let (catalog, dir) = filled();
    drop(catalog);
    let left = dir.path().join("cxonefs.db.rewritten");
    std::fs::write(&left, "701000000122").unwrap();
    drop(Catalog::open(dir.path(), settings()).unwrap());
    assert!(!left.exists());
}

/// A recording that is being hashed and a call that is being refused know nothing of the erasure, and `--all` marks nobody.
#[test]
fn what_was_under_way_when_everything_was_erased_leaves_nothing() {
    let (catalog, _dir) = filled();
    let at = time("2026-11-05T12:00:00Z");
    catalog.erase_all().unwrap();
    let evidence = crate::catalog::Evidence {
        master: VICTIM,
        recording: 0,
        sha256: [7; 32],
        size: 10,
        validator: String::from("v"),
        host: String::from("h"),
        at,
    };
    let obstacle = crate::catalog::Obstacle {
        kind: crate::catalog::ObstacleKind::Refused,
        reason: "no".into(),
        said_at: at,
        again_at: at,
        times: 1,
        scope: crate::catalog::Scope::Own,
    };
    assert!(catalog.put_evidence(&evidence).is_err() && catalog.put_obstacle(VICTIM, None, &obstacle).is_err());
    let left = |table| -> i64 {
        let count = |connection: &Connection| {
            Ok(connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
        };
        catalog.inner.db.read(count).unwrap()
    };
    assert_eq!((left("evidence"), left("obstacles")), (0, 0));
}

#[test]
fn wiping_does_not_wait_for_ever_for_another_process() {
    let (catalog, dir) = filled();
    let other = Connection::open(dir.path().join("cxonefs.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (done, outcome) = std::sync::mpsc::channel();
    let wiping = catalog.clone();
    std::thread::spawn(move || done.send(wiping.wipe()));
    let outcome = outcome.recv_timeout(std::time::Duration::from_mins(1)).expect("it ends");
    assert!(outcome.is_err(), "{outcome:?}");
    other.execute_batch("ROLLBACK").unwrap();
    catalog.wipe().unwrap();
    assert_eq!(catalog.interaction(VICTIM).unwrap().map(|known| known.master_id), Some(VICTIM), "nothing is lost");
}
