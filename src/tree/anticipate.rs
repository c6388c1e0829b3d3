//! Anticipation for complete backups (`--profile backup`): while one interaction of an agent's day is being copied, the recordings of
//! the next ones in listing order are fetched, so that copying waits for the wire and not for round trips.
//!
//! Bounded on every side: so many interactions ahead, never with a billed call, which only who asks for a file may cause, recordings that
//! are fetched whole anyway and only while they are a small part of the cache. What fails here fails nothing: whoever opens the
//! file asks again and gets the reason.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::Semaphore;

use crate::base::{AgentId, Day, MasterId};
use crate::catalog::{Catalog, FileKind, Resolution};
use crate::media::{OneLink, Version};
use crate::tree::Tree;
use crate::tree::error::TreeError;
use crate::tree::node::Place;
use crate::tree::principal::Principal;
use crate::tree::resolve::{Resolver, recording_key};
use crate::tree::warm::Recordings;

/// Interactions that are prepared beyond the one being read. At 40 ms of round trip, one that takes two of them, and 10 ms for
/// the reader to copy one, eight would do.
const AHEAD: usize = 16;
/// Agents' days whose order is remembered.
const COURSES_MAX: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// How far each agent's day was anticipated.
pub struct Anticipation {
    courses: Mutex<LruCache<(Day, AgentId), Course>>,
    /// One permit per interaction under way.
    hands: Arc<Semaphore>,
}

/// One agent's day as it is listed.
struct Course {
    order: Vec<MasterId>,
    /// Everything before this was begun, or passed by.
    next: usize,
}

impl Course {
    /// What is to be begun when `reading` is read; nothing for one that is not on the list.
    fn advance(&mut self, reading: MasterId) -> Option<&[MasterId]> {
        let position = self.order.iter().position(|master| *master == reading)?;
        // A reader that jumps, backward too, takes the window along.
        if position >= self.next || self.next > position + 1 + AHEAD {
            self.next = position + 1;
        }
        let begun = self.next;
        self.next = self.order.len().min(position + 1 + AHEAD).max(begun);
        Some(&self.order[begun..self.next])
    }
}

impl Anticipation {
    /// Nothing anticipated.
    pub fn new() -> Anticipation {
        Anticipation { courses: Mutex::new(LruCache::new(COURSES_MAX)), hands: Arc::new(Semaphore::new(AHEAD)) }
    }

    /// What is to be begun now that `place` is read. `order` lists its agent's day.
    fn next(
        &self,
        place: Place,
        order: impl FnOnce() -> Result<Vec<MasterId>, TreeError>,
    ) -> Result<Vec<MasterId>, TreeError> {
        let key = (place.day, place.agent);
        let mut courses = self.courses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(begun) = courses.get_mut(&key).and_then(|course| course.advance(place.master)) {
            return Ok(begun.to_vec());
        }
        // Unknown, or grown since.
        let mut course = Course { order: order()?, next: 0 };
        let begun = course.advance(place.master).map(<[_]>::to_vec).unwrap_or_default();
        courses.put(key, course);
        Ok(begun)
    }
}

impl Tree {
    /// A file of `place` was opened: prepares what a backup opens next.
    pub(super) fn anticipate(&self, place: Place, principal: &Principal) {
        if !self.settings.anticipate || self.guard.scanner(principal).is_some() {
            return;
        }
        let order = || {
            let folders = self.catalog.interactions(place.day, place.agent, &self.settings.channels)?;
            Ok(folders.into_iter().map(|folder| folder.master_id).collect())
        };
        let next = self.anticipation.next(place, order).unwrap_or_else(|error| {
            tracing::debug!(%error, "nothing is anticipated");
            Vec::new()
        });
        // What nobody has paid for is not paid for by guessing who will want it.
        let is_paid =
            |master: &MasterId| matches!(self.missing(*master, &Recordings::All), Ok(Some(missing)) if !missing.call());
        for master in next.into_iter().filter(is_paid) {
            let (resolver, catalog) = (self.resolver.clone(), self.catalog.clone());
            let hands = Arc::clone(&self.anticipation.hands);
            tokio::spawn(async move {
                let _hand = hands.acquire().await;
                if let Err(error) = prepare(&resolver, &catalog, master).await {
                    tracing::debug!(%master, %error, "an interaction could not be prepared ahead");
                }
            });
        }
    }
}

/// Brings an interaction's small recordings into the cache, each by the link at hand: a [`OneLink`] cannot sign, so nothing here can cost
/// a billed call, whatever the media host says to the link.
async fn prepare(resolver: &Resolver, catalog: &Catalog, master: MasterId) -> Result<(), TreeError> {
    let Some(interaction) = catalog.interaction(master)? else { return Ok(()) };
    let Resolution::Resolved { files, .. } = &interaction.resolution else { return Ok(()) };
    for file in files.iter() {
        let (FileKind::Recording(index), Some(size)) = (file.kind, file.size) else { continue };
        let Some(link) = resolver.links().usable(master, index, None) else { continue };
        let (key, version) = (recording_key(master, index), Version { size, validator: file.validator.clone() });
        let (media, sought) = (resolver.media().clone(), (key.clone(), version.clone()));
        let looked = tokio::task::spawn_blocking(move || media.is_complete(&sought.0, &sought.1)).await;
        if looked.unwrap_or(false) {
            continue;
        }
        let links = Arc::new(OneLink { link, note: resolver.note(master) });
        resolver.media().open_reader(&key, &version, links).await?.fetch_small(AHEAD as u64).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Day = Day(20_000);

    fn place(master: i64) -> Place {
        Place { day: DAY, agent: AgentId(1), master: MasterId(master) }
    }

    fn masters(range: std::ops::Range<i64>) -> Vec<MasterId> {
        range.map(MasterId).collect()
    }

    #[test]
    fn each_is_begun_once_and_never_far_ahead() {
        let anticipation = Anticipation::new();
        let next = |master| anticipation.next(place(master), || Ok(masters(0..40))).unwrap();
        assert_eq!(next(0), masters(1..17));
        assert_eq!(next(0), []);
        assert_eq!(next(1), masters(17..18));
        assert_eq!(next(5), masters(18..22));
        assert_eq!(next(39), []);
        // Back to the start: what the cache still holds costs nothing.
        assert_eq!(next(2), masters(3..19));
    }

    #[test]
    fn a_day_that_grew_is_listed_anew() {
        let anticipation = Anticipation::new();
        assert_eq!(anticipation.next(place(1), || Ok(masters(0..2))).unwrap(), []);
        assert_eq!(anticipation.next(place(2), || Ok(masters(0..5))).unwrap(), masters(3..5));
        assert_eq!(anticipation.next(place(9), || Ok(masters(0..5))).unwrap(), []);
    }
}
