//! What to fetch next: a pure function of what a reader did, what is here or on its way, and what may be spent.
//!
//! Readahead is demand-driven. A reader that goes forward and finds bytes missing earns a window by what it has read in this
//! run, in two steps: at first [`WINDOW_PER_READ_BYTE`] times as much, up to [`WINDOW_UNTRIED_BLOCKS`], so that what is fetched in
//! vain stays in proportion to what was wanted; from [`TRIED_BYTES`] on the largest window at once, for every doubling
//! in between would cost a round trip. A seek ends the run: probing a file's head and tail never builds a window. Inside
//! the window several ranges are in flight, each small enough that the pipeline moves on while the reader consumes.

use std::ops::Range;

use super::geometry::{BLOCK_SIZE, block_at, blocks_of};

/// Bytes of readahead per byte that the reader has read in this run, at first.
pub const WINDOW_PER_READ_BYTE: u64 = 6;
/// The largest window of a run shorter than [`TRIED_BYTES`], in blocks (16 MiB): with the kernel's own readahead, a program that
/// looks at 3 MB costs 21 MiB at most.
pub const WINDOW_UNTRIED_BLOCKS: u32 = 256;
/// A run of this length (bytes) is that of a program that reads on.
pub const TRIED_BYTES: u64 = 6 << 20;
/// A run that begins with a read of this length at the start of a recording gets the untried window at once: the kernel asks for so
/// much only on behalf of a program that reads in large pieces, and programs that probe read in small ones.
pub const BOLD_READ_BYTES: u64 = 1 << 20;
/// The largest window, in blocks (64 MiB): enough to hide 40 ms of round trip at 1,600 MB/s.
pub const WINDOW_BLOCKS_MAX: u32 = 1024;
/// The longest range of one request, in blocks (4 MiB); but see [`BOLD_RANGE_BLOCKS`].
pub const RANGE_BLOCKS_MAX: u32 = 64;
/// The first range of a run that begins so, in blocks (8 MiB): it comes over the one connection that is open, and bridges the round
/// trip in which the others are opened; what it brings makes the run long enough for the largest window before they answer.
pub const BOLD_RANGE_BLOCKS: u32 = 128;
/// How far a read may lie from the end of the run and still belong to it (bytes): the kernel sends its own readahead in
/// pieces of 128 KiB to 1 MiB, which may arrive in any order.
pub const RUN_SLACK_BYTES: u64 = 1 << 20;

/// Where one reader is and how far ahead of it was planned.
#[derive(Clone, Debug, Default)]
pub struct Readahead {
    /// End of the furthest read of this run; none before the first read.
    run_end: Option<u64>,
    /// Bytes by which this run went forward.
    run_bytes: u64,
    /// It began as [`BOLD_READ_BYTES`] says.
    bold: bool,
    /// Blocks to keep planned ahead of `run_end`.
    window: u32,
    /// First block that was not looked at yet.
    frontier: u32,
}

impl Readahead {
    /// Notes a read of `bytes`. `stalled`: some of them were missing.
    pub fn observe(&mut self, bytes: &Range<u64>, stalled: bool) {
        let near = |end: u64| bytes.start <= end + RUN_SLACK_BYTES && bytes.end + RUN_SLACK_BYTES >= end;
        match self.run_end {
            // The same bytes again: who asks twice has not read on.
            Some(end) if near(end) && bytes.end <= end => return,
            Some(end) if near(end) => {
                self.run_bytes += bytes.end.saturating_sub(end.max(bytes.start));
                self.run_end = Some(bytes.end);
            }
            _ => {
                let run_bytes = bytes.end - bytes.start;
                let bold = bytes.start == 0 && run_bytes >= BOLD_READ_BYTES;
                *self = Readahead { run_end: Some(bytes.end), run_bytes, bold, window: 0, frontier: 0 };
                if !bold {
                    return;
                }
            }
        }
        if stalled {
            self.window = self.window.max(self.earned());
        }
    }

    /// Blocks of readahead for what was read in this run.
    fn earned(&self) -> u32 {
        if self.run_bytes >= TRIED_BYTES {
            WINDOW_BLOCKS_MAX
        } else if self.bold {
            WINDOW_UNTRIED_BLOCKS
        } else {
            block_at(self.run_bytes.saturating_mul(WINDOW_PER_READ_BYTE)).min(WINDOW_UNTRIED_BLOCKS)
        }
    }

