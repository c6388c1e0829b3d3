//! The signed links at hand, in memory only, and the [`LinkSource`] that media reads through.

use std::num::NonZeroUsize;

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use parking_lot::Mutex;

use crate::base::MasterId;
use crate::cxone::PlaybackItem;
use crate::media::Link;
use crate::net::MediaLink;

/// Interactions whose links are remembered. A link dropped from here costs a billed call only if bytes are still missing.
const INTERACTIONS_MAX: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// A link that replaced a refused one, and is refused itself, shows that signing does not help. It is not asked for again for so long,
/// whoever opens the recording meanwhile: each time would be billed.
const REFUSAL_STANDS: SignedDuration = SignedDuration::from_secs(30);
/// A billed call that brought no link to a recording is not made again for so long by whoever reads that recording.
const ABSENCE_STANDS: SignedDuration = SignedDuration::from_hours(1);

/// What the last signing of an interaction brought.
struct Signed {
    /// By recording.
    links: Vec<Option<Link>>,
    at: Timestamp,
}

/// The last refusal for which an interaction was signed again.
#[derive(Clone, Copy)]
struct Replaced {
    /// The serial of the refused link.
    refused: u64,
    at: Timestamp,
}

/// All links at hand.
pub struct Links {
    signed: Mutex<LruCache<MasterId, Signed>>,
    replaced: Mutex<LruCache<MasterId, Replaced>>,
}

/// Why nothing is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Futile {
    /// The media host refuses fresh links.
    Refused,
    /// CXone gives no link to this recording.
    Absent,
}

impl Links {
    /// None at hand.
    pub fn new() -> Links {
        Links {
            signed: Mutex::new(LruCache::new(INTERACTIONS_MAX)),
            replaced: Mutex::new(LruCache::new(INTERACTIONS_MAX)),
        }
    }

    /// Keeps the links that a billed call just brought, by recording; that there are none is worth keeping too. `serial` must grow with
    /// every call.
    pub fn store(&self, master: MasterId, links: Vec<Option<MediaLink>>, serial: u64, now: Timestamp) {
        let links = links.into_iter().map(|link| Some(Link { link: link?, serial, signed_at: now })).collect();
        self.signed().put(master, Signed { links, at: now });
    }

    /// The link to recording `index`, unless it was refused. Whether it has ended is told by the media host's clock, which media
    /// knows and we do not: by our own a link could look dead that is not, and a new one costs a call.
    pub fn usable(&self, master: MasterId, index: u8, refused: Option<u64>) -> Option<Link> {
        let mut signed = self.signed();
        let link = signed.get(&master)?.links.get(usize::from(index))?.as_ref()?;
        (refused != Some(link.serial)).then(|| link.clone())
    }

    /// Whether bytes can be fetched without signing first, as far as can be told from here.
    pub fn lasts(&self, master: MasterId, index: u8, now: Timestamp) -> bool {
        self.usable(master, index, None).is_some_and(|link| !has_ended(&link, now))
    }

    /// Whether signing may bring a link that is better than none, or than the one that was refused, which then counts as replaced.
    pub fn check_worth(&self, master: MasterId, index: u8, refused: Option<u64>, now: Timestamp) -> Result<(), Futile> {
        let Some(link) = self.usable(master, index, None) else {
            let mut signed = self.signed();
            let absent = signed.get(&master).is_some_and(|signed| now.duration_since(signed.at).abs() < ABSENCE_STANDS);
            return if absent { Err(Futile::Absent) } else { Ok(()) };
        };
        let Some(refused) = refused else { return Ok(()) };
        let mut replaced = self.replaced();
        if let Some(last) = replaced.get(&master) {
            // Several readers are refused the same link at once: what the first may do, all may; they share the call.
            if refused <= last.refused {
                return Ok(());
            }
            if !has_ended(&link, now) && now.duration_since(last.at).abs() < REFUSAL_STANDS {
                return Err(Futile::Refused);
            }
        }
        replaced.put(master, Replaced { refused, at: now });
        Ok(())
    }

    /// Forgets that the last signing brought no link to some recording.
    pub fn forget_absence(&self, master: MasterId) {
        let mut signed = self.signed();
        if signed.peek(&master).is_some_and(|signed| signed.links.iter().all(Option::is_none)) {
            signed.pop(&master);
        }
    }

    /// Forgets those of an interaction.
    pub fn forget(&self, master: MasterId) {
        self.signed().pop(&master);
        self.replaced().pop(&master);
    }

    /// Forgets all of them.
    pub fn forget_all(&self) {
        self.signed().clear();
        self.replaced().clear();
    }

    fn replaced(&self) -> parking_lot::MutexGuard<'_, LruCache<MasterId, Replaced>> {
        self.replaced.lock()
    }

    fn signed(&self) -> parking_lot::MutexGuard<'_, LruCache<MasterId, Signed>> {
        self.signed.lock()
    }
}

fn has_ended(link: &Link, now: Timestamp) -> bool {
    link.link.expires_at.is_some_and(|end| end <= now)
}

/// The links of a billed call, by recording, where `known` recordings were published of the interaction. Recordings are numbered among
/// the elements that have a link; one that is not given out any more must not lend its number to the next.
pub fn by_recording(items: &[PlaybackItem], known: usize) -> Vec<Option<MediaLink>> {
    let links: Vec<MediaLink> = items.iter().filter_map(|item| item.media.clone()).collect();
    if links.len() >= known {
        return links.into_iter().map(Some).collect();
    }
    if items.len() == known {
        return items.iter().map(|item| item.media.clone()).collect();
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::media_item;

    #[test]
    fn a_recording_that_is_not_given_out_any_more_does_not_lend_its_number() {
        let none = PlaybackItem::default;
        let shape = |items: &[PlaybackItem], known| -> Vec<bool> {
            by_recording(items, known).iter().map(Option::is_some).collect()
        };
        assert_eq!(shape(&[media_item(), none(), media_item()], 0), [true, true]);
        assert_eq!(shape(&[media_item(), none(), media_item()], 2), [true, true]);
        assert_eq!(shape(&[none(), media_item()], 2), [false, true]);
        assert_eq!(shape(&[media_item(), none(), none()], 2), [] as [bool; 0]);
        assert_eq!(shape(&[], 1), [] as [bool; 0]);
    }
}
