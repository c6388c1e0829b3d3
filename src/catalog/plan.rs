//! What a day's records amount to before anything is stored: pure.
//!
//! Picks the day's legs, puts them in one order whatever the order of the answer was, and splits their records for storing.
//! Knows no database; what was published before is the recorder's business.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::contact_json;
use super::error::CatalogError;
use crate::base::{AgentId, Channel, Day, MasterId};
use crate::cxone::ContactRecord;

/// A leg longer than this is a tenant's mistake; it would only spoil estimates.
const LONGEST_LEG: Duration = Duration::from_hours(7 * 24);

/// A day's legs, ordered by agent, master contact, start, contact.
pub(super) struct DayPlan<'a> {
    pub legs: Vec<PlannedLeg<'a>>,
    /// Distinct shapes of records; legs name theirs by index.
    pub shapes: Vec<&'a str>,
    pub masters: HashMap<MasterId, Span>,
}

pub(super) struct PlannedLeg<'a> {
    /// With everything that is no agent made [`AgentId::NONE`].
    pub agent: AgentId,
    pub record: &'a ContactRecord,
    pub shape: usize,
    /// Bytes of this leg as rendered in `contact.json`.
    pub json_size: u64,
}

/// What the day's legs of one master contact say together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub first_start: Timestamp,
    pub last_end: Timestamp,
    /// Of the earliest leg.
    pub channel: Channel,
}

/// Plans the legs of `records` that start on `day`. Of others only this is used: interactions of the day that began with one begin there.
pub(super) fn plan<'a>(day: Day, zone: &TimeZone, records: &'a [ContactRecord]) -> Result<DayPlan<'a>, CatalogError> {
    let window = day.start(zone)..day.next().start(zone);
    let mut chosen: Vec<(AgentId, &ContactRecord)> = records
        .iter()
        .filter(|record| window.contains(&record.start))
        .map(|record| (if record.agent_id.is_some() { record.agent_id } else { AgentId::NONE }, record))
        .collect();
    // Should a contact come twice, the newest record speaks.
    chosen.sort_by_key(|(agent, record)| {
        (*agent, record.master_id, record.contact_id, Reverse(record.last_update), Reverse(record.start))
    });
    chosen.dedup_by_key(|(agent, record)| (*agent, record.master_id, record.contact_id));
    chosen.sort_by_key(|(agent, record)| (*agent, record.master_id, record.start, record.contact_id));

    let mut masters: HashMap<MasterId, (Span, i64)> = HashMap::new();
    let mut shapes = Vec::new();
    let mut known_shapes: HashMap<&str, usize> = HashMap::new();
    let mut legs = Vec::with_capacity(chosen.len());
    let mut rendered = String::new();
    for (agent, record) in chosen {
        let (span, earliest) =
            masters.entry(record.master_id).or_insert_with(|| (span_of(record), record.contact_id.0));
        begin(span, earliest, record);
        span.last_end = span.last_end.max(end(record));

        rendered.clear();
        contact_json::render_leg(&mut rendered, &record.json.shape, &record.json.values)?;
        let shape = *known_shapes.entry(&record.json.shape).or_insert_with_key(|names| {
            shapes.push(*names);
            shapes.len() - 1
        });
        legs.push(PlannedLeg { agent, record, shape, json_size: rendered.len() as u64 });
    }
    for record in records.iter().filter(|record| record.start < window.start) {
        if let Some((span, earliest)) = masters.get_mut(&record.master_id) {
            begin(span, earliest, record);
        }
    }
    let masters = masters.into_iter().map(|(master, (span, _))| (master, span)).collect();
    Ok(DayPlan { legs, shapes, masters })
}

pub(super) fn channel(record: &ContactRecord) -> Channel {
    Channel::from_media_type_id(record.media_type_id)
}

fn span_of(record: &ContactRecord) -> Span {
    Span { first_start: record.start, last_end: end(record), channel: channel(record) }
}

/// An interaction begins with `record` if nothing earlier is known; `earliest` is the contact with which it begins.
fn begin(span: &mut Span, earliest: &mut i64, record: &ContactRecord) {
    if (record.start, record.contact_id.0) < (span.first_start, *earliest) {
        (span.first_start, span.channel, *earliest) = (record.start, channel(record), record.contact_id.0);
    }
}

/// There is no end in a record: it is start + duration.
fn end(record: &ContactRecord) -> Timestamp {
    let seconds = record.duration_s.clamp(0.0, LONGEST_LEG.as_secs_f64());
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    record.start.saturating_add(duration).unwrap_or(record.start)
}

