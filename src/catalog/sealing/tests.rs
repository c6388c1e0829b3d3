//! Keys come and go, nothing is lost or left readable, and nothing that somebody without the key wrote is believed.

use std::sync::Arc;

use super::super::testing::{catalog, dump, record, settings, time};
use super::super::{Catalog, FileKind, NewResolution, ResolvedFile};
use super::*;

fn keys(current: u8, previous: u8) -> Keys {
    let key = |byte: u8| (byte > 0).then(|| MasterKey::parse(&[byte; 32]).unwrap());
    Keys { current: key(current), previous: key(previous) }
}

const DOCUMENT_TEXT: &[u8] = b"{\"callerNumber\": \"+14155550100\"}";

fn fill(catalog: &Catalog) -> Day {
    let start = time("2026-11-02T15:00:00Z");
    let day = Day::of(start, &settings().timezone);
    let leg = |contact, master, agent| record(contact, master, agent, "2026-11-02T15:00:00Z");
    let records = [leg(701, 701, 5), leg(702, 702, 6), leg(703, 701, 6)];
    catalog.record_day(day, &records, start, true, None).unwrap();
    // The same again changes nothing, encrypted or not.
    assert!(!catalog.record_day(day, &records, start, true, None).unwrap());
    let name = Arc::from("metadata.json");
    let file = ResolvedFile { kind: FileKind::Metadata, name, size: None, validator: String::new() };
    let resolution = NewResolution { files: vec![(file, Some(DOCUMENT_TEXT.to_vec()))], recheck_at: None };
    catalog.store_resolution(MasterId(701), &resolution, start).unwrap();
    day
}

fn everything_below(dir: &Path) -> Vec<u8> {
    let files =
        walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    files.flat_map(|entry| std::fs::read(entry.path()).unwrap()).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

const TELLTALES: [&str; 3] = ["Keller", "+14155550100", "callerNumber"];

#[test]
fn a_state_that_was_encrypted_from_the_start_reads_as_one_that_is_not() {
    let (plain, _dir) = catalog();
    let day = fill(&plain);
    let dir = tempfile::tempdir().unwrap();
    let encrypted = Catalog::open_sealed(dir.path(), settings(), &keys(1, 0)).unwrap();
    assert_eq!(fill(&encrypted), day);
    assert_eq!(dump(&encrypted, &[day]), dump(&plain, &[day]));
    assert_eq!(encrypted.document(MasterId(701), FileKind::Metadata).unwrap().unwrap(), DOCUMENT_TEXT);
    let bytes = everything_below(dir.path());
    assert!(TELLTALES.iter().all(|text| !contains(&bytes, text)));
}

#[test]
fn keys_come_and_go_and_others_are_refused_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let open = |current, previous| Catalog::open_sealed(dir.path(), settings(), &keys(current, previous));
    let first = open(0, 0).unwrap();
    let day = fill(&first);
    let seen = dump(&first, &[day]);
    drop(first);
    assert!(TELLTALES.iter().all(|text| contains(&everything_below(dir.path()), text)), "the test can fail");
    let refused = open(1, 0).err().expect("a key vouches for nothing that is in the clear");
    assert!(matches!(refused, CatalogError::Unsealed { .. }) && refused.remedy().unwrap().contains("cache encrypt"));
    assert!(Catalog::encrypt(dir.path(), &keys(1, 0)).unwrap() && !Catalog::encrypt(dir.path(), &keys(1, 0)).unwrap());
    // Turned on, opened again, rotated, turned off.
    for (current, previous) in [(1, 0), (1, 0), (2, 1), (2, 1), (0, 2)] {
        let catalog = open(current, previous).unwrap();
        assert_eq!(dump(&catalog, &[day]), seen, "{current} after {previous}");
        assert_eq!(catalog.document(MasterId(701), FileKind::Metadata).unwrap().unwrap(), DOCUMENT_TEXT);
        drop(catalog);
        let readable = TELLTALES.iter().filter(|text| contains(&everything_below(dir.path()), text)).count();
        assert_eq!(readable, if current == 0 { TELLTALES.len() } else { 0 }, "{current} after {previous}");
        if current != 0 {
            let before = std::fs::read(db::file_in(dir.path())).unwrap();
            for (other, earlier) in [(9, 0), (0, 0), (0, 9)] {
                let refused = open(other, earlier).err().expect("a wrong key opens nothing");
                assert!(matches!(refused, CatalogError::OtherKey { .. }), "{refused}");
                assert!(refused.to_string().contains("cache.encryption_key_file"), "{refused}");
            }
            assert!(std::fs::read(db::file_in(dir.path())).unwrap() == before);
        }
    }
}

