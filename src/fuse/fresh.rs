//! Keeping what the kernel knows fresh: it keeps whole directories and asks for none of them twice, so open days that it knows are
//! refreshed on a timer, what changed is dropped from its cache, and a new day appears at local midnight.
//!
//! Decides which days and which directories; the indexer decides whether a refresh is due, and asks.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;

use crate::base::Day;
use crate::catalog::{FileKind, contact_ino, day_ino, file_ino};
use crate::fuse::door::{Door, ROOT_INO};
use crate::tree::{ErrorKind, TreeError};

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

/// Runs until the door is dropped. `refresh`: the age from which a listing is refreshed.
async fn keep_fresh(weak: Weak<Door>, refresh: Duration) {
    let look_every = refresh.clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX);
    let Some(door) = weak.upgrade() else { return };
    let mut changes = door.tree.changed_days();
    drop(door);
    loop {
        let Some(pause) = weak.upgrade().map(|door| door.until_next_look(look_every)) else { return };
        tokio::select! {
            () = tokio::time::sleep(pause) => {
                let Some(door) = weak.upgrade() else { return };
                door.look().await;
            }
            heard = changes.recv() => {
                let Some(door) = weak.upgrade() else { return };
                let days = match heard {
                    Ok(day) => vec![day],
                    Err(RecvError::Lagged(_)) => door.known_open_days(),
                    Err(RecvError::Closed) => return,
                };
                // Many rows of a large day are read: not on a worker that others need.
                let told = tokio::task::spawn_blocking(move || days.iter().try_for_each(|day| door.day_changed(*day)));
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

impl Door {
    fn until_next_look(&self, look_every: Duration) -> Duration {
        pause(self.tree.now(), self.tree.end_of(self.tree.days().1), look_every)
    }

    /// Starts what refreshes are due, and notices other days: midnight, or a clock that was set.
    async fn look(&self) {
        if self.days_moved() {
            self.kernel.listing_changed(ROOT_INO);
            self.kernel.attributes_changed(ROOT_INO);
            tracing::debug!("the root shows other days");
        }
        for ino in self.rechecks.take(self.tree.now()) {
            if self.inodes.get(ino).is_some() {
                self.kernel.listing_changed(ino);
            }
        }
        for day in self.known_open_days() {
            // Answers at once, for the day is in the index; a refresh runs behind, and says itself when it fails.
            if let Err(error) = self.tree.refresh_if_due(day).await {
                tracing::debug!(%day, %error, "no refresh was begun");
            }
        }
    }

    /// Indexed days that are not final and that the kernel knows.
    fn known_open_days(&self) -> Vec<Day> {
        self.tree.open_days().into_iter().filter(|day| self.inodes.get(day_ino(*day)).is_some()).collect()
    }

    /// Has the kernel drop what it keeps of a day whose listing changed: names of the day and of its agents, times and sizes of the
    /// interactions. No more than it knows.
    fn day_changed(&self, day: Day) -> Result<(), TreeError> {
        if self.inodes.get(day_ino(day)).is_none() {
            return Ok(());
        }
        self.kernel.listing_changed(day_ino(day));
        for agent in self.tree.agents(day)? {
            if self.inodes.get(agent.ino).is_none() {
                continue;
            }
            self.kernel.listing_changed(agent.ino);
            self.kernel.attributes_changed(agent.ino);
            for folder in self.tree.interactions(day, agent.agent_id)? {
                // A further place of an interaction is a further link to its files.
                let shared = KINDS.map(|kind| file_ino(folder.ino_base, kind));
                for ino in [folder.ino, contact_ino(folder.ino)].into_iter().chain(shared) {
                    if self.inodes.get(ino).is_some() {
                        self.kernel.attributes_changed(ino);
                    }
                }
            }
        }
        Ok(())
    }

    /// Has the kernel show a day as it is listed now, whoever had it listed again.
    pub async fn show_refreshed(self: &Arc<Self>, day: Day) -> Result<(), TreeError> {
        let door = Arc::clone(self);
        let told = tokio::task::spawn_blocking(move || door.day_changed(day)).await;
        told.map_err(|_| TreeError::new(ErrorKind::Io, "telling the kernel was interrupted"))??;
        self.kernel.delivered().await;
        Ok(())
    }
}

/// Keeps what the kernel knows fresh, in a task of the current runtime, until the door is dropped. `refresh`: the age from which an open day's listing
/// is refreshed (`tree.refresh`).
pub fn start_keeping_fresh(door: &Arc<Door>, refresh: Duration) {
    tokio::spawn(keep_fresh(Arc::downgrade(door), refresh));
}

#[cfg(test)]
mod tests;
