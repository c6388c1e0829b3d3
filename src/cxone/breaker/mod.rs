//! The circuit breaker: while a service is down, those who need it are told so at once, and one probe asks for all of them.
//!
//! Decisions are in `state`. This file keeps it behind a mutex that is never held across an await, runs the probe in a task of its
//! own while the service is down, and logs one line per change. Knows neither what is called nor how a probe is made.
//!
//! A probe is free and short. It is made by itself with growing pauses, and at once when somebody asks: whoever comes first after the
//! network is back waits for it, and is served.

mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::error::{ApiError, ApiErrorKind};
use state::{Change, Failing, Phase, State};

/// Who needs a service that is down is told so after this at the latest.
const WAIT_MAX: Duration = Duration::from_millis(1750);
/// A probe that takes longer has failed. Shorter than [`WAIT_MAX`], so that who comes while one hangs still sees the next.
const PROBE_MAX: Duration = Duration::from_millis(1500);
/// Between the end of one probe and the beginning of the next that somebody asked for.
const PROBE_GAP: Duration = Duration::from_millis(200);
/// The first pause between probes that nobody asked for; it doubles.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Finds out, free of charge, whether a service answers at all.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// `Ok` if it answers.
    async fn probe(&self) -> Result<(), ApiError>;
}

/// One service's breaker. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Breaker {
    inner: Arc<Inner>,
}

/// The right to make one call, and when it was given.
#[derive(Clone, Copy, Debug)]
pub struct Admitted {
    at: Instant,
}

impl Admitted {
    /// The same for a call that begins only now.
    #[must_use]
    pub fn now(self) -> Admitted {
        Admitted { at: Instant::now() }
    }
}

/// Whether a service is up, for `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceState {
    /// In the words of messages.
    pub service: Arc<str>,
    /// How long it has been down; `None` if it is up.
    pub down_for: Option<Duration>,
    /// What failed last, while it is down.
    pub error: Option<String>,
}

struct Inner {
    service: Arc<str>,
    probe: Arc<dyn Probe>,
    state: Mutex<Shared>,
    /// Counts changes that may interest a waiter.
    changed: watch::Sender<u64>,
    /// Somebody waits for the service.
    demand: Notify,
}

struct Shared {
    state: State,
    /// Why it is down.
    error: Option<ApiError>,
    /// Probes that were begun.
    begun: u64,
    /// The last of them that failed.
    failed: u64,
}

impl Breaker {
    /// The breaker of a service that is taken to be up; `service` is its name in messages.
    pub fn new(service: impl Into<Arc<str>>, probe: Arc<dyn Probe>) -> Breaker {
        let service = service.into();
        let state = Shared { state: State::new(), error: None, begun: 0, failed: 0 };
        let inner =
            Inner { service, probe, state: Mutex::new(state), changed: watch::channel(0).0, demand: Notify::new() };
        Breaker { inner: Arc::new(inner) }
    }

    /// At once while the service is up. While it is down, waits for a probe that begins from now on, and fails if that does.
    pub async fn admit(&self) -> Result<Admitted, ApiError> {
        let until = Instant::now() + WAIT_MAX;
        let mut changed = self.inner.changed.subscribe();
        let begun_before = self.inner.lock().begun;
        loop {
            changed.borrow_and_update();
            {
                let now = Instant::now();
                let mut shared = self.inner.lock();
                if shared.state.admit(now) {
                    return Ok(Admitted { at: now });
                }
                if shared.failed > begun_before {
                    return Err(self.inner.outage(&shared));
                }
            }
            self.inner.demand.notify_one();
            if !matches!(timeout_at(until, changed.changed()).await, Ok(Ok(()))) {
                return Err(self.inner.outage(&self.inner.lock()));
            }
        }
    }

    /// Fails at once if the service is down.
    pub fn check(&self) -> Result<(), ApiError> {
        let shared = self.inner.lock();
        if shared.state.phase() == Phase::Down { Err(self.inner.outage(&shared)) } else { Ok(()) }
    }

