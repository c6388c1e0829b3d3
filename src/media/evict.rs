//! Making room in the cache: which block goes, and what that takes so that nobody reads the hole. Knows no requests.
//!
//! Lock order: see `recording`.

use std::io;
use std::sync::Arc;

use super::cache::{Cache, Registry, lock};
use super::error::chain;
use super::recording::{Recording, State};
use super::space::{Space, Victim, block_charge};

/// Victims that one reservation may cost, at most; a cold file is one, so this suffices unless the disk does not obey.
const VICTIMS_MAX: u32 = 4096;

impl Cache {
    /// Reserves bytes, evicting what it takes. False: there is no room to be had.
    pub(super) fn make_room(&self, bytes: u64) -> bool {
        // Once and not after each victim: see `Space::release`.
        let must_ask = lock(&self.space).must_ask();
        if must_ask {
            let free = self.store.free_bytes().ok();
            lock(&self.space).learn_free(free);
        }
        for _ in 0..VICTIMS_MAX {
            {
                let mut space = lock(&self.space);
                if space.reserve(bytes) {
                    return true;
                }
                if bytes > space.limit() {
                    return false;
                }
            }
            if !self.evict_one() {
                return false;
            }
        }
        false
    }

    fn evict_one(&self) -> bool {
        let registry = lock(&self.registry);
        let victim = lock(&self.space).pop_victim();
        match victim {
            None => false,
            Some(Victim::Cold(hash, bytes)) => {
                self.unlink(&hash);
                lock(&self.space).release(bytes);
                true
            }
            Some(Victim::Block(file, block)) => {
                let recording = registry.by_id.get(&file).cloned();
                drop(registry);
                if let Some(recording) = recording {
                    self.remove_block(&recording, block);
                }
                true
            }
        }
    }

    /// Removes a block that the caller took out of the LRU, and releases its bytes. A recording that nobody uses is forgotten with its last
    /// block. Call with no lock of the cache held.
    fn remove_block(&self, recording: &Arc<Recording>, block: u32) {
        let charge = block_charge(recording.version.size, block);
        let (begun, handed_out) = {
            let mut state = recording.lock();
            let begun = state.blocks.evict_begin(block);
            if begun {
                recording.note_eviction(&state);
            }
            (begun, state.passthrough > 0)
        };
        let mut obeyed = true;
        // A hole would read as zeros to whoever has the file by passthrough.
        if begun && !handed_out {
            // Opened only now: as long as the block is being evicted, nobody writes it into whatever files these are.
            obeyed = self.files(recording).and_then(|files| files.remove_block(block)).is_ok();
        }
        let empty = {
            let mut state = recording.lock();
            if begun {
                state.blocks.evict_end(block);
                state.stamp = None;
            }
            state.blocks.is_idle_and_empty()
        };
        recording.settled.notify_waiters();
        if empty || handed_out || !obeyed {
            self.discard(recording);
            // Nobody may be left to close it.
            self.rest(recording);
        }
        let mut state = recording.lock();
        // Looked at again: the last passthrough open may have ended meanwhile, and taken what was orphaned by then.
        if state.passthrough > 0 {
            state.orphaned += charge;
        } else {
            lock(&self.space).release(charge);
        }
    }

    /// Unlinks the files of a recording, if it has any; its blocks become absent.
    pub(super) fn discard(&self, recording: &Recording) {
        let _disk = lock(&recording.disk);
        let freed = {
            let mut state = recording.lock();
            if state.charged == 0 {
                return;
            }
            let mut freed = forget_blocks(recording, &mut state, &mut lock(&self.space));
            state.noted = false;
            state.out_of_reach = false;
            if state.passthrough > 0 {
                state.orphaned += std::mem::take(&mut freed);
            }
            freed
        };
        self.unlink(&recording.hash);
        lock(&self.space).release(freed);
    }

    /// Forgets what is known of a recording's blocks; its files stay, as one found at start. False: it is in use.
    pub(super) fn cool(&self, registry: &mut Registry, recording: &Arc<Recording>) -> bool {
        let _disk = lock(&recording.disk);
        let mut state = recording.lock();
        let is_used = state.is_used() || state.passthrough > 0 || state.orphaned > 0;
        if is_used || state.charged == 0 || !state.blocks.is_settled() {
            return false;
        }
        let mut space = lock(&self.space);
        if is_losing_blocks(recording, &state, &space) {
            return false;
        }
        let bytes = forget_blocks(recording, &mut state, &mut space);
        space.cool(recording.hash, bytes);
        space.forget_file(recording.id);
        drop(space);
        registry.by_id.remove(&recording.id);
        registry.by_hash.remove(&recording.hash);
        true
    }

    /// The files of a recording cannot be opened. If they are gone, so are its blocks. Else they are left alone: what is missing is a
    /// descriptor or a moment, and the blocks are found again when the recording is opened anew.
    pub(super) fn lose(&self, recording: &Recording, error: &io::Error) {
        if error.kind() == io::ErrorKind::NotFound {
            tracing::warn!(recording = ?recording.hash, "another program removed a file of the cache: recording {:?} will be fetched again", recording.hash);
            self.discard(recording);
            return;
        }
        let _disk = lock(&recording.disk);
        let mut state = recording.lock();
        let mut space = lock(&self.space);
        // Somebody may have opened them since, or be about to remove a block: whoever asks looks again.
        if state.files.is_none() && !state.out_of_reach && !is_losing_blocks(recording, &state, &space) {
            tracing::warn!(recording = ?recording.hash, %error, "a file of the cache cannot be opened ({}): reading uncached; recording {:?}", chain(error), recording.hash);
            state.charged = forget_blocks(recording, &mut state, &mut space);
            state.out_of_reach = true;
        }
    }

    /// A block failed its checksum or cannot be read: it goes, and counts as missing.
    pub fn drop_damaged(&self, recording: &Arc<Recording>, block: u32) {
        tracing::warn!(recording = ?recording.hash, block, "block {block} of recording {:?} is damaged in the cache and will be fetched again: check the disk", recording.hash);
        if lock(&self.space).take_block(recording.id, block) {
            self.remove_block(recording, block);
        }
    }
}

/// Whether somebody took a present block out of the order and is about to remove it.
fn is_losing_blocks(recording: &Recording, state: &State, space: &Space) -> bool {
    state.blocks.present().any(|block| !space.has_block(recording.id, block))
}

/// Makes present blocks absent and closes the files. Gives what they and the files were charged.
fn forget_blocks(recording: &Recording, state: &mut State, space: &mut Space) -> u64 {
    let mut bytes = std::mem::take(&mut state.charged);
    for block in state.blocks.present() {
        // One that is out of the order is released by whoever took it.
        if space.take_block(recording.id, block) {
            bytes += block_charge(recording.version.size, block);
        }
    }
    state.blocks.forget_present();
    recording.note_eviction(state);
    state.files = None;
    bytes
}
