//! One bounded HTTP exchange with the tenant: headers, time, size, and what an answer's status means.
//!
//! Knows neither which call it carries nor whether it will be tried again. Redirects are never followed: a token must not
//! travel to a host that nobody named.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::{body, weight};
use crate::base::Clock;
use crate::cxone::counters::Counters;
use crate::cxone::reporting::mend;
use crate::cxone::settings::{CallClass, CallTimes};
use crate::cxone::{address, text};
use crate::net::CaBundle;
use crate::net::error::{ApiError, ApiErrorKind};

/// Bytes of a login or discovery answer.
pub(super) const LOGIN_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one Media Playback answer.
pub(super) const PLAYBACK_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A body up to this size (bytes) is received without asking for room. Answers of a tenant as it should be are smaller, pages of listings
/// excepted.
const SMALL_BODY_BYTES: usize = 256 * 1024;
/// Larger bodies in memory at once, from their first large byte until the answer is dropped. With `body_max` this bounds what answers
/// take, however many calls are under way.
const LARGE_BODIES_MAX: usize = 8;
/// Bytes of an error's body that are looked at; the rest is not read.
const ERROR_BYTES_MAX: usize = text::EXPLAINED_BYTES_MAX;
/// What one answer may take in memory as a parsed document, bytes. A chat of ten thousand messages takes less.
const PARSED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// No host needs longer to accept a connection; where packets vanish, this is how long the first caller waits to hear of it.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// Idle connections kept per host: as many as a listing opens at once.
const IDLE_CONNECTIONS: usize = 4;

const CORRELATION_ID: HeaderName = HeaderName::from_static("correlationid");
const STATUS_DESCRIPTION: HeaderName = HeaderName::from_static("icstatusdescription");

/// What is being done, how long it may take and how large its answer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// In the words of a message: `{operation}: {host} answered 503`.
    pub operation: &'static str,
    pub class: CallClass,
    /// Bytes.
    pub body_max: usize,
}

/// The HTTP clients. Never follows a redirect.
pub(super) struct Http {
    tls: Result<Client, ApiError>,
    /// For plain http, which is for this machine only: needs no certificates, and no proxy stands between.
    plain: Client,
    times: CallTimes,
    clock: Arc<dyn Clock>,
    rng: Mutex<fastrand::Rng>,
    large_bodies: Arc<Semaphore>,
    pub counters: Counters,
}

