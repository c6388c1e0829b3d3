//! The sliding window for billed calls: never more than `calls` in any `window`, served by priority, then first come
//! first served.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::Clock;

/// Why a billed call is wanted, most urgent first. Also the reason that the ledger records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Open,
    Stat,
    List,
    Warm,
}

impl Priority {
    /// The word that the ledger and `status` use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Priority::Open => "open",
            Priority::Stat => "stat",
            Priority::List => "list",
            Priority::Warm => "warm",
        }
    }
}

/// The limit: `calls` in any `window`.
#[derive(Clone, Copy, Debug)]
pub struct LimiterSettings {
    pub calls: u32,
    pub window: Duration,
}

/// Hands out permits for billed calls.
#[derive(Clone)]
pub struct Limiter;

/// The right to make one billed call. Dropping it unused gives the slot back; [`Permit::spend`] spends it.
#[must_use]
pub struct Permit;

impl Limiter {
    /// `recent`: when calls were made in the last window, by this or an earlier process.
    pub fn new(_settings: LimiterSettings, _recent: Vec<Timestamp>, _clock: Arc<dyn Clock>) -> Limiter {
        unimplemented!()
    }

    /// Waits for a slot. Dropping the future leaves the queue without a trace.
    pub async fn acquire(&self, _priority: Priority) -> Permit {
        unimplemented!()
    }

    /// The tenant answered 429: no permit is handed out before `retry_after`, or an exponential pause with jitter.
    pub fn throttled(&self, _retry_after: Option<Duration>) {
        unimplemented!()
    }
}

impl Permit {
    /// The call is being made now.
    pub fn spend(self) {
        unimplemented!()
    }
}
