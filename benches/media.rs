//! The media layer without FUSE and without a network: planner, block index, checksum, cached read path.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cxonefs::base::SystemClock;
use cxonefs::media::geometry::BLOCK_SIZE;
use cxonefs::media::plan::{Allowance, Readahead, WINDOW_BLOCKS_MAX, plan};
use cxonefs::media::{
    Link, LinkSource, Media, MediaError, MediaReach, MediaSettings, Reader, RecordingKey, StorageRefusal, index,
};
use cxonefs::net::{MediaLink, SecretUrl};

const SIZE: u64 = 64 << 20;

fn planner(criterion: &mut Criterion) {
    let allowance = Allowance { block_count: 1 << 14, whole: false, window_max: WINDOW_BLOCKS_MAX, ranges_spare: 8 };
    criterion.bench_function("plan/sequential reader, all missing", |bencher| {
        let mut readahead = Readahead::default();
        let mut offset = 0;
        bencher.iter(|| {
            let bytes = offset..offset + 131_072;
            offset = (offset + 131_072) % (1 << 30);
            readahead.observe(&bytes, true);
            plan(&mut readahead, black_box(&bytes), &allowance, |_| true)
        });
    });
}

fn block_index(criterion: &mut Criterion) {
    let entries: Vec<u8> = (0..2048).flat_map(index::encode_present).collect();
    criterion.bench_function("index/entries of 128 MiB", |bencher| {
        bencher.iter(|| index::decode_entries(black_box(&entries), index::Form::Plain));
    });
}

fn checksum(criterion: &mut Criterion) {
    let block = vec![7_u8; BLOCK_SIZE as usize];
    let mut group = criterion.benchmark_group("crc32c");
    group.throughput(Throughput::Bytes(BLOCK_SIZE));
    group.bench_function("one block", |bencher| bencher.iter(|| crc32c::crc32c(black_box(&block))));
    group.finish();
}

fn cached_reads(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory: {error}"));
    let reader = runtime.block_on(warm_reader(dir.path()));
    let mut group = criterion.benchmark_group("read_cached");
    for len in [4 << 10, 128 << 10, 1 << 20_u32] {
        group.throughput(Throughput::Bytes(u64::from(len)));
        group.bench_function(format!("{} KiB", len >> 10), |bencher| {
            let mut offset = 0;
            bencher.iter(|| {
                offset = (offset + u64::from(len) * 7) % (SIZE - u64::from(len));
                assert!(reader.read_cached(black_box(offset), len).is_some());
            });
        });
    }
    group.finish();
}

/// A reader of a recording that is in the cache, from a host that lives as long as it takes to get there.
async fn warm_reader(dir: &std::path::Path) -> Reader {
    let body = bytes::Bytes::from(vec![5_u8; SIZE as usize]);
    let app = axum::Router::new().route("/x", axum::routing::get(move || std::future::ready(body.clone())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("{error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("{error}"));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let settings = MediaSettings {
        cache_dir: dir.join("cache"),
        cache_size: 1 << 30,
        min_free: 0,
        whole_file_below: SIZE,
        max_age: Duration::MAX,
        connections: 4,
        memory: 64 << 20,
        reach: MediaReach { hosts: Vec::new(), loopback: true },
        ca: None,
        deadline: Duration::from_secs(30),
    };
    let links: Arc<dyn LinkSource> = Arc::new(Fixed(format!("http://{address}/x")));
    let key = RecordingKey("bench".into());
    let media = Media::open(settings, Arc::new(SystemClock)).unwrap_or_else(|error| panic!("{error}"));
    let version = media.probe(&key, Arc::clone(&links)).await.unwrap_or_else(|error| panic!("{error}"));
    let reader = media.reader(&key, &version, links).unwrap_or_else(|error| panic!("{error}"));
    for offset in (0..SIZE).step_by(1 << 20) {
        reader.read(offset, 1 << 20).await.unwrap_or_else(|error| panic!("{error}"));
    }
    server.abort();
    reader
}

struct Fixed(String);

#[async_trait]
impl LinkSource for Fixed {
    async fn link(&self, _refused: Option<u64>) -> Result<Link, MediaError> {
        let url = self.0.parse().map_err(|_| MediaError::Refused(StorageRefusal::Gone))?;
        let link = MediaLink { url: SecretUrl::new(&url), extension: "mp4".into(), expires_at: None };
        Ok(Link { link, serial: 1, signed_at: jiff::Timestamp::UNIX_EPOCH })
    }
}

criterion_group!(benches, planner, block_index, checksum, cached_reads);
criterion_main!(benches);
