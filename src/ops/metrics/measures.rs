//! What is measured.

use crate::base::Counted;
use crate::ops::status::Status;

/// Everything that is measured, as of now.
#[derive(Clone, Debug)]
pub struct Measures {
    pub status: Status,
    /// Operation, how long it took.
    pub requests: Vec<(&'static str, Counted)>,
    /// Operation, errno, how many.
    pub errors: Vec<(&'static str, &'static str, u64)>,
    /// What for, outcome, how many.
    pub api_calls: Vec<(&'static str, &'static str, u64)>,
    /// Class, how long billed calls waited for the rate limit.
    pub waits: Vec<(&'static str, Counted)>,
    /// Reads that the cache answered, and those that waited for the media host.
    pub reads: (u64, u64),
}

/// Who measures.
pub trait Measured: Send + Sync + 'static {
    /// As of now. Never waits for the network.
    fn measures(&self) -> Measures;
}
