//! fio's own verification over a mount whose cache is too small, so that eviction never stops: every block that fio reads carries its
//! offset and a checksum, written before by fio itself.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use cxonefs::sim::SimSettings;

use crate::harness::{Drive, plain, sh};

const FILE_BYTES: u64 = 12 << 20;

/// Serves one file under every name.
struct Host {
    address: std::net::SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Host {
    fn serving(content: Vec<u8>) -> Host {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(answer).with_state(Arc::new(content));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Host { address, _runtime: runtime }
    }
}

async fn answer(State(content): State<Arc<Vec<u8>>>, headers: HeaderMap) -> Response<axum::body::Body> {
    let range = headers[header::RANGE].to_str().unwrap().strip_prefix("bytes=").unwrap().to_owned();
    let (first, last) = range.split_once('-').unwrap();
    let first: usize = first.parse().unwrap();
    let last = last.parse::<usize>().unwrap().min(content.len() - 1);
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", content.len()))
        .header(header::ETAG, "\"fio\"")
        .body(content[first..=last].to_vec().into())
        .unwrap()
}

fn fio(path: &Path, arguments: &str) {
    let path = path.display().to_string().replace(':', "\\:");
    sh(&format!(
        "fio --name=known '--filename={path}' --size={FILE_BYTES} --bs=4k --ioengine=psync --verify=crc32c \
         --verify_fatal=1 --verify_state_save=0 --randseed=7 --output=/dev/null {arguments}"
    ))
    .ok();
}

#[test]
fn fio_finds_every_block_as_it_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let known = dir.path().join("known");
    fio(&known, "--rw=write --do_verify=0");
    let host = Host::serving(std::fs::read(&known).unwrap());
    let base = format!("http://{}/", host.address).parse().unwrap();
    let settings = SimSettings { media_base_url: Some(base), ..plain(2, 3) };
    // Two files and a bit of a third fit.
    let flags = ["--cache-size", "28MiB", "--set", "cache.min_free=0B", "--set", "cache.whole_file_below=64KiB"];
    // Larger than any recording of their length would be: an estimate below it fails the first open.
    let guess = (FILE_BYTES * 2).to_string();
    let drive = Drive::in_environment(settings, &flags, vec![("CXONEFS_TEST_GUESS", guess.into())]);
    let paths: Vec<_> =
        drive.tree.recorded().map(|place| drive.at(&place.path).join("recording.mp4")).take(4).collect();
    assert_eq!(paths.len(), 4);
    std::thread::scope(|scope| {
        for (number, path) in paths.iter().enumerate() {
            scope.spawn(move || {
                // Forward, at random past the page cache, and forward once more: cached, half cached, passed through.
                fio(path, "--rw=read --readonly");
                fio(path, &format!("--rw=randread --readonly --direct={}", number % 2));
                fio(path, "--rw=read --readonly");
            });
        }
    });
    assert!(drive.counters().playback_calls >= 4);
}
