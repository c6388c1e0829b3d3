//! Answers on the control socket.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::audited::audited;
use super::controlled::{Controlled, LedgerRequest, Peer, RefreshRequest, Refreshed, RetryRequest, UnmountRequest};
use crate::base::user_words;
use crate::ops::logging;
use crate::ops::privacy::{self, PrivacyError};
use crate::ops::status::Status;
use crate::ops::warm::WarmRequest;

/// A socket that is being served; it goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    inode: u64,
    task: JoinHandle<()>,
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}

/// Serves `controlled` at `path`, whose directory is made private. A socket that an earlier process left is replaced.
pub fn serve(path: &Path, controlled: Arc<dyn Controlled>) -> Result<Server, PrivacyError> {
    if let Some(dir) = path.parent() {
        privacy::private_dir(dir)?;
    }
    let failed = |source: io::Error| PrivacyError::Create { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let inode = inode(path).unwrap_or_default();
    let router = Router::new()
        .route("/alive", get(alive))
        .route("/status", get(status))
        .route("/refresh", post(refresh))
        .route("/retry", post(retry))
        .route("/unmount", post(unmount))
        .route("/log-level", get(log_level).post(set_log_level))
        .route("/warm/cost", post(warm_cost))
        .route("/warm", post(warm))
        .route("/audit/head", get(audit_head))
        .merge(super::long::routes())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&controlled), audited))
        .layer(axum::middleware::from_fn(only_owner))
        .with_state(controlled);
    let service = router.into_make_service_with_connect_info::<Peer>();
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, service).await {
            tracing::warn!(%error, "the control socket is closed ({error}): cxonefs status, warm and refresh do not reach this mount");
        }
    });
    Ok(Server { path: path.to_owned(), inode, task })
}

/// The socket's mode keeps others out; should anybody have loosened it, the kernel's word on who asks still does.
async fn only_owner(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    if peer.uid == 0 || peer.uid == rustix::process::geteuid().as_raw() {
        return next.run(request).await;
    }
    tracing::warn!(uid = peer.uid, pid = peer.pid, "refused a command on the control socket from another user");
    (StatusCode::FORBIDDEN, "only the mount's owner and root may do this").into_response()
}

/// Says that the daemon runs.
pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(serde_json::Value::Null)
}

async fn status(State(controlled): State<Arc<dyn Controlled>>) -> Result<Json<Status>, StatusCode> {
    // It asks the database, and for locks that are held while the disk is waited for.
    let status = tokio::task::spawn_blocking(move || controlled.status()).await;
    status.map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// For those who did not make the mount: neither the key's id nor who waits for which file is their business.
pub(super) async fn status_for_members(state: State<Arc<dyn Controlled>>) -> Result<Json<Status>, StatusCode> {
    let Json(mut status) = status(state).await?;
    status.tenant.access_key_id.clear();
    status.slowest.clear();
    Ok(Json(status))
}

/// The ledger rows of the peer's own calls.
pub(super) async fn ledger(
    State(controlled): State<Arc<dyn Controlled>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<LedgerRequest>,
) -> Response {
    let rows = tokio::task::spawn_blocking(move || controlled.ledger_of(peer.uid, &request.since)).await;
    match rows {
        Ok(Ok(rows)) => Json(rows).into_response(),
        Ok(Err(why)) => refused(why),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn refresh(
    State(controlled): State<Arc<dyn Controlled>>,
    Json(request): Json<RefreshRequest>,
) -> Json<Vec<Refreshed>> {
    let mut answers = Vec::new();
    let mut days = Vec::new();
    for text in request.days {
        match text.parse() {
            Ok(day) => days.push(day),
            Err(error) => answers.push(Refreshed { day: text, error: Some(format!("{error}")) }),
        }
    }
    if answers.is_empty() {
        answers = controlled.refresh(days).await;
    }
    Json(answers)
}

pub(super) async fn retry(
    State(controlled): State<Arc<dyn Controlled>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<RetryRequest>,
) -> Response {
    match controlled.retry(request.paths, peer).await {
        Ok(retried) => Json(retried).into_response(),
        Err(why) => refused(why),
    }
}

/// The answer may not arrive any more: the daemon ends when the mount is gone.
async fn unmount(
    State(controlled): State<Arc<dyn Controlled>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<UnmountRequest>,
) -> Response {
    tracing::info!(
        lazy = request.lazy,
        uid = peer.uid,
        pid = peer.pid,
        "{} asked to unmount (cxonefs umount)",
        user_words(peer.uid)
    );
    match controlled.unmount(request.lazy).await {
        Ok(unmounted) => Json(unmounted).into_response(),
        Err(why) => refused(why),
    }
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevel {
    pub filter: String,
}

async fn log_level() -> Json<LogLevel> {
    Json(LogLevel { filter: logging::filter().unwrap_or_default() })
}

async fn set_log_level(Json(wanted): Json<LogLevel>) -> Response {
    match logging::set_filter(&wanted.filter) {
        Ok(()) => log_level().await.into_response(),
        Err(error) => refused(error.to_string()),
    }
}

async fn audit_head(State(controlled): State<Arc<dyn Controlled>>) -> Response {
    let head = tokio::task::spawn_blocking(move || controlled.audit_head()).await;
    match head.ok().flatten() {
        Some(head) => Json(head).into_response(),
        None => refused(String::from("the audit log is not written any more")),
    }
}

pub(super) async fn warm_cost(
    State(controlled): State<Arc<dyn Controlled>>,
    Json(request): Json<WarmRequest>,
) -> Response {
    match controlled.warm_cost(request).await {
        Ok(cost) => Json(cost).into_response(),
        Err(why) => refused(why),
    }
}

/// Answers with a line of JSON for each piece of progress.
pub(super) async fn warm(
    State(controlled): State<Arc<dyn Controlled>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(request): Json<WarmRequest>,
) -> Response {
    match controlled.warm(request, peer).await {
        Ok(progress) => {
            let lines = progress.map(|progress| {
                let mut line = serde_json::to_vec(&progress)?;
                line.push(b'\n');
                Ok::<Bytes, serde_json::Error>(Bytes::from(line))
            });
            ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
        }
        Err(why) => refused(why),
    }
}

fn refused(why: String) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, why).into_response()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // A newer mount at the same point may have put its own there by now.
        if inode(&self.path) == Some(self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
