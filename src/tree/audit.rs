//! Who opened what, for the audit log. The log itself is written elsewhere.

use std::sync::Arc;

use async_trait::async_trait;

use crate::base::MasterId;
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::principal::Principal;

/// What was done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Open,
    /// Fetched ahead of any reader.
    Warm,
    /// Looked at where looking makes a billed call, and refused.
    Look,
}

impl Act {
    /// The word in the log.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Act::Open => "open",
            Act::Warm => "warm",
            Act::Look => "look",
        }
    }
}

/// One open of a recording, of a document or of `contact.json`, or what counts as one.
#[derive(Debug)]
pub struct OpenEvent {
    pub act: Act,
    pub principal: Principal,
    /// Through which door.
    pub door: Arc<str>,
    /// Relative to the mount point.
    pub path: String,
    pub master: MasterId,
    /// Whether it needed a billed call (shared, perhaps, with others who asked at the same time).
    pub billed: bool,
    pub outcome: Result<(), ErrorKind>,
}

/// Why nothing may be opened: that it was would not be on record.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotAudited(pub String);

impl From<NotAudited> for TreeError {
    fn from(error: NotAudited) -> TreeError {
        TreeError::new(ErrorKind::Io, error.0)
    }
}

/// Takes down who opened what.
#[async_trait]
pub trait Audit: Send + Sync + 'static {
    /// Whether an open would be taken down. Asked before it costs anything. Never waits.
    fn check(&self) -> Result<(), NotAudited>;

    /// Called before the opener is answered. Ready at once, unless the record must be on disk first or one user's records come faster than
    /// they can be written.
    async fn opened(&self, event: OpenEvent) -> Result<(), NotAudited>;
}

/// Takes nothing down.
pub struct NoAudit;

#[async_trait]
impl Audit for NoAudit {
    fn check(&self) -> Result<(), NotAudited> {
        Ok(())
    }

    async fn opened(&self, _event: OpenEvent) -> Result<(), NotAudited> {
        Ok(())
    }
}
