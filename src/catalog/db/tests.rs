//! The file on disk: whose it is, who holds it, what becomes of a damaged one.

use std::os::unix::fs::PermissionsExt;

use super::super::kind::FileKind;
use super::super::model::{NewResolution, Resolution, ResolvedFile};
use super::super::testing::{ALL, catalog, record, settings, time};
use super::super::{Catalog, LedgerEntry};
use super::*;
use crate::base::{AgentId, Day, MasterId};
use crate::net::Priority;

fn aside(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_aside = |path: &PathBuf| {
        let name = path.to_str().unwrap();
        name.contains("cxonefs.db.damaged-") && name.ends_with('Z')
    };
    let mut aside: Vec<_> = entries.filter(is_aside).collect();
    aside.sort();
    aside
}

fn day() -> Day {
    "2026-11-02".parse().unwrap()
}

/// A day of 300 interactions, one of them resolved, and two rows in the ledger.
fn filled() -> tempfile::TempDir {
    let (catalog, dir) = catalog();
    let records: Vec<_> = (1..=300).map(|n| record(n, n, 7, "2026-11-02T15:00:00Z")).collect();
    let at = time("2026-11-03T12:00:00Z");
    catalog.record_day(day(), &records, at, true, None).unwrap();
    let file =
        ResolvedFile { kind: FileKind::Metadata, name: "metadata.json".into(), size: None, validator: String::new() };
    let resolution = NewResolution { files: vec![(file, Some(b"{}\n".to_vec()))], recheck_at: None };
    catalog.store_resolution(MasterId(5), &resolution, at).unwrap();
    for master in [5, 6] {
        let master_id = MasterId(master);
        let entry = LedgerEntry { at, master_id, reason: Priority::Open, uid: 1, pid: 2, comm: String::from("cat") };
        catalog.ledger_begin(&entry).unwrap();
    }
    catalog.set_fact("learned", "120").unwrap();
    dir
}

fn corrupt(path: &Path, from: usize, to: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let to = to.min(bytes.len());
    bytes[from..to].fill(0xa5);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn every_file_is_private_and_a_second_daemon_is_refused() {
    let (catalog, dir) = catalog();
    catalog.set_fact("a", "b").unwrap();
    assert_eq!(catalog.fact("a").unwrap().as_deref(), Some("b"));
    let mut seen = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        seen += 1;
    }
    assert_eq!(seen, 4, "database, -wal, -shm, lock");
    let error = Catalog::open(dir.path(), settings()).err().unwrap();
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    let clone = catalog.clone();
    drop(catalog);
    assert!(matches!(Catalog::open(dir.path(), settings()), Err(CatalogError::InUse { .. })));
    drop(clone);
    Catalog::open(dir.path(), settings()).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_moved_aside() {
    for text in ["this is a letter to my mother, and not a database".repeat(100), String::from("short")] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(file_in(dir.path()), &text).unwrap();
        let catalog = Catalog::open(dir.path(), settings()).unwrap();
        assert_eq!(catalog.totals().unwrap(), (0, 0));
        let aside = aside(dir.path());
        assert_eq!(std::fs::read_to_string(&aside[0]).unwrap(), text);
    }
}

