//! From a request to what the case answers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::case::{Answer, OBJECT_BYTES, Object};
use super::listing::{Page, Wanted, page};
use super::storage::{Content, span};
use super::{KEY, Kind, SECRET, Seen, Shared};

/// Life of links that a case says nothing of, in seconds.
const LINK_LIFE_S: u64 = 900;
const BODY_MAX: usize = 1 << 20;

type Query = Vec<(String, String)>;

pub async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let bend = shared.bend.lock().unwrap().clone();
    let at = shared.lock().seen.len();
    let answered = answered(&shared, request).await;
    let Some(bend) = bend else { return answered };
    let (seen, number) = {
        let inner = shared.lock();
        let seen = inner.seen[at].clone();
        let number = inner.seen[..at].iter().filter(|before| before.kind == seen.kind).count();
        (seen, number)
    };
    let (head, body) = answered.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    bend(&seen, number, Response::from_parts(head, body))
}

async fn answered(shared: &Arc<Shared>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await.unwrap_or_default();
    let path = head.uri.path().to_owned();
    let query: Query =
        url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let kind = kind_of(&path.to_ascii_lowercase());
    let master = (kind == Kind::Playback).then(|| value(&query, "acd-call-id").unwrap_or_default().to_owned());
    shared.lock().seen.push(Seen {
        kind,
        at: shared.started.elapsed(),
        path: path.clone(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        master: master.clone(),
        range: text(&head.headers, header::RANGE.as_str()).map(str::to_owned),
        bears_token: head.headers.contains_key(header::AUTHORIZATION),
    });
    if matches!(kind, Kind::Completed | Kind::Admin | Kind::Playback) && !admits(shared, &head.headers) {
        return answer(401, &json!({"message": "Unauthorized"}).to_string());
    }
    match kind {
        Kind::Login => login(shared, &body).await,
        Kind::Discovery => answer(200, &discovery(shared, &path).to_string()),
        Kind::Completed => completed(shared, &path, &query).await,
        Kind::Admin if path.to_ascii_lowercase().ends_with("/business-unit") => {
            let units = json!({"businessUnits": [{"businessUnitId": 9_999_999, "tenantId": TENANT}]});
            answer(200, &units.to_string())
        }
        Kind::Admin => answer(204, ""),
        Kind::Playback => playback(shared, &master.unwrap_or_default()).await,
        Kind::Media => {
            media(shared, &head.method, &path, head.uri.query().unwrap_or_default(), &query, &head.headers).await
        }
        Kind::Unknown => answer(404, &json!({"message": "no Route matched with those values"}).to_string()),
    }
}

const TENANT: &str = "11eb0000-0000-0000-0000-0000000ca5e5";

fn kind_of(path: &str) -> Kind {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts[..] {
        ["authentication", "v1", "token", "access-key"] | ["auth", "token"] => Kind::Login,
        [".well-known", _] => Kind::Discovery,
        ["incontactapi", "services", _, "contacts", "completed"] => Kind::Completed,
        ["incontactapi", "services", ..] => Kind::Admin,
        ["media-playback", "v1", "contacts"] => Kind::Playback,
        ["media" | "go", _] => Kind::Media,
        _ => Kind::Unknown,
    }
}

fn value<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn answer(status: u16, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn xml(status: u16, code: &str) -> Response<Body> {
    let mut response =
        answer(status, &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>"));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
    response
}

fn admits(shared: &Shared, headers: &HeaderMap) -> bool {
    let token = text(headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
    token.is_some_and(|token| shared.lock().tokens.iter().any(|known| known == token))
}

async fn login(shared: &Shared, body: &[u8]) -> Response<Body> {
    let number = next_of(shared, "token");
    let answers = shared.lock().case.token.clone();
    if let Some(answers) = answers {
        return written(shared, &answers.number(number), "").await;
    }
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let form: Query = url::form_urlencoded::parse(body).into_owned().collect();
    let is_key = |id: &str| id.starts_with(KEY);
    let by_json = sent["accessKeyId"].as_str().is_some_and(is_key) && sent["accessKeySecret"] == SECRET;
    let by_form = value(&form, "username").is_some_and(is_key) && value(&form, "password") == Some(SECRET);
    if !by_json && !by_form {
        return answer(
            401,
            &json!({"error": "invalid_grant", "errorDescription": "access key is not valid"}).to_string(),
        );
    }
    let claims = json!({"tenantId": TENANT, "area": "na1", "sub": format!("user:case-{number}"), "icBUId": 9_999_999});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!(
        "{}.{}.{}",
        part(&json!({"alg": "none"})),
        part(&claims),
        part(&json!(format!("case signature {number}")))
    );
    shared.lock().tokens.push(token.clone());
    let tokens = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600, "id_token": token});
    answer(200, &tokens.to_string())
}

fn discovery(shared: &Shared, path: &str) -> Value {
    let url = &shared.url;
    if path.contains("openid") {
        return json!({"issuer": url, "token_endpoint": format!("{url}/auth/token")});
    }
    json!({
        "private": false, "ui_endpoint": url, "auth_endpoint": url, "api_endpoint": url, "area": "na1", "cluster": "C99",
        "domain": "niceincontact.com", "uhDomain": "nice-incontact.com", "tenantId": TENANT,
    })
}

async fn completed(shared: &Shared, path: &str, query: &Query) -> Response<Body> {
    let number = next_of(shared, "list");
    let case = shared.lock().case.clone();
    if case.list.latency > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(case.list.latency)).await;
    }
    if let Some(first) = case.list.first.get(number) {
        return written(shared, first, "").await;
    }
    let mut kept = url::form_urlencoded::Serializer::new(String::new());
    kept.extend_pairs(query.iter().filter(|(key, _)| !["skip", "top"].contains(&key.to_ascii_lowercase().as_str())));
    let here = format!("{}{path}?{}", shared.url, kept.finish());
    match page(&case, &Wanted::of(query), &here) {
        Page::Empty => answer(204, ""),
        Page::Rows(body) => answer(200, &body.to_string()),
        Page::Refused => {
            let mut response = answer(400, "");
            let reason = header::HeaderValue::from_static("The date range is too long");
            response.headers_mut().insert("icStatusDescription", reason);
            response
        }
    }
}

