//! The billed call: one Media Playback request for one master contact. Never tried again here.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use super::address;
use super::endpoints::Endpoints;
use super::error::{ApiError, ApiErrorKind};
use super::http::{Answer, Call, PLAYBACK_BYTES_MAX};
use super::interaction::{self, Document};
use super::link;
use super::model::{Playback, PlaybackAnswer};
use super::settings::CallClass;
use super::tenant::Inner;
use crate::base::MasterId;

const PLAYBACK: Call = Call { operation: "media playback", class: CallClass::Billed, body_max: PLAYBACK_BYTES_MAX };

/// One request. With `renew`, a refused token is renewed, and the error says so: a second request is another one under the rate limit.
pub(super) async fn playback(inner: &Arc<Inner>, master: MasterId, renew: bool) -> Result<PlaybackAnswer, ApiError> {
    let (answer, session) = inner.get_once(PLAYBACK, |endpoints| url(endpoints, master)).await?;
    if renew && answer.status == StatusCode::UNAUTHORIZED {
        inner.session_after(&session).await?;
        return Err(answer.error().token_renewed());
    }
    read(answer, session.endpoints.playback_is_plain_loopback())
}

/// `all` brings chats, emails and screens in the same call; the excluded parts are large and not shown. Never `isDownload`: it would
/// cost the metadata.
fn url(endpoints: &Endpoints, master: MasterId) -> Url {
    let mut url = address::join(&endpoints.playback, "media-playback/v1/contacts");
    url.query_pairs_mut()
        .append_pair("acd-call-id", &master.to_string())
        .append_pair("media-type", "all")
        .append_pair("exclude-waveforms", "true")
        .append_pair("exclude-qm-categories", "true");
    url
}

fn read(answer: Answer, plain_loopback: bool) -> Result<PlaybackAnswer, ApiError> {
    if answer.status == StatusCode::NOT_FOUND {
        return not_found(&answer);
    }
    if answer.status.is_redirection() {
        return redirected(&answer, plain_loopback);
    }
    let answer = answer.ok()?;
    if answer.is_empty() {
        return Ok(PlaybackAnswer::Found(Playback { metadata: Value::Object(Map::new()), items: Vec::new() }));
    }
    match interaction::read(answer.json()?, plain_loopback) {
        Ok(Document::Playback(playback)) => Ok(PlaybackAnswer::Found(playback)),
        Ok(Document::NotFound) => Ok(PlaybackAnswer::NotFound),
        Err(bad) => Err(answer.bad(&bad.to_string())),
    }
}

/// "No recording" is remembered for days, so a 404 that speaks of the address rather than of the interaction must not count as one.
fn not_found(answer: &Answer) -> Result<PlaybackAnswer, ApiError> {
    let speaks_of_address = answer.said().is_some_and(|said| said.to_ascii_lowercase().contains("no route matched"));
    if answer.is_html() || speaks_of_address {
        return Err(answer.bad("no such address; check tenant.playback_endpoint"));
    }
    Ok(PlaybackAnswer::NotFound)
}

/// A redirect to what looks like a recording is taken as its link; to anything else (a login page) it makes no sense.
fn redirected(answer: &Answer, plain_loopback: bool) -> Result<PlaybackAnswer, ApiError> {
    let Some(target) = answer.redirect_target().filter(link::looks_like_media) else { return Err(answer.error()) };
    let media = link::read(target.as_str(), plain_loopback)
        .map_err(|bad| answer.mark(ApiError::new(ApiErrorKind::BadAnswer, format!("{}: {bad}", PLAYBACK.operation))))?;
    Ok(PlaybackAnswer::Found(interaction::redirected(media)))
}