#[test]
fn another_programs_database_is_moved_aside_whole() {
    let dir = tempfile::tempdir().unwrap();
    let other = Connection::open(file_in(dir.path())).unwrap();
    other.execute_batch("CREATE TABLE ledger(x); INSERT INTO ledger VALUES(7)").unwrap();
    drop(other);
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    assert_eq!(catalog.ledger_count(jiff::Timestamp::MIN).unwrap(), 0);
    let kept = Connection::open(&aside(dir.path())[0]).unwrap();
    assert_eq!(kept.query_row("SELECT x FROM ledger", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let dir = filled();
    let connection = Connection::open(file_in(dir.path())).unwrap();
    connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(connection);
    let error = Catalog::open(dir.path(), settings()).err().unwrap();
    assert!(matches!(error, CatalogError::Newer { .. }), "{error}");
    assert!(aside(dir.path()).is_empty());
}

#[test]
fn damage_found_in_use_is_salvaged_at_the_next_opening() {
    let dir = filled();
    let path = file_in(dir.path());
    // The pages of the folders, found by their contents; the schema and the rest stay sound.
    let bytes = std::fs::read(&path).unwrap();
    let needle = b"_call_in_150";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap() / 4096 * 4096;
    corrupt(&path, at, at + 4096);
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    let error = catalog.interactions(day(), AgentId(7), &ALL).unwrap_err();
    assert!(error.is_damage(), "{error:?}");
    drop(catalog);

    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    assert_eq!(aside(dir.path()).len(), 1);
    assert!(!statedir::with_suffix(&path, SUSPECT_SUFFIX).exists());
    assert_eq!(catalog.ledger_count(jiff::Timestamp::MIN).unwrap(), 2);
    assert_eq!(catalog.fact("learned").unwrap().as_deref(), Some("120"));
    assert_eq!(catalog.day(day()).unwrap(), None);
    let interaction = catalog.interaction(MasterId(5)).unwrap().unwrap();
    assert_eq!(interaction.places, 0);
    assert!(matches!(interaction.resolution, Resolution::Resolved { .. }));
    assert_eq!(catalog.document(MasterId(5), FileKind::Metadata).unwrap().unwrap(), b"{}\n");
    assert_eq!(catalog.totals().unwrap(), (300, 3));
    // And it goes on from there.
    catalog
        .record_day(day(), &[record(5, 5, 7, "2026-11-02T15:00:00Z")], time("2026-11-03T12:00:00Z"), true, None)
        .unwrap();
    assert_eq!(catalog.interaction(MasterId(5)).unwrap().unwrap().places, 1);
}

/// A database that nobody has opened since an earlier version, damaged: what was paid for is there all the same.
#[test]
fn a_damaged_database_of_every_version_is_salvaged() {
    const { assert!(schema::VERSION > 1, "this is about versions before") };
    (1..=schema::VERSION).for_each(salvaged_from);
}

fn salvaged_from(version: i64) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = file_in(dir.path());
    let old = Connection::open(&path).unwrap();
    schema::at_version(&old, version);
    old.execute_batch("INSERT INTO shapes(id, keys) VALUES(1, '[]')").unwrap();
    let junk = "x".repeat(300);
    old.execute_batch("BEGIN").unwrap();
    for n in 1..=300 {
        old.execute_batch(&format!(
            "INSERT INTO ledger(id, at, master_id, reason, uid, pid, comm, outcome) VALUES({n}, {n}, {n}, 'open', 0, 1, 'cat', '200');
             INSERT INTO interactions(master_id, ino_base, channel, mtime, first_start, last_end, places, resolved_at)
                VALUES({n}, {n} << 8, 4, {n}, {n}, {n}, 1, {n});
             INSERT INTO files(master_id, kind, name, size, validator)
                VALUES({n}, 1, 'metadata.json', 3, ''), ({n}, 16, 'recording.mp4', 7, 'v');
             INSERT INTO documents VALUES({n}, {n}, 1, x'7B7D0A');
             INSERT INTO legs(id, day, agent_id, master_id, contact_id, start, shape, record, json_size)
                VALUES({n}, 20000, 7, {n}, {n}, {n}, 1, 'leg-{n} {junk}', 5);"
        ))
        .unwrap();
    }
    old.execute_batch(
        "INSERT INTO facts(key, value) VALUES('learned', '120'); INSERT INTO rates VALUES(4, 1, 2.0, 4.0); COMMIT",
    )
    .unwrap();
    drop(old);
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|window| window == b"leg-150").unwrap() / 4096 * 4096;
    corrupt(&path, at, at + 4096);
    std::fs::write(statedir::with_suffix(&path, SUSPECT_SUFFIX), "").unwrap();

    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    assert_eq!(aside(dir.path()).len(), 1, "version {version}");
    assert_eq!(catalog.ledger_count(jiff::Timestamp::MIN).unwrap(), 300, "version {version}");
    assert_eq!(catalog.fact("learned").unwrap().as_deref(), Some("120"));
    for n in [1, 150, 300] {
        let interaction = catalog.interaction(MasterId(n)).unwrap().unwrap();
        assert_eq!((interaction.ino_base, interaction.places), ((n as u64) << 8, 0));
        let Resolution::Resolved { files, .. } = interaction.resolution else { panic!("{n} is not resolved") };
        assert_eq!(files.len(), 2);
        assert_eq!(catalog.document(MasterId(n), FileKind::Metadata).unwrap().unwrap(), b"{}\n");
    }
    drop(catalog);
    Catalog::open(dir.path(), settings()).unwrap();
}

