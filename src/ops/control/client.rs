//! Asks a mount by its control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::ClientBuilder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Long enough for a refresh of many days, short enough to end.
const ANSWER_WITHIN: Duration = Duration::from_mins(10);

/// Why a mount could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens: no such mount, or its daemon is gone.
    #[error("no cxonefs daemon answers at {}", path.display())]
    NoDaemon { path: PathBuf, source: io::Error },
    #[error("the daemon did not answer")]
    Exchange(#[source] reqwest::Error),
    #[error("the daemon refused: {0}")]
    Refused(String),
}

/// GET of `what`.
pub async fn get<T: DeserializeOwned>(socket: &Path, what: &str) -> Result<T, ControlError> {
    let client = client(socket, in_time)?;
    read(client.get(url(what)).send().await).await
}

/// POST of a JSON body to `what`.
pub async fn post<T: DeserializeOwned>(socket: &Path, what: &str, body: &impl Serialize) -> Result<T, ControlError> {
    let client = client(socket, in_time)?;
    read(client.post(url(what)).json(body).send().await).await
}

pub(super) fn url(what: &str) -> String {
    // The host is not looked up: the socket stands for it.
    format!("http://localhost{what}")
}

fn in_time(builder: ClientBuilder) -> ClientBuilder {
    builder.timeout(ANSWER_WITHIN)
}

pub(super) fn client(
    socket: &Path,
    limits: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<reqwest::Client, ControlError> {
    // A refused connection says more here than inside an HTTP client's error.
    let reached = std::os::unix::net::UnixStream::connect(socket);
    reached.map_err(|source| ControlError::NoDaemon { path: socket.to_owned(), source })?;
    crate::base::tls::install_crypto();
    let builder = reqwest::Client::builder().unix_socket(socket.to_owned()).no_proxy();
    limits(builder).tls_certs_only([]).build().map_err(ControlError::Exchange)
}

async fn read<T: DeserializeOwned>(answer: Result<reqwest::Response, reqwest::Error>) -> Result<T, ControlError> {
    let answer = answer.map_err(ControlError::Exchange)?;
    if !answer.status().is_success() {
        return Err(ControlError::Refused(answer.status().to_string()));
    }
    answer.json().await.map_err(ControlError::Exchange)
}