async fn playback(shared: &Shared, master: &str) -> Response<Body> {
    let found = shared.lock().case.playback_of(master).map(|(key, answers)| (key.to_owned(), answers.clone()));
    match found {
        None => answer(404, &json!({"internalCode": "1010", "message": "Interaction Not Found"}).to_string()),
        Some((key, answers)) => {
            let number = next_of(shared, &format!("playback {key}"));
            written(shared, &answers.number(number), master).await
        }
    }
}

/// How many answers of this kind went before; counts this one.
fn next_of(shared: &Shared, key: &str) -> usize {
    let mut inner = shared.lock();
    let count = inner.answered.entry(key.to_owned()).or_default();
    *count += 1;
    *count - 1
}

/// An answer with its placeholders filled.
async fn written(shared: &Shared, found: &Answer, master: &str) -> Response<Body> {
    if found.latency > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(found.latency)).await;
    }
    if found.cut {
        return cut();
    }
    let body = found.raw.clone().or(found.body.as_ref().map(Value::to_string)).unwrap_or_default();
    let now = now_s();
    let serial = if body.contains("{SERIAL}") {
        let mut inner = shared.lock();
        inner.links += 1;
        inner.links
    } else {
        0
    };
    let date = Timestamp::from_second(now.cast_signed()).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string();
    let filled = body
        .replace("{B}", &shared.url)
        .replace("{M}", master)
        .replace("{EXP}", &(now + found.ttl.unwrap_or(LINK_LIFE_S)).to_string())
        .replace("{DATE}", &date)
        .replace("{SERIAL}", &serial.to_string());
    let mut response = answer(found.status.unwrap_or(200), &filled);
    if let Some(kind) = &found.content_type {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
    }
    for (name, value) in &found.headers {
        response.headers_mut().insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    response
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "links end by the time of day, and the program under test goes by it too"
)]
fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A connection that closes in the middle of an answer.
fn cut() -> Response<Body> {
    let failing = futures_util::stream::iter([Err::<axum::body::Bytes, _>(std::io::Error::other("cut"))]);
    let mut response = Response::new(Body::from_stream(failing));
    response.headers_mut().insert(header::CONTENT_LENGTH, 1000.into());
    response
}

async fn media(
    shared: &Shared,
    method: &Method,
    path: &str,
    raw_query: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Response<Body> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let object = shared.lock().case.media.get(name).cloned().unwrap_or_default();
    if object.latency > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(object.latency)).await;
    }
    if headers.contains_key(header::AUTHORIZATION) {
        return xml(400, "InvalidArgument");
    }
    if *method != Method::GET {
        return xml(403, "SignatureDoesNotMatch");
    }
    let now = now_s();
    if value(query, "Expires").and_then(|text| text.parse::<u64>().ok()).is_none_or(|end| end < now) {
        return xml(403, "AccessDenied");
    }
    let elsewhere =
        if path.starts_with("/go/") { Some(format!("{{B}}/media/{name}?{{Q}}")) } else { object.redirect.clone() };
    if let Some(place) = elsewhere {
        let mut response = answer(object.redirect_status.unwrap_or(302), "");
        let place = place.replace("{B}", &shared.url).replace("{Q}", raw_query);
        response.headers_mut().insert(header::LOCATION, place.parse().unwrap());
        return response;
    }
    if let Some(status) = object.status {
        let mut response = answer(status, &object.raw.unwrap_or_default());
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
        return response;
    }
    delivered(name, &object, query, headers)
}

fn delivered(name: &str, object: &Object, query: &Query, headers: &HeaderMap) -> Response<Body> {
    let size = object.size.unwrap_or(OBJECT_BYTES);
    let per_link = object.etag.as_deref() == Some("per_link");
    let version = if per_link { value(query, "serial").and_then(|text| text.parse().ok()).unwrap_or(0) } else { 0 };
    let content = Content::new(name, size, version);
    let etag = object.etag.clone().filter(|_| !per_link).unwrap_or_else(|| content.etag());
    if text(headers, "if-match").is_some_and(|tag| tag != "*" && tag != etag) {
        return xml(412, "PreconditionFailed");
    }
    let unchanged = text(headers, "if-range").is_none_or(|tag| tag == etag);
    let range = text(headers, "range").filter(|_| unchanged);
    let Ok(part) = span(range, size) else {
        let mut response = xml(416, "InvalidRange");
        response.headers_mut().insert(header::CONTENT_RANGE, format!("bytes */{size}").parse().unwrap());
        return response;
    };
    let (start, end) = part.unwrap_or((0, size));
    let mut response = Response::new(content.stream(start, end, object.rate));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("video/mp4"));
    headers.insert(header::CONTENT_LENGTH, (end - start).into());
    headers.insert(header::ETAG, etag.parse().unwrap());
    headers.insert(header::ACCEPT_RANGES, header::HeaderValue::from_static("bytes"));
    if part.is_some() {
        headers.insert(header::CONTENT_RANGE, format!("bytes {start}-{}/{size}", end - 1).parse().unwrap());
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}
