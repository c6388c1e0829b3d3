//! What was erased goes from the tree and from what the kernel keeps of it: names, times, sizes, listings. Not pages of files: they cannot be
//! dropped safely, are reached by no name, and go with the mount at the latest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::MasterId;
use crate::catalog::{AgentFolder, ErasedPlace, day_ino};
use crate::tree::Tree;
use crate::tree::handles::OpenFile;
use crate::tree::lookup::ROOT_INO;

impl Tree {
    /// Interactions were erased that stood at these places. Links to them are forgotten too, and what open files have of them.
    pub fn forget_interactions(&self, masters: &[MasterId], places: &[ErasedPlace]) {
        self.resolver().forget(masters);
        self.names.forget(masters);
        self.meters.forget(masters);
        self.listings.forget_all();
        self.files.replace(|file| file.master().filter(|master| masters.contains(master)).map(|_| OpenFile::Erased));
        lock(&self.changed).retain(|(master, _)| !masters.contains(master));
        for place in places {
            self.kernel.forget_name(place.agent_ino, &place.folder_name);
            self.kernel.forget_directory(place.agent_ino);
            if !matches!(self.catalog.agent(place.day, place.agent), Ok(Some(_))) {
                self.kernel.forget_name(day_ino(place.day), &place.agent_name);
                self.kernel.forget_directory(day_ino(place.day));
            }
        }
    }

    /// Everything was erased; these were the agents' folders.
    pub fn forget_agents(&self, agents: &[(crate::base::Day, AgentFolder)]) {
        self.resolver().forget_all();
        self.names.forget_all();
        self.meters.forget_slowest();
        self.listings.forget_all();
        self.files.replace(|file| file.master().map(|_| OpenFile::Erased));
        lock(&self.changed).clear();
        for (day, agent) in agents {
            self.kernel.forget_name(day_ino(*day), &agent.name);
            self.kernel.forget_directory(agent.ino);
            self.kernel.forget_directory(day_ino(*day));
        }
        self.kernel.forget_directory(ROOT_INO);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Clock as _;
    use crate::tree::error::ErrorKind;
    use crate::tree::handles::OpenDocument;
    use crate::tree::node::{Node, Place};
    use crate::tree::paths::ERASED;
    use crate::tree::testing::fixture;

    /// The end of a look and of an open that began before the erasure.
    #[tokio::test]
    async fn what_was_read_before_an_erasure_is_neither_named_nor_opened_after_it() {
        let fixture = fixture(20, None).await;
        let master = MasterId(1001);
        let (day, agent) = fixture.catalog.places(master).unwrap()[0];
        let place = Place { day, agent, master };
        let folder = fixture.tree.folder(place).unwrap();
        let bytes = fixture.catalog.contact_json(day, agent, master).unwrap().unwrap().into();
        fixture.catalog.erase(&[master], fixture.clock.now()).unwrap();
        fixture.tree.forget_interactions(&[master], &[]);
        fixture.tree.names.note_folder(place, &folder.name);
        assert_eq!(fixture.tree.path(Node::Contact(place)), ERASED);
        let opened = fixture.tree.hold_open(master, OpenFile::Document(OpenDocument { bytes, master }));
        assert_eq!((opened.unwrap_err().kind(), fixture.tree.files.count()), (ErrorKind::NotFound, 0));
    }
}
