//! The circuit breaker: while a service is down, those who need it are told so at once, and one probe asks for all of them.
//!
//! Decisions are in `state`. This file keeps it behind a mutex that is never held across an await, runs the probe in a task of its
//! own while the service is down, and logs one line per change. Knows neither what is called nor how a probe is made.
//!
//! A call that is silent for long makes a probe too, while the service counts as up: only if that is not answered either, it is down.
//!
//! A probe is free and short. It is made by itself with growing pauses, and at once when somebody asks: whoever comes first after the
//! network is back waits for it, and is served.

mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::error::{ApiError, ApiErrorKind};
use crate::base::{chain, span};
pub use state::Ask;
use state::{Change, Failing, Phase, State};

/// Who needs a service that is down is told so after this at the latest.
const WAIT_MAX: Duration = Duration::from_millis(1750);
/// A probe that takes longer has failed. Shorter than [`WAIT_MAX`], so that who comes while one hangs still sees the next.
const PROBE_MAX: Duration = Duration::from_millis(1500);
/// A probe that was given up for those who wait may still be answered for so long.
const PROBE_LATE: Duration = Duration::from_secs(10);
/// How long a probe may take that asks whether a silent service is there at all, at least.
const DOUBT_MIN: Duration = Duration::from_millis(500);
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
    /// Times that it went down.
    outages: u64,
    /// A probe asks whether the service is there although calls are silent.
    doubted: bool,
}

impl Breaker {
    /// The breaker of a service that is taken to be up; `service` is its name in messages.
    pub fn new(service: impl Into<Arc<str>>, probe: Arc<dyn Probe>) -> Breaker {
        let service = service.into();
        let state = Shared { state: State::new(), error: None, begun: 0, failed: 0, outages: 0, doubted: false };
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

    /// Runs a call. If it is silent for `quiet`, and no other call was answered meanwhile, a probe asks whether the service is there, and may
    /// take as long again.
    pub async fn watch<T>(&self, quiet: Duration, call: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let mut call = std::pin::pin!(call);
        if let Ok(outcome) = timeout(quiet, &mut call).await {
            return outcome;
        }
        self.doubt(begun, quiet.clamp(DOUBT_MIN, PROBE_LATE));
        call.await
    }

    /// Probes a service that counts as up and has not answered a call since `begun`.
    fn doubt(&self, begun: Instant, within: Duration) {
        {
            let mut shared = self.inner.lock();
            let in_doubt = shared.state.phase() == Phase::Up && !shared.state.succeeded_since(begun);
            if !in_doubt || std::mem::replace(&mut shared.doubted, true) {
                return;
            }
        }
        let breaker = self.clone();
        tokio::spawn(async move {
            let silence = || {
                let message = format!("{} answers neither calls nor a probe", breaker.inner.service);
                ApiError::new(ApiErrorKind::Timeout, message)
            };
            let outcome = timeout(within, breaker.inner.probe.probe()).await.unwrap_or_else(|_| Err(silence()));
            breaker.inner.lock().doubted = false;
            if let Err(error) = outcome
                && failing(&error, Ask::of(&())).is_some()
            {
                breaker.note(Some((Failing::Unreachable, &error)), begun);
            }
        });
    }

    /// Takes note of how a call for `ask` ended: what it says of the service.
    pub fn conclude<T>(&self, admitted: Admitted, ask: Ask, outcome: &Result<T, ApiError>) {
        let failure = outcome.as_ref().err().and_then(|error| failing(error, ask).map(|how| (how, error)));
        self.note(failure, admitted.at);
        if let Some((Failing::Failed(_), error)) = failure
            && error.kind == ApiErrorKind::Timeout
        {
            self.doubt(admitted.at, PROBE_MAX);
        }
    }

    fn note(&self, failure: Option<(Failing, &ApiError)>, begun: Instant) {
        let now = Instant::now();
        let mut shared = self.inner.lock();
        let change = match failure {
            None => shared.state.succeeded(now),
            Some((how, error)) => {
                let change = shared.state.failed(how, begun, now);
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
                shared.outages += 1;
                let (error, outage) = (shared.error.clone(), shared.outages);
                drop(shared);
                let error = error.as_ref().map(|error| error as &dyn std::error::Error);
                let error = error.as_ref().map_or_else(|| String::from("no cause known"), |error| chain(error));
                tracing::warn!(
                    service,
                    error,
                    "{service} is down: what needs it fails at once until it is back ({error})"
                );
                tokio::spawn(watch_over(Arc::downgrade(&self.inner), outage));
            }
            Some(Change::CameBack { down_for }) => {
                drop(shared);
                tracing::info!(
                    service,
                    down_s = down_for.as_secs_f32(),
                    "{service} answers again after {}",
                    span::words(down_for)
                );
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
        self.state.lock()
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
fn failing(error: &ApiError, ask: Ask) -> Option<Failing> {
    match error.kind {
        ApiErrorKind::Timeout | ApiErrorKind::Unavailable if error.is_unsent() => Some(Failing::Unreachable),
        ApiErrorKind::Timeout | ApiErrorKind::Unavailable => Some(Failing::Failed(ask)),
        ApiErrorKind::Configuration
        | ApiErrorKind::Denied
        | ApiErrorKind::RateLimited { .. }
        | ApiErrorKind::BadAnswer => None,
    }
}

/// Probes while the service is down; ends when it is up, or when nobody has the breaker any more.
async fn watch_over(breaker: Weak<Inner>, outage: u64) {
    let mut pause = PAUSE_MIN;
    loop {
        let Some(inner) = breaker.upgrade() else { return };
        let phase = {
            let shared = inner.lock();
            // A late answer may have ended this outage, and another may have begun, while this slept.
            if shared.outages != outage {
                return;
            }
            shared.state.phase()
        };
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

/// Whether calls may be tried. A probe that takes long fails those who wait for it, and its answer counts all the same.
async fn probe_once(inner: &Arc<Inner>) -> bool {
    let round = {
        let mut shared = inner.lock();
        shared.begun += 1;
        shared.begun
    };
    let answered = tokio::spawn(probe(Arc::clone(inner)));
    let admitted = matches!(timeout(PROBE_MAX, answered).await, Ok(Ok(true)));
    if !admitted {
        inner.lock().failed = round;
    }
    tracing::debug!(service = &*inner.service, admitted, "probed");
    inner.changed.send_modify(|count| *count += 1);
    admitted
}

/// The same, however long it takes within reason.
async fn probe(inner: Arc<Inner>) -> bool {
    let answered = match timeout(PROBE_LATE, inner.probe.probe()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => failing(&error, Ask::of(&())).is_none(),
        Err(_) => false,
    };
    let admitted = answered && inner.lock().state.probed(Instant::now());
    if admitted {
        inner.changed.send_modify(|count| *count += 1);
    }
    admitted
}
