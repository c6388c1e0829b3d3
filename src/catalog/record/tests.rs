//! Writing days: published names stay, repetitions change nothing, a large day is quick.

use proptest::prelude::*;
use serde_json::Value;

use super::super::testing::{ALL, calls_beside, catalog, dump, narrowed, record, settings, time};
use super::*;
use crate::base::Channels;

fn day() -> Day {
    "2026-11-02".parse().unwrap()
}

fn store(catalog: &Catalog, day: Day, records: &[ContactRecord]) -> bool {
    catalog.record_day(day, records, time("2026-11-03T12:00:00Z"), false, None).unwrap()
}

#[test]
fn a_day_is_published() {
    let (catalog, _dir) = catalog();
    let mut leg = record(701, 700, 8_812_345, "2026-11-02T13:59:31.443Z");
    leg.last_update = Some(time("2026-11-02T14:06:02.010Z"));
    assert!(store(&catalog, day(), &[leg.clone()]));
    let agents = catalog.agents(day(), &ALL).unwrap();
    assert_eq!(&*agents[0].name, "Keller_Rosa_8812345");
    assert_eq!(agents[0].mtime, leg.last_update.unwrap());
    let folders = catalog.interactions(day(), agents[0].agent_id, &ALL).unwrap();
    assert_eq!(&*folders[0].name, "085931_call_in_700");
    assert_eq!(folders[0].contact_mtime, leg.last_update.unwrap());
    let interaction = catalog.interaction(MasterId(700)).unwrap().unwrap();
    assert_eq!((interaction.mtime, interaction.places), (leg.start, 1));
    assert!((interaction.duration_s - 60.5).abs() < 1e-6);
    let json = catalog.contact_json(day(), agents[0].agent_id, MasterId(700)).unwrap().unwrap();
    let expected = serde_json::to_string_pretty(&[leg.json.map()]).unwrap() + "\n";
    assert_eq!(String::from_utf8(json).unwrap(), expected);
    assert_eq!(catalog.totals().unwrap(), (1, 0));
    assert_eq!(catalog.open_days(day()).unwrap(), [day()]);
}

#[test]
fn an_empty_day_is_known() {
    let (catalog, _dir) = catalog();
    assert_eq!(catalog.day(day()).unwrap(), None);
    assert!(store(&catalog, day(), &[]));
    assert!(!store(&catalog, day(), &[]));
    assert!(catalog.day(day()).unwrap().is_some());
}

#[test]
fn a_closed_day_stays_closed_and_a_poll_time_is_kept() {
    let (catalog, _dir) = catalog();
    let poll = time("2026-11-03T00:00:00Z");
    catalog.record_day(day(), &[], time("2026-11-03T12:00:00Z"), true, Some(poll)).unwrap();
    catalog.record_day(day(), &[], time("2026-11-04T12:00:00Z"), false, None).unwrap();
    let state = catalog.day(day()).unwrap().unwrap();
    assert!(state.closed);
    assert_eq!((state.last_poll, state.indexed_at), (Some(poll), time("2026-11-04T12:00:00Z")));
    assert!(catalog.open_days(day()).unwrap().is_empty());
}

#[test]
fn what_was_published_stays_when_an_earlier_leg_and_a_new_name_come() {
    let (catalog, _dir) = catalog();
    store(&catalog, day(), &[record(2, 1, 7, "2026-11-02T15:00:00Z")]);
    let (agent, folder, interaction) = published(&catalog);
    let mut late = record(1, 1, 7, "2026-11-02T14:00:00Z");
    late.last_name = Some(String::from("Married"));
    late.media_type_id = 3;
    assert!(store(&catalog, day(), &[late]));
    let (agent_now, folder_now, interaction_now) = published(&catalog);
    assert_eq!(agent, agent_now);
    assert_eq!((&folder.name, folder.ino, folder.channel), (&folder_now.name, folder_now.ino, folder_now.channel));
    assert_eq!(folder_now.contact_size, 2 * (folder.contact_size - 5) + 2 + 5);
    assert_eq!((interaction.mtime, interaction.ino_base), (interaction_now.mtime, interaction_now.ino_base));
    assert!((interaction_now.duration_s - 3660.5).abs() < 1e-6);
    assert_eq!(interaction_now.places, 1);
}

fn published(
    catalog: &Catalog,
) -> (super::super::AgentFolder, super::super::InteractionFolder, super::super::Interaction) {
    let agent = catalog.agents(day(), &ALL).unwrap().remove(0);
    let folder = catalog.interactions(day(), agent.agent_id, &ALL).unwrap().remove(0);
    let interaction = catalog.interaction(folder.master_id).unwrap().unwrap();
    (agent, folder, interaction)
}

