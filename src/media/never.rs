//! Recordings of which no byte may be on disk: the same cache over files in memory, beside the one on disk. Whose they are is the owner's matter.

use std::sync::Arc;

use super::engine::Engine;
use super::error::MediaError;
use super::key::RecordingKey;
use super::lifeline::Lifeline;
use super::settings::MediaSettings;

/// The part of `limits.memory` that such recordings may take.
const MEMORY_SHARE: u64 = 4;

/// Tells which recordings may not be on disk. Asked at every open and before every fetch.
pub type IsNever = Arc<dyn Fn(&RecordingKey) -> bool + Send + Sync>;

/// The engine for them.
pub struct Never {
    pub(super) is_never: IsNever,
    pub(super) lifeline: Arc<Lifeline>,
}

/// Splits the memory between fetches and what is kept of such recordings.
pub(super) fn split(settings: MediaSettings) -> (MediaSettings, MediaSettings) {
    let kept = settings.memory / MEMORY_SHARE;
    let on_disk = MediaSettings { memory: settings.memory - kept, ..settings };
    // No room need stay free for others, and nobody waits for a disk.
    let in_memory = MediaSettings { cache_size: kept, min_free: 0, ..on_disk.clone() };
    (on_disk, in_memory)
}

impl std::fmt::Debug for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Never")
    }
}

impl Never {
    /// An engine in memory that shares the turns at media hosts with the one on disk.
    pub(super) fn beside(engine: &Engine, settings: MediaSettings, is_never: IsNever) -> Result<Never, MediaError> {
        let engine = Arc::new(engine.in_memory(settings)?);
        engine.watch_links(super::rescue::watch);
        Ok(Never { is_never, lifeline: Arc::new(Lifeline { engine }) })
    }
}
