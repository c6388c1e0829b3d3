//! The signed links at hand, in memory only, and the [`LinkSource`] that media reads through.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lru::LruCache;
use tokio::time::Instant;

use crate::base::MasterId;
use crate::cxone::{MediaLink, Playback};
use crate::media::{Link, LinkSource, MediaError};
use crate::vfs::error::VfsError;
use crate::vfs::resolve::{Resolver, Want};

/// Interactions whose links are remembered. A link dropped from here costs a billed call only if bytes are still missing.
const INTERACTIONS_MAX: NonZeroUsize = NonZeroUsize::new(8192).unwrap();

/// A link this close to its stated end is not used for a new request.
const END_MARGIN: Duration = Duration::from_secs(2);

struct Signed {
    link: Link,
    /// The end that the link states, by our monotonic clock; `None` if it states none or states one that is already past.
    ends: Option<Instant>,
}

/// All links at hand.
pub struct Links {
    by_master: Mutex<LruCache<MasterId, Vec<Signed>>>,
}

impl Links {
    /// None at hand.
    pub fn new() -> Links {
        Links { by_master: Mutex::new(LruCache::new(INTERACTIONS_MAX)) }
    }

    /// Keeps what a billed call just brought. `serial` must grow with every call.
    pub fn store(&self, master: MasterId, playback: &Playback, serial: u64, server_now: jiff::Timestamp) {
        let ends = |link: &MediaLink| {
            let left = Duration::try_from(link.expires_at?.duration_since(server_now)).ok()?;
            // A link that is born dead is the tenant's clock being wrong: let the media host decide.
            let left = left.checked_sub(END_MARGIN).filter(|left| !left.is_zero())?;
            Some(Instant::now() + left)
        };
        let signed = playback.items.iter().filter_map(|item| item.media.as_ref());
        let signed =
            signed.map(|link| Signed { ends: ends(link), link: Link { link: link.clone(), serial } }).collect();
        self.lock().put(master, signed);
    }

    /// The link to recording `index`, unless it was refused or has ended.
    pub fn usable(&self, master: MasterId, index: u8, refused: Option<u64>) -> Option<Link> {
        let mut links = self.lock();
        let signed = links.get(&master)?.get(usize::from(index))?;
        let ended = signed.ends.is_some_and(|ends| ends <= Instant::now());
        (refused != Some(signed.link.serial) && !ended).then(|| signed.link.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<MasterId, Vec<Signed>>> {
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
        self.resolver.sign(self.master, self.want).await.map_err(|error| MediaError::Link(Arc::new(error)))?;
        at_hand().ok_or_else(|| MediaError::Link(Arc::new(VfsError::not_found())))
    }
}
