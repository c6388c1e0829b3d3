//! Asks a mount by its control socket.
//!
//! Each question goes over a connection of its own, whose other end was looked at: between a look and a second connection somebody else could
//! have taken the place.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::place;
use crate::base::user_words;

/// Long enough for a refresh of many days, short enough to end.
const ANSWER_WITHIN: Duration = Duration::from_mins(10);
/// A daemon that runs answers what it knows at once, however busy its tenant is.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);
/// A daemon that works says so every second.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// Bytes of an answer: a user's own rows of the ledger are the longest.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of a line of an answer: manifests of a day are the longest.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of what is known at once, which is asked of every mount that another user made, too.
const KNOWN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why a mount could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens: no such mount, or its daemon is gone.
    #[error("no cxonefs daemon answers for this mount")]
    NoDaemon { path: PathBuf, source: io::Error },
    /// Another user made the mount, and its daemon does not listen to us.
    #[error("the mount was made by {}, whose daemon does not answer this user", user_words(*owner))]
    NotForUs { owner: u32 },
    /// It listens and says nothing: stopped, or stuck.
    #[error("the daemon{} does not answer; it may be stopped", pid.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    Silent { pid: Option<u32> },
    /// Somebody else listens there.
    #[error("the mount's socket is served by {}, who did not make this mount: it is not believed", user_words(*uid))]
    Stranger { path: PathBuf, uid: u32 },
    #[error("the daemon ended before it had answered")]
    Exchange(#[source] hyper::Error),
    #[error("the request cannot be written")]
    Request(#[source] serde_json::Error),
    /// In the daemon's words.
    #[error("{0}")]
    Refused(String),
    #[error("the daemon's answer cannot be read; it may be of another version: see cxonefs --version and status")]
    Nonsense(#[source] serde_json::Error),
}

/// The process that listens there, as the kernel says; none where nobody does, or in another pid namespace.
pub fn daemon_of(socket: &Path) -> Option<u32> {
    listener(&std::os::unix::net::UnixStream::connect(socket).ok()?)?.pid
}

/// Who listens at the other end, as the kernel says.
#[derive(Clone, Copy)]
struct Listener {
    uid: u32,
    /// None where it is outside of this process's pid namespace.
    pid: Option<u32>,
}

fn listener(stream: &impl std::os::fd::AsFd) -> Option<Listener> {
    #[cfg(target_os = "linux")]
    {
        let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
        let pid = u32::try_from(peer.pid.as_raw_nonzero().get()).ok();
        Some(Listener { uid: peer.uid.as_raw(), pid })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        None
    }
}

/// GET of `what`, which the daemon knows without waiting.
pub async fn get<T: DeserializeOwned>(socket: &Path, what: &str) -> Result<T, ControlError> {
    exchange(socket, request(Method::GET, what, Bytes::new()), ALIVE_WITHIN, KNOWN_BYTES_MAX).await
}

/// Fails soon where the daemon is stopped: what follows may take minutes where it runs.
async fn alive(socket: &Path) -> Result<(), ControlError> {
    get::<serde_json::Value>(socket, "/alive").await.map(drop)
}

/// POST of a JSON body to `what`.
pub async fn post<T: DeserializeOwned>(socket: &Path, what: &str, body: &impl Serialize) -> Result<T, ControlError> {
    alive(socket).await?;
    exchange(socket, posted(what, body)?, ANSWER_WITHIN, ANSWER_BYTES_MAX).await
}

/// POST of a JSON body to `what`, whose answer is one JSON object per line for as long as it takes. Dropping the answer tells the
/// daemon that nobody wants it any more.
pub async fn lines(socket: &Path, what: &str, body: &impl Serialize) -> Result<Lines, ControlError> {
    alive(socket).await?;
    let connection = timely(None, ALIVE_WITHIN, connect(socket)).await?;
    let daemon = connection.daemon;
    let answer = timely(daemon, SILENCE_MAX, connection.send(posted(what, body)?)).await?;
    Ok(Lines { answer: accepted(answer).await?.into_body(), daemon, pending: BytesMut::new() })
}

/// An answer of many lines.
#[derive(Debug)]
pub struct Lines {
    answer: Incoming,
    daemon: Option<u32>,
    pending: BytesMut,
}

impl Lines {
    /// The next object; none at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ControlError> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line = self.pending.split_to(end + 1);
                return serde_json::from_slice(&line).map(Some).map_err(ControlError::Nonsense);
            }
            let frame = timeout(SILENCE_MAX, self.answer.frame()).await;
            match frame.map_err(|_| ControlError::Silent { pid: self.daemon })? {
                Some(frame) => {
                    let data = frame.map_err(ControlError::Exchange)?.into_data().unwrap_or_default();
                    self.pending.extend_from_slice(&data);
                    if self.pending.len() > LINE_BYTES_MAX {
                        return Err(too_long());
                    }
                }
                None => return Ok(None),
            }
        }
    }
}