#[test]
fn a_transferred_call_has_one_interaction_in_two_places() {
    let (catalog, _dir) = catalog();
    let next: Day = "2026-11-03".parse().unwrap();
    let records = [
        record(1, 1, 7, "2026-11-02T15:00:00Z"),
        record(2, 1, 8, "2026-11-02T15:01:00Z"),
        record(3, 1, 8, "2026-11-03T15:01:00Z"),
    ];
    // All that is known then.
    store(&catalog, next, &records[2..]);
    store(&catalog, day(), &records);
    let interaction = catalog.interaction(MasterId(1)).unwrap().unwrap();
    assert_eq!(interaction.places, 3);
    assert_eq!(interaction.mtime, records[2].start, "as known when first published");
    let places = [(day(), AgentId(7)), (day(), AgentId(8)), (next, AgentId(8))];
    assert_eq!(catalog.places(MasterId(1)).unwrap(), places);
    // Its shared files are as new as the interaction, so the folders above are not older.
    assert_eq!(catalog.agent(day(), AgentId(7)).unwrap().unwrap().mtime, records[2].start);
}

#[test]
fn channels_select_folders_and_agents() {
    let (catalog, _dir) = catalog();
    let mut chat = record(2, 2, 8, "2026-11-02T15:00:00Z");
    chat.media_type_id = 3;
    let mut odd = record(3, 3, 8, "2026-11-02T15:00:00Z");
    odd.media_type_id = 12;
    store(&catalog, day(), &[record(1, 1, 7, "2026-11-02T15:00:00Z"), chat, odd]);
    let agents = |channels: &Channels| -> Vec<i64> {
        catalog.agents(day(), channels).unwrap().iter().map(|agent| agent.agent_id.0).collect()
    };
    assert_eq!(agents(&ALL), [7, 8]);
    assert_eq!(agents(&Channels::parse(&["chat", "media12"]).unwrap()), [8]);
    assert_eq!(agents(&Channels::parse(&["sms"]).unwrap()), [0i64; 0]);
    let folders = catalog.interactions(day(), AgentId(8), &Channels::parse(&["media12"]).unwrap()).unwrap();
    assert_eq!(folders.len(), 1);
    assert_eq!(&*folders[0].name, "100000_media12_in_3");
}

#[test]
fn hostile_names_are_distinct_and_found_again() {
    let (catalog, _dir) = catalog();
    let long = "é".repeat(300);
    let names =
        [Some("A/B"), Some("con"), Some(".."), Some("🦀"), Some(long.as_str()), Some("same"), Some("same"), None];
    let mut records = Vec::new();
    for (agent, name) in (1i64..).zip(names) {
        let mut leg = record(agent, agent, agent, "2026-11-02T15:00:00Z");
        (leg.first_name, leg.last_name) = (None, name.map(String::from));
        records.push(leg);
    }
    records.push(record(99, 99, -1, "2026-11-02T15:00:00Z"));
    store(&catalog, day(), &records);
    assert_eq!(catalog.agents(day(), &ALL).unwrap().len(), 9);
    dump(&catalog, &[day()]);
    assert_eq!(&*catalog.agent(day(), AgentId::NONE).unwrap().unwrap().name, "no_agent");
}

#[test]
fn colliding_numbers_are_told_apart_and_survive_reopening() {
    let (catalog, dir) = narrowed(4);
    let records: Vec<_> = (1..=16).map(|n| record(n, n, n, "2026-11-02T15:00:00Z")).collect();
    store(&catalog, day(), &records);
    let before = dump(&catalog, &[day()]);
    let mut numbers = std::collections::HashSet::new();
    for agent in catalog.agents(day(), &ALL).unwrap() {
        assert!(numbers.insert(agent.ino));
        for folder in catalog.interactions(day(), agent.agent_id, &ALL).unwrap() {
            assert!(numbers.insert(folder.ino));
            assert!(numbers.insert(catalog.interaction(folder.master_id).unwrap().unwrap().ino_base));
        }
    }
    assert_eq!(numbers.len(), 48);
    let full = store_error(&catalog, &[record(17, 17, 17, "2026-11-02T15:00:00Z")]);
    assert!(matches!(full, CatalogError::Refused(_)));
    drop(catalog);
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    assert_eq!(dump(&catalog, &[day()]), before, "and the failed recording left nothing");
}

fn store_error(catalog: &Catalog, records: &[ContactRecord]) -> CatalogError {
    catalog.record_day(day(), records, time("2026-11-03T12:00:00Z"), false, None).unwrap_err()
}

