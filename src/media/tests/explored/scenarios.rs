//! What is explored. Each scenario also ends with the books compared with the disk.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use shuttle::scheduler::{PctScheduler, RandomScheduler};

use super::cache::Cache;
use super::engine::{Engine, NoLinks, Settings};
use super::error::MediaError;
use super::gate::Gate;
use super::geometry::{BLOCK_SIZE, block_count};
use super::host::{Host, Mood};
use super::key::{KeyHash, Version};
use super::lifeline::Lifeline;
use super::reader::Reader;
use super::settings::FETCH_MEMORY_BYTES;
use super::space::{block_charge, file_charge};
use super::store::Store;
use super::sync::Runtime;
use crate::base::clock::ManualClock;
use crate::media::tests::made_up_disk::MadeUpDisk;

const HASH: KeyHash = KeyHash([7; 32]);
const SIZE: u64 = 3 * BLOCK_SIZE - 100;

/// Interleavings of one scenario.
fn rounds() -> usize {
    if crate::media::tests::full() { 20_000 } else { 200 }
}

fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    config.stack_size = 512 * 1024;
    config.silence_warnings = true;
    config.max_steps = shuttle::MaxSteps::FailAfter(50_000);
    let scenario = Arc::new(scenario);
    let again = Arc::clone(&scenario);
    // Any order of many small steps, and long stretches of one task with few changes.
    shuttle::Runner::new(RandomScheduler::new(rounds()), config.clone()).run(move || scenario());
    shuttle::Runner::new(PctScheduler::new(3, rounds()), config).run(move || again());
}

fn truth() -> Bytes {
    static TRUTH: OnceLock<Bytes> = OnceLock::new();
    TRUTH.get_or_init(|| crate::media::tests::content(SIZE, 1).into()).clone()
}

struct World {
    lifeline: Arc<Lifeline>,
    disk: MadeUpDisk,
}

impl World {
    /// A cache with room for `blocks` blocks.
    fn new(blocks: u64, whole: bool, moods: impl IntoIterator<Item = Mood>) -> World {
        let disk = MadeUpDisk::with_pauses(super::sync::pause);
        let store = Store::on(Arc::new(disk.clone()), PathBuf::from("/v1"), None).unwrap();
        let clock = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
        let cache =
            Cache::over(store, file_charge(SIZE, super::index::Form::Plain) + blocks * block_charge(SIZE, 0), 0, clock)
                .unwrap();
        let engine = Engine {
            cache,
            settings: Settings { deadline: Duration::MAX },
            host: Host::new(truth(), moods),
            // Memory for two: who holds it and waits for more would be seen.
            gate: Gate::new(2, 2 * FETCH_MEMORY_BYTES),
            version: Version { size: SIZE, validator: "one".into() },
            whole,
            ids: 1.into(),
            signings: Default::default(),
            runtime: Runtime,
        };
        World { lifeline: Arc::new(Lifeline { engine: Arc::new(engine) }), disk }
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.lifeline.engine
    }

    fn reader(&self) -> Reader {
        let recording = self.engine().cache.attach(HASH, &self.engine().version);
        Reader::new(Arc::clone(&self.lifeline), recording, Arc::new(NoLinks))
    }

    /// A task that reads a span.
    fn reads(&self, span: Range<u64>) -> shuttle::future::JoinHandle<Result<(), MediaError>> {
        let reader = self.reader();
        shuttle::future::spawn(async move {
            let bytes = reader.read(span.start, (span.end - span.start) as u32).await?;
            assert!(bytes == truth().slice(span.start as usize..span.end as usize), "wrong bytes in {span:?}");
            Ok(())
        })
    }

    /// After all tasks: no block is in flight, and the books say what the disk says.
    fn assert_settled(&self) {
        let cache = &self.engine().cache;
        let reader = self.reader();
        let state = reader.recording.lock();
        assert!(state.fetches.is_empty(), "a fetch was left behind");
        let present = (0..block_count(SIZE)).filter(|block| match state.blocks.get(*block) {
            super::blocks::Block::Present { .. } => true,
            super::blocks::Block::Absent => false,
            other => panic!("block {block} was left {other:?}"),
        });
        let charged: u64 = present.map(|block| block_charge(SIZE, block)).sum::<u64>() + state.charged;
        assert_eq!(cache.used(), charged, "the books against the block table");
        assert!(self.disk.occupied() <= charged, "{} bytes on disk, {charged} in the books", self.disk.occupied());
        assert!(charged <= cache.limit());
    }
}

/// Waits until nothing is being fetched or written, by letting the others run.
fn settle(world: &World) {
    let reader = world.reader();
    loop {
        let state = reader.recording.lock();
        let busy = !state.fetches.is_empty()
            || (0..block_count(SIZE)).any(|block| {
                matches!(state.blocks.get(block), super::blocks::Block::InFlight | super::blocks::Block::Evicting)
            });
        drop(state);
        if !busy {
            return;
        }
        shuttle::thread::yield_now();
    }
}

#[test]
fn readers_share_fetches_and_get_the_truth() {
    for whole in [false, true] {
        explore(move || {
            let world = World::new(3, whole, [Mood::Serves]);
            let tasks = [world.reads(0..SIZE), world.reads(BLOCK_SIZE - 10..2 * BLOCK_SIZE + 10), world.reads(5..10)];
            for task in tasks {
                shuttle::future::block_on(task).unwrap().unwrap();
            }
            settle(&world);
            world.assert_settled();
        });
    }
}

