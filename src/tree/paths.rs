//! Where things stand in the tree, in words: for messages, and with the agents' names for the audit log alone. Best effort; never fails. What was
//! erased is called so.

use std::sync::Arc;

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

/// What is said of an interaction that was erased.
pub const ERASED: &str = "(erased)";

impl Tree {
    /// Where a node is in the tree, with the agent's id in place of the name: for the log and for `status`.
    pub fn nameless_path(&self, node: Node) -> String {
        self.told(node, &|_, agent| nameless(agent))
    }

    /// What a node is, for logs: by ids, without the names of people.
    pub fn subject_of(&self, node: Node) -> Subject {
        let about = |words: String, master, day| Subject { words, master, day };
        let of = |what: &str, place: Place| {
            // No line names what was erased, even while it is still open.
            if matches!(self.catalog.interaction(place.master), Ok(None)) {
                return about(format!("{what} of an erased interaction"), None, None);
            }
            about(format!("{what} of master contact {}", place.master), Some(place.master), Some(place.day))
        };
        match node {
            Node::Root => about(String::from("the top folder"), None, None),
            Node::Day(day) => about(format!("the day {day}"), None, Some(day)),
            Node::Agent(day, agent) => about(format!("the day {day} of agent {agent}"), None, Some(day)),
            Node::Folder(place) => of("the folder", place),
            Node::Contact(place) => of(children::CONTACT_JSON, place),
            Node::Shared(FileKind::Recording(index @ 1..), place) => {
                of(&format!("recording_{}", u32::from(index) + 1), place)
            }
            Node::Shared(kind, place) => of(children::predicted_name(kind), place),
        }
    }

    /// Where a node is in the tree, by the names that are shown.
    pub fn path(&self, node: Node) -> String {
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
        let known = self.names.agent(day, agent);
        known.unwrap_or_else(|| match self.catalog.agent(day, agent) {
            Ok(Some(folder)) => {
                self.names.note_agent(day, agent, &folder.name);
                folder.name
            }
            _ => format!("agent_{agent}").into(),
        })
    }

    /// None where the interaction was erased: a folder that was published goes in no other way.
    fn folder_name(&self, place: Place) -> Option<Arc<str>> {
        // A look that began before the erasure may have noted the name after it.
        if self.is_erased(place.master) {
            return None;
        }
        let known = self.names.folder(place);
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