    /// Whether there is room in the window for another range, so that a plan is worth making although nothing stalled. Cheap.
    #[must_use]
    pub fn is_due(&self, block_count: u32) -> bool {
        let horizon = block_at(self.run_end.unwrap_or(0)).saturating_add(self.window);
        self.window > 0
            && self.frontier < block_count
            && horizon >= self.frontier.saturating_add(range_max(self.window))
    }

    /// The longest range for a read that waits, where the window allows `range_max`.
    fn asked_max(&self, range_max: u32) -> u32 {
        let begins = self.bold && self.run_bytes < 2 * BOLD_READ_BYTES;
        if begins && range_max == RANGE_BLOCKS_MAX { BOLD_RANGE_BLOCKS } else { range_max }
    }

    /// Blocks of the window.
    #[must_use]
    pub fn window(&self) -> u32 {
        self.window
    }
}

/// What may be spent on one plan.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Blocks of the recording.
    pub block_count: u32,
    /// Fetch all of it, not only what was asked for.
    pub whole: bool,
    /// The largest window now, in blocks; shrinks with the cache and with memory.
    pub window_max: u32,
    /// Ranges beyond the asked ones that may be started now.
    pub ranges_spare: usize,
}

/// Ranges of blocks to fetch, all of them missing, none longer than [`RANGE_BLOCKS_MAX`], but the first of all perhaps
/// [`BOLD_RANGE_BLOCKS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Each holds blocks that the read waits for, and perhaps more behind them.
    pub asked: Vec<Range<u32>>,
    /// Readahead alone.
    pub ahead: Vec<Range<u32>>,
}

/// Decides what to fetch for a read of `bytes` (already noted by [`Readahead::observe`]). `missing` says of a block that it is
/// neither here nor on its way.
pub fn plan(
    readahead: &mut Readahead,
    bytes: &Range<u64>,
    allowance: &Allowance,
    missing: impl Fn(u32) -> bool,
) -> Plan {
    let count = allowance.block_count;
    let demand = blocks_of(bytes);
    let demand = demand.start.min(count)..demand.end.min(count);
    let window = readahead.window.min(allowance.window_max);
    let position = block_at(readahead.run_end.unwrap_or(bytes.end));
    let horizon = if allowance.whole { count } else { position.saturating_add(window).clamp(demand.end, count) };
    let range_max = if allowance.whole { RANGE_BLOCKS_MAX } else { range_max(window) };

    let mut plan = Plan::default();
    let mut spare = allowance.ranges_spare;
    let asked_max = if allowance.whole { range_max } else { readahead.asked_max(range_max) };
    let mut scan = Scan { next: demand.start, end: horizon, asked_max, range_max, missing: &missing };
    // What was planned before needs no second look, but the demand does: its blocks may have been evicted since.
    while let Some(run) = scan.next_run(&demand) {
        if run.start < demand.end {
            plan.asked.push(run);
            if scan.next >= demand.end {
                scan.next = scan.next.max(readahead.frontier.min(horizon));
            }
            continue;
        }
        // A crumb that only the horizon cut off grows with the next plan.
        let crumb = run.end == horizon && horizon < count && run.end - run.start < range_max;
        if spare == 0 || crumb {
            scan.next = run.start;
            break;
        }
        spare -= 1;
        plan.ahead.push(run);
    }
    readahead.frontier = readahead.frontier.max(scan.next);
    if allowance.whole {
        let mut rest = Scan { next: 0, end: demand.start, asked_max: range_max, range_max, missing: &missing };
        while spare > 0 {
            let Some(run) = rest.next_run(&(0..0)) else { break };
            spare -= 1;
            plan.ahead.push(run);
        }
    }
    plan
}

/// The longest range in a window of so many blocks: several of them fill it.
fn range_max(window: u32) -> u32 {
    (window / 4).clamp(1, RANGE_BLOCKS_MAX)
}

/// Walks the missing runs of blocks.
struct Scan<'a, F> {
    next: u32,
    end: u32,
    asked_max: u32,
    range_max: u32,
    missing: &'a F,
}

