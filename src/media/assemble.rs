//! Cuts the pieces of a body, of whatever length, into blocks. Pure.

use bytes::{Bytes, BytesMut};

use super::geometry::{block_at, block_len, block_start};

/// Cuts a stream of pieces into blocks.
pub struct Assembler {
    size: u64,
    /// The next byte that is wanted.
    pub position: u64,
    /// The bytes of the block at `position` that are here.
    partial: BytesMut,
}

impl Assembler {
    /// A stream whose first wanted byte is that of the block `first`.
    pub fn new(size: u64, first: u32) -> Assembler {
        Assembler { size, position: block_start(first), partial: BytesMut::new() }
    }

    /// Begins anew at another block.
    pub fn restart(&mut self, first: u32) {
        *self = Assembler::new(self.size, first);
    }

    /// The block that the next byte belongs to.
    pub fn block(&self) -> u32 {
        block_at(self.position)
    }

    /// Takes from `piece`; a block when one is complete. Without copying where a piece holds all of a block.
    pub fn push(&mut self, piece: &mut Bytes) -> Option<(u32, Bytes)> {
        let block = block_at(self.position);
        let len = block_len(self.size, block) as usize;
        let wanted = len - self.partial.len();
        if piece.is_empty() || wanted == 0 {
            return None;
        }
        let taken = piece.split_to(wanted.min(piece.len()));
        self.position += taken.len() as u64;
        if taken.len() == len {
            return Some((block, taken));
        }
        self.partial.reserve(wanted);
        self.partial.extend_from_slice(&taken);
        (self.partial.len() == len).then(|| (block, self.partial.split().freeze()))
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
        fn pieces_become_blocks(cuts in prop::collection::vec(1usize..200_000, 1..20), tail in 1u64..BLOCK_SIZE) {
            let size = 3 * BLOCK_SIZE + tail;
            let truth: Vec<u8> = (0..size).map(|byte| (byte * 7 / 3) as u8).collect();
            let mut stream = Bytes::from(truth[BLOCK_SIZE as usize..].to_vec());
            let mut assembler = Assembler::new(size, 1);
            let mut next = 1;
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let mut piece = stream.split_to(cut.min(stream.len()));
                while let Some((block, bytes)) = assembler.push(&mut piece) {
                    prop_assert_eq!(block, next);
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
