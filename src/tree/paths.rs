//! Where things stand in the tree, in words: for messages and for the audit log. Best effort; never fails.
//!
//! Published names never change, so those that were looked up lately are remembered: an audit line per open must not cost queries.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::base::{AgentId, Day};
use crate::tree::Tree;
use crate::tree::children::{self, child_of_kind};
use crate::tree::node::{Node, Place};

const AGENTS_KEPT: NonZeroUsize = NonZeroUsize::new(64).unwrap();
const FOLDERS_KEPT: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Published names that were looked up lately.
pub struct KnownNames {
    agents: Mutex<LruCache<(Day, AgentId), Arc<str>>>,
    folders: Mutex<LruCache<Place, Arc<str>>>,
}

impl KnownNames {
    /// None.
    pub fn new() -> KnownNames {
        KnownNames { agents: Mutex::new(LruCache::new(AGENTS_KEPT)), folders: Mutex::new(LruCache::new(FOLDERS_KEPT)) }
    }

    /// The folder of an interaction is called so.
    pub fn note_folder(&self, place: Place, name: &Arc<str>) {
        lock(&self.folders).put(place, Arc::clone(name));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tree {
    /// Where a node is in the tree.
    pub fn path(&self, node: Node) -> String {
        match node {
            Node::Root => String::from("."),
            Node::Day(day) => day.to_string(),
            Node::Agent(day, agent) => format!("{day}/{}", self.agent_name(day, agent)),
            Node::Folder(place) => format!("{}/{}", self.path(Node::Agent(place.day, place.agent)), self.name(place)),
            Node::Contact(place) => format!("{}/{}", self.path(Node::Folder(place)), children::CONTACT_JSON),
            Node::Shared(kind, place) => {
                let interaction = self.catalog.interaction(place.master).ok().flatten();
                let child = interaction.and_then(|known| child_of_kind(&known, self.clock.now(), kind));
                let name = child.map_or_else(|| children::predicted_name(kind).into(), |child| child.name);
                format!("{}/{name}", self.path(Node::Folder(place)))
            }
        }
    }

    fn agent_name(&self, day: Day, agent: AgentId) -> Arc<str> {
        let known = lock(&self.names.agents).get(&(day, agent)).cloned();
        known.unwrap_or_else(|| match self.catalog.agent(day, agent) {
            Ok(Some(folder)) => {
                lock(&self.names.agents).put((day, agent), Arc::clone(&folder.name));
                folder.name
            }
            _ => format!("agent_{agent}").into(),
        })
    }

    fn name(&self, place: Place) -> Arc<str> {
        let known = lock(&self.names.folders).get(&place).cloned();
        known.unwrap_or_else(|| match self.folder(place) {
            Ok(folder) => {
                self.names.note_folder(place, &folder.name);
                folder.name
            }
            Err(_) => place.master.to_string().into(),
        })
    }
}
