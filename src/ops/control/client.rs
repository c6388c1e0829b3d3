//! Asks a mount by its control socket.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Long enough for a refresh of many days, short enough to end.
const ANSWER_WITHIN: Duration = Duration::from_mins(10);
/// A daemon that runs answers what it knows at once, however busy its tenant is.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);
/// A daemon that works says so every second.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Why a mount could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens: no such mount, or its daemon is gone.
    #[error("no cxonefs daemon answers at {}", path.display())]
    NoDaemon { path: PathBuf, source: io::Error },
    /// It listens and says nothing: stopped, or stuck.
    #[error("the daemon{} does not answer; it may be stopped", pid.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    Silent { pid: Option<u32> },
    /// Somebody else listens there.
    #[error("the socket {} is served by user {uid}, who did not make this mount", path.display())]
    Stranger { path: PathBuf, uid: u32 },
    #[error("the daemon did not answer")]
    Exchange(#[source] reqwest::Error),
    /// In the daemon's words.
    #[error("{0}")]
    Refused(String),
    #[error("the daemon's answer makes no sense")]
    Nonsense(#[source] serde_json::Error),
}

/// The process that listens there, as the kernel says; none where nobody does, or in another pid namespace.
pub fn daemon_of(socket: &Path) -> Option<u32> {
    listener(&std::os::unix::net::UnixStream::connect(socket).ok()?)?.pid
}

/// Who listens at the other end, as the kernel says.
struct Listener {
    uid: u32,
    /// None where it is outside of this process's pid namespace.
    pid: Option<u32>,
}

fn listener(stream: &std::os::unix::net::UnixStream) -> Option<Listener> {
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
    let client = builder(socket)?.timeout(ALIVE_WITHIN).build().map_err(ControlError::Exchange)?;
    let answer = client.get(url(what)).send().await;
    if answer.as_ref().is_err_and(reqwest::Error::is_timeout) {
        return Err(ControlError::Silent { pid: daemon_of(socket) });
    }
    read(answer).await
}

/// Fails soon where the daemon is stopped: what follows may take minutes where it runs.
async fn alive(socket: &Path) -> Result<(), ControlError> {
    get::<serde_json::Value>(socket, "/alive").await.map(drop)
}

/// POST of a JSON body to `what`.
pub async fn post<T: DeserializeOwned>(socket: &Path, what: &str, body: &impl Serialize) -> Result<T, ControlError> {
    alive(socket).await?;
    let client = builder(socket)?.timeout(ANSWER_WITHIN).build().map_err(ControlError::Exchange)?;
    read(client.post(url(what)).json(body).send().await).await
}

/// POST of a JSON body to `what`, whose answer is one JSON object per line for as long as it takes. Dropping the answer tells the
/// daemon that nobody wants it any more.
pub async fn lines(socket: &Path, what: &str, body: &impl Serialize) -> Result<Lines, ControlError> {
    alive(socket).await?;
    let client = builder(socket)?.read_timeout(SILENCE_MAX).build().map_err(ControlError::Exchange)?;
    let answer = client.post(url(what)).json(body).send().await;
    Ok(Lines { answer: accepted(answer).await?, pending: Vec::new() })
}

/// An answer of many lines.
#[derive(Debug)]
pub struct Lines {
    answer: reqwest::Response,
    pending: Vec<u8>,
}

impl Lines {
    /// The next object; none at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ControlError> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(ControlError::Nonsense);
            }
            match self.answer.chunk().await.map_err(ControlError::Exchange)? {
                Some(chunk) => self.pending.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

fn url(what: &str) -> String {
    // The host is not looked up: the socket stands for it.
    format!("http://localhost{what}")
}

fn builder(socket: &Path) -> Result<reqwest::ClientBuilder, ControlError> {
    // A refused connection says more here than inside an HTTP client's error.
    let reached = std::os::unix::net::UnixStream::connect(socket);
    let stream = reached.map_err(|source| ControlError::NoDaemon { path: socket.to_owned(), source })?;
    // The directory lets only its owner put a socket there, and the socket's owner has to be who answers: he, or root for him.
    let owner = socket.symlink_metadata().map(|metadata| metadata.uid());
    let owner = owner.map_err(|source| ControlError::NoDaemon { path: socket.to_owned(), source })?;
    if let Some(Listener { uid, .. }) = listener(&stream).filter(|listener| listener.uid != 0 && listener.uid != owner)
    {
        return Err(ControlError::Stranger { path: socket.to_owned(), uid });
    }
    crate::net::tls::install_crypto();
    Ok(reqwest::Client::builder().unix_socket(socket.to_owned()).no_proxy().tls_certs_only([]))
}

async fn read<T: DeserializeOwned>(answer: Result<reqwest::Response, reqwest::Error>) -> Result<T, ControlError> {
    accepted(answer).await?.json().await.map_err(ControlError::Exchange)
}

/// The answer, if the daemon did what it was asked to.
async fn accepted(answer: Result<reqwest::Response, reqwest::Error>) -> Result<reqwest::Response, ControlError> {
    let answer = answer.map_err(ControlError::Exchange)?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let said = answer.text().await.unwrap_or_default();
    Err(ControlError::Refused(if said.is_empty() { format!("the daemon answered {status}") } else { said }))
}
