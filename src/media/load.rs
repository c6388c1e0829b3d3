//! Taking up what is on disk for a recording. Knows no requests and makes no room.
//!
//! Lock order: see `recording`.

use std::sync::atomic::Ordering;

use super::blocks::{Block, Blocks};
use super::cache::{Cache, lock};
use super::error::chain;
use super::key::{KeyHash, Version};
use super::recording::Recording;
use super::space::{FileId, block_charge, file_charge, note_charge};
use super::store::Files;

impl Cache {
    /// What the disk holds of this version. With the registry locked.
    pub(super) fn load(&self, hash: KeyHash, version: &Version) -> Recording {
        let id = FileId(self.next_id.fetch_add(1, Ordering::Relaxed));
        lock(&self.space).note_file(hash, id);
        let empty = || Recording::new(id, hash, version.clone(), Blocks::new(version.size), 0);
        let Some(cold_bytes) = lock(&self.space).take_cold(&hash) else { return empty() };
        let loaded = match self.store.load(&hash) {
            Ok((_, header, _)) if self.is_too_old(&hash, header.created_s) => {
                tracing::info!(recording = ?hash, "recording {hash:?} is dropped from the cache: it is older than cache.max_age");
                None
            }
            Ok((files, header, entries)) if header.version.agrees_with(version) => Some((files, entries)),
            Ok(_) => {
                tracing::info!(recording = ?hash, "recording {hash:?} is dropped from the cache: the media host has another version");
                None
            }
            Err(error) if error.may_pass() => {
                let error = chain(&error);
                tracing::warn!(recording = ?hash, error, "a file of the cache cannot be opened ({error}): reading uncached; recording {hash:?}");
                let recording = Recording::new(id, hash, version.clone(), Blocks::new(version.size), cold_bytes);
                recording.lock().out_of_reach = true;
                return recording;
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(recording = ?hash, error, "a damaged file of the cache is dropped ({error}): recording {hash:?} will be fetched again");
                None
            }
        };
        let Some((files, entries)) = loaded else {
            self.unlink(&hash);
            lock(&self.space).release(cold_bytes);
            return empty();
        };
        let blocks = Blocks::from_index(version.size, &entries);
        let (form, note_len) = (self.store.form(), files.note_len());
        let charged = file_charge(version.size, form) + note_charge(version.size, form, note_len);
        free_unvouched(&files, &blocks);
        if let Err(error) = files.note_used(self.clock.now().as_second()) {
            tracing::debug!(recording = ?hash, %error, "cannot note the use of a cache file");
        }
        let mut space = lock(&self.space);
        let in_blocks: u64 = blocks.present().map(|block| block_charge(version.size, block)).sum();
        space.recount(cold_bytes, charged + in_blocks);
        for block in blocks.present() {
            space.add_old_block(id, block);
        }
        drop(space);
        let recording = Recording::new(id, hash, version.clone(), blocks, charged);
        {
            let mut state = recording.lock();
            state.noted = note_len > 0;
            state.stamp = files.stamp();
        }
        recording
    }
}

/// Frees blocks that are on disk without an entry: a process was killed between the two writes, or while evicting. What the file
/// occupies does not tell whether there are any: after a power cut, others may be missing in their place.
fn free_unvouched(files: &Files, blocks: &Blocks) {
    if blocks.is_complete() || files.data_bytes().is_ok_and(|bytes| bytes == 0) {
        return;
    }
    let is_present = |block: u32| matches!(blocks.get(block), Block::Present { .. });
    let mut block = 0;
    while block < blocks.count() {
        let start = block;
        while block < blocks.count() && !is_present(block) {
            block += 1;
        }
        if block > start && files.punch(start..block).is_err() {
            return;
        }
        block += 1;
    }
}
