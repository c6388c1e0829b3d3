//! The client itself: authorised calls. The one place that puts the bearer token on a request.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::cxone::address;
use crate::cxone::auth::endpoints::Endpoints;
use crate::cxone::auth::session::{Auth, Session};
use crate::cxone::http::{Answer, Call, Http};
use crate::cxone::reporting::shared::Listings;
use crate::cxone::retry::RetryPolicy;
use crate::cxone::settings::TenantSettings;
use crate::net::error::{ApiError, ApiErrorKind};
use crate::net::limiter::Limiter;

/// Between two logins that only repeat a discovery that failed.
const REDISCOVER_EVERY: Duration = Duration::from_secs(30);

/// What all calls to a tenant share.
pub(super) struct Client {
    pub settings: Arc<TenantSettings>,
    pub http: Arc<Http>,
    pub retry: RetryPolicy,
    /// How many pages of listings may be asked for.
    pub reporting: Limiter,
    pub listings: Listings,
    pub auth: Auth,
    /// When discovery was last repeated because it had failed.
    pub rediscovered_at: Mutex<Option<Instant>>,
}

impl Client {
    /// The session, after a login if one is due.
    pub async fn session(&self) -> Result<Arc<Session>, ApiError> {
        self.auth.session().await
    }

    /// Fails where nobody told where Media Playback is: after a failed discovery the API host stands in its place for listings, and what
    /// that host does not know must not be taken for "no recording".
    pub async fn ensure_playback_is_known(&self) -> Result<(), ApiError> {
        let session = self.session().await.map_err(ApiError::unsent)?;
        if !session.endpoints.provisional {
            return Ok(());
        }
        let due = {
            let mut last = self.rediscovered_at.lock();
            let due = last.is_none_or(|at| at.elapsed() >= REDISCOVER_EVERY);
            if due {
                *last = Some(Instant::now());
            }
            due
        };
        if due && !self.session_after(&session).await?.endpoints.provisional {
            return Ok(());
        }
        let message = "media playback: discovery failed, so its address is not known; set tenant.playback_endpoint";
        Err(ApiError::new(ApiErrorKind::Unavailable, message).unsent())
    }

    /// `GET`s what `url_of` makes of the endpoints, with the token; once more after a new login if the tenant says 401. Gives the
    /// answer whatever its status, and the session that it was given under.
    pub async fn get(
        &self,
        call: Call,
        url_of: impl Fn(&Endpoints) -> Url,
    ) -> Result<(Answer, Arc<Session>), ApiError> {
        let (answer, session) = self.get_once(call, &url_of).await?;
        if answer.status != reqwest::StatusCode::UNAUTHORIZED {
            return Ok((answer, session));
        }
        let session = self.session_after(&session).await?;
        let answer = self.get_with(call, &session, url_of(&session.endpoints)).await?;
        Ok((answer, session))
    }

    /// The same without another try.
    pub async fn get_once(
        &self,
        call: Call,
        url_of: impl Fn(&Endpoints) -> Url,
    ) -> Result<(Answer, Arc<Session>), ApiError> {
        let session = self.auth.session().await.map_err(ApiError::unsent)?;
        let answer = self.get_with(call, &session, url_of(&session.endpoints)).await?;
        Ok((answer, session))
    }

    /// A session after one whose token was refused. What was sent with it was refused at the gate, so it counts as not sent.
    pub async fn session_after(&self, refused: &Session) -> Result<Arc<Session>, ApiError> {
        self.auth.session_after(refused.serial).await.map_err(ApiError::unsent)
    }

    async fn get_with(&self, call: Call, session: &Session, url: Url) -> Result<Answer, ApiError> {
        if !session.endpoints.may_hold_token(&url) {
            let host = address::host_and_port(&url);
            let message = format!("{}: {host} is not one of the tenant's endpoints", call.operation);
            return Err(ApiError::new(ApiErrorKind::BadAnswer, message));
        }
        let text = Zeroizing::new(format!("Bearer {}", session.token.expose_secret()));
        let mut bearer = HeaderValue::from_str(&text).map_err(|_| {
            ApiError::new(
                ApiErrorKind::BadAnswer,
                format!("{}: the access token does not fit into a header", call.operation),
            )
        })?;
        bearer.set_sensitive(true);
        self.http.send(call, self.http.request(Method::GET, url)?.header(AUTHORIZATION, bearer)).await
    }
}