#[test]
fn a_late_echo_does_not_undo_a_correction() {
    let (catalog, _dir) = catalog();
    let mut old = record(1, 1, 7, "2026-11-02T15:00:00Z");
    old.last_update = Some(time("2026-11-02T15:10:00Z"));
    let mut new = old.clone();
    new.last_update = Some(time("2026-11-02T15:20:00Z"));
    new.json.set("dispositionNotes", "corrected \"\\ é");
    assert!(store(&catalog, day(), &[old.clone()]));
    assert!(store(&catalog, day(), &[new]));
    let after = dump(&catalog, &[day()]);
    assert!(after.contains("corrected"));
    assert!(!store(&catalog, day(), &[old]));
    assert_eq!(dump(&catalog, &[day()]), after);
}

fn large_day(legs: i64) -> Vec<ContactRecord> {
    let leg = |n| {
        let start = time("2026-11-02T05:00:00Z") + jiff::SignedDuration::from_secs(n);
        record(n + 1, n + 1, n % 10 + 1, &start.to_string())
    };
    (0..legs).map(leg).collect()
}

/// Meanwhile billed calls are written to the ledger: each waits for a piece of the day, and not for all of it.
#[test]
fn a_large_day_is_recorded_and_listed_and_lets_others_write() {
    let (catalog, _dir) = catalog();
    let records = large_day(20_000);
    let (longest, stored) = calls_beside(&catalog, || assert!(store(&catalog, day(), &records)));
    assert!(longest * 10 < stored, "a call waited {longest:?} of {stored:?}");
    eprintln!("the longest wait of a call was {longest:?}");
    let begun = std::time::Instant::now();
    assert_eq!(catalog.interactions(day(), AgentId(3), &ALL).unwrap().len(), 2000);
    let listed = begun.elapsed();
    let begun = std::time::Instant::now();
    assert!(!store(&catalog, day(), &records));
    eprintln!("stored in {stored:?}, listed 2000 in {listed:?}, stored again in {:?}", begun.elapsed());
    assert_eq!(catalog.totals().unwrap().0, 20_000);
}

/// A day that was stored in part is not listed; one that was known before and changed in part is reported as changed by the job that completes it.
#[test]
fn what_a_failure_left_is_said_later() {
    let (catalog, dir) = catalog();
    let records = large_day(1000);
    let broken = |is_broken: bool| {
        let sql = if is_broken {
            "CREATE TRIGGER broken BEFORE INSERT ON folders WHEN new.master_id = 1000 BEGIN SELECT raise(FAIL, 'no'); END"
        } else {
            "DROP TRIGGER broken"
        };
        rusqlite::Connection::open(dir.path().join("cxonefs.db")).unwrap().execute_batch(sql).unwrap();
    };
    broken(true);
    store_error(&catalog, &records);
    assert_eq!(catalog.day(day()).unwrap(), None);
    broken(false);
    assert!(store(&catalog, day(), &records[..1]));
    broken(true);
    let mut changed = records.clone();
    for leg in &mut changed {
        leg.json.set("dispositionNotes", "called back");
    }
    store_error(&catalog, &changed);
    assert!(!catalog.interactions(day(), AgentId(1), &ALL).unwrap().is_empty());
    broken(false);
    assert!(store(&catalog, day(), &[]), "the pieces that were stored changed it");
    assert!(!store(&catalog, day(), &[]));
    assert!(store(&catalog, day(), &changed));
    assert_eq!(catalog.totals().unwrap().0, 1000);
}

/// Erasing everything in the middle of a large day: the day is whole, or it is not listed.
#[test]
fn a_day_that_is_erased_while_it_is_stored_is_stored_again() {
    let (catalog, _dir) = catalog();
    let records = large_day(3000);
    for _ in 0..3 {
        std::thread::scope(|scope| {
            let storing = scope.spawn(|| store(&catalog, day(), &records));
            while !storing.is_finished() && catalog.totals().unwrap().0 == 0 {}
            catalog.erase_all().unwrap();
            storing.join().unwrap();
        });
        let stored = if catalog.day(day()).unwrap().is_some() { 3000 } else { 0 };
        assert_eq!(catalog.totals().unwrap().0, stored);
    }
}

