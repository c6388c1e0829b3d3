//! Where things stand in the tree, in words: for messages and for the audit log. Best effort; never fails.
//!
//! Published names never change, so those that were looked up lately are remembered: an audit line per open must not cost queries.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::base::{AgentId, Day, MasterId};
use crate::catalog::FileKind;
use crate::vfs::Vfs;
use crate::vfs::children::{self, child_of_kind};
use crate::vfs::node::{Node, Place};

/// What a log line is about. Paths hold agents' names, which do not belong into logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// In words, as in `recording.mp4 of master contact 701000000122`.
    pub words: String,
    /// The interaction, if it is about one.
    pub master: Option<MasterId>,
    /// The day, if it is about one.
    pub day: Option<Day>,
}

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

impl Vfs {
    /// Where an inode is in the tree.
    pub fn path_of(&self, ino: u64) -> String {
        self.node(ino).map_or_else(|_| format!("inode {ino}"), |node| self.path(node))
    }

    /// What an inode is, for logs: by ids, without the names of people.
    pub fn subject_of(&self, ino: u64) -> Subject {
        let about = |words: String, master, day| Subject { words, master, day };
        let of = |what: &str, place: Place| {
            about(format!("{what} of master contact {}", place.master), Some(place.master), Some(place.day))
        };
        match self.node(ino) {
            Ok(Node::Root) => about(String::from("the top folder"), None, None),
            Ok(Node::Day(day)) => about(format!("the day {day}"), None, Some(day)),
            Ok(Node::Agent(day, agent)) => about(format!("the day {day} of agent {agent}"), None, Some(day)),
            Ok(Node::Folder(place)) => of("the folder", place),
            Ok(Node::Contact(place)) => of(children::CONTACT_JSON, place),
            Ok(Node::Shared(FileKind::Recording(index @ 1..), place)) => {
                of(&format!("recording_{}", u32::from(index) + 1), place)
            }
            Ok(Node::Shared(kind, place)) => of(children::predicted_name(kind), place),
            Err(_) => about(format!("inode {ino}"), None, None),
        }
    }

    /// Where a node is in the tree.
    pub(super) fn path(&self, node: Node) -> String {
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
