//! Work that is too long for a worker of the runtime.

use crate::tree::error::{ErrorKind, TreeError};

/// Looking at every interaction of a scope takes a while (5 µs for each): on a thread that others do not need.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TreeError> + Send + 'static,
) -> Result<T, TreeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(TreeError::new(ErrorKind::Io, "warming was interrupted")))
}
