//! Where links come from, as the media layer sees it.

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::MediaError;
use crate::net::MediaLink;

/// A link and its number, so that a refusal names the link that was refused.
#[derive(Clone, Debug)]
pub struct Link {
    pub link: MediaLink,
    /// Grows with every signing of this recording.
    pub serial: u64,
    /// When it was signed, by this machine's clock.
    pub signed_at: Timestamp,
}

/// Gives links to a recording's bytes. Implementations sign at most once at a time per recording.
#[async_trait]
pub trait LinkSource: Send + Sync + 'static {
    /// A link that is not `refused` and has not ended. May make a billed call, if the links at hand are refused or ended.
    async fn link(&self, refused: Option<u64>) -> Result<Link, MediaError>;

    /// The same if it costs nothing and is at hand.
    fn at_hand(&self, _refused: Option<u64>) -> Option<Link> {
        None
    }

    /// Whether [`LinkSource::link`] may sign at all.
    fn may_sign(&self) -> bool {
        true
    }

    /// Whether a new link may be signed in the name of the caller these are for. Asked only where one is needed.
    async fn admitted(&self) -> Result<(), MediaError> {
        Ok(())
    }

    /// What is to be found beside the recording's bytes when everything else is lost; at most 256 KiB are kept. Asked for once, when its files are made.
    fn note(&self) -> Option<Vec<u8>> {
        None
    }
}

/// The link at hand and no other, for fetching ahead: it cannot sign, so it cannot cost a billed call.
#[derive(Debug)]
pub struct OneLink {
    pub link: Link,
    /// As [`LinkSource::note`].
    pub note: Option<Vec<u8>>,
}

#[async_trait]
impl LinkSource for OneLink {
    async fn link(&self, refused: Option<u64>) -> Result<Link, MediaError> {
        if refused == Some(self.link.serial) { Err(MediaError::Unsigned) } else { Ok(self.link.clone()) }
    }

    fn at_hand(&self, refused: Option<u64>) -> Option<Link> {
        (refused != Some(self.link.serial)).then(|| self.link.clone())
    }

    fn may_sign(&self) -> bool {
        false
    }

    fn note(&self) -> Option<Vec<u8>> {
        self.note.clone()
    }
}
