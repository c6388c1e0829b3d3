//! Where things stand in the tree, in words: for messages, and with the agents' names for the audit log alone. Best effort; never fails. What was
//! erased is called so.
//!
//! Published names never change, so those that were looked up lately are remembered: an audit line per open must not cost queries.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::base::{AgentId, Day, MasterId};
use crate::catalog::FileKind;
use crate::tree::Tree;
use crate::tree::children::{self, child_of_kind};
use crate::tree::node::{Node, Place};

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

/// What is said of an interaction that was erased.
pub const ERASED: &str = "(erased)";

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

    /// Forgets everything that these interactions' folders were called, and every agent.
    pub fn forget(&self, masters: &[MasterId]) {
        let mut folders = lock(&self.folders);
        let gone: Vec<Place> =
            folders.iter().map(|(place, _)| *place).filter(|place| masters.contains(&place.master)).collect();
        for place in gone {
            folders.pop(&place);
        }
        lock(&self.agents).clear();
    }

    /// Forgets all names.
    pub fn forget_all(&self) {
        lock(&self.folders).clear();
        lock(&self.agents).clear();
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
    /// Where an inode is in the tree, with the agent's id in place of the name: for the log and for `status`.
    pub fn path_of(&self, ino: u64) -> String {
        self.node(ino).map_or_else(|_| format!("inode {ino}"), |node| self.told(node, &|_, agent| nameless(agent)))
    }

    /// What an inode is, for logs: by ids, without the names of people.
    pub fn subject_of(&self, ino: u64) -> Subject {
        let about = |words: String, master, day| Subject { words, master, day };
        let of = |what: &str, place: Place| {
            // No line names what was erased, even while it is still open.
            if matches!(self.catalog.interaction(place.master), Ok(None)) {
                return about(format!("{what} of an erased interaction"), None, None);
            }
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

    /// Where a node is in the tree, by the names that are shown.
    pub(super) fn path(&self, node: Node) -> String {
        self.told(node, &|day, agent| self.agent_name(day, agent))
    }

    fn told(&self, node: Node, agent_name: &dyn Fn(Day, AgentId) -> Arc<str>) -> String {
        let of_agent = |day: Day, agent| format!("{day}/{}", agent_name(day, agent));
        let of_folder =
            |place: Place| Some(format!("{}/{}", of_agent(place.day, place.agent), self.folder_name(place)?));
        let path = match node {
            Node::Root => Some(String::from(".")),
            Node::Day(day) => Some(day.to_string()),
            Node::Agent(day, agent) => Some(of_agent(day, agent)),
            Node::Folder(place) => of_folder(place),
            Node::Contact(place) => of_folder(place).map(|folder| format!("{folder}/{}", children::CONTACT_JSON)),
            Node::Shared(kind, place) => {
                let interaction = self.catalog.interaction(place.master).ok().flatten();
                let child = interaction.and_then(|known| child_of_kind(&known, self.clock.now(), kind));
                let name = child.map_or_else(|| children::predicted_name(kind).into(), |child| child.name);
                of_folder(place).map(|folder| format!("{folder}/{name}"))
            }
        };
        path.unwrap_or_else(|| String::from(ERASED))
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

    /// None where the interaction was erased: a folder that was published goes in no other way.
    fn folder_name(&self, place: Place) -> Option<Arc<str>> {
        // A look that began before the erasure may have noted the name after it.
        if self.catalog.erased_at(place.master.0).is_some() {
            return None;
        }
        let known = lock(&self.names.folders).get(&place).cloned();
        known.or_else(|| {
            let folder = self.folder(place).ok()?;
            self.names.note_folder(place, &folder.name);
            Some(folder.name)
        })
    }
}

/// The folder of an agent without the name.
fn nameless(agent: AgentId) -> Arc<str> {
    if agent.is_some() { format!("agent_{agent}").into() } else { "no_agent".into() }
}
