//! Who goes first on a slow line, what is fetched before a link ends, and what may be fetched ahead without signing.

use std::sync::atomic::Ordering;

use super::*;
use crate::media::geometry::BLOCK_SIZE;

/// Twelve sequential readers, a line that carries a fraction of what they could take, and a deadline that is far shorter than it all takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_line_fails_no_reader_while_bytes_arrive() {
    for connections in [16, 4] {
        let bench = Bench::with(2 * MIB, |settings| {
            settings.deadline = Duration::from_secs(2);
            settings.connections = connections;
        })
        .await;
        bench.host.switches.line.store(4 << 20, Ordering::SeqCst);
        let readers = (0..12).map(|number| {
            let key = RecordingKey(format!("{number}/0").into());
            bench.media.reader(&key, &bench.version(), bench.links.clone()).unwrap()
        });
        let readers: Vec<Reader> = readers.collect();
        futures_util::future::join_all(readers.iter().map(|reader| bench.read_all(reader))).await;
        assert_eq!(bench.media.gate().hosts, [], "nothing is left under way");
    }
}

/// One range takes longer than the deadline on this line.
#[tokio::test(flavor = "multi_thread")]
async fn one_slow_range_is_no_error_either() {
    let bench = Bench::with(512 * KIB, |settings| {
        settings.deadline = Duration::from_secs(1);
        settings.whole_file_below = MIB;
    })
    .await;
    bench.host.switches.line.store(128 << 10, Ordering::SeqCst);
    let reader = bench.reader();
    assert_eq!(reader.read(0, 512 * 1024).await.unwrap(), bench.range(0, 512 * KIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_goes_on_reading_is_fetched_before_its_link_ends() {
    let bench = Bench::new(12 * MIB).await;
    bench.host.switches.etag_per_link.store(true, Ordering::SeqCst);
    *bench.links.expires_at.lock().unwrap() = Some(jiff::Timestamp::from_second(1_800_000_060).unwrap());
    let version = bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    let reader = bench.media.reader(&key(), &version, bench.links.clone()).unwrap();
    // It reads on, slowly.
    for offset in (0..2 * MIB).step_by(128 * 1024) {
        reader.read(offset, 128 * 1024).await.unwrap();
    }
    eventually("all of it is here", || bench.media.is_complete(&key(), &version)).await;
    bench.host.switches.refused_up_to.store(1, Ordering::SeqCst);
    bench.read_all(&reader).await;
    assert_eq!(bench.links.signings.load(Ordering::SeqCst), 1);
    assert_eq!(bench.host.sent_at_most(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_signings_were_seen_to_differ_the_first_read_fetches_all() {
    let bench = Bench::new(12 * MIB).await;
    bench.host.switches.etag_per_link.store(true, Ordering::SeqCst);
    *bench.links.expires_at.lock().unwrap() = Some(jiff::Timestamp::from_second(1_800_000_060).unwrap());
    let version = bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    let reader = bench.media.reader(&key(), &version, bench.links.clone()).unwrap();
    // One who only looks costs no more than what is looked at.
    reader.read(6 * MIB, 10).await.unwrap();
    bench.host.switches.refused_up_to.store(1, Ordering::SeqCst);
    let error = reader.read(11 * MIB, 10).await.unwrap_err();
    assert!(matches!(&error, MediaError::Changed(_)), "{error:?}");
    let MediaError::Changed(second) = error else { return };
    assert!(bench.host.bytes_sent() < MIB);
    let again = bench.media.reader(&key(), &second, bench.links.clone()).unwrap();
    again.read(6 * MIB, 10).await.unwrap();
    eventually("all of it is here", || bench.media.is_complete(&key(), &second)).await;
    bench.host.switches.refused_up_to.store(2, Ordering::SeqCst);
    bench.read_all(&again).await;
    assert_eq!(bench.links.signings.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_second_signing_led_to_the_same_object_nothing_is_fetched_in_haste() {
    let bench = Bench::new(12 * MIB).await;
    let reader = bench.reader();
    reader.read(6 * MIB, 10).await.unwrap();
    bench.host.switches.refused_up_to.store(1, Ordering::SeqCst);
    reader.read(0, 10).await.unwrap();
    *bench.links.expires_at.lock().unwrap() = Some(jiff::Timestamp::from_second(1_800_000_060).unwrap());
    bench.host.switches.refused_up_to.store(2, Ordering::SeqCst);
    for offset in (0..MIB / 2).step_by(64 * 1024) {
        reader.read(offset, 64 * 1024).await.unwrap();
    }
    stored(&reader).await;
    assert_eq!(bench.links.signings.load(Ordering::SeqCst), 3);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!bench.media.is_complete(&key(), &bench.version()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_ahead_never_signs_and_fails_no_reader_that_may() {
    let bench = Bench::new(MIB).await;
    let link = bench.links.link(None).await.unwrap();
    bench.host.switches.refused_up_to.store(1, Ordering::SeqCst);
    let ahead = Arc::new(OneLink { link, note: None });
    let ahead = bench.media.reader(&key(), &bench.version(), ahead).unwrap();
    assert!(matches!(ahead.read(0, 10).await, Err(MediaError::Unsigned)));
    assert_eq!((bench.links.signings.load(Ordering::SeqCst), bench.host.requests()), (1, 1));
    // Both want the same block, which the one ahead begins to fetch.
    bench.host.switches.delay_ms.store(100, Ordering::SeqCst);
    let reader = bench.reader();
    let block = 3 * BLOCK_SIZE;
    let (refused, read) = tokio::join!(ahead.read(block, 10), async {
        eventually("asked", || bench.host.requests() == 2).await;
        reader.read(block, 10).await
    });
    assert!(matches!(refused, Err(MediaError::Unsigned)) || refused.is_ok());
    assert_eq!(read.unwrap(), bench.range(block, 10));
    assert_eq!(bench.links.signings.load(Ordering::SeqCst), 2);
}
