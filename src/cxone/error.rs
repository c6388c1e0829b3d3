//! What can go wrong with the tenant, by what the caller should do about it.

use std::time::Duration;

/// Decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// Wrong or missing configuration; no request was made.
    Configuration,
    /// 401 after a fresh login, a refused login, or 403.
    Denied,
    /// 429. The tenant's `Retry-After`, if it sent one.
    RateLimited { retry_after: Option<Duration> },
    /// No connection, a cut connection, or 5xx: worth another try.
    Unavailable,
    /// The call took longer than it may: worth another try.
    Timeout,
    /// An answer that makes no sense: not worth another try.
    BadAnswer,
}

/// A failed call. The text names operation, host and status, never a token, a secret or a signed link.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub kind: ApiErrorKind,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ApiError {
    /// An error without a cause below it.
    pub fn new(kind: ApiErrorKind, message: impl Into<String>) -> ApiError {
        ApiError { kind, status: None, message: message.into(), source: None }
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> ApiError {
        self.status = Some(status);
        self
    }

    /// Adds the cause. `reqwest` errors must have had their URL removed.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ApiError {
        self.source = Some(source.into());
        self
    }

    /// Whether the same call may succeed if tried again soon.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ApiErrorKind::RateLimited { .. } | ApiErrorKind::Unavailable | ApiErrorKind::Timeout)
    }
}
