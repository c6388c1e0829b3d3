//! The state machine of one recording's blocks. Pure: it moves no byte and knows neither files nor requests.
//!
//! ```text
//!           claim               complete             verify
//! Absent ─────────→ InFlight ─────────→ Present(verified) ←── Present(unverified, found on disk)
//!    ↑                 │ release            │ evict_begin (also for a block that failed its checksum)
//!    ├─────────────────┘                    ↓
//!    └───────────────────────────────── Evicting
//!                     evict_end
//! ```
//!
//! `Evicting` stands between present and absent so that nobody fetches a block anew while its old bytes are being punched
//! out: the punch would take the new bytes with it.

use super::geometry::block_count;

/// The state of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    Absent,
    /// Exactly one fetch brings it.
    InFlight,
    /// On disk. Not `verified`: written by an earlier process, its checksum not compared yet.
    Present {
        verified: bool,
    },
    /// Being removed from the disk.
    Evicting,
}

/// The blocks of one recording. Transitions that do not apply return false and change nothing.
#[derive(Debug)]
pub struct Blocks {
    states: Vec<Block>,
    /// CRC32C of each present block.
    crcs: Vec<u32>,
    present: u32,
    verified: u32,
    in_flight: u32,
    evicting: u32,
}

impl Blocks {
    /// A recording of `size` bytes of which nothing is here.
    #[must_use]
    pub fn new(size: u64) -> Blocks {
        let count = block_count(size) as usize;
        Blocks {
            states: vec![Block::Absent; count],
            crcs: vec![0; count],
            present: 0,
            verified: 0,
            in_flight: 0,
            evicting: 0,
        }
    }

    /// What an index file says: the checksum of each block that is present.
    #[must_use]
    pub fn from_index(size: u64, entries: &[Option<u32>]) -> Blocks {
        let mut blocks = Blocks::new(size);
        for (index, crc) in entries.iter().enumerate().take(blocks.states.len()) {
            if let Some(crc) = crc {
                blocks.states[index] = Block::Present { verified: false };
                blocks.crcs[index] = *crc;
                blocks.present += 1;
            }
        }
        blocks
    }

