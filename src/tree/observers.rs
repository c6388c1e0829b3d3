//! Who is told what changed: every front end that keeps what it was shown. The tree has no idea who asks, so each keeps what it likes and
//! drops it when it hears of a change.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::base::MasterId;

/// A front end that keeps what it was shown. Files and directories go by their stable numbers ([`Stat::id`](super::Stat::id)).
#[async_trait]
pub trait Observer: Send + Sync + 'static {
    /// Size, times or links of a file or directory changed. Whoever is answered after this returns must see them as they are now.
    fn attributes_changed(&self, id: u64);
    /// The names of a directory changed.
    fn listing_changed(&self, id: u64);
    /// A name of a directory is there that was absent, or is gone, with whatever was below it.
    fn name_changed(&self, directory: u64, name: &str);
    /// Interactions were erased, or all of them were: nothing that was kept may tell of one. Their names are told apart.
    fn erased(&self, _what: Erased<'_>) {}
    /// Estimates would be higher now than those that were shown.
    fn estimates_raised(&self) {}
    /// Waits until what was told so far has taken effect, for at most a moment.
    async fn delivered(&self);
}

/// What was erased.
#[derive(Clone, Copy, Debug)]
pub enum Erased<'a> {
    These(&'a [MasterId]),
    Everything,
}

/// All of them. They are added while the tree is put together, and stay.
#[derive(Default)]
pub struct Observers(RwLock<Vec<Arc<dyn Observer>>>);

impl Observers {
    /// One more.
    pub fn add(&self, observer: Arc<dyn Observer>) {
        self.0.write().push(observer);
    }

    /// Tells each of them.
    pub fn each(&self, tell: impl Fn(&dyn Observer)) {
        for observer in self.all() {
            tell(&*observer);
        }
    }

    /// Waits until all of them took notice, for at most a moment.
    pub async fn delivered(&self) {
        let observers = self.all();
        futures_util::future::join_all(observers.iter().map(|observer| observer.delivered())).await;
    }

    fn all(&self) -> Vec<Arc<dyn Observer>> {
        self.0.read().clone()
    }
}
