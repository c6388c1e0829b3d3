//! Opening: where an interaction is resolved and a [`File`] made.

use std::sync::Arc;

use crate::base::MasterId;
use crate::catalog::{FileKind, Interaction, Obstacles};
use crate::media::Version;
use crate::net::Priority;
use crate::tree::audit::{Act, OpenEvent};
use crate::tree::children::{Child, child_of_kind, open_needs_call};
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::estimate::expected;
use crate::tree::file::{File, OpenRecording};
use crate::tree::node::{Node, Place};
use crate::tree::paths::ERASED;
use crate::tree::principal::Principal;
use crate::tree::resolve::{Reads, ResolveRequest, recording_key};
use crate::tree::signing::RecordingLinks;
use crate::tree::{Tree, unless_given_up};

impl Tree {
    /// Opens a file: resolves it if that was never done. Ends with `Interrupted` within a second of a signal that should end the wait.
    pub async fn open(self: &Arc<Self>, node: Node, principal: &Principal) -> Result<File, TreeError> {
        self.open_as(node, false, principal, async |file| Ok(file)).await
    }

    /// The same for a front end that may refuse what was opened: the audit log says what came of `answer`. What cannot be put on record as far as it
    /// must be did not happen. `keeps_atime`: the caller asked for the file's access time to be left alone.
    pub async fn open_as<T, F: Future<Output = Result<T, TreeError>>>(
        self: &Arc<Self>,
        node: Node,
        keeps_atime: bool,
        principal: &Principal,
        answer: impl FnOnce(File) -> F,
    ) -> Result<T, TreeError> {
        let Some(place) = node.place().filter(|_| !node.is_dir()) else {
            return Err(TreeError::new(ErrorKind::Io, "a directory cannot be opened as a file"));
        };
        self.audit.check()?;
        let asker = principal.anew();
        let opened = match node {
            Node::Shared(kind, _) => self.open_shared(kind, place, keeps_atime, &asker).await,
            _ => self.open_contact(place),
        };
        let result = match opened {
            Ok(file) => answer(file).await,
            Err(error) => Err(error),
        };
        let outcome = result.as_ref().map(|_| ()).map_err(TreeError::kind);
        self.audit.opened(self.event(Act::Open, node, &asker, outcome)).await?;
        if let Node::Shared(..) = node {
            self.anticipate(place, principal);
        }
        result
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

    fn open_contact(&self, place: Place) -> Result<File, TreeError> {
        let Place { day, agent, master } = place;
        let bytes = self.catalog.contact_json(day, agent, master)?.ok_or_else(TreeError::not_found)?;
        // While its day is open a refresh may change it.
        Ok(File::document(bytes.into(), master, self.is_closed(day)?))
    }

    async fn open_shared(
        self: &Arc<Self>,
        kind: FileKind,
        place: Place,
        keeps_atime: bool,
        principal: &Principal,
    ) -> Result<File, TreeError> {
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

    async fn before_open(&self, place: Place) -> Result<Interaction, TreeError> {
        let known = self.catalog.interaction(place.master)?.ok_or_else(TreeError::not_found)?;
        self.resolver.recalled(known).await
    }

    async fn open_billed(
        self: &Arc<Self>,
        kind: FileKind,
        place: Place,
        principal: &Principal,
        before: &Interaction,
        calls: bool,
    ) -> Result<File, TreeError> {
        let master = place.master;
        let request = ResolveRequest {
            priority: Priority::Open,
            principal: principal.clone(),
            reads: self.next_read(kind, before)?,
        };
        if calls {
            self.guard.admit(principal).await?;
            self.resolver.resolved(master, request.clone()).await?;
        }
        // What it is now: a prediction may have come out otherwise.
        let child = self.certain_child(kind, place)?;
        let FileKind::Recording(index) = kind else {
            let bytes = self.catalog.document(master, kind)?.ok_or_else(TreeError::not_found)?;
            return Ok(File::document(bytes.into(), master, true));
        };
        let version = if let Some(size) = child.size {
            let version = Version { size, validator: child.validator };
            self.check_readable(master, index, &version).await?;
            version
        } else {
            // May cost a call, if the link is gone.
            self.guard.admit(principal).await?;
            self.resolver.size(master, index, request.clone()).await?
        };
        let links = Arc::new(self.recording_links(master, index, request));
        let reader = self.resolver.media().open_reader(&recording_key(master, index), &version, links).await?;
        let recording = OpenRecording { tree: Arc::clone(self), index, place, reader };
        Ok(File::recording(recording, version.size, !self.has_changed(master, index)))
    }

    pub(super) fn recording_links(&self, master: MasterId, index: u8, request: ResolveRequest) -> RecordingLinks {
        RecordingLinks { guard: self.guard.clone(), ..RecordingLinks::admitted(&self.resolver, master, index, request) }
    }

    /// Fails where bytes of a recording are missing and may not be had now: better than a reader that stops in the middle.
    async fn check_readable(&self, master: MasterId, index: u8, version: &Version) -> Result<(), TreeError> {
        let interaction = self.catalog.interaction(master)?.ok_or_else(TreeError::not_found)?;
        if interaction.obstacles == Obstacles::default() {
            return Ok(());
        }
        let (resolver, version) = (self.resolver.clone(), version.clone());
        let looked = tokio::task::spawn_blocking(move || resolver.is_cached(master, index, &version)).await;
        if looked.unwrap_or(false) {
            return Ok(());
        }
        self.resolver.check_reachable(&interaction, index)?;
        let has_link = self.resolver.links().usable(master, index, None).is_some();
        match self.resolver.hindrance(&interaction, self.clock.now()).filter(|_| !has_link) {
            Some(obstacle) => Err(TreeError::hindered(&obstacle)),
            None => Ok(()),
        }
    }

    /// A recording that is opened is read next. How long it is thought to be counts only if it was learned from others of its channel:
    /// the default is too coarse to fetch by.
    fn next_read(&self, kind: FileKind, before: &Interaction) -> Result<Option<Reads>, TreeError> {
        let FileKind::Recording(index) = kind else { return Ok(None) };
        let learned = self.learned_rate(before.channel)?;
        Ok(learned.map(|_| Reads { index, expected: expected(before.duration_s, learned) }))
    }

    fn certain_child(&self, kind: FileKind, place: Place) -> Result<Child, TreeError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(TreeError::not_found)?;
        let child = child_of_kind(&interaction, self.clock.now(), kind).filter(|child| child.certain);
        child.ok_or_else(|| TreeError::new(ErrorKind::NotFound, "this interaction has no such file"))
    }
}
