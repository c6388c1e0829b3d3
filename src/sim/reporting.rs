//! Reporting and Admin: `contacts/completed`, single contacts, agents, the business unit.

use std::sync::atomic::Ordering::Relaxed;

use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::answers::{empty, header_only, json_answer, typed};
use super::dates::{read_date, write_date};
use super::interaction::Leg;
use super::listing::{Listing, Page};
use super::record::{last_update, record};
use super::state::{Asked, Tenant};
use super::switches::Switches;
use super::tokens::BUSINESS_UNIT;
use crate::base::{ContactId, Day};

/// Rows of one answer at most, and without `top`.
const TOP_MAX: usize = 10_000;
/// `updatedSince` reaches back no further.
const UPDATED_SINCE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Days before `updatedSince` in which a leg can begin that was changed after it.
const CHANGED_DAYS_LATER: i32 = 2;
/// The same where some are listed late.
const LISTED_DAYS_LATER: i32 = 20;

/// What a request for completed contacts asks for.
#[derive(Debug, PartialEq)]
struct Wanted {
    /// Both ends inclusive.
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    updated_since: Option<Timestamp>,
    top: usize,
    skip: usize,
    media_type_id: Option<i64>,
    agent_id: Option<i64>,
    outbound: Option<bool>,
    by_update: bool,
    descending: bool,
    fields: Option<Vec<String>>,
}

impl Wanted {
    /// Reads the query; `Err` says what is wrong, as the tenant would.
    fn read(asked: &Asked) -> Result<Wanted, &'static str> {
        let date = |name: &str| {
            asked.query_value(name).map(|text| read_date(&text).ok_or("Invalid date parameter")).transpose()
        };
        let number = |name: &str| {
            asked.query_value(name).map(|text| text.parse::<i64>().map_err(|_| "Invalid numeric parameter")).transpose()
        };
        let order = asked.query_value("orderBy").unwrap_or_default();
        let mut order = order.split_whitespace();
        let by = order.next().unwrap_or_default();
        let size = |value: Option<i64>, default: usize| {
            usize::try_from(value.unwrap_or(default as i64)).map_err(|_| "Invalid paging parameter")
        };
        Ok(Wanted {
            start: date("startDate")?,
            end: date("endDate")?,
            updated_since: date("updatedSince")?,
            top: size(number("top")?, TOP_MAX)?.clamp(1, TOP_MAX),
            skip: size(number("skip")?, 0)?,
            media_type_id: number("mediaTypeId")?,
            agent_id: number("agentId")?,
            outbound: asked.query_value("isOutbound").map(|text| text.eq_ignore_ascii_case("true")),
            by_update: by.eq_ignore_ascii_case("lastUpdateTime"),
            descending: order.next().is_some_and(|word| word.eq_ignore_ascii_case("desc")),
            fields: asked.query_value("fields").map(|text| text.split(',').map(|f| f.trim().to_owned()).collect()),
        })
    }

    fn takes(&self, leg: &Leg, by_end: bool) -> bool {
        let at = if by_end { leg.end() } else { leg.start };
        self.start.is_none_or(|start| at >= start)
            && self.end.is_none_or(|end| at <= end)
            && self.media_type_id.is_none_or(|id| leg.channel.media_type_id() == id)
            && self.agent_id.is_none_or(|id| leg.agent_id().0 == id)
            && self.outbound.is_none_or(|outbound| leg.outbound == outbound)
    }
}

/// `GET …/contacts/completed`.
pub(super) fn completed(tenant: &Tenant, asked: &Asked) -> Response {
    if let Some(refusal) = unrenderable(asked) {
        return refusal;
    }
    let wanted = match Wanted::read(asked) {
        Ok(wanted) => wanted,
        Err(reason) => return header_only(400, reason),
    };
    let switches = tenant.switches();
    let listing = &switches.listing;
    if let Some(refusal) = too_long(&wanted, listing) {
        return refusal;
    }
    let now = tenant.now();
    let (total, page) = select(tenant, &wanted, now);
    if page.is_empty() {
        return empty(204);
    }
    tenant.counters.completed_records.fetch_add(page.len() as u64, Relaxed);
    let rows: Vec<Value> = page.iter().map(|leg| row(tenant, leg, &switches, now, wanted.fields.as_deref())).collect();
    let links = links(&tenant.url, asked, &wanted, page.len(), total);
    let page = Page { rows, matching: total as u64, business_unit: BUSINESS_UNIT, polled: write_date(now), links };
    json_answer(200, &listing.body(page))
}

/// The refusal of a window that is longer than the tenant takes.
fn too_long(wanted: &Wanted, listing: &Listing) -> Option<Response> {
    let most = SignedDuration::from_hours(i64::from(listing.window_h_max?));
    let asked = wanted.end?.duration_since(wanted.start?);
    (asked > most).then(|| header_only(400, "The date range is too long"))
}

