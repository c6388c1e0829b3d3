//! What a lost state database knew, learned again from the notes that stand beside cached recordings: no call is made for it.

use super::Resolver;
use super::publishing::Step;
use super::request::recording_key;
use crate::base::MasterId;
use crate::catalog::{FileKind, Interaction, Resolution};
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::note;

/// Recordings of an interaction that are asked for a note; each has the same. Almost every interaction has one.
const ASKED_MAX: u8 = 16;

impl Resolver {
    /// The interaction as it is known after looking into the cache, if it is not resolved.
    pub async fn recalled(&self, interaction: Interaction) -> Result<Interaction, TreeError> {
        let master = interaction.master_id;
        let may_be_known = matches!(interaction.resolution, Resolution::Unresolved)
            && (0..ASKED_MAX).any(|index| self.inner.media.may_have_note(&recording_key(master, index)));
        if !may_be_known {
            return Ok(interaction);
        }
        let (resolver, step) = (self.clone(), self.inner.publishing.step(master).await);
        // Reads files and flushes the database.
        let recalled = tokio::task::spawn_blocking(move || resolver.recall(step, master)).await;
        let recalled = recalled.map_err(|_| TreeError::new(ErrorKind::Io, "looking into the cache was interrupted"))?;
        match recalled {
            Ok(true) => {
                tracing::info!(%master, "master contact {master} is known again from the cache, without a billed call");
                self.shown_otherwise(&interaction).await;
                self.interaction(master)
            }
            Ok(false) => Ok(interaction),
            Err(error) => {
                tracing::debug!(%master, %error, "what the cache knows cannot be used");
                Ok(interaction)
            }
        }
    }

    fn recall(&self, step: Step, master: MasterId) -> Result<bool, TreeError> {
        let media = &self.inner.media;
        let mut notes = (0..ASKED_MAX).filter_map(|index| media.note(&recording_key(master, index)));
        let known = self.interaction(master)?;
        if !matches!(known.resolution, Resolution::Unresolved) {
            return Ok(false);
        }
        let Some(mut resolution) = notes.find_map(|(_, note)| note::decode(&known, &note)) else { return Ok(false) };
        for (file, _) in &mut resolution.files {
            // What the bytes are beats what was noted before they came.
            if let FileKind::Recording(index) = file.kind
                && let Some((version, _)) = media.note(&recording_key(master, index))
            {
                (file.size, file.validator) = (Some(version.size), version.validator);
            }
        }
        self.publish(step, &known, &resolution, self.inner.clock.now())?;
        Ok(true)
    }

    /// What is to stand beside the recordings of an interaction.
    pub(in crate::tree) fn note(&self, master: MasterId) -> Option<Vec<u8>> {
        let interaction = self.interaction(master).ok()?;
        let Resolution::Resolved { files, recheck_at } = &interaction.resolution else { return None };
        let document = |kind| self.inner.catalog.document(master, kind).ok().flatten();
        note::encode(&interaction, files, *recheck_at, document)
    }
}
