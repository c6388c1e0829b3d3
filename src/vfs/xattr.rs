//! `user.cxone.*`: ids and state of files and interaction folders.

use crate::catalog::{FileKind, Interaction, Resolution};
use crate::media::Version;
use crate::vfs::Vfs;
use crate::vfs::children::{child_of_kind, needs_call};
use crate::vfs::error::{ErrorKind, VfsError};
use crate::vfs::node::{Node, Place};
use crate::vfs::resolve::recording_key;

/// The names that are listed: what never changes while the file does not.
const LISTED: [&str; 3] = ["user.cxone.contact_id", "user.cxone.master_id", "user.cxone.agent_id"];
/// What changes without the file changing. It is answered by name and not listed: `rsync -X` and restic would take it for a change of the
/// file.
const BY_NAME: [&str; 1] = ["user.cxone.state"];

impl Vfs {
    /// The attributes' names; none for days and agents.
    pub(super) fn xattr_names(node: Node) -> &'static [&'static str] {
        if place_of(node).is_some() { &LISTED } else { &[] }
    }

    /// One attribute's value.
    pub(super) fn xattr(&self, node: Node, name: &str) -> Result<String, VfsError> {
        let absent = || VfsError::new(ErrorKind::NoAttribute, "no such attribute");
        let place = place_of(node).filter(|_| LISTED.contains(&name) || BY_NAME.contains(&name)).ok_or_else(absent)?;
        match name {
            "user.cxone.master_id" => Ok(place.master.to_string()),
            "user.cxone.state" => self.state(node, place).map(str::to_owned),
            // A shared file belongs to every leg of the interaction; a folder and its contact.json to one agent's of one day.
            _ => {
                let shared = matches!(node, Node::Shared(..));
                let legs = self.catalog.legs(place.master)?;
                let legs = legs.iter().filter(|leg| shared || (leg.day == place.day && leg.agent_id == place.agent));
                let mut values: Vec<i64> = match name {
                    "user.cxone.contact_id" => legs.map(|leg| leg.contact_id.0).collect(),
                    _ => legs.filter(|leg| leg.agent_id.is_some()).map(|leg| leg.agent_id.0).collect(),
                };
                values.sort_unstable();
                values.dedup();
                Ok(values.iter().map(i64::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }

    /// `unresolved`, `resolved`, `cached` (every byte of every recording is here) or `none` (there is no recording).
    fn state(&self, node: Node, place: Place) -> Result<&'static str, VfsError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(VfsError::not_found)?;
        let now = self.clock.now();
        if let Node::Shared(kind, _) = node {
            let child = child_of_kind(&interaction, now, kind);
            return Ok(match child {
                Some(child) if !child.certain => "unresolved",
                Some(child) => match (kind, child.size) {
                    (FileKind::Recording(index), Some(size)) => {
                        let version = Version { size, validator: child.validator };
                        if self.is_cached(place, index, &version) { "cached" } else { "resolved" }
                    }
                    _ => "resolved",
                },
                None => "none",
            });
        }
        Ok(self.interaction_state(place, &interaction, now))
    }

    fn interaction_state(&self, place: Place, interaction: &Interaction, now: jiff::Timestamp) -> &'static str {
        let Resolution::Resolved { files, .. } = &interaction.resolution else { return "unresolved" };
        if files.is_empty() {
            return if needs_call(&interaction.resolution, now) { "unresolved" } else { "none" };
        }
        let mut recordings = files.iter().filter(|file| matches!(file.kind, FileKind::Recording(_))).peekable();
        if recordings.peek().is_none() {
            let expected = crate::vfs::children::predicted(interaction.channel);
            return if expected.contains(&FileKind::Recording(0)) { "none" } else { "resolved" };
        }
        let all_cached = recordings.all(|file| match (file.kind, file.size) {
            (FileKind::Recording(index), Some(size)) => {
                self.is_cached(place, index, &Version { size, validator: file.validator.clone() })
            }
            _ => false,
        });
        if all_cached { "cached" } else { "resolved" }
    }

    fn is_cached(&self, place: Place, index: u8, version: &Version) -> bool {
        self.resolver.media().is_complete(&recording_key(place.master, index), version)
    }
}

fn place_of(node: Node) -> Option<Place> {
    match node {
        Node::Folder(place) | Node::Contact(place) | Node::Shared(_, place) => Some(place),
        Node::Root | Node::Day(_) | Node::Agent(..) => None,
    }
}
