//! A media host on loopback whose faults are switched on and off, and a link source that signs for it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use jiff::Timestamp;

use crate::media::{Link, LinkSource, MediaError};
use crate::net::{MediaLink, SecretUrl};

/// Faults and counters of a host. Counters of faults count down to none.
#[derive(Default)]
pub struct Switches {
    pub content: Mutex<Arc<Vec<u8>>>,
    pub etag: Mutex<String>,
    /// Links with a serial up to this one are refused.
    pub refused_up_to: AtomicU64,
    /// The next answers end their body after `cut_after` bytes.
    pub cuts: AtomicUsize,
    pub cut_after: AtomicUsize,
    pub ignore_range: AtomicBool,
    /// The next answers tell a range that is 1 off.
    pub wrong_ranges: AtomicUsize,
    /// The next answers are 503.
    pub unavailable: AtomicUsize,
    /// The next answers are about an object without a byte.
    pub emptied: AtomicUsize,
    /// Every answer has this status.
    pub status: AtomicUsize,
    /// Its storage code.
    pub code: Mutex<String>,
    /// Every link is redirected: the status and to where.
    pub redirect_to: Mutex<Option<(u16, String)>>,
    /// Every link is redirected so many times within the host before it is answered.
    pub redirects: Mutex<Option<(u16, u32)>>,
    /// Bodies that pause after their first 64 KiB until this is false.
    pub hold: AtomicBool,
    /// The next answers send a byte every 5 ms, whatever becomes of this meanwhile.
    pub crawling: AtomicUsize,
    /// What its line carries (bytes per second) for all bodies together; 0 for no limit.
    pub line: AtomicU64,
    /// When the line is free again.
    line_free: tokio::sync::Mutex<Option<tokio::time::Instant>>,
    /// Each link leads to another object.
    pub etag_per_link: AtomicBool,
    /// Each answer comes from one of two nodes, which tag the same bytes differently.
    pub two_nodes: AtomicBool,
    /// Bodies come in chunks, and no length is told.
    pub untold: AtomicBool,
    /// Before each answer.
    pub delay_ms: AtomicU64,
    /// Seconds by which its clock is ahead.
    pub skew_s: Mutex<i64>,
    /// Every range of bytes that was sent, as far as the host knows.
    pub sent: Mutex<Vec<Range<u64>>>,
    pub requests: AtomicUsize,
    pub running: AtomicUsize,
    pub running_max: AtomicUsize,
}

