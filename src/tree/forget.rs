//! What was erased goes from the tree, and whoever keeps something of it is told.

use parking_lot::{Mutex, MutexGuard};

use crate::base::MasterId;
use crate::catalog::{AgentFolder, ErasedPlace, ROOT_INO, day_ino};
use crate::tree::Tree;
use crate::tree::observers::Erased;

impl Tree {
    /// Interactions were erased that stood at these places. Links to them are forgotten too, and what open files have of them.
    pub fn forget_interactions(&self, masters: &[MasterId], places: &[ErasedPlace]) {
        self.resolver().forget(masters);
        self.names.forget(masters);
        self.observers().each(|observer| observer.erased(Erased::These(masters)));
        lock(&self.changed).retain(|(master, _)| !masters.contains(master));
        for place in places {
            self.name_changed(place.agent_ino, &place.folder_name);
            self.listing_changed(place.agent_ino);
            if !matches!(self.catalog.agent(place.day, place.agent), Ok(Some(_))) {
                self.name_changed(day_ino(place.day), &place.agent_name);
                self.listing_changed(day_ino(place.day));
            }
        }
    }

    /// Everything was erased; these were the agents' folders.
    pub fn forget_agents(&self, agents: &[(crate::base::Day, AgentFolder)]) {
        self.resolver().forget_all();
        self.names.forget_all();
        self.observers().each(|observer| observer.erased(Erased::Everything));
        lock(&self.changed).clear();
        for (day, agent) in agents {
            self.name_changed(day_ino(*day), &agent.name);
            self.listing_changed(agent.ino);
            self.listing_changed(day_ino(*day));
        }
        self.listing_changed(ROOT_INO);
    }

    fn name_changed(&self, directory: u64, name: &str) {
        self.observers().each(|observer| observer.name_changed(directory, name));
    }

    fn listing_changed(&self, id: u64) {
        self.observers().each(|observer| observer.listing_changed(id));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Clock as _;
    use crate::tree::node::{Node, Place};
    use crate::tree::paths::ERASED;
    use crate::tree::testing::fixture;

    /// The end of a look that began before the erasure.
    #[tokio::test]
    async fn what_was_read_before_an_erasure_is_not_named_after_it() {
        let fixture = fixture(20, None).await;
        let master = MasterId(1001);
        let (day, agent) = fixture.catalog.places(master).unwrap()[0];
        let place = Place { day, agent, master };
        let folder = fixture.tree.folder(place).unwrap();
        fixture.catalog.erase(&[master], fixture.clock.now()).unwrap();
        fixture.tree.forget_interactions(&[master], &[]);
        fixture.tree.names.note_folder(place, &folder.name);
        assert_eq!(fixture.tree.path(Node::Contact(place)), ERASED);
        assert!(fixture.tree.is_erased(master));
    }
}
