//! The media host over HTTP: one ranged GET at a time, checked. Knows neither blocks nor files, and decides no retry.
//!
//! A client of its own: no bearer token and no cookie is ever sent, since a presigned URL is the whole authority and media hosts refuse a
//! second one. Redirects are followed here and not by the client, so that each target is checked as the link is.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use jiff::Timestamp;
use url::Url;

use super::check::{self, Verdict};
use super::error::{MediaError, chain};
use super::gate::HostName;
use super::hosts::{Hosts, unreached};
use super::links::Link;
use super::reach::{CheckedResolver, MediaReach, Unreachable};
use crate::base::Clock;
use crate::net::{ApiError, Ask, Breaker, CaBundle, Proxies, ServiceState};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Media hosts close idle connections after some tens of seconds; ours go first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// A link is taken as ended this long before its end, so that a request under way does not meet it.
const LINK_MARGIN_S: i64 = 1;
/// Redirects that one request follows.
const REDIRECTS_MAX: u32 = 3;
/// How long the text of an error may take to arrive: its status alone serves too.
const ERROR_TEXT_TIMEOUT: Duration = Duration::from_secs(2);
/// No answer told the host's clock yet.
const SKEW_UNKNOWN: i64 = i64::MIN;

/// The HTTP side of the media layer.
pub struct Source {
    tls: Result<reqwest::Client, String>,
    plain: reqwest::Client,
    reach: MediaReach,
    /// The host of the proxy that https goes by, but for the hosts of `NO_PROXY`, if the environment names one.
    proxy: Option<String>,
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
    /// It came from another place than the link's, which a redirect named.
    pub redirected: bool,
    body: reqwest::Response,
}

impl Answer {
    /// Whether a cut of the body can be told from its end, though its length is not told (RFC 9112 §7.1).
    pub fn marks_its_end(&self) -> bool {
        let coding = self.body.headers().get(header::TRANSFER_ENCODING).and_then(|coding| coding.to_str().ok());
        coding.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
    }

    /// The next piece of the body; none at its end. Cancel-safe.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        self.body.chunk().await.map_err(explain)
    }
}

/// A request without a usable answer. No text holds a URL.
#[derive(Debug)]
pub enum Failure {
    /// The link's host did not answer: worth another attempt.
    Unreached(ApiError),
    /// A host that it redirects to did not answer: worth another attempt, and no fault of the link's host.
    Lost(ApiError),
    /// It leads to where nothing is fetched from: no attempt will mend that.
    Forbidden(String),
}