    /// Number of blocks.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.states.len() as u32
    }

    /// Nothing on disk, nothing on its way, nothing being removed.
    #[must_use]
    pub fn is_idle_and_empty(&self) -> bool {
        self.present == 0 && self.in_flight == 0 && self.evicting == 0
    }

    /// Something is on its way.
    #[must_use]
    pub fn has_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// Nothing is on its way and nothing is being removed.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.in_flight == 0 && self.evicting == 0
    }

    /// Every block is present.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.present == self.count()
    }

    /// Every block is present and was verified in this process.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.is_complete() && self.verified == self.present
    }

    /// State of a block; `Absent` past the end.
    #[must_use]
    pub fn get(&self, block: u32) -> Block {
        self.states.get(block as usize).copied().unwrap_or(Block::Absent)
    }

    /// The present blocks.
    pub fn present(&self) -> impl Iterator<Item = u32> {
        (0..self.count()).filter(|block| matches!(self.get(*block), Block::Present { .. }))
    }

    /// Checksum of a present block.
    #[must_use]
    pub fn crc(&self, block: u32) -> u32 {
        self.crcs.get(block as usize).copied().unwrap_or(0)
    }

    /// Absent → in flight. The caller must bring the block or release it.
    pub fn claim(&mut self, block: u32) -> bool {
        if self.get(block) != Block::Absent || block >= self.count() {
            return false;
        }
        self.states[block as usize] = Block::InFlight;
        self.in_flight += 1;
        true
    }

    /// In flight → absent: the fetch gave it up.
    pub fn release(&mut self, block: u32) -> bool {
        if self.get(block) != Block::InFlight {
            return false;
        }
        self.states[block as usize] = Block::Absent;
        self.in_flight -= 1;
        true
    }

    /// In flight → present: its bytes, whose checksum is `crc`, are on disk and in the index.
    pub fn complete(&mut self, block: u32, crc: u32) -> bool {
        if self.get(block) != Block::InFlight {
            return false;
        }
        self.states[block as usize] = Block::Present { verified: true };
        self.crcs[block as usize] = crc;
        self.in_flight -= 1;
        self.present += 1;
        self.verified += 1;
        true
    }

    /// A present block is compared with its checksum again before anybody is shown it.
    pub fn doubt(&mut self, block: u32) -> bool {
        if self.get(block) != (Block::Present { verified: true }) {
            return false;
        }
        self.states[block as usize] = Block::Present { verified: false };
        self.verified -= 1;
        true
    }

    /// As [`Blocks::doubt`], every block. True: there was one.
    pub fn doubt_all(&mut self) -> bool {
        let before = self.verified;
        for block in 0..self.count() {
            self.doubt(block);
        }
        self.verified < before
    }

    /// The checksum of a present block was compared and holds.
    pub fn verify(&mut self, block: u32) -> bool {
        if self.get(block) != (Block::Present { verified: false }) {
            return false;
        }
        self.states[block as usize] = Block::Present { verified: true };
        self.verified += 1;
        true
    }

    /// Present → evicting.
    pub fn evict_begin(&mut self, block: u32) -> bool {
        let Block::Present { verified } = self.get(block) else { return false };
        self.states[block as usize] = Block::Evicting;
        self.present -= 1;
        self.verified -= u32::from(verified);
        self.evicting += 1;
        true
    }

    /// Evicting → absent: its bytes are gone from the disk.
    pub fn evict_end(&mut self, block: u32) -> bool {
        if self.get(block) != Block::Evicting {
            return false;
        }
        self.states[block as usize] = Block::Absent;
        self.evicting -= 1;
        true
    }

    /// All present blocks become absent at once, since their file is gone. Blocks in flight or being evicted stay so.
    pub fn forget_present(&mut self) {
        for state in &mut self.states {
            if matches!(state, Block::Present { .. }) {
                *state = Block::Absent;
            }
        }
        self.present = 0;
        self.verified = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::geometry::BLOCK_SIZE;
    use super::*;

    proptest! {
        /// Whatever is tried in whatever order: the counters say what the states say, and no block present is claimed.
        #[test]
        fn counters_follow_states(steps in prop::collection::vec((0u8..8, 0u32..6), 0..200)) {
            let mut blocks = Blocks::from_index(5 * BLOCK_SIZE, &[Some(1), None, Some(3), None, None]);
            for (action, block) in steps {
                let before = blocks.get(block);
                let moved = match action {
                    0 | 1 => blocks.claim(block),
                    2 => blocks.release(block),
                    3 => blocks.complete(block, block),
                    4 => blocks.verify(block),
                    5 => blocks.evict_begin(block),
                    6 => blocks.evict_end(block),
                    _ => { blocks.forget_present(); false }
                };
                prop_assert!(!(moved && action <= 1 && before != Block::Absent));
                prop_assert!(!(moved && block >= 5));
                let count = |wanted: fn(&Block) -> bool| (0..5).filter(|index| wanted(&blocks.get(*index))).count() as u32;
                prop_assert_eq!(blocks.present, count(|state| matches!(state, Block::Present { .. })));
                prop_assert_eq!(blocks.verified, count(|state| *state == Block::Present { verified: true }));
                prop_assert_eq!(blocks.in_flight, count(|state| *state == Block::InFlight));
                prop_assert_eq!(blocks.evicting, count(|state| *state == Block::Evicting));
            }
        }
    }

    #[test]
    fn a_block_being_evicted_cannot_be_claimed() {
        let mut blocks = Blocks::from_index(BLOCK_SIZE, &[Some(7)]);
        assert!(blocks.is_complete() && !blocks.is_verified());
        assert!(blocks.verify(0) && blocks.is_verified());
        assert!(blocks.evict_begin(0) && !blocks.claim(0));
        assert!(blocks.evict_end(0) && blocks.claim(0));
        assert!(blocks.complete(0, 9) && !blocks.complete(0, 9));
        assert_eq!(blocks.crc(0), 9);
    }
}