fn request(method: Method, what: &str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    // Ours, and always a path.
    *request.uri_mut() = what.parse().unwrap_or_default();
    // The host is not looked up: the socket stands for it.
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("localhost"));
    request
}

fn posted(what: &str, body: &impl Serialize) -> Result<Request<Full<Bytes>>, ControlError> {
    let body = serde_json::to_vec(body).map_err(ControlError::Request)?;
    let mut request = request(Method::POST, what, body.into());
    request.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(request)
}

async fn exchange<T: DeserializeOwned>(
    socket: &Path,
    request: Request<Full<Bytes>>,
    within: Duration,
    bytes_max: usize,
) -> Result<T, ControlError> {
    let connection = timely(None, ALIVE_WITHIN, connect(socket)).await?;
    let daemon = connection.daemon;
    let asked = async {
        let answer = accepted(connection.send(request).await?).await?;
        serde_json::from_slice(&whole(answer, bytes_max).await?).map_err(ControlError::Nonsense)
    };
    timely(daemon, within, asked).await
}

async fn timely<T>(
    daemon: Option<u32>,
    within: Duration,
    work: impl Future<Output = Result<T, ControlError>>,
) -> Result<T, ControlError> {
    timeout(within, work).await.unwrap_or(Err(ControlError::Silent { pid: daemon }))
}

/// A connection whose other end is the mount's daemon.
struct Connection {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    daemon: Option<u32>,
    /// Who made the mount, where that is another user.
    owner: Option<u32>,
}

async fn connect(socket: &Path) -> Result<Connection, ControlError> {
    let failed = |source: io::Error| ControlError::NoDaemon { path: socket.to_owned(), source };
    let owner = place::owner_behind(socket);
    let stream = match (UnixStream::connect(socket).await, owner) {
        (Ok(stream), _) => stream,
        (Err(error), Some(owner)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(ControlError::NotForUs { owner });
        }
        (Err(error), _) => return Err(failed(error)),
    };
    // A directory lets only its owner put a socket there; a name that anybody could have taken has to be its owner's. Root may answer for both.
    let expected = match owner {
        Some(owner) => owner,
        None => socket.symlink_metadata().map_err(failed)?.uid(),
    };
    let found = listener(&stream);
    if let Some(Listener { uid, .. }) = found.filter(|listener| listener.uid != 0 && listener.uid != expected) {
        return Err(ControlError::Stranger { path: socket.to_owned(), uid });
    }
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(ControlError::Exchange)?;
    // Ends with the answer, or when it is dropped.
    tokio::spawn(connection);
    Ok(Connection { sender, daemon: found.and_then(|found| found.pid), owner })
}

impl Connection {
    async fn send(mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, ControlError> {
        self.sender.send_request(request).await.map_err(|error| match self.owner {
            // The daemon closes the connection of a user who may not read the mount.
            Some(owner) => ControlError::NotForUs { owner },
            None => ControlError::Exchange(error),
        })
    }
}

fn too_long() -> ControlError {
    ControlError::Refused(String::from("the daemon's answer is too long"))
}

async fn whole(answer: Response<Incoming>, bytes_max: usize) -> Result<BytesMut, ControlError> {
    let mut body = answer.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        bytes.extend_from_slice(&frame.map_err(ControlError::Exchange)?.into_data().unwrap_or_default());
        if bytes.len() > bytes_max {
            return Err(too_long());
        }
    }
    Ok(bytes)
}

/// The answer, if the daemon did what it was asked to.
async fn accepted(answer: Response<Incoming>) -> Result<Response<Incoming>, ControlError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let said = whole(answer, KNOWN_BYTES_MAX)
        .await
        .map(|said| String::from_utf8_lossy(&said).into_owned())
        .unwrap_or_default();
    Err(ControlError::Refused(if said.is_empty() { format!("the daemon answered {status}") } else { said }))
}
