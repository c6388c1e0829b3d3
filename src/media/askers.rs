//! The reads of one recording that wait for bytes.

use std::fmt;
use std::sync::Arc;

use super::links::LinkSource;

/// The reads of one recording that wait for bytes, oldest first.
#[derive(Debug, Default)]
pub struct Askers {
    next: u64,
    pub waiting: Vec<Asker>,
}

/// One read that waits.
#[derive(Clone)]
pub struct Asker {
    pub id: u64,
    pub links: Arc<dyn LinkSource>,
}

impl fmt::Debug for Asker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Asker").field(&self.id).finish()
    }
}

impl Askers {
    /// Whether a read waits.
    pub fn any(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many reads wait.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    /// One more. Gives its number.
    pub fn add(&mut self, links: Arc<dyn LinkSource>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.waiting.push(Asker { id, links });
        id
    }

    /// Whether that read still waits.
    pub fn is_there(&self, id: u64) -> bool {
        self.waiting.iter().any(|asker| asker.id == id)
    }
}
