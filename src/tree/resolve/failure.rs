//! How one try of a billed call ended. Pure.

use std::sync::Arc;

use crate::book::Completion;
use crate::cxone::PlaybackAnswer;
use crate::net::{ApiError, ApiErrorKind};
use crate::tree::error::TreeError;

/// How one try ended.
pub enum Failure {
    /// 429: the limiter pauses, the request is not lost.
    Throttled,
    /// The token had ended; there is a new one.
    TokenRenewed,
    /// It never left this machine: worth another try.
    Unsent(TreeError),
    /// Nobody waits for it any more, and it was not made.
    Left,
    Final(TreeError),
}

/// Whether a call was made and not answered: it may have been billed, and the next may end the same way.
pub fn is_failure(error: &ApiError) -> bool {
    matches!(error.kind, ApiErrorKind::Unavailable | ApiErrorKind::Timeout)
        && !error.is_unsent()
        && !error.is_token_renewed()
}

/// What an error of the call means for the pending call.
pub fn failure(error: ApiError) -> Failure {
    if error.is_token_renewed() {
        return Failure::TokenRenewed;
    }
    let (kind, is_unsent) = (error.kind, error.is_unsent());
    let error = || TreeError::from(Arc::new(error));
    match kind {
        ApiErrorKind::RateLimited { .. } => Failure::Throttled,
        ApiErrorKind::Unavailable if is_unsent => Failure::Unsent(error()),
        _ => Failure::Final(error()),
    }
}

/// What it means for the rate limit.
pub fn completion(answer: &Result<PlaybackAnswer, ApiError>) -> Completion {
    match answer {
        Ok(_) => Completion::Answered,
        Err(error) => match error.kind {
            ApiErrorKind::RateLimited { retry_after } => Completion::Throttled(retry_after),
            _ if error.is_unsent() => Completion::Unsent,
            _ => Completion::Unknown,
        },
    }
}
