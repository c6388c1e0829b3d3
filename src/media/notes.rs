//! A few bytes that the owner of a recording wants to find beside it when everything else is lost. They come and go with the recording's
//! files, are encrypted where those are, and count as what the cache occupies. What they say is the owner's matter.
//!
//! Lock order: see `recording`.

use std::sync::Arc;

use super::cache::{Cache, lock};
use super::index::NOTE_LEN_MAX;
use super::key::{KeyHash, Version};
use super::recording::Recording;
use super::space::note_charge;
use super::store::note_len;

impl Cache {
    /// Writes a note beside the bytes of a recording, if it has files. One that does not fit, or that the disk does not take, is left out: it
    /// is of use only when something worse has happened.
    pub fn keep_note(&self, recording: &Arc<Recording>, note: &[u8]) {
        let form = self.store.form();
        let charge = note_charge(recording.version.size, form, note_len(note, form));
        if note.is_empty() || note.len() > NOTE_LEN_MAX || !self.make_room(charge) {
            recording.lock().noted = true;
            return;
        }
        // Nobody unlinks the files meanwhile.
        let _disk = lock(&recording.disk);
        let written = self.reopen(recording).map(|files| files.write_note(note));
        let mut state = recording.lock();
        let mut space = lock(&self.space);
        state.noted = written.is_ok();
        if let Ok(Ok(())) = written {
            space.settle(charge);
            state.charged += charge;
        } else {
            space.cancel(charge);
        }
    }

    /// The note of a recording of which something is here, and which version that is. Nothing of a recording that may not be shown any more.
    pub fn note(&self, hash: &KeyHash) -> Option<(Version, Vec<u8>)> {
        // Under the registry's lock, so that nobody evicts a file that is not open meanwhile.
        let registry = lock(&self.registry);
        let is_here = match registry.by_hash.get(hash) {
            Some(recording) => recording.lock().charged > 0,
            None => lock(&self.space).is_cold(hash),
        };
        if !is_here {
            return None;
        }
        let (header, note) = self.store.note(hash).ok()?;
        note.filter(|_| !self.is_too_old(hash, header.created_s)).map(|note| (header.version, note))
    }

    /// The same for threads that must not wait: also where nobody can tell at the moment.
    pub fn may_have_files(&self, hash: &KeyHash) -> bool {
        let Ok(registry) = self.registry.try_lock() else { return true };
        registry.by_hash.contains_key(hash) || lock(&self.space).is_cold(hash)
    }

    /// Whether something of a recording is here. Looks at no file.
    pub fn has_files(&self, hash: &KeyHash) -> bool {
        lock(&self.registry).by_hash.contains_key(hash) || lock(&self.space).is_cold(hash)
    }
}