impl DayPlan<'_> {
    /// All legs in pieces of about `legs_max`, in order, none of which divides a folder. One piece at least.
    pub(super) fn pieces(&self, legs_max: usize) -> Vec<&[PlannedLeg<'_>]> {
        let mut pieces = Vec::new();
        let mut rest = &self.legs[..];
        while rest.len() > legs_max {
            let is_same = |at: usize| {
                let (one, other) = (&rest[at - 1], &rest[at]);
                (one.agent, one.record.master_id) == (other.agent, other.record.master_id)
            };
            let Some(end) = (legs_max.max(1)..rest.len()).find(|at| !is_same(*at)) else { break };
            let (piece, after) = rest.split_at(end);
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        pieces
    }

    /// The legs of one agent.
    pub(super) fn of_agent(&self, agent: AgentId) -> &[PlannedLeg<'_>] {
        let from = self.legs.partition_point(|leg| leg.agent < agent);
        let until = self.legs.partition_point(|leg| leg.agent <= agent);
        &self.legs[from..until]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{record, zone};
    use super::*;

    #[test]
    fn only_the_days_legs_are_planned_in_one_order() {
        let day: Day = "2026-11-02".parse().unwrap();
        let records = [
            record(4, 1, 7, "2026-11-02T15:00:00Z"),
            record(3, 1, 7, "2026-11-02T14:00:00Z"),
            record(2, 2, -5, "2026-11-02T05:00:00Z"),
            record(1, 1, 7, "2026-11-02T04:59:59.999Z"),
            record(9, 1, 7, "2026-11-03T05:00:00Z"),
        ];
        let plan = plan(day, &zone(), &records).unwrap();
        let ids: Vec<_> = plan.legs.iter().map(|leg| (leg.agent.0, leg.record.contact_id.0)).collect();
        assert_eq!(ids, [(0, 2), (7, 3), (7, 4)]);
        assert_eq!(plan.shapes.len(), 1);
        assert_eq!((plan.of_agent(AgentId(7)).len(), plan.of_agent(AgentId(8)).len()), (2, 0));
        let span = plan.masters[&MasterId(1)];
        assert_eq!(span.first_start, records[3].start, "the evening before");
        assert_eq!(span.last_end, end(&records[0]));
    }

    #[test]
    fn pieces_are_all_of_it_and_divide_no_folder() {
        let day: Day = "2026-11-02".parse().unwrap();
        assert_eq!(plan(day, &zone(), &[]).unwrap().pieces(5).len(), 1);
        let records: Vec<_> = (0..40).map(|n| record(n, n / 3, n / 20, "2026-11-02T15:00:00Z")).collect();
        let plan = plan(day, &zone(), &records).unwrap();
        for legs_max in [0, 1, 2, 3, 7, 39, 40, 100] {
            let pieces = plan.pieces(legs_max);
            let legs: Vec<_> = pieces.iter().flat_map(|piece| piece.iter().map(|leg| leg.record.contact_id)).collect();
            assert_eq!(legs, plan.legs.iter().map(|leg| leg.record.contact_id).collect::<Vec<_>>());
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= legs_max.max(1) + 2));
            for pair in pieces.windows(2) {
                let (before, after) = (pair[0].last().unwrap(), &pair[1][0]);
                assert_ne!((before.agent, before.record.master_id), (after.agent, after.record.master_id));
            }
        }
    }

    #[test]
    fn what_began_the_day_before_begins_there_and_has_no_leg_of_it() {
        let day: Day = "2026-11-02".parse().unwrap();
        let late = record(2, 1, 7, "2026-11-02T05:00:30Z");
        let early = ContactRecord { media_type_id: 9, ..record(1, 1, 8, "2026-11-02T04:58:00Z") };
        let other = record(5, 5, 8, "2026-11-02T04:58:00Z");
        let records = [late.clone(), early.clone(), other];
        let plan = plan(day, &zone(), &records).unwrap();
        assert_eq!(plan.legs.len(), 1);
        assert_eq!(plan.masters.len(), 1);
        let expected = Span { first_start: early.start, last_end: end(&late), channel: channel(&early) };
        assert_eq!(plan.masters[&MasterId(1)], expected);
    }

    #[test]
    fn nonsense_durations_give_an_end_all_the_same() {
        for (duration, seconds) in [(f64::NAN, 0), (-4.0, 0), (1e300, 7 * 24 * 3600), (f64::INFINITY, 7 * 24 * 3600)] {
            let mut record = record(1, 1, 1, "2026-11-02T15:00:00Z");
            record.duration_s = duration;
            assert_eq!(end(&record).as_second() - record.start.as_second(), seconds, "{duration}");
        }
    }

    #[test]
    fn of_two_records_of_a_contact_the_newer_one_speaks() {
        let day: Day = "2026-11-02".parse().unwrap();
        let mut old = record(1, 1, 7, "2026-11-02T15:00:00Z");
        let mut new = old.clone();
        old.last_update = Some("2026-11-02T15:10:00Z".parse().unwrap());
        new.last_update = Some("2026-11-02T15:20:00Z".parse().unwrap());
        for records in [[old.clone(), new.clone()], [new.clone(), old]] {
            let plan = plan(day, &zone(), &records).unwrap();
            assert_eq!(plan.legs.len(), 1);
            assert_eq!(plan.legs[0].record, &new);
        }
    }
}
