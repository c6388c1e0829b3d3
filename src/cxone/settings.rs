//! Which tenant, as whom, and under which overrides. Plain data: what may be wrong with it is found by the modules that use it.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

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
