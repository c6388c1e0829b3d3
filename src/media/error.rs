//! What can go wrong with a recording's bytes. No text in here may hold a URL.

use std::sync::Arc;

use super::key::Version;
pub(super) use crate::base::chain;
use crate::net::ApiError;

/// What can go wrong with a recording's bytes. `Clone`, because one failure answers every reader that waits for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MediaError {
    /// The link source failed; its own error is inside.
    #[error("no link to the recording")]
    Link(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The link at hand is refused or has ended, and whoever fetches may sign no other.
    #[error(
        "the recording's link has ended; a new one costs a billed call, which is not made for bytes that nobody asked for"
    )]
    Unsigned,
    /// The media host has other bytes than before; the old blocks are gone from the cache.
    #[error("the recording changed at the source")]
    Changed(Version),
    /// It was erased from the cache, for good, while it was open.
    #[error("the recording was erased")]
    Erased,
    /// The storage refuses the recording, and another signing would not help.
    #[error("{0}")]
    Refused(StorageRefusal),
    /// The media host was known to be down.
    #[error("the media host is down: it is not asked until it answers again")]
    Down(#[source] Arc<ApiError>),
    /// The time for it was up.
    #[error("the media host did not answer in time")]
    Timeout,
    /// The file system of the cache did not answer in that time.
    #[error("the disk of the cache did not answer in time: check the disk, or the network file system, of cache.dir")]
    SlowDisk,
    /// The media host answered with an error, cut, or said what no GET is answered with, after retries.
    #[error("{0}")]
    Failed(Arc<str>),
    /// Anything else, on this side.
    #[error("{0}")]
    Source(Arc<str>),
}

/// Why the storage refuses a recording. Each is a state of that one file, worth keeping: asking again at once gives the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StorageRefusal {
    /// The object is in an archive class (S3 `InvalidObjectState`, Azure `BlobArchived`): somebody has to restore it first.
    #[error("the media host has the recording in an archive, from which it must be restored first")]
    Archived,
    /// The object is on its way back from an archive (Azure `BlobBeingRehydrated`).
    #[error("the media host is restoring the recording from an archive")]
    Restoring,
    /// There is no such object (404, 410, `NoSuchKey`).
    #[error("the media host has no such recording")]
    Gone,
    /// Refused with a fresh link, or for a reason that no signing changes.
    #[error("the media host refused a fresh link")]
    Denied,
    /// Another status that is no answer to a GET.
    #[error("the media host answered {0}")]
    Other(u16),
}

impl MediaError {
    /// Why the storage refuses the recording, if that is what went wrong.
    #[must_use]
    pub fn refusal(&self) -> Option<StorageRefusal> {
        match self {
            MediaError::Refused(refusal) => Some(*refusal),
            _ => None,
        }
    }

    /// Whether the media host gave no bytes for no reason that it told: asking again may help, later.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, MediaError::Failed(_) | MediaError::Timeout)
    }

    /// [`MediaError::Failed`] with a text.
    pub(crate) fn failed(text: impl Into<Arc<str>>) -> MediaError {
        MediaError::Failed(text.into())
    }

    /// [`MediaError::Source`] with a text.
    pub(super) fn source(text: impl Into<Arc<str>>) -> MediaError {
        MediaError::Source(text.into())
    }
}
