//! From names to nodes, and from nodes to what a look shows of them.

use jiff::Timestamp;

use crate::base::{Day, ResolveOn};
use crate::catalog::{
    AgentFolder, FileKind, Interaction, InteractionFolder, ROOT_INO, Resolution, contact_ino, day_ino, file_ino,
};
use crate::net::Priority;
use crate::tree::Tree;
use crate::tree::audit::Act;
use crate::tree::children::{CONTACT_JSON, Child, child_of_kind, find_child, needs_call};
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::estimate::{Unknown, estimate};
use crate::tree::node::{Node, Place};
use crate::tree::policy::{Look, resolves};
use crate::tree::principal::Principal;
use crate::tree::resolve::ResolveRequest;
use crate::tree::stat::{Holds, Stat};

/// A node with what a look shows of it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub node: Node,
    pub stat: Stat,
}

impl Tree {
    /// What a name below a directory stands for.
    pub(super) async fn find_patiently(
        &self,
        parent: Node,
        name: &str,
        principal: &Principal,
    ) -> Result<Entry, TreeError> {
        self.tell_look(principal).await;
        if let Some(entry) = self.find_known(parent, name, principal)? {
            return Ok(entry);
        }
        match parent {
            Node::Day(day) => {
                self.ensure_day(day).await?;
                self.agent_named(day, name)
            }
            Node::Folder(place) => {
                let resolved = self.resolved_by_look(place, Priority::Stat, principal).await;
                if resolved.as_ref().is_err_and(TreeError::is_hindered) && !self.predicts(place, name)? {
                    return Err(TreeError::not_found());
                }
                self.billed_named(place, &resolved?, name, principal)
            }
            // Everything else is known.
            Node::Root | Node::Agent(..) | Node::Contact(_) | Node::Shared(..) => Err(TreeError::not_found()),
        }
    }

    /// [`Tree::find`] without waiting; `None` where a day has to be listed or looked after first, or a billed call to be made.
    pub fn find_known(&self, parent: Node, name: &str, principal: &Principal) -> Result<Option<Entry>, TreeError> {
        match parent {
            Node::Root => {
                let day: Day = name.parse().map_err(|_| TreeError::not_found())?;
                let (first, last) = self.days();
                if day < first || day > last {
                    return Err(TreeError::not_found());
                }
                self.entry_known(Node::Day(day), principal)
            }
            Node::Day(day) if !self.indexer.answers(day)? => Ok(None),
            Node::Day(day) => self.agent_named(day, name).map(Some),
            Node::Agent(day, agent) => {
                let folder = self.catalog.interaction_folder_by_name(day, agent, name)?;
                let folder = folder.filter(|folder| self.settings.channels.contains(folder.channel));
                let folder = folder.ok_or_else(TreeError::not_found)?;
                let place = Place { day, agent, master: folder.master_id };
                self.names.note_folder(place, &folder.name);
                self.folder_entry(place, &folder).map(Some)
            }
            Node::Folder(place) if name == CONTACT_JSON => self.entry_known(Node::Contact(place), principal),
            Node::Folder(place) => {
                let child = |known: &Interaction, now| find_child(known, now, name);
                let interaction = self.interaction_to_show(place, principal, child)?;
                interaction.map(|interaction| self.billed_named(place, &interaction, name, principal)).transpose()
            }
            Node::Contact(_) | Node::Shared(..) => Err(TreeError::new(ErrorKind::NotADirectory, "not a directory")),
        }
    }

    pub(super) async fn stat_patiently(&self, node: Node, principal: &Principal) -> Result<Stat, TreeError> {
        self.tell_look(principal).await;
        if let Some(stat) = self.stat_known(node, principal)? {
            return Ok(stat);
        }
        // Everything else is known.
        let Node::Shared(kind, place) = node else { return Err(TreeError::not_found()) };
        let interaction = self.resolved_by_look(place, Priority::Stat, principal).await?;
        Ok(self.billed_of_kind(place, &interaction, kind, principal)?.stat)
    }

