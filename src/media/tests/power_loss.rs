//! A crash between any two steps of the cache, with and without the power: what is there afterwards is right or missing, the
//! books are right, and nothing stays for ever.

use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;

use super::made_up_disk::{Crash, MadeUpDisk};
use super::*;
use crate::base::crypt::MasterKey;
use crate::media::blocks::Block;
use crate::media::cache::Cache;
use crate::media::geometry::{BLOCK_SIZE, block_count, block_len, block_start};
use crate::media::index::Form;
use crate::media::recording::{Copied, Recording};
use crate::media::seal::Seal;
use crate::media::space::file_charge;
use crate::media::store::Store;

/// Recordings of a run.
const RECORDINGS: u8 = 4;
/// Crashes that are tried after one run.
const CRASHES: usize = 8;

/// One step of a run.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Fetches up to `count` absent blocks from `first` on, as one run or block by block.
    Fill {
        recording: u8,
        first: u32,
        count: u32,
    },
    /// Writes a note beside what is there.
    Note {
        recording: u8,
    },
    /// Reads whatever is present, comparing checksums.
    Read {
        recording: u8,
    },
    /// The source has another version.
    Change {
        recording: u8,
    },
    Purge {
        recording: u8,
    },
    /// Nobody has it open any more.
    Close {
        recording: u8,
    },
    /// A present block turns out damaged.
    Damage {
        recording: u8,
        block: u32,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let recording = 0..RECORDINGS;
    let step = prop_oneof![
        8 => (recording.clone(), 0u32..6, 1u32..6).prop_map(|(recording, first, count)| Step::Fill { recording, first, count }),
        2 => recording.clone().prop_map(|recording| Step::Note { recording }),
        2 => recording.clone().prop_map(|recording| Step::Read { recording }),
        1 => recording.clone().prop_map(|recording| Step::Change { recording }),
        1 => recording.clone().prop_map(|recording| Step::Purge { recording }),
        1 => recording.clone().prop_map(|recording| Step::Close { recording }),
        1 => (recording, 0u32..6).prop_map(|(recording, block)| Step::Damage { recording, block }),
    ];
    prop::collection::vec(step, 1..40)
}

/// The cache, and the version of each recording that the catalog knows.
struct Run {
    cache: Cache,
    form: Form,
    versions: Vec<u64>,
    open: Vec<Option<Arc<Recording>>>,
}

fn hash(recording: u8) -> KeyHash {
    KeyHash([recording; 32])
}

/// Every other recording's host sends no validator; its versions then differ by their size.
fn version(recording: u8, number: u64) -> Version {
    let size = 4 * BLOCK_SIZE + 1000 * u64::from(recording) + number;
    let validator = if recording.is_multiple_of(2) { format!("\"{number}\"") } else { String::new() };
    Version { size, validator }
}

fn truth(recording: u8, number: u64, block: u32) -> Vec<u8> {
    let seed = u64::from(recording) << 40 | number << 20 | u64::from(block);
    content(block_len(version(recording, number).size, block), seed)
}

fn cache(disk: &MadeUpDisk, limit: u64, form: Form) -> Cache {
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::from_second(1_800_000_000).unwrap()));
    let seal = (form == Form::Sealed).then(|| Seal::of(&MasterKey::parse(&[5; 32]).unwrap()));
    let store = Store::on(Arc::new(disk.clone()), PathBuf::from("/v1"), seal).unwrap();
    let cache = Cache::over(store, limit, 0, clock).unwrap();
    // So few that files become cold again all the time.
    crate::media::cache::lock(&cache.space).keep_hot(6);
    cache
}

impl Run {
    fn new(disk: &MadeUpDisk, limit: u64, form: Form, versions: Vec<u64>) -> Run {
        Run { cache: cache(disk, limit, form), form, versions, open: vec![None; usize::from(RECORDINGS)] }
    }

    fn recording(&mut self, recording: u8) -> Arc<Recording> {
        let index = usize::from(recording);
        let version = version(recording, self.versions[index]);
        let cache = &self.cache;
        Arc::clone(self.open[index].get_or_insert_with(|| cache.attach(hash(recording), &version)))
    }