pub struct Host {
    pub switches: Arc<Switches>,
    address: std::net::SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn count_down(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Host {
    pub async fn start(content: Vec<u8>) -> Host {
        let switches = Arc::new(Switches::default());
        *switches.content.lock().unwrap() = Arc::new(content);
        *switches.etag.lock().unwrap() = "\"one\"".into();
        let app = axum::Router::new().route("/x.mp4", axum::routing::get(answer)).with_state(Arc::clone(&switches));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Host { switches, address, server }
    }

    pub fn links(&self) -> Arc<Signer> {
        Arc::new(Signer {
            address: self.address,
            serial: AtomicU64::new(0),
            signings: AtomicUsize::new(0),
            expires_at: Mutex::new(None),
            fails: AtomicBool::new(false),
            takes: Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Redirects every link `hops` times, by relative and absolute addresses.
    pub fn redirect(&self, status: u16, hops: u32) {
        *self.switches.redirects.lock().unwrap() = Some((status, hops));
    }

    pub fn requests(&self) -> usize {
        self.switches.requests.load(Ordering::SeqCst)
    }

    pub fn bytes_sent(&self) -> u64 {
        self.switches.sent.lock().unwrap().iter().map(|range| range.end - range.start).sum()
    }

    /// The most often that any byte was sent.
    pub fn sent_at_most(&self) -> usize {
        let sent = self.switches.sent.lock().unwrap();
        let mut edges: Vec<(u64, i64)> = sent.iter().flat_map(|range| [(range.start, 1), (range.end, -1)]).collect();
        edges.sort_unstable();
        let mut depth = 0;
        edges
            .into_iter()
            .map(|(_, step)| {
                depth += step;
                depth
            })
            .max()
            .unwrap_or(0) as usize
    }
}

#[derive(serde::Deserialize)]
struct Signature {
    serial: u64,
    #[serde(default)]
    hop: u32,
}

async fn answer(
    State(switches): State<Arc<Switches>>,
    Query(signature): Query<Signature>,
    headers: HeaderMap,
) -> Response {
    let running = switches.running.fetch_add(1, Ordering::SeqCst) + 1;
    switches.running_max.fetch_max(running, Ordering::SeqCst);
    switches.requests.fetch_add(1, Ordering::SeqCst);
    let response = make_answer(&switches, &signature, &headers).await;
    switches.running.fetch_sub(1, Ordering::SeqCst);
    response
}

async fn make_answer(switches: &Arc<Switches>, signature: &Signature, headers: &HeaderMap) -> Response {
    let Signature { serial, hop } = *signature;
    tokio::time::sleep(Duration::from_millis(switches.delay_ms.load(Ordering::SeqCst))).await;
    assert!(headers.get("authorization").is_none() && headers["accept-encoding"] == "identity");
    let status = switches.status.load(Ordering::SeqCst);
    let date = Timestamp::from_second(1_800_000_000 + *switches.skew_s.lock().unwrap()).unwrap();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
    let response = Response::builder().header("date", date);
    let plain =
        |response: axum::http::response::Builder, status: u16| response.status(status).body(Body::empty()).unwrap();
    if status != 0 {
        let code = switches.code.lock().unwrap().clone();
        let text = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>m</Message></Error>");
        return response.status(status as u16).body(Body::from(text)).unwrap();
    }
    let elsewhere = |status: u16, location: &str| {
        let date = jiff::fmt::rfc2822::DateTimePrinter::new();
        let date = date.timestamp_to_rfc9110_string(&Timestamp::from_second(1_800_000_000).unwrap()).unwrap();
        let response = Response::builder().header("date", date).header("location", location);
        response.status(status).body(Body::from("moved")).unwrap()
    };
    if let Some((status, to)) = &*switches.redirect_to.lock().unwrap() {
        let query = format!("serial={serial}&X-Amz-Signature=hush");
        return elsewhere(*status, &if to == "/x.mp4" { format!("{to}?{query}") } else { to.clone() });
    }
    if let Some((status, hops)) = *switches.redirects.lock().unwrap()
        && hop < hops
    {
        let query = format!("?serial={serial}&hop={}&X-Amz-Signature=hush", hop + 1);
        let host = headers["host"].to_str().unwrap();
        let base = ["", "/x.mp4", &format!("http://{host}/x.mp4")][hop as usize % 3].to_owned();
        return elsewhere(status, &format!("{base}{query}"));
    }
    if serial <= switches.refused_up_to.load(Ordering::SeqCst) {
        return plain(response, 403);
    }
    if count_down(&switches.unavailable) {
        return plain(response, 503);
    }
    let content = Arc::clone(&switches.content.lock().unwrap());
    let content = if count_down(&switches.emptied) { Arc::default() } else { content };
    let per_link = switches.etag_per_link.load(Ordering::SeqCst);
    let etag = if per_link { format!("\"link {serial}\"") } else { switches.etag.lock().unwrap().clone() };
    let requests = switches.requests.load(Ordering::SeqCst) as u64;
    let of_second = switches.two_nodes.load(Ordering::SeqCst) && fastrand::Rng::with_seed(requests).bool();
    let etag = if of_second { "\"second node\"".to_owned() } else { etag };
    let size = content.len() as u64;
    let response = response.header("etag", etag);
    let asked = headers["range"].to_str().unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = asked.split_once('-').unwrap();
    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
    let (range, response) = if switches.ignore_range.load(Ordering::SeqCst) {
        (0..size, response.status(StatusCode::OK))
    } else if first >= size {
        return plain(response.header("content-range", format!("bytes */{size}")), 416);
    } else {
        let end = size.min(last + 1);
        let off = u64::from(count_down(&switches.wrong_ranges));
        let told = format!("bytes {}-{}/{size}", first + off, end - 1);
        (first..end, response.status(StatusCode::PARTIAL_CONTENT).header("content-range", told))
    };
    let whole = Bytes::from_owner(Content(content)).slice(range.start as usize..range.end as usize);
    let cut = count_down(&switches.cuts).then(|| switches.cut_after.load(Ordering::SeqCst));
    let sent = cut.map_or(whole.len(), |cut| cut.min(whole.len()));
    switches.sent.lock().unwrap().push(range.start..range.start + sent as u64);
    let crawls = count_down(&switches.crawling);
    let left = whole.slice(..sent);
    let pieces = Pieces { switches: Arc::clone(switches), left, first: true, cut: cut.is_some(), crawls };
    let body = futures_util::stream::unfold(pieces, next_piece);
    let untold = switches.untold.load(Ordering::SeqCst);
    let response = if untold { response } else { response.header("content-length", whole.len()) };
    response.body(Body::from_stream(body)).unwrap()
}

struct Content(Arc<Vec<u8>>);

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

struct Pieces {
    switches: Arc<Switches>,
    left: Bytes,
    first: bool,
    cut: bool,
    crawls: bool,
}

async fn next_piece(mut pieces: Pieces) -> Option<(Result<Bytes, std::io::Error>, Pieces)> {
    while !pieces.first && pieces.switches.hold.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pieces.first = false;
    if pieces.left.is_empty() {
        // An error resets the connection in the middle of the promised body.
        return std::mem::take(&mut pieces.cut).then(|| (Err(std::io::ErrorKind::ConnectionReset.into()), pieces));
    }
    let line = pieces.switches.line.load(Ordering::SeqCst);
    let most = if pieces.crawls {
        1
    } else if line > 0 {
        16 * 1024
    } else {
        64 * 1024
    };
    if line > 0 {
        let mut free = pieces.switches.line_free.lock().await;
        let now = tokio::time::Instant::now();
        // What was slept too long is made up for.
        let after = free.unwrap_or(now).max(now - Duration::from_millis(50))
            + Duration::from_secs_f64(most as f64 / line as f64);
        *free = Some(after);
        tokio::time::sleep_until(after).await;
    }
    if pieces.crawls {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let piece = pieces.left.split_to(pieces.left.len().min(most));
    Some((Ok(piece), pieces))
}

/// Signs links with growing serials.
pub struct Signer {
    address: std::net::SocketAddr,
    serial: AtomicU64,
    pub signings: AtomicUsize,
    pub expires_at: Mutex<Option<Timestamp>>,
    pub fails: AtomicBool,
    /// How long signing takes.
    pub takes: Mutex<Duration>,
    /// Askers that wait for it.
    pub waiting: AtomicUsize,
}

/// Counts somebody who waits, however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl LinkSource for Signer {
    fn at_hand(&self, refused: Option<u64>) -> Option<Link> {
        let serial = self.serial.load(Ordering::SeqCst);
        let works = serial != 0 && refused != Some(serial) && !self.fails.load(Ordering::SeqCst);
        works.then(|| self.numbered(serial))
    }

    async fn link(&self, refused: Option<u64>) -> Result<Link, MediaError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(MediaError::Link(Arc::new(std::io::Error::other("no budget"))));
        }
        let serial = self.serial.load(Ordering::SeqCst);
        let serial = if serial == 0 || refused == Some(serial) {
            let takes = *self.takes.lock().unwrap();
            if !takes.is_zero() {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                let _waiting = Waiting(&self.waiting);
                tokio::time::sleep(takes).await;
            }
            self.signings.fetch_add(1, Ordering::SeqCst);
            self.serial.fetch_add(1, Ordering::SeqCst) + 1
        } else {
            serial
        };
        Ok(self.numbered(serial))
    }
}

impl Signer {
    fn numbered(&self, serial: u64) -> Link {
        let url = format!("http://{}/x.mp4?serial={serial}&X-Amz-Signature=hush", self.address);
        let url = SecretUrl::new(&url.parse().unwrap());
        let expires_at = *self.expires_at.lock().unwrap();
        let signed_at = Timestamp::from_second(1_799_999_000).unwrap();
        Link { link: MediaLink { url, extension: "mp4".into(), expires_at }, serial, signed_at }
    }
}