/// Of each resolution all or nothing, or it would be shown without its files for ever.
#[test]
fn what_is_salvaged_of_a_resolution_is_all_of_it() {
    // A page of the files, and one of the documents.
    for needle in ["validator-150", "document-150"] {
        let (catalog, dir) = catalog();
        let records: Vec<_> = (1..=300).map(|n| record(n, n, 7, "2026-11-02T15:00:00Z")).collect();
        let at = time("2026-11-03T12:00:00Z");
        catalog.record_day(day(), &records, at, true, None).unwrap();
        for n in 1..=300 {
            let (name, validator) = ("metadata.json".into(), format!("validator-{n}"));
            let file = ResolvedFile { kind: FileKind::Metadata, name, size: None, validator };
            let document = format!("document-{n} {}", "x".repeat(200)).into_bytes();
            let resolution = NewResolution { files: vec![(file, Some(document))], recheck_at: None };
            catalog.store_resolution(MasterId(n), &resolution, at).unwrap();
        }
        drop(catalog);
        let path = file_in(dir.path());
        let bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap() / 4096 * 4096;
        corrupt(&path, at, at + 4096);
        std::fs::write(statedir::with_suffix(&path, SUSPECT_SUFFIX), "").unwrap();
        let catalog = Catalog::open(dir.path(), settings()).unwrap();
        let mut kept = 0;
        for n in 1..=300 {
            let Some(interaction) = catalog.interaction(MasterId(n)).unwrap() else { continue };
            let Resolution::Resolved { files, .. } = &interaction.resolution else { continue };
            kept += 1;
            assert_eq!(files.len(), 1, "{needle}: {n}");
            let document = catalog.document(MasterId(n), FileKind::Metadata).unwrap();
            assert!(document.is_some_and(|bytes| bytes.starts_with(b"document-")), "{needle}: {n}");
        }
        assert!((10..300).contains(&kept), "{needle}: {kept}");
    }
}

#[test]
fn a_false_alarm_costs_nothing() {
    let dir = filled();
    let suspect = statedir::with_suffix(&file_in(dir.path()), SUSPECT_SUFFIX);
    std::fs::write(&suspect, "").unwrap();
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    assert!(!suspect.exists() && aside(dir.path()).is_empty());
    assert_eq!(catalog.totals().unwrap(), (300, 3));
}

#[test]
fn a_destroyed_header_is_moved_aside() {
    let dir = filled();
    corrupt(&file_in(dir.path()), 0, 4096);
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    assert_eq!(catalog.totals().unwrap(), (0, 0));
    assert_eq!(aside(dir.path()).len(), 1);
}

#[test]
fn a_link_in_place_of_the_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, "precious").unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::symlink(&elsewhere, file_in(&state)).unwrap();
    assert!(matches!(Catalog::open(&state, settings()), Err(CatalogError::Io { .. })));
    assert_eq!(std::fs::read_to_string(elsewhere).unwrap(), "precious");
}

#[test]
fn a_failed_write_leaves_nothing_and_a_failed_reader_gives_its_place_back() {
    let (catalog, _dir) = catalog();
    let failed: Result<(), _> = catalog.inner.db.write(|transaction| {
        super::super::facts::set(transaction, "a", "b")?;
        Err(CatalogError::Refused("changed my mind"))
    });
    assert!(failed.is_err());
    for _ in 0..3 * MAX_READERS {
        let failed: Result<(), _> = catalog.inner.db.read(|_| Err(CatalogError::Refused("no")));
        assert!(failed.is_err());
    }
    assert_eq!(catalog.fact("a").unwrap(), None);
    // Readers cannot write.
    let written = catalog.inner.db.read(|connection| Ok(connection.execute("DELETE FROM days", [])?));
    assert!(written.is_err());
}
