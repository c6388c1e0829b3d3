//! From names to nodes, and from nodes to attributes.

use std::ffi::OsStr;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::Day;
use crate::catalog::{
    AgentFolder, FileKind, Interaction, InteractionFolder, Resolution, contact_ino, day_ino, file_ino,
};
use crate::cxone::Priority;
use crate::vfs::Vfs;
use crate::vfs::attr::{Attr, Ttl};
use crate::vfs::audit::Act;
use crate::vfs::children::{CONTACT_JSON, Child, child_of_kind, find_child, needs_call};
use crate::vfs::error::{ErrorKind, VfsError};
use crate::vfs::estimate::{Unknown, estimate};
use crate::vfs::node::{Node, Place};
use crate::vfs::policy::{Look, resolves};
use crate::vfs::principal::Principal;
use crate::vfs::resolve::Want;

/// The root's inode number, by the FUSE protocol.
pub const ROOT_INO: u64 = 1;

/// A node with what `stat` shows of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub node: Node,
    pub attr: Attr,
    pub ttl: Ttl,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    Entry(Entry),
    /// Nothing, and the kernel need not ask again for so long.
    Absent(Duration),
}

impl Vfs {
    /// What a name below a directory stands for.
    pub(super) async fn find(&self, parent: Node, name: &OsStr, principal: &Principal) -> Result<Entry, VfsError> {
        self.tell_look(principal).await;
        if let Some(entry) = self.known_name(parent, name, principal)? {
            return Ok(entry);
        }
        let name = utf8(name)?;
        match parent {
            Node::Day(day) => {
                self.ensure_day(day).await?;
                self.agent_named(day, name)
            }
            Node::Folder(place) => {
                let resolved = self.resolved_by_look(place, Priority::Stat, principal).await;
                if resolved.as_ref().is_err_and(VfsError::is_hindered) && !self.predicts(place, name)? {
                    return Err(VfsError::not_found());
                }
                self.billed_named(place, &resolved?, name, principal)
            }
            // Everything else is known.
            Node::Root | Node::Agent(..) | Node::Contact(_) | Node::Shared(..) => Err(VfsError::not_found()),
        }
    }

    /// The same without waiting; `None` where a day has to be listed or looked after first, or a billed call to be made.
    pub(super) fn known_name(
        &self,
        parent: Node,
        name: &OsStr,
        principal: &Principal,
    ) -> Result<Option<Entry>, VfsError> {
        let name = utf8(name)?;
        match parent {
            Node::Root => {
                let day: Day = name.parse().map_err(|_| VfsError::not_found())?;
                let (first, last) = self.days();
                if day < first || day > last {
                    return Err(VfsError::not_found());
                }
                self.known_entry(Node::Day(day), principal)
            }
            Node::Day(day) if !self.indexer.answers(day)? => Ok(None),
            Node::Day(day) => self.agent_named(day, name).map(Some),
            Node::Agent(day, agent) => {
                let folder = self.catalog.interaction_folder_by_name(day, agent, name)?;
                let folder = folder.filter(|folder| self.settings.channels.contains(folder.channel));
                let folder = folder.ok_or_else(VfsError::not_found)?;
                let place = Place { day, agent, master: folder.master_id };
                self.names.note_folder(place, &folder.name);
                self.folder_entry(place, &folder).map(Some)
            }
            Node::Folder(place) if name == CONTACT_JSON => self.known_entry(Node::Contact(place), principal),
            Node::Folder(place) => {
                let child = |known: &Interaction, now| find_child(known, now, name);
                let interaction = self.interaction_to_show(place, principal, child)?;
                interaction.map(|interaction| self.billed_named(place, &interaction, name, principal)).transpose()
            }
            Node::Contact(_) | Node::Shared(..) => Err(VfsError::new(ErrorKind::NotADirectory, "not a directory")),
        }
    }

    /// A known node with its attributes.
    pub(super) async fn entry(&self, node: Node, principal: &Principal) -> Result<Entry, VfsError> {
        self.tell_look(principal).await;
        if let Some(entry) = self.known_entry(node, principal)? {
            return Ok(entry);
        }
        // Everything else is known.
        let Node::Shared(kind, place) = node else { return Err(VfsError::not_found()) };
        let interaction = self.resolved_by_look(place, Priority::Stat, principal).await?;
        self.billed_of_kind(place, &interaction, kind, principal)
    }

