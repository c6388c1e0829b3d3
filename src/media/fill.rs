//! How blocks get into the cache: room first, then bytes, then the entry that vouches for them, then the block table.
//!
//! Runs on blocking threads, one at a time per recording.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::cache::{Cache, lock};
use super::error::chain;
use super::recording::Recording;
use super::space::{block_charge, file_charge};
use super::store::Files;

/// A disk that takes blocks and does not, in turns, is said once per this many seconds.
const WARNING_EVERY_S: i64 = 60;

impl Cache {
    /// Stores adjacent blocks that a fetch claimed, each given as its pieces, and publishes them. A single block that the disk does
    /// not take is kept in memory for a while. False: nothing was done; give them one by one, for many at once may not fit
    /// where one does, and one that cannot be written must not take the others with it.
    #[must_use]
    pub fn store_run(&self, recording: &Arc<Recording>, first: u32, run: &[&[Bytes]]) -> bool {
        let written = self.write(recording, first, run);
        if written.is_err() && give_back_if_stale(recording, first, run.len()) {
            return true;
        }
        match (written, run) {
            (Ok(()), _) => {
                self.spill.age();
                if lock(&self.trouble).take().is_some() {
                    tracing::info!("the cache can be written to again");
                }
            }
            (Err(error), [pieces]) => {
                self.warn_disk(&error);
                self.spill.put(recording.id, first, pieces.concat().into());
                recording.lock().release(first);
            }
            (Err(_), _) => return false,
        }
        true
    }

    /// All of them, or none.
    fn write(&self, recording: &Arc<Recording>, first: u32, run: &[&[Bytes]]) -> io::Result<()> {
        let files = self.files_for_writing(recording)?;
        let blocks = first..first + run.len() as u32;
        let charge = blocks.clone().map(|block| block_charge(recording.version.size, block)).sum();
        if !self.make_room(charge) {
            return Err(no_room());
        }
        let crcs: Vec<u32> = run.iter().map(|pieces| checksum(pieces)).collect();
        let written = files.write_run(first, run, &crcs);
        let stamp = files.stamp();
        let mut state = recording.lock();
        // The files may have been unlinked meanwhile, and the bytes with them.
        let current = state.files.as_ref().is_some_and(|current| Arc::ptr_eq(current, &files));
        if written.is_ok() && current {
            state.stamp = stamp;
            let mut space = lock(&self.space);
            space.settle(charge);
            for (block, crc) in blocks.zip(crcs) {
                let completed = state.complete(block, crc);
                debug_assert!(completed, "a claimed block stays in flight until it is stored or released");
                space.add_block(recording.id, block);
            }
            return Ok(());
        }
        drop(state);
        // They may be on disk in part; without entries and without space they are as good as absent.
        for block in blocks {
            let _ = files.remove_block(block);
        }
        lock(&self.space).cancel(charge);
        written.and(Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed while blocks were written")))
    }

    fn files_for_writing(&self, recording: &Arc<Recording>) -> io::Result<Arc<Files>> {
        match self.files(recording) {
            Ok(files) => return Ok(files),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if recording.lock().stale.is_some() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Nothing there, or no longer: somebody may have cleared the directory.
        self.discard(recording);
        let charge = file_charge(recording.version.size, self.store.form());
        if !self.make_room(charge) {
            return Err(no_room());
        }
        let _disk = lock(&recording.disk);
        let created = match self.reopen(recording) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && recording.lock().stale.is_none() => {
                let created_s = self.clock.now().as_second();
                let created = self.store.create(recording.hash, &recording.version, created_s);
                created.map(|files| (Arc::new(files), charge))
            }
            other => other.map(|files| (files, 0)),
        };
        let mut state = recording.lock();
        let mut space = lock(&self.space);
        match created {
            Ok((files, 0)) => {
                space.cancel(charge);
                Ok(files)
            }
            Ok((files, _)) => {
                space.settle(charge);
                state.charged = charge;
                state.files = Some(Arc::clone(&files));
                Ok(files)
            }
            Err(error) => {
                space.cancel(charge);
                Err(error)
            }
        }
    }

    fn warn_disk(&self, error: &io::Error) {
        if lock(&self.trouble).replace(error.to_string()).is_some() {
            return;
        }
        let now_s = self.clock.now().as_second();
        let before = self.warned_at_s.load(Ordering::Relaxed);
        let due = now_s.saturating_sub(before) >= WARNING_EVERY_S;
        if due && self.warned_at_s.compare_exchange(before, now_s, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(%error, "the cache cannot be written to ({}): reading uncached until it can; see cache.dir and cache.min_free", chain(error));
        }
    }
}

/// A recording that was erased or replaced while it was fetched: nobody wants the blocks, and the disk is not to blame.
fn give_back_if_stale(recording: &Recording, first: u32, count: usize) -> bool {
    let mut state = recording.lock();
    if state.stale.is_none() {
        return false;
    }
    for block in (first..).take(count) {
        state.release(block);
    }
    true
}

fn no_room() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no room in the cache")
}

fn checksum(pieces: &[Bytes]) -> u32 {
    pieces.iter().fold(0, |crc, piece| crc32c::crc32c_append(crc, piece))
}