/// A state that is encrypted with the key 1.
fn encrypted() -> (tempfile::TempDir, Day) {
    let dir = tempfile::tempdir().unwrap();
    let day = fill(&Catalog::open_sealed(dir.path(), settings(), &keys(1, 0)).unwrap());
    (dir, day)
}

/// What somebody does who may write to the directory and has no key.
fn tamper(dir: &Path, sql: &str) {
    let connection = Connection::open(db::file_in(dir)).unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    connection.execute_batch(sql).unwrap();
}

fn reopened(dir: &Path) -> Result<Catalog, CatalogError> {
    Catalog::open_sealed(dir, settings(), &keys(1, 0))
}

/// Whether reading everything that the tree shows fails because of a row, and never shows what was put there.
fn is_noticed(dir: &Path, day: Day) -> bool {
    let catalog = match reopened(dir) {
        Ok(catalog) => catalog,
        Err(CatalogError::Forged(_)) => return true,
        Err(other) => panic!("{other}"),
    };
    let shown = || -> Result<(), CatalogError> {
        catalog.holds()?;
        catalog.evidence(MasterId(702), 0, 10, "v")?;
        for agent in catalog.agents(day, &crate::base::Channels::ALL)? {
            for folder in catalog.interactions(day, agent.agent_id, &crate::base::Channels::ALL)? {
                catalog.contact_json(day, agent.agent_id, folder.master_id)?;
                catalog.interaction(folder.master_id)?;
                catalog.document(folder.master_id, FileKind::Metadata)?;
            }
        }
        Ok(())
    };
    match shown() {
        Ok(()) => false,
        Err(CatalogError::Forged(_) | CatalogError::Damaged(_)) => true,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn rows_in_the_clear_are_not_taken_for_ours_when_the_mark_of_the_key_is_gone() {
    let (dir, day) = encrypted();
    // No value stays that only the key's owner could have written.
    tamper(
        dir.path(),
        "DELETE FROM facts WHERE key = 'encryption.key'; DELETE FROM documents; DELETE FROM obstacles;
         UPDATE agents SET name = 'Mallory_' || agent_id; UPDATE legs SET record = '[]';",
    );
    assert!(matches!(reopened(dir.path()), Err(CatalogError::Unsealed { .. })));
    // With the mark, they fail their checksums.
    let id = keys(1, 0).current.unwrap().id();
    tamper(dir.path(), &format!("INSERT INTO facts(key, value) VALUES('encryption.key', '2 {id}')"));
    assert!(is_noticed(dir.path(), day));
}

#[test]
fn the_first_formats_rows_are_taken_over_by_command_only() {
    let (dir, day) = encrypted();
    let id = keys(1, 0).current.unwrap().id();
    tamper(dir.path(), &format!("UPDATE facts SET value = '{id}' WHERE key = 'encryption.key'"));
    assert!(matches!(reopened(dir.path()), Err(CatalogError::Unsealed { .. })));
    assert!(Catalog::open_existing(dir.path(), &keys(1, 0)).is_err());
    // These are of the second format, and so belong to neither.
    assert!(Catalog::encrypt(dir.path(), &keys(1, 0)).is_err());
    tamper(dir.path(), &format!("UPDATE facts SET value = '2 {id}' WHERE key = 'encryption.key'"));
    assert!(!is_noticed(dir.path(), day), "the mark was put back as it was");
}

#[test]
fn no_row_can_be_changed_without_the_key() {
    let (made, day) = encrypted();
    add_more(made.path());
    assert!(!is_noticed(made.path(), day), "nothing was changed yet");
    // Closed, so that all of it is in this file.
    let file = db::file_in(made.path());
    for sql in [
        // Names of two agents exchanged, by value and by row.
        "CREATE TEMP TABLE kept AS SELECT agent_id, name FROM agents; UPDATE agents SET name = agent_id;
         UPDATE agents SET name = (SELECT k.name FROM kept k WHERE k.agent_id = 11 - agents.agent_id)",
        "UPDATE agents SET agent_id = 99 WHERE agent_id = 5",
        // Whose a call is, when it was, how large, what it is called, which number it has.
        "UPDATE folders SET agent_id = 5 WHERE master_id = 702",
        "UPDATE folders SET agent_id = 5 WHERE master_id = 702; UPDATE legs SET agent_id = 5 WHERE master_id = 702",
        "UPDATE folders SET contact_size = contact_size + 1",
        "UPDATE folders SET ino = ino + 256 WHERE agent_id = 5",
        "UPDATE agent_channels SET channel = 5",
        "UPDATE legs SET start = start - 1",
        "UPDATE legs SET shape = shape + 1; UPDATE shapes SET id = id + 1",
        "UPDATE shapes SET keys = replace(keys, 'contactId', 'agentId')",
        "UPDATE interactions SET ino_base = ino_base + 256 WHERE master_id = 701",
        "UPDATE interactions SET resolved_at = 1, recheck_at = NULL WHERE master_id = 702",
        "UPDATE interactions SET recheck_at = 1 WHERE master_id = 701",
        "UPDATE files SET size = size + 1",
        "UPDATE files SET name = 'x.json'",
        "INSERT INTO files(master_id, kind, name, size, validator) VALUES(701, 16, 'y.mp4', 5, '')",
        "UPDATE obstacles SET again_at = again_at + 1000000",
        "UPDATE obstacles SET kind = 'failed'",
        "UPDATE days SET closed = 0",
        "UPDATE ledger SET at = 0",
        "DELETE FROM ledger; INSERT INTO ledger(at, master_id, reason, uid, pid, comm) VALUES(1, 2, 'open', 0, 0, 'x')",
        "UPDATE facts SET value = 'Europe/Berlin' WHERE key = 'index.timezone'",
        "INSERT INTO documents(master_id, kind, bytes) SELECT 702, kind, bytes FROM documents",
        // Controls: a hold, a mark of an erased contact, a hash, the ends of the audit log; changed, made up, and gone.
        "UPDATE holds SET uid = 7",
        "UPDATE holds SET master_id = 701",
        "INSERT INTO holds(master_id, reason, at, uid) SELECT 701, reason, at, uid FROM holds",
        "DELETE FROM holds",
        "DELETE FROM holds; DELETE FROM seals WHERE name = 'holds'",
        "DELETE FROM holds; UPDATE seals SET mac = (SELECT mac FROM seals WHERE name = 'facts') WHERE name = 'holds'",
        "DELETE FROM erased WHERE mark = (SELECT min(mark) FROM erased)",
        "UPDATE erased SET mark = randomblob(16) WHERE mark = (SELECT min(mark) FROM erased)",
        "UPDATE erased SET at = 0",
        "DELETE FROM erasure_keys",
        "DELETE FROM erasure_keys; DELETE FROM erased; DELETE FROM seals",
        "UPDATE evidence SET sha256 = zeroblob(32)",
        "UPDATE evidence SET at = 0, host = 'elsewhere'",
        "UPDATE audit_chain SET head_number = head_number - 1",
        "UPDATE audit_chain SET start_number = 1, start_hash = head_hash",
        "DELETE FROM audit_chain",
        "DELETE FROM facts WHERE key = 'index.timezone'",
        // A checksum of another row.
        "UPDATE folders SET mac = (SELECT max(mac) FROM folders)",
        // What would change rows in our name.
        "CREATE TRIGGER mallory AFTER INSERT ON ledger BEGIN UPDATE folders SET agent_id = 6; END",
        "CREATE VIEW mallory AS SELECT row_mac('files', 1, 2)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(&file, db::file_in(dir.path())).unwrap();
        tamper(dir.path(), sql);
        assert!(is_noticed(dir.path(), day), "{sql}");
    }
}

fn add_more(dir: &Path) {
    use crate::net::Priority;
    let catalog = reopened(dir).unwrap();
    let at = time("2026-11-02T16:00:00Z");
    let obstacle = crate::catalog::Obstacle {
        kind: crate::catalog::ObstacleKind::Refused,
        reason: "no".into(),
        said_at: at,
        again_at: at,
        times: 1,
        scope: crate::catalog::Scope::Own,
    };
    catalog.put_obstacle(MasterId(702), None, &obstacle).unwrap();
    let entry = crate::catalog::LedgerEntry {
        at,
        master_id: MasterId(701),
        reason: Priority::Open,
        uid: 1,
        pid: 2,
        comm: String::from("cat"),
    };
    catalog.ledger_begin(&entry).unwrap();
    catalog.erase(&[MasterId(709), MasterId(710)], at).unwrap();
    catalog.note_audit_head((7, [7; 32])).unwrap();
    let hold = crate::catalog::Hold { master: MasterId(702), reason: "complaint".into(), at, uid: 0 };
    catalog.add_hold(&hold).unwrap();
    let evidence = crate::catalog::Evidence {
        master: MasterId(702),
        recording: 0,
        sha256: [1; 32],
        size: 10,
        validator: "v".into(),
        host: "here".into(),
        at,
    };
    catalog.put_evidence(&evidence).unwrap();
}

#[test]
fn controls_change_and_stay_genuine() {
    let (dir, day) = encrypted();
    add_more(dir.path());
    let catalog = reopened(dir.path()).unwrap();
    assert!(catalog.remove_hold(MasterId(702)).unwrap());
    catalog.erase(&[MasterId(702)], time("2026-11-02T16:00:00Z")).unwrap();
    catalog.wipe().unwrap();
    catalog.note_audit_head((8, [8; 32])).unwrap();
    catalog.note_audit_start((2, [2; 32])).unwrap();
    drop(catalog);
    assert!(!is_noticed(dir.path(), day));
    let catalog = Catalog::open_sealed(dir.path(), settings(), &keys(2, 1)).unwrap();
    assert!(catalog.erased_at(702).is_some() && catalog.erased_at(709).is_some() && catalog.erased_at(701).is_none());
    assert_eq!(catalog.audit_chain().unwrap().unwrap().head, (8, [8; 32]));
}

#[test]
fn the_ends_of_the_audit_log_outlive_a_key_that_comes_before_anything_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    Catalog::open(dir.path(), settings()).unwrap().note_audit_head((7, [7; 32])).unwrap();
    for _ in 0..2 {
        assert_eq!(reopened(dir.path()).unwrap().audit_chain().unwrap().unwrap().head, (7, [7; 32]));
    }
}

#[test]
fn a_row_that_is_not_genuine_is_not_made_genuine_by_writing_to_it() {
    let (dir, day) = encrypted();
    tamper(dir.path(), "UPDATE interactions SET ino_base = ino_base + 256");
    let catalog = reopened(dir.path()).unwrap();
    let start = time("2026-11-02T15:00:00Z");
    let later = record(709, 701, 5, "2026-11-02T15:30:00Z");
    assert!(matches!(catalog.record_day(day, &[later], start, true, None), Err(CatalogError::Forged(_))));
    drop(catalog);
    assert!(is_noticed(dir.path(), day));
    // Neither by another key.
    let replaced = Catalog::open_sealed(dir.path(), settings(), &keys(2, 1));
    assert!(matches!(replaced, Err(CatalogError::Forged(_))));
}

#[test]
fn a_change_of_keys_that_was_interrupted_leaves_nothing_readable_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let day = fill(&Catalog::open(dir.path(), settings()).unwrap());
    let seen = dump(&Catalog::open(dir.path(), settings()).unwrap(), &[day]);
    // Killed after the transaction, before the file was written anew, and while it was.
    for while_rewriting in [false, true] {
        let killed = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, killed.path().join(path.file_name().unwrap())).unwrap();
        }
        let db = Db::open_unguarded(killed.path()).unwrap();
        reseal(&db, &Protection::Plain, keys(1, 0).current.as_ref()).unwrap();
        let after = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(killed.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, after.path().join(path.file_name().unwrap())).unwrap();
        }
        drop(db);
        if while_rewriting {
            std::fs::copy(db::file_in(dir.path()), after.path().join("cxonefs.db.rewritten")).unwrap();
        }
        let readable = || TELLTALES.iter().filter(|text| contains(&everything_below(after.path()), text)).count();
        assert!(readable() > 0, "the test can fail");
        let catalog = reopened(after.path()).unwrap();
        assert_eq!(readable(), 0);
        assert_eq!(dump(&catalog, &[day]), seen);
        assert_eq!(catalog.fact(PENDING_FACT).unwrap(), None);
    }
}

