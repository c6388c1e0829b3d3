//! One record of `contacts/completed`: what Reporting says of a leg, in either set of names and with the known quirks. Pure.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::dates::{date_form, write_date, write_date_as};
use super::interaction::Leg;
use super::mix::{below, in_share, mix};
use super::people;
use super::settings::Naming;
use super::world::World;
use crate::base::Channel;

/// Names that differ between the sets: `(current, old)`.
const RENAMED: [(&str, &str); 7] = [
    ("contactStartDate", "contactStart"),
    ("fromAddress", "fromAddr"),
    ("toAddress", "toAddr"),
    ("mediaTypeId", "mediaType"),
    ("acwSeconds", "ACWSeconds"),
    ("conferenceSeconds", "confSeconds"),
    ("tagName", "TagName"),
];

const SKILLS: [&str; 4] = ["IB Billing", "IB Sales", "OB Care", "Back Office"];

/// `lastUpdateTime` as of `now`: some legs are changed once more, two to twenty hours after they were listed.
pub(super) fn last_update(world: &World, leg: &Leg, now: Timestamp) -> Timestamp {
    let listed = leg.listed;
    late_update(world, leg).filter(|late| *late <= now).unwrap_or(listed)
}

/// When, if ever, a leg's record changes again.
fn late_update(world: &World, leg: &Leg) -> Option<Timestamp> {
    if !in_share(mix(&[leg.word, 2]), world.settings().shares.late_update) {
        return None;
    }
    let wait = Duration::from_secs(7200 + below(mix(&[leg.word, 3]), 18 * 3600));
    leg.listed.saturating_add(wait).ok()
}

/// Whether a leg's record writes numbers and booleans as strings.
fn is_stringly(world: &World, leg: &Leg) -> bool {
    in_share(mix(&[leg.word, 4]), world.settings().shares.stringly) || leg.total.as_secs() >= 1000
}

/// The channel by its name alone, in either place.
fn name_the_type(record: &mut Map<String, Value>, leg: &Leg) {
    let name = record.get("mediaTypeName").cloned();
    record.shift_remove("mediaTypeId");
    if mix(&[leg.word, 15]).is_multiple_of(2) {
        record.insert(String::from("mediaType"), name.unwrap_or_default());
    }
}

/// The record of a leg as of `now`.
pub(super) fn record(world: &World, leg: &Leg, naming: Naming, now: Timestamp) -> Map<String, Value> {
    let mut record = current(world, leg, now);
    if in_share(mix(&[leg.word, 5]), world.settings().shares.nulls) {
        blank_out(&mut record, leg);
    }
    if is_stringly(world, leg) {
        for (name, value) in &mut record {
            *value = as_text(name, value);
        }
    }
    if in_share(mix(&[leg.word, 14]), world.settings().shares.type_by_name) {
        name_the_type(&mut record, leg);
    }
    match naming {
        Naming::Current => record,
        Naming::Mixed if mix(&[leg.word, 16]).is_multiple_of(2) => record,
        Naming::Old | Naming::Mixed => renamed(record),
    }
}

/// The whole record in current names.
fn current(world: &World, leg: &Leg, now: Timestamp) -> Map<String, Value> {
    let parts = [who_and_where(world, leg), times(world, leg, now), outcome(world, leg, now)];
    parts.into_iter().filter_map(|part| part.as_object().cloned()).flatten().collect()
}

fn who_and_where(world: &World, leg: &Leg) -> Value {
    let agent = leg.agent.map(|index| world.agent(index));
    let customer = customer_address(leg);
    let own = if leg.channel == Channel::Email { "care@simulated.example" } else { "4930555099" };
    let (from, to) = if leg.outbound { (own, customer.as_str()) } else { (customer.as_str(), own) };
    let skill = below(mix(&[leg.word, 6]), SKILLS.len() as u64);
    json!({
        "contactId": leg.contact.0,
        "masterContactId": leg.master.0,
        "contactStartDate": write_date_as(date_form(leg.word, world.settings().shares.odd_dates), leg.start),
        "agentId": agent.as_ref().map(|agent| agent.id.0),
        "firstName": agent.as_ref().and_then(|agent| agent.first_name.clone()),
        "lastName": agent.as_ref().and_then(|agent| agent.last_name.clone()),
        "teamId": agent.as_ref().map(|agent| agent.team_id),
        "teamName": agent.as_ref().map(|agent| agent.team_name),
        "skillId": 4401 + skill,
        "skillName": SKILLS[skill as usize],
        "campaignId": 77,
        "campaignName": "Care",
        "pointOfContactId": 9001,
        "pointOfContactName": "Main line",
        "mediaTypeId": leg.channel.media_type_id(),
        "mediaTypeName": media_type_name(leg.channel),
        "mediaSubTypeId": null,
        "isOutbound": leg.outbound,
        "fromAddress": from,
        "toAddress": to,
    })
}

fn times(world: &World, leg: &Leg, now: Timestamp) -> Value {
    let total = leg.total.as_millis() as f64 / 1000.0;
    let (with_agent, without) = if leg.agent.is_some() { (total, 0.0) } else { (0.0, total) };
    let hold = below(mix(&[leg.word, 7]), 20);
    json!({
        "totalDurationSeconds": total,
        "agentSeconds": with_agent,
        "abandonSeconds": without,
        "acwSeconds": leg.acw_s,
        "holdSeconds": hold,
        "holdCount": hold.min(1),
        "inQueueSeconds": below(mix(&[leg.word, 8]), 30),
        "conferenceSeconds": 0,
        "lastUpdateTime": write_date(last_update(world, leg, now)),
    })
}

