//! What an inode number stands for, and the table of the numbers that the kernel knows.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{AgentId, Day, MasterId};
use crate::catalog::FileKind;

/// A file or directory of the tree. Small and `Copy`: a full `find` makes the kernel know a million of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Root,
    Day(Day),
    Agent(Day, AgentId),
    /// An interaction's folder below one agent of one day.
    Folder(Place),
    /// That folder's `contact.json`.
    Contact(Place),
    /// A file that all folders of an interaction share, and the folder through which it was last looked up (for messages and audit).
    Shared(FileKind, Place),
}

impl Node {
    /// The folder that it is, or stands in; none for what holds many.
    pub fn place(self) -> Option<Place> {
        match self {
            Node::Folder(place) | Node::Contact(place) | Node::Shared(_, place) => Some(place),
            Node::Root | Node::Day(_) | Node::Agent(..) => None,
        }
    }
}

/// One folder of an interaction: below one agent, on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub day: Day,
    pub agent: AgentId,
    pub master: MasterId,
}

struct Known {
    node: Node,
    /// How often a lookup was answered with it, less what the kernel forgot.
    lookups: u64,
}

/// The inodes that the kernel holds references to, and no others: an entry goes when its count reaches zero.
pub struct InodeTable {
    shards: [Mutex<HashMap<u64, Known>>; SHARDS],
}

/// Enough that two kernel threads rarely meet.
const SHARDS: usize = 16;

impl InodeTable {
    /// An empty table. The root is not in it: the kernel never looks it up and never forgets it.
    pub fn new() -> InodeTable {
        InodeTable { shards: std::array::from_fn(|_| Mutex::new(HashMap::new())) }
    }

    // The low bits are a file's kind, the high ones a class: the middle of the hash spreads evenly.
    fn shard(&self, ino: u64) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.shards[(ino >> 20) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lookup is being answered with `ino`.
    pub fn remember(&self, ino: u64, node: Node) {
        let mut shard = self.shard(ino);
        let known = shard.entry(ino).or_insert(Known { node, lookups: 0 });
        known.node = node;
        known.lookups += 1;
    }

    /// The kernel dropped `count` references.
    pub fn forget(&self, ino: u64, count: u64) {
        let mut shard = self.shard(ino);
        if let Some(known) = shard.get_mut(&ino) {
            known.lookups = known.lookups.saturating_sub(count);
            if known.lookups == 0 {
                shard.remove(&ino);
                // A walk of a million files must not pin its peak for ever.
                if shard.len() * 4 < shard.capacity() {
                    shard.shrink_to(64);
                }
            }
        }
    }

    /// What `ino` stands for; `None` if the kernel should not know it.
    pub fn get(&self, ino: u64) -> Option<Node> {
        self.shard(ino).get(&ino).map(|known| known.node)
    }

    /// How many inodes the kernel holds.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether the kernel holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for InodeTable {
    fn default() -> Self {
        InodeTable::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_lives_as_long_as_the_kernel_refers_to_it() {
        let table = InodeTable::new();
        let node = Node::Day(Day(20_000));
        table.remember(7, node);
        table.remember(7, node);
        table.forget(7, 1);
        assert_eq!(table.get(7), Some(node));
        table.forget(7, 5);
        assert_eq!(table.get(7), None);
        assert!(table.is_empty());
    }

    #[test]
    fn a_node_stays_small() {
        assert!(size_of::<Node>() <= 32);
    }
}
