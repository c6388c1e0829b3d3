//! Opening: where an interaction is resolved and a handle made.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::MasterId;
use crate::catalog::{FileKind, Interaction, Obstacles};
use crate::cxone::Priority;
use crate::media::{LinkSource, MediaError, VerifiedFile, Version};
use crate::vfs::audit::{Act, OpenEvent};
use crate::vfs::children::{Child, child_of_kind, open_needs_call};
use crate::vfs::error::{ErrorKind, VfsError};
use crate::vfs::estimate::expected;
use crate::vfs::handles::{OpenDocument, OpenFile, OpenRecording};
use crate::vfs::links::RecordingLinks;
use crate::vfs::node::{Node, Place};
use crate::vfs::paths::ERASED;
use crate::vfs::principal::Principal;
use crate::vfs::resolve::{Reads, Want, recording_key};
use crate::vfs::{Vfs, unless_given_up};

/// A successful open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub handle: u64,
    /// Bytes that can be read.
    pub size: u64,
    /// The kernel may keep the pages that it has of this file.
    pub keep_cache: bool,
}

impl Vfs {
    pub(super) fn open_contact(&self, place: Place) -> Result<Opened, VfsError> {
        let Place { day, agent, master } = place;
        let bytes = self.catalog.contact_json(day, agent, master)?.ok_or_else(VfsError::not_found)?;
        // While its day is open a refresh may change it; pages of an older state must not survive a new open.
        let keep_cache = self.is_closed(day)?;
        let size = bytes.len() as u64;
        let document = OpenDocument { bytes: bytes.into(), master };
        Ok(Opened { handle: self.files.insert(OpenFile::Document(document)), size, keep_cache })
    }

    pub(super) async fn open_shared(
        &self,
        kind: FileKind,
        place: Place,
        keeps_atime: bool,
        principal: &Principal,
    ) -> Result<Opened, VfsError> {
        let before = self.before_open(place).await?;
        let calls = open_needs_call(&before, self.clock.now(), kind);
        let opening = async {
            if calls {
                self.guard.admit_look(kind, keeps_atime, principal).await?;
            }
            self.open_billed(kind, place, principal, &before, calls).await
        };
        unless_given_up(principal, opening).await
    }

    async fn before_open(&self, place: Place) -> Result<Interaction, VfsError> {
        let known = self.catalog.interaction(place.master)?.ok_or_else(VfsError::not_found)?;
        self.resolver.recalled(known).await
    }

    /// What was done, once it is on record as far as it must be. What is not on record did not happen: the handle is closed again.
    pub(super) async fn audited<T>(
        &self,
        node: Node,
        principal: &Principal,
        (handle, result): (Option<u64>, Result<T, VfsError>),
    ) -> Result<T, VfsError> {
        let outcome = result.as_ref().map(|_| ()).map_err(VfsError::kind);
        match self.audit.opened(self.event(Act::Open, node, principal, outcome)).await {
            Ok(()) => result,
            Err(refused) => {
                if let Some(handle) = handle {
                    self.release(handle);
                }
                Err(refused.into())
            }
        }
    }

    pub(super) fn event(
        &self,
        act: Act,
        node: Node,
        principal: &Principal,
        outcome: Result<(), ErrorKind>,
    ) -> OpenEvent {
        let billed = principal.has_paid();
        let (principal, door, path) = (principal.clone(), Arc::clone(&self.settings.door), self.path(node));
        // Erased while it was being opened: that somebody did is all that may be said.
        let master = node.place().filter(|_| path != ERASED).map_or(MasterId(0), |place| place.master);
        OpenEvent { act, principal, door, path, master, billed, outcome }
    }

    async fn open_billed(
        &self,
        kind: FileKind,
        place: Place,
        principal: &Principal,
        before: &Interaction,
        calls: bool,
    ) -> Result<Opened, VfsError> {
        let master = place.master;
        let want = Want { priority: Priority::Open, principal: principal.clone(), reads: self.reads(kind, before)? };
        if calls {
            self.guard.admit(principal).await?;
            self.resolver.resolved(master, want.clone()).await?;
        }
        // What it is now: a prediction may have come out otherwise.
        let child = self.certain_child(kind, place)?;
        let FileKind::Recording(index) = kind else {
            let bytes = self.catalog.document(master, kind)?.ok_or_else(VfsError::not_found)?;
            let size = bytes.len() as u64;
            let document = OpenDocument { bytes: bytes.into(), master };
            return Ok(Opened { handle: self.files.insert(OpenFile::Document(document)), size, keep_cache: true });
        };
        let version = if let Some(size) = child.size {
            let version = Version { size, validator: child.validator };
            self.check_readable(master, index, &version)?;
            version
        } else {
            // May cost a call, if the link is gone.
            self.guard.admit(principal).await?;
            self.resolver.size(master, index, want.clone()).await?
        };
        let links = Arc::new(self.recording_links(master, index, want));
        let reader = self.resolver.media().open_reader(&recording_key(master, index), &version, links).await?;
        let recording = OpenRecording { index, place, reader };
        let keep_cache = !self.has_changed(master, index);
        let (handle, size) = (self.files.insert(OpenFile::Recording(recording)), version.size);
        Ok(Opened { handle, size, keep_cache })
    }