impl<F: Fn(u32) -> bool> Scan<'_, F> {
    /// The next run of missing blocks, as long as its length allows; one that holds `demand` may be as long as any range,
    /// but leaves the readahead behind it to other ranges beyond `range_max`.
    fn next_run(&mut self, demand: &Range<u32>) -> Option<Range<u32>> {
        while self.next < self.end && !(self.missing)(self.next) {
            self.next += 1;
        }
        if self.next >= self.end {
            return None;
        }
        let start = self.next;
        let wanted = if start < demand.end {
            (demand.end - start).clamp(self.asked_max, self.asked_max.max(RANGE_BLOCKS_MAX))
        } else {
            self.range_max
        };
        let limit = self.end.min(start.saturating_add(wanted));
        while self.next < limit && (self.missing)(self.next) {
            self.next += 1;
        }
        Some(start..self.next)
    }
}

/// Bytes of a window, for logs and benchmarks.
#[must_use]
pub fn window_bytes(blocks: u32) -> u64 {
    u64::from(blocks) * BLOCK_SIZE
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * 1024;

    fn allowance(count: u32) -> Allowance {
        Allowance { block_count: count, whole: false, window_max: WINDOW_BLOCKS_MAX, ranges_spare: 8 }
    }

    /// Reads `bytes` as a reader would: blocks planned are here from then on. Returns the bytes fetched.
    fn read(readahead: &mut Readahead, here: &mut HashSet<u32>, bytes: Range<u64>, allowance: &Allowance) -> u64 {
        let stalled = blocks_of(&bytes).any(|block| !here.contains(&block));
        readahead.observe(&bytes, stalled);
        if !stalled && !readahead.is_due(allowance.block_count) {
            return 0;
        }
        let plan = plan(readahead, &bytes, allowance, |block| !here.contains(&block));
        let mut fetched = 0;
        for block in plan.asked.into_iter().chain(plan.ahead).flatten() {
            assert!(here.insert(block), "block {block} planned twice");
            fetched += BLOCK_SIZE;
        }
        fetched
    }

    #[test]
    fn head_and_tail_probes_fetch_what_they_read() {
        let size = 128 * MIB;
        let (mut readahead, mut here) = (Readahead::default(), HashSet::new());
        let allowance = allowance(2048);
        assert_eq!(read(&mut readahead, &mut here, 0..64 * KIB, &allowance), 64 * KIB);
        assert!(read(&mut readahead, &mut here, size - 64 * KIB..size, &allowance) <= 192 * KIB);
        assert_eq!(readahead.window(), 0);
        assert!(read(&mut readahead, &mut here, size / 2 + 1..size / 2 + 64 * KIB + 1, &allowance) <= 512 * KIB);
    }

    #[test]
    fn a_sequential_reader_stalls_a_few_times_only() {
        let (mut readahead, mut here) = (Readahead::default(), HashSet::new());
        let allowance = allowance(2048);
        let mut stalls = 0;
        for piece in 0..1024 {
            let bytes = piece * 128 * KIB..(piece + 1) * 128 * KIB;
            stalls += u32::from(blocks_of(&bytes).any(|block| !here.contains(&block)));
            read(&mut readahead, &mut here, bytes, &allowance);
        }
        assert_eq!(here.len(), 2048);
        assert!(stalls <= 6, "{stalls} stalls");
        assert!(readahead.window() > 0 && readahead.window() <= WINDOW_BLOCKS_MAX);
    }

    #[test]
    fn a_seek_ends_the_run() {
        let mut readahead = Readahead::default();
        readahead.observe(&(0..128 * KIB), true);
        readahead.observe(&(128 * KIB..256 * KIB), true);
        assert_eq!(readahead.window(), 24);
        readahead.observe(&(50 * MIB..51 * MIB), true);
        assert_eq!(readahead.window(), 0);
    }

    #[test]
    fn a_small_recording_is_fetched_whole() {
        let mut readahead = Readahead::default();
        let bytes = 200 * KIB..260 * KIB;
        readahead.observe(&bytes, true);
        let whole = Allowance { whole: true, ..allowance(8) };
        let plan = plan(&mut readahead, &bytes, &whole, |block| block != 0);
        let blocks = |ranges: Vec<Range<u32>>| ranges.into_iter().flatten().collect::<Vec<u32>>();
        assert_eq!((plan.asked.len(), plan.ahead.len()), (1, 1));
        assert_eq!((blocks(plan.asked), blocks(plan.ahead)), (vec![3, 4, 5, 6, 7], vec![1, 2]));
    }

    /// What a program costs that reads `wanted` bytes from the start in pieces of `piece` and then stops.
    fn cost_of_looking(wanted: u64, piece: u64) -> u64 {
        let (mut readahead, mut here) = (Readahead::default(), HashSet::new());
        let allowance = allowance(2048);
        (0..wanted.div_ceil(piece))
            .map(|at| read(&mut readahead, &mut here, at * piece..(at + 1) * piece, &allowance))
            .sum()
    }

    #[test]
    fn what_is_fetched_in_vain_is_bounded() {
        // As the kernel reads ahead for a program that looks at 64 KiB, 1 MB, 3 MB.
        assert!(cost_of_looking(128 * KIB, 128 * KIB) <= 512 * KIB);
        assert!(cost_of_looking(MIB, 128 * KIB) <= 8 * MIB);
        assert!(cost_of_looking(5 * MIB, 128 * KIB) <= 22 * MIB);
        assert!(cost_of_looking(5 * MIB, MIB) <= 22 * MIB);
    }

    /// Rounds of requests, each a round trip, until as much is on its way as the largest window allows.
    #[test]
    fn the_window_is_open_after_few_round_trips() {
        for (piece, rounds_max) in [(MIB, 3), (128 * KIB, 6)] {
            let (mut readahead, mut here) = (Readahead::default(), HashSet::new());
            let allowance = Allowance { ranges_spare: 16, ..allowance(2048) };
            let (mut position, mut rounds) = (0, 0);
            while readahead.window() < WINDOW_BLOCKS_MAX {
                // Everything that was asked for arrives; the reader takes it all, and stalls behind it.
                let arrived = here.clone();
                rounds += 1;
                loop {
                    let bytes = position..position + piece;
                    let stalls = blocks_of(&bytes).any(|block| !arrived.contains(&block));
                    readahead.observe(&bytes, stalls);
                    let plan = plan(&mut readahead, &bytes, &allowance, |block| !here.contains(&block));
                    here.extend(plan.asked.into_iter().chain(plan.ahead).flatten());
                    position += piece;
                    if stalls {
                        break;
                    }
                }
            }
            assert!(rounds <= rounds_max, "{rounds} rounds of {piece}");
        }
    }

    proptest! {
        /// Never a block that is here or on its way, never twice, never beyond the window, always the whole demand.
        #[test]
        fn plans_are_sound(
            reads in prop::collection::vec((0u64..8 << 20, 1u64..400_000), 1..40),
            here in prop::collection::hash_set(0u32..128, 0..128),
            window_max in 0u32..64, ranges_spare in 0usize..5, whole: bool,
        ) {
            let count = 128;
            let allowance = Allowance { block_count: count, whole, window_max, ranges_spare };
            let mut readahead = Readahead::default();
            for (start, len) in reads {
                let bytes = start..(start + len).min(8 << 20);
                readahead.observe(&bytes, true);
                let plan = plan(&mut readahead, &bytes, &allowance, |block| !here.contains(&block));
                let demand = blocks_of(&bytes);
                let mut seen = HashSet::new();
                for range in plan.asked.iter().chain(&plan.ahead) {
                    prop_assert!(!range.is_empty() && range.end <= count && range.end - range.start <= BOLD_RANGE_BLOCKS);
                    for block in range.clone() {
                        prop_assert!(!here.contains(&block) && seen.insert(block));
                    }
                    let limit = demand.end.max(block_at(readahead.run_end.unwrap()) + window_max);
                    prop_assert!(whole || range.end <= limit.max(demand.start + RANGE_BLOCKS_MAX.min(1)));
                }
                prop_assert!(plan.ahead.len() <= ranges_spare);
                prop_assert!(plan.asked.iter().all(|range| range.start < demand.end));
                for block in demand {
                    prop_assert!(here.contains(&block) || seen.contains(&block));
                }
            }
        }
    }
}
