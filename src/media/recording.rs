//! What this process knows of one version of one recording: its blocks, its open files, who fetches and who reads.
//!
//! Lock order, outermost first: `Recording::writing` → registry (`cache`) → `Recording::disk` → `Recording::state` → space (`cache`). None is held
//! across an await.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Notify, watch};

use super::askers::Askers;
use super::assemble::Pieces;
use super::blocks::{Block, Blocks};
use super::disk::{Stamp, Wait};
use super::error::MediaError;
use super::gate::HostName;
use super::geometry::{block_at, block_len, block_start, blocks_of};
use super::key::{KeyHash, Version};
use super::links::Link;
use super::space::FileId;
use super::store::Files;
use super::sync::{AtomicU64, Mutex, MutexGuard};
use super::traffic::Traffic;

/// One version of one recording.
#[derive(Debug)]
pub struct Recording {
    pub id: FileId,
    pub hash: KeyHash,
    pub version: Version,
    /// Grows whenever bytes are about to leave the data file. A read that saw the same number before and after saw what
    /// the block table promised.
    evictions: AtomicU64,
    /// Held while files are created or unlinked.
    pub disk: Mutex<()>,
    /// Held by the one who writes blocks.
    pub writing: Mutex<()>,
    state: Mutex<State>,
    /// Rings when a block leaves `Evicting`, and when the recording is retired.
    pub settled: Notify,
}

/// The part that changes.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub struct State {
    pub blocks: Blocks,
    /// Bytes of blocks in flight that have arrived and are on their way to the disk: readers need not wait for that.
    arrived: BTreeMap<u32, Pieces>,
    pub fetches: Vec<FetchEntry>,
    /// Which fetch brings each block in flight.
    bringers: BTreeMap<u32, u64>,
    /// Open readers.
    pub readers: u32,
    /// Reads that wait for bytes.
    pub askers: Askers,
    /// Set once: the recording was replaced or removed, and this is what its readers get.
    pub stale: Option<MediaError>,
    /// Open while somebody reads or writes. Replaced when the files are unlinked.
    pub files: Option<Arc<Files>>,
    /// The data file as we left it; none while that is not known.
    pub stamp: Option<Stamp>,
    /// Bytes charged for the files besides their blocks; 0 while there are none.
    pub charged: u64,
    /// The files are there, but could not be opened: they are left alone, and it is read uncached, until nobody uses it any more.
    pub out_of_reach: bool,
    /// The files have a note, or it is not to be tried again while they are there.
    pub noted: bool,
    /// Passthrough opens of the data file.
    pub passthrough: u32,
    /// Bytes of unlinked files that passthrough opens keep on disk.
    pub orphaned: u64,
    /// Somebody reads it from one end to the other.
    pub reads_on: bool,
    /// The last link with which this version was met in this process.
    pub link: Option<Link>,
    /// The media host ignores ranges.
    pub no_ranges: bool,
    /// Where it was last fetched from.
    pub host: Option<HostName>,
    /// Its checksums are being compared, for passthrough.
    pub verifying: bool,
}

/// A fetch under way, as its recording sees it.
#[derive(Debug)]
pub struct FetchEntry {
    pub id: u64,
    /// It brings everything that was missing when it began.
    pub whole: bool,
    pub progress: watch::Receiver<Progress>,
}

/// How far a fetch is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub traffic: Arc<Traffic>,
    /// Blocks that it brought.
    pub arrived: u32,
    /// It waits for a link, which may be a wait for the rate limit: as long as whoever signs has patience.
    pub signing: bool,
    /// Set once, at its end.
    pub outcome: Option<Result<(), MediaError>>,
}

/// What became of an attempt to copy present blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    Done,
    /// The files are not open, or the disk has to be waited for, which is not allowed. From [`Cache::copy`](super::cache::Cache::copy): somebody has
    /// just closed them; look again.
    NeedsDisk,
    /// Something left the file meanwhile, or was not here in the first place. Look again.
    Moved,
    /// The block fails its checksum or cannot be read.
    Damaged(u32),
}

