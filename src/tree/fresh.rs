//! Keeping what the kernel knows fresh: it keeps whole directories and asks for none of them twice, so open days that it knows are
//! refreshed on a timer, what changed is dropped from its cache, and a new day appears at local midnight.
//!
//! Decides which days and which directories; the indexer decides whether a refresh is due, and asks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;

use crate::base::{Day, ResolveOn};
use crate::catalog::{FileKind, Resolution, contact_ino, day_ino, file_ino};
use crate::tree::Tree;
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::lookup::ROOT_INO;
use crate::tree::node::{Node, Place};

/// How often it is looked whether a refresh is due, at most and at least; between them as often as refreshes are wanted. A look is a
/// few index reads.
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);
const LOOK_EVERY_MAX: Duration = Duration::from_secs(15);
/// After midnight by the clock, so that rounding does not make us look just before it.
const MIDNIGHT_MARGIN: Duration = Duration::from_millis(50);

/// The kinds of shared files that are looked for when a day changed: further recordings and emails than these show a changed link count later.
const KINDS: [FileKind; 9] = [
    FileKind::Metadata,
    FileKind::TranscriptText,
    FileKind::TranscriptJson,
    FileKind::Email(0),
    FileKind::Email(1),
    FileKind::Recording(0),
    FileKind::Recording(1),
    FileKind::Recording(2),
    FileKind::Recording(3),
];

/// Folders that show no recording now and may show one again, by when. The soonest makes room: it is then looked at too early.
#[derive(Default)]
pub struct Rechecks(Mutex<BTreeSet<(Timestamp, u64)>>);

/// Folders remembered; one in twenty calls of a million has no recording.
const RECHECKS_MAX: usize = 1 << 16;

impl Rechecks {
    /// The kernel is about to be shown a folder (its inode number) that is another one from `at` on.
    pub fn note(&self, at: Timestamp, ino: u64) {
        let mut folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        folders.insert((at, ino));
    }

    /// Folders whose time has come, and those that there is no room for.
    fn take(&self, now: Timestamp) -> Vec<u64> {
        let mut folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while let Some(&(at, ino)) = folders.first() {
            if at > now && folders.len() <= RECHECKS_MAX {
                break;
            }
            folders.pop_first();
            due.push(ino);
        }
        due
    }
}

/// Runs until the tree is dropped. `refresh`: the age from which a listing is refreshed.
async fn keep_fresh(tree: Weak<Tree>, refresh: Duration) {
    let look_every = refresh.clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX);
    let Some(tree) = tree.upgrade() else { return };
    let mut changes = tree.indexer.changes();
    let mut shown = tree.days();
    drop(tree);
    loop {
        let Some(pause) = tree.upgrade().map(|tree| tree.until_next_look(look_every)) else { return };
        tokio::select! {
            () = tokio::time::sleep(pause) => {
                let Some(tree) = tree.upgrade() else { return };
                shown = tree.look(shown).await;
            }
            heard = changes.recv() => {
                let Some(tree) = tree.upgrade() else { return };
                let days = match heard {
                    Ok(day) => vec![day],
                    Err(RecvError::Lagged(_)) => tree.known_open_days(),
                    Err(RecvError::Closed) => return,
                };
                // Many rows of a large day are read: not on a worker that others need.
                let told = tokio::task::spawn_blocking(move || days.iter().try_for_each(|day| tree.day_changed(*day)));
                if let Ok(Err(error)) = told.await {
                    let error = crate::base::chain(&error);
                    tracing::warn!(error, "a changed day could not be told to the kernel ({error}): its folders may look as before until they are refreshed");
                }
            }
        }
    }
}

/// How long to wait before the next look: to midnight, if that is earlier.
fn pause(now: Timestamp, midnight: Timestamp, look_every: Duration) -> Duration {
    let left = Duration::try_from(midnight.duration_since(now)).unwrap_or_default();
    (left + MIDNIGHT_MARGIN).min(look_every)
}

impl Tree {
    fn until_next_look(&self, look_every: Duration) -> Duration {
        pause(self.clock.now(), self.days().1.next().start(&self.settings.timezone), look_every)
    }

