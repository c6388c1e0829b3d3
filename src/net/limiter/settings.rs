//! What the limit is. Plain.

use std::time::Duration;

/// The limit: `calls` in any `window`. No calls at all counts as one; a window of zero does not limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimiterSettings {
    pub calls: u32,
    pub window: Duration,
}
