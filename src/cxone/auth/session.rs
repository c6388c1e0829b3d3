//! The session: token and endpoints, obtained once for everyone who needs them at the same time.
//!
//! The session stands behind a mutex that is never held across an await. The *turn* to log in is a semaphore of one: whoever
//! waited for it while another logged in takes that login's outcome, be it a session or an error, instead of trying again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use secrecy::SecretString;
use tokio::sync::Semaphore;

use crate::base::{Clock, chain, span};
use crate::cxone::address;
use crate::cxone::auth::endpoints::{self, Endpoints};
use crate::cxone::auth::identity::TenantIdentity;
use crate::cxone::auth::login;
use crate::cxone::http::Http;
use crate::cxone::retry::RetryPolicy;
use crate::cxone::settings::{Credentials, TenantSettings};
use crate::net::error::{ApiError, ApiErrorKind};

/// A token is renewed this long before its end, so that no call begins with one that ends under way.
const RENEW_BEFORE: Duration = Duration::from_mins(5);
/// Tokens that live too shortly for [`RENEW_BEFORE`] are renewed at this part of their life.
const RENEW_AT_PART: f64 = 0.9;
/// After a failed renewal, a token that is still good is used for so long before the next attempt.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// After a refused login, the refusal is repeated for so long without asking, and twice as long after each further one, up to
/// [`REFUSAL_STANDS_MAX`]: a wrong secret must not lock the key.
const REFUSAL_STANDS: Duration = Duration::from_secs(5);
const REFUSAL_STANDS_MAX: Duration = Duration::from_mins(15);

/// What a call needs: a token and where to send it.
pub(in crate::cxone) struct Session {
    /// Grows with every login.
    pub serial: u64,
    pub token: SecretString,
    pub endpoints: Endpoints,
    pub identity: TenantIdentity,
    renew_at: Timestamp,
    ends_at: Timestamp,
}

/// Where credentials come from that may change while they are in use.
pub trait CredentialsSource: Send + Sync + 'static {
    /// Other ones than it gave before, if there are any. Asked where a login is due; may wait for the disk.
    fn renewed(&self) -> Option<Credentials>;
}

/// How the login is, for `status`.
#[derive(Clone, Debug)]
pub enum LoginState {
    /// Nobody needed one yet.
    None,
    /// Good until then; renewed before.
    Good { until: Timestamp },
    /// The last attempt failed.
    Failed { at: Timestamp, error: ApiError },
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// Logins that were carried to their end, whatever it was.
    attempts: u64,
    /// How the last of them failed, if it did.
    failure: Option<(Timestamp, ApiError)>,
    /// Refused logins in a row.
    refusals: u32,
}

/// Which session a caller can use.
#[derive(Clone, Copy)]
enum Need {
    /// Any that need not be renewed.
    Fresh,
    /// Any but this one and older ones, which the tenant has refused.
    After(u64),
}

pub(in crate::cxone) struct Auth {
    settings: Mutex<Arc<TenantSettings>>,
    source: Mutex<Option<Arc<dyn CredentialsSource>>>,
    http: Arc<Http>,
    clock: Arc<dyn Clock>,
    retry: RetryPolicy,
    turn: Semaphore,
    state: Mutex<State>,
    /// The tenant that what is at hand belongs to, as soon as it is known: credentials may change, the tenant may not.
    tenant: Mutex<Option<TenantIdentity>>,
}

impl Auth {
    pub fn new(settings: Arc<TenantSettings>, http: Arc<Http>, clock: Arc<dyn Clock>, retry: RetryPolicy) -> Auth {
        Auth {
            settings: Mutex::new(settings),
            source: Mutex::new(None),
            http,
            clock,
            retry,
            turn: Semaphore::new(1),
            state: Mutex::default(),
            tenant: Mutex::new(None),
        }
    }

    /// The session, after a login if there is none or it is due for renewal.
    pub async fn session(&self) -> Result<Arc<Session>, ApiError> {
        self.obtain(Need::Fresh).await
    }