    /// [`Tree::stat`] without waiting; `None` where a billed call has to be made first.
    pub fn stat_known(&self, node: Node, principal: &Principal) -> Result<Option<Stat>, TreeError> {
        Ok(self.entry_known(node, principal)?.map(|entry| entry.stat))
    }

    fn entry_known(&self, node: Node, principal: &Principal) -> Result<Option<Entry>, TreeError> {
        let entry = match node {
            Node::Root => {
                let time = self.day_time(self.days().1);
                Entry { node, stat: Stat::directory(ROOT_INO, time, Holds::UntilRefreshed) }
            }
            Node::Day(day) => {
                Entry { node, stat: Stat::directory(day_ino(day), self.day_time(day), self.day_holds(day)?) }
            }
            Node::Agent(day, agent) => {
                let folder = self.catalog.agent(day, agent)?.ok_or_else(TreeError::not_found)?;
                self.agent_entry(day, &folder)
            }
            Node::Folder(place) => self.folder_entry(place, &self.folder(place)?)?,
            Node::Contact(place) => {
                let folder = self.folder(place)?;
                let (id, holds) = (contact_ino(folder.ino), self.day_holds(place.day)?);
                Entry { node, stat: Stat::file(id, folder.contact_size, folder.contact_mtime, holds) }
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
    ) -> Result<Option<Interaction>, TreeError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(TreeError::not_found)?;
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
    fn predicts(&self, place: Place, name: &str) -> Result<bool, TreeError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(TreeError::not_found)?;
        Ok(find_child(&interaction, self.clock.now(), name).is_some())
    }

    /// The interaction after the billed call that a look at it makes, once that is on record as far as it must be.
    pub(super) async fn resolved_by_look(
        &self,
        place: Place,
        priority: Priority,
        principal: &Principal,
    ) -> Result<Interaction, TreeError> {
        self.audit.check()?;
        let looker = principal.anew();
        let request = ResolveRequest { priority, principal: looker.clone(), reads: None };
        let result = match self.guard.admit(&looker).await {
            Ok(()) => self.resolver.resolved(place.master, request).await,
            Err(refused) => Err(refused),
        };
        let outcome = result.as_ref().map(|_| ()).map_err(TreeError::kind);
        let event = self.event(Act::Look, Node::Folder(place), &looker, outcome);
        self.audit.opened(event).await?;
        result
    }

    fn agent_named(&self, day: Day, name: &str) -> Result<Entry, TreeError> {
        let agent = self.catalog.agent_by_name(day, name)?.ok_or_else(TreeError::not_found)?;
        if !self.catalog.agent_has(day, agent.agent_id, &self.settings.channels)? {
            return Err(TreeError::not_found());
        }
        Ok(self.agent_entry(day, &agent))
    }

    fn billed_named(
        &self,
        place: Place,
        interaction: &Interaction,
        name: &str,
        principal: &Principal,
    ) -> Result<Entry, TreeError> {
        let child = find_child(interaction, self.clock.now(), name).ok_or_else(TreeError::not_found)?;
        self.billed_entry(place, interaction, &child, principal)
    }

    fn billed_of_kind(
        &self,
        place: Place,
        interaction: &Interaction,
        kind: FileKind,
        principal: &Principal,
    ) -> Result<Entry, TreeError> {
        match child_of_kind(interaction, self.clock.now(), kind) {
            Some(child) => self.billed_entry(place, interaction, &child, principal),
            // Opened or listed before, gone by now: the file has no name any more, but `fstat` on an open one still works.
            None => Err(TreeError::not_found()),
        }
    }

    fn billed_entry(
        &self,
        place: Place,
        interaction: &Interaction,
        child: &Child,
        principal: &Principal,
    ) -> Result<Entry, TreeError> {
        let (size, is_estimate, holds) = match child.size {
            Some(size) if child.certain => (size, false, Holds::Forever),
            _ => {
                let holds = match self.look_of(principal) {
                    Look::Resolves => {
                        self.resolver.check_storage(interaction, child.kind)?;
                        Holds::ForNow
                    }
                    Look::IsFree | Look::DependsOnArgv0 if self.looks_may_resolve() => Holds::ForWhoAsks,
                    Look::IsFree | Look::DependsOnArgv0 => Holds::Forever,
                };
                (self.estimated(interaction, child.kind)?, true, holds)
            }
        };
        let stat = Stat::file(file_ino(interaction.ino_base, child.kind), size, interaction.mtime, holds);
        let stat = Stat { is_estimate, places: interaction.places, ..stat };
        Ok(Entry { node: Node::Shared(child.kind, place), stat })
    }

    fn estimated(&self, interaction: &Interaction, kind: FileKind) -> Result<u64, TreeError> {
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
        let holds = self.day_holds(day).unwrap_or(Holds::UntilRefreshed);
        Entry { node: Node::Agent(day, agent.agent_id), stat: Stat::directory(agent.ino, agent.mtime, holds) }
    }

    fn folder_entry(&self, place: Place, folder: &InteractionFolder) -> Result<Entry, TreeError> {
        let stat = Stat::directory(folder.ino, folder.mtime, self.day_holds(place.day)?);
        Ok(Entry { node: Node::Folder(place), stat })
    }

    /// The folder at a place.
    pub(super) fn folder(&self, place: Place) -> Result<InteractionFolder, TreeError> {
        let folder = self.catalog.interaction_folder(place.day, place.agent, place.master)?;
        folder.ok_or_else(TreeError::not_found)
    }

    /// Its beginning, whatever is in it: a time that came from its children would change when the day is first listed, and looking at it
    /// must not list it.
    fn day_time(&self, day: Day) -> Timestamp {
        day.start(&self.settings.timezone)
    }

    /// Whether observers are told when a name appears in a directory that is not there now.
    pub fn tells_of_new_names(&self, directory: Node) -> Result<bool, TreeError> {
        Ok(match directory {
            Node::Root | Node::Day(_) | Node::Agent(..) => true,
            // Where a look may wait for a billed call, that call's end must not wait for whoever looks.
            Node::Folder(_) if self.looks_may_resolve() => false,
            Node::Folder(_) => self.tells_of_changes(directory)?,
            Node::Contact(_) | Node::Shared(..) => false,
        })
    }

    /// Whether observers are told when a directory's listing changes.
    pub fn tells_of_changes(&self, directory: Node) -> Result<bool, TreeError> {
        match directory {
            // At midnight, and when a refresh brings something.
            Node::Root | Node::Day(_) | Node::Agent(..) => Ok(true),
            Node::Folder(Place { master, .. }) => {
                let Some(interaction) = self.catalog.interaction(master)? else { return Ok(false) };
                Ok(match interaction.resolution {
                    // When it is resolved; but where listing resolves, every listing must reach us until then.
                    Resolution::Unresolved => self.settings.resolve_on < ResolveOn::List,
                    // What is missing now is shown again when it may be asked for again.
                    Resolution::Resolved { recheck_at, .. } => recheck_at.is_none(),
                })
            }
            Node::Contact(_) | Node::Shared(..) => Ok(false),
        }
    }

    fn day_holds(&self, day: Day) -> Result<Holds, TreeError> {
        Ok(if self.is_closed(day)? { Holds::Forever } else { Holds::UntilRefreshed })
    }

    /// Whether the day's listing is final.
    pub(super) fn is_closed(&self, day: Day) -> Result<bool, TreeError> {
        Ok(self.catalog.day(day)?.is_some_and(|state| state.closed))
    }
}

fn all_sizes_known(interaction: &Interaction) -> bool {
    match &interaction.resolution {
        Resolution::Unresolved => false,
        Resolution::Resolved { files, .. } => files.iter().all(|file| file.size.is_some()),
    }
}
