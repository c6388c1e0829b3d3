//! What the handlers share: the population, the clock, the switchboard, the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::counters::{CounterValues, Counters};
use super::handed::HandedOut;
use super::settings::SimSettings;
use super::switches::{Fault, Switches};
use super::tokens::TokenMint;
use super::window::SlidingWindow;
use super::world::World;
use crate::base::Clock;

/// Arrivals remembered.
const ARRIVALS_MAX: usize = 100_000;

/// A Media Playback call that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaybackArrival {
    /// By the tenant's clock.
    pub at: Timestamp,
    /// What it asked for; `None` where that is no master contact's id.
    pub master: Option<i64>,
}

/// The running tenant.
pub(super) struct Tenant {
    pub(super) world: World,
    /// Where it is reached: `http://host:port`.
    pub(super) url: String,
    pub(super) counters: Counters,
    pub(super) handed_out: HandedOut,
    /// Turns true when the tenant stops: whatever hangs then gives up.
    pub(super) closing: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
    // Lock order: none is held while another is taken, nor across an await.
    switches: Mutex<Switches>,
    playback: Mutex<SlidingWindow>,
    serial: AtomicU64,
    /// When Media Playback calls arrived, refused ones too.
    arrivals: Mutex<Vec<PlaybackArrival>>,
}

impl Tenant {
    pub(super) fn new(
        settings: SimSettings,
        url: String,
        clock: Arc<dyn Clock>,
        closing: watch::Receiver<bool>,
    ) -> Tenant {
        Tenant {
            switches: Mutex::new(Switches::of(&settings)),
            world: World::new(settings),
            url,
            counters: Counters::default(),
            handed_out: HandedOut::default(),
            closing,
            clock,
            playback: Mutex::default(),
            serial: AtomicU64::new(0),
            arrivals: Mutex::default(),
        }
    }

    pub(super) fn settings(&self) -> &SimSettings {
        self.world.settings()
    }

    /// A copy of the switchboard.
    pub(super) fn switches(&self) -> Switches {
        self.lock_switches().clone()
    }

    /// Changes the switchboard.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Switches) -> T) -> T {
        change(&mut self.lock_switches())
    }

    /// The tenant's time.
    pub(super) fn now(&self) -> Timestamp {
        let offset = jiff::SignedDuration::from_secs(self.lock_switches().clock_offset_s);
        self.clock.now().saturating_add(offset).unwrap_or(Timestamp::MAX)
    }

    /// A number that no other call got.
    pub(super) fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Relaxed)
    }

    pub(super) fn mint(&self) -> TokenMint {
        TokenMint { seed: self.settings().seed, generation: self.lock_switches().token_generation }
    }

    /// Whether the request bears a good token.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let token = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token)
        });
        token.is_some_and(|token| self.mint().accepts(token, self.now()))
    }

    /// Notes a playback call for the busiest window, whatever will become of it.
    pub(super) fn note_playback(&self, master: Option<i64>) {
        let window = Duration::from_secs(self.lock_switches().playback_window_s);
        let now = self.now();
        let calls = self.lock_playback().note(now, window);
        let mut arrivals = self.lock_arrivals();
        if arrivals.len() < ARRIVALS_MAX {
            arrivals.push(PlaybackArrival { at: now, master });
        }
        self.counters.playback_peak_window.fetch_max(calls as u64, Relaxed);
    }

    /// Whether a playback call is within the limit.
    pub(super) fn admit_playback(&self) -> bool {
        let (limit, window) = {
            let switches = self.lock_switches();
            (switches.playback_requests, Duration::from_secs(switches.playback_window_s))
        };
        let now = self.now();
        self.lock_playback().admit(now, limit as usize, window)
    }

    /// When Media Playback calls arrived, in order.
    pub(super) fn playback_arrivals(&self) -> Vec<PlaybackArrival> {
        self.lock_arrivals().clone()
    }

    fn lock_arrivals(&self) -> MutexGuard<'_, Vec<PlaybackArrival>> {
        self.arrivals.lock()
    }

    pub(super) fn counts(&self) -> CounterValues {
        self.counters.values()
    }

    /// Sets counts, limit and switchboard back to how they were at the start.
    pub(super) fn reset(&self) {
        self.reset_counts();
        *self.lock_switches() = Switches::of(self.settings());
    }

    /// Sets only the counts and the limit's memory back.
    pub(super) fn reset_counts(&self) {
        self.counters.reset();
        *self.lock_playback() = SlidingWindow::default();
        self.lock_arrivals().clear();
    }

    fn lock_playback(&self) -> MutexGuard<'_, SlidingWindow> {
        self.playback.lock()
    }

    fn lock_switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock()
    }
}

/// One request on its way through a handler.
pub(super) struct Asked {
    pub(super) method: http::Method,
    /// As sent.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: bytes::Bytes,
    /// A fault that the handler itself has to commit.
    pub(super) fault: Option<Fault>,
}

impl Asked {
    /// The decoded values of a query parameter (names in any case).
    pub(super) fn query_values(&self, name: &str) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned()).collect()
    }

    /// The first value of a query parameter, if it is not empty.
    pub(super) fn query_value(&self, name: &str) -> Option<String> {
        self.query_values(name).into_iter().find(|value| !value.is_empty())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
