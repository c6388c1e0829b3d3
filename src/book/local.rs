//! The book of a host that calls alone: its own rate limiter, and the ledger of its own catalog.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::budget::Allowed;
use super::error::BookError;
use super::rows::{self, Rows};
use super::{Asking, Book, Claimed, Completion, Grant};
use crate::base::{Clock, Counted, Histogram, MasterId, UserKey};
use crate::catalog::{Catalog, LedgerEntry, LedgerId};
use crate::net::{InFlight, Limiter, LimiterSettings, LimiterSnapshot, Permit};

/// The local book. Slots are the limiter's; rows of calls that begin together are synced together.
pub struct LocalBook {
    catalog: Catalog,
    limiter: Limiter,
    clock: Arc<dyn Clock>,
    rows: Rows,
    /// Waiting for the rate limit, by class.
    waits: [Histogram; 4],
}

impl LocalBook {
    /// Within a runtime.
    pub fn new(catalog: Catalog, limiter: Limiter, clock: Arc<dyn Clock>) -> LocalBook {
        LocalBook { rows: Rows::new(catalog.clone()), catalog, limiter, clock, waits: Default::default() }
    }

    /// `None` where the call is not wanted any more.
    async fn slot(&self, asking: &dyn Asking) -> Result<Option<Permit>, BookError> {
        let begun = Instant::now();
        loop {
            if !asking.is_wanted() {
                return Ok(None);
            }
            let turn = asking.turn();
            tokio::select! {
                biased;
                permit = self.limiter.acquire_for(turn.priority, &turn.user) => {
                    let permit = permit?;
                    self.waits[turn.priority as usize].note(begun.elapsed());
                    return Ok(Some(permit));
                }
                () = asking.changed(&turn) => {}
            }
        }
    }
}

#[async_trait]
impl Book for LocalBook {
    fn check(&self, user: &UserKey, allowed: Allowed) -> Result<(), BookError> {
        rows::check(allowed, &self.catalog, self.clock.now(), user)
    }

    async fn claim(&self, master: MasterId, asking: &dyn Asking, allowed: Allowed) -> Result<Claimed, BookError> {
        let Some(permit) = self.slot(asking).await? else { return Ok(Claimed::Withdrawn) };
        // Before the row: after a restart, a call counts from its row on.
        if let Err(completion) = asking.prepare().await {
            complete(permit.spend(), completion);
            return Ok(Claimed::Withdrawn);
        }
        let Some(payer) = asking.payer() else { return Ok(Claimed::Withdrawn) };
        let reason = asking.turn().priority;
        let entry = LedgerEntry {
            at: self.clock.now(),
            master_id: master,
            reason,
            uid: payer.uid,
            pid: payer.pid,
            comm: payer.comm,
        };
        let row = self.rows.enter(entry, allowed).await?;
        let grant = LocalGrant { catalog: self.catalog.clone(), row, under_way: Some(permit.spend()) };
        Ok(Claimed::Granted(Box::new(grant)))
    }

    fn waiting_of(&self, user: &UserKey) -> usize {
        self.limiter.waiting_of(user)
    }

    fn limit(&self) -> LimiterSnapshot {
        self.limiter.snapshot()
    }

    fn set_limit(&self, settings: LimiterSettings) {
        self.limiter.reconfigure(settings);
    }

    fn waits(&self) -> [Counted; 4] {
        std::array::from_fn(|class| self.waits[class].counted())
    }
}

struct LocalGrant {
    catalog: Catalog,
    row: LedgerId,
    under_way: Option<InFlight>,
}

#[async_trait]
impl Grant for LocalGrant {
    fn complete(&mut self, completion: Completion) {
        if let Some(under_way) = self.under_way.take() {
            complete(under_way, completion);
        }
    }

    async fn finish(self: Box<Self>, outcome: String) -> Result<(), BookError> {
        let finished = tokio::task::spawn_blocking(move || self.catalog.ledger_finish(self.row, &outcome)).await;
        Ok(finished.map_err(|_| BookError::Closed)??)
    }
}

fn complete(under_way: InFlight, completion: Completion) {
    match completion {
        Completion::Answered => under_way.finished(),
        Completion::Throttled(retry_after) => under_way.throttled(retry_after),
        Completion::Unsent => under_way.unsent(),
        Completion::Unknown => drop(under_way),
    }
}
