//! Cache files that cannot be opened for a while: nothing of them is lost, and what they hold is read from the media host meanwhile.

use std::path::PathBuf;

use super::*;

/// An index file in whose place something stands that cannot be opened for writing, whoever tries. Back when dropped.
struct Hidden {
    index: PathBuf,
    away: PathBuf,
}

impl Hidden {
    fn hide(bench: &Bench) -> Hidden {
        let mut files = walkdir::WalkDir::new(&bench.settings.cache_dir).into_iter().filter_map(Result::ok);
        let is_index = |entry: &walkdir::DirEntry| entry.path().extension().is_some_and(|found| found == "idx");
        let index = files.find(is_index).unwrap().into_path();
        let away = index.with_extension("away");
        std::fs::rename(&index, &away).unwrap();
        std::fs::create_dir(&index).unwrap();
        Hidden { index, away }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.index).unwrap();
        std::fs::rename(&self.away, &self.index).unwrap();
    }
}

/// A cache with everything of one recording, found there at start or still known.
async fn filled(cold: bool) -> Bench {
    let mut bench = Bench::new(MIB).await;
    bench.read_all(&bench.reader()).await;
    if cold {
        let elsewhere = tempfile::tempdir().unwrap();
        bench.media = open(&settings(elsewhere.path()));
        let settings = bench.settings.clone();
        bench.media = tokio::task::spawn_blocking(move || open(&settings)).await.unwrap();
    }
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_opened_for_a_while_are_left_alone_and_read_uncached() {
    for cold in [true, false] {
        let bench = filled(cold).await;
        let (used, requests) = (bench.media.cache_used(), bench.host.requests());
        let hidden = Hidden::hide(&bench);
        let reader = bench.reader();
        assert!(reader.read_cached(0, 10).is_none(), "cold: {cold}");
        bench.read_all(&reader).await;
        assert!(bench.host.requests() > requests);
        drop(reader);
        drop(hidden);
        assert_eq!(bench.media.cache_used(), used);
        let requests = bench.host.requests();
        bench.read_all(&bench.reader()).await;
        assert_eq!(bench.host.requests(), requests, "cold: {cold}");
        assert!(bench.media.is_complete(&key(), &bench.version()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_reach_is_erased_all_the_same() {
    for cold in [true, false] {
        let bench = filled(cold).await;
        let hidden = Hidden::hide(&bench);
        let reader = bench.reader();
        assert!(reader.read_cached(0, 10).is_none());
        drop(hidden);
        bench.media.erase(&key());
        assert_eq!(bench.media.occupied(&key()), 0);
        drop(reader);
        assert!(bench.media.cache_used() < 100 * KIB);
        bench.read_all(&bench.reader()).await;
        assert!(bench.media.is_complete(&key(), &bench.version()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_examination_drops_nothing_that_it_cannot_open() {
    let bench = filled(true).await;
    let hidden = Hidden::hide(&bench);
    assert!(bench.media.examine(&mut |_| true).is_sound());
    drop(hidden);
    assert!(bench.media.is_complete(&key(), &bench.version()));
}