    fn close(&mut self, recording: u8) {
        if let Some(open) = self.open[usize::from(recording)].take() {
            self.cache.detach(&open);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fill { recording, first, count } => {
                let open = self.recording(recording);
                let number = self.versions[usize::from(recording)];
                let end = (first + count).min(block_count(open.version.size));
                let claimed: Vec<u32> = {
                    let mut state = open.lock();
                    (first..end).take_while(|block| state.blocks.claim(*block)).collect()
                };
                let bytes: Vec<[Bytes; 1]> =
                    claimed.iter().map(|block| [truth(recording, number, *block).into()]).collect();
                let run: Vec<&[Bytes]> = bytes.iter().map(<[Bytes; 1]>::as_slice).collect();
                if !run.is_empty() && !self.cache.store_run(&open, first, &run) {
                    for (block, pieces) in claimed.iter().zip(&run) {
                        assert!(self.cache.store_run(&open, *block, &[*pieces]));
                    }
                }
            }
            Step::Note { recording } => {
                let open = self.recording(recording);
                if open.lock().lacks_note() {
                    self.cache.keep_note(&open, &note(&open.version));
                }
            }
            Step::Read { recording } => {
                self.read(recording);
            }
            Step::Change { recording } => {
                let open = self.recording(recording);
                self.versions[usize::from(recording)] += 1;
                self.cache.changed(&open, &version(recording, self.versions[usize::from(recording)]));
                self.close(recording);
            }
            Step::Purge { recording } => self.cache.purge(&hash(recording)),
            Step::Close { recording } => self.close(recording),
            Step::Damage { recording, block } => {
                let open = self.recording(recording);
                if matches!(open.lock().blocks.get(block), Block::Present { .. }) {
                    self.cache.drop_damaged(&open, block);
                }
            }
        }
    }

    /// Reads every block that is present: right, or dropped. Returns the number of right ones.
    fn read(&mut self, recording: u8) -> u32 {
        let open = self.recording(recording);
        let number = self.versions[usize::from(recording)];
        let mut right = 0;
        for block in 0..block_count(open.version.size) {
            if !matches!(open.lock().blocks.get(block), Block::Present { .. }) {
                continue;
            }
            let span = block_start(block)..block_start(block) + block_len(open.version.size, block);
            let mut out = Vec::new();
            match self.cache.copy(&open, &span, &mut out) {
                Copied::Done => {
                    assert!(out == truth(recording, number, block), "wrong bytes in block {block}");
                    right += 1;
                }
                Copied::Damaged(block) => self.cache.drop_damaged(&open, block),
                Copied::NeedsDisk => self.cache.drop_damaged(&open, block),
                Copied::Moved => panic!("nobody moves anything here"),
            }
        }
        right
    }

    /// What is on disk is in the books, and no more is in the books than files take besides their blocks.
    fn assert_books(&self, disk: &MadeUpDisk, when: &str) {
        let (used, occupied) = (self.cache.used(), disk.occupied());
        let overhead: u64 =
            (0..RECORDINGS).map(|recording| file_charge(version(recording, 0).size, self.form) + BLOCK_SIZE).sum();
        assert!(used >= occupied, "{when}: {used} in the books, {occupied} on disk");
        assert!(used <= occupied + overhead, "{when}: {used} in the books, {occupied} on disk");
    }
}

/// A note of more than one unit of the disk.
fn note(version: &Version) -> Vec<u8> {
    content(5000, version.size)
}

