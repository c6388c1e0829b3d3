//! Cache files that another program writes to while the mount runs.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use super::*;

fn data_file(bench: &Bench) -> PathBuf {
    let files = walkdir::WalkDir::new(&bench.settings.cache_dir).into_iter().filter_map(Result::ok);
    let mut data = files.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "data"));
    data.next().unwrap().into_path()
}

/// Overwrites bytes without changing the length.
fn overwrite(bench: &Bench, at: u64) {
    // Time stamps of files have a coarse clock.
    std::thread::sleep(Duration::from_millis(30));
    let mut file = std::fs::OpenOptions::new().write(true).open(data_file(bench)).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[0xAA; 1000]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_overwritten_is_fetched_again_at_the_next_open() {
    for is_open_elsewhere in [false, true] {
        let bench = Bench::new(MIB).await;
        let first = bench.reader();
        bench.read_all(&first).await;
        let before = bench.host.requests();
        let first = is_open_elsewhere.then_some(first);
        overwrite(&bench, 300 * KIB);
        let reader = bench.reader();
        bench.read_all(&reader).await;
        assert!(bench.host.requests() > before, "the damaged block was fetched");
        let settled = bench.host.requests();
        bench.read_all(&bench.reader()).await;
        assert_eq!(bench.host.requests(), settled, "once");
        drop(first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_overwritten_is_not_handed_to_the_kernel() {
    let bench = Bench::new(MIB).await;
    let reader = bench.reader();
    bench.read_all(&reader).await;
    assert!(reader.verified_file().await.is_some());
    overwrite(&bench, 700 * KIB);
    assert!(reader.verified_file().await.is_none());
    assert!(!reader.verify_all().await, "a checksum does not hold");
    bench.read_all(&reader).await;
    assert!(reader.verify_all().await && reader.verified_file().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_writing_raises_no_doubt() {
    let bench = Bench::new(2 * MIB).await;
    let readers: Vec<Reader> = (0..4).map(|_| bench.reader()).collect();
    futures_util::future::join_all(readers.iter().map(|reader| bench.read_all(reader))).await;
    let reader = bench.reader();
    assert!(reader.recording.lock().blocks.is_verified());
    drop((readers, reader));
    assert!(bench.reader().verified_file().await.is_some());
}
