//! `user.cxone.*`: ids and state of files and interaction folders.

use jiff::Timestamp;

use crate::catalog::{Facts, FileKind, Interaction, Resolution, State, merge};
use crate::media::Version;
use crate::tree::Tree;
use crate::tree::children::predicted;
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::node::{Node, Place};

/// The names that are listed: what never changes while the file does not.
const LISTED: [&str; 3] = ["user.cxone.contact_id", "user.cxone.master_id", "user.cxone.agent_id"];
/// What changes without the file changing. It is answered by name and not listed: `rsync -X` and restic would take it for a change of the
/// file.
const BY_NAME: [&str; 2] = [STATE, REASON];
pub const STATE: &str = "user.cxone.state";
/// One sentence about a state that is not a happy one.
pub const REASON: &str = "user.cxone.reason";

impl Tree {
    /// The attributes' names; none for days and agents.
    pub fn xattr_names(node: Node) -> &'static [&'static str] {
        if node.place().is_some() { &LISTED } else { &[] }
    }

    /// One attribute's value.
    pub fn xattr(&self, node: Node, name: &str) -> Result<String, TreeError> {
        let absent = || TreeError::new(ErrorKind::NoAttribute, "no such attribute");
        let place = node.place().filter(|_| LISTED.contains(&name) || BY_NAME.contains(&name)).ok_or_else(absent)?;
        // A descriptor that names a file and does not open it (`O_PATH`) outlives an erasure.
        if self.is_erased(place.master) {
            return Err(TreeError::not_found());
        }
        match name {
            "user.cxone.master_id" => Ok(place.master.to_string()),
            STATE => Ok(self.state(node, place)?.0.to_owned()),
            REASON => self.state(node, place)?.1.ok_or_else(absent),
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

    /// The state in a word: one of those of docs/SEMANTICS.md, or `cached` (every byte of every recording is here), with its reason where it is not a happy one.
    fn state(&self, node: Node, place: Place) -> Result<(&'static str, Option<String>), TreeError> {
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(TreeError::not_found)?;
        let kinds: Vec<FileKind> = match node {
            Node::Shared(kind, _) => vec![kind],
            _ => decisive(&interaction),
        };
        let now = self.clock.now();
        let states: Vec<(FileKind, State)> =
            kinds.into_iter().map(|kind| (kind, self.state_of(&interaction, kind, now))).collect();
        // What stands in the way of one stands in the way of the whole.
        let worst = states.iter().find(|(_, state)| !matches!(state, State::Resolved)).or(states.first());
        let Some((_, state)) = worst else { return Ok((State::Unresolved.word(), None)) };
        let is_cached = |kind: FileKind| self.is_cached(&interaction, kind) == Some(true);
        let has_recording = states.iter().any(|(kind, _)| matches!(kind, FileKind::Recording(_)));
        Ok(match state {
            State::Resolved if has_recording && states.iter().all(|(kind, _)| is_cached(*kind)) => ("cached", None),
            State::Unresolved | State::Resolved => (state.word(), None),
            State::None { again_at } => {
                (state.word(), Some(format!("CXone has no such recording; it is asked again from {again_at} on")))
            }
            State::Hindered(obstacle) => {
                (state.word(), Some(format!("{}; it is asked again from {} on", obstacle.reason, obstacle.again_at)))
            }
        })
    }

    /// One file's state.
    pub(super) fn state_of(&self, interaction: &Interaction, kind: FileKind, now: Timestamp) -> State {
        let obstacle = self.resolver.hindrance(interaction, now);
        let is_cached = self.is_cached(interaction, kind);
        let needs_link = match kind {
            FileKind::Recording(index) => {
                is_cached == Some(false) && !self.resolver.links().lasts(interaction.master_id, index, now)
            }
            _ => false,
        };
        let storage = interaction.obstacles.of_file(kind).filter(|_| is_cached != Some(true));
        merge(&Facts { playback: interaction.given(kind), needs_link, obstacle: obstacle.as_ref(), storage }, now)
    }

    /// Whether every byte of a recording is here; none for documents, and for what Media Playback told nothing of.
    fn is_cached(&self, interaction: &Interaction, kind: FileKind) -> Option<bool> {
        let (FileKind::Recording(index), Resolution::Resolved { files, .. }) = (kind, &interaction.resolution) else {
            return None;
        };
        let file = files.iter().find(|file| file.kind == kind)?;
        let Some(size) = file.size else { return Some(false) };
        let version = Version { size, validator: file.validator.clone() };
        Some(self.resolver.is_cached(interaction.master_id, index, &version))
    }
}

/// The files whose states decide about an interaction's: its recordings, else what its channel is expected to have.
fn decisive(interaction: &Interaction) -> Vec<FileKind> {
    let expected = predicted(interaction.channel);
    let Resolution::Resolved { files, .. } = &interaction.resolution else { return expected.to_vec() };
    let is_recording = |kind: &FileKind| matches!(kind, FileKind::Recording(_));
    let recordings: Vec<FileKind> = files.iter().map(|file| file.kind).filter(is_recording).collect();
    if !recordings.is_empty() {
        return recordings;
    }
    let missing: Vec<FileKind> = expected.iter().copied().filter(is_recording).collect();
    if missing.is_empty() { expected.to_vec() } else { missing }
}
