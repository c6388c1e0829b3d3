//! Answers that take long: one JSON object a line, progress first and the outcome last, so that whoever asked can show how far it is and
//! nothing has to end within a time limit.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::{Json, Router};
use futures_util::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::client::{self, ControlError};
use super::controlled::{Controlled, Peer};
use crate::ops::keeping::{
    CacheReport, HoldReport, HoldRequest, ManifestRequest, Progress, PurgeRequest, ReleaseRequest, Told,
};

/// Lines that may wait for a reader; progress beyond it is left out.
const LINES_WAITING_MAX: usize = 64;
/// Rewriting a large state database tells nothing for a while; whoever waits is told that it goes on.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// The routes of `cxonefs cache`, `hold` and `manifest`.
pub(super) fn routes() -> Router<Arc<dyn Controlled>> {
    use axum::routing::{get, post};
    Router::new()
        .route("/cache", get(stats))
        .route("/cache/verify", post(verify))
        .route("/cache/purge", post(purge))
        .route("/holds", get(holds))
        .route("/holds/add", post(add_holds))
        .route("/holds/remove", post(remove_holds))
        .route("/manifest", post(manifest))
}

async fn stats(State(controlled): State<Arc<dyn Controlled>>) -> Result<Json<CacheReport>, http::StatusCode> {
    let keeper = controlled.keeper();
    let stats = tokio::task::spawn_blocking(move || keeper.stats()).await;
    stats.map(Json).map_err(|_| http::StatusCode::INTERNAL_SERVER_ERROR)
}

/// Reads what was sent, too: a connection that is closed with something unread is reset, and the answer may be lost.
async fn verify(State(controlled): State<Arc<dyn Controlled>>, Json(()): Json<()>) -> Body {
    let keeper = controlled.keeper();
    // Nobody to tell is a reason to end: it only looks.
    told(move |progress| Ok(keeper.verify(progress)))
}

async fn holds(State(controlled): State<Arc<dyn Controlled>>) -> Result<Json<Vec<HoldReport>>, http::StatusCode> {
    let keeper = controlled.keeper();
    let holds = tokio::task::spawn_blocking(move || keeper.holds()).await;
    let holds = holds.ok().and_then(Result::ok).ok_or(http::StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(Json(holds))
}

async fn add_holds(
    State(controlled): State<Arc<dyn Controlled>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<HoldRequest>,
) -> Body {
    let keeper = controlled.keeper();
    told(move |_| keeper.add_holds(&request, peer.uid))
}

async fn remove_holds(State(controlled): State<Arc<dyn Controlled>>, Json(request): Json<ReleaseRequest>) -> Body {
    let keeper = controlled.keeper();
    told(move |_| keeper.remove_holds(&request.contacts))
}

async fn manifest(State(controlled): State<Arc<dyn Controlled>>, Json(request): Json<ManifestRequest>) -> Body {
    let keeper = controlled.keeper();
    told(move |progress| {
        keeper.manifest(&request.day, &mut |at| {
            progress(at);
        })
    })
}

async fn purge(
    State(controlled): State<Arc<dyn Controlled>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<PurgeRequest>,
) -> Body {
    let keeper = controlled.keeper();
    told(move |progress| {
        keeper.purge(&request, peer.uid, &mut |at| {
            progress(at);
        })
    })
}

/// Runs `work` on a blocking thread and tells how it goes.
fn told<T: Serialize + Send + 'static>(
    work: impl FnOnce(&mut dyn FnMut(Progress) -> bool) -> Result<T, String> + Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>(LINES_WAITING_MAX);
    tokio::task::spawn_blocking(move || {
        let done = work(&mut |progress| {
            let sent = sender.try_send(line(&Told::<T>::Progress(progress)));
            !matches!(sent, Err(TrySendError::Closed(_)))
        });
        // Whoever asked may have gone.
        let _ = sender.blocking_send(line(&done.map_or_else(Told::Failed, Told::Done)));
    });
    let lines = stream::unfold(receiver, async |mut receiver| {
        let next = tokio::time::timeout(ALIVE_EVERY, receiver.recv()).await;
        let next = next.unwrap_or_else(|_| Some(line(&Told::<()>::Alive)));
        next.map(|line| (Ok::<_, Infallible>(line), receiver))
    });
    Body::from_stream(lines)
}

fn line<T: Serialize>(told: &Told<T>) -> Vec<u8> {
    // These types have no map with keys that are no text, which is all that could fail.
    let mut line = serde_json::to_vec(told).unwrap_or_default();
    line.push(b'\n');
    line
}

/// POST of a JSON body to `what`; calls `progress` until the outcome comes.
pub async fn follow<T: DeserializeOwned>(
    socket: &Path,
    what: &str,
    body: &impl Serialize,
    mut progress: impl FnMut(Progress),
) -> Result<T, ControlError> {
    let mut lines = client::lines(socket, what, body).await?;
    while let Some(told) = lines.next::<Told<T>>().await? {
        match told {
            Told::Alive => {}
            Told::Progress(at) => progress(at),
            Told::Done(done) => return Ok(done),
            Told::Failed(why) => return Err(ControlError::Refused(why)),
        }
    }
    Err(ControlError::Refused(String::from("the daemon ended before it had answered")))
}
