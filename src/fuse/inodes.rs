//! The inodes that the kernel holds references to: what each number stands for, and how often it was looked up.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};

use crate::tree::Node;

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
        self.shards[(ino >> 20) as usize % SHARDS].lock()
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
        self.shards.iter().map(|shard| shard.lock().len()).sum()
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
    use crate::base::Day;

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
        assert_eq!(table.len(), 0);
    }
}
