//! Warming: resolving and caching ahead of use what lies below some paths, after saying what that will cost.
//!
//! `scope` finds what is meant, `cost` says what is missing of it, `work` brings it. Nothing here is more urgent than anybody who
//! waits for a file: billed calls are asked for in the last class. What was brought stays, so a job that ended early is resumed
//! by asking for the same again.

mod aside;
mod cost;
mod scope;
#[cfg(test)]
mod tests;
mod work;

pub use cost::Cost;
pub(super) use scope::Recordings;
pub use scope::Scope;
pub use work::{Ended, Progress, Warming};

use std::sync::Arc;

use crate::tree::Tree;
use crate::tree::error::TreeError;
use crate::tree::principal::Principal;
use aside::aside;

impl Tree {
    /// What lies below `paths`, which are relative to the mount (`""` is all of it). Days that were never listed are listed, which
    /// is free; `metadata_only` leaves the bytes of recordings out.
    pub async fn warm_scope(self: &Arc<Self>, paths: &[String], metadata_only: bool) -> Result<Scope, TreeError> {
        let mut scope = Scope::default();
        for path in paths {
            self.add_to_scope(&mut scope, path).await?;
        }
        if metadata_only {
            scope.leave_recordings_out();
        }
        Ok(scope)
    }

    /// Forgets what was refused of the interactions below `paths`, relative to the mount, or of all where there are none, so that opening asks
    /// again. Makes no billed call. Returns how many refusals there were.
    pub async fn retry(self: &Arc<Self>, paths: &[String]) -> Result<u64, TreeError> {
        if paths.is_empty() {
            return self.resolver.retry(None).await;
        }
        let scope = self.warm_scope(paths, true).await?;
        self.resolver.retry(Some(scope.items().iter().map(|(place, _)| place.master).collect())).await
    }

    /// What warming it would cost, as of now. Makes no request.
    pub async fn warm_cost(self: &Arc<Self>, scope: Scope) -> Result<Cost, TreeError> {
        let tree = Arc::clone(self);
        aside(move || tree.cost_of(&scope)).await
    }

    /// Begins to warm it, on behalf of `principal`. Ends when the answer is dropped.
    pub async fn warm(self: &Arc<Self>, scope: Scope, principal: Principal) -> Result<Warming, TreeError> {
        let tree = Arc::clone(self);
        aside(move || Warming::begin(&tree, &scope, principal)).await
    }
}
