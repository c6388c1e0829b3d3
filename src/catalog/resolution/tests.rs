//! What a billed call said is kept whole, and sizes once known stay.

use super::super::testing::{catalog, record, settings, time};
use super::*;
use crate::base::{Channel, Day};

const MASTER: MasterId = MasterId(1);

fn with_interactions(count: i64) -> (Catalog, tempfile::TempDir) {
    let (catalog, dir) = catalog();
    let day: Day = "2026-11-02".parse().unwrap();
    let records: Vec<_> = (1..=count).map(|n| record(n, n, 7, "2026-11-02T15:00:00Z")).collect();
    catalog.record_day(day, &records, time("2026-11-03T12:00:00Z"), true, None).unwrap();
    (catalog, dir)
}

fn document(kind: FileKind, name: &str, bytes: &[u8]) -> (ResolvedFile, Option<Vec<u8>>) {
    (ResolvedFile { kind, name: name.into(), size: None, validator: String::new() }, Some(bytes.to_vec()))
}

fn recording(index: u8, size: Option<u64>, validator: &str) -> (ResolvedFile, Option<Vec<u8>>) {
    let name = format!("recording{index}.mp4");
    let kind = FileKind::Recording(index);
    (ResolvedFile { kind, name: name.into(), size, validator: validator.into() }, None)
}

fn resolve(catalog: &Catalog, files: Vec<(ResolvedFile, Option<Vec<u8>>)>) {
    let resolution = NewResolution { files, recheck_at: None };
    catalog.store_resolution(MASTER, &resolution, time("2026-11-03T12:00:00Z")).unwrap();
}

fn files_of(catalog: &Catalog) -> Vec<(FileKind, Option<u64>, String)> {
    match catalog.interaction(MASTER).unwrap().unwrap().resolution {
        Resolution::Unresolved => panic!("unresolved"),
        Resolution::Resolved { files, .. } => {
            files.iter().map(|file| (file.kind, file.size, file.validator.clone())).collect()
        }
    }
}

#[test]
fn a_resolution_is_stored_in_order_and_survives() {
    let (catalog, dir) = with_interactions(1);
    assert_eq!(catalog.interaction(MASTER).unwrap().unwrap().resolution, Resolution::Unresolved);
    let files = vec![
        recording(1, None, ""),
        recording(0, Some(1000), "\"etag\""),
        document(FileKind::Email(0), "email.eml", b"mail"),
        document(FileKind::Metadata, "metadata.json", b"{}\n"),
    ];
    resolve(&catalog, files);
    let expected = [
        (FileKind::Metadata, Some(3), String::new()),
        (FileKind::Email(0), Some(4), String::new()),
        (FileKind::Recording(0), Some(1000), String::from("\"etag\"")),
        (FileKind::Recording(1), None, String::new()),
    ];
    assert_eq!(files_of(&catalog), expected);
    assert_eq!(catalog.totals().unwrap(), (1, 1007));
    let before = catalog.interaction(MASTER).unwrap();
    drop(catalog);
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    assert_eq!(catalog.interaction(MASTER).unwrap(), before);
    assert_eq!(catalog.document(MASTER, FileKind::Metadata).unwrap().unwrap(), b"{}\n");
    assert_eq!(catalog.document(MASTER, FileKind::Recording(0)).unwrap(), None);
}

#[test]
fn signing_again_keeps_sizes_and_a_change_at_the_source_replaces_them() {
    let (catalog, _dir) = with_interactions(1);
    resolve(&catalog, vec![recording(0, None, "")]);
    catalog.set_recording_version(MASTER, 0, 500, "v1").unwrap();
    resolve(&catalog, vec![recording(0, None, ""), document(FileKind::Metadata, "metadata.json", b"12")]);
    assert_eq!(files_of(&catalog)[1], (FileKind::Recording(0), Some(500), String::from("v1")));
    catalog.set_recording_version(MASTER, 0, 600, "v2").unwrap();
    assert_eq!(files_of(&catalog)[1], (FileKind::Recording(0), Some(600), String::from("v2")));
    assert_eq!(catalog.totals().unwrap(), (1, 602));
    resolve(&catalog, vec![recording(0, Some(700), "v3")]);
    assert_eq!(files_of(&catalog), [(FileKind::Recording(0), Some(700), String::from("v3"))]);
    assert_eq!(catalog.document(MASTER, FileKind::Metadata).unwrap(), None);
    assert_eq!(catalog.totals().unwrap(), (1, 700));
}

#[test]
fn no_recording_may_later_turn_into_one() {
    let (catalog, _dir) = with_interactions(1);
    let recheck_at = Some(time("2026-11-03T13:00:00Z"));
    let none = NewResolution { files: Vec::new(), recheck_at };
    catalog.store_resolution(MASTER, &none, time("2026-11-03T12:00:00Z")).unwrap();
    let resolution = catalog.interaction(MASTER).unwrap().unwrap().resolution;
    assert_eq!(resolution, Resolution::Resolved { files: Arc::from([]), recheck_at });
    resolve(&catalog, vec![recording(0, Some(1), "")]);
    let resolution = catalog.interaction(MASTER).unwrap().unwrap().resolution;
    assert!(matches!(resolution, Resolution::Resolved { recheck_at: None, files } if files.len() == 1));
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let (catalog, _dir) = with_interactions(1);
    resolve(&catalog, vec![recording(0, Some(5), "")]);
    let at = time("2026-11-03T12:00:00Z");
    let none = NewResolution { files: Vec::new(), recheck_at: None };
    assert!(catalog.store_resolution(MasterId(2), &none, at).is_err());
    for files in [vec![recording(0, None, ""), recording(0, None, "")], vec![recording(240, None, "")]] {
        assert!(catalog.store_resolution(MASTER, &NewResolution { files, recheck_at: None }, at).is_err());
    }
    assert!(catalog.set_recording_version(MASTER, 1, 5, "").is_err());
    assert_eq!(files_of(&catalog), [(FileKind::Recording(0), Some(5), String::new())]);
}

#[test]
fn sizes_teach_a_rate_once_each() {
    let (catalog, _dir) = with_interactions(5);
    for n in 1..=5 {
        assert_eq!(catalog.learned_rate(Channel::Call).unwrap(), None);
        let files = vec![recording(0, None, ""), recording(1, Some(1), "")];
        let at = time("2026-11-03T12:00:00Z");
        catalog.store_resolution(MasterId(n), &NewResolution { files, recheck_at: None }, at).unwrap();
        for _ in 0..3 {
            catalog.set_recording_version(MasterId(n), 0, 60_500, "").unwrap();
        }
    }
    assert_eq!(catalog.learned_rate(Channel::Call).unwrap(), Some(1250.0));
    assert_eq!(catalog.learned_rate(Channel::Voicemail).unwrap(), None);
}
