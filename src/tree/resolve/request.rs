//! What is asked of the resolver, and within which limits.

use std::time::Duration;

use crate::base::MasterId;
use crate::book::DailyBudget;
use crate::media::RecordingKey;
use crate::net::Priority;
use crate::tree::principal::Principal;

/// For whom and how urgently a billed call is wanted.
#[derive(Clone, Debug)]
pub struct ResolveRequest {
    pub priority: Priority,
    pub principal: Principal,
    /// The recording that is read next.
    pub reads: Option<Reads>,
}

/// A recording that is about to be read.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    /// Which of the interaction.
    pub index: u8,
    /// Bytes that it is thought to have.
    pub expected: u64,
}

/// What a billed call is to bring.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The exact listing.
    Listing,
    /// A link to recording `index`, other than the refused one.
    Link { index: u8, refused: Option<u64> },
}

/// Limits on waiting and spending.
#[derive(Clone, Copy, Debug)]
pub struct ResolveLimits {
    pub budget: DailyBudget,
    /// The same for each user.
    pub user_budget: DailyBudget,
    /// Work: from the moment a call may be made.
    pub deadline: Duration,
    /// Waiting for the rate limit; `None` waits as long as calls still go through.
    pub patience: Option<Duration>,
}

/// The cache's name for a recording.
pub fn recording_key(master: MasterId, index: u8) -> RecordingKey {
    RecordingKey(format!("{master}/{index}").into())
}

/// The interaction of a recording: the inverse of [`recording_key`].
pub fn master_of(key: &RecordingKey) -> Option<MasterId> {
    key.0.split_once('/').and_then(|(master, _)| master.parse().ok())
}
