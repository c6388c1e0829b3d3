//! What `cxonefs warm` and a mount say to each other: the forms of request, cost and progress. Field names are part of what users
//! see with `--json`; fields may be added.

use serde::{Deserialize, Serialize};

/// What is to be warmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmRequest {
    /// Relative to the mount; an empty one is all of it.
    pub paths: Vec<String>,
    /// Leave the bytes of recordings out.
    #[serde(default)]
    pub metadata_only: bool,
}

/// What it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WarmCost {
    pub interactions: u64,
    /// Billed calls.
    pub calls: u64,
    /// Billed calls that today's budget (UTC) still allows; `null`: unlimited.
    pub budget_left: Option<u64>,
    /// Recordings of which something is missing in the cache.
    pub recordings: u64,
    /// Bytes of those recordings.
    pub bytes: u64,
    /// The part of `bytes` that is a high guess, because the recording was never opened.
    pub bytes_guessed: u64,
    /// Bytes that the cache may occupy in all.
    pub cache_bytes: u64,
    /// How long the rate limit makes the calls take, at most (s).
    pub limit_time_s: f64,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmProgress {
    pub interactions: u64,
    /// Interactions that are done, failed ones included.
    pub done: u64,
    pub failed: u64,
    /// Interactions for which a billed call was made.
    pub calls: u64,
    /// Bytes of recordings brought.
    pub bytes: u64,
    /// Bytes to be brought in all; becomes exact as sizes become known.
    pub bytes_in_all: u64,
    /// Recordings that were left out because the cache cannot hold them beside the others.
    pub left_out: u64,
    /// Recordings that are never on disk, and so cannot be fetched ahead.
    #[serde(default)]
    pub never: u64,
    /// What failed, in words; the first few.
    pub failures: Vec<String>,
    pub state: WarmState,
    /// Why it ended early.
    pub why: Option<String>,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WarmState {
    #[default]
    Running,
    /// Everything was tried.
    Finished,
    /// Ended early: the daily budget of billed calls is spent.
    BudgetSpent,
    /// Ended early: going on is in vain.
    GivenUp,
}
