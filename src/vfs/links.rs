//! The signed links at hand, in memory only, and the [`LinkSource`] that media reads through.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lru::LruCache;

use crate::base::MasterId;
use crate::cxone::MediaLink;
use crate::media::{Link, LinkSource, MediaError};
use crate::vfs::error::VfsError;
use crate::vfs::resolve::{Need, Resolver, Want};

/// Interactions whose links are remembered. A link dropped from here costs a billed call only if bytes are still missing.
const INTERACTIONS_MAX: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// A link that replaced a refused one, and is refused itself, shows that signing does not help. It is not asked for again for so long,
/// whoever opens the recording meanwhile: each time would be billed.
const REFUSAL_STANDS: SignedDuration = SignedDuration::from_secs(30);
/// A billed call that brought no link to a recording is not made again for so long by whoever reads that recording.
const ABSENCE_STANDS: SignedDuration = SignedDuration::from_hours(1);

/// Rounds of one asker: a call that it shared may have been made for something else.
const SIGNINGS_MAX: u32 = 3;

/// What the last signing of an interaction brought.
struct Signed {
    links: Vec<Link>,
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

    /// Keeps what a billed call just brought, in order of the recordings; nothing is worth keeping too. `serial` must grow with every
    /// call.
    pub fn store<'a>(&self, master: MasterId, links: impl Iterator<Item = &'a MediaLink>, serial: u64, now: Timestamp) {
        let links = links.map(|link| Link { link: link.clone(), serial, signed_at: now }).collect();
        self.signed().put(master, Signed { links, at: now });
    }

    /// The link to recording `index`, unless it was refused. Whether it has ended is told by the media host's clock, which media
    /// knows and we do not: by our own a link could look dead that is not, and a new one costs a call.
    pub fn usable(&self, master: MasterId, index: u8, refused: Option<u64>) -> Option<Link> {
        let mut signed = self.signed();
        let link = signed.get(&master)?.links.get(usize::from(index))?;
        (refused != Some(link.serial)).then(|| link.clone())
    }

    /// Whether signing may bring a link that is better than none, or than the one that was refused, which then counts as replaced.
    pub fn check_worth(&self, master: MasterId, index: u8, refused: Option<u64>, now: Timestamp) -> Result<(), Futile> {
        let Some(link) = self.usable(master, index, None) else {
            let mut signed = self.signed();
            let absent = signed.get(&master).is_some_and(|signed| now.duration_since(signed.at).abs() < ABSENCE_STANDS);
            return if absent { Err(Futile::Absent) } else { Ok(()) };
        };
        let Some(refused) = refused else { return Ok(()) };
        let has_ended = link.link.expires_at.is_some_and(|end| end <= now);
        let mut replaced = self.replaced();
        if let Some(last) = replaced.get(&master) {
            // Several readers are refused the same link at once: what the first may do, all may; they share the call.
            if refused <= last.refused {
                return Ok(());
            }
            if !has_ended && now.duration_since(last.at).abs() < REFUSAL_STANDS {
                return Err(Futile::Refused);
            }
        }
        replaced.put(master, Replaced { refused, at: now });
        Ok(())
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

    fn replaced(&self) -> std::sync::MutexGuard<'_, LruCache<MasterId, Replaced>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signed(&self) -> std::sync::MutexGuard<'_, LruCache<MasterId, Signed>> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Links to one recording, on behalf of whoever opened it.
pub struct RecordingLinks {
    pub resolver: Resolver,
    pub master: MasterId,
    pub index: u8,
    pub want: Want,
}

#[async_trait]
impl LinkSource for RecordingLinks {
    async fn link(&self, refused: Option<u64>) -> Result<Link, MediaError> {
        let links = self.resolver.links();
        for _ in 0..SIGNINGS_MAX {
            if let Some(link) = links.usable(self.master, self.index, refused) {
                return Ok(link);
            }
            match links.check_worth(self.master, self.index, refused, self.resolver.now()) {
                Ok(()) => {}
                Err(Futile::Refused) => return Err(MediaError::Denied),
                Err(Futile::Absent) => break,
            }
            let need = Need::Link { index: self.index, refused };
            let signed = self.resolver.sign(self.master, self.want, need).await;
            signed.map_err(|error| MediaError::Link(Arc::new(error)))?;
        }
        Err(MediaError::Link(Arc::new(VfsError::not_found())))
    }

    fn note(&self) -> Option<Vec<u8>> {
        self.resolver.note(self.master)
    }
}
