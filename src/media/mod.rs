//! Bytes of recordings: ranged source, block cache on disk, LRU, readahead, reader.
//!
//! Knows no contacts: a recording is an opaque key, and a fresh link comes from a [`LinkSource`] that it is given.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::base::Clock;
use crate::cxone::MediaLink;

/// Names a recording for ever. The cache stores a hash of it, not the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordingKey(pub Arc<str>);

/// What tells one version of a recording's bytes from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Bytes.
    pub size: u64,
    /// The media host's `ETag` (else `Last-Modified`), as sent; empty where it sent none.
    pub validator: String,
}

/// A link and its number, so that a refusal names the link that was refused.
#[derive(Clone, Debug)]
pub struct Link {
    pub link: MediaLink,
    /// Grows with every signing of this recording.
    pub serial: u64,
}

/// Gives links to a recording's bytes. Implementations sign at most once at a time per recording.
#[async_trait]
pub trait LinkSource: Send + Sync + 'static {
    /// A link that is not `refused` and has not ended. May make a billed call, if the links at hand are refused or ended.
    async fn link(&self, refused: Option<u64>) -> Result<Link, MediaError>;
}

/// What can go wrong with a recording's bytes.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MediaError {
    /// The link source failed; its own error is inside.
    #[error("no link to the recording")]
    Link(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The media host has other bytes than before; the old blocks are gone from the cache.
    #[error("the recording changed at the source")]
    Changed(Version),
    /// The media host says that there is no such object (404 or 410).
    #[error("the media host has no such recording")]
    Gone,
    /// Refused with a fresh link.
    #[error("the media host refused a fresh link")]
    Denied,
    /// The time for it was up.
    #[error("the media host did not answer in time")]
    Timeout,
    /// Anything else, after retries.
    #[error("{0}")]
    Source(Arc<str>),
}

/// Settings of the cache and the fetcher.
#[derive(Clone, Debug)]
pub struct MediaSettings {
    pub cache_dir: PathBuf,
    /// Bytes that the cache may occupy on disk, at most.
    pub cache_size: u64,
    /// Bytes that must stay free on the cache's file system.
    pub min_free: u64,
    /// Recordings up to this size (bytes) are fetched whole at their first read.
    pub whole_file_below: u64,
    /// Ranged GETs in flight at once, at most.
    pub connections: usize,
    /// Bytes in flight, at most.
    pub memory: u64,
    /// The time that one read may take.
    pub deadline: Duration,
}

/// The cache and its fetcher. Cheap to clone.
#[derive(Clone)]
pub struct Media;

impl Media {
    /// Opens or creates the cache directory (0700). Starts no task and makes no request.
    pub fn open(_settings: MediaSettings, _clock: Arc<dyn Clock>) -> Result<Media, MediaError> {
        unimplemented!()
    }

    /// Learns the size with one ranged GET of the head, whose bytes go into the cache.
    pub async fn probe(&self, _key: &RecordingKey, _links: Arc<dyn LinkSource>) -> Result<Version, MediaError> {
        unimplemented!()
    }

    /// A reader with its own readahead. Touches no network.
    pub fn reader(
        &self,
        _key: &RecordingKey,
        _version: &Version,
        _links: Arc<dyn LinkSource>,
    ) -> Result<Reader, MediaError> {
        unimplemented!()
    }

    /// Whether every byte of this version is in the cache. Cheap; touches no network.
    pub fn is_complete(&self, _key: &RecordingKey, _version: &Version) -> bool {
        unimplemented!()
    }

    /// Bytes that the cache occupies on disk.
    pub fn cache_used(&self) -> u64 {
        unimplemented!()
    }
}

/// One open of one recording.
pub struct Reader;

impl Reader {
    /// Bytes at `offset` if they are all in the cache; shorter than `len` only at the end of the recording.
    /// Never waits for the network.
    pub fn read_cached(&self, _offset: u64, _len: u32) -> Option<Bytes> {
        unimplemented!()
    }

    /// Bytes at `offset`, fetched where missing; shorter than `len` only at the end of the recording.
    /// Ends within the deadline. Dropping the future abandons the wait, not the fetch.
    pub async fn read(&self, _offset: u64, _len: u32) -> Result<Bytes, MediaError> {
        unimplemented!()
    }

    /// The data file, if every block is present and was verified in this process; for passthrough.
    pub fn verified_file(&self) -> Option<File> {
        unimplemented!()
    }
}
