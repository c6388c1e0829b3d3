//! Values are sealed, keys come and go, and nothing is lost or left readable.

use std::sync::Arc;

use super::super::testing::{catalog, dump, record, settings, time};
use super::super::{Catalog, FileKind, NewResolution, ResolvedFile};
use super::*;

fn keys(current: u8, previous: u8) -> Keys {
    let key = |byte: u8| (byte > 0).then(|| MasterKey::parse(&[byte; 32]).unwrap());
    Keys { current: key(current), previous: key(previous) }
}

fn vault(byte: u8) -> Vault {
    Vault::of(keys(byte, 0).current.as_ref())
}

fn sealed(vault: &Vault, place: Place, text: &str) -> Vec<u8> {
    match vault.text(place, text).unwrap() {
        Value::Blob(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// What is stored today must be readable by every later version.
#[test]
fn golden_bytes() {
    let bytes = sealed(&vault(1), Place::agent_name(Day(20_000)), "Keller_Rosa_8812345");
    let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!(hex, "015075ab9472490f108b7c18a643db90f321530f1bf546efc94ec2db94d8c358704bf7503a46c1ef9f00367deefa8b8e");
}

#[test]
fn a_value_stands_in_one_place_only() {
    let (one, place) = (vault(1), Place::record(Day(1), AgentId(2), MasterId(3), 4));
    let bytes = sealed(&one, place, "hello");
    assert_eq!(bytes, sealed(&one, place, "hello"), "equal values can be compared");
    assert_ne!(bytes, sealed(&one, Place::record(Day(1), AgentId(2), MasterId(3), 5), "hello"));
    assert_eq!(one.open_text(place, ValueRef::Blob(&bytes)).unwrap(), "hello");
    let elsewhere = Place::record(Day(1), AgentId(3), MasterId(2), 4);
    assert!(one.open(elsewhere, ValueRef::Blob(&bytes)).is_err());
    assert!(vault(2).open(place, ValueRef::Blob(&bytes)).is_err());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(one.open(place, ValueRef::Blob(&changed)).is_err(), "byte {at}");
        assert!(one.open(place, ValueRef::Blob(&bytes[..at])).is_err(), "cut at {at}");
    }
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
