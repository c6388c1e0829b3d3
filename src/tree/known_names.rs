//! Published names that were looked up lately. They never change, so they are remembered: an audit line per open must not cost queries.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::base::{AgentId, Day, MasterId};
use crate::tree::node::Place;

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

    /// Forgets everything that these interactions' folders were called, and every agent.
    pub fn forget(&self, masters: &[MasterId]) {
        let mut folders = self.folders.lock();
        let gone: Vec<Place> =
            folders.iter().map(|(place, _)| *place).filter(|place| masters.contains(&place.master)).collect();
        for place in gone {
            folders.pop(&place);
        }
        self.agents.lock().clear();
    }

    /// Forgets all names.
    pub fn forget_all(&self) {
        self.folders.lock().clear();
        self.agents.lock().clear();
    }

    /// The folder of an interaction is called so.
    pub fn note_folder(&self, place: Place, name: &Arc<str>) {
        self.folders.lock().put(place, Arc::clone(name));
    }

    /// What an agent's folder is called, as far as it was looked up lately.
    pub fn agent(&self, day: Day, agent: AgentId) -> Option<Arc<str>> {
        self.agents.lock().get(&(day, agent)).cloned()
    }

    /// An agent's folder is called so.
    pub fn note_agent(&self, day: Day, agent: AgentId, name: &Arc<str>) {
        self.agents.lock().put((day, agent), Arc::clone(name));
    }

    /// What an interaction's folder is called, as far as it was looked up lately.
    pub fn folder(&self, place: Place) -> Option<Arc<str>> {
        self.folders.lock().get(&place).cloned()
    }
}
