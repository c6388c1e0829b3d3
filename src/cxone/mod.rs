//! The tenant over HTTP: login, discovery, reporting, media playback, the limiter for billed calls.
//!
//! Knows no files, no directories, no SQLite. Tokens and signed links live in memory only and never reach a log,
//! an error text or a `Debug` output.

pub mod error;
pub mod limiter;
pub mod model;

pub use error::{ApiError, ApiErrorKind};
pub use limiter::{Limiter, LimiterSettings, Permit, Priority};
pub use model::{ContactRecord, ContactsAnswer, MediaLink, Playback, PlaybackAnswer, PlaybackItem, SecretUrl};

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use url::Url;

use crate::base::{Clock, MasterId};

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
    /// The time that one call may take, connecting and body included.
    pub call_timeout: Duration,
}

/// A tenant, logged in when first needed. Cheap to clone.
#[derive(Clone)]
pub struct Tenant {
    _inner: Arc<()>,
}

impl Tenant {
    /// Checks the settings and builds the HTTP client. Makes no request.
    pub fn new(_settings: TenantSettings, _clock: Arc<dyn Clock>) -> Result<Tenant, ApiError> {
        unimplemented!()
    }

    /// Logs in and discovers the endpoints now, so that mounting fails early and clearly.
    pub async fn login(&self) -> Result<(), ApiError> {
        unimplemented!()
    }

    /// All completed contact legs whose start lies in `[start, end)`, or of those only the ones that changed since `updated_since`.
    pub async fn completed_contacts(
        &self,
        _start: Timestamp,
        _end: Timestamp,
        _updated_since: Option<Timestamp>,
    ) -> Result<ContactsAnswer, ApiError> {
        unimplemented!()
    }

    /// One billed Media Playback call, exactly one HTTP request unless a 401 forces a new login. The caller holds a limiter permit.
    pub async fn playback(&self, _master: MasterId) -> Result<PlaybackAnswer, ApiError> {
        unimplemented!()
    }
}