/// Of a host that knows no ranges, each gets what it wants, and nobody waits for somebody who waits.
#[test]
fn readers_share_whole_bodies_and_get_the_truth() {
    for room in [2, 3] {
        explore(move || {
            let world = World::new(room, true, [Mood::IgnoresRanges]);
            let tasks = [world.reads(0..SIZE), world.reads(BLOCK_SIZE - 10..2 * BLOCK_SIZE + 10), world.reads(5..10)];
            for task in tasks {
                shuttle::future::block_on(task).unwrap().unwrap();
            }
            settle(&world);
            world.assert_settled();
        });
    }
}

/// Room for two blocks of three: whatever is read pushes something else out, under readers.
#[test]
fn eviction_under_readers_shows_nowhere() {
    explore(|| {
        let world = World::new(2, false, [Mood::Serves]);
        let tasks = [world.reads(0..SIZE), world.reads(BLOCK_SIZE..SIZE)];
        for task in tasks {
            shuttle::future::block_on(task).unwrap().unwrap();
        }
        settle(&world);
        world.assert_settled();
    });
}

/// Blocks that are punched out while they are copied.
#[test]
fn a_copy_of_what_is_being_evicted_is_no_copy() {
    explore(|| {
        let world = World::new(3, true, [Mood::Serves]);
        shuttle::future::block_on(world.reads(0..SIZE)).unwrap().unwrap();
        settle(&world);
        let reader = world.reader();
        let (cache, recording) = (Arc::clone(world.engine()), Arc::clone(&reader.recording));
        let evictor = shuttle::thread::spawn(move || {
            for block in 0..2 {
                cache.cache.drop_damaged(&recording, block);
            }
        });
        for _ in 0..2 {
            if let Some(bytes) = reader.read_cached(10, SIZE as u32) {
                assert!(bytes == truth().slice(10..), "wrong bytes");
            }
        }
        evictor.join().unwrap();
        drop(reader);
        settle(&world);
        world.assert_settled();
    });
}

/// The kernel closes its last handle while a block is evicted: its bytes are given back once.
#[test]
fn an_eviction_at_the_end_of_a_passthrough_leaves_no_bytes_in_the_books() {
    explore(|| {
        let world = World::new(3, true, [Mood::Serves]);
        shuttle::future::block_on(world.reads(0..SIZE)).unwrap().unwrap();
        settle(&world);
        let reader = world.reader();
        reader.recording.lock().passthrough = 1;
        let (engine, recording) = (Arc::clone(world.engine()), Arc::clone(&reader.recording));
        let evictor = shuttle::thread::spawn(move || engine.cache.drop_damaged(&recording, 0));
        world.engine().cache.end_passthrough(&reader.recording);
        evictor.join().unwrap();
        assert_eq!(reader.recording.lock().orphaned, 0);
        drop(reader);
        world.assert_settled();
    });
}

#[test]
fn purging_under_readers_shows_nowhere() {
    explore(|| {
        let world = World::new(3, true, [Mood::Serves]);
        let tasks = [world.reads(0..SIZE), world.reads(BLOCK_SIZE..SIZE)];
        let engine = Arc::clone(world.engine());
        let purger = shuttle::thread::spawn(move || {
            for _ in 0..2 {
                engine.cache.purge(&HASH);
            }
        });
        for task in tasks {
            shuttle::future::block_on(task).unwrap().unwrap();
        }
        purger.join().unwrap();
        settle(&world);
        world.assert_settled();
    });
}

/// A reader hears of the failure of the fetch that it began, and begins no other.
#[test]
fn a_failure_is_heard_by_the_one_who_began_the_fetch() {
    explore(|| {
        let world = World::new(3, true, [Mood::Fails]);
        assert!(shuttle::future::block_on(world.reads(0..SIZE)).unwrap().is_err());
        settle(&world);
        assert_eq!(world.engine().host.asked(), 1);
        world.assert_settled();
    });
}

/// Of two readers of one block, each begins one fetch at most, and neither waits for ever.
#[test]
fn a_failure_is_heard_by_all_who_wait() {
    explore(|| {
        let world = World::new(3, true, [Mood::Fails]);
        for task in [world.reads(0..10), world.reads(5..BLOCK_SIZE)] {
            assert!(shuttle::future::block_on(task).unwrap().is_err());
        }
        settle(&world);
        assert!(world.engine().host.asked() <= 2, "{} requests", world.engine().host.asked());
        world.assert_settled();
    });
}

/// The host breaks off after the first block: what arrived is kept, and the next fetch brings the rest.
#[test]
fn a_fetch_that_fails_midway_leaves_what_arrived() {
    explore(|| {
        let moods = [Mood::SendsLess(BLOCK_SIZE), Mood::Fails, Mood::Serves];
        let world = World::new(3, true, moods);
        let tasks = [world.reads(0..SIZE), world.reads(2 * BLOCK_SIZE..SIZE)];
        for task in tasks {
            let _ = shuttle::future::block_on(task).unwrap();
        }
        shuttle::future::block_on(world.reads(0..SIZE)).unwrap().unwrap();
        settle(&world);
        world.assert_settled();
    });
}

/// A reader that goes away in the middle leaves its fetch to others, and no block in flight.
#[test]
fn abandoned_reads_leave_nothing_behind() {
    explore(|| {
        let world = World::new(3, false, [Mood::Serves]);
        let reader = world.reader();
        let abandoned = shuttle::future::spawn(async move {
            let patience = async {
                for _ in 0..3 {
                    shuttle::future::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                _ = reader.read(0, SIZE as u32) => {}
                () = patience => {}
            }
        });
        let other = world.reads(BLOCK_SIZE..SIZE);
        shuttle::future::block_on(abandoned).unwrap();
        shuttle::future::block_on(other).unwrap().unwrap();
        settle(&world);
        world.assert_settled();
    });
}