    /// A session newer than the one with serial number `refused`.
    pub async fn session_after(&self, refused: u64) -> Result<Arc<Session>, ApiError> {
        self.obtain(Need::After(refused)).await
    }

    async fn obtain(&self, need: Need) -> Result<Arc<Session>, ApiError> {
        let usable = self.at_hand(&self.state(), need);
        match usable {
            Some(Ok(session)) => return Ok(session),
            Some(Err(_)) | None => self.look_for_others().await,
        }
        let seen = {
            let state = self.state();
            if let Some(outcome) = self.at_hand(&state, need) {
                return outcome;
            }
            state.attempts
        };
        let Ok(_turn) = self.turn.acquire().await else {
            return Err(ApiError::new(ApiErrorKind::Unavailable, "login: this client is shutting down"));
        };
        let previous = {
            let state = self.state();
            if let Some(outcome) = self.at_hand(&state, need) {
                return outcome;
            }
            if let Some((_, error)) = state.failure.as_ref().filter(|_| state.attempts != seen) {
                return Err(error.clone());
            }
            state.session.clone()
        };
        let outcome = self.log_in(previous.as_deref()).await;
        self.conclude(need, outcome)
    }

    /// Refuses logins that reach another tenant from now on.
    pub fn belongs_to(&self, tenant: TenantIdentity) {
        *self.tenant.lock() = Some(tenant);
    }

    /// The first login tells the tenant; the others must reach the same one.
    fn check_tenant(&self, reached: &TenantIdentity) -> Result<(), ApiError> {
        let mut tenant = self.tenant.lock();
        match &*tenant {
            Some(known) if !known.is_same(reached) => {
                let message = format!(
                    "login: the access key is one of {reached}, and what is mounted belongs to {known}: mount it on its own, with a state.dir and \
                     cache.dir of its own"
                );
                Err(ApiError::new(ApiErrorKind::Denied, message))
            }
            Some(_) => Ok(()),
            None => {
                *tenant = Some(reached.clone());
                Ok(())
            }
        }
    }

    /// Has credentials looked for at `source` whenever a login is due.
    pub fn watch(&self, source: Arc<dyn CredentialsSource>) {
        *self.source.lock() = Some(source);
    }

    /// Takes over credentials that have changed.
    async fn look_for_others(&self) {
        let source = self.source.lock().clone();
        let Some(source) = source else { return };
        if let Ok(Some(credentials)) = tokio::task::spawn_blocking(move || source.renewed()).await {
            self.adopt(credentials);
        }
    }

    /// Logs in with these from now on, and forgets that a login was refused.
    pub fn adopt(&self, credentials: Credentials) {
        let mut settings = self.settings.lock();
        *settings = Arc::new(TenantSettings { credentials, ..(**settings).clone() });
        drop(settings);
        let mut state = self.state();
        state.refusals = 0;
        if state.failure.as_ref().is_some_and(|(_, error)| error.kind == ApiErrorKind::Denied) {
            state.failure = None;
        }
    }

    /// How it is, without a login.
    pub fn login_state(&self) -> LoginState {
        let state = self.state();
        match (&state.failure, &state.session) {
            (Some((at, error)), _) => LoginState::Failed { at: *at, error: error.clone() },
            (None, Some(session)) => LoginState::Good { until: session.ends_at },
            (None, None) => LoginState::None,
        }
    }

    /// What can be answered without a login.
    fn at_hand(&self, state: &State, need: Need) -> Option<Result<Arc<Session>, ApiError>> {
        let now = self.clock.now();
        if let Some(session) = &state.session {
            let good = match need {
                Need::Fresh => now < session.renew_at,
                Need::After(refused) => session.serial > refused,
            };
            if good {
                return Some(Ok(session.clone()));
            }
        }
        let (failed_at, error) = state.failure.as_ref()?;
        let since = now.duration_since(*failed_at).unsigned_abs();
        if error.kind == ApiErrorKind::Denied && since < refusal_stands(state.refusals) {
            return Some(Err(error.clone()));
        }
        // Renewal begins well before the end, so a login host that is down is not yet a reason to fail.
        match (&state.session, need) {
            (Some(session), Need::Fresh) if now < session.ends_at && since < RENEW_AGAIN_AFTER => {
                Some(Ok(session.clone()))
            }
            _ => None,
        }
    }