/// Legs of few contacts, agents and hours, so that they meet.
fn legs() -> impl Strategy<Value = Vec<ContactRecord>> {
    let leg = (1..6i64, 1..4i64, -1..3i64, 0..30i64, 0..3i64, proptest::option::of("[A-C/]{1,3}"));
    proptest::collection::vec(leg, 0..12).prop_map(|legs| {
        let mut seen = std::collections::HashSet::new();
        legs.into_iter()
            // The lister's promise: one record per contact, and a contact does not change its start.
            .filter(|(contact, ..)| seen.insert(*contact))
            .map(|(contact, master, agent, hour, version, name)| {
                let start = time("2026-11-02T03:00:00Z") + jiff::SignedDuration::from_hours(hour);
                let mut leg = record(contact, master, agent, &start.to_string());
                leg.last_name = name;
                leg.last_update = Some(start + jiff::SignedDuration::from_mins(version));
                leg.json.set("version", version);
                leg
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn recording_again_changes_nothing_and_the_order_of_records_is_nothing(
        (records, shuffled) in legs().prop_flat_map(|records| (Just(records.clone()), Just(records).prop_shuffle())),
    ) {
        let days = [day(), day().next()];
        let (one, dir) = catalog();
        let (other, _other_dir) = catalog();
        for day in days {
            store(&one, day, &records);
            store(&other, day, &shuffled);
        }
        let published = dump(&one, &days);
        prop_assert_eq!(&published, &dump(&other, &days));
        for day in days {
            prop_assert!(!store(&one, day, &shuffled));
            // What the tenant no longer tells of stays.
            prop_assert!(!store(&one, day, &[]));
        }
        prop_assert_eq!(&published, &dump(&one, &days));
        drop(one);
        let one = Catalog::open(dir.path(), settings()).unwrap();
        prop_assert_eq!(&published, &dump(&one, &days));
    }

    #[test]
    fn names_numbers_and_times_survive_whatever_comes_later(first in legs(), later in legs()) {
        let (catalog, _dir) = catalog();
        store(&catalog, day(), &first);
        let names = |catalog: &Catalog| -> Vec<_> {
            let mut names = Vec::new();
            for agent in catalog.agents(day(), &ALL).unwrap() {
                for folder in catalog.interactions(day(), agent.agent_id, &ALL).unwrap() {
                    let interaction = catalog.interaction(folder.master_id).unwrap().unwrap();
                    names.push((agent.name.clone(), agent.ino, folder.name, folder.ino, interaction.ino_base, interaction.mtime));
                }
            }
            names
        };
        let before = names(&catalog);
        store(&catalog, day(), &later);
        let after = names(&catalog);
        prop_assert!(before.iter().all(|name| after.contains(name)));
        dump(&catalog, &[day()]);
    }
}

/// Run it with `--ignored` (a minute or more): a thousand days of a thousand interactions.
#[test]
#[ignore = "takes minutes and a gigabyte of disk"]
fn a_million_interactions() {
    let (catalog, dir) = catalog();
    let mut template = record(1, 1, 1, "2026-11-02T15:00:00Z");
    for n in 0..45 {
        template
            .json
            .set(&format!("someFieldOfTheTenant{n}"), if n % 3 == 0 { Value::from("a word") } else { n.into() });
    }
    let begun = std::time::Instant::now();
    for day in 0..1000 {
        let start = Day(20_000 + day).start(&super::super::testing::zone());
        let records: Vec<_> = (0..1000i64)
            .map(|n| {
                let mut leg = template.clone();
                leg.contact_id.0 = i64::from(day) * 1000 + n + 700_000_000_000;
                leg.master_id.0 = leg.contact_id.0;
                leg.agent_id.0 = n % 20 + 1;
                leg.start = start + jiff::SignedDuration::from_secs(n * 60);
                leg
            })
            .collect();
        catalog.record_day(Day(20_000 + day), &records, start, true, None).unwrap();
        if day % 100 == 99 {
            eprintln!("{} days after {:?}", day + 1, begun.elapsed());
        }
    }
    let stored = begun.elapsed();
    drop(catalog);
    let size = dir.path().join("cxonefs.db").metadata().unwrap().len();
    let begun = std::time::Instant::now();
    let catalog = Catalog::open(dir.path(), settings()).unwrap();
    let opened = begun.elapsed();
    let begun = std::time::Instant::now();
    let mut folders = 0;
    for day in 0..1000 {
        for agent in catalog.agents(Day(20_000 + day), &ALL).unwrap() {
            folders += catalog.interactions(Day(20_000 + day), agent.agent_id, &ALL).unwrap().len();
        }
    }
    let walked = begun.elapsed();
    assert_eq!(folders, 1_000_000);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rss = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    eprintln!("stored {stored:?}, {size} bytes, opened {opened:?}, walked {walked:?}, {rss}");
    assert!(opened < std::time::Duration::from_secs(1));
}
