//! An answer of the media host: whole blocks, one at a time.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::geometry::{BLOCK_SIZE, block_at};
use super::host::Host;

pub struct Answer {
    host: Arc<Host>,
    left: Range<u64>,
    /// The host notes which blocks are on their way.
    is_noted: bool,
}

impl Answer {
    /// Sends `bytes`, and tells the host of each block on its way.
    pub fn new(host: &Arc<Host>, bytes: Range<u64>) -> Answer {
        host.begin(block_at(bytes.start)..bytes.end.div_ceil(BLOCK_SIZE) as u32);
        Answer { host: Arc::clone(host), left: bytes, is_noted: true }
    }

    /// Sends everything, of which others may be bringing a part.
    pub fn whole(host: &Arc<Host>) -> Answer {
        Answer { host: Arc::clone(host), left: 0..host.truth.len() as u64, is_noted: false }
    }

    pub async fn piece(&mut self) -> Result<Option<Bytes>, String> {
        shuttle::future::yield_now().await;
        if self.left.is_empty() {
            return Ok(None);
        }
        let end = self.left.end.min((self.left.start / BLOCK_SIZE + 1) * BLOCK_SIZE);
        let piece = self.host.truth.slice(self.left.start as usize..end as usize);
        if self.is_noted {
            self.host.end(block_at(self.left.start));
        }
        self.left.start = end;
        Ok(Some(piece))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_noted {
            return;
        }
        for block in block_at(self.left.start)..self.left.end.div_ceil(BLOCK_SIZE) as u32 {
            self.host.end(block);
        }
    }
}
