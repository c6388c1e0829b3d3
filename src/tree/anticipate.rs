//! Anticipation for complete backups (`--profile backup`): while one interaction of an agent's day is being copied, the recordings of
//! the next ones in listing order are fetched, so that copying waits for the wire and not for round trips.
//!
//! Bounded on every side: so many interactions ahead, never with a billed call, which only who asks for a file may cause, recordings that
//! are fetched whole anyway and only while they are a small part of the cache. What fails here fails nothing: whoever opens the
//! file asks again and gets the reason.

use std::sync::Arc;

use crate::base::MasterId;
use crate::catalog::{Catalog, FileKind, Resolution};
use crate::media::{OneLink, Version};
use crate::tree::Tree;
use crate::tree::error::TreeError;
use crate::tree::node::Place;
use crate::tree::prefetch_cursors::AHEAD;
use crate::tree::principal::Principal;
use crate::tree::resolve::{Resolver, recording_key};
use crate::tree::warm::Recordings;

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