    /// Starts what refreshes are due, and notices a new day. Gives the days that are shown from now on.
    async fn look(&self, shown: (Day, Day)) -> (Day, Day) {
        let days = self.days();
        if days != shown {
            self.kernel.forget_directory(ROOT_INO);
            self.kernel.forget_attributes(ROOT_INO);
            tracing::debug!(first = %days.0, last = %days.1, "another day");
        }
        for ino in self.rechecks.take(self.clock.now()) {
            if self.inodes.get(ino).is_some() {
                self.kernel.forget_directory(ino);
            }
        }
        for day in self.known_open_days() {
            // Answers at once, for the day is in the index; a refresh runs behind, and says itself when it fails.
            if let Err(error) = self.indexer.ensure(day).await {
                tracing::debug!(%day, %error, "no refresh was begun");
            }
        }
        days
    }

    /// Indexed days that are not final and that the kernel knows.
    fn known_open_days(&self) -> Vec<Day> {
        let open = self.catalog.open_days(self.days().0).unwrap_or_default();
        open.into_iter().filter(|day| self.inodes.get(day_ino(*day)).is_some()).collect()
    }

    /// Has the kernel drop what it keeps of a day whose listing changed: names of the day and of its agents, times and sizes of the
    /// interactions. No more than it knows.
    fn day_changed(&self, day: Day) -> Result<(), TreeError> {
        if self.inodes.get(day_ino(day)).is_none() {
            return Ok(());
        }
        self.kernel.forget_directory(day_ino(day));
        for agent in self.catalog.agents(day, &self.settings.channels)? {
            if self.inodes.get(agent.ino).is_none() {
                continue;
            }
            self.kernel.forget_directory(agent.ino);
            self.kernel.forget_attributes(agent.ino);
            for folder in self.catalog.interactions(day, agent.agent_id, &self.settings.channels)? {
                // A further place of an interaction is a further link to its files.
                let shared = KINDS.map(|kind| file_ino(folder.ino_base, kind));
                for ino in [folder.ino, contact_ino(folder.ino)].into_iter().chain(shared) {
                    if self.inodes.get(ino).is_some() {
                        self.kernel.forget_attributes(ino);
                    }
                }
            }
        }
        Ok(())
    }

    /// Lists a whole day again, also a final one. When this returns, it is also what the kernel shows.
    pub async fn refresh(self: &Arc<Self>, day: Day) -> Result<(), TreeError> {
        self.indexer.refresh(day).await?;
        self.show_refreshed(day).await
    }

    /// Has the kernel show a day as it is listed now, whoever had it listed again.
    pub async fn show_refreshed(self: &Arc<Self>, day: Day) -> Result<(), TreeError> {
        let tree = Arc::clone(self);
        let told = tokio::task::spawn_blocking(move || tree.day_changed(day)).await;
        told.map_err(|_| TreeError::new(ErrorKind::Io, "telling the kernel was interrupted"))??;
        self.kernel.delivered().await;
        Ok(())
    }

    /// Whether the kernel may keep a directory's listing until it is told to drop it.
    pub(super) fn may_be_kept(&self, node: Node) -> Result<bool, TreeError> {
        match node {
            // Dropped at midnight, and when a refresh brings something.
            Node::Root | Node::Day(_) | Node::Agent(..) => Ok(true),
            Node::Folder(Place { master, .. }) => {
                let Some(interaction) = self.catalog.interaction(master)? else { return Ok(false) };
                Ok(match interaction.resolution {
                    // Dropped when it is resolved; but where listing resolves, every listing must reach us until then.
                    Resolution::Unresolved => self.settings.resolve_on < ResolveOn::List,
                    // What is missing now is shown again when it may be asked for again.
                    Resolution::Resolved { recheck_at, .. } => recheck_at.is_none(),
                })
            }
            Node::Contact(_) | Node::Shared(..) => Ok(false),
        }
    }
}

/// Keeps the tree fresh, in a task of the current runtime, until it is dropped. `refresh`: the age from which an open day's listing
/// is refreshed (`tree.refresh`).
pub fn start_keeping_fresh(tree: &Arc<Tree>, refresh: Duration) {
    tokio::spawn(keep_fresh(Arc::downgrade(tree), refresh));
}

#[cfg(test)]
mod tests;
