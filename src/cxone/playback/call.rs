//! The billed call: one Media Playback request for one master contact. Never tried again here.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Map, Value};
use url::Url;

use crate::base::MasterId;
use crate::cxone::address;
use crate::cxone::auth::endpoints::Endpoints;
use crate::cxone::client::Client;
use crate::cxone::http::{Answer, Call, PLAYBACK_BYTES_MAX};
use crate::cxone::model::{Playback, PlaybackAnswer, Refusal, RefusalKind, Whose};
use crate::cxone::playback::interaction;
use crate::cxone::playback::link;
use crate::cxone::playback::verdict::{self, Said, Verdict};
use crate::cxone::settings::CallClass;
use crate::net::error::{ApiError, ApiErrorKind};

const PLAYBACK: Call = Call { operation: "media playback", class: CallClass::Billed, body_max: PLAYBACK_BYTES_MAX };

/// One request. With `renew`, a refused token is renewed, and the error says so: a second request is another one under the rate limit.
pub(in crate::cxone) async fn playback(
    client: &Arc<Client>,
    master: MasterId,
    renew: bool,
) -> Result<PlaybackAnswer, ApiError> {
    client.ensure_playback_is_known().await?;
    let (answer, session) = match client.get_once(PLAYBACK, |endpoints| url(endpoints, master)).await {
        Ok(answered) => answered,
        // Too large, for instance: it would be so again.
        Err(error) => return refused_as_nonsense(error),
    };
    if renew && answer.status == StatusCode::UNAUTHORIZED {
        client.session_after(&session).await?;
        return Err(answer.error().token_renewed());
    }
    read(&answer, master, session.endpoints.playback_is_plain_loopback())
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

fn read(answer: &Answer, master: MasterId, plain_loopback: bool) -> Result<PlaybackAnswer, ApiError> {
    if answer.is_empty() {
        return Ok(PlaybackAnswer::Found(Playback { metadata: Value::Object(Map::new()), items: Vec::new() }));
    }
    let document = if answer.status.is_success() {
        answer
            .json()
            .and_then(|body| interaction::read(body, plain_loopback).map_err(|bad| answer.bad(&bad.to_string())))
    } else if answer.status.is_redirection() {
        redirected(answer, plain_loopback)
    } else {
        Err(answer.error())
    };
    match document {
        // "Accepted" brings what there is, if there is anything.
        Ok(playback) if answer.status != StatusCode::ACCEPTED || has_content(&playback) => {
            Ok(PlaybackAnswer::Found(playback))
        }
        Err(why) if answer.status != StatusCode::ACCEPTED => without_document(answer, master, &why),
        _ => without_document(answer, master, &answer.error()),
    }
}

fn has_content(playback: &Playback) -> bool {
    playback.items.iter().any(|item| item.media.is_some() || item.chat.is_some() || !item.emails.is_empty())
}

/// An answer that is no document; `why` says what is wrong with it.
fn without_document(answer: &Answer, master: MasterId, why: &ApiError) -> Result<PlaybackAnswer, ApiError> {
    let said = Said {
        status: answer.status.as_u16(),
        is_html: answer.is_html(),
        body: &answer.body,
        description: answer.description(),
        master,
    };
    let denied = answer.status == StatusCode::FORBIDDEN;
    let (kind, whose) = match verdict::judge(&said) {
        Verdict::NotFound => return Ok(PlaybackAnswer::NotFound),
        Verdict::Throttled => return Err(answer.throttled()),
        Verdict::Failed => return Err(answer.error()),
        Verdict::Restoring => (RefusalKind::Restoring, Whose::Interaction),
        Verdict::Archived => (RefusalKind::Archived, Whose::Interaction),
        Verdict::Refused(whose) if denied => (RefusalKind::Denied, whose),
        Verdict::Refused(whose) => (RefusalKind::Refused, whose),
    };
    Ok(PlaybackAnswer::Refused(refusal(why, kind, whose)))
}

fn refusal(why: &ApiError, kind: RefusalKind, whose: Whose) -> Refusal {
    let (status, correlation_id) = (why.status.unwrap_or_default(), why.correlation_id.clone());
    Refusal { kind, whose, reason: why.to_string().into(), status, correlation_id }
}

/// An answer that came and makes no sense is one; what never was answered is none.
fn refused_as_nonsense(error: ApiError) -> Result<PlaybackAnswer, ApiError> {
    if error.kind != ApiErrorKind::BadAnswer || error.status.is_none() {
        return Err(error);
    }
    Ok(PlaybackAnswer::Refused(refusal(&error, RefusalKind::Refused, Whose::Interaction)))
}

/// A redirect to what looks like a recording is taken as its link; to anything else (a login page) it makes no sense.
fn redirected(answer: &Answer, plain_loopback: bool) -> Result<Playback, ApiError> {
    let Some(target) = answer.redirect_target().filter(link::looks_like_media) else { return Err(answer.error()) };
    let media = link::read(target.as_str(), plain_loopback)
        .map_err(|bad| answer.mark(ApiError::new(ApiErrorKind::BadAnswer, format!("{}: {bad}", PLAYBACK.operation))))?;
    Ok(interaction::redirected(media))
}
