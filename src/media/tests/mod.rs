//! The media layer against a media host on loopback.

mod ahead;
mod cache_limits;
mod explored;
mod faults;
mod host;
mod keeping;
mod made_up_disk;
mod out_of_reach;
mod power_loss;
mod reading;
mod restart;
mod touched;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::ManualClock;

use super::*;
use host::Host;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * 1024;

/// Whether the long variants are asked for: `scripts/test --full`.
fn full() -> bool {
    std::env::var_os("CXONEFS_TEST_FULL").is_some_and(|value| value == "1")
}

/// Bytes without a period that a block boundary would hide.
fn content(len: u64, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len as usize];
    random.fill(&mut bytes);
    bytes
}

fn key() -> RecordingKey {
    RecordingKey("701000000122/0".into())
}

fn settings(dir: &Path) -> MediaSettings {
    MediaSettings {
        cache_dir: dir.to_owned(),
        cache_size: 1 << 30,
        min_free: 0,
        whole_file_below: 0,
        max_age: Duration::from_hours(720),
        connections: 16,
        memory: 128 << 20,
        reach: MediaReach { hosts: Vec::new(), loopback: true },
        ca: None,
        deadline: Duration::from_secs(20),
    }
}

fn open(settings: &MediaSettings) -> Media {
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::from_second(1_800_000_000).unwrap()));
    Media::open(settings.clone(), clock).unwrap()
}

/// Bytes that a directory and all below it occupy.
fn occupied(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = walkdir::WalkDir::new(dir).min_depth(1).into_iter().filter_map(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
}

/// Waits for what a background task does, for 10 s at most.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Waits until what was fetched of a recording is on disk: its readers have it before that.
async fn stored(reader: &Reader) {
    eventually("stored", || reader.recording.lock().fetches.is_empty()).await;
}

/// A host with one recording, a cache, and a reader of it.
struct Bench {
    host: Host,
    links: Arc<host::Signer>,
    truth: Vec<u8>,
    settings: MediaSettings,
    media: Media,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new(size: u64) -> Bench {
        Bench::with(size, |_| {}).await
    }

    async fn with(size: u64, adjust: impl FnOnce(&mut MediaSettings)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let truth = content(size, size);
        let host = Host::start(truth.clone()).await;
        let mut settings = settings(dir.path());
        adjust(&mut settings);
        let media = open(&settings);
        Bench { links: host.links(), host, truth, settings, media, _dir: dir }
    }

    fn version(&self) -> Version {
        Version { size: self.truth.len() as u64, validator: "\"one\"".into() }
    }

    fn reader(&self) -> Reader {
        self.media.reader(&key(), &self.version(), self.links.clone()).unwrap()
    }

    fn range(&self, offset: u64, len: u64) -> &[u8] {
        let end = (offset + len).min(self.truth.len() as u64);
        &self.truth[offset.min(end) as usize..end as usize]
    }

    async fn read_all(&self, reader: &Reader) {
        for offset in (0..self.truth.len() as u64).step_by(128 * 1024) {
            let bytes = reader.read(offset, 128 * 1024).await.unwrap();
            assert!(bytes == self.range(offset, 128 * KIB), "wrong bytes at {offset}");
        }
        stored(reader).await;
    }
}
