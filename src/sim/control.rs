//! `/__sim/`: the tenant's counts, switchboard and truth over HTTP. Nothing here is counted, delayed or made to fail.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};

use super::answers::{json_answer, typed, with_header};
use super::range::Span;
use super::state::{Asked, Tenant};
use super::storage::stream_of;
use super::switches::Switches;
use super::truth;
use crate::base::{Day, MasterId};

const HELP: &str = "GET  /__sim/counters             what has been asked, in numbers
POST /__sim/reset                counts and the playback limit's memory to zero; with ?all=true the switches too
GET  /__sim/switches             limits, lives, delays, faults
PUT  /__sim/switches             JSON; keys left out stay as they are, as in
       {\"link_life_s\": 5, \"faults\": [{\"endpoint\": \"media\", \"fault\": {\"kind\": \"cut_after\", \"bytes\": 5000}, \"times\": 1}]}
GET  /__sim/truth                every interaction; with ?day=YYYY-MM-DD one day's
GET  /__sim/truth/media/{master}/{n}   a recording's true bytes
";

/// Answers a request below `/__sim/`.
pub(super) fn answer(tenant: &Arc<Tenant>, asked: &Asked, rest: &str) -> Response {
    let parts: Vec<&str> = rest.trim_matches('/').split('/').collect();
    match (&asked.method, &parts[..]) {
        (&Method::GET, [""]) => typed(200, "text/plain", HELP),
        (&Method::GET, ["counters"]) => json_answer(200, &json!(tenant.counts())),
        (&Method::POST, ["reset"]) => {
            if asked.query_value("all").is_some_and(|value| value == "true") {
                tenant.reset();
            } else {
                tenant.reset_counts();
            }
            json_answer(200, &json!(tenant.counts()))
        }
        (&Method::GET, ["switches"]) => json_answer(200, &json!(tenant.switches())),
        (&Method::PUT, ["switches"]) => put_switches(tenant, asked),
        (&Method::GET, ["truth"]) => list_truth(tenant, asked),
        (&Method::GET, ["truth", "media", master, number]) => true_bytes(tenant, master, number),
        _ => typed(404, "text/plain", HELP),
    }
}

/// Replaces the switches that the body names.
fn put_switches(tenant: &Tenant, asked: &Asked) -> Response {
    let changed = tenant.change(|switches| {
        *switches = merged(switches, &asked.body)?;
        Ok::<_, serde_json::Error>(switches.clone())
    });
    match changed {
        Ok(switches) => json_answer(200, &json!(switches)),
        Err(error) => json_answer(400, &json!({"message": error.to_string()})),
    }
}

fn merged(switches: &Switches, body: &[u8]) -> serde_json::Result<Switches> {
    let mut whole = serde_json::to_value(switches)?;
    let change: serde_json::Map<String, Value> = serde_json::from_slice(body)?;
    if let Value::Object(whole) = &mut whole {
        whole.extend(change);
    }
    serde_json::from_value(whole)
}

/// A JSON array, made day by day so that its size does not matter.
fn list_truth(tenant: &Arc<Tenant>, asked: &Asked) -> Response {
    let settings = tenant.settings();
    let (first, last) = match asked.query_value("day").map(|text| text.parse::<Day>()) {
        None => (settings.first_day(), settings.last_day),
        Some(Ok(day)) => (day, day),
        Some(Err(error)) => return json_answer(400, &json!({"message": error.to_string()})),
    };
    let tenant = tenant.clone();
    let days = (first.0..=last.0).map(move |day| {
        let rows = truth::of_day(&tenant.world, Day(day));
        rows.map(|row| json!(row).to_string()).collect::<Vec<String>>().join(",\n")
    });
    let mut begun = false;
    let separated = days.filter(|text| !text.is_empty()).map(move |text| {
        let separator = if std::mem::replace(&mut begun, true) { ",\n" } else { "" };
        format!("{separator}{text}")
    });
    let whole = std::iter::once(String::from("[")).chain(separated).chain(std::iter::once(String::from("]\n")));
    typed(200, "application/json", Body::from_stream(stream::iter(whole.map(Ok::<_, Infallible>))))
}

fn true_bytes(tenant: &Tenant, master: &str, number: &str) -> Response {
    let recording = master.parse::<MasterId>().ok().zip(number.parse::<u8>().ok());
    let Some(recording) = recording.and_then(|(master, number)| tenant.world.recording(master, number)) else {
        return json_answer(404, &json!({"message": "no such recording"}));
    };
    let end = recording.len();
    let response = typed(200, "video/mp4", stream_of(recording, Span { start: 0, end }, None));
    with_header(response, "content-length", &end.to_string())
}
