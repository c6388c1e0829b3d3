//! Sizes of recordings, which their media host tells: learned after the billed call, and for an open that needs one.

use std::sync::Arc;
use std::time::Duration;

use super::Resolver;
use super::request::{Need, ResolveRequest, recording_key};
use crate::base::MasterId;
use crate::catalog::{FileKind, Interaction, Resolution};
use crate::media::{LinkSource as _, MediaError, Version};
use crate::tree::children::needs_call;
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::signing::RecordingLinks;

/// How long opening a document waits for the sizes of the recordings beside it.
const SIZES_GRACE: Duration = Duration::from_secs(2);

impl Resolver {
    /// The interaction with its exact listing and every size that can be learned now; makes the billed call if it was never made, or if
    /// a missing recording may be asked for again. A size that the media host withholds stays unknown: whoever opens that recording
    /// gets the reason from [`Resolver::size`].
    pub async fn resolved(&self, master: MasterId, request: ResolveRequest) -> Result<Interaction, TreeError> {
        let mut interaction = self.recalled(self.interaction(master)?).await?;
        if needs_call(&interaction.resolution, self.inner.clock.now()) {
            self.sign(master, &request, Need::Listing).await?;
            interaction = self.interaction(master)?;
        }
        let unsized_recordings: Vec<u8> = recordings_without_size(&interaction)
            .filter(|index| self.check_reachable(&interaction, *index).is_ok())
            .collect();
        if unsized_recordings.is_empty() {
            return Ok(interaction);
        }
        let sizes = unsized_recordings.into_iter().map(|index| {
            let (resolver, request) = (self.clone(), request.clone());
            async move {
                // Signed only as long as the asker waits.
                RecordingLinks::admitted(&resolver, master, index, request.clone()).link(None).await?;
                // A task, so that a size is learned and stored even if the asker stops waiting.
                let learned = tokio::spawn(async move { resolver.size(master, index, request).await });
                learned.await.unwrap_or_else(|_| Err(TreeError::new(ErrorKind::Io, "learning a size was interrupted")))
            }
        });
        let grace = sizes_grace(self.inner.limits.lock().deadline);
        let _ = tokio::time::timeout(grace, futures_util::future::join_all(sizes)).await;
        self.interaction(master)
    }

    /// The size and validator of a recording, from one ranged GET of its head if it is not known yet. Makes a billed call only if no usable link is
    /// at hand.
    pub async fn size(&self, master: MasterId, index: u8, request: ResolveRequest) -> Result<Version, TreeError> {
        // Whoever opens has waited for sizes before, see `resolved`; both together must end by the deadline.
        let deadline = self.inner.limits.lock().deadline;
        let deadline = deadline.saturating_sub(sizes_grace(deadline));
        let reads = request.reads.filter(|reads| reads.index == index);
        let principal = request.principal.clone();
        let links = Arc::new(RecordingLinks::admitted(self, master, index, request));
        self.check_reachable(&self.interaction(master)?, index)?;
        // Under limits of its own: waiting for the rate limit is no work of the media host's.
        links.link(None).await?;
        let key = recording_key(master, index);
        let probe = async {
            match reads {
                Some(reads) => self.inner.media.probe_to_read(&key, links, reads.expected).await,
                None => self.inner.media.probe(&key, links).await,
            }
        };
        let probed = tokio::time::timeout(deadline, probe).await.unwrap_or(Err(MediaError::Timeout));
        match &probed {
            Ok(_) => self.note_media_success(master, index).await,
            Err(error) => self.note_media_failure(master, index, error, &principal).await,
        }
        let version = probed?;
        self.publish_size(master, index, &version).await?;
        Ok(version)
    }
}

fn sizes_grace(deadline: Duration) -> Duration {
    SIZES_GRACE.min(deadline / 2)
}

fn recordings_without_size(interaction: &Interaction) -> impl Iterator<Item = u8> + use<> {
    let files = match &interaction.resolution {
        Resolution::Resolved { files, .. } => files.clone(),
        Resolution::Unresolved => [].into(),
    };
    (0..files.len()).filter_map(move |position| match &files[position] {
        file if file.size.is_some() => None,
        file => match file.kind {
            FileKind::Recording(index) => Some(index),
            _ => None,
        },
    })
}
