//! What a directory holds, in the order of names.

use std::sync::Arc;

use jiff::Timestamp;

use crate::base::{AgentId, Day};
use crate::catalog::{Resolution, contact_ino, day_ino, file_ino};
use crate::net::Priority;
use crate::tree::Tree;
use crate::tree::children::{CONTACT_JSON, billed_children, needs_call};
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::node::{Node, Place};
use crate::tree::policy::resolves;
use crate::tree::principal::Principal;

/// One name of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// As [`Stat::id`](super::Stat::id).
    pub id: u64,
    pub is_dir: bool,
    pub name: Arc<str>,
}

/// What a directory holds.
#[derive(Clone, Debug)]
pub struct Listing {
    /// In the order of names, without `.` and `..`.
    pub entries: Arc<[DirEntry]>,
    /// From then on it may be another one, of which observers are not told.
    pub until: Option<Timestamp>,
}

impl Tree {
    pub(super) async fn list_patiently(&self, node: Node, principal: &Principal) -> Result<Listing, TreeError> {
        let entries = match node {
            Node::Root => self.list_days(),
            Node::Day(day) => self.list_agents(day).await?,
            Node::Agent(day, agent) => self.list_folders(day, agent)?,
            Node::Folder(place) => return self.list_folder(place, principal).await,
            Node::Contact(_) | Node::Shared(..) => {
                return Err(TreeError::new(ErrorKind::NotADirectory, "not a directory"));
            }
        };
        Ok(Listing { entries, until: None })
    }

    fn list_days(&self) -> Arc<[DirEntry]> {
        let (first, last) = self.days();
        let days = first.0..=last.0;
        days.map(|number| {
            let day = Day(number);
            DirEntry { id: day_ino(day), is_dir: true, name: day.to_string().into() }
        })
        .collect()
    }

    async fn list_agents(&self, day: Day) -> Result<Arc<[DirEntry]>, TreeError> {
        self.ensure_day(day).await?;
        let agents = self.catalog.agents(day, &self.settings.channels)?;
        Ok(agents.into_iter().map(|agent| DirEntry { id: agent.ino, is_dir: true, name: agent.name }).collect())
    }

    fn list_folders(&self, day: Day, agent: AgentId) -> Result<Arc<[DirEntry]>, TreeError> {
        let folders = self.catalog.interactions(day, agent, &self.settings.channels)?;
        Ok(folders.into_iter().map(|folder| DirEntry { id: folder.ino, is_dir: true, name: folder.name }).collect())
    }

    async fn list_folder(&self, place: Place, principal: &Principal) -> Result<Listing, TreeError> {
        let Place { day, agent, master } = place;
        let folder = self.catalog.interaction_folder(day, agent, master)?.ok_or_else(TreeError::not_found)?;
        let mut interaction = self.catalog.interaction(master)?.ok_or_else(TreeError::not_found)?;
        let now = self.clock.now();
        if resolves(self.settings.resolve_on, Priority::List) && needs_call(&interaction.resolution, now) {
            match self.resolved_by_look(place, Priority::List, principal).await {
                Ok(resolved) => interaction = resolved,
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                // The predicted names are listed, and whoever looks at one is told why it cannot be had: a backup reports it, and still has
                // the free files beside it.
                Err(error) => tracing::debug!(%master, %error, "an interaction is listed as predicted"),
            }
        }
        let until = match interaction.resolution {
            Resolution::Resolved { recheck_at, .. } => recheck_at,
            Resolution::Unresolved => None,
        };
        let mut entries = vec![DirEntry { id: contact_ino(folder.ino), is_dir: false, name: CONTACT_JSON.into() }];
        entries.extend(billed_children(&interaction, now).into_iter().map(|child| DirEntry {
            id: file_ino(interaction.ino_base, child.kind),
            is_dir: false,
            name: child.name,
        }));
        Ok(Listing { entries: entries.into(), until })
    }
}
