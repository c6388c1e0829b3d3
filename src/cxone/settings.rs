//! Which tenant, as whom, and under which overrides. Plain data: what may be wrong with it is found by the modules that use it.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::net::CaBundle;
use crate::net::HostPattern;

/// Who we are to the tenant.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key_id: String,
    pub access_key_secret: SecretString,
    /// With a client, the OIDC password grant is used; without, the access-key login.
    pub client: Option<ClientCredentials>,
}

/// An OIDC client registration.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    pub client_id: String,
    pub client_secret: SecretString,
}

/// Where the tenant is and how to talk to it. Endpoints that are `None` come from discovery.
#[derive(Clone, Debug)]
pub struct TenantSettings {
    pub issuer: Url,
    pub credentials: Credentials,
    /// For instance `na1`; overrides what discovery says.
    pub area: Option<String>,
    /// Base of the access-key login: `{auth_endpoint}/authentication/v1/token/access-key`.
    pub auth_endpoint: Option<Url>,
    /// Base of the Reporting API: `{api_endpoint}/incontactapi/services/{version}/…`.
    pub api_endpoint: Option<Url>,
    /// Base of Media Playback: `{playback_endpoint}/media-playback/v1/contacts`.
    pub playback_endpoint: Option<Url>,
    /// For instance `v30.0`.
    pub reporting_version: String,
    /// The only hosts that key and password are sent to; none: where the tenant's own answers lead.
    pub login_hosts: Vec<HostPattern>,
    /// Authorities that are trusted beside the system's.
    pub ca: Option<CaBundle>,
    pub times: CallTimes,
}

/// How long one HTTP request may take, connecting and body included. None of them is how long somebody waits: a request goes on when
/// those who asked for it have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTimes {
    /// A login, discovery, a probe.
    pub login: Duration,
    /// A page of a listing.
    pub page: Duration,
    /// A billed call.
    pub billed: Duration,
}

impl CallTimes {
    /// The usual times, with `billed` (`limits.call_timeout`) for a billed call.
    #[must_use]
    pub fn with_billed(billed: Duration) -> CallTimes {
        CallTimes { login: Duration::from_secs(30), page: Duration::from_mins(2), billed }
    }

    /// The same, with no request longer than `longest`.
    #[must_use]
    pub fn at_most(self, longest: Duration) -> CallTimes {
        CallTimes { login: self.login.min(longest), page: self.page.min(longest), billed: self.billed.min(longest) }
    }

    pub(super) fn of(self, class: CallClass) -> Duration {
        match class {
            CallClass::Login => self.login,
            CallClass::Page => self.page,
            CallClass::Billed => self.billed,
        }
    }
}

/// Which of [`CallTimes`] a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallClass {
    Login,
    Page,
    Billed,
}