    /// The same without waiting; `None` where a billed call has to be made first.
    pub(super) fn known_entry(&self, node: Node, principal: &Principal) -> Result<Option<Entry>, VfsError> {
        let entry = match node {
            Node::Root => {
                let time = self.day_time(self.days().1);
                Entry { node, attr: self.settings.ownership.directory(ROOT_INO, time), ttl: Ttl::OPEN_DAY }
            }
            Node::Day(day) => {
                let attr = self.settings.ownership.directory(day_ino(day), self.day_time(day));
                Entry { node, attr, ttl: self.day_ttl(day)? }
            }
            Node::Agent(day, agent) => {
                let folder = self.catalog.agent(day, agent)?.ok_or_else(VfsError::not_found)?;
                self.agent_entry(day, &folder)
            }
            Node::Folder(place) => self.folder_entry(place, &self.folder(place)?)?,
            Node::Contact(place) => {
                let folder = self.folder(place)?;
                let ino = contact_ino(folder.ino);
                let attr = self.settings.ownership.file(ino, folder.contact_size, folder.contact_mtime, 1);
                let ttl = if self.is_closed(place.day)? { Ttl::FINAL } else { Ttl::OPEN_DAY };
                Entry { node, attr, ttl }
            }
            Node::Shared(kind, place) => {
                let child = |known: &Interaction, now| child_of_kind(known, now, kind);
                let interaction = self.interaction_to_show(place, principal, child)?;
                let entry = |interaction| self.billed_of_kind(place, &interaction, kind, principal);
                return interaction.map(entry).transpose();
            }
        };
        Ok(Some(entry))
    }

