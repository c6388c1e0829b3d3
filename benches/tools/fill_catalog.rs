//! `fill_catalog DIR ZONE LAST_DAY DAYS AGENTS PER_AGENT`: a state directory of closed days, as listings would have filled it, with calls whose
//! records are as large as a tenant's. The same arguments give the same database. For `scripts/bench scale`.

use std::error::Error;
use std::path::Path;

use cxonefs::base::{AgentId, ContactId, Day, MasterId};
use cxonefs::catalog::{Catalog, CatalogSettings};
use cxonefs::cxone::{ContactRecord, RecordJson};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

const LAST_NAMES: [&str; 8] = ["Keller", "Dubois", "Sharma", "Yılmaz", "Murphy", "Rossi", "Silva", "Horvat"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, zone, last_day, days, agents, per_agent] = arguments.as_slice() else {
        return Err("usage: fill_catalog DIR ZONE LAST_DAY DAYS AGENTS PER_AGENT".into());
    };
    let (last_day, timezone): (Day, _) = (last_day.parse()?, TimeZone::get(zone)?);
    let (days, agents, per_agent): (i32, i64, i64) = (days.parse()?, agents.parse()?, per_agent.parse()?);
    let catalog = Catalog::open(Path::new(dir), CatalogSettings { timezone: timezone.clone() })?;
    for number in 0..days {
        let day = Day(last_day.0 - number);
        let start = day.start(&timezone);
        let records: Vec<ContactRecord> = (0..agents * per_agent)
            .map(|index| record(i64::from(number) * agents * per_agent + index, index % agents, index / agents, start))
            .collect::<Result<_, _>>()?;
        catalog.record_day(day, &records, start + SignedDuration::from_hours(100), true, None)?;
    }
    Ok(())
}

/// The `nth` call of an agent's day; one every 17 seconds, so that 2,000 fit into a working day.
fn record(serial: i64, agent: i64, nth: i64, day_start: Timestamp) -> Result<ContactRecord, Box<dyn Error>> {
    let contact = 700_000_000_000 + serial;
    let start = day_start + SignedDuration::from_secs(8 * 3600 + nth * 17);
    let last_name = LAST_NAMES[(agent % 8) as usize];
    let json = json!({
        "contactId": contact, "masterContactId": contact, "agentId": 8_800_000 + agent, "firstName": "Rosa", "lastName": last_name,
        "contactStartDate": start.to_string(), "totalDurationSeconds": 312.4, "mediaTypeId": 4, "isOutbound": false,
    });
    let mut json: Map<String, Value> = json.as_object().cloned().unwrap_or_default();
    for field in 0..45 {
        json.insert(
            format!("someFieldOfTheTenant{field}"),
            if field % 3 == 0 { "a word".into() } else { field.into() },
        );
    }
    Ok(ContactRecord {
        contact_id: ContactId(contact),
        master_id: MasterId(contact),
        agent_id: AgentId(8_800_000 + agent),
        first_name: Some(String::from("Rosa")),
        last_name: Some(last_name.to_owned()),
        start,
        duration_s: 312.4,
        media_type_id: 4,
        is_outbound: false,
        last_update: None,
        json: RecordJson::of(&json)?,
    })
}
