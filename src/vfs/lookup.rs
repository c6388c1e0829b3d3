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
use crate::vfs::caller::Caller;
use crate::vfs::children::{CONTACT_JSON, Child, child_of_kind, find_child, needs_call};
use crate::vfs::error::{ErrorKind, VfsError};
use crate::vfs::estimate::estimate;
use crate::vfs::node::{Node, Place};
use crate::vfs::policy::resolves;
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
    pub(super) async fn find(&self, parent: Node, name: &OsStr, caller: Caller) -> Result<Entry, VfsError> {
        // Every published name is UTF-8.
        let name = name.to_str().ok_or_else(VfsError::not_found)?;
        match parent {
            Node::Root => {
                let day: Day = name.parse().map_err(|_| VfsError::not_found())?;
                let (first, last) = self.days();
                if day < first || day > last {
                    return Err(VfsError::not_found());
                }
                self.entry(Node::Day(day), caller).await
            }
            Node::Day(day) => {
                self.ensure_day(day).await?;
                let agent = self.catalog.agent_by_name(day, name)?.ok_or_else(VfsError::not_found)?;
                if !self.catalog.agent_has(day, agent.agent_id, &self.settings.channels)? {
                    return Err(VfsError::not_found());
                }
                Ok(self.agent_entry(day, &agent))
            }
            Node::Agent(day, agent) => {
                let folder = self.catalog.interaction_folder_by_name(day, agent, name)?;
                let folder = folder.filter(|folder| self.settings.channels.contains(&folder.channel));
                let folder = folder.ok_or_else(VfsError::not_found)?;
                let place = Place { day, agent, master: folder.master_id };
                self.names.note_folder(place, &folder.name);
                self.folder_entry(place, &folder)
            }
            Node::Folder(place) if name == CONTACT_JSON => self.entry(Node::Contact(place), caller).await,
            Node::Folder(place) => self.find_billed(place, name, caller).await,
            Node::Contact(_) | Node::Shared(..) => Err(VfsError::new(ErrorKind::NotADirectory, "not a directory")),
        }
    }

    /// A known node with its attributes.
    pub(super) async fn entry(&self, node: Node, caller: Caller) -> Result<Entry, VfsError> {
        match node {
            Node::Root => {
                let time = self.day_time(self.days().1);
                Ok(Entry { node, attr: self.settings.ownership.directory(ROOT_INO, time), ttl: Ttl::OPEN_DAY })
            }
            Node::Day(day) => {
                let attr = self.settings.ownership.directory(day_ino(day), self.day_time(day));
                Ok(Entry { node, attr, ttl: self.day_ttl(day)? })
            }
            Node::Agent(day, agent) => {
                let folder = self.catalog.agent(day, agent)?.ok_or_else(VfsError::not_found)?;
                Ok(self.agent_entry(day, &folder))
            }
            Node::Folder(place) => {
                let folder = self.folder(place)?;
                self.folder_entry(place, &folder)
            }
            Node::Contact(place) => {
                let folder = self.folder(place)?;
                let ino = contact_ino(folder.ino);
                let attr = self.settings.ownership.file(ino, folder.contact_size, folder.contact_mtime, 1);
                Ok(Entry { node, attr, ttl: self.day_ttl(place.day)? })
            }
            Node::Shared(kind, place) => self.shared_entry(kind, place, caller).await,
        }
    }

    async fn find_billed(&self, place: Place, name: &str, caller: Caller) -> Result<Entry, VfsError> {
        let interaction = self.interaction_for(place, Priority::Stat, caller).await?;
        let now = self.clock.now();
        let child = find_child(&interaction, now, name).ok_or_else(VfsError::not_found)?;
        self.billed_entry(place, &interaction, &child)
    }

    async fn shared_entry(&self, kind: FileKind, place: Place, caller: Caller) -> Result<Entry, VfsError> {
        let interaction = self.interaction_for(place, Priority::Stat, caller).await?;
        match child_of_kind(&interaction, self.clock.now(), kind) {
            Some(child) => self.billed_entry(place, &interaction, &child),
            // Opened or listed before, gone by now: the file has no name any more, but `fstat` on an open one still works.
            None => Err(VfsError::not_found()),
        }
    }

    /// The interaction, resolved if this class of operation resolves.
    async fn interaction_for(
        &self,
        place: Place,
        operation: Priority,
        caller: Caller,
    ) -> Result<Interaction, VfsError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(VfsError::not_found)?;
        let exact = !needs_call(&interaction.resolution, self.clock.now()) && all_sizes_known(&interaction);
        if exact || !resolves(self.settings.resolve_on, operation) {
            return Ok(interaction);
        }
        self.refuse_scanner(caller)?;
        self.resolver.resolved(place.master, Want { priority: operation, caller, reads: None }).await
    }

    fn billed_entry(&self, place: Place, interaction: &Interaction, child: &Child) -> Result<Entry, VfsError> {
        let (size, ttl) = match child.size {
            Some(size) if child.certain => (size, Ttl::FINAL),
            _ => {
                let learned = self.learned_rate(interaction.channel)?;
                let looking_resolves = resolves(self.settings.resolve_on, Priority::Stat);
                let ttl = if looking_resolves { Ttl::UNKNOWN } else { Ttl::GUESS };
                (estimate(child.kind, interaction.duration_s, learned), ttl)
            }
        };
        let ino = file_ino(interaction.ino_base, child.kind);
        let attr = self.settings.ownership.file(ino, size, interaction.mtime, interaction.places);
        Ok(Entry { node: Node::Shared(child.kind, place), attr, ttl })
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
            Node::Folder(_) if resolves(self.settings.resolve_on, Priority::Stat) => false,
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

fn all_sizes_known(interaction: &Interaction) -> bool {
    match &interaction.resolution {
        Resolution::Unresolved => false,
        Resolution::Resolved { files, .. } => files.iter().all(|file| file.size.is_some()),
    }
}
