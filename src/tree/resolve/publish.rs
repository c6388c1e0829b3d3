//! Publishing an exact size: what is known is compared and stored as one step, then the observers are told.

use super::Resolver;
use crate::base::MasterId;
use crate::catalog::{FileKind, Interaction, Resolution, file_ino};
use crate::media::Version;
use crate::tree::error::{ErrorKind, TreeError};

impl Resolver {
    /// A recording's size and validator as its media host told them; whether that was news.
    pub(in crate::tree) async fn publish_size(
        &self,
        master: MasterId,
        index: u8,
        version: &Version,
    ) -> Result<bool, TreeError> {
        let step = self.inner.publishing.step(master).await;
        let interaction = self.interaction(master)?;
        if is_known(&interaction, index, version) {
            return Ok(false);
        }
        let (resolver, version) = (self.clone(), version.clone());
        let stored = tokio::task::spawn_blocking(move || {
            let _step = step;
            resolver.inner.catalog.set_recording_version(master, index, version.size, &version.validator)?;
            resolver.forget_guesses(&interaction, [FileKind::Recording(index)]);
            resolver.estimates_may_be_raised();
            Ok(true)
        });
        stored.await.map_err(|_| TreeError::new(ErrorKind::Io, "storing a size was interrupted"))?
    }

    /// Observers are told that the sizes of these files changed.
    pub(super) fn forget_guesses(&self, interaction: &Interaction, kinds: impl IntoIterator<Item = FileKind>) {
        for kind in kinds {
            let id = file_ino(interaction.ino_base, kind);
            self.observers().each(|observer| observer.attributes_changed(id));
        }
    }
}

fn is_known(interaction: &Interaction, index: u8, version: &Version) -> bool {
    let Resolution::Resolved { files, .. } = &interaction.resolution else { return false };
    files.iter().any(|file| {
        file.kind == FileKind::Recording(index)
            && file.size == Some(version.size)
            && file.validator == version.validator
    })
}
