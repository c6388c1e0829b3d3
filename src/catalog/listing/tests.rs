//! Folders are read by index, in order of name, and nothing is left out.

use super::super::testing::{catalog, record, settings, time};
use super::super::{days, facts, ledger, overnight, rates, record as recorder, resolution};
use super::*;

/// Statements whose plan must be a search by index, without sorting.
const SEARCHES: [&str; 22] = [
    overnight::KNOWN,
    days::ONE,
    days::OPEN,
    facts::GET,
    ledger::TIMES,
    ledger::COUNT,
    ledger::ROWS,
    rates::GET,
    recorder::FOLDER_SUM,
    recorder::FOLDER_UPDATE,
    recorder::INTERACTION_UPDATE,
    recorder::AGENT_UPDATE,
    resolution::ONE,
    resolution::FILES,
    resolution::DOCUMENT,
    resolution::SPAN,
    resolution::RESOLVE,
    resolution::FILES_CLEAR,
    resolution::DOCUMENTS_CLEAR,
    resolution::SIZE,
    resolution::SIZE_SET,
    TOTALS,
];

fn plan(catalog: &Catalog, sql: &str) -> String {
    let plan: Result<Vec<String>, CatalogError> = catalog.inner.db.read(|connection| {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
        let lines = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))?;
        Ok(lines.collect::<Result<_, _>>()?)
    });
    plan.unwrap().join("; ")
}

#[test]
fn no_statement_scans_a_table() {
    let (catalog, _dir) = catalog();
    for sql in ALL.iter().chain(&SEARCHES) {
        let plan = plan(&catalog, sql);
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{sql}\n{plan}");
        // Legs are few; everything else comes out of its index in order.
        assert!(*sql == LEGS || !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
    let plan = plan(&catalog, "SELECT * FROM folders WHERE channel = 4");
    assert!(plan.contains("SCAN"), "the test can fail: {plan}");
}

#[test]
fn unknown_things_are_none() {
    let (catalog, _dir) = catalog();
    let day = Day(20_000);
    assert_eq!(catalog.agents(day, &Channels::ALL).unwrap(), []);
    assert_eq!(catalog.interactions(day, AgentId(1), &Channels::ALL).unwrap(), []);
    assert_eq!(catalog.agent_by_name(day, "x").unwrap(), None);
    assert_eq!(catalog.interaction_folder_by_name(day, AgentId(1), "x").unwrap(), None);
    assert_eq!(catalog.contact_json(day, AgentId(1), MasterId(1)).unwrap(), None);
    assert_eq!(catalog.interaction(MasterId(1)).unwrap(), None);
}

#[test]
fn readers_go_on_while_a_day_is_written_and_many_share_the_pool() {
    let (catalog, _dir) = catalog();
    let day: Day = "2026-11-02".parse().unwrap();
    let records: Vec<_> = (1..500).map(|n| record(n, n, 7, "2026-11-02T15:00:00Z")).collect();
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                for _ in 0..50 {
                    // Never a half day, once it is known: it is stored in pieces before.
                    let is_known = catalog.day(day).unwrap().is_some();
                    let count = catalog.interactions(day, AgentId(7), &Channels::ALL).unwrap().len();
                    assert!(!is_known || count == 499, "{count}");
                }
            });
        }
        catalog.record_day(day, &records, time("2026-11-03T12:00:00Z"), false, None).unwrap();
    });
}

#[test]
fn another_zone_lists_anew_and_keeps_what_was_paid_for() {
    let (catalog, dir) = catalog();
    let day: Day = "2026-11-02".parse().unwrap();
    let records = [record(1, 1, 7, "2026-11-02T15:00:00Z")];
    catalog.record_day(day, &records, time("2026-11-03T12:00:00Z"), true, None).unwrap();
    let resolution = super::super::NewResolution { files: Vec::new(), recheck_at: None };
    catalog.store_resolution(MasterId(1), &resolution, time("2026-11-03T12:00:00Z")).unwrap();
    let ino = catalog.interaction(MasterId(1)).unwrap().unwrap().ino_base;
    drop(catalog);
    let berlin = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let catalog = Catalog::open(dir.path(), super::super::CatalogSettings { timezone: berlin }).unwrap();
    assert_eq!(catalog.day(day).unwrap(), None);
    let interaction = catalog.interaction(MasterId(1)).unwrap().unwrap();
    assert_eq!((interaction.places, interaction.ino_base), (0, ino));
    assert!(matches!(interaction.resolution, super::super::Resolution::Resolved { .. }));
    catalog.record_day(day, &records, time("2026-11-03T12:00:00Z"), true, None).unwrap();
    assert_eq!(&*catalog.interactions(day, AgentId(7), &Channels::ALL).unwrap()[0].name, "160000_call_in_1");
    drop(catalog);
    drop(Catalog::open(dir.path(), settings()).unwrap());
}