    fn conclude(&self, need: Need, outcome: Result<Session, ApiError>) -> Result<Arc<Session>, ApiError> {
        let now = self.clock.now();
        let mut state = self.state();
        state.attempts += 1;
        match outcome {
            Ok(session) => {
                let session = Arc::new(session);
                state.failure = None;
                state.refusals = 0;
                state.session = Some(session.clone());
                Ok(session)
            }
            Err(error) => {
                state.failure = Some((now, error.clone()));
                if error.kind == ApiErrorKind::Denied {
                    state.refusals = state.refusals.saturating_add(1);
                    let again = span::words(refusal_stands(state.refusals));
                    let (again_in_s, error) = (refusal_stands(state.refusals).as_secs(), chain(&error));
                    tracing::warn!(
                        error,
                        again_in_s,
                        "the login is refused ({error}): not repeated before {again} have passed; correct the secret's file, which is noticed when a login is due, or the key, and SIGHUP repeats it at once"
                    );
                }
                match (&state.session, need) {
                    (Some(session), Need::Fresh) if error.is_transient() && now < session.ends_at => {
                        let error = chain(&error);
                        tracing::warn!(
                            error,
                            "the login could not be renewed ({error}): the present token is used as long as it is good"
                        );
                        Ok(session.clone())
                    }
                    _ => Err(error),
                }
            }
        }
    }

    async fn log_in(&self, previous: Option<&Session>) -> Result<Session, ApiError> {
        let jitter = || self.http.jitter();
        let settings = self.settings.lock().clone();
        let token = self.retry.run(jitter, || login::log_in(&self.http, &settings)).await?;
        let obtained_at = self.clock.now();
        let endpoints = match previous {
            Some(previous) if !previous.endpoints.provisional => previous.endpoints.clone(),
            _ => self.retry.run(jitter, || endpoints::find(&self.http, &settings, &token.claims)).await?,
        };
        let serial = previous.map_or(1, |previous| previous.serial + 1);
        tracing::info!(serial, life_s = token.life.as_secs(), api = %endpoints.api, playback = %endpoints.playback, "logged in for {}: reporting at {}, playback at {}", span::words(token.life), endpoints.api, endpoints.playback);
        let after = |span: Duration| obtained_at.saturating_add(span).unwrap_or(Timestamp::MAX);
        let identity = TenantIdentity {
            tenant_id: token.claims.tenant_id,
            business_unit: token.claims.business_unit,
            api_endpoint: address::host_and_port(&endpoints.api),
        };
        self.check_tenant(&identity)?;
        Ok(Session {
            serial,
            token: token.access,
            endpoints,
            identity,
            renew_at: after(renew_after(token.life)),
            ends_at: after(token.life),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// How long a refusal stands after so many in a row.
fn refusal_stands(refusals: u32) -> Duration {
    REFUSAL_STANDS.saturating_mul(1 << refusals.saturating_sub(1).min(16)).min(REFUSAL_STANDS_MAX)
}

/// When a token of this life is renewed, counted from its beginning.
fn renew_after(life: Duration) -> Duration {
    life.saturating_sub(RENEW_BEFORE).max(life.mul_f64(RENEW_AT_PART))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_five_minutes_before_their_end_or_at_nine_tenths() {
        let seconds = |life| renew_after(Duration::from_secs(life)).as_secs();
        assert_eq!(seconds(3600), 3300);
        assert_eq!(seconds(3000), 2700);
        assert_eq!(seconds(120), 108);
        assert_eq!(seconds(0), 0);
    }
}