#[test]
fn what_is_saved_from_a_damaged_state_is_what_the_key_vouches_for() {
    let (dir, _) = encrypted();
    add_more(dir.path());
    tamper(
        dir.path(),
        "INSERT INTO ledger(at, master_id, reason, uid, pid, comm) VALUES(1, 2, 'open', 0, 0, 'mallory');
         UPDATE files SET name = 'mallory.json'; DROP TABLE rates;",
    );
    // The root page of a table that is not saved.
    let path = db::file_in(dir.path());
    let (page, size): (i64, i64) = {
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let page = "SELECT rootpage FROM sqlite_schema WHERE name = 'days'";
        (
            connection.query_row(page, [], |row| row.get(0)).unwrap(),
            connection.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap(),
        )
    };
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[((page - 1) * size) as usize..(page * size) as usize].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(dir.path().join("cxonefs.db.suspect"), "").unwrap();
    let catalog = reopened(dir.path()).unwrap();
    let mut rows = Vec::new();
    catalog.ledger_rows(jiff::Timestamp::MIN, |row| rows.push(row.comm)).unwrap();
    assert_eq!(rows, ["cat"]);
    drop(catalog);
    assert!(reopened(dir.path()).is_ok(), "what was saved is vouched for");
}

#[test]
fn a_directory_in_which_nothing_was_listed_yet_takes_a_key_and_none_of_its_facts() {
    let dir = tempfile::tempdir().unwrap();
    Catalog::open(dir.path(), settings()).unwrap().set_fact("tenant", "mallory").unwrap();
    let catalog = reopened(dir.path()).unwrap();
    assert_eq!(catalog.fact("tenant").unwrap(), None);
    let day = fill(&catalog);
    drop(catalog);
    assert!(!is_noticed(dir.path(), day));
}

