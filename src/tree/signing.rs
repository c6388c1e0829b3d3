//! Links to one recording, signed in the name of whoever needs its bytes.

use std::sync::Arc;

use async_trait::async_trait;

use crate::base::MasterId;
use crate::media::{Link, LinkSource, MediaError, StorageRefusal};
use crate::tree::error::TreeError;
use crate::tree::guard::Guard;
use crate::tree::links::Futile;
use crate::tree::resolve::{Need, ResolveRequest, Resolver};

/// Rounds of one asker: a call that it shared may have been made for something else.
const SIGNINGS_MAX: u32 = 3;

/// Links to one recording, on behalf of whoever opened it.
pub struct RecordingLinks {
    pub resolver: Resolver,
    pub master: MasterId,
    pub index: u8,
    pub request: ResolveRequest,
    /// Keeps scanners from having links signed.
    pub guard: Guard,
}

impl RecordingLinks {
    /// Links for somebody of whom is known that a call may be made for them.
    pub fn admitted(resolver: &Resolver, master: MasterId, index: u8, request: ResolveRequest) -> RecordingLinks {
        RecordingLinks { resolver: resolver.clone(), master, index, request, guard: Guard::default() }
    }
}

#[async_trait]
impl LinkSource for RecordingLinks {
    async fn link(&self, refused: Option<u64>) -> Result<Link, MediaError> {
        let links = self.resolver.links();
        for _ in 0..SIGNINGS_MAX {
            if let Some(link) = links.usable(self.master, self.index, refused) {
                return Ok(link);
            }
            self.resolver.check_signing(self.master, self.index)?;
            match links.check_worth(self.master, self.index, refused, self.resolver.now()) {
                Ok(()) => {}
                Err(Futile::Refused) => return Err(MediaError::Refused(StorageRefusal::Denied)),
                Err(Futile::Absent) => break,
            }
            self.admitted().await?;
            let need = Need::Link { index: self.index, refused };
            let signed = self.resolver.sign(self.master, &self.request, need).await;
            signed.map_err(|error| MediaError::Link(Arc::new(error)))?;
        }
        Err(MediaError::Link(Arc::new(TreeError::not_found())))
    }

    fn at_hand(&self, refused: Option<u64>) -> Option<Link> {
        self.resolver.links().usable(self.master, self.index, refused)
    }

    async fn admitted(&self) -> Result<(), MediaError> {
        self.guard.admit(&self.request.principal).await.map_err(|error| MediaError::Link(Arc::new(error)))
    }

    fn note(&self) -> Option<Vec<u8>> {
        self.resolver.note(self.master)
    }
}
