//! The SHA-256 of a recording that is here as a whole. Knows no requests and asks nobody for missing bytes. It may take long and belongs on a
//! blocking thread.

use std::sync::Arc;

use ring::digest;

use super::cache::Cache;
use super::geometry::{block_len, block_start};
use super::key::{KeyHash, Version};
use super::recording::{Copied, Recording};

/// A block that moves away under the reading is looked at again so often.
const LOOKS_MAX: u32 = 3;

impl Cache {
    /// What all bytes of this version hash to, each block compared with its checksum; none if not all of them are here, and readable, to the end.
    pub fn sha256(&self, hash: &KeyHash, version: &Version) -> Option<[u8; 32]> {
        if !self.is_complete(hash, version) {
            return None;
        }
        let recording = self.attach(*hash, version);
        let hashed = self.hashed(&recording);
        self.detach(&recording);
        hashed
    }

    fn hashed(&self, recording: &Arc<Recording>) -> Option<[u8; 32]> {
        let count = recording.lock().blocks.count();
        let mut context = digest::Context::new(&digest::SHA256);
        let mut bytes = Vec::new();
        for block in 0..count {
            let start = block_start(block);
            let span = start..start + block_len(recording.version.size, block);
            bytes.clear();
            self.copy_whole(recording, block, &span, &mut bytes)?;
            context.update(&bytes);
        }
        context.finish().as_ref().try_into().ok()
    }

    fn is_as_written(&self, recording: &Recording, block: u32, bytes: &[u8]) -> bool {
        // An encrypted block was compared with its tag.
        self.is_sealed() || recording.lock().blocks.crc(block) == crc32c::crc32c(bytes)
    }

    fn copy_whole(
        &self,
        recording: &Arc<Recording>,
        block: u32,
        span: &std::ops::Range<u64>,
        bytes: &mut Vec<u8>,
    ) -> Option<()> {
        for _ in 0..LOOKS_MAX {
            match self.copy(recording, span, bytes) {
                // Compared also where it was before: damage that came since must not become evidence. The block stays as it is known, or
                // the kernel could not be given the file meanwhile.
                Copied::Done if self.is_as_written(recording, block, bytes) => return Some(()),
                Copied::Moved | Copied::NeedsDisk => {}
                Copied::Done | Copied::Damaged(_) => {
                    self.drop_damaged(recording, block);
                    return None;
                }
            }
        }
        None
    }
}
