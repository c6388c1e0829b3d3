//! Recordings of which no byte may be on disk: the same cache over files in memory, beside the one on disk. Whose they are is the owner's matter.

use std::sync::Arc;

use super::engine::Engine;
use super::error::MediaError;
use super::key::RecordingKey;
use super::settings::MediaSettings;
use super::{Lifeline, Media};

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

impl Media {
    /// Whether a recording may not be on disk.
    pub fn is_never(&self, key: &RecordingKey) -> bool {
        self.never.as_ref().is_some_and(|never| (never.is_never)(key))
    }

    /// What a recording is read through. One that may not be on disk any more, and is, is removed from there.
    pub(super) fn lifeline_of(&self, key: &RecordingKey) -> &Arc<Lifeline> {
        match &self.never {
            Some(never) if (never.is_never)(key) => {
                self.remove_from_disk(key);
                &never.lifeline
            }
            _ => &self.lifeline,
        }
    }

    pub(super) fn engine_of(&self, key: &RecordingKey) -> &Arc<Engine> {
        &self.lifeline_of(key).engine
    }

    /// Whatever of a recording may be kept somewhere.
    pub(super) fn everywhere(&self) -> impl Iterator<Item = &Arc<Engine>> {
        [Some(&self.lifeline), self.never.as_ref().map(|never| &never.lifeline)]
            .into_iter()
            .flatten()
            .map(|it| &it.engine)
    }

    fn remove_from_disk(&self, key: &RecordingKey) {
        let engine = Arc::clone(&self.lifeline.engine);
        let name = engine.cache.name(key);
        if !engine.cache.has_files(&name) {
            return;
        }
        tracing::info!(recording = ?name, "removed from the cache: cache.never names its skill");
        // Not in a thread that somebody waits for.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || engine.cache.erase(&name))),
            Err(_) => engine.cache.erase(&name),
        }
    }

    /// Removes from the disk what may not be there any more, of these recordings. Takes long where there are many.
    pub fn keep_off_disk(&self, keys: impl Iterator<Item = RecordingKey>) {
        let Some(never) = &self.never else { return };
        let cache = &self.lifeline.engine.cache;
        for key in keys {
            if cache.has_files(&cache.name(&key)) && (never.is_never)(&key) {
                self.remove_from_disk(&key);
            }
        }
    }
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
