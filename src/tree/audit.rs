//! Who opened what, for the audit log. The log itself is written elsewhere.

use crate::base::MasterId;
use crate::tree::error::ErrorKind;
use crate::tree::principal::Principal;

/// One open of a recording or of its documents.
#[derive(Debug)]
pub struct OpenEvent {
    pub principal: Principal,
    /// Relative to the mount point.
    pub path: String,
    pub master: MasterId,
    /// Whether it needed a billed call (shared, perhaps, with others who asked at the same time).
    pub billed: bool,
    pub outcome: Result<(), ErrorKind>,
}

/// Takes down who opened what.
pub trait Audit: Send + Sync + 'static {
    /// Must not block: it is called before the opener is answered.
    fn opened(&self, event: &OpenEvent);
}

/// Takes nothing down.
pub struct NoAudit;

impl Audit for NoAudit {
    fn opened(&self, _event: &OpenEvent) {}
}
