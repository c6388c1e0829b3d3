//! What becomes of the tenant's words in names and `contact.json`: entry points for fuzzing. Compiled for tests and fuzzers only.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use unicode_normalization::is_nfc;

use super::{contact_json, names, plan};
use crate::base::{AgentId, Day, MasterId};
use crate::cxone::ContactRecord;

/// Directory names of an agent with any names.
pub fn agent_name(agent: AgentId, last_name: Option<&str>, first_name: Option<&str>) {
    let name = names::agent_name(agent, last_name, first_name);
    assert_legal(&name);
    assert!(!agent.is_some() || name.ends_with(&format!("_{agent}")), "a name that lost its id: {name:?}");
}

/// A day's plan of any records: names, sizes and bytes.
pub fn day(records: &[ContactRecord]) {
    let zone = TimeZone::UTC;
    let Some(first) = records.first() else { return };
    let day = Day::of(first.start, &zone);
    let Ok(plan) = plan::plan(day, &zone, records) else { return };
    let mut seen = HashSet::new();
    for leg in &plan.legs {
        let record = leg.record;
        assert!(seen.insert((leg.agent, record.master_id, record.contact_id)), "a leg stands twice in one folder");
        agent_name(leg.agent, record.last_name.as_deref(), record.first_name.as_deref());
        let time = zone.to_datetime(record.start).time();
        let name = names::interaction_name(time, plan::channel(record), record.is_outbound, record.master_id);
        assert_legal(&name);
        let shape = plan.shapes.get(leg.shape).copied().unwrap_or_default();
        let text = contact_json::render_file([(shape, &*record.json.values)].into_iter());
        let text = text.unwrap_or_else(|error| panic!("a record that cannot be rendered: {error}"));
        assert_eq!(
            text.len() as u64,
            contact_json::file_size(1, leg.json_size),
            "contact.json has another size than said"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "contact.json is not JSON");
        assert!(plan.masters.contains_key(&record.master_id), "a leg without an interaction");
    }
    let _: Vec<MasterId> = plan.masters.keys().copied().collect();
}

/// What the module `names` promises of every component.
fn assert_legal(name: &str) {
    assert!(!name.is_empty() && name.len() <= 255 && is_nfc(name), "{name:?}");
    assert!(!name.starts_with('.') && !name.ends_with('.') && !name.ends_with(' '), "{name:?}");
    assert!(!name.chars().any(|c| c.is_control() || "/\\:*?\"<>|".contains(c)), "{name:?}");
    // Nothing that makes a name look like another.
    assert!(!name.chars().any(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')), "{name:?}");
}