fn outcome(world: &World, leg: &Leg, now: Timestamp) -> Value {
    let is_late = last_update(world, leg, now) > leg.listed;
    let transferred = leg.place.1 > 1;
    let tagged = in_share(mix(&[leg.word, 9]), 100);
    json!({
        "isLogged": leg.channel == Channel::Call,
        "abandoned": leg.agent.is_none(),
        "transferIndicatorId": u8::from(transferred),
        "transferIndicatorName": if transferred { "ReSkill" } else { "None" },
        "primaryDispositionId": is_late.then_some(12),
        "dispositionNotes": if is_late { "checked again" } else { "" },
        "endReason": if leg.agent.is_some() { "Agent Hung Up" } else { "Contact Hung Up" },
        "isAnalyticsProcessed": is_late,
        "tags": if tagged { vec![json!({"tagId": 5, "tagName": "vip"})] } else { Vec::new() },
    })
}

fn customer_address(leg: &Leg) -> String {
    match leg.channel {
        Channel::Email => format!("customer{}@simulated.example", below(mix(&[leg.word, 10]), 1000)),
        Channel::Chat | Channel::Digital | Channel::Social => people::customer_name(leg.word),
        _ => people::customer_number(leg.word),
    }
}

fn media_type_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Call => "Call",
        Channel::Voicemail => "Voice Mail",
        Channel::Chat => "Chat",
        Channel::Email => "Email",
        Channel::Sms => "SMS",
        Channel::Digital => "Digital",
        Channel::Social => "Social",
        Channel::Work => "Work Item",
        Channel::Other(_) => "Other",
    }
}

/// Nulls and gaps where tenants have them; a direct contact's master is among them.
fn blank_out(record: &mut Map<String, Value>, leg: &Leg) {
    for name in ["teamId", "skillId", "campaignId", "holdSeconds", "pointOfContactName"] {
        record.insert(String::from(name), Value::Null);
    }
    for name in ["tags", "isLogged", "mediaSubTypeId", "skillName"] {
        record.shift_remove(name);
    }
    if leg.place.1 == 1 {
        record.insert(String::from("masterContactId"), Value::Null);
    }
}

fn as_text(name: &str, value: &Value) -> Value {
    match value {
        Value::Bool(true) => json!("True"),
        Value::Bool(false) => json!("False"),
        Value::Number(number) if name.ends_with("Seconds") => {
            json!(with_commas(number.as_f64().unwrap_or(0.0)))
        }
        Value::Number(number) => json!(number.to_string()),
        other => other.clone(),
    }
}

/// A number with thousands commas and at most three decimals: `1,234.5`.
fn with_commas(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, rest) = text.split_once('.').map_or((text, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + &rest
}

/// The same under the old names, in tags too.
fn renamed(record: Map<String, Value>) -> Map<String, Value> {
    let value = |value: Value| match value {
        Value::Array(tags) => tags
            .into_iter()
            .map(|tag| match tag {
                Value::Object(tag) => Value::Object(renamed(tag)),
                other => other,
            })
            .collect(),
        other => other,
    };
    record.into_iter().map(|(name, old)| (old_name(&name), value(old))).collect()
}

fn old_name(name: &str) -> String {
    let renamed = RENAMED.iter().find(|(current, _)| *current == name);
    String::from(renamed.map_or(name, |(_, old)| old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::settings::{Shares, SimSettings};

    #[test]
    fn commas_stand_at_the_thousands() {
        let texts: Vec<String> = [0.0, 7.25, 999.5, 1234.5, 1_234_567.0].into_iter().map(with_commas).collect();
        assert_eq!(texts, ["0", "7.25", "999.5", "1,234.5", "1,234,567"]);
    }

    #[test]
    fn both_sets_of_names_say_the_same() {
        let world = World::new(SimSettings { shares: Shares::plain(), ..SimSettings::default() });
        let leg = &world.legs(world.settings().last_day)[0];
        let current = record(&world, leg, Naming::Current, Timestamp::MAX);
        let old = record(&world, leg, Naming::Old, Timestamp::MAX);
        assert_eq!(current["contactStartDate"], old["contactStart"]);
        assert_eq!(current["mediaTypeId"], old["mediaType"]);
        assert!(!old.contains_key("contactStartDate") && !current.contains_key("contactStart"));
        assert_eq!(current["contactId"], leg.contact.0);
        assert_eq!(current.len(), old.len());
    }

    #[test]
    fn late_updates_show_only_later() {
        let shares = Shares { late_update: 1000, ..Shares::plain() };
        let world = World::new(SimSettings { shares, ..SimSettings::default() });
        let leg = &world.legs(world.settings().last_day)[0];
        let early = record(&world, leg, Naming::Current, leg.listed);
        let late = record(&world, leg, Naming::Current, Timestamp::MAX);
        assert_eq!(early["primaryDispositionId"], Value::Null);
        assert_eq!(late["primaryDispositionId"], 12);
        assert!(early["lastUpdateTime"].as_str() < late["lastUpdateTime"].as_str());
    }

    #[test]
    fn stringly_records_hold_no_numbers() {
        let shares = Shares { stringly: 1000, nulls: 1000, ..Shares::plain() };
        let world = World::new(SimSettings { shares, ..SimSettings::default() });
        let legs = world.legs(world.settings().last_day);
        let records: Vec<_> = legs.iter().map(|leg| record(&world, leg, Naming::Current, Timestamp::MAX)).collect();
        assert!(records.iter().all(|record| record["contactId"].is_string() && record["isOutbound"].is_string()));
        assert!(records.iter().any(|record| record["totalDurationSeconds"].as_str().unwrap().contains(',')));
        assert!(records.iter().any(|record| record["masterContactId"].is_null()));
    }
}
