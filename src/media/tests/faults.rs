//! What the media host and the disk do to us.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_link_is_signed_anew_and_the_read_goes_on() {
    let bench = Bench::new(2 * MIB).await;
    let reader = bench.reader();
    reader.read(0, 1000).await.unwrap();
    bench.host.switches.refused_up_to.store(1, Ordering::SeqCst);
    bench.read_all(&reader).await;
    assert_eq!(bench.links.signings.load(Ordering::SeqCst), 2);
    assert_eq!(bench.host.sent_at_most(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_fresh_link_is_the_end() {
    let bench = Bench::new(MIB).await;
    bench.host.switches.refused_up_to.store(u64::MAX, Ordering::SeqCst);
    assert!(matches!(bench.reader().read(0, 10).await, Err(MediaError::Refused(StorageRefusal::Denied))));
    assert!(matches!(
        bench.media.probe(&key(), bench.links.clone()).await,
        Err(MediaError::Refused(StorageRefusal::Denied))
    ));
    assert_eq!(bench.host.requests(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_replaced_before_its_end_by_the_hosts_clock() {
    let bench = Bench::new(2 * MIB).await;
    // Our clock stands at 1,800,000,000; the link ends 60 s later; the host is 90 s ahead.
    *bench.links.expires_at.lock().unwrap() = Some(jiff::Timestamp::from_second(1_800_000_060).unwrap());
    let reader = bench.reader();
    reader.read(0, 10).await.unwrap();
    assert_eq!(bench.links.signings.load(Ordering::SeqCst), 1);
    *bench.host.switches.skew_s.lock().unwrap() = 90;
    reader.read(MIB, 10).await.unwrap();
    reader.read(2 * MIB - 10, 10).await.unwrap();
    assert_eq!(bench.links.signings.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_link_source_tells_its_reason() {
    let bench = Bench::new(MIB).await;
    bench.links.fails.store(true, Ordering::SeqCst);
    let error = bench.reader().read(0, 10).await.unwrap_err();
    assert_eq!(crate::media::error::chain(&error), "no link to the recording: no budget");
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_resume_where_they_were() {
    let bench = Bench::with(2 * MIB, |settings| settings.whole_file_below = 4 * MIB).await;
    bench.host.switches.cut_after.store(100_000, Ordering::SeqCst);
    bench.host.switches.cuts.store(5, Ordering::SeqCst);
    bench.read_all(&bench.reader()).await;
    // What was sent and lost on the way is asked again; what arrived is not.
    assert!(bench.host.bytes_sent() <= bench.truth.len() as u64 + 5 * 100_000);
    assert!(bench.host.requests() >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_retried_within_reason() {
    let bench = Bench::new(MIB).await;
    bench.host.switches.unavailable.store(2, Ordering::SeqCst);
    bench.host.switches.wrong_ranges.store(1, Ordering::SeqCst);
    assert_eq!(bench.reader().read(0, 1000).await.unwrap(), bench.range(0, 1000));
    assert_eq!(bench.host.requests(), 4);
    bench.host.switches.unavailable.store(usize::MAX, Ordering::SeqCst);
    let error = bench.reader().read(MIB / 2, 10).await.unwrap_err();
    assert!(matches!(&error, MediaError::Failed(why) if why.contains("503")), "{error}");
    assert_eq!(bench.host.requests(), 4 + 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_is_asked_again_and_never_believed() {
    for ignore_range in [false, true] {
        let bench = Bench::new(MIB).await;
        bench.host.switches.ignore_range.store(ignore_range, Ordering::SeqCst);
        bench.host.switches.emptied.store(1, Ordering::SeqCst);
        assert_eq!(bench.media.probe(&key(), bench.links.clone()).await.unwrap(), bench.version());
        let reader = bench.reader();
        bench.host.switches.emptied.store(1, Ordering::SeqCst);
        assert_eq!(reader.read(MIB / 2, 10).await.unwrap(), bench.range(MIB / 2, 10));
        bench.host.switches.emptied.store(usize::MAX, Ordering::SeqCst);
        let error = bench.media.probe(&key(), bench.links.clone()).await.unwrap_err();
        assert!(matches!(&error, MediaError::Failed(why) if why.contains("empty")), "{error}");
        assert!(reader.read_cached(0, 10).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mended_is_not_retried() {
    let bench = Bench::new(MIB).await;
    for (status, text) in
        [(404, "no such"), (410, "no such"), (302, "redirects to nowhere"), (418, "418"), (451, "451")]
    {
        bench.host.switches.status.store(status, Ordering::SeqCst);
        let before = bench.host.requests();
        let error = bench.reader().read(0, 10).await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(bench.host.requests(), before + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_storage_refuses_for_good_is_not_signed_anew() {
    for (code, expected) in [
        ("InvalidObjectState", StorageRefusal::Archived),
        ("BlobBeingRehydrated", StorageRefusal::Restoring),
        ("NoSuchKey", StorageRefusal::Gone),
        ("AllAccessDisabled", StorageRefusal::Denied),
    ] {
        let bench = Bench::new(MIB).await;
        bench.host.switches.status.store(403, Ordering::SeqCst);
        *bench.host.switches.code.lock().unwrap() = code.into();
        let error = bench.reader().read(0, 10).await.unwrap_err();
        assert_eq!(error.refusal(), Some(expected), "{error}");
        assert_eq!((bench.host.requests(), bench.links.signings.load(Ordering::SeqCst)), (1, 1));
    }
    let bench = Bench::new(MIB).await;
    bench.host.switches.status.store(403, Ordering::SeqCst);
    *bench.host.switches.code.lock().unwrap() = "AccessDenied".into();
    assert_eq!(bench.reader().read(0, 10).await.unwrap_err().refusal(), Some(StorageRefusal::Denied));
    assert_eq!((bench.host.requests(), bench.links.signings.load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_with_their_range() {
    for status in [301, 302, 303, 307, 308] {
        for hops in 1..=3 {
            let bench = Bench::with(2 * MIB, |settings| settings.whole_file_below = 64 * KIB).await;
            bench.host.redirect(status, hops);
            let version = bench.media.probe(&key(), bench.links.clone()).await.unwrap();
            assert_eq!(version, bench.version());
            let reader = bench.reader();
            assert_eq!(reader.read(MIB + 5, 10).await.unwrap(), bench.range(MIB + 5, 10), "in the middle");
            bench.read_all(&reader).await;
            assert_eq!(bench.host.sent_at_most(), 1, "each byte came once: ranges went along");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_a_host_that_ignores_ranges_is_streamed_once() {
    let bench = Bench::with(2 * MIB, |settings| settings.whole_file_below = 4 * MIB).await;
    bench.host.redirect(302, 1);
    bench.host.switches.ignore_range.store(true, Ordering::SeqCst);
    let reader = bench.reader();
    assert_eq!(reader.read(MIB, 10).await.unwrap(), bench.range(MIB, 10));
    bench.read_all(&reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_that_lead_nowhere_are_refused_without_another_signing() {
    let other = Host::start(Vec::new()).await;
    for (to, text) in [
        ("/x.mp4".to_owned(), "more than 3 times"),
        ("http://10.0.0.1/x.mp4".to_owned(), "neither https nor http to this machine"),
        ("https://169.254.169.254/latest".to_owned(), "private address"),
        ("http://media.example/x.mp4?secret=hush".to_owned(), "neither https nor http to this machine"),
        ("file:///etc/passwd".to_owned(), "neither https"),
        ("https://user:hush@media.example/x".to_owned(), "names a user"),
        ("http://[::bad".to_owned(), "no URL"),
    ] {
        let bench = Bench::new(MIB).await;
        *bench.host.switches.redirect_to.lock().unwrap() = Some((302, to));
        let error = bench.reader().read(0, 10).await.unwrap_err();
        let said = crate::media::error::chain(&error);
        assert!(said.contains(text) && !said.contains("hush"), "{said}");
        assert_eq!(bench.links.signings.load(Ordering::SeqCst), 1);
        assert!(bench.host.requests() <= 4);
    }
    assert_eq!(other.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_a_host_that_is_not_named_is_not_followed() {
    let bench = Bench::with(MIB, |settings| {
        settings.reach.hosts = vec![crate::net::HostPattern::parse("media.example").unwrap()];
    })
    .await;
    let error = bench.reader().read(0, 10).await.unwrap_err();
    assert!(error.to_string().contains("not in tenant.media_hosts"), "{error}");
    assert_eq!(bench.host.requests(), 0);
    let bench = Bench::with(MIB, |settings| settings.reach.loopback = false).await;
    assert!(bench.reader().read(0, 10).await.is_err());
    assert_eq!(bench.host.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_holds_a_signature() {
    let bench = Bench::with(MIB, |settings| settings.deadline = Duration::from_secs(9)).await;
    let links = bench.links.clone();
    drop(bench.host);
    let media = open(&MediaSettings { cache_dir: bench.settings.cache_dir.join("b"), ..bench.settings });
    let error = media.probe(&key(), links).await.unwrap_err();
    let text = format!("{error:?} {}", crate::media::error::chain(&error));
    assert!(!text.contains("hush") && !text.contains("serial"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ignores_ranges_is_streamed_once() {
    let bench = Bench::new(3 * MIB + 9).await;
    bench.host.switches.ignore_range.store(true, Ordering::SeqCst);
    let version = bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    assert_eq!(version, bench.version());
    let reader = bench.reader();
    assert_eq!(reader.read(2 * MIB, 1000).await.unwrap(), bench.range(2 * MIB, 1000));
    bench.read_all(&reader).await;
    assert_eq!(bench.host.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_object_is_stale_for_its_readers() {
    let bench = Bench::new(2 * MIB).await;
    let reader = bench.reader();
    reader.read(0, 1000).await.unwrap();
    *bench.host.switches.content.lock().unwrap() = Arc::new(content(MIB, 99));
    *bench.host.switches.etag.lock().unwrap() = "\"two\"".into();
    let new = Version { size: MIB, validator: "\"two\"".into() };
    let error = reader.read(100 * KIB, 10).await.unwrap_err();
    assert!(matches!(&error, MediaError::Changed(version) if *version == new), "{error:?}");
    assert!(reader.read_cached(0, 10).is_none());
    assert!(matches!(reader.read(0, 10).await, Err(MediaError::Changed(_))));
    let version = bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    let fresh = bench.media.reader(&key(), &version, bench.links.clone()).unwrap();
    assert_eq!(fresh.read(MIB - 10, 100).await.unwrap(), content(MIB, 99)[MIB as usize - 10..]);
    assert_eq!(fresh.read_cached(0, 10).unwrap(), content(MIB, 99)[..10]);
}

/// Nodes that tag the same bytes differently: what came under one tag is put together, and the other one is asked in vain.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_with_validators_of_their_own_are_one_host() {
    let bench = Bench::new(6 * MIB + 7).await;
    bench.host.switches.two_nodes.store(true, Ordering::SeqCst);
    let version = bench.media.probe(&key(), bench.links.clone()).await.unwrap();
    let reader = bench.media.reader(&key(), &version, bench.links.clone()).unwrap();
    bench.read_all(&reader).await;
    assert_eq!(reader.version(), &version);
    assert!(bench.media.is_complete(&key(), &version));
}

/// One that stays another is another, though it has the same size.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_object_of_the_same_size_is_stale_too() {
    let bench = Bench::new(2 * MIB).await;
    let reader = bench.reader();
    reader.read(0, 1000).await.unwrap();
    stored(&reader).await;
    *bench.host.switches.content.lock().unwrap() = Arc::new(content(2 * MIB, 99));
    *bench.host.switches.etag.lock().unwrap() = "\"two\"".into();
    let before = bench.host.requests();
    let error = reader.read(MIB, 10).await.unwrap_err();
    assert!(matches!(&error, MediaError::Changed(version) if version.validator == "\"two\""), "{error:?}");
    assert!((5..=9).contains(&(bench.host.requests() - before)), "{} requests", bench.host.requests() - before);
}

/// Chunked, without a length: whole or in part.
#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_not_told_is_counted() {
    for (ignores, cut) in [(false, false), (true, false), (true, true)] {
        let bench = Bench::new(MIB + 7).await;
        bench.host.switches.untold.store(true, Ordering::SeqCst);
        bench.host.switches.ignore_range.store(ignores, Ordering::SeqCst);
        if cut {
            bench.host.switches.cut_after.store(300_000, Ordering::SeqCst);
            bench.host.switches.cuts.store(1, Ordering::SeqCst);
            // What is cut has no size; where nothing of it came, it is asked for again.
            if let Ok(version) = bench.media.probe(&key(), bench.links.clone()).await {
                assert_eq!(version, bench.version());
            }
        }
        assert_eq!(bench.media.probe(&key(), bench.links.clone()).await.unwrap(), bench.version());
        bench.read_all(&bench.reader()).await;
        // Nobody could tell whose bytes they are.
        *bench.host.switches.etag.lock().unwrap() = String::new();
        let nameless = bench.media.probe(&RecordingKey("other".into()), bench.links.clone()).await;
        assert_eq!(nameless.is_err(), ignores);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shrunken_object_has_changed() {
    let bench = Bench::new(2 * MIB).await;
    *bench.host.switches.content.lock().unwrap() = Arc::new(content(KIB, 1));
    assert!(matches!(bench.reader().read(MIB, 10).await, Err(MediaError::Changed(version)) if version.size == KIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_costs_no_more_than_the_deadline() {
    let bench = Bench::with(MIB, |settings| settings.deadline = Duration::from_millis(300)).await;
    bench.host.switches.delay_ms.store(60_000, Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    assert!(matches!(bench.reader().read(0, 10).await, Err(MediaError::Timeout)));
    assert!(matches!(bench.media.probe(&key(), bench.links.clone()).await, Err(MediaError::Timeout)));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_crawls_is_asked_again_once_a_reader_has_waited_in_vain() {
    let bench = Bench::with(256 * KIB, |settings| settings.deadline = Duration::from_millis(500)).await;
    bench.host.switches.crawling.store(1, Ordering::SeqCst);
    let reader = bench.reader();
    assert!(matches!(reader.read(0, 10_240).await, Err(MediaError::Timeout)));
    // The first answer would go on for minutes.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reader.read(0, 10_240).await.unwrap(), bench.range(0, 10_240));
    bench.read_all(&reader).await;
}

/// The rate limit may make signing take minutes, which the deadline of a read does not count; who left does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_waited_for_as_long_as_it_takes_and_only_while_somebody_reads() {
    // Fetched whole even when nobody reads any more.
    let small = |settings: &mut MediaSettings| {
        (settings.deadline, settings.whole_file_below) = (Duration::from_millis(400), MIB);
    };
    let bench = Bench::with(256 * KIB, small).await;
    *bench.links.takes.lock().unwrap() = Duration::from_millis(1500);
    let reader = bench.reader();
    bench.read_all(&reader).await;
    assert_eq!(bench.links.signings.load(Ordering::SeqCst), 1);

    let bench = Bench::with(256 * KIB, small).await;
    *bench.links.takes.lock().unwrap() = Duration::from_hours(1);
    let reader = bench.reader();
    assert!(tokio::time::timeout(Duration::from_secs(1), reader.read(0, 10)).await.is_err());
    assert_eq!(bench.links.waiting.load(Ordering::SeqCst), 1);
    drop(reader);
    eventually("nobody waits", || bench.links.waiting.load(Ordering::SeqCst) == 0).await;
    assert_eq!((bench.links.signings.load(Ordering::SeqCst), bench.host.requests()), (0, 0));
}

/// A reader of a block waits for the fetch that brings it, and not for an older one that once did.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_hangs_holds_up_no_block_that_another_brings() {
    let bench = Bench::with(MIB, |settings| settings.whole_file_below = 4 * MIB).await;
    let reader = bench.reader();
    bench.host.switches.hold.store(true, Ordering::SeqCst);
    reader.read(0, 10).await.unwrap();
    eventually("on disk", || reader.recording.lock().present_until(0, 10) == 10).await;
    bench.media.purge(&key());
    let again = tokio::time::timeout(Duration::from_secs(5), reader.read(0, 10)).await;
    assert_eq!(again.expect("it waited for the other fetch").unwrap(), bench.range(0, 10));
    assert_eq!(bench.host.requests(), 2);
    bench.host.switches.hold.store(false, Ordering::SeqCst);
    bench.read_all(&reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_host_sends_a_whole_body_it_is_asked_for_no_other() {
    let bench = Bench::with(MIB, |settings| settings.whole_file_below = 4 * MIB).await;
    let reader = bench.reader();
    bench.host.switches.ignore_range.store(true, Ordering::SeqCst);
    bench.host.switches.hold.store(true, Ordering::SeqCst);
    reader.read(0, 10).await.unwrap();
    eventually("on disk", || reader.recording.lock().present_until(0, 10) == 10).await;
    bench.media.purge(&key());
    let again = tokio::time::timeout(Duration::from_millis(300), reader.read(0, 10)).await;
    assert!(again.is_err(), "the whole body is still under way");
    assert_eq!(bench.host.requests(), 2);
    bench.host.switches.hold.store(false, Ordering::SeqCst);
    bench.read_all(&reader).await;
    assert!(bench.host.requests() <= 3, "{} requests", bench.host.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_cache_directory_is_made_anew() {
    let bench = Bench::new(MIB).await;
    bench.read_all(&bench.reader()).await;
    std::fs::remove_dir_all(bench.settings.cache_dir.join("v1")).unwrap();
    let reader = bench.reader();
    bench.read_all(&reader).await;
    assert_eq!(reader.read_cached(0, 10).unwrap(), bench.range(0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_nothing_means_uncached_reads() {
    for whole_file_below in [0, 16 * MIB] {
        let adjust = |settings: &mut MediaSettings| {
            settings.min_free = u64::MAX / 2;
            settings.whole_file_below = whole_file_below;
        };
        let bench = Bench::with(3 * MIB, adjust).await;
        let readers: Vec<Reader> = (0..3).map(|_| bench.reader()).collect();
        futures_util::future::join_all(readers.iter().map(|reader| bench.read_all(reader))).await;
        assert!(bench.media.cache_used() <= 8 * KIB);
    }
}

#[tokio::test]
async fn a_host_that_hangs_keeps_no_connection_from_another() {
    let bench = Bench::with(64 * KIB, |settings| settings.connections = 1).await;
    bench.host.switches.delay_ms.store(3_600_000, Ordering::SeqCst);
    let stuck = bench.reader();
    let waiting = tokio::spawn(async move { stuck.read(0, 4096).await.map(drop) });
    eventually("it hangs", || bench.host.requests() == 1).await;
    let quick = Host::start(bench.truth.clone()).await;
    let other = RecordingKey("701000000123/0".into());
    let reader = bench.media.reader(&other, &bench.version(), quick.links()).unwrap();
    let read =
        tokio::time::timeout(Duration::from_secs(5), reader.read(0, 4096)).await.expect("it waited for the other");
    assert!(read.unwrap() == bench.range(0, 4096));
    assert_eq!(bench.media.gate().hosts.len(), 1, "only the one that hangs is in use");
    waiting.abort();
}
