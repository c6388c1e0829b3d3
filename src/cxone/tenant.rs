//! A tenant: what can be asked of it, and by which settings.

use std::sync::Arc;

use parking_lot::Mutex;

use jiff::Timestamp;
use reqwest::Method;
use secrecy::ExposeSecret;
use tokio::sync::mpsc;

use crate::base::{Clock, MasterId};
use crate::cxone::address;
use crate::cxone::auth::endpoints::Endpoints;
use crate::cxone::auth::identity::TenantIdentity;
use crate::cxone::auth::login;
use crate::cxone::auth::session::CredentialsSource;
use crate::cxone::auth::session::{Auth, LoginState};
use crate::cxone::client::Client;
use crate::cxone::http::{Call, Http, LOGIN_BYTES_MAX};
use crate::cxone::model::{ChangesAnswer, ContactRecord, ContactsAnswer, PlaybackAnswer};
use crate::cxone::playback::call as playback;
use crate::cxone::reporting::listing as reporting;
use crate::cxone::reporting::listing::Window;
use crate::cxone::reporting::progress::ListingProgress;
use crate::cxone::reporting::shared::Listings;
use crate::cxone::retry::RetryPolicy;
use crate::cxone::settings::{CallClass, Credentials, TenantSettings};
use crate::net::error::{ApiError, ApiErrorKind};
use crate::net::limiter::{Limiter, LimiterSnapshot};

/// A tenant, logged in when first needed. Cheap to clone.
#[derive(Clone)]
pub struct Tenant {
    inner: Arc<Client>,
}

impl Tenant {
    /// Checks the settings and builds the HTTP client. Makes no request.
    pub fn new(settings: TenantSettings, clock: Arc<dyn Clock>) -> Result<Tenant, ApiError> {
        let listing = RetryPolicy::listing(settings.times.page);
        let login = RetryPolicy::login(settings.times.login);
        Tenant::with_policies(settings, clock, listing, login)
    }

    pub(super) fn with_policies(
        settings: TenantSettings,
        clock: Arc<dyn Clock>,
        listing: RetryPolicy,
        login: RetryPolicy,
    ) -> Result<Tenant, ApiError> {
        check(&settings)?;
        let http = Arc::new(Http::new(settings.times, settings.ca.as_ref(), clock.clone())?);
        http.check(&settings.issuer)?;
        let settings = Arc::new(settings);
        let wall = clock.now();
        let reporting = Limiter::for_free_calls("reporting", reporting::RATE, wall, wall.as_nanosecond() as u64);
        let auth = Auth::new(settings.clone(), http.clone(), clock, login);
        Ok(Tenant {
            inner: Arc::new(Client {
                settings,
                http,
                retry: listing,
                reporting,
                listings: Listings::default(),
                auth,
                rediscovered_at: Mutex::default(),
            }),
        })
    }

    /// Logs in and discovers the endpoints now, so that mounting fails early and clearly.
    pub async fn login(&self) -> Result<(), ApiError> {
        self.inner.auth.session().await.map(drop)
    }

    /// Asks the issuer for its description without logging in: whether anybody answers, and what time it is there. Any answer will do.
    pub async fn greet(&self) -> Result<Option<Timestamp>, ApiError> {
        let url = address::join(&self.inner.settings.issuer, ".well-known/cxone-configuration");
        let answer = self.inner.http.send(GREETING, self.inner.http.request(Method::GET, url)?).await?;
        Ok(answer.date)
    }

    /// Logs in if need be; then which tenant this is.
    pub async fn identity(&self) -> Result<TenantIdentity, ApiError> {
        Ok(self.inner.session().await?.identity.clone())
    }

    /// Logs in if need be; then where Reporting and Media Playback are (host and port).
    pub async fn endpoints(&self) -> Result<(String, String), ApiError> {
        let session = self.inner.session().await?;
        let Endpoints { api, playback, .. } = &session.endpoints;
        Ok((address::host_and_port(api), address::host_and_port(playback)))
    }

    /// All completed contact legs that the tenant counts as of `[start, end)`, by their start or by their end, or of those only the ones that
    /// changed since `updated_since`.
    ///
    /// Costs nothing. Transient failures of a page are retried up to four times; if a page fails for good, the whole answer does.
    pub async fn completed_contacts(
        &self,
        start: Timestamp,
        end: Timestamp,
        updated_since: Option<Timestamp>,
    ) -> Result<ContactsAnswer, ApiError> {
        self.completed_contacts_telling(start, end, updated_since, &ListingProgress::default()).await
    }

    /// The same; tells `progress` of every page.
    pub async fn completed_contacts_telling(
        &self,
        start: Timestamp,
        end: Timestamp,
        updated_since: Option<Timestamp>,
        progress: &ListingProgress,
    ) -> Result<ContactsAnswer, ApiError> {
        reporting::completed_contacts(&self.inner, Window { start, end, updated_since }, progress).await
    }

