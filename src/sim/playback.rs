//! Media Playback: the billed call.

use std::time::Duration;

use axum::response::Response;
use serde_json::json;
use url::Url;

use super::answers::{json_answer, with_header};
use super::counters::Counters;
use super::dates::amz_date;
use super::interaction::{Element, ElementKind, Interaction, Outcome};
use super::mix::{in_share, mix};
use super::moods::Mood;
use super::people::uuid_number;
use super::playback_body::{SEGMENT, body};
use super::state::{Asked, Tenant};
use super::storage::{REDIRECTING, object_path, sign, version_of_signing};
use super::switches::{PlaybackVariant, Switches, Throttle};
use crate::base::MasterId;

/// Values of `media-type`.
const MEDIA_TYPES: [&str; 5] = ["voice-only", "voice-and-screen", "chat", "email", "all"];

/// `GET /media-playback/v1/contacts?acd-call-id=`.
pub(super) fn contacts(tenant: &Tenant, asked: &Asked) -> Response {
    let Some(id) = asked.query_value("acd-call-id") else {
        return refused(400, "acd-call-id is required");
    };
    answer(tenant, asked, interaction_of(tenant, &id), None)
}

fn interaction_of(tenant: &Tenant, id: &str) -> Option<Interaction> {
    tenant.world.find(id.parse::<MasterId>().ok()?)
}

/// How long the answer to a request takes, where it is about a slow interaction.
pub(super) fn slowness(tenant: &Tenant, asked: &Asked) -> Option<Duration> {
    let interaction = interaction_of(tenant, &asked.query_value("acd-call-id")?)?;
    (interaction.mood == Mood::Slow).then(|| Duration::from_millis(tenant.switches().slow_ms))
}

/// `GET /media-playback/v1/segments/{segmentId}`: one element, under `Interactions`.
pub(super) fn segment(tenant: &Tenant, asked: &Asked, id: &str) -> Response {
    // A segment's id ends in its leg's contact id.
    let contact = uuid_number(SEGMENT, id).and_then(|number| i64::try_from(number).ok());
    let leg = contact.and_then(|number| tenant.world.find_leg(crate::base::ContactId(number)));
    let interaction = leg.and_then(|leg| tenant.world.find(leg.master));
    answer(tenant, asked, interaction, Some(id))
}

fn answer(tenant: &Tenant, asked: &Asked, interaction: Option<Interaction>, segment: Option<&str>) -> Response {
    if !tenant.admit_playback() {
        Counters::add(&tenant.counters.playback_429);
        return throttled(asked, &tenant.switches());
    }
    let types = asked.query_values("media-type");
    if types.iter().flat_map(|value| value.split(',')).any(|value| !MEDIA_TYPES.contains(&value)) {
        return refused(400, "media-type is not valid");
    }
    Counters::add(&tenant.counters.playback_billed);
    let shares = tenant.settings().shares;
    let now = tenant.now();
    let recorded = |interaction: &Interaction| {
        interaction.outcome == Outcome::Known && interaction.legs.iter().any(|leg| leg.listed <= now)
    };
    let switches = tenant.switches();
    let recorded = |interaction: &Interaction| {
        recorded(interaction) && !switches.amendments.unrecorded.contains(&interaction.master.0)
    };
    if let Some(refusal) = interaction.as_ref().and_then(|found| found.mood.answer(found.word)) {
        return refusal;
    }
    let otherwise = interaction.as_ref().is_some_and(|found| in_share(mix(&[found.word, 42]), shares.not_found_by_400));
    let not_found = if otherwise { 400 } else { 404 };
    let Some(interaction) = interaction.filter(recorded) else { return refused(not_found, "Interaction Not Found") };
    let mut variant = switches.playback_variant.unwrap_or_else(|| variant_of(tenant, &interaction));
    variant.capital_key |= segment.is_some();
    let urls: Vec<Option<String>> =
        interaction.elements.iter().map(|element| link(tenant, &switches, &interaction, element, &types)).collect();
    if asked.query_value("isDownload").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return match urls.into_iter().flatten().next() {
            Some(url) => json_answer(200, &json!({"redirectUrl": url})),
            None => refused(404, "Interaction Not Found"),
        };
    }
    let flag = |name: &str| asked.query_value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let waveforms = !flag("exclude-waveforms");
    json_answer(200, &body(&tenant.world, &interaction, &urls, variant, waveforms))
}

/// What a caller without a good token is told is the gateway's business; this is the throttle's answer.
fn throttled(asked: &Asked, switches: &Switches) -> Response {
    let response = match switches.throttle {
        Throttle::TooMany => json_answer(429, &json!({"message": "API rate limit exceeded", "route": asked.path})),
        Throttle::LimitExceeded => json_answer(403, &json!({"message": "Limit Exceeded"})),
    };
    match switches.retry_after.clone().or(switches.retry_after_s.map(|seconds| seconds.to_string())) {
        Some(text) => with_header(response, "retry-after", &text),
        None => response,
    }
}

fn refused(status: u16, message: &str) -> Response {
    json_answer(status, &json!({"internalCode": format!("MP-{status}"), "message": message}))
}

/// The variants of an interaction's answer, each by chance but the same in every call.
fn variant_of(tenant: &Tenant, interaction: &Interaction) -> PlaybackVariant {
    let has = |number| in_share(mix(&[interaction.word, 40, number]), tenant.settings().shares.variant);
    PlaybackVariant {
        capital_key: has(1),
        value_wrapper: has(2),
        element_wrapper: has(3),
        lower_case_url: has(4),
        is_restricted: has(5),
        stray_quote: has(6),
        empty_url: mix(&[interaction.word, 41]).is_multiple_of(2),
    }
}

/// A fresh link to an element's recording, if it has one.
fn link(
    tenant: &Tenant,
    switches: &Switches,
    interaction: &Interaction,
    element: &Element,
    types: &[String],
) -> Option<String> {
    // Screens recorded beside legacy chats are linked only for who asks for all.
    let hidden = element.kind == ElementKind::Chat && !types.is_empty() && !types.iter().any(|value| value == "all");
    if !element.media || hidden {
        return None;
    }
    let now = tenant.now();
    let (date, life) = (amz_date(now), switches.link_life_s);
    let version = if switches.etag_per_signing || switches.content_per_signing {
        version_of_signing(tenant.serial(), switches.content_per_signing)
    } else {
        0
    };
    let master = interaction.master;
    let place = if let Some(base) = &tenant.settings().media_base_url {
        format!("{}/{master}_{}.mp4", base.as_str().trim_end_matches('/'), element.number)
    } else {
        let origin = switches.media_origin.as_deref().unwrap_or(&tenant.url);
        format!("{origin}{}", object_path(interaction, element))
    };
    let mut url = Url::parse(&place).ok()?;
    let signature = sign(tenant.settings().seed, url.path(), &date, life, version);
    let redirects = in_share(mix(&[interaction.word, 43]), tenant.settings().shares.redirecting);
    if redirects && tenant.settings().media_base_url.is_none() {
        url.set_path(&format!("{REDIRECTING}{}", url.path()));
    }
    tenant.handed_out.note(&signature);
    url.query_pairs_mut()
        .append_pair("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
        .append_pair("X-Amz-Credential", &format!("ASIASIMULATED/{}/us-west-2/s3/aws4_request", &date[..8]))
        .append_pair("X-Amz-Date", &date)
        .append_pair("X-Amz-Expires", &life.to_string())
        .append_pair("X-Amz-SignedHeaders", "host")
        .append_pair("versionId", &version.to_string())
        .append_pair("X-Amz-Signature", &signature);
    Some(String::from(url))
}