    /// The interaction as a look at one child may show it; `None` where the look resolves it first.
    fn interaction_to_show(
        &self,
        place: Place,
        principal: &Principal,
        child: impl Fn(&Interaction, Timestamp) -> Option<Child>,
    ) -> Result<Option<Interaction>, VfsError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(VfsError::not_found)?;
        let now = self.clock.now();
        let is_known = || child(&interaction, now).is_some_and(|child| child.certain && child.size.is_some());
        let is_exact = || !needs_call(&interaction.resolution, now) && all_sizes_known(&interaction);
        let may_be_shown =
            !self.looks_may_resolve() || is_known() || is_exact() || self.look_of(principal) == Look::IsFree;
        Ok(may_be_shown.then_some(interaction))
    }

    /// Whether any look through this door resolves.
    fn looks_may_resolve(&self) -> bool {
        resolves(self.settings.resolve_on, Priority::Stat) || !self.settings.exact_for.is_empty()
    }

    /// Whether that caller's does.
    fn look_of(&self, principal: &Principal) -> Look {
        if resolves(self.settings.resolve_on, Priority::Stat) {
            return Look::Resolves;
        }
        let uid = principal.user().uid;
        self.settings.exact_for.look(uid, || principal.program(), || principal.known_argv0())
    }

    /// Finds out what that depends on.
    async fn tell_look(&self, principal: &Principal) {
        if self.look_of(principal) == Look::DependsOnArgv0 {
            principal.argv0().await;
        }
    }

    /// Whether a listing shows that name now.
    fn predicts(&self, place: Place, name: &str) -> Result<bool, VfsError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(VfsError::not_found)?;
        Ok(find_child(&interaction, self.clock.now(), name).is_some())
    }

    /// The interaction after the billed call that a look at it makes, once that is on record as far as it must be.
    pub(super) async fn resolved_by_look(
        &self,
        place: Place,
        priority: Priority,
        principal: &Principal,
    ) -> Result<Interaction, VfsError> {
        self.audit.check()?;
        let looker = principal.anew();
        let want = Want { priority, principal: looker.clone(), reads: None };
        let result = match self.guard.admit(&looker).await {
            Ok(()) => self.resolver.resolved(place.master, want).await,
            Err(refused) => Err(refused),
        };
        let outcome = result.as_ref().map(|_| ()).map_err(VfsError::kind);
        let event = self.event(Act::Look, Node::Folder(place), &looker, outcome);
        self.audit.opened(event).await?;
        result
    }

    fn agent_named(&self, day: Day, name: &str) -> Result<Entry, VfsError> {
        let agent = self.catalog.agent_by_name(day, name)?.ok_or_else(VfsError::not_found)?;
        if !self.catalog.agent_has(day, agent.agent_id, &self.settings.channels)? {
            return Err(VfsError::not_found());
        }
        Ok(self.agent_entry(day, &agent))
    }

    fn billed_named(
        &self,
        place: Place,
        interaction: &Interaction,
        name: &str,
        principal: &Principal,
    ) -> Result<Entry, VfsError> {
        let child = find_child(interaction, self.clock.now(), name).ok_or_else(VfsError::not_found)?;
        self.billed_entry(place, interaction, &child, principal)
    }

    fn billed_of_kind(
        &self,
        place: Place,
        interaction: &Interaction,
        kind: FileKind,
        principal: &Principal,
    ) -> Result<Entry, VfsError> {
        match child_of_kind(interaction, self.clock.now(), kind) {
            Some(child) => self.billed_entry(place, interaction, &child, principal),
            // Opened or listed before, gone by now: the file has no name any more, but `fstat` on an open one still works.
            None => Err(VfsError::not_found()),
        }
    }

    fn billed_entry(
        &self,
        place: Place,
        interaction: &Interaction,
        child: &Child,
        principal: &Principal,
    ) -> Result<Entry, VfsError> {
        let (size, is_estimate, ttl) = match child.size {
            Some(size) if child.certain => (size, false, Ttl::FINAL),
            _ => {
                let ttl = match self.look_of(principal) {
                    Look::Resolves => {
                        self.resolver.check_storage(interaction, child.kind)?;
                        Ttl::UNKNOWN
                    }
                    Look::IsFree | Look::DependsOnArgv0 if self.looks_may_resolve() => Ttl::ESTIMATE,
                    Look::IsFree | Look::DependsOnArgv0 => Ttl::FINAL,
                };
                (self.estimated(interaction, child.kind)?, true, ttl)
            }
        };
        let ino = file_ino(interaction.ino_base, child.kind);
        let attr = self.settings.ownership.file(ino, size, interaction.mtime, interaction.places);
        let attr = Attr { is_estimate, ..attr };
        Ok(Entry { node: Node::Shared(child.kind, place), attr, ttl })
    }

    fn estimated(&self, interaction: &Interaction, kind: FileKind) -> Result<u64, VfsError> {
        let recordings = match &interaction.resolution {
            Resolution::Resolved { files, .. } => &files[..],
            Resolution::Unresolved => &[],
        };
        let recordings = recordings.iter().filter(|file| matches!(file.kind, FileKind::Recording(_)));
        let highest = self.catalog.highest(interaction.channel, kind)?;
        let sibling = recordings.filter_map(|file| file.size).max().unwrap_or_default();
        let (channel, duration_s) = (interaction.channel, interaction.duration_s);
        Ok(estimate(Unknown { kind, channel, duration_s, highest, sibling }))
    }

    fn agent_entry(&self, day: Day, agent: &AgentFolder) -> Entry {
        let ttl = self.day_ttl(day).unwrap_or(Ttl::OPEN_DAY);
        let attr = self.settings.ownership.directory(agent.ino, agent.mtime);
        Entry { node: Node::Agent(day, agent.agent_id), attr, ttl }
    }

    fn folder_entry(&self, place: Place, folder: &InteractionFolder) -> Result<Entry, VfsError> {
        let attr = self.settings.ownership.directory(folder.ino, folder.mtime);
        Ok(Entry { node: Node::Folder(place), attr, ttl: self.day_ttl(place.day)? })
    }

    /// The folder at a place.
    pub(super) fn folder(&self, place: Place) -> Result<InteractionFolder, VfsError> {
        let folder = self.catalog.interaction_folder(place.day, place.agent, place.master)?;
        folder.ok_or_else(VfsError::not_found)
    }

    /// Its beginning, whatever is in it: a time that came from its children would change when the day is first listed, and looking at it
    /// must not list it.
    fn day_time(&self, day: Day) -> Timestamp {
        day.start(&self.settings.timezone)
    }

    /// Whether the kernel may keep that a name is not in a directory until it is told.
    pub(super) fn absence_may_be_kept(&self, directory: Node) -> Result<bool, VfsError> {
        Ok(match directory {
            Node::Root | Node::Day(_) | Node::Agent(..) => true,
            // Where a lookup may wait for a billed call, that call's end must not wait for the directory that the lookup holds.
            Node::Folder(_) if self.looks_may_resolve() => false,
            Node::Folder(_) => self.may_be_kept(directory)?,
            Node::Contact(_) | Node::Shared(..) => false,
        })
    }

    fn day_ttl(&self, day: Day) -> Result<Ttl, VfsError> {
        let closed = self.is_closed(day)?;
        Ok(if closed { Ttl::FINAL } else { Ttl::OPEN_DAY })
    }

    /// Whether the day's listing is final.
    pub(super) fn is_closed(&self, day: Day) -> Result<bool, VfsError> {
        Ok(self.catalog.day(day)?.is_some_and(|state| state.closed))
    }
}

/// Every published name is UTF-8.
fn utf8(name: &OsStr) -> Result<&str, VfsError> {
    name.to_str().ok_or_else(VfsError::not_found)
}

fn all_sizes_known(interaction: &Interaction) -> bool {
    match &interaction.resolution {
        Resolution::Unresolved => false,
        Resolution::Resolved { files, .. } => files.iter().all(|file| file.size.is_some()),
    }
}
