//! What stays when the process goes.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::*;
use crate::base::crypt::Keys;
use crate::media::cache::Cache;

/// The one file of the cache with this ending.
fn cache_file(dir: &Path, ending: &str) -> PathBuf {
    let mut files = walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok);
    files.find(|entry| entry.path().extension().is_some_and(|found| found == ending)).unwrap().into_path()
}

/// Reads everything once and starts anew on the same directory.
async fn reopened(size: u64) -> Bench {
    let mut bench = Bench::new(size).await;
    bench.read_all(&bench.reader()).await;
    let used = bench.media.cache_used();
    restart(&mut bench, |_| {}).await;
    // Found sizes are what the disk says; charges before were upper bounds of it.
    assert!(bench.media.cache_used() <= used && bench.media.cache_used() >= size);
    bench
}

/// Starts anew, after `between` had its way with the directory.
async fn restart(bench: &mut Bench, between: impl FnOnce(&Path)) {
    let elsewhere = tempfile::tempdir().unwrap();
    bench.media = open(&settings(elsewhere.path()));
    between(&bench.settings.cache_dir);
    let settings = bench.settings.clone();
    bench.media = tokio::task::spawn_blocking(move || open(&settings)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_needs_no_request() {
    let bench = reopened(3 * MIB + 5).await;
    let requests = bench.host.requests();
    assert!(bench.media.is_complete(&key(), &bench.version()));
    let reader = bench.reader();
    for offset in (0..3 * MIB).step_by(100_000) {
        assert_eq!(reader.read_cached(offset, 100_000).unwrap(), bench.range(offset, 100_000));
    }
    assert_eq!(bench.host.requests(), requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_of_the_same_version_keeps_the_blocks() {
    let bench = reopened(MIB).await;
    bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    assert!(bench.media.is_complete(&key(), &bench.version()));
    *bench.host.switches.etag.lock().unwrap() = "\"two\"".into();
    let version = bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    assert!(!bench.media.is_complete(&key(), &version) && !bench.media.is_complete(&key(), &bench.version()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_block_is_fetched_again_and_no_other() {
    let mut bench = reopened(MIB).await;
    let damage = |dir: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(cache_file(dir, "data")).unwrap();
        file.write_all_at(b"damage", 5 * 65536 + 100).unwrap();
    };
    restart(&mut bench, damage).await;
    let before = bench.host.bytes_sent();
    let reader = bench.reader();
    assert!(reader.read_cached(5 * 65536 + 10, 10).is_none());
    bench.read_all(&reader).await;
    assert_eq!(bench.host.bytes_sent() - before, 65536);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_dropped() {
    for ending in ["data", "idx"] {
        for len in [0, 10, 300, 600] {
            let mut bench = reopened(MIB).await;
            restart(&mut bench, |dir| {
                let file = std::fs::OpenOptions::new().write(true).open(cache_file(dir, ending)).unwrap();
                file.set_len(len).unwrap();
            })
            .await;
            bench.read_all(&bench.reader()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_nobody_vouches_for_are_freed() {
    let mut bench = reopened(MIB).await;
    restart(&mut bench, |dir| {
        let file = std::fs::OpenOptions::new().write(true).open(cache_file(dir, "idx")).unwrap();
        file.write_all_at(&[0; 8 * 8], super::super::index::entry_offset(4, super::super::index::Form::Plain)).unwrap();
    })
    .await;
    let reader = bench.reader();
    assert!(reader.read_cached(4 * 65536, 1).is_none() && reader.read_cached(0, 4 * 65536).is_some());
    assert!(occupied(&bench.settings.cache_dir) < 600 * KIB);
    bench.read_all(&reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verified_file_is_complete_and_survives_eviction() {
    let bench = reopened(MIB).await;
    let reader = bench.reader();
    assert!(reader.verified_file().await.is_none(), "nothing was verified in this process yet");
    assert!(reader.verify_all().await);
    let verified = reader.verified_file().await.unwrap();
    let used = bench.media.cache_used();
    bench.media.purge(&key());
    assert_eq!(bench.media.cache_used(), used, "the bytes count until the last handle closes");
    let mut bytes = vec![0; bench.truth.len()];
    verified.file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == bench.truth);
    drop(verified);
    assert!(bench.media.cache_used() < used - MIB / 2);
}

/// Blocks of a recording that is erased under its fetch, in a cache that has no room for them beside another's.
#[test]
fn blocks_of_an_erased_recording_are_dropped_and_neither_the_disk_nor_another_recording_suffers() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::from_second(1_800_000_000).unwrap()));
    let version = Version { size: 128 * KIB, validator: "\"one\"".into() };
    let cache = Cache::open(dir.path(), &Keys::default(), 3 * 64 * KIB, 0, clock).unwrap();
    let [erased, other] = ["erased", "other"].map(|key| {
        let recording = cache.attach(cache.name(&RecordingKey(key.into())), &version);
        assert!((0..2).all(|block| recording.lock().blocks.claim(block)));
        recording
    });
    let bytes = [bytes::Bytes::from(content(64 * KIB, 0))];
    assert!(cache.store_run(&other, 0, &[&bytes, &bytes]));
    cache.erase(&erased.hash);
    assert!(cache.store_run(&erased, 0, &[&bytes, &bytes]));
    assert_eq!((cache.trouble(), cache.is_spilling()), (None, false));
    assert!(erased.lock().blocks.is_idle_and_empty() && other.lock().blocks.is_complete());
}

/// As a mount that ends does: what was fetched is paid for in time and traffic, and the disk is not to blame.
#[test]
fn blocks_that_are_being_written_when_their_fetch_is_broken_off_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::from_second(1_800_000_000).unwrap()));
    let cache = Cache::open(dir.path(), &Keys::default(), 1 << 30, 0, clock).unwrap();
    let version = Version { size: MIB, validator: "\"one\"".into() };
    let recording = cache.attach(cache.name(&key()), &version);
    assert!((0..2).all(|block| recording.lock().blocks.claim(block)));
    let write = |block: u32| {
        let bytes = [bytes::Bytes::from(content(64 * KIB, u64::from(block)))];
        assert!(cache.store_run(&recording, block, &[&bytes]));
    };
    write(0);
    // Its reader and its fetch are gone before the disk has taken the other block.
    cache.detach(&recording);
    write(1);
    cache.rest(&recording);
    assert_eq!((cache.trouble(), cache.is_spilling()), (None, false));
    assert!(recording.lock().files.is_none(), "closed after the last write");
    let again = cache.attach(cache.name(&key()), &version);
    assert_eq!(again.lock().present_until(0, MIB), 128 * KIB);
}