/// How many legs match, and those of the page.
fn select(tenant: &Tenant, wanted: &Wanted, now: Timestamp) -> (usize, Vec<Leg>) {
    let world = &tenant.world;
    let settings = world.settings();
    let since = wanted.updated_since.map(|since| {
        let earliest = now.saturating_sub(UPDATED_SINCE_MAX).unwrap_or(Timestamp::MIN);
        since.max(earliest)
    });
    let day_of = |instant: Timestamp| Day::of(instant, &settings.timezone);
    let mut first = settings.first_day();
    if let Some(start) = wanted.start {
        first = first.max(Day(day_of(start).0.saturating_sub(1)));
    }
    if let Some(since) = since {
        let back = if settings.shares.late_listed > 0 { LISTED_DAYS_LATER } else { 0 } + CHANGED_DAYS_LATER;
        first = first.max(Day(day_of(since).0.saturating_sub(back)));
    }
    let last = wanted.end.map_or(settings.last_day, |end| settings.last_day.min(day_of(end)));
    let switches = tenant.switches();
    let amended = &switches.amendments;
    let is_changed =
        |leg: &Leg, since| amended.records.contains_key(&leg.contact.0) || last_update(world, leg, now) >= since;
    let listed = |leg: &&Leg| {
        wanted.takes(leg, switches.listing.by_end)
            && leg.listed <= now
            && !amended.hidden.contains(&leg.contact.0)
            && since.is_none_or(|since| is_changed(leg, since))
    };
    let days: Vec<_> = (first.0..=last.0).map(|day| world.legs(Day(day))).collect();
    let mut matching: Vec<&Leg> = days.iter().flat_map(|legs| legs.iter()).filter(listed).collect();
    if wanted.by_update {
        matching.sort_by_cached_key(|leg| (last_update(world, leg, now), leg.contact));
    } else {
        matching.sort_by_key(|leg| (leg.start, leg.contact));
    }
    if wanted.descending {
        matching.reverse();
    }
    let total = matching.len();
    let top = wanted.top.min(switches.listing.page_rows_max.unwrap_or(TOP_MAX));
    (total, matching.into_iter().skip(wanted.skip).take(top).cloned().collect())
}

fn row(tenant: &Tenant, leg: &Leg, switches: &Switches, now: Timestamp, fields: Option<&[String]>) -> Value {
    let mut row: Map<String, Value> = record(&tenant.world, leg, switches.naming, now);
    switches.amendments.apply(leg.contact.0, &mut row);
    if let Some(fields) = fields {
        row.retain(|name, _| fields.iter().any(|field| field.eq_ignore_ascii_case(name)));
    }
    Value::Object(row)
}

/// The absolute links of the envelope.
fn links(url: &str, asked: &Asked, wanted: &Wanted, rows: usize, total: usize) -> Value {
    let at = |skip: usize| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let kept = url::form_urlencoded::parse(asked.query.as_bytes());
        query.extend_pairs(kept.filter(|(name, _)| !matches!(&*name.to_ascii_lowercase(), "skip" | "top")));
        query.append_pair("top", &wanted.top.to_string()).append_pair("skip", &skip.to_string());
        format!("{url}{}?{}", asked.path, query.finish())
    };
    let next = wanted.skip.saturating_add(rows);
    json!({
        "self": at(wanted.skip),
        "next": (next < total).then(|| at(next)),
        "previous": (wanted.skip > 0).then(|| at(wanted.skip.saturating_sub(wanted.top))),
    })
}

/// ACD renders nothing for a client that does not say that it takes JSON. `*/*` says so.
fn unrenderable(asked: &Asked) -> Option<Response> {
    let takes = |range: &str| {
        let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        ["application/json", "application/*", "*/*"].contains(&range.as_str())
    };
    let asks = asked.header("accept").is_some_and(|accept| accept.split(',').any(takes));
    (!asks).then(|| typed(406, "text/plain", "No known way to render data"))
}

/// `GET …/contacts/{id}`: the record stands under the key `contactId`.
pub(super) fn contact(tenant: &Tenant, asked: &Asked, id: &str) -> Response {
    if let Some(refusal) = unrenderable(asked) {
        return refusal;
    }
    let now = tenant.now();
    let leg = id.parse::<ContactId>().ok().and_then(|id| tenant.world.find_leg(id));
    let Some(leg) = leg.filter(|leg| leg.listed <= now) else { return header_only(404, "Contact not found") };
    json_answer(
        200,
        &json!({
            "businessUnitId": BUSINESS_UNIT,
            "lastPollTime": write_date(now),
            "contactId": record(&tenant.world, &leg, tenant.switches().naming, now),
        }),
    )
}

/// `GET …/agents`.
pub(super) fn agents(tenant: &Tenant, asked: &Asked) -> Response {
    if let Some(refusal) = unrenderable(asked) {
        return refusal;
    }
    let number = |name: &str| asked.query_value(name).and_then(|text| text.parse::<u32>().ok());
    let (skip, top) = (number("skip").unwrap_or(0), number("top").unwrap_or(50).clamp(1, TOP_MAX as u32));
    let all = tenant.settings().agents;
    let agents: Vec<Value> = (skip..all.min(skip.saturating_add(top)))
        .map(|index| {
            let agent = tenant.world.agent(index);
            json!({
                "agentId": agent.id.0,
                "userID": agent.user_id,
                "userName": format!("agent{}@simulated.example", agent.id),
                "firstName": agent.first_name,
                "lastName": agent.last_name,
                "isActive": true,
                "teamId": agent.team_id,
                "teamName": agent.team_name,
            })
        })
        .collect();
    if agents.is_empty() {
        return empty(204);
    }
    json_answer(
        200,
        &json!({
            "businessUnitId": BUSINESS_UNIT,
            "lastPollTime": write_date(tenant.now()),
            "totalRecords": all,
            "hiddenAgents": 0,
            "_links": {"self": null, "next": null, "previous": null},
            "agents": agents,
        }),
    )
}

/// `GET …/business-unit`.
pub(super) fn business_unit(tenant: &Tenant, asked: &Asked) -> Response {
    if let Some(refusal) = unrenderable(asked) {
        return refusal;
    }
    let zone = tenant.settings().timezone.iana_name().unwrap_or("UTC");
    json_answer(
        200,
        &json!({"businessUnits": [{
            "businessUnitId": BUSINESS_UNIT,
            "businessUnitName": "Simulated",
            "tenantId": tenant.settings().tenant_id,
            "defaultTimeZone": zone,
        }]}),
    )
}