/// How long listings take with checksums and without; prints it.
#[test]
#[ignore = "measures"]
fn a_listing_of_fifty_thousand() {
    let mut took = Vec::new();
    for keys in [keys(0, 0), keys(1, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open_sealed(dir.path(), settings(), &keys).unwrap();
        let start = time("2026-11-02T15:00:00Z");
        let day = Day::of(start, &settings().timezone);
        let records: Vec<_> = (0..50_000)
            .map(|number| record(701_000_000 + number, 701_000_000 + number, 5 + number % 50, "2026-11-02T15:00:00Z"))
            .collect();
        let begun = std::time::Instant::now();
        catalog.record_day(day, &records, start, true, None).unwrap();
        let recorded = begun.elapsed();
        let mut best = [std::time::Duration::MAX; 2];
        for round in 0..14 {
            if round % 2 == 0 {
                catalog.inner.checked.0.write().clear();
            }
            let begun = std::time::Instant::now();
            let mut folders = 0;
            for agent in catalog.agents(day, &crate::base::Channels::ALL).unwrap() {
                folders += catalog.interactions(day, agent.agent_id, &crate::base::Channels::ALL).unwrap().len();
            }
            assert_eq!(folders, 50_000);
            best[round % 2] = best[round % 2].min(begun.elapsed());
        }
        took.push((recorded, best));
    }
    eprintln!("recording and listing, first and again, in the clear and with checksums: {took:?}");
}
