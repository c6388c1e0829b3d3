//! The daemon's side of `cxonefs warm`: from a request on the control socket to a job of the tree, and from its progress to lines.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use crate::base::failure::chain;
use crate::base::user_words;
use crate::fuse::principal;
use crate::ops::control::{Peer, WarmLines};
use crate::ops::warm::{WarmCost, WarmProgress, WarmRequest, WarmState};
use crate::tree::Tree;
use crate::tree::warm::{Cost, Ended, Progress, Scope, Warming};

/// Between two lines: often enough for a bar that moves.
const PAUSE: Duration = Duration::from_millis(200);
/// A job that waits for the rate limit says at least this often that it is there; writing also finds out that nobody listens any more.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// What warming would cost.
pub async fn cost(tree: &Arc<Tree>, request: &WarmRequest) -> Result<WarmCost, String> {
    let scope = scope(tree, request).await?;
    tree.warm_cost(scope).await.map(cost_line).map_err(|error| chain(&error))
}

/// Begins to warm; the job ends when the answer is dropped.
pub async fn begin(tree: &Arc<Tree>, request: &WarmRequest, peer: Peer) -> Result<WarmLines, String> {
    let scope = scope(tree, request).await?;
    let principal = principal(peer.uid, peer.gid, peer.pid);
    principal.identify();
    let warming = tree.warm(scope, principal).await.map_err(|error| chain(&error))?;
    let (paths, user) = (request.paths.len(), user_words(peer.uid));
    tracing::info!(
        paths,
        metadata_only = request.metadata_only,
        uid = peer.uid,
        "{user} began to warm {paths} paths (cxonefs warm)"
    );
    Ok(stream::unfold(Some((warming, true)), next).boxed())
}

async fn scope(tree: &Arc<Tree>, request: &WarmRequest) -> Result<Scope, String> {
    tree.warm_scope(&request.paths, request.metadata_only).await.map_err(|error| chain(&error))
}

/// One more line, at once if it is the first.
async fn next(job: Option<(Warming, bool)>) -> Option<(WarmProgress, Option<(Warming, bool)>)> {
    let (mut warming, is_first) = job?;
    if !is_first {
        let changed = tokio::time::timeout(SILENCE_MAX, warming.changed()).await;
        if warming.progress().ended.is_none() {
            if changed == Ok(false) {
                // The job is gone without having ended: a defect, which the client tells from a missing end.
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let progress = warming.progress();
    let is_last = progress.ended.is_some();
    if let Some(ended) = &progress.ended {
        let (done, failed, calls, bytes) = (progress.done, progress.failed, progress.calls, progress.bytes);
        tracing::info!(
            ?ended,
            done,
            failed,
            calls,
            bytes,
            "warming ended: {done} interactions are here, {failed} failed, for {calls} billed calls and {bytes} bytes"
        );
    }
    Some((progress_line(progress), (!is_last).then_some((warming, false))))
}

fn cost_line(cost: Cost) -> WarmCost {
    let Cost { interactions, calls, budget_left, recordings, bytes, bytes_guessed, cache_bytes, limit_time } = cost;
    let limit_time_s = limit_time.as_secs_f64();
    WarmCost { interactions, calls, budget_left, recordings, bytes, bytes_guessed, cache_bytes, limit_time_s }
}

fn progress_line(progress: Progress) -> WarmProgress {
    let Progress { interactions, done, failed, calls, bytes, bytes_in_all, left_out, never, failures, ended } =
        progress;
    let (state, why) = match ended {
        None => (WarmState::Running, None),
        Some(Ended::Finished) => (WarmState::Finished, None),
        Some(Ended::BudgetSpent) => {
            (WarmState::BudgetSpent, Some("the daily budget of billed calls is spent".to_owned()))
        }
        Some(Ended::GivenUp(why)) => (WarmState::GivenUp, Some(why)),
    };
    WarmProgress { interactions, done, failed, calls, bytes, bytes_in_all, left_out, never, failures, state, why }
}
