//! A network between the program and the tenant that can fail as networks do: refuse, reset, fall silent, lose every packet, cut, crawl.
//!
//! Passes bytes on and knows nothing of what they mean. The way in which it fails may be changed at any time and strikes connections that
//! are open already.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cxonefs::sim::SimSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::tenant::Tenant;

/// As few as there can be: where nobody accepts, the kernel soon drops what comes.
const BACKLOG: u32 = 1;
/// A connection on this machine that is not there after this time will not be.
const FILLED_AFTER: Duration = Duration::from_millis(200);

/// What the network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Nobody listens.
    Refuses,
    /// Who connects is thrown out, and so is who is connected.
    Resets,
    /// Connections are accepted, and then nothing is ever said.
    Silent,
    /// Every packet is lost: not even a connection comes about.
    Lost,
    /// Each connection ends after so many bytes of answers.
    Cuts {
        after: usize,
    },
    /// Answers come at this rate.
    Crawls {
        bytes_per_s: u64,
    },
    /// Answers on all connections together come at this rate.
    Narrow {
        bytes_per_s: u64,
    },
}

/// Bytes that take the narrow line at a time.
const NARROW_PIECE: usize = 8 * 1024;

/// A line that all connections share.
#[derive(Default)]
struct Line(Mutex<Option<tokio::time::Instant>>);

impl Line {
    /// Takes it for so many bytes; they have gone through at the time that is given.
    fn take(&self, bytes: usize, bytes_per_s: u64) -> tokio::time::Instant {
        let mut free_at = self.0.lock().unwrap();
        let from = free_at.unwrap_or_else(tokio::time::Instant::now).max(tokio::time::Instant::now());
        let until = from + Duration::from_secs_f64(bytes as f64 / bytes_per_s.max(1) as f64);
        *free_at = Some(until);
        until
    }
}

/// The proxy; ends when dropped.
pub struct Proxy {
    runtime: Runtime,
    address: SocketAddr,
    upstream: Arc<Mutex<Option<SocketAddr>>>,
    weather: watch::Sender<Weather>,
    /// What the listener is like now.
    settled: watch::Receiver<Weather>,
}

impl Proxy {
    /// Listens; leads nowhere yet.
    pub fn start() -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(async { listen(SocketAddr::from(([127, 0, 0, 1], 0))) });
        let address = listener.local_addr().unwrap();
        let (weather, forecast) = watch::channel(Weather::Fine);
        let (settling, settled) = watch::channel(Weather::Fine);
        let upstream = Arc::new(Mutex::new(None));
        runtime.spawn(serve(listener, Arc::clone(&upstream), forecast, settling));
        Proxy { runtime, address, upstream, weather, settled }
    }

    /// Two proxies, for the API and for the media host, and a tenant behind them; the flags lead a mount there.
    pub fn around(settings: SimSettings) -> (Proxy, Proxy, Tenant, Vec<String>) {
        let (api, media) = (Proxy::start(), Proxy::start());
        let tenant = Tenant::start(settings);
        tenant.switch(|switches| switches.media_origin = Some(media.url()));
        for proxy in [&api, &media] {
            *proxy.upstream.lock().unwrap() = Some(tenant.address());
        }
        let keys = ["issuer", "auth_endpoint", "api_endpoint", "playback_endpoint"];
        let flags = keys.map(|key| [String::from("--set"), format!("tenant.{key}={}", api.url())]);
        (api, media, tenant, flags.concat())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the weather; it is so when this returns.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
        let mut settled = self.settled.clone();
        let settle = async move { settled.wait_for(|now| *now == weather).await.map(drop) };
        self.runtime.block_on(async { timeout(Duration::from_secs(5), settle).await }).unwrap().unwrap();
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(BACKLOG).unwrap()
}

async fn serve(
    first: TcpListener,
    upstream: Arc<Mutex<Option<SocketAddr>>>,
    forecast: watch::Receiver<Weather>,
    settled: watch::Sender<Weather>,
) {
    let address = first.local_addr().unwrap();
    let mut listener = Some(first);
    let mut weather = forecast.clone();
    // What fills the queue of those who are not accepted.
    let mut fillers = Vec::new();
    let line = Arc::new(Line::default());
    loop {
        let now = *weather.borrow_and_update();
        fillers.clear();
        match now {
            Weather::Refuses => listener = None,
            _ if listener.is_none() => listener = Some(listen(address)),
            _ => {}
        }
        if now == Weather::Lost {
            while let Ok(Ok(filler)) = timeout(FILLED_AFTER, TcpStream::connect(address)).await {
                fillers.push(filler);
            }
        }
        settled.send_replace(now);
        let accepting = listener.as_ref().filter(|_| now != Weather::Lost);
        tokio::select! {
            changed = weather.changed() => if changed.is_err() { return },
            accepted = accept(accepting) => {
                let (upstream, weather) = (*upstream.lock().unwrap(), weather.clone());
                if let Some(upstream) = upstream {
                    tokio::spawn(connection(accepted, upstream, weather, Arc::clone(&line)));
                }
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}

async fn connection(client: TcpStream, upstream: SocketAddr, weather: watch::Receiver<Weather>, line: Arc<Line>) {
    if let Ok(server) = TcpStream::connect(upstream).await {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        // So that dropping it is a reset, where it is to be one.
        let _ = client.set_zero_linger();
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let up = pass(from_client, to_server, weather.clone(), false, Arc::clone(&line));
        let down = pass(from_server, to_client, weather.clone(), true, line);
        let both = async { tokio::join!(up, down) };
        tokio::select! {
            _ = both => {}
            () = is(weather, |weather| matches!(weather, Weather::Resets | Weather::Refuses)) => {}
        }
    }
}

/// Passes on what comes, as the weather allows.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    answers: bool,
    line: Arc<Line>,
) {
    let mut passed = 0;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            // What was on its way when silence falls is lost in it, too.
            is(weather.clone(), |weather| !matches!(weather, Weather::Silent | Weather::Lost)).await;
            let now = *weather.borrow_and_update();
            let room = match now {
                Weather::Cuts { after } if answers => after.saturating_sub(passed),
                Weather::Crawls { .. } if answers => 1,
                Weather::Narrow { .. } if answers => NARROW_PIECE,
                _ => rest.len(),
            };
            if room == 0 {
                return;
            }
            if let (Weather::Crawls { bytes_per_s }, true) = (now, answers) {
                let pause = sleep(Duration::from_secs_f64(1.0 / bytes_per_s.max(1) as f64));
                tokio::select! {
                    () = pause => {}
                    _ = weather.changed() => continue,
                }
            }
            if let (Weather::Narrow { bytes_per_s }, true) = (now, answers) {
                let at = line.take(room.min(rest.len()), bytes_per_s);
                tokio::time::sleep_until(at).await;
            }
            let (piece, more) = rest.split_at(room.min(rest.len()));
            if to.write_all(piece).await.is_err() {
                return;
            }
            passed += piece.len();
            rest = more;
        }
    }
    let _ = to.shutdown().await;
}

/// Waits until the weather is like that.
async fn is(mut weather: watch::Receiver<Weather>, like: impl Fn(&Weather) -> bool) {
    if weather.wait_for(like).await.is_err() {
        std::future::pending::<()>().await;
    }
}