    /// Fails where bytes of a recording are missing and may not be had now: better than a reader that stops in the middle.
    fn check_readable(&self, master: MasterId, index: u8, version: &Version) -> Result<(), VfsError> {
        let interaction = self.catalog.interaction(master)?.ok_or_else(VfsError::not_found)?;
        if interaction.obstacles == Obstacles::default() || self.resolver.is_cached(master, index, version) {
            return Ok(());
        }
        self.resolver.check_reachable(&interaction, index)?;
        let has_link = self.resolver.links().usable(master, index, None).is_some();
        match self.resolver.hindrance(&interaction, self.clock.now()).filter(|_| !has_link) {
            Some(obstacle) => Err(VfsError::hindered(&obstacle).uncalled()),
            None => Ok(()),
        }
    }

    /// A recording that is opened is read next. How long it is thought to be counts only if it was learned from others of its channel:
    /// the default is too coarse to fetch by.
    fn reads(&self, kind: FileKind, before: &Interaction) -> Result<Option<Reads>, VfsError> {
        let FileKind::Recording(index) = kind else { return Ok(None) };
        let learned = self.learned_rate(before.channel)?;
        Ok(learned.map(|_| Reads { index, expected: expected(before.duration_s, learned) }))
    }

    fn certain_child(&self, kind: FileKind, place: Place) -> Result<Child, VfsError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(VfsError::not_found)?;
        let child = child_of_kind(&interaction, self.clock.now(), kind).filter(|child| child.certain);
        child.ok_or_else(|| VfsError::new(ErrorKind::NotFound, "this interaction has no such file"))
    }

    pub(super) async fn read_file(
        &self,
        file: &OpenFile,
        offset: u64,
        len: u32,
        principal: &Principal,
    ) -> Result<Bytes, VfsError> {
        match file {
            OpenFile::Document(document) => Ok(slice(&document.bytes, offset, len)),
            OpenFile::Erased => Err(MediaError::Erased.into()),
            OpenFile::Recording(recording) => {
                if let Some(bytes) = recording.reader.read_cached(offset, len) {
                    self.meters.note_read(true, bytes.len());
                    return Ok(bytes);
                }
                let (master, index) = (recording.place.master, recording.index);
                if !self.resolver.links().lasts(master, index, self.clock.now()) {
                    // Before it waits beside those who may have a link signed.
                    self.guard.admit(principal).await?;
                }
                let links = self.links_for(recording, principal);
                let read = tokio::select! {
                    biased;
                    read = recording.reader.read_for(&links, offset, len) => read,
                    () = principal.gone() => return Err(VfsError::interrupted()),
                };
                match read {
                    Ok(bytes) => {
                        self.resolver.note_media_success(master, index).await;
                        self.meters.note_read(false, bytes.len());
                        Ok(bytes)
                    }
                    Err(error) => {
                        self.resolver.note_media_failure(master, index, &error, principal).await;
                        if let MediaError::Changed(version) = &error {
                            self.recording_changed(recording, version).await?;
                        }
                        Err(error.into())
                    }
                }
            }
        }
    }

    /// Links for one read, signed in the name of the one who reads, who need not be the one who opened.
    fn links_for(&self, recording: &OpenRecording, principal: &Principal) -> Arc<dyn LinkSource> {
        let want = Want { priority: Priority::Open, principal: principal.clone(), reads: None };
        let (master, index) = (recording.place.master, recording.index);
        Arc::new(self.recording_links(master, index, want))
    }

    fn recording_links(&self, master: MasterId, index: u8, want: Want) -> RecordingLinks {
        RecordingLinks { guard: self.guard.clone(), ..RecordingLinks::admitted(&self.resolver, master, index, want) }
    }

    /// The source has another object now: remember its size, and have the kernel drop what it knows at the next open.
    async fn recording_changed(&self, recording: &OpenRecording, version: &Version) -> Result<(), VfsError> {
        let (master, index) = (recording.place.master, recording.index);
        // Before the new size is shown: whoever opens by it must not keep the old pages.
        self.note_changed(master, index);
        if self.resolver.publish_size(master, index, version).await? {
            tracing::warn!(%master, recording = index, "recording {} of master contact {master} changed at the media host: its old bytes are dropped, and open readers get ESTALE", index + 1);
        }
        Ok(())
    }
}

impl Vfs {
    /// The version of the recording behind an open handle; `None` for documents.
    pub fn recording_version(&self, handle: u64) -> Option<Version> {
        match &*self.files.get(handle)? {
            OpenFile::Recording(recording) => Some(recording.reader.version().clone()),
            OpenFile::Document(_) | OpenFile::Erased => None,
        }
    }

    /// Has what the cache holds of an open recording verified: at once if it is small, else in time for a later open.
    pub async fn prepare_passthrough(&self, handle: u64) {
        if let Some(file) = self.files.get(handle)
            && let OpenFile::Recording(recording) = &*file
        {
            recording.reader.prepare_passthrough().await;
        }
    }

    /// The data file of an open recording, if all of it is here and verified; the kernel may read it in our stead.
    pub fn verified_file(&self, handle: u64) -> Option<VerifiedFile> {
        match &*self.files.get(handle)? {
            OpenFile::Recording(recording) => recording.reader.verified_file(),
            OpenFile::Document(_) | OpenFile::Erased => None,
        }
    }
}

fn slice(bytes: &Bytes, offset: u64, len: u32) -> Bytes {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let end = start.saturating_add(len as usize).min(bytes.len());
    bytes.slice(start..end)
}
