//! Looking after the cache: age, damage, erasing, counting.

use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use super::*;

const AGE: Duration = Duration::from_hours(720);

/// A clock that both the cache and the test hold, and a cache with everything of one recording.
async fn aged(size: u64) -> (Bench, Arc<ManualClock>) {
    let mut bench = Bench::with(size, |settings| settings.max_age = AGE).await;
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::from_second(1_800_000_000).unwrap()));
    let elsewhere = tempfile::tempdir().unwrap();
    bench.media = open(&settings(elsewhere.path()));
    bench.media = Media::open(bench.settings.clone(), clock.clone()).unwrap();
    bench.read_all(&bench.reader()).await;
    (bench, clock)
}

fn damage(bench: &Bench, offset: u64) {
    let mut files = walkdir::WalkDir::new(&bench.settings.cache_dir).into_iter().filter_map(Result::ok);
    let data = files.find(|entry| entry.path().extension().is_some_and(|found| found == "data")).unwrap();
    std::fs::OpenOptions::new().write(true).open(data.path()).unwrap().write_all_at(b"damage", offset).unwrap();
}

fn examine(media: &Media) -> Examined {
    media.examine(&mut |_| true)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_when_their_time_is_up_and_come_back_when_read() {
    let (bench, clock) = aged(MIB).await;
    clock.advance(AGE.saturating_sub(Duration::from_secs(1)));
    assert_eq!(bench.media.drop_expired(), 0);
    assert!(bench.media.is_complete(&key(), &bench.version()));
    let open_meanwhile = bench.reader();
    clock.advance(Duration::from_secs(1));
    assert_eq!(bench.media.drop_expired(), 1);
    assert!(!bench.media.is_complete(&key(), &bench.version()));
    assert_eq!((bench.media.cache_used() < 100 * KIB, occupied(&bench.settings.cache_dir) < 100 * KIB), (true, true));
    // Who has it open reads on, from the host, and the new bytes have an age of their own.
    bench.read_all(&open_meanwhile).await;
    assert_eq!(bench.media.drop_expired(), 0);
    assert!(bench.media.is_complete(&key(), &bench.version()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_at_start_is_not_shown_even_before_it_is_dropped() {
    let (mut bench, clock) = aged(MIB).await;
    let elsewhere = tempfile::tempdir().unwrap();
    bench.media = open(&settings(elsewhere.path()));
    clock.advance(AGE);
    let (settings, late) = (bench.settings.clone(), clock.clone());
    bench.media = tokio::task::spawn_blocking(move || Media::open(settings, late).unwrap()).await.unwrap();
    assert!(bench.media.cache_used() > MIB, "nobody has looked yet");
    assert!(!bench.media.is_complete(&key(), &bench.version()));
    let reader = bench.reader();
    assert!(reader.read_cached(0, 10).is_none());
    assert!(bench.media.cache_used() < 100 * KIB);
}

/// As a machine does that has no clock of its own, before the network tells the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_behind_at_start_drops_nothing() {
    let (mut bench, right) = aged(MIB).await;
    let elsewhere = tempfile::tempdir().unwrap();
    bench.media = open(&settings(elsewhere.path()));
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    let (settings, behind) = (bench.settings.clone(), clock.clone());
    bench.media = tokio::task::spawn_blocking(move || Media::open(settings, behind).unwrap()).await.unwrap();
    assert_eq!(bench.media.drop_expired(), 0);
    assert!(bench.reader().read_cached(0, 10).is_some());
    clock.advance(Duration::from_secs(right.now().as_second() as u64));
    assert_eq!(bench.media.drop_expired(), 0);
    assert!(bench.media.is_complete(&key(), &bench.version()));
    clock.advance(AGE);
    assert_eq!(bench.media.drop_expired(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ageing_begins_at_start_and_goes_on() {
    let (bench, clock) = aged(MIB).await;
    clock.advance(AGE);
    bench.media.start_ageing();
    eventually("the old bytes go by themselves", || bench.media.cache_used() < 100 * KIB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_kernel_reads_is_dropped_by_unlinking() {
    let (bench, clock) = aged(MIB).await;
    let reader = bench.reader();
    let verified = reader.verified_file().await.unwrap();
    clock.advance(AGE);
    assert_eq!(bench.media.drop_expired(), 1);
    let mut bytes = vec![0; bench.truth.len()];
    verified.file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == bench.truth, "no hole under the kernel's reads");
    let named = walkdir::WalkDir::new(&bench.settings.cache_dir).into_iter().filter_map(Result::ok);
    assert_eq!(named.filter(|entry| entry.path().extension().is_some()).count(), 0, "and no name");
    assert!(bench.media.cache_used() > MIB, "the bytes count until the last handle closes");
    drop(verified);
    assert!(bench.media.cache_used() < 100 * KIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_in_what_was_verified_before_and_in_what_nobody_has_touched() {
    for touched in [true, false] {
        let (mut bench, clock) = aged(MIB + 5).await;
        let sound = examine(&bench.media);
        assert!(sound.is_sound() && sound.blocks == 17 && sound.bytes == MIB + 5 && sound.recordings == 1, "{sound:?}");
        damage(&bench, 5 * 65536 + 100);
        damage(&bench, MIB - 6);
        if !touched {
            let elsewhere = tempfile::tempdir().unwrap();
            bench.media = open(&settings(elsewhere.path()));
            let (settings, clock) = (bench.settings.clone(), clock.clone());
            bench.media = tokio::task::spawn_blocking(move || Media::open(settings, clock).unwrap()).await.unwrap();
        }
        let found = examine(&bench.media);
        assert_eq!((found.damaged_blocks, found.damaged_recordings), (2, 0), "touched: {touched}");
        assert!(examine(&bench.media).is_sound(), "what is damaged was dropped");
        let stats = bench.media.stats();
        assert_eq!((stats.recordings, stats.complete, stats.partial, stats.blocks), (1, 0, 1, 15));
        let before = bench.host.bytes_sent();
        bench.read_all(&bench.reader()).await;
        assert_eq!(bench.host.bytes_sent() - before, 2 * 65536);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_useless_index_is_dropped() {
    let (mut bench, clock) = aged(MIB).await;
    let elsewhere = tempfile::tempdir().unwrap();
    bench.media = open(&settings(elsewhere.path()));
    let mut files = walkdir::WalkDir::new(&bench.settings.cache_dir).into_iter().filter_map(Result::ok);
    let index = files.find(|entry| entry.path().extension().is_some_and(|found| found == "idx")).unwrap();
    std::fs::OpenOptions::new().write(true).open(index.path()).unwrap().write_all_at(b"x", 3).unwrap();
    let settings = bench.settings.clone();
    bench.media = tokio::task::spawn_blocking(move || Media::open(settings, clock).unwrap()).await.unwrap();
    let found = examine(&bench.media);
    assert_eq!((found.recordings, found.damaged_recordings), (1, 1));
    assert!(bench.media.cache_used() < 100 * KIB && examine(&bench.media).recordings == 0);
    bench.read_all(&bench.reader()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_examination_ends_when_nobody_listens() {
    let (bench, _clock) = aged(MIB).await;
    let other = bench.media.reader(&RecordingKey("other".into()), &bench.version(), bench.links.clone()).unwrap();
    other.read(0, 10).await.unwrap();
    stored(&other).await;
    let found = bench.media.examine(&mut |_| false);
    assert_eq!((found.recordings, found.of), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_not_fetched_again_by_whoever_has_it_open() {
    let (bench, _clock) = aged(MIB).await;
    let (reader, half) = (bench.reader(), RecordingKey("half".into()));
    let other = bench.media.reader(&half, &bench.version(), bench.links.clone()).unwrap();
    other.read(0, 10).await.unwrap();
    stored(&other).await;
    assert!(bench.media.occupied(&key()) > MIB);
    bench.media.erase(&key());
    assert_eq!(bench.media.occupied(&key()), 0);
    let requests = bench.host.requests();
    assert!(reader.read_cached(0, 10).is_none());
    assert!(matches!(reader.read(0, 10).await, Err(MediaError::Erased)));
    assert_eq!(bench.host.requests(), requests);
    // Another opens it as if it had never been here; others never noticed.
    bench.read_all(&bench.reader()).await;
    assert!(other.read_cached(0, 10).is_some());
    bench.media.erase_all(&mut |_, _| {});
    assert!(matches!(other.read(0, 10).await, Err(MediaError::Erased)));
    assert!(bench.media.cache_used() < 100 * KIB && bench.media.stats().recordings == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_all_leaves_readers_reading() {
    let (bench, _clock) = aged(MIB).await;
    let reader = bench.reader();
    let mut told = Vec::new();
    bench.media.purge_all(&mut |done, of| told.push((done, of)));
    assert_eq!(told, [(1, 1)]);
    assert_eq!(bench.media.stats().recordings, 0);
    bench.read_all(&reader).await;
    assert_eq!(bench.media.stats().complete, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_recording_is_hashed_and_a_damaged_one_is_not() {
    let (bench, _clock) = aged(MIB + 5).await;
    let version = bench.version();
    // Open meanwhile, so that every block counts as verified.
    let reader = bench.reader();
    bench.read_all(&reader).await;
    eventually("all of it is on disk", || bench.media.is_complete(&key(), &version)).await;
    let truth = ring::digest::digest(&ring::digest::SHA256, &bench.truth);
    assert_eq!(bench.media.sha256(&key(), &version).unwrap().as_slice(), truth.as_ref());
    damage(&bench, 100 * KIB);
    assert_eq!(bench.media.sha256(&key(), &version), None, "damage is no evidence");
    assert!(!bench.media.is_complete(&key(), &version), "it was dropped");
    bench.read_all(&reader).await;
    eventually("it was fetched again", || bench.media.is_complete(&key(), &version)).await;
    assert_eq!(bench.media.sha256(&key(), &version).unwrap().as_slice(), truth.as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_has_no_age_and_is_not_purged_with_the_rest() {
    let (bench, clock) = aged(MIB).await;
    eventually("all of it is on disk", || bench.media.is_complete(&key(), &bench.version())).await;
    bench.media.hold(&key(), true);
    clock.advance(AGE);
    assert_eq!(bench.media.drop_expired(), 0);
    bench.media.purge_all(&mut |_, _| {});
    assert!(bench.media.is_complete(&key(), &bench.version()));
    bench.media.hold(&key(), false);
    assert_eq!(bench.media.drop_expired(), 1);
}

/// A probe has no recording before its answer comes, so the erasure does not find it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_probe_under_way_brings_of_an_erased_recording_is_not_stored() {
    for all in [false, true] {
        let bench = Bench::with(600 * KIB, |settings| settings.whole_file_below = MIB).await;
        bench.host.switches.delay_ms.store(700, Ordering::SeqCst);
        let (media, links) = (bench.media.clone(), bench.links.clone());
        let probe = tokio::spawn(async move { media.probe_to_read(&key(), links, 600 * KIB).await });
        eventually("the host was asked", || bench.host.requests() == 1).await;
        if all {
            bench.media.erase_all(&mut |_, _| {});
        } else {
            bench.media.erase(&key());
        }
        let _ = probe.await.unwrap();
        eventually("it has ended", || {
            bench.media.probes() == 0 && bench.host.switches.running.load(Ordering::SeqCst) == 0
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!((bench.media.occupied(&key()), bench.media.stats().recordings), (0, 0), "all: {all}");
        // It may be fetched again by who is shown it again.
        bench.read_all(&bench.reader()).await;
    }
}

/// What sees to the rest of a long recording before its link ends has the link and the owner's note.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_waits_for_the_end_of_an_erased_recordings_link() {
    let bench = Bench::new(MIB).await;
    *bench.links.expires_at.lock().unwrap() = Some(jiff::Timestamp::from_second(1_800_003_600).unwrap());
    let reader = bench.reader();
    reader.read(0, 10).await.unwrap();
    stored(&reader).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = tasks();
    bench.media.erase(&key());
    eventually("its task has ended", || tasks() < before).await;
}
