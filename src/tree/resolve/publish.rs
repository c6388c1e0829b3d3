//! Publishing an exact size: what is known is compared and stored as one step, then the kernels drop what they were told. Which size each kernel
//! holds when a file is opened is the doors' matter.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Resolver;
use crate::base::MasterId;
use crate::catalog::{FileKind, Interaction, Resolution, file_ino};
use crate::media::Version;
use crate::tree::error::{ErrorKind, TreeError};

/// Steps that may be under way at once; two interactions share one by chance. A step is waited for in a task and not on a thread: threads that wait for
/// a step could be all that there are, and its holder would have none to end it on.
const PLACES: usize = 64;

/// The step ends when this is dropped.
pub(super) type Step = OwnedMutexGuard<()>;

/// One step per interaction at a time.
pub(super) struct Publishing([Arc<Mutex<()>>; PLACES]);

impl Publishing {
    pub(super) fn new() -> Publishing {
        Publishing(std::array::from_fn(|_| Arc::default()))
    }

    /// Held for a flush of the disk and a notice, on a thread that may wait.
    pub(super) async fn step(&self, master: MasterId) -> Step {
        let place = &self.0[master.0.rem_euclid(PLACES as i64) as usize];
        Arc::clone(place).lock_owned().await
    }
}

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

    /// The kernel drops what it was told of these files.
    pub(super) fn forget_guesses(&self, interaction: &Interaction, kinds: impl IntoIterator<Item = FileKind>) {
        let kernels = self.kernels();
        for kind in kinds {
            let ino = file_ino(interaction.ino_base, kind);
            for kernel in &kernels {
                kernel.forget_attributes(ino);
            }
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
