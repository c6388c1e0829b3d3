//! Answers on the control socket.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::base::Day;
use crate::ops::keeping::Keeping;
use crate::ops::privacy::{self, PrivacyError};
use crate::ops::status::Status;

/// What can be asked of a mount.
#[async_trait]
pub trait Controlled: Send + Sync + 'static {
    /// How it is, now. Never waits for the network.
    fn status(&self) -> Status;

    /// Lists days anew; without any, those that are still open.
    async fn refresh(&self, days: Vec<Day>) -> Vec<Refreshed>;

    /// Who looks after what this mount keeps on disk.
    fn keeper(&self) -> Arc<dyn Keeping>;
}

/// What became of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// Why it failed; absent if it did not.
    pub error: Option<String>,
}

/// The days to refresh.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RefreshRequest {
    pub days: Vec<String>,
}

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
    let router = Router::new().route("/status", get(status)).route("/refresh", post(refresh));
    let router = router.merge(super::long::routes()).with_state(controlled);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "the control socket ended");
        }
    });
    Ok(Server { path: path.to_owned(), inode, task })
}

async fn status(State(controlled): State<Arc<dyn Controlled>>) -> Json<Status> {
    Json(controlled.status())
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

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // A newer mount at the same point may have put its own there by now.
        if inode(&self.path) == Some(self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
