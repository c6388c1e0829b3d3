//! What reads cost and return.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_learns_the_size_and_keeps_the_head() {
    let bench = Bench::new(5 * MIB + 3).await;
    let version = bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    assert_eq!(version, bench.version());
    assert_eq!((bench.host.requests(), bench.host.bytes_sent()), (1, 64 * KIB));
    let reader = bench.reader();
    assert_eq!(reader.read_cached(5, 1000).unwrap(), bench.range(5, 1000));
    assert!(reader.read_cached(64 * KIB - 1, 2).is_none());
    assert_eq!(bench.host.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_recording_that_is_read_next_costs_one_request_and_its_size_is_told_before_it_is_here() {
    let bench = Bench::with(480 * KIB + 3, |settings| settings.whole_file_below = MIB).await;
    bench.host.switches.hold.store(true, std::sync::atomic::Ordering::SeqCst);
    let version = bench.media.probe_to_read(&key(), bench.links.clone(), 600 * KIB).await.unwrap();
    assert_eq!(version, bench.version());
    assert!(!bench.media.is_complete(&key(), &version));
    bench.host.switches.hold.store(false, std::sync::atomic::Ordering::SeqCst);
    bench.read_all(&bench.reader()).await;
    assert_eq!((bench.host.requests(), bench.host.sent_at_most()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_turns_out_long_is_begun_no_further_than_a_short_one() {
    let bench = Bench::with(64 * MIB, |settings| settings.whole_file_below = 16 * MIB).await;
    bench.media.probe_to_read(&key(), bench.links.clone(), 600 * KIB).await.unwrap();
    eventually("idle", || bench.host.switches.running.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    assert_eq!((bench.host.requests(), bench.host.bytes_sent()), (1, MIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_thought_to_be_long_or_is_not_fetched_whole_gives_its_head_alone() {
    for (whole_file_below, expected) in [(16 * MIB, 2 * MIB), (0, 600 * KIB)] {
        let bench = Bench::with(4 * MIB, |settings| settings.whole_file_below = whole_file_below).await;
        bench.media.probe_to_read(&key(), bench.links.clone(), expected).await.unwrap();
        assert_eq!((bench.host.requests(), bench.host.bytes_sent()), (1, 64 * KIB));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_at_once_are_one_request() {
    let bench = Bench::new(MIB).await;
    bench.host.switches.delay_ms.store(50, std::sync::atomic::Ordering::SeqCst);
    let key = key();
    let probes = (0..20).map(|_| bench.media.probe(&key, bench.links.clone()));
    let versions = futures_util::future::join_all(probes).await;
    assert!(versions.into_iter().all(|version| version.unwrap() == bench.version()));
    assert_eq!(bench.host.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequential_read_fetches_each_byte_once() {
    let bench = Bench::new(9 * MIB + 77).await;
    bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    let reader = bench.reader();
    bench.read_all(&reader).await;
    assert_eq!((bench.host.bytes_sent(), bench.host.sent_at_most()), (bench.truth.len() as u64, 1));
    assert!(bench.media.is_complete(&key(), &bench.version()));
    assert!(bench.host.requests() < 20, "{} requests", bench.host.requests());
    bench.read_all(&reader).await;
    assert!(reader.read(bench.truth.len() as u64, 5).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_at_once_fetch_each_byte_once() {
    let bench = Bench::new(4 * MIB + 1).await;
    let readers: Vec<Reader> = (0..8).map(|_| bench.reader()).collect();
    futures_util::future::join_all(readers.iter().map(|reader| bench.read_all(reader))).await;
    assert_eq!((bench.host.bytes_sent(), bench.host.sent_at_most()), (bench.truth.len() as u64, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_and_the_middle_are_cheap() {
    let bench = Bench::new(64 * MIB).await;
    bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    let reader = bench.reader();
    let tail = 64 * MIB - 64 * KIB;
    assert_eq!(reader.read(tail, 65536).await.unwrap(), bench.range(tail, 64 * KIB));
    eventually("idle", || bench.host.switches.running.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
    assert!(bench.host.bytes_sent() <= 256 * KIB);
    let middle = 32 * MIB + 5;
    assert_eq!(reader.read(middle, 65536).await.unwrap(), bench.range(middle, 64 * KIB));
    assert!(bench.host.bytes_sent() <= 512 * KIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_recording_comes_whole_with_its_first_read() {
    let bench = Bench::with(480 * KIB, |settings| settings.whole_file_below = MIB).await;
    let reader = bench.reader();
    reader.read(0, 10).await.unwrap();
    drop(reader);
    eventually("complete", || bench.media.is_complete(&key(), &bench.version())).await;
    assert_eq!((bench.host.requests(), bench.host.sent_at_most()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_read_begins_it_even_from_the_head_that_the_probe_left() {
    let bench = Bench::with(480 * KIB, |settings| settings.whole_file_below = MIB).await;
    bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    let reader = bench.reader();
    assert!(reader.read_cached(0, 10).is_some());
    drop(reader);
    eventually("complete", || bench.media.is_complete(&key(), &bench.version())).await;
    assert_eq!(bench.host.sent_at_most(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_wake_per_block_and_not_per_range() {
    let bench = Bench::with(2 * MIB, |settings| settings.whole_file_below = 4 * MIB).await;
    bench.host.switches.hold.store(true, std::sync::atomic::Ordering::SeqCst);
    let reader = bench.reader();
    let first = tokio::time::timeout(Duration::from_secs(5), reader.read(0, 65536)).await;
    assert_eq!(first.unwrap().unwrap(), bench.range(0, 64 * KIB));
    assert!(!bench.media.is_complete(&key(), &bench.version()));
    bench.host.switches.hold.store(false, std::sync::atomic::Ordering::SeqCst);
    bench.read_all(&reader).await;
    assert_eq!(bench.host.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_read_leaves_its_fetch_to_others() {
    let bench = Bench::new(MIB).await;
    bench.host.switches.delay_ms.store(100, std::sync::atomic::Ordering::SeqCst);
    let reader = bench.reader();
    assert!(tokio::time::timeout(Duration::from_millis(20), reader.read(0, 65536)).await.is_err());
    assert_eq!(reader.read(0, 65536).await.unwrap(), bench.range(0, 64 * KIB));
    assert_eq!(bench.host.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_end_with_the_last_reader() {
    let bench = Bench::new(8 * MIB).await;
    bench.host.switches.hold.store(true, std::sync::atomic::Ordering::SeqCst);
    let reader = bench.reader();
    let _ = tokio::time::timeout(Duration::from_millis(200), reader.read(0, 4 << 20)).await;
    drop(reader);
    bench.host.switches.hold.store(false, std::sync::atomic::Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(bench.media.cache_used() < MIB, "{} bytes after the last reader", bench.media.cache_used());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_limited() {
    let bench = Bench::with(16 * MIB, |settings| settings.connections = 3).await;
    bench.host.switches.delay_ms.store(5, std::sync::atomic::Ordering::SeqCst);
    let readers: Vec<Reader> = (0..12).map(|_| bench.reader()).collect();
    let reads = readers.iter().enumerate().map(|(index, reader)| reader.read(index as u64 * MIB, 65536));
    for read in futures_util::future::join_all(reads).await {
        read.unwrap();
    }
    assert!(bench.host.switches.running_max.load(std::sync::atomic::Ordering::SeqCst) <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_removes_every_byte() {
    let bench = Bench::new(MIB).await;
    let empty = occupied(&bench.settings.cache_dir);
    let reader = bench.reader();
    bench.read_all(&reader).await;
    bench.media.purge(&key());
    assert!(reader.read_cached(0, 10).is_none());
    assert!(occupied(&bench.settings.cache_dir) <= empty + 8 * KIB);
    bench.read_all(&reader).await;
    drop(reader);
    bench.media.purge(&key());
    assert!(!bench.media.is_complete(&key(), &bench.version()));
}

/// A read that ended before its link was signed has none signed, unless another read waits for the same bytes: then in that one's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_signed_only_for_a_read_that_waits() {
    let bench = Bench::new(100 * KIB).await;
    let signer = || {
        let links = bench.host.links();
        *links.takes.lock().unwrap() = Duration::from_hours(1);
        links
    };
    let (first, second) = (signer(), signer());
    let reader = bench.reader();
    let (first_links, second_links): (Arc<dyn LinkSource>, Arc<dyn LinkSource>) = (first.clone(), second.clone());
    let waits_at = async |signer: &host::Signer, count| {
        eventually("asked for a link", || signer.waiting.load(Ordering::SeqCst) == count).await;
    };
    {
        let read = reader.read_for(&first_links, 0, 10);
        tokio::select! {
            _ = read => panic!("no link is at hand"),
            () = waits_at(&first, 1) => {}
        }
    }
    waits_at(&first, 0).await;
    stored(&reader).await;
    let both = async {
        let read = reader.read_for(&first_links, 0, 10);
        tokio::select! {
            _ = read => panic!("no link is at hand"),
            () = async {
                waits_at(&first, 1).await;
                // The other one waits too by now, behind it.
                eventually("both wait", || reader.recording.lock().askers.count() == 2).await;
            } => {}
        }
    };
    let other = async {
        waits_at(&first, 1).await;
        let read = reader.read_for(&second_links, 0, 10);
        tokio::select! {
            _ = read => panic!("no link is at hand"),
            () = waits_at(&second, 1) => {}
        }
    };
    tokio::join!(both, other);
    waits_at(&first, 0).await;
    waits_at(&second, 0).await;
    assert_eq!((first.signings.load(Ordering::SeqCst), second.signings.load(Ordering::SeqCst)), (0, 0));
}
