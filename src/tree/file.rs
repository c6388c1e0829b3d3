//! An open file: its size, what tells one content from another, and its bytes.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::MasterId;
use crate::media::{LinkSource, MediaError, Now, Reader, VerifiedFile, Version};
use crate::net::Priority;
use crate::tree::Tree;
use crate::tree::closed::Wanted;
use crate::tree::error::TreeError;
use crate::tree::node::Place;
use crate::tree::principal::Principal;
use crate::tree::resolve::ResolveRequest;

/// An open file. Dropping it closes it, which may close and remove files of the cache: for threads that may wait.
pub struct File {
    content: Content,
    /// Bytes that can be read.
    pub size: u64,
    /// Whoever opened it before read the same bytes, so that what is kept of them may be kept on.
    pub is_settled: bool,
}

enum Content {
    /// A document, as it was when opened.
    Document(Bytes, MasterId),
    Recording(OpenRecording),
    /// What was open was erased: nothing of it is kept here.
    Erased,
}

/// An open recording.
pub(super) struct OpenRecording {
    pub tree: Arc<Tree>,
    /// Which of the interaction.
    pub index: u8,
    pub place: Place,
    pub reader: Reader,
}

impl File {
    pub(super) fn document(bytes: Bytes, master: MasterId, is_settled: bool) -> File {
        File { size: bytes.len() as u64, content: Content::Document(bytes, master), is_settled }
    }

    pub(super) fn recording(recording: OpenRecording, size: u64, is_settled: bool) -> File {
        File { content: Content::Recording(recording), size, is_settled }
    }

    /// What an open file becomes when its interaction is erased: every read fails. For front ends to put in its place, so that nothing of it is kept.
    pub fn erased() -> File {
        File { size: 0, content: Content::Erased, is_settled: false }
    }

    /// The interaction that it is about, unless that was erased.
    pub fn master(&self) -> Option<MasterId> {
        match &self.content {
            Content::Document(_, master) => Some(*master),
            Content::Recording(recording) => Some(recording.place.master),
            Content::Erased => None,
        }
    }

    /// What tells this content of the file from another: equal only where every byte is (RFC 9110, a strong entity tag without its quotes).
    pub fn etag(&self) -> String {
        match &self.content {
            Content::Document(bytes, _) => hex(bytes),
            Content::Erased => String::new(),
            Content::Recording(recording) => {
                let Version { size, validator } = recording.reader.version();
                let Place { master, .. } = recording.place;
                hex(format!("{master}/{} {size} {validator:?}", recording.index).as_bytes())
            }
        }
    }

    /// Bytes from `offset` on; shorter than `len` only at the end.
    pub async fn read_at(&self, offset: u64, len: u32, principal: &Principal) -> Result<Bytes, TreeError> {
        match &self.content {
            Content::Document(bytes, _) => Ok(slice(bytes, offset, len)),
            Content::Erased => Err(MediaError::Erased.into()),
            Content::Recording(recording) => recording.read_at(offset, len, principal).await,
        }
    }

    /// The version of a recording; `None` for documents.
    pub fn version(&self) -> Option<&Version> {
        match &self.content {
            Content::Recording(recording) => Some(recording.reader.version()),
            Content::Document(..) | Content::Erased => None,
        }
    }

    /// Has what the cache holds of a recording verified, so that it may be read past the tree: at once if it is small, else in time for a later
    /// open.
    pub async fn prepare_passthrough(&self) {
        if let Content::Recording(recording) = &self.content {
            recording.reader.prepare_passthrough().await;
        }
    }

    /// The cache's data file of a recording, if all of it is here and verified: it may be read past the tree.
    pub async fn verified_file(&self) -> Option<VerifiedFile> {
        match &self.content {
            Content::Recording(recording) => recording.reader.verified_file().await,
            Content::Document(..) | Content::Erased => None,
        }
    }

    /// Closes it. Within a runtime.
    pub fn close(file: Arc<File>) {
        let Content::Recording(recording) = &file.content else { return };
        let closed = Arc::clone(&recording.tree.closed);
        let wanted = Wanted {
            master: recording.place.master,
            recording: recording.index,
            version: recording.reader.version().clone(),
        };
        // The last reader closes files of the cache, and may remove some.
        tokio::task::spawn_blocking(move || {
            drop(file);
            closed.note(wanted);
        });
    }
}

impl OpenRecording {
    async fn read_at(&self, offset: u64, len: u32, principal: &Principal) -> Result<Bytes, TreeError> {
        let tree = &self.tree;
        let here = match self.reader.read_now(offset, len) {
            Now::Here(bytes) => Some(bytes),
            Now::Missing => None,
            Now::OnDisk => tokio::select! {
                biased;
                read = self.reader.read_stored(offset, len) => read?,
                () = principal.gone() => return Err(TreeError::interrupted()),
            },
        };
        if let Some(bytes) = here {
            tree.read_counters.note(true, bytes.len());
            return Ok(bytes);
        }
        let (master, index) = (self.place.master, self.index);
        if !tree.resolver.links().lasts(master, index, tree.clock.now()) {
            // Before it waits beside those who may have a link signed.
            tree.guard.admit(principal).await?;
        }
        let links = self.links_for(principal);
        let read = tokio::select! {
            biased;
            read = self.reader.read_for(&links, offset, len) => read,
            () = principal.gone() => return Err(TreeError::interrupted()),
        };
        match read {
            Ok(bytes) => {
                tree.resolver.note_media_success(master, index).await;
                tree.read_counters.note(false, bytes.len());
                Ok(bytes)
            }
            Err(error) => {
                tree.resolver.note_media_failure(master, index, &error, principal).await;
                if let MediaError::Changed(version) = &error {
                    self.changed(version).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Links for one read, signed in the name of whoever reads, who need not be the one who opened.
    fn links_for(&self, principal: &Principal) -> Arc<dyn LinkSource> {
        let request = ResolveRequest { priority: Priority::Open, principal: principal.clone(), reads: None };
        Arc::new(self.tree.recording_links(self.place.master, self.index, request))
    }

    /// The source has another object now: remember its size, and that what was kept of the old one is of no use.
    async fn changed(&self, version: &Version) -> Result<(), TreeError> {
        let (tree, master, index) = (&self.tree, self.place.master, self.index);
        // Before the new size is shown: whoever opens by it must not keep the old bytes.
        tree.note_changed(master, index);
        if tree.resolver.publish_size(master, index, version).await? {
            tracing::warn!(%master, recording = index, "recording {} of master contact {master} changed at the media host: its old bytes are dropped, and open readers get ESTALE", index + 1);
        }
        Ok(())
    }
}

/// 128 bits of SHA-256.
fn hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref()[..16].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn slice(bytes: &Bytes, offset: u64, len: u32) -> Bytes {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(len as usize).min(bytes.len());
    bytes.slice(start..end)
}
