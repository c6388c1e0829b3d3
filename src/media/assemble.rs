//! Cuts the pieces of a body, of whatever length, into blocks. Pure.

use bytes::{Bytes, BytesMut};

use super::geometry::{block_at, block_len, block_start};

/// Pieces from this length (bytes) on are kept as they came; shorter ones are joined, or a host that sends crumbs would cost
/// an allocation and a slice of each write per crumb.
const KEPT_FROM: usize = 8 * 1024;

/// The bytes of one block, in the pieces in which they came.
pub type Pieces = Vec<Bytes>;

/// Cuts a stream of pieces into blocks.
pub struct Assembler {
    size: u64,
    /// The next byte that is wanted.
    pub position: u64,
    /// The bytes of the block at `position` that are here, but for the crumbs behind them.
    pieces: Pieces,
    crumbs: BytesMut,
    /// Bytes in both.
    held: usize,
}

impl Assembler {
    /// A stream whose first wanted byte is that of the block `first`.
    pub fn new(size: u64, first: u32) -> Assembler {
        Assembler { size, position: block_start(first), pieces: Pieces::new(), crumbs: BytesMut::new(), held: 0 }
    }

    /// Begins anew at another block.
    pub fn restart(&mut self, first: u32) {
        *self = Assembler::new(self.size, first);
    }

    /// The block that the next byte belongs to.
    pub fn block(&self) -> u32 {
        block_at(self.position)
    }

    /// Takes from `piece`; a block when one is complete. Copies crumbs only.
    pub fn push(&mut self, piece: &mut Bytes) -> Option<(u32, Pieces)> {
        let block = block_at(self.position);
        let len = block_len(self.size, block) as usize;
        let wanted = len - self.held;
        if piece.is_empty() || wanted == 0 {
            return None;
        }
        let taken = piece.split_to(wanted.min(piece.len()));
        self.position += taken.len() as u64;
        self.held += taken.len();
        if taken.len() >= KEPT_FROM.min(len) {
            self.sweep();
            self.pieces.push(taken);
        } else {
            self.crumbs.extend_from_slice(&taken);
        }
        if self.held < len {
            return None;
        }
        self.sweep();
        self.held = 0;
        Some((block, std::mem::take(&mut self.pieces)))
    }

    fn sweep(&mut self) {
        if !self.crumbs.is_empty() {
            self.pieces.push(self.crumbs.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::geometry::BLOCK_SIZE;
    use super::*;

    proptest! {
        /// However a stream is cut, the blocks are the same.
        #[test]
        fn pieces_become_blocks(cuts in prop::collection::vec(prop_oneof![1usize..200_000, 1usize..3000], 1..40), tail in 1u64..BLOCK_SIZE) {
            let size = 3 * BLOCK_SIZE + tail;
            let truth: Vec<u8> = (0..size).map(|byte| (byte * 7 / 3) as u8).collect();
            let mut stream = Bytes::from(truth[BLOCK_SIZE as usize..].to_vec());
            let mut assembler = Assembler::new(size, 1);
            let mut next = 1;
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let mut piece = stream.split_to(cut.min(stream.len()));
                while let Some((block, pieces)) = assembler.push(&mut piece) {
                    prop_assert_eq!(block, next);
                    prop_assert!(pieces.len() as u64 <= BLOCK_SIZE / KEPT_FROM as u64 * 2 + 1);
                    let bytes = pieces.concat();
                    let start = block_start(block) as usize;
                    prop_assert_eq!(&bytes[..], &truth[start..start + block_len(size, block) as usize]);
                    next += 1;
                }
                prop_assert!(piece.is_empty());
            }
            prop_assert_eq!(next, 4);
            prop_assert_eq!(assembler.position, size);
        }
    }
}