impl Recording {
    pub fn new(id: FileId, hash: KeyHash, version: Version, blocks: Blocks, charged: u64) -> Recording {
        let state = State {
            blocks,
            arrived: BTreeMap::new(),
            fetches: Vec::new(),
            bringers: BTreeMap::new(),
            readers: 0,
            askers: Askers::default(),
            stale: None,
            files: None,
            stamp: None,
            charged,
            out_of_reach: false,
            noted: false,
            passthrough: 0,
            orphaned: 0,
            reads_on: false,
            link: None,
            no_ranges: false,
            host: None,
            verifying: false,
        };
        Recording {
            id,
            hash,
            version,
            evictions: AtomicU64::new(0),
            disk: Mutex::new(()),
            writing: Mutex::new(()),
            state: Mutex::new(state),
            settled: Notify::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when the recording was erased or replaced.
    pub async fn retired(&self) {
        loop {
            let settled = self.settled.notified();
            if self.lock().stale.is_some() {
                return;
            }
            settled.await;
        }
    }

    /// Bytes are about to leave the file; call with the state locked, after the block table says so.
    pub fn note_eviction(&self, _state: &State) {
        self.evictions.fetch_add(1, Ordering::SeqCst);
    }

    /// Appends the bytes `span`, whose blocks must all be present, to `out`. Blocks that no one verified in this process
    /// are compared with their checksums first. On anything but [`Copied::Done`], `out` is as it was.
    pub fn copy(&self, span: &Range<u64>, wait: Wait, out: &mut Vec<u8>) -> Copied {
        let blocks = blocks_of(span);
        let before = self.evictions.load(Ordering::SeqCst);
        let (files, unverified) = {
            let state = self.lock();
            if state.stale.is_some() {
                return Copied::Moved;
            }
            let mut unverified = Vec::new();
            for block in blocks.clone() {
                match state.blocks.get(block) {
                    Block::Present { verified: true } => {}
                    Block::Present { verified: false } => unverified.push((block, state.blocks.crc(block))),
                    _ => return Copied::Moved,
                }
            }
            // The block table speaks of the current files; others, unlinked before, may have holes where it promises bytes.
            let Some(files) = state.files.clone() else { return Copied::NeedsDisk };
            (files, unverified)
        };
        out.reserve_exact((span.end - span.start) as usize);
        let base = out.len();
        let mut damaged = match files.read(span.start, (span.end - span.start) as usize, wait, out) {
            Ok(true) => None,
            Ok(false) => {
                out.truncate(base);
                return Copied::NeedsDisk;
            }
            Err(unreadable) => Some(unreadable.0),
        };
        // A tag was compared already.
        let checksums = if files.is_sealed() { &[] } else { unverified.as_slice() };
        let mut scratch = Vec::new();
        for (block, crc) in checksums {
            if damaged.is_some() {
                break;
            }
            let (start, len) = (block_start(*block), block_len(self.version.size, *block));
            let whole = if span.start <= start && start + len <= span.end {
                let at = base + (start - span.start) as usize;
                out.get(at..at + len as usize)
            } else {
                scratch.clear();
                match files.read(start, len as usize, wait, &mut scratch) {
                    Ok(true) => Some(scratch.as_slice()),
                    Ok(false) => {
                        out.truncate(base);
                        return Copied::NeedsDisk;
                    }
                    Err(_) => None,
                }
            };
            if whole.is_none_or(|bytes| crc32c::crc32c(bytes) != *crc) {
                damaged = Some(*block);
            }
        }
        // What left the file meanwhile reads as zeros or fails its checksum: no damage, but no data either.
        let moved = self.evictions.load(Ordering::SeqCst) != before;
        if moved || damaged.is_some() {
            out.truncate(base);
            return if moved { Copied::Moved } else { Copied::Damaged(damaged.unwrap_or(blocks.start)) };
        }
        if !unverified.is_empty() {
            let mut state = self.lock();
            if self.evictions.load(Ordering::SeqCst) == before {
                for (block, _) in unverified {
                    state.blocks.verify(block);
                }
            }
        }
        Copied::Done
    }
}

impl FetchEntry {
    /// Rings at whatever happens from now on. With the recording's state locked, so that nothing can have happened since the look.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        let mut progress = self.progress.clone();
        progress.mark_unchanged();
        progress
    }
}

impl State {
    /// Somebody reads it or fetches it.
    pub fn is_used(&self) -> bool {
        self.readers > 0 || !self.fetches.is_empty()
    }

    /// The end of the run of present blocks that begins at byte `start`, at most `end`; `start` if there is none.
    pub fn present_until(&self, start: u64, end: u64) -> u64 {
        let mut at = start;
        while at < end && matches!(self.blocks.get(block_at(at)), Block::Present { .. }) {
            at = block_start(block_at(at) + 1).min(end);
        }
        at
    }

    /// Nobody fetches, so the data file is as we left it.
    pub fn is_quiet(&self) -> bool {
        self.fetches.is_empty() && !self.blocks.has_in_flight()
    }

    /// The data file is found as `now`. Was it left otherwise, somebody else wrote to it, and every block is compared with its checksum
    /// again before anybody is shown it. True: that is so.
    pub fn check_stamp(&mut self, now: Option<Stamp>) -> bool {
        let Some(now) = now else { return false };
        // While blocks are written or removed it changes by ourselves.
        if self.blocks.has_in_flight() || !self.blocks.is_settled() {
            return false;
        }
        let was = self.stamp.replace(now);
        was.is_some_and(|was| was != now) && self.blocks.doubt_all()
    }

    /// Whether there are files and no note with them.
    pub fn lacks_note(&self) -> bool {
        self.charged > 0 && !self.noted && !self.out_of_reach
    }

    /// Absent → in flight, brought by the fetch of this number.
    pub fn claim(&mut self, block: u32, fetch: u64) -> bool {
        let claimed = self.blocks.claim(block);
        if claimed {
            self.bringers.insert(block, fetch);
        }
        claimed
    }

    /// A block in flight is here, though not on disk.
    pub fn arrive(&mut self, block: u32, pieces: Pieces) {
        debug_assert_eq!(self.blocks.get(block), Block::InFlight);
        self.arrived.insert(block, pieces);
    }

    /// In flight → present.
    pub fn complete(&mut self, block: u32, crc: u32) -> bool {
        self.arrived.remove(&block);
        self.bringers.remove(&block);
        self.blocks.complete(block, crc)
    }

    /// In flight → absent.
    pub fn release(&mut self, block: u32) -> bool {
        self.arrived.remove(&block);
        self.bringers.remove(&block);
        self.blocks.release(block)
    }

    /// The bytes of a block in flight that has arrived.
    pub fn arrived(&self, block: u32) -> Option<&Pieces> {
        self.arrived.get(&block)
    }

    /// Whether a block can be read without waiting.
    pub fn is_here(&self, block: u32) -> bool {
        matches!(self.blocks.get(block), Block::Present { .. }) || self.arrived.contains_key(&block)
    }

    /// The fetch that brings a block, and no other that once did.
    pub fn fetch_of(&self, block: u32) -> Option<&FetchEntry> {
        let bringer = self.bringers.get(&block)?;
        self.fetches.iter().find(|fetch| fetch.id == *bringer && fetch.progress.borrow().outcome.is_none())
    }
}