/// Opens what a crash left, and uses it.
fn survive(disk: &MadeUpDisk, limit: u64, form: Form, versions: &[u64], killed: bool) -> u32 {
    let mut run = Run::new(disk, limit, form, versions.to_vec());
    assert_eq!(run.cache.used(), disk.occupied(), "a fresh count");
    let mut right = 0;
    for recording in 0..RECORDINGS {
        if let Some((version, found)) = run.cache.note(&hash(recording)) {
            assert!(found == note(&version), "a note that nobody wrote");
        }
        let present = {
            let open = run.recording(recording);
            let state = open.lock();
            (0..state.blocks.count()).filter(|block| state.blocks.get(*block) != Block::Absent).count() as u32
        };
        let mine = run.read(recording);
        assert!(!killed || mine == present, "a kill alone damages nothing");
        right += mine;
        run.assert_books(disk, "after reading");
    }
    for recording in 0..RECORDINGS {
        run.step(Step::Fill { recording, first: 0, count: 6 });
        run.step(Step::Read { recording });
        assert!(run.cache.used() <= limit.max(disk.occupied()));
        run.assert_books(disk, "after filling");
        run.close(recording);
    }
    for recording in 0..RECORDINGS {
        run.cache.purge(&hash(recording));
    }
    assert_eq!((disk.files(), run.cache.used()), (Vec::new(), 0), "leftovers");
    right
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if full() { 2000 } else { 20 }, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_between_any_two_steps_shows_nowhere(
        steps in steps(), limit_blocks in 3u64..24, seed: u64, damaged: bool, sealed: bool,
    ) {
        let limit = limit_blocks * BLOCK_SIZE;
        let form = if sealed { Form::Sealed } else { Form::Plain };
        let disk = MadeUpDisk::default();
        let mut run = Run::new(&disk, limit, form, vec![0; usize::from(RECORDINGS)]);
        // How many changes had been made, and what the catalog knew, after each step.
        let mut history = vec![(0, run.versions.clone())];
        for step in steps {
            run.step(step);
            prop_assert!(disk.occupied() <= limit, "{} bytes on disk", disk.occupied());
            run.assert_books(&disk, "running");
            history.push((disk.changes(), run.versions.clone()));
        }
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..CRASHES {
            let changes = random.usize(0..=disk.changes());
            let killed = random.bool();
            let crash = if killed { Crash::Killed } else { Crash::PowerLost { safe: random.usize(0..=changes) } };
            let left = disk.after_crash(changes, crash, &mut random);
            // The catalog may know of a change of version before the cache acted on it.
            let next = history.iter().position(|(made, _)| *made >= changes).unwrap();
            let versions = &history[if random.bool() { next } else { next.saturating_sub(1) }].1;
            let files = left.files();
            let damage = damaged && !files.is_empty();
            if damage {
                left.damage(&files[random.usize(0..files.len())], &mut random);
            }
            survive(&left, limit.max(u64::from(RECORDINGS) * 6 * BLOCK_SIZE), form, versions, killed && !damage);
        }
    }
}

/// That it would notice: without a crash, everything that was written is found again.
#[test]
fn what_no_crash_took_is_all_there() {
    let disk = MadeUpDisk::default();
    let mut run = Run::new(&disk, 1 << 30, Form::Sealed, vec![0; usize::from(RECORDINGS)]);
    for recording in 0..RECORDINGS {
        run.step(Step::Fill { recording, first: 0, count: 6 });
    }
    let left = disk.after_crash(disk.changes(), Crash::Killed, &mut fastrand::Rng::with_seed(1));
    let all: u32 = (0..RECORDINGS).map(|recording| block_count(version(recording, 0).size)).sum();
    assert_eq!(survive(&left, 1 << 30, Form::Sealed, &run.versions, true), all);
}

/// Files that nobody has open any more become cold again; what they hold stays, and can be evicted and read.
#[test]
fn memory_does_not_grow_with_what_is_cached() {
    let disk = MadeUpDisk::default();
    let mut run = Run::new(&disk, 1 << 30, Form::Plain, vec![0; usize::from(RECORDINGS)]);
    for recording in 0..RECORDINGS {
        run.step(Step::Fill { recording, first: 0, count: 6 });
        run.step(Step::Close { recording });
        run.assert_books(&disk, "after closing");
    }
    assert_eq!(crate::media::cache::lock(&run.cache.space).cold_hashes().len(), usize::from(RECORDINGS) - 1);
    for recording in 0..RECORDINGS {
        assert_eq!(run.read(recording), block_count(version(recording, 0).size));
        run.assert_books(&disk, "after reading again");
    }
}

/// A disk that has become read-only takes nothing and breaks nothing.
#[test]
fn a_disk_that_refuses_every_change_breaks_nothing() {
    let disk = MadeUpDisk::default();
    let mut run = Run::new(&disk, 1 << 30, Form::Sealed, vec![0; usize::from(RECORDINGS)]);
    run.step(Step::Fill { recording: 0, first: 0, count: 2 });
    disk.refuse(true);
    for recording in 0..RECORDINGS {
        run.step(Step::Fill { recording, first: 0, count: 6 });
        run.step(Step::Read { recording });
        run.step(Step::Close { recording });
    }
    assert!(run.cache.trouble().is_some());
    disk.refuse(false);
    run.step(Step::Fill { recording: 1, first: 0, count: 6 });
    assert_eq!(run.cache.trouble(), None);
    assert_eq!(run.read(1), block_count(version(1, 0).size));
}
