//! The media host over HTTP: one ranged GET at a time, checked. Knows neither blocks nor files, and decides no retry.
//!
//! A client of its own: no redirect is followed, no bearer token and no cookie is ever sent, since a presigned URL is the
//! whole authority and media hosts refuse a second one.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use jiff::Timestamp;
use url::{Host, Url};

use super::check::{self, Verdict};
use super::error::{MediaError, chain};
use super::gate::HostName;
use super::hosts::{Hosts, unreached};
use super::links::Link;
use crate::base::Clock;
use crate::cxone::{ApiError, Ask, Breaker, ServiceState};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Media hosts close idle connections after some tens of seconds; ours go first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// A link is taken as ended this long before its end, so that a request under way does not meet it.
const LINK_MARGIN_S: i64 = 1;
/// No answer told the host's clock yet.
const SKEW_UNKNOWN: i64 = i64::MIN;

/// The HTTP side of the media layer.
pub struct Source {
    tls: Result<reqwest::Client, String>,
    plain: reqwest::Client,
    hosts: Hosts,
    /// Seconds by which the host's clock is ahead of ours.
    skew_s: AtomicI64,
}

/// Where a link leads, and whether one may go there now.
pub struct Target<'a> {
    pub breaker: Breaker,
    pub host: HostName,
    client: &'a reqwest::Client,
    url: Url,
}

impl Target<'_> {
    /// What is asked for, whatever its signature.
    pub fn ask(&self) -> Ask {
        Ask::of(&self.url.path())
    }
}

/// A checked answer and its body.
#[derive(Debug)]
pub struct Answer {
    pub verdict: Verdict,
    pub validator: String,
    body: reqwest::Response,
}

impl Answer {
    /// The next piece of the body; none at its end. Cancel-safe.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        self.body.chunk().await.map_err(explain)
    }
}

impl Source {
    /// Builds the clients. Makes no request. A machine without CA certificates is an error only once TLS is needed: a simulated
    /// tenant on loopback works without.
    pub fn new(connections: usize) -> Result<Source, MediaError> {
        crate::base::tls::install_crypto();
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("cxonefs/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .http1_only()
                .tcp_nodelay(true)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(connections)
        };
        let failed = |error| format!("cannot set up HTTP for media: {}", explain(error));
        // Plain http is for this machine only, and no proxy stands between.
        let plain = builder().no_proxy().tls_certs_only([]).build();
        let plain = plain.map_err(|error| MediaError::source(failed(error)))?;
        let tls = builder().build().map_err(failed);
        Ok(Source { tls, plain, hosts: Hosts::new(), skew_s: AtomicI64::new(SKEW_UNKNOWN) })
    }

    /// What a link leads to. An error is a text without the URL.
    pub fn target(&self, link: &Link) -> Result<Target<'_>, String> {
        let url = Url::parse(link.link.url.expose()).map_err(|_| "the link is not a URL".to_owned())?;
        if !may_be_fetched(&url) {
            return Err("the link is neither https nor http to this machine".to_owned());
        }
        let client = if url.scheme() == "http" { &self.plain } else { self.tls.as_ref().map_err(Clone::clone)? };
        let host = HostName(url.origin().ascii_serialization().into());
        Ok(Target { breaker: self.hosts.breaker(&url, client), host, client, url })
    }

    /// How the media hosts are.
    pub fn hosts(&self) -> Vec<ServiceState> {
        self.hosts.states()
    }

    /// One GET of the bytes `range`. An error holds no URL, and is worth another attempt.
    pub async fn get(&self, target: &Target<'_>, range: &Range<u64>, clock: &dyn Clock) -> Result<Answer, ApiError> {
        let request = target
            .client
            .get(target.url.clone())
            .header(header::RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
            // Offsets are offsets of the object, not of an encoding of it.
            .header(header::ACCEPT_ENCODING, "identity");
        let body = request.send().await.map_err(unreached)?;
        if let Some(date) = check::date(body.headers()) {
            self.skew_s.store(date.as_second() - clock.now().as_second(), Ordering::Relaxed);
        }
        let verdict = check::judge(body.status().as_u16(), body.headers(), range);
        Ok(Answer { verdict, validator: check::validator(body.headers()), body })
    }

    /// Whether a link is past the end that it states, by the host's clock as far as that is known.
    pub fn has_ended(&self, link: &Link, now: Timestamp) -> bool {
        let skew = self.skew_s.load(Ordering::Relaxed);
        skew != SKEW_UNKNOWN && link.link.expires_at.is_some_and(|end| ended(end, link.signed_at, now, skew))
    }
}

/// A link that was past its stated end when it was signed states nonsense: asking for another would cost a billed call each time,
/// and trying it costs nothing.
fn ended(end: Timestamp, signed_at: Timestamp, now: Timestamp, skew_s: i64) -> bool {
    let by_host = |instant: Timestamp| instant.as_second().saturating_add(skew_s);
    let end = end.as_second().saturating_sub(LINK_MARGIN_S);
    by_host(signed_at) < end && by_host(now) >= end
}

/// https anywhere; http on loopback only.
fn may_be_fetched(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        ("http", Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

/// The causes of an error without the URL, which is a secret.
fn explain(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_stays_on_this_machine() {
        let may = |text: &str| may_be_fetched(&Url::parse(text).unwrap());
        assert!(may("https://bucket.s3.us-west-2.amazonaws.com/x.mp4"));
        assert!(may("http://127.0.0.1:9/x") && may("http://[::1]/x") && may("http://localhost/x"));
        assert!(!may("http://10.0.0.1/x") && !may("http://localhost.example/x") && !may("file:///etc/passwd"));
    }

    #[test]
    fn a_link_ends_by_the_clock_of_the_host() {
        let second = |second| Timestamp::from_second(second).unwrap();
        let signed = second(900);
        assert!(!ended(second(1060), signed, second(1000), 0));
        assert!(ended(second(1060), signed, second(1000), 60));
        assert!(!ended(second(1000), signed, second(1000), -60));
    }

    #[test]
    fn a_link_that_was_born_dead_is_tried() {
        let second = |second| Timestamp::from_second(second).unwrap();
        assert!(!ended(second(1000), second(1000), second(1001), 0));
        assert!(!ended(second(1000), second(5000), second(9000), 0));
    }
}