    /// Resolves when the service is down.
    pub async fn down(&self) {
        let mut changed = self.inner.changed.subscribe();
        while self.inner.lock().state.phase() != Phase::Down {
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Takes note of how a call ended: what it says of the service.
    pub fn conclude<T>(&self, admitted: Admitted, outcome: &Result<T, ApiError>) {
        let now = Instant::now();
        let mut shared = self.inner.lock();
        let change = match outcome.as_ref().err().and_then(|error| failing(error).map(|how| (how, error))) {
            None => shared.state.succeeded(now),
            Some((how, error)) => {
                let change = shared.state.failed(how, admitted.at, now);
                if shared.state.phase() == Phase::Down {
                    shared.error = Some(error.clone());
                }
                change
            }
        };
        if shared.state.phase() == Phase::Up {
            shared.error = None;
        }
        let service = &*self.inner.service;
        match change {
            Some(Change::WentDown) => {
                let error = shared.error.clone();
                drop(shared);
                let error = error.as_ref().map(|error| error as &dyn std::error::Error);
                tracing::warn!(service, error, "down: what needs it fails at once until it answers again");
                tokio::spawn(watch_over(Arc::downgrade(&self.inner)));
            }
            Some(Change::CameBack { down_for }) => {
                drop(shared);
                tracing::info!(service, down_s = down_for.as_secs_f32(), "answers again");
            }
            None => drop(shared),
        }
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// Whether the service is up.
    pub fn state(&self) -> ServiceState {
        let shared = self.inner.lock();
        ServiceState {
            service: self.inner.service.clone(),
            down_for: shared.state.down_since().map(|since| since.elapsed()),
            error: shared.error.as_ref().map(ToString::to_string),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What those are told who need the service.
    fn outage(&self, shared: &Shared) -> ApiError {
        let kind = match shared.error.as_ref().map(|error| error.kind) {
            Some(ApiErrorKind::Timeout) => ApiErrorKind::Timeout,
            _ => ApiErrorKind::Unavailable,
        };
        let error = ApiError::new(kind, format!("{} is down", self.service)).during_outage();
        match &shared.error {
            Some(cause) => error.with_source(cause.clone()),
            None => error,
        }
    }
}

/// What an error says of the service; `None` if the service is there, whatever it said.
fn failing(error: &ApiError) -> Option<Failing> {
    match error.kind {
        ApiErrorKind::Timeout => Some(Failing::Silent),
        ApiErrorKind::Unavailable if error.is_unsent() => Some(Failing::Silent),
        ApiErrorKind::Unavailable => Some(Failing::Broken),
        ApiErrorKind::Configuration
        | ApiErrorKind::Denied
        | ApiErrorKind::RateLimited { .. }
        | ApiErrorKind::BadAnswer => None,
    }
}

/// Probes while the service is down; ends when it is up, or when nobody has the breaker any more.
async fn watch_over(breaker: Weak<Inner>) {
    let mut pause = PAUSE_MIN;
    loop {
        let Some(inner) = breaker.upgrade() else { return };
        let phase = inner.lock().state.phase();
        match phase {
            Phase::Up => return,
            Phase::Trial { .. } => {
                let mut changed = inner.changed.subscribe();
                if matches!(inner.lock().state.phase(), Phase::Trial { .. }) {
                    // A trial that nobody takes up is no reason to hold the breaker for ever.
                    let _ = timeout(PAUSE_MAX, changed.changed()).await;
                }
            }
            Phase::Down => {
                tokio::select! {
                    () = sleep(pause) => {}
                    () = inner.demand.notified() => sleep(PROBE_GAP).await,
                }
                pause = if probe_once(&inner).await { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            }
        }
    }
}

/// Whether calls may be tried.
async fn probe_once(inner: &Inner) -> bool {
    let round = {
        let mut shared = inner.lock();
        shared.begun += 1;
        shared.begun
    };
    let outcome = timeout(PROBE_MAX, inner.probe.probe()).await;
    let answered = match &outcome {
        Ok(Ok(())) => true,
        Ok(Err(error)) => failing(error).is_none(),
        Err(_) => false,
    };
    let mut shared = inner.lock();
    let admitted = answered && shared.state.probed(Instant::now());
    if !admitted {
        shared.failed = round;
    }
    drop(shared);
    tracing::debug!(service = &*inner.service, answered, admitted, "probed");
    inner.changed.send_modify(|count| *count += 1);
    admitted
}
