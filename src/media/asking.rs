//! In whose name a fetch asks for links: a fetch outlives the read that began it, and serves several. A link is signed only for a read that
//! still waits for bytes of the recording, and in its name.
//!
//! Knows nothing of what a link costs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::askers::Asker;
use super::error::MediaError;
use super::links::{Link, LinkSource};
use super::recording::Recording;

/// How often it is looked whether a read still waits: nobody else tells.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A read waits until this is dropped.
pub struct Asking<'a> {
    recording: &'a Recording,
    id: u64,
}

impl<'a> Asking<'a> {
    /// A read begins to wait; links are signed by `links` in its name.
    pub fn begin(recording: &'a Recording, links: Arc<dyn LinkSource>) -> Asking<'a> {
        let id = recording.lock().askers.add(links);
        Asking { recording, id }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.recording.lock().askers.waiting.retain(|asker| asker.id != self.id);
    }
}

/// Links of a fetch: at hand by those of its reader, signed in the name of whoever waits.
pub struct AskersLinks {
    pub recording: Arc<Recording>,
    pub links: Arc<dyn LinkSource>,
}

impl AskersLinks {
    /// The read that has waited longest of those in whose name a link may be signed; the refusal where there are others only.
    async fn payer(&self) -> Result<Option<Asker>, MediaError> {
        let waiting = self.recording.lock().askers.waiting.clone();
        let mut refusal = None;
        for asker in waiting {
            match asker.links.admitted().await {
                Ok(()) => return Ok(Some(asker)),
                Err(refused) => refusal = Some(refused),
            }
        }
        refusal.map_or(Ok(None), Err)
    }

    /// Ends when a read does not wait any more.
    async fn left(&self, id: u64) {
        while self.recording.lock().askers.is_there(id) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[async_trait]
impl LinkSource for AskersLinks {
    /// Does not end while a link has to be signed and no read waits.
    async fn link(&self, refused: Option<u64>) -> Result<Link, MediaError> {
        loop {
            if let Some(link) = self.at_hand(refused) {
                return Ok(link);
            }
            let Some(asker) = self.payer().await? else {
                // Fetching ahead is nobody's read, and cannot sign: it fails here instead of waiting for a reader.
                if !self.links.may_sign() {
                    return self.links.link(refused).await;
                }
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            };
            tokio::select! {
                biased;
                link = asker.links.link(refused) => return link,
                () = self.left(asker.id) => {}
            }
        }
    }

    fn at_hand(&self, refused: Option<u64>) -> Option<Link> {
        self.links.at_hand(refused)
    }

    fn note(&self) -> Option<Vec<u8>> {
        self.links.note()
    }
}
