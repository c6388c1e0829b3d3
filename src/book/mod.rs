//! Who may make a billed call, and that it is made: slot, budget and ledger row in one claim before it, its outcome after it.
//!
//! Knows neither what a call is for nor who answers it. [`LocalBook`] is the book of a host that calls alone. Never on the way of a read: what is
//! known is read from the catalog.

mod budget;
mod error;
mod local;
mod rows;

use std::time::Duration;

use async_trait::async_trait;

use crate::base::{Counted, MasterId, UserKey};
use crate::net::{LimiterSettings, LimiterSnapshot, Priority};

pub use budget::{Allowed, DailyBudget, Whose};
pub use error::BookError;
pub use local::LocalBook;

/// How urgent a call is, and whose turn it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub priority: Priority,
    pub user: UserKey,
}

/// In whose name a call is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    pub uid: u32,
    pub pid: u32,
    /// The name of the program.
    pub comm: String,
}

/// How a call ended, as far as the limit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The tenant answered it, and counts it.
    Answered,
    /// Too many calls, says the tenant; and how long to wait, if it says so.
    Throttled(Option<Duration>),
    /// It never left this machine.
    Unsent,
    /// Nobody knows what became of it.
    Unknown,
}

/// Whoever wants a call made, while the claim waits.
#[async_trait]
pub trait Asking: Send + Sync {
    /// How urgent it is now, and whose turn it waits for.
    fn turn(&self) -> Turn;
    /// Waits until the turn is another one than `seen`, or the call may not be wanted any more.
    async fn changed(&self, seen: &Turn);
    /// Whether the call is still wanted. Once it is not, the claim ends without one.
    fn is_wanted(&self) -> bool;
    /// There is a slot: does what else must be done before a call can leave, and costs nothing. Where that fails, the claim ends without a call.
    async fn prepare(&self) -> Result<(), Completion>;
    /// In whose name it is made now; `None` where nobody is left who wants it.
    fn payer(&self) -> Option<Payer>;
}

/// How a claim ended.
pub enum Claimed {
    /// The call may be made, at once, and is on record.
    Granted(Box<dyn Grant>),
    /// It is not wanted any more, or could not be prepared: nothing is on record.
    Withdrawn,
}

/// A call that may be made. Dropping it says that nobody knows what became of the call.
#[async_trait]
pub trait Grant: Send {
    /// The call has ended so: at once when it has.
    fn complete(&mut self, completion: Completion);
    /// What the ledger is to say of it, once its answer is stored.
    async fn finish(self: Box<Self>, outcome: String) -> Result<(), BookError>;
}

/// The book of billed calls.
#[async_trait]
pub trait Book: Send + Sync + 'static {
    /// Says no where a claim for `user` would: before anybody waits.
    fn check(&self, user: &UserKey, allowed: Allowed) -> Result<(), BookError>;

    /// Waits for a slot, and enters the call. On disk when this returns. Not to be dropped while it may have entered something: `asking` says when it
    /// is to end.
    async fn claim(&self, master: MasterId, asking: &dyn Asking, allowed: Allowed) -> Result<Claimed, BookError>;

    /// How many calls of one user wait.
    fn waiting_of(&self, user: &UserKey) -> usize;

    /// What the rate limit is doing.
    fn limit(&self) -> LimiterSnapshot;

    /// Another configured rate limit from now on.
    fn set_limit(&self, settings: LimiterSettings);

    /// How long calls waited for the rate limit, by class in the order of [`Priority::ALL`].
    fn waits(&self) -> [Counted; 4];
}