impl Http {
    /// Builds the clients. Makes no request. A machine without CA certificates is an error only once TLS is needed: a simulated
    /// tenant on loopback works without.
    pub fn new(times: CallTimes, ca: Option<&CaBundle>, clock: Arc<dyn Clock>) -> Result<Http, ApiError> {
        crate::net::tls::install_crypto();
        let builder = || {
            Client::builder()
                .user_agent(concat!("cxonefs/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(times.login.min(CONNECT_TIMEOUT_MAX))
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .referer(false)
        };
        let failed = |what: &str, error: reqwest::Error| {
            ApiError::new(ApiErrorKind::Configuration, what).with_source(error.without_url())
        };
        let plain = builder().no_proxy().tls_certs_only([]).build();
        let plain = plain.map_err(|error| failed("building the HTTP client failed", error))?;
        let tls = builder().tls_certs_merge(CaBundle::for_client(ca)).build();
        let tls = tls.map_err(|error| failed("TLS cannot be used; are the system's CA certificates installed?", error));
        // Only names requests and spreads retries; it protects nothing, so the clock is seed enough.
        let seed = clock.now().as_nanosecond() as u64 ^ u64::from(std::process::id()).rotate_left(48);
        let rng = Mutex::new(fastrand::Rng::with_seed(seed));
        let large_bodies = Arc::new(Semaphore::new(LARGE_BODIES_MAX));
        Ok(Http { tls, plain, times, clock, rng, large_bodies, counters: Counters::default() })
    }

    /// A request to be completed and given to [`Http::send`].
    pub fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, ApiError> {
        Ok(self.client_for(&url)?.request(method, url))
    }

    /// Fails where this URL could not be asked anyway, so that it is known before the first request.
    pub fn check(&self, url: &Url) -> Result<(), ApiError> {
        self.client_for(url).map(drop)
    }

    /// A number in `[0, 1)` for spreading retries.
    pub fn jitter(&self) -> f64 {
        self.rng.lock().f64()
    }

    /// Sends the request and reads the whole answer, whatever its status, within the call's time.
    pub async fn send(&self, call: Call, request: RequestBuilder) -> Result<Answer, ApiError> {
        let id = self.correlation_id();
        // Where nothing is said of encodings, every one is allowed.
        let request = request.header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "identity");
        let request = request.header(CORRELATION_ID, &id).build().map_err(|error| {
            ApiError::new(ApiErrorKind::Configuration, format!("{}: the request cannot be written", call.operation))
                .with_source(error.without_url())
        })?;
        let url = request.url().clone();
        let host = address::host_and_port(&url);
        let exchange = async {
            let response =
                self.client_for(&url)?.execute(request).await.map_err(|error| cut_off(call, &host, error))?;
            let answer = self.read(call, &url, &host, response).await?;
            if body::is_dressed(&answer.body) { self.undress(answer).await } else { Ok(answer) }
        };
        let within = self.times.of(call.class);
        let outcome = match tokio::time::timeout(within, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ApiError::new(
                ApiErrorKind::Timeout,
                format!("{}: {host} did not answer within {within:?}", call.operation),
            )),
        };
        self.counters.note(call.operation, outcome.as_ref().map(|answer| answer.status.as_u16()));
        match outcome {
            Ok(mut answer) => {
                tracing::debug!(
                    operation = call.operation,
                    host,
                    status = answer.status.as_u16(),
                    correlation_id = id,
                    "answered"
                );
                answer.correlation_id = id.into();
                Ok(answer)
            }
            Err(error) => {
                tracing::debug!(operation = call.operation, host, correlation_id = id, %error, "no answer");
                Err(error.with_correlation_id(id))
            }
        }
    }

