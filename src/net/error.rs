//! What can go wrong with the tenant, by what the caller should do about it.
//!
//! Knows neither HTTP types nor errno numbers: the one translates into these errors, the other is translated from them.

use std::error::Error;
use std::sync::Arc;
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
///
/// Clones share the cause: everyone who waited for one login gets that login's error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
#[expect(clippy::struct_excessive_bools, reason = "independent marks, each with a word of its own")]
pub struct ApiError {
    pub kind: ApiErrorKind,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// The `CorrelationId` of the request, by which the tenant's operator finds it; `None` where none was sent.
    pub correlation_id: Option<Arc<str>>,
    message: String,
    /// The request never left this machine.
    unsent: bool,
    /// The token had ended, and there is a new one.
    token_renewed: bool,
    /// Said for a service that was known to be down.
    outage: bool,
    /// The answer was larger than we take.
    too_large: bool,
    #[source]
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// An error without a cause below it.
    pub fn new(kind: ApiErrorKind, message: impl Into<String>) -> ApiError {
        ApiError {
            kind,
            status: None,
            correlation_id: None,
            message: message.into(),
            unsent: false,
            token_renewed: false,
            outage: false,
            too_large: false,
            source: None,
        }
    }

    /// The same failure where the caller knows better what it means.
    #[must_use]
    pub fn with_kind(mut self, kind: ApiErrorKind) -> ApiError {
        self.kind = kind;
        self
    }

    /// The request never left this machine: no connection, no login.
    #[must_use]
    pub fn unsent(mut self) -> ApiError {
        self.unsent = true;
        self
    }

    /// The token of the request had ended, and there is a new one: it may be made once more.
    #[must_use]
    pub fn token_renewed(mut self) -> ApiError {
        self.token_renewed = true;
        self
    }

    /// Whether the same request may succeed now, with a new token.
    #[must_use]
    pub fn is_token_renewed(&self) -> bool {
        self.token_renewed
    }

    /// Whether the request is known never to have left this machine, so that nobody can have counted it.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.unsent
    }

    /// The answer was larger than we take.
    #[must_use]
    pub fn too_large(mut self) -> ApiError {
        self.too_large = true;
        self
    }

    /// Whether a request for less may succeed, because the answer was larger than we take.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// Marks what is said to all who need a service that is down.
    #[must_use]
    pub fn during_outage(mut self) -> ApiError {
        self.outage = true;
        self.unsent = true;
        self
    }

    /// Whether this is but one more consequence of an outage that the log has a line about.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.outage
    }

    /// Adds the HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> ApiError {
        self.status = Some(status);
        self
    }

    /// Adds the request's correlation id.
    #[must_use]
    pub fn with_correlation_id(mut self, id: impl Into<Arc<str>>) -> ApiError {
        self.correlation_id = Some(id.into());
        self
    }

    /// Adds the cause. `reqwest` errors must have had their URL removed.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> ApiError {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Whether the same call may succeed if tried again soon.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ApiErrorKind::RateLimited { .. } | ApiErrorKind::Unavailable | ApiErrorKind::Timeout)
    }
}