    /// All completed contact legs that changed since, whenever they started, page by page. Costs nothing.
    pub async fn changed_contacts(
        &self,
        since: Timestamp,
        into: mpsc::Sender<Vec<ContactRecord>>,
    ) -> Result<ChangesAnswer, ApiError> {
        reporting::changed_contacts(&self.inner, since, into).await
    }

    /// Logs in if that is due, and finds out where Media Playback is if that is not known.
    pub async fn ready(&self) -> Result<(), ApiError> {
        self.inner.ensure_playback_is_known().await
    }

    /// One billed Media Playback call: one HTTP request, or a second one after a new login that a 401 forced. The caller holds a limiter
    /// permit for each.
    pub async fn playback(&self, master: MasterId) -> Result<PlaybackAnswer, ApiError> {
        match self.playback_once(master, true).await {
            Err(error) if error.is_token_renewed() => self.playback_once(master, false).await,
            answer => answer,
        }
    }

    /// Exactly one HTTP request. With `renew`, a 401 forces a new login, and the error says that another request may succeed.
    pub async fn playback_once(&self, master: MasterId, renew: bool) -> Result<PlaybackAnswer, ApiError> {
        playback::playback(&self.inner, master, renew).await
    }

    /// Has credentials looked for at `source` whenever a login is due.
    pub fn watch_credentials(&self, source: Arc<dyn CredentialsSource>) {
        self.inner.auth.watch(source);
    }

    /// Refuses logins that reach another tenant from now on; without it, another one than the first login.
    pub fn belongs_to(&self, tenant: TenantIdentity) {
        self.inner.auth.belongs_to(tenant);
    }

    /// Logs in with these from now on; a refused login is repeated when it is needed next.
    pub fn adopt_credentials(&self, credentials: Credentials) {
        self.inner.auth.adopt(credentials);
    }

    /// Requests so far: what for, how they ended, how many.
    pub fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.inner.http.counters.told()
    }

    /// How the login is, without asking anybody.
    pub fn login_state(&self) -> LoginState {
        self.inner.auth.login_state()
    }

    /// What the rate limit of listings is doing.
    #[must_use]
    pub fn reporting_rate(&self) -> LimiterSnapshot {
        self.inner.reporting.snapshot()
    }

    /// Whether a service answers at all: a login if one is due, and one request that costs nothing to the service's host.
    pub async fn probe(&self, service: Service) -> Result<(), ApiError> {
        let session = self.inner.session().await?;
        let base = match service {
            Service::Playback => &session.endpoints.playback,
            Service::Reporting => &session.endpoints.api,
        };
        // Any answer will do but 5xx, so no token is sent, and the address need not exist.
        let url = address::join(base, ".well-known/cxone-configuration");
        let answer = self.inner.http.send(PROBE, self.inner.http.request(Method::GET, url)?).await?;
        if answer.status.is_server_error() { Err(answer.error()) } else { Ok(()) }
    }
}

const GREETING: Call = Call { operation: "connecting", class: CallClass::Login, body_max: LOGIN_BYTES_MAX };
const PROBE: Call = Call { operation: "probing", class: CallClass::Login, body_max: LOGIN_BYTES_MAX };

/// The parts of a tenant that can be down by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Playback,
    Reporting,
}

fn check(settings: &TenantSettings) -> Result<(), ApiError> {
    address::check_configured("tenant.issuer", &settings.issuer)?;
    let optional = [
        ("tenant.auth_endpoint", &settings.auth_endpoint),
        ("tenant.api_endpoint", &settings.api_endpoint),
        ("tenant.playback_endpoint", &settings.playback_endpoint),
    ];
    // The other hosts of a login are known only when it is made.
    if let Some(url) = &settings.auth_endpoint {
        login::check_host(settings, url)?;
    }
    for (key, url) in optional {
        if let Some(url) = url {
            address::check_configured(key, url)?;
        }
    }
    let wrong = |message: &str| Err(ApiError::new(ApiErrorKind::Configuration, message));
    let version_char = |c: char| c.is_ascii_alphanumeric() || c == '.';
    if !settings.reporting_version.starts_with('v') || !settings.reporting_version.chars().all(version_char) {
        return wrong("tenant.reporting_version is not a version like v30.0");
    }
    if settings.credentials.access_key_id.trim().is_empty() {
        return wrong("tenant.access_key_id is empty");
    }
    if settings.credentials.access_key_secret.expose_secret().is_empty() {
        return wrong("the access key's secret is empty");
    }
    if settings.times.login.is_zero() || settings.times.page.is_zero() || settings.times.billed.is_zero() {
        return wrong("the time that one call may take is zero");
    }
    Ok(())
}