    async fn read(
        &self,
        call: Call,
        url: &Url,
        host: &str,
        mut response: reqwest::Response,
    ) -> Result<Answer, ApiError> {
        let status = response.status();
        let mut answer = Answer {
            call,
            status,
            url: url.clone(),
            host: host.to_owned(),
            correlation_id: "".into(),
            date: header(response.headers(), &DATE).as_deref().and_then(http_date),
            retry_after: self.retry_after(response.headers()),
            status_description: header(response.headers(), &STATUS_DESCRIPTION),
            location: header(response.headers(), &LOCATION),
            content_type: header(response.headers(), &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase(),
            body: Vec::new(),
            room: None,
        };
        if status.is_success() && response.content_length().is_some_and(|length| length > call.body_max as u64) {
            return Err(answer.too_large());
        }
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(answer),
                Ok(Some(chunk)) if status.is_success() => {
                    if answer.body.len() + chunk.len() > call.body_max {
                        return Err(answer.too_large());
                    }
                    if answer.room.is_none() && answer.body.len() + chunk.len() > SMALL_BODY_BYTES {
                        answer.room = Some(self.room_for_a_large_body().await?);
                    }
                    answer.body.extend_from_slice(&chunk);
                }
                // An error's status says enough: its body is read as far as it explains, and may break off.
                Ok(Some(chunk)) => {
                    let room = ERROR_BYTES_MAX - answer.body.len();
                    answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                    if answer.body.len() >= ERROR_BYTES_MAX {
                        return Ok(answer);
                    }
                }
                Err(_) if !status.is_success() => return Ok(answer),
                Err(error) => return Err(cut_off(call, host, error).with_status(status.as_u16())),
            }
        }
    }

    /// The same answer with a body in UTF-8.
    async fn undress(&self, mut answer: Answer) -> Result<Answer, ApiError> {
        if answer.room.is_none() {
            answer.room = Some(self.room_for_a_large_body().await?);
        }
        let (dressed, bytes_max) = (std::mem::take(&mut answer.body), answer.call.body_max);
        match tokio::task::spawn_blocking(move || body::plain(dressed, bytes_max)).await {
            Ok(Ok(plain)) => {
                answer.body = plain;
                Ok(answer)
            }
            Ok(Err(body::TooLarge)) => Err(answer.too_large()),
            Err(_) => Err(ApiError::new(ApiErrorKind::Unavailable, "this client is shutting down")),
        }
    }

    /// A holder of room never waits for more, so that two holders cannot block each other.
    async fn room_for_a_large_body(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let room = Arc::clone(&self.large_bodies).acquire_owned().await;
        room.map_err(|_| ApiError::new(ApiErrorKind::Unavailable, "this client is shutting down"))
    }

    fn client_for(&self, url: &Url) -> Result<&Client, ApiError> {
        // Every caller has checked its URL by its own rules; this holds whatever they forget.
        if !address::is_private(url) {
            let message = format!("{} must be asked by https", address::host_and_port(url));
            return Err(ApiError::new(ApiErrorKind::Configuration, message));
        }
        if url.scheme() == "http" { Ok(&self.plain) } else { self.tls.as_ref().map_err(ApiError::clone) }
    }

    /// `Retry-After` in seconds or as a date, the date by the server's own clock where it tells it.
    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let said = header(headers, &RETRY_AFTER)?;
        let now = header(headers, &DATE).as_deref().and_then(http_date).unwrap_or_else(|| self.clock.now());
        retry_after(&said, now)
    }

    fn correlation_id(&self) -> String {
        let bits = self.rng.lock().u128(..);
        // The form of a random UUID, which is what other clients send.
        let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// A whole answer. Its body may hold tokens or signed links: it has no `Debug`.
pub(super) struct Answer {
    call: Call,
    pub status: StatusCode,
    /// The URL that was asked, for resolving a relative `Location`.
    pub url: Url,
    host: String,
    correlation_id: Arc<str>,
    /// The server's time.
    pub date: Option<Timestamp>,
    retry_after: Option<Duration>,
    status_description: Option<String>,
    pub location: Option<String>,
    content_type: String,
    pub body: Vec<u8>,
    /// Held while the body, or what is read from it, is in memory.
    room: Option<OwnedSemaphorePermit>,
}

impl Answer {
    /// 204: there is nothing. A 200 with nothing in it is no answer: what it would empty is remembered.
    pub fn is_empty(&self) -> bool {
        self.status == StatusCode::NO_CONTENT
    }

    fn is_blank(&self) -> bool {
        self.body.iter().all(u8::is_ascii_whitespace)
    }

    /// Whether the body is a web page or other markup, which no API of the tenant sends.
    pub fn is_html(&self) -> bool {
        self.content_type.starts_with("text/html") || self.body.trim_ascii_start().starts_with(b"<")
    }

    /// What a header says about the answer.
    pub fn description(&self) -> Option<&str> {
        self.status_description.as_deref()
    }

    /// The error of a gateway that lets no more calls through, under whatever status it says so.
    pub fn throttled(&self) -> ApiError {
        self.error().with_kind(ApiErrorKind::RateLimited { retry_after: self.retry_after })
    }

    /// The answer itself if its status is 2xx, else the error that the status means.
    pub fn ok(self) -> Result<Answer, ApiError> {
        if self.status.is_success() { Ok(self) } else { Err(self.error()) }
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, ApiError> {
        if self.is_blank() {
            return Err(self.bad(&match &self.status_description {
                Some(said) => format!("an empty answer: {}", text::safe(said)),
                None => String::from("an empty answer"),
            }));
        }
        let body = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body);
        if weight::bytes_parsed(body) > PARSED_BYTES_MAX {
            return Err(self.bad("the answer holds too many values").too_large());
        }
        // What is almost JSON was paid for as well.
        let parsed = serde_json::from_slice(body);
        parsed.or_else(|error| serde_json::from_str(&mend::mend(body)).map_err(|_| error)).map_err(|error| {
            let sent = if self.content_type.is_empty() { "something" } else { &self.content_type };
            self.bad(&format!("sent {}, which is not JSON", text::safe(sent))).with_source(error)
        })
    }

    /// The error that an answer other than 2xx means.
    pub fn error(&self) -> ApiError {
        let status = self.status.as_u16();
        let kind = match status {
            401 | 403 => ApiErrorKind::Denied,
            429 => ApiErrorKind::RateLimited { retry_after: self.retry_after },
            408 | 425 | 500..=599 => ApiErrorKind::Unavailable,
            _ => ApiErrorKind::BadAnswer,
        };
        let mut message = format!("{}: {} answered {status}", self.call.operation, self.host);
        if self.status.is_redirection() {
            let target = self.redirect_target();
            let target = target.as_ref().map_or_else(|| String::from("nowhere"), address::host_and_port);
            message.push_str(" to ");
            message.push_str(&target);
            message.push_str("; redirects are not followed");
        } else if let Some(said) = self.said() {
            message.push_str(": ");
            message.push_str(&said);
        }
        self.mark(ApiError::new(kind, message))
    }

    /// What the server says about its answer, made safe for an error.
    pub fn said(&self) -> Option<String> {
        let described = || self.status_description.as_deref().map(text::safe).filter(|said| !said.is_empty());
        if self.is_blank() { described() } else { text::explanation(&self.body).or_else(described) }
    }

    /// Where a redirect points, resolved against the URL that was asked.
    pub fn redirect_target(&self) -> Option<Url> {
        self.url.join(self.location.as_deref()?).ok()
    }

    fn too_large(&self) -> ApiError {
        self.bad(&format!("the answer is larger than {} bytes", self.call.body_max)).too_large()
    }

    /// An answer that makes no sense. `why` must be free of the body's content.
    pub fn bad(&self, why: &str) -> ApiError {
        self.mark(ApiError::new(ApiErrorKind::BadAnswer, format!("{}: {}: {why}", self.call.operation, self.host)))
    }

    /// Adds the status and the correlation id.
    pub fn mark(&self, error: ApiError) -> ApiError {
        error.with_status(self.status.as_u16()).with_correlation_id(self.correlation_id.clone())
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    if value.is_empty() { None } else { Some(value) }
}

/// The error of an exchange that gave no whole answer. The URL is taken out: its query may be a secret.
fn cut_off(call: Call, host: &str, error: reqwest::Error) -> ApiError {
    let error = error.without_url();
    let is_unsent = error.is_connect();
    let (kind, what) = if error.is_timeout() {
        (ApiErrorKind::Timeout, "took too long")
    } else if error.is_connect() {
        (ApiErrorKind::Unavailable, "cannot be reached")
    } else {
        (ApiErrorKind::Unavailable, "broke the connection off")
    };
    let error = ApiError::new(kind, format!("{}: {host} {what}", call.operation)).with_source(error);
    if is_unsent { error.unsent() } else { error }
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// Reads `Retry-After`; a date in the past is zero.
fn retry_after(said: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = said.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    if let Ok(seconds) = said.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = http_date(said)?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SystemClock;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-02T08:59:30Z".parse().unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("0.5", now), Some(Duration::from_millis(500)));
        assert_eq!(retry_after("Mon, 02 Nov 2026 08:59:40 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Mon, 02 Nov 2026 08:59:20 GMT", now), Some(Duration::ZERO));
        for nonsense in ["soon", "-1", "nan", ""] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }

    #[test]
    fn correlation_ids_look_like_uuids_and_differ() {
        let http = Http::new(CallTimes::with_billed(Duration::from_secs(1)), None, Arc::new(SystemClock)).unwrap();
        let (one, other) = (http.correlation_id(), http.correlation_id());
        assert_ne!(one, other);
        for id in [one, other] {
            assert_eq!(id.len(), 36);
            assert_eq!(id.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&id.as_bytes()[19]));
        }
    }
}
