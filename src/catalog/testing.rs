//! What the catalog's tests share: records, a zone, catalogs in temporary directories.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::inode::InodeNumbers;
use super::{Catalog, CatalogSettings, LedgerEntry};
use crate::base::crypt::Keys;
use crate::base::{AgentId, Channels, ContactId, MasterId};
use crate::cxone::{ContactRecord, RecordJson};
use crate::net::Priority;

/// A zone with DST, west of Greenwich.
pub(super) fn zone() -> TimeZone {
    TimeZone::get("America/New_York").unwrap()
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An inbound call of a minute by an agent called Rosa Keller.
pub(super) fn record(contact: i64, master: i64, agent: i64, start: &str) -> ContactRecord {
    let start = time(start);
    let json = json!({
        "contactId": contact, "masterContactId": master, "agentId": agent, "contactStartDate": start.to_string(),
        "totalDurationSeconds": 60.5, "mediaTypeId": 4, "tags": [{"tagId": 1}], "isOutbound": false,
    });
    ContactRecord {
        contact_id: ContactId(contact),
        master_id: MasterId(master),
        agent_id: AgentId(agent),
        first_name: Some(String::from("Rosa")),
        last_name: Some(String::from("Keller")),
        start,
        duration_s: 60.5,
        media_type_id: 4,
        is_outbound: false,
        last_update: None,
        json: RecordJson::of(json.as_object().unwrap()).unwrap(),
    }
}

pub(super) fn settings() -> CatalogSettings {
    CatalogSettings { timezone: zone() }
}

/// A catalog in a directory that goes when the guard goes.
pub(super) fn catalog() -> (Catalog, tempfile::TempDir) {
    narrowed(53)
}

/// One whose inode hashes have so few bits that they collide.
pub(super) fn narrowed(bits: u32) -> (Catalog, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let catalog = Catalog::open_with(dir.path(), settings(), &Keys::default(), InodeNumbers::narrowed(bits)).unwrap();
    (catalog, dir)
}

/// Billed calls that are written to the ledger while `work` is done: the longest that one took, and how long the work did.
pub(super) fn calls_beside(catalog: &Catalog, work: impl FnOnce() + Send) -> (Duration, Duration) {
    let entry = LedgerEntry {
        at: time("2026-11-05T12:00:00Z"),
        master_id: MasterId(1),
        reason: Priority::Open,
        uid: 1,
        pid: 1,
        comm: String::from("cat"),
    };
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let working = scope.spawn(work);
        let mut longest = Duration::ZERO;
        while !working.is_finished() {
            let asked = Instant::now();
            catalog.ledger_begin(&entry).unwrap();
            longest = longest.max(asked.elapsed());
        }
        working.join().unwrap();
        (longest, begun.elapsed())
    })
}

pub(super) const ALL: Channels = Channels::ALL;

/// Everything that the catalog publishes of some days, as text, for comparing.
pub(super) fn dump(catalog: &Catalog, days: &[crate::base::Day]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for day in days {
        let state = catalog.day(*day).unwrap();
        writeln!(out, "{day} {}", state.is_some()).unwrap();
        for agent in catalog.agents(*day, &ALL).unwrap() {
            assert_eq!(catalog.agent(*day, agent.agent_id).unwrap().as_ref(), Some(&agent));
            assert_eq!(catalog.agent_by_name(*day, &agent.name).unwrap().as_ref(), Some(&agent));
            writeln!(out, " {agent:?}").unwrap();
            for folder in catalog.interactions(*day, agent.agent_id, &ALL).unwrap() {
                let by_id = catalog.interaction_folder(*day, agent.agent_id, folder.master_id).unwrap();
                let by_name = catalog.interaction_folder_by_name(*day, agent.agent_id, &folder.name).unwrap();
                assert_eq!((by_id.as_ref(), by_name.as_ref()), (Some(&folder), Some(&folder)));
                let json = catalog.contact_json(*day, agent.agent_id, folder.master_id).unwrap().unwrap();
                assert_eq!(json.len() as u64, folder.contact_size);
                let interaction = catalog.interaction(folder.master_id).unwrap().unwrap();
                assert_eq!(interaction.places as usize, catalog.places(folder.master_id).unwrap().len());
                let json = String::from_utf8(json).unwrap();
                writeln!(out, "  {folder:?}\n  {interaction:?}\n{json}").unwrap();
            }
        }
    }
    out
}