impl Source {
    /// Builds the clients. Makes no request. A machine without CA certificates is an error only once TLS is needed: a simulated
    /// tenant on loopback works without.
    pub fn new(connections: usize, reach: MediaReach, ca: Option<&CaBundle>) -> Result<Source, MediaError> {
        crate::net::tls::install_crypto();
        let proxy = Proxies::from_environment().usual().map(|proxy| proxy.host);
        let builder = |proxy: Option<&String>| {
            reqwest::Client::builder()
                .user_agent(concat!("cxonefs/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .http1_only()
                .tcp_nodelay(true)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(connections)
                .dns_resolver(Arc::new(CheckedResolver::new(reach.clone(), proxy.cloned())))
        };
        let failed = |error| format!("cannot set up HTTP for media: {}", explain(error));
        // Plain http is for this machine only, and no proxy stands between.
        let plain = builder(None).no_proxy().tls_certs_only([]).build();
        let plain = plain.map_err(|error| MediaError::source(failed(error)))?;
        let tls = builder(proxy.as_ref()).tls_certs_merge(CaBundle::for_client(ca)).build().map_err(failed);
        Ok(Source { tls, plain, reach, proxy, hosts: Hosts::new(), skew_s: AtomicI64::new(SKEW_UNKNOWN) })
    }

    /// What a link leads to. An error is a text without the URL.
    pub fn target(&self, link: &Link) -> Result<Target<'_>, String> {
        let url = Url::parse(link.link.url.expose()).map_err(|_| "the link is not a URL".to_owned())?;
        let client = self.client(&url)?;
        let host = HostName(url.origin().ascii_serialization().into());
        Ok(Target { breaker: self.hosts.breaker(&url, client), host, client, url })
    }

    /// The client for a URL, which is checked.
    fn client(&self, url: &Url) -> Result<&reqwest::Client, String> {
        self.reach.check(url).map_err(|error| error.to_string())?;
        if self.proxy.is_some() && self.proxy.as_deref() == url.host_str() {
            return Err("the link leads to the proxy of this network".to_owned());
        }
        if url.scheme() == "http" { Ok(&self.plain) } else { self.tls.as_ref().map_err(Clone::clone) }
    }

    /// How the media hosts are.
    pub fn hosts(&self) -> Vec<ServiceState> {
        self.hosts.states()
    }

    /// One GET of the bytes `range`, wherever the media host redirects it to.
    pub async fn get(&self, target: &Target<'_>, range: &Range<u64>, clock: &dyn Clock) -> Result<Answer, Failure> {
        let (mut client, mut url) = (target.client, target.url.clone());
        for redirects in 0..=REDIRECTS_MAX {
            let request = client
                .get(url.clone())
                .header(header::RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
                // Offsets are offsets of the object, not of an encoding of it.
                .header(header::ACCEPT_ENCODING, "identity");
            let mut body = request.send().await.map_err(|error| failure(error, redirects > 0))?;
            // The clock that the link ends by is that of its own host.
            if redirects == 0
                && let Some(date) = check::date(body.headers())
            {
                self.skew_s.store(date.as_second() - clock.now().as_second(), Ordering::Relaxed);
            }
            let status = body.status().as_u16();
            let text = if matches!(status, 200 | 206) { Vec::new() } else { beginning(&mut body).await };
            let verdict = check::judge(status, body.headers(), &text, range);
            let Verdict::Elsewhere { location } = verdict else {
                return Ok(Answer {
                    verdict,
                    validator: check::validator(body.headers()),
                    redirected: redirects > 0,
                    body,
                });
            };
            url =
                url.join(&location).map_err(|_| Failure::Forbidden("the media host redirects to no URL".to_owned()))?;
            client = self.client(&url).map_err(|why| Failure::Forbidden(format!("the media host redirects: {why}")))?;
        }
        Err(Failure::Forbidden(format!("the media host redirects more than {REDIRECTS_MAX} times")))
    }

    /// The end that a link states, in the time of this machine: a second early, as [`Source::has_ended`] takes it.
    pub fn end_of(&self, link: &Link) -> Option<Timestamp> {
        let skew = self.skew_s.load(Ordering::Relaxed);
        let skew = if skew == SKEW_UNKNOWN { 0 } else { skew };
        let end = link.link.expires_at?.as_second().checked_sub(skew)?.checked_sub(LINK_MARGIN_S)?;
        Timestamp::from_second(end).ok()
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

/// Why a request got no answer.
fn failure(error: reqwest::Error, redirected: bool) -> Failure {
    if let Some(unreachable) = Unreachable::within(&error) {
        return Failure::Forbidden(unreachable.to_string());
    }
    let error = unreached(error);
    if redirected { Failure::Lost(error) } else { Failure::Unreached(error) }
}

/// The beginning of a body that is no recording, and all of it if it is short, so that its connection can be used again.
async fn beginning(body: &mut reqwest::Response) -> Vec<u8> {
    let mut text = Vec::new();
    let read = async {
        while text.len() < check::ERROR_BODY_MAX
            && let Ok(Some(piece)) = body.chunk().await
        {
            text.extend_from_slice(&piece);
        }
    };
    let _ = tokio::time::timeout(ERROR_TEXT_TIMEOUT, read).await;
    text
}

/// The causes of an error without the URL, which is a secret.
fn explain(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

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
