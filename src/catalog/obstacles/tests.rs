//! What was refused is known after a restart, per interaction and per file.

use super::super::testing::{catalog, record, settings, time};
use super::*;
use crate::base::Day;
use crate::catalog::{NewResolution, Obstacles, ResolvedFile};

const MASTER: MasterId = MasterId(1);

fn obstacle(kind: ObstacleKind, scope: Scope) -> Obstacle {
    Obstacle {
        kind,
        reason: "Playback is locked for this interaction".into(),
        said_at: time("2026-11-03T12:00:00Z"),
        again_at: time("2026-11-04T12:00:00Z"),
        times: 2,
        scope,
    }
}

fn filled() -> (Catalog, tempfile::TempDir) {
    let (catalog, dir) = catalog();
    let day: Day = "2026-11-02".parse().unwrap();
    let records: Vec<_> = (1..=3).map(|n| record(n, n, 7, "2026-11-02T15:00:00Z")).collect();
    catalog.record_day(day, &records, time("2026-11-03T12:00:00Z"), true, None).unwrap();
    (catalog, dir)
}

fn obstacles(catalog: &Catalog, master: i64) -> Obstacles {
    catalog.interaction(MasterId(master)).unwrap().unwrap().obstacles
}

fn resolution() -> NewResolution {
    let file = |kind, name: &str| ResolvedFile { kind, name: name.into(), size: None, validator: String::new() };
    let files = vec![
        (file(FileKind::Metadata, "metadata.json"), Some(b"{}".to_vec())),
        (file(FileKind::Recording(0), "recording.mp4"), None),
        (file(FileKind::Recording(1), "recording_2.mp4"), None),
    ];
    NewResolution { files, recheck_at: None }
}

#[test]
fn an_obstacle_survives_and_goes_when_playback_answers() {
    let (catalog, dir) = filled();
    assert_eq!(obstacles(&catalog, 1), Obstacles::default());
    let failed = obstacle(ObstacleKind::Failed, Scope::Own);
    catalog.put_obstacle(MASTER, None, &obstacle(ObstacleKind::Denied, Scope::Shared)).unwrap();
    catalog.put_obstacle(MASTER, None, &failed).unwrap();
    drop(catalog);
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    assert_eq!(obstacles(&catalog, 1).playback.as_deref(), Some(&failed));
    assert_eq!(obstacles(&catalog, 2), Obstacles::default());
    catalog.store_resolution(MASTER, &resolution(), time("2026-11-03T12:00:00Z")).unwrap();
    assert_eq!(obstacles(&catalog, 1), Obstacles::default());
}

#[test]
fn a_file_has_its_own() {
    let (catalog, _dir) = filled();
    catalog.store_resolution(MASTER, &resolution(), time("2026-11-03T12:00:00Z")).unwrap();
    let archived = obstacle(ObstacleKind::Archived, Scope::Own);
    catalog.put_obstacle(MASTER, Some(FileKind::Recording(1)), &archived).unwrap();
    let found = obstacles(&catalog, 1);
    assert_eq!((found.of_file(FileKind::Recording(1)), &found.playback), (Some(&archived), &None));
    assert_eq!(found.of_file(FileKind::Recording(0)), None);
    // Signing again does not take it out of the archive.
    catalog.store_resolution(MASTER, &resolution(), time("2026-11-03T13:00:00Z")).unwrap();
    assert_eq!(obstacles(&catalog, 1).of_file(FileKind::Recording(1)), Some(&archived));
    catalog.clear_obstacle(MASTER, Some(FileKind::Recording(1))).unwrap();
    assert_eq!(obstacles(&catalog, 1), Obstacles::default());
}

#[test]
fn they_are_counted_settled_and_forgotten_by_scope_or_interaction() {
    let (catalog, _dir) = filled();
    let shared = obstacle(ObstacleKind::Denied, Scope::Shared);
    for (master, obstacle) in [(1, &shared), (2, &shared), (3, &obstacle(ObstacleKind::Restoring, Scope::Own))] {
        catalog.put_obstacle(MasterId(master), None, obstacle).unwrap();
    }
    let now = time("2026-11-03T12:00:01Z");
    assert_eq!(catalog.obstacle_counts(now).unwrap(), [2, 0, 1, 0, 0, 0]);
    assert_eq!(catalog.obstacle_counts(time("2026-11-04T12:00:00Z")).unwrap(), [0; 6]);
    assert_eq!(catalog.clear_obstacles_of(&[MasterId(2), MasterId(9)]).unwrap(), 1);
    catalog.settle_obstacles().unwrap();
    assert_eq!(catalog.clear_obstacles_in(Scope::Shared).unwrap(), 0);
    assert_eq!(catalog.clear_obstacles_in(Scope::Settled).unwrap(), 1);
    assert_eq!(catalog.obstacle_counts(now).unwrap(), [0, 0, 1, 0, 0, 0]);
    assert_eq!(catalog.clear_obstacles().unwrap(), 1);
}
