//! The limits of the cache, and that no eviction ever shows in what is read.

use proptest::prelude::*;

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Random reads by several readers of several recordings in a cache of any size, from none to plenty.
    #[test]
    fn reads_equal_the_truth(
        cache_blocks in 0u64..40, size in 1u64..2_000_000, whole: bool, connections in 1usize..5,
        reads in prop::collection::vec((0usize..4, 0u64..2_000_000, 1u32..300_000), 1..60),
    ) {
        runtime().block_on(async {
            let adjust = |settings: &mut MediaSettings| {
                settings.cache_size = cache_blocks * 65536;
                settings.whole_file_below = if whole { u64::MAX } else { 0 };
                settings.connections = connections;
            };
            let bench = Bench::with(size, adjust).await;
            let readers: Vec<Reader> = (0..4)
                .map(|reader| {
                    let key = RecordingKey(format!("recording {}", reader / 2).into());
                    bench.media.reader(&key, &bench.version(), bench.links.clone()).unwrap()
                })
                .collect();
            let of_reader = |wanted: usize| {
                let reads = reads.iter().filter(move |(reader, ..)| *reader == wanted).copied();
                let (bench, readers) = (&bench, &readers);
                async move {
                    for (reader, offset, len) in reads {
                        let bytes = readers[reader].read(offset, len).await.unwrap();
                        assert!(bytes == bench.range(offset, u64::from(len)), "wrong bytes at {offset}");
                    }
                }
            };
            futures_util::future::join_all((0..4).map(of_reader)).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory_stays_within_its_limit() {
    const LIMIT: u64 = 2 * MIB;
    let bench = Bench::with(6 * MIB, |settings| settings.cache_size = LIMIT).await;
    let dir = bench.settings.cache_dir.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while stopped.try_recv().is_err() {
            most = most.max(occupied(&dir));
        }
        most
    });
    // One recording: the watcher looks at one data file, and so at one instant.
    let reader = bench.reader();
    for _ in 0..4 {
        bench.read_all(&reader).await;
        assert!(bench.media.cache_used() <= LIMIT);
    }
    stop.send(()).unwrap();
    let most = watcher.join().unwrap();
    assert!(most <= LIMIT, "{most} bytes on disk");
    assert!(most > LIMIT / 2, "{most} bytes on disk: the limit was not put to the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_recordings_share_one_limit() {
    const LIMIT: u64 = 2 * MIB;
    let bench = Bench::with(5 * MIB / 4, |settings| settings.cache_size = LIMIT).await;
    let keys = ["a", "b", "c"].map(|key| RecordingKey(key.into()));
    for key in keys.iter().cycle().take(9) {
        let reader = bench.media.reader(key, &bench.version(), bench.links.clone()).unwrap();
        bench.read_all(&reader).await;
        drop(reader);
        let on_disk = occupied(&bench.settings.cache_dir);
        assert!(on_disk <= LIMIT && bench.media.cache_used() <= LIMIT, "{on_disk} bytes on disk");
        assert!(on_disk <= bench.media.cache_used(), "{on_disk} on disk, more than {}", bench.media.cache_used());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_disk_takes_memory() {
    // Memory for one fetch.
    let bench = Bench::with(MIB / 2, |settings| (settings.memory, settings.whole_file_below) = (0, MIB)).await;
    let [first, second] = ["a", "b"]
        .map(|key| bench.media.reader(&RecordingKey(key.into()), &bench.version(), bench.links.clone()).unwrap());
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let slow = Arc::clone(&first.recording);
    let (taken, is_taken) = tokio::sync::oneshot::channel();
    let disk = std::thread::spawn(move || {
        let _writing = slow.writing.lock().unwrap();
        taken.send(()).unwrap();
        held.recv().unwrap();
    });
    is_taken.await.unwrap();
    assert!(first.read(0, 65536).await.unwrap() == bench.range(0, 64 * KIB), "read before it is on disk");
    assert!(tokio::time::timeout(Duration::from_millis(300), second.read(0, 65536)).await.is_err());
    assert_eq!(bench.host.requests(), 1);
    assert_eq!(bench.media.gate().hosts.iter().map(|host| host.connections).sum::<usize>(), 0);
    let_go.send(()).unwrap();
    disk.join().unwrap();
    bench.read_all(&second).await;
}

/// As btrfs, XFS and ZFS do.
#[test]
fn a_file_system_that_frees_late_does_not_cost_the_whole_cache() {
    const MIN_FREE: u64 = 1 << 30;
    let disk = made_up_disk::MadeUpDisk::default();
    let store = crate::media::store::Store::on(Arc::new(disk.clone()), "/v1".into(), None).unwrap();
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    let cache = crate::media::cache::Cache::over(store, 1 << 30, MIN_FREE, clock).unwrap();
    let [old, new] = ["old", "new"].map(|key| {
        let version = Version { size: 2 * MIB, validator: "\"one\"".into() };
        cache.attach(cache.name(&RecordingKey(key.into())), &version)
    });
    let bytes = [bytes::Bytes::from(content(64 * KIB, 0))];
    let store = |recording: &Arc<Recording>, block| {
        assert!(recording.lock().blocks.claim(block) && cache.store_run(recording, block, &[&bytes]));
    };
    disk.pretend_free(MIN_FREE + MIB);
    (0..32).for_each(|block| store(&old, block));
    disk.pretend_free(MIN_FREE);
    store(&new, 0);
    assert_eq!((cache.trouble(), new.lock().present_until(0, MIB)), (None, 64 * KIB));
    let kept = old.lock().blocks.present().count();
    assert!((28..32).contains(&kept), "{kept} of 32 blocks kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_evicted_whole_is_forgotten() {
    let bench = Bench::with(MIB, |settings| settings.cache_size = 3 * MIB / 2).await;
    for key in ["a", "b", "c", "d"] {
        let reader = bench.media.reader(&RecordingKey(key.into()), &bench.version(), bench.links.clone()).unwrap();
        bench.read_all(&reader).await;
    }
    let registry = bench.media.lifeline.engine.cache.registry.lock().unwrap();
    // The last one, and what is left of the one before it.
    assert_eq!((registry.by_hash.len(), registry.by_id.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_earlier_process_go_before_what_is_read_now() {
    let mut bench = Bench::with(MIB, |settings| settings.cache_size = 3 * MIB).await;
    let keys = ["a", "b"].map(|key| RecordingKey(key.into()));
    for key in &keys {
        let reader = bench.media.reader(key, &bench.version(), bench.links.clone()).unwrap();
        bench.read_all(&reader).await;
    }
    let elsewhere = tempfile::tempdir().unwrap();
    bench.media = open(&settings(elsewhere.path()));
    let own = bench.settings.clone();
    bench.media = tokio::task::spawn_blocking(move || open(&own)).await.unwrap();
    let reader = bench.media.reader(&keys[0], &bench.version(), bench.links.clone()).unwrap();
    bench.read_all(&reader).await;
    let other = bench.media.reader(&RecordingKey("c".into()), &bench.version(), bench.links.clone()).unwrap();
    bench.read_all(&other).await;
    assert!(bench.media.is_complete(&keys[0], &bench.version()));
    assert!(!bench.media.is_complete(&keys[1], &bench.version()));
}

/// Files that are unlinked and made anew under the hands of readers and writers never show through.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn purging_under_readers_never_shows() {
    let bench = Bench::with(MIB, |settings| settings.cache_size = 20 * 65536).await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let (bench, done) = (&bench, &done);
    let reads = (0..4).map(|seed| async move {
        let mut random = fastrand::Rng::with_seed(seed);
        let reader = bench.reader();
        for _ in 0..400 {
            let (offset, len) = (random.u64(..MIB), random.u32(1..200_000));
            let bytes = reader.read(offset, len).await.unwrap();
            assert!(bytes == bench.range(offset, u64::from(len)), "wrong bytes at {offset}");
        }
    });
    let purges = std::thread::scope(|scope| {
        let purger = scope.spawn(|| {
            let mut purges = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                bench.media.purge(&key());
                purges += 1;
                std::thread::sleep(Duration::from_micros(200));
            }
            purges
        });
        tokio::task::block_in_place(|| {
            let reads = futures_util::future::join_all(reads);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                tokio::runtime::Handle::current().block_on(reads);
            }));
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            ended.unwrap();
        });
        purger.join().unwrap()
    });
    assert!(purges > 10);
    eventually("idle", || bench.host.switches.running.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    // What had arrived may still be on its way to the disk.
    let nothing_leaks = || {
        bench.media.purge(&key());
        bench.media.cache_used() <= 8 * KIB
    };
    eventually("no bytes leaked", nothing_leaks).await;
}
