//! What was erased goes from the tree, and whoever keeps something of it is told.

use crate::base::MasterId;
use crate::catalog::{AgentFolder, ErasedPlace, ROOT_INO, day_ino};
use crate::tree::Tree;

impl Tree {
    /// Interactions were erased that stood at these places. Links to them are forgotten too.
    pub fn forget_interactions(&self, masters: &[MasterId], places: &[ErasedPlace]) {
        for master in masters {
            self.resolver().links().forget(*master);
        }
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
        self.resolver().links().forget_all();
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
