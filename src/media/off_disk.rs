//! Keeping recordings off the disk that may not be there.

use std::sync::Arc;

use super::Media;
use super::engine::Engine;
use super::key::RecordingKey;
use super::lifeline::Lifeline;

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
