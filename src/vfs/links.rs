//! The signed links at hand, in memory only, and the [`LinkSource`] that media reads through.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lru::LruCache;

use crate::base::MasterId;
use crate::cxone::Playback;
use crate::media::{Link, LinkSource, MediaError};
use crate::vfs::error::VfsError;
use crate::vfs::resolve::{Resolver, Want};

/// Interactions whose links are remembered. A link dropped from here costs a billed call only if bytes are still missing.
const INTERACTIONS_MAX: NonZeroUsize = NonZeroUsize::new(8192).unwrap();
/// A link that replaced a refused one, and is refused itself, shows that signing does not help. It is not asked for again for so long,
/// whoever opens the recording meanwhile: each time would be billed.
const REFUSAL_STANDS: SignedDuration = SignedDuration::from_secs(30);

/// All links at hand.
pub struct Links {
    by_master: Mutex<LruCache<MasterId, Vec<Link>>>,
    /// When a refused link was last replaced.
    replaced: Mutex<LruCache<MasterId, Timestamp>>,
}

impl Links {
    /// None at hand.
    pub fn new() -> Links {
        Links {
            by_master: Mutex::new(LruCache::new(INTERACTIONS_MAX)),
            replaced: Mutex::new(LruCache::new(INTERACTIONS_MAX)),
        }
    }

    /// Keeps what a billed call just brought. `serial` must grow with every call.
    pub fn store(&self, master: MasterId, playback: &Playback, serial: u64, now: Timestamp) {
        let links = playback.items.iter().filter_map(|item| item.media.as_ref());
        let links = links.map(|link| Link { link: link.clone(), serial, signed_at: now }).collect();
        self.lock().put(master, links);
    }

    /// The link to recording `index`, unless it was refused. Whether it has ended is told by the media host's clock, which media
    /// knows and we do not: by our own a link could look dead that is not, and a new one costs a call.
    pub fn usable(&self, master: MasterId, index: u8, refused: Option<u64>) -> Option<Link> {
        let mut links = self.lock();
        let link = links.get(&master)?.get(usize::from(index))?;
        (refused != Some(link.serial)).then(|| link.clone())
    }

    /// Whether a link is worth signing in place of the one that was refused; from then on it counts as replaced.
    pub fn may_replace(&self, master: MasterId, index: u8, now: Timestamp) -> bool {
        let has_ended =
            self.usable(master, index, None).is_none_or(|link| link.link.expires_at.is_some_and(|end| end <= now));
        let mut replaced = self.replaced();
        let stands = replaced.get(&master).is_some_and(|at| now.duration_since(*at).abs() < REFUSAL_STANDS);
        if stands && !has_ended {
            return false;
        }
        replaced.put(master, now);
        true
    }

    /// Forgets those of an interaction.
    pub fn forget(&self, master: MasterId) {
        self.lock().pop(&master);
        self.replaced().pop(&master);
    }

    /// Forgets all of them.
    pub fn forget_all(&self) {
        self.lock().clear();
        self.replaced().clear();
    }

    fn replaced(&self) -> std::sync::MutexGuard<'_, LruCache<MasterId, Timestamp>> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<MasterId, Vec<Link>>> {
        self.by_master.lock().unwrap_or_else(PoisonError::into_inner)
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
        let at_hand = || self.resolver.links().usable(self.master, self.index, refused);
        if let Some(link) = at_hand() {
            return Ok(link);
        }
        let now = self.resolver.now();
        if refused.is_some() && !self.resolver.links().may_replace(self.master, self.index, now) {
            return Err(MediaError::Denied);
        }
        self.resolver.sign(self.master, self.want).await.map_err(|error| MediaError::Link(Arc::new(error)))?;
        at_hand().ok_or_else(|| MediaError::Link(Arc::new(VfsError::not_found())))
    }

    fn note(&self) -> Option<Vec<u8>> {
        self.resolver.note(self.master)
    }
}
