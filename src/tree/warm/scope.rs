//! From paths to interactions, each once, in the order in which the paths list them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::aside::aside;
use crate::base::{AgentId, Day, MasterId};
use crate::catalog::FileKind;
use crate::tree::Tree;
use crate::tree::children::{CONTACT_JSON, find_child};
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::node::Place;

/// Which recordings of an interaction are wanted; its documents always come along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recordings {
    All,
    These(BTreeSet<u8>),
}

impl Recordings {
    /// Whether the recording of that index is wanted.
    pub fn include(&self, index: u8) -> bool {
        match self {
            Recordings::All => true,
            Recordings::These(indices) => indices.contains(&index),
        }
    }

    fn join(&mut self, other: Recordings) {
        match (&mut *self, other) {
            (Recordings::All, _) => {}
            (_, Recordings::All) => *self = Recordings::All,
            (Recordings::These(indices), Recordings::These(more)) => indices.extend(more),
        }
    }
}

/// What is to be warmed.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Under the place by which it was found first.
    items: Vec<(Place, Recordings)>,
    positions: HashMap<MasterId, usize>,
}

impl Scope {
    /// Each interaction with what is wanted of it, in listing order.
    pub(super) fn items(&self) -> &[(Place, Recordings)] {
        &self.items
    }

    fn add(&mut self, place: Place, recordings: Recordings) {
        if let Some(position) = self.positions.get(&place.master) {
            self.items[*position].1.join(recordings);
            return;
        }
        self.positions.insert(place.master, self.items.len());
        self.items.push((place, recordings));
    }

    pub(super) fn leave_recordings_out(&mut self) {
        for (_, recordings) in &mut self.items {
            *recordings = Recordings::These(BTreeSet::new());
        }
    }
}

impl Tree {
    pub(super) async fn add_to_scope(self: &Arc<Self>, scope: &mut Scope, path: &str) -> Result<(), TreeError> {
        let missing = || TreeError::new(ErrorKind::NotFound, format!("there is no {path:?} in this mount"));
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        let Some((first, below)) = names.split_first() else {
            let (first, last) = self.days();
            for number in first.0..=last.0 {
                self.add_day(scope, Day(number)).await?;
            }
            return Ok(());
        };
        let day: Day = first.parse().map_err(|_| missing())?;
        let (first_day, last_day) = self.days();
        if day < first_day || day > last_day {
            return Err(missing());
        }
        let Some((agent_name, below)) = below.split_first() else { return self.add_day(scope, day).await };
        self.ensure_day(day).await?;
        let agent = self.catalog.agent_by_name(day, agent_name)?.ok_or_else(missing)?.agent_id;
        let Some((folder_name, below)) = below.split_first() else {
            return self.add_all(scope, move |tree| tree.places_of_agent(day, agent)).await;
        };
        let folder = self.catalog.interaction_folder_by_name(day, agent, folder_name)?;
        let folder = folder.filter(|folder| self.settings.channels.contains(folder.channel)).ok_or_else(missing)?;
        let place = Place { day, agent, master: folder.master_id };
        match below {
            [] => scope.add(place, Recordings::All),
            [name] => self.add_file(scope, place, name).ok_or_else(missing)??,
            _ => return Err(missing()),
        }
        Ok(())
    }

    async fn add_day(self: &Arc<Self>, scope: &mut Scope, day: Day) -> Result<(), TreeError> {
        self.ensure_day(day).await?;
        self.add_all(scope, move |tree| {
            let mut places = Vec::new();
            for agent in tree.catalog.agents(day, &tree.settings.channels)? {
                places.extend(tree.places_of_agent(day, agent.agent_id)?);
            }
            Ok(places)
        })
        .await
    }

    /// Adds the places that `find` finds, which may take a while.
    async fn add_all(
        self: &Arc<Self>,
        scope: &mut Scope,
        find: impl FnOnce(&Tree) -> Result<Vec<Place>, TreeError> + Send + 'static,
    ) -> Result<(), TreeError> {
        let tree = Arc::clone(self);
        for place in aside(move || find(&tree)).await? {
            scope.add(place, Recordings::All);
        }
        Ok(())
    }

    fn places_of_agent(&self, day: Day, agent: AgentId) -> Result<Vec<Place>, TreeError> {
        let folders = self.catalog.interactions(day, agent, &self.settings.channels)?;
        Ok(folders.into_iter().map(|folder| Place { day, agent, master: folder.master_id }).collect())
    }

    /// One file; `None` if there is none of that name.
    fn add_file(&self, scope: &mut Scope, place: Place, name: &str) -> Option<Result<(), TreeError>> {
        if name == CONTACT_JSON {
            // Free, and in the index already.
            return Some(Ok(()));
        }
        let interaction = match self.catalog.interaction(place.master) {
            Ok(interaction) => interaction?,
            Err(error) => return Some(Err(error.into())),
        };
        let child = find_child(&interaction, self.clock.now(), name)?;
        let index = match child.kind {
            FileKind::Recording(index) => Some(index),
            _ => None,
        };
        scope.add(place, Recordings::These(index.into_iter().collect()));
        Some(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interaction_that_is_named_twice_is_one_item_with_all_that_was_wanted() {
        let place = |agent, master| Place { day: Day(20_000), agent: AgentId(agent), master: MasterId(master) };
        let mut scope = Scope::default();
        scope.add(place(7, 1), Recordings::These([0].into()));
        scope.add(place(7, 2), Recordings::All);
        scope.add(place(8, 1), Recordings::These([1].into()));
        scope.add(place(8, 2), Recordings::These([3].into()));
        let expected = [(place(7, 1), Recordings::These([0, 1].into())), (place(7, 2), Recordings::All)];
        assert_eq!(scope.items(), expected);
        scope.leave_recordings_out();
        assert!(!scope.items()[1].1.include(0));
    }
}
