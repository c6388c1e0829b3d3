//! The places of the tree.

use crate::base::{AgentId, Day, MasterId};
use crate::catalog::FileKind;

/// A file or directory of the tree. Small and `Copy`: a door may hold a million of them.
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

/// One folder of an interaction: below one agent, on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub day: Day,
    pub agent: AgentId,
    pub master: MasterId,
}

impl Node {
    /// The folder that it is, or stands in; none for what holds many.
    pub fn place(self) -> Option<Place> {
        match self {
            Node::Folder(place) | Node::Contact(place) | Node::Shared(_, place) => Some(place),
            Node::Root | Node::Day(_) | Node::Agent(..) => None,
        }
    }

    /// Whether it can be listed.
    pub fn is_dir(self) -> bool {
        !matches!(self, Node::Contact(_) | Node::Shared(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_stays_small() {
        assert!(size_of::<Node>() <= 32);
    }
}
