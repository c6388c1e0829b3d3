//! Which media hosts are up: one circuit breaker per host, so that a host that is down is found out once and not by every read.
//!
//! Only a fetch's first request asks leave; one that is under way rides out a short outage by its own retries. A probe is a HEAD of the
//! host's root, without a link: whatever it answers, it is there.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use lru::LruCache;
use parking_lot::Mutex;
use url::Url;

use super::error::chain;
use crate::net::{ApiError, ApiErrorKind, Breaker, Probe, ServiceState};

/// Hosts that are remembered: a tenant has one or two.
const HOSTS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// The breakers, by host.
pub struct Hosts {
    by_origin: Mutex<LruCache<String, Breaker>>,
}

impl Hosts {
    /// None known yet.
    pub fn new() -> Hosts {
        Hosts { by_origin: Mutex::new(LruCache::new(HOSTS_MAX)) }
    }

    /// The breaker of the host of `url`; `client` is the one that talks to it.
    pub fn breaker(&self, url: &Url, client: &reqwest::Client) -> Breaker {
        let origin = url.origin().ascii_serialization();
        let mut hosts = self.by_origin.lock();
        hosts
            .get_or_insert(origin.clone(), || {
                let name = format!("media host {}", url.host_str().unwrap_or("?"));
                Breaker::new(name, std::sync::Arc::new(HostProbe { client: client.clone(), origin }))
            })
            .clone()
    }

    /// How each is, for `status`.
    pub fn states(&self) -> Vec<ServiceState> {
        let hosts = self.by_origin.lock();
        hosts.iter().map(|(_, breaker)| breaker.state()).collect()
    }
}

struct HostProbe {
    client: reqwest::Client,
    origin: String,
}

#[async_trait]
impl Probe for HostProbe {
    async fn probe(&self) -> Result<(), ApiError> {
        match self.client.head(&self.origin).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(unreached(error)),
        }
    }
}

/// A request that got no answer, as the breaker judges it: one refused connection tells that the host is down; a connection that was
/// cut may be the fault of what was asked for.
pub fn unreached(error: reqwest::Error) -> ApiError {
    let connecting = error.is_connect();
    let failure = ApiError::new(ApiErrorKind::Unavailable, chain(&error.without_url()));
    if connecting { failure.unsent() } else { failure }
}

/// An answer that does not come, or a 5xx: several in a row tell that the host is down.
pub fn ailing(why: &str) -> ApiError {
    ApiError::new(ApiErrorKind::Unavailable, why)
}
