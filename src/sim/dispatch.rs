//! From a request to its handler: which endpoint it is for, counts, delays, faults, tokens. Knows no endpoint's meaning.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;
use serde_json::json;
use tokio::time::sleep;

use super::answers::{empty, json_answer, unauthorized, with_header};
use super::counters::Counters;
use super::dates::http_date;
use super::faults::{instead, on_the_way, unless_closing};
use super::state::{Asked, Tenant};
use super::switches::Endpoint;
use super::{control, login, playback, reporting, storage};

/// Largest body that any request may have.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// Where a request leads.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    AccessKey,
    OidcToken,
    OpenIdConfiguration,
    CxoneConfiguration,
    Completed,
    Contact(&'a str),
    Agents,
    BusinessUnit,
    PlaybackContacts,
    PlaybackSegment(&'a str),
    Media,
    /// A link that redirects to an object.
    Redirecting,
}

impl Route<'_> {
    /// Reads a path in lower case (case is not significant to the tenant, except in the storage).
    fn of(path: &str) -> Option<Route<'_>> {
        // Clients that join a base with a slash at its end send `//`.
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts[..] {
            ["media", ..] => Some(Route::Media),
            ["go", "media", ..] => Some(Route::Redirecting),
            ["authentication", "v1", "token", "access-key"] => Some(Route::AccessKey),
            ["auth", "token"] => Some(Route::OidcToken),
            [".well-known", "openid-configuration"] => Some(Route::OpenIdConfiguration),
            [".well-known", "cxone-configuration"] => Some(Route::CxoneConfiguration),
            ["media-playback", "v1", "contacts"] => Some(Route::PlaybackContacts),
            ["media-playback", "v1", "segments", id] => Some(Route::PlaybackSegment(id)),
            ["incontactapi", "services", version, ref rest @ ..] if is_version(version) => match *rest {
                ["contacts", "completed"] => Some(Route::Completed),
                ["contacts", id] => Some(Route::Contact(id)),
                ["agents"] => Some(Route::Agents),
                ["business-unit"] => Some(Route::BusinessUnit),
                _ => None,
            },
            _ => None,
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Route::AccessKey | Route::OidcToken => Endpoint::Login,
            Route::OpenIdConfiguration | Route::CxoneConfiguration => Endpoint::Discovery,
            Route::Completed => Endpoint::Completed,
            Route::Contact(_) | Route::Agents | Route::BusinessUnit => Endpoint::Admin,
            Route::PlaybackContacts | Route::PlaybackSegment(_) => Endpoint::Playback,
            Route::Media | Route::Redirecting => Endpoint::Media,
        }
    }

    /// Whether the gateway lets the method through. The storage looks at it itself.
    fn allows(&self, method: &Method) -> bool {
        match self {
            Route::AccessKey | Route::OidcToken => method == Method::POST,
            Route::Media | Route::Redirecting => true,
            _ => method == Method::GET,
        }
    }

    fn needs_token(&self) -> bool {
        matches!(self.endpoint(), Endpoint::Completed | Endpoint::Admin | Endpoint::Playback)
    }
}

/// `v30.0`, `v6`.
fn is_version(text: &str) -> bool {
    text.strip_prefix('v').is_some_and(|number| number.parse::<f64>().is_ok())
}

/// Answers any request.
pub(super) async fn serve(State(tenant): State<Arc<Tenant>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, REQUEST_BYTES_MAX).await else { return empty(413) };
    let asked = Asked {
        method: head.method,
        path: String::from(head.uri.path()),
        query: String::from(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body,
        fault: None,
    };
    let response = match asked.path.strip_prefix("/__sim/") {
        Some(rest) => control::answer(&tenant, &asked, rest),
        None => outside(&tenant, asked).await,
    };
    // Clients go by the server's clock, and this is the server's clock.
    let date = http_date(tenant.now());
    with_header(response, "date", &date)
}

/// Answers a request that a client of a real tenant could make.
async fn outside(tenant: &Arc<Tenant>, mut asked: Asked) -> Response {
    let path = asked.path.to_ascii_lowercase();
    let Some(route) = Route::of(&path) else {
        Counters::add(&tenant.counters.unknown);
        return json_answer(404, &json!({"message": "no Route matched with those values"}));
    };
    let endpoint = route.endpoint();
    if route == Route::Redirecting {
        Counters::add(&tenant.counters.media_redirects);
        return storage::redirect(tenant, &asked);
    }
    tenant.counters.request(endpoint);
    if endpoint == Endpoint::Playback {
        tenant.note_playback(asked.query_value("acd-call-id").and_then(|id| id.parse().ok()));
    }
    let target = format!("{}?{}", asked.path, asked.query);
    let (latency, fault) =
        tenant.change(|switches| (switches.latency_ms.get(&endpoint).copied(), switches.take_fault(endpoint, &target)));
    if let Some(ms) = latency {
        unless_closing(&tenant.closing, sleep(Duration::from_millis(ms))).await;
    }
    if let Some(fault) = &fault {
        Counters::add(&tenant.counters.faults);
        if let Some(response) = instead(fault, endpoint, &asked.path, &tenant.closing).await {
            return response;
        }
    }
    if let Some(wait) = (endpoint == Endpoint::Playback).then(|| playback::slowness(tenant, &asked)).flatten() {
        unless_closing(&tenant.closing, sleep(wait)).await;
    }
    asked.fault.clone_from(&fault);
    let response = handle(tenant, &asked, &route);
    let response = match asked.header("correlationid") {
        Some(id) => with_header(response, "correlationid", id),
        None => response,
    };
    match &fault {
        Some(fault) => on_the_way(fault, response, &tenant.closing),
        None => response,
    }
}

fn handle(tenant: &Arc<Tenant>, asked: &Asked, route: &Route<'_>) -> Response {
    if !route.allows(&asked.method) {
        return empty(405);
    }
    if route.needs_token() && !tenant.admits(&asked.headers) {
        Counters::add(&tenant.counters.unauthorized);
        return unauthorized();
    }
    match route {
        Route::AccessKey => login::access_key(tenant, asked),
        Route::OidcToken => login::oidc_token(tenant, asked),
        Route::OpenIdConfiguration => login::openid_configuration(tenant),
        Route::CxoneConfiguration => login::cxone_configuration(tenant, asked),
        Route::Completed => reporting::completed(tenant, asked),
        Route::Contact(id) => reporting::contact(tenant, asked, id),
        Route::Agents => reporting::agents(tenant, asked),
        Route::BusinessUnit => reporting::business_unit(tenant, asked),
        Route::PlaybackContacts => playback::contacts(tenant, asked),
        Route::PlaybackSegment(id) => playback::segment(tenant, asked, id),
        Route::Media => storage::object(tenant, asked),
        Route::Redirecting => storage::redirect(tenant, asked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_endpoints() {
        assert_eq!(Route::of("/incontactapi/services/v30.0/contacts/completed"), Some(Route::Completed));
        assert_eq!(Route::of("/incontactapi/services/v6/contacts/12"), Some(Route::Contact("12")));
        assert_eq!(Route::of("/incontactapi/services/vx/agents"), None);
        assert_eq!(Route::of("/media-playback/v1/segments/5b7e-1"), Some(Route::PlaybackSegment("5b7e-1")));
        assert_eq!(Route::of("/media/bucket/a/b.mp4"), Some(Route::Media));
        assert_eq!(Route::of("/incontactapi//services/v28.0/agents"), Some(Route::Agents));
        assert_eq!(Route::of("/go/media/bucket/a/b.mp4"), Some(Route::Redirecting));
        assert_eq!(Route::of("/"), None);
    }
}
