//! Spending: whether the budget allows one more billed call, and the ledger row that stands before the call is made.
//!
//! Rows of calls that begin together are written and synced together, by one task: at the start of a rate window many calls begin
//! at once, and a sync for each would hold up the last of them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{mpsc, oneshot};

use crate::base::Day;
use crate::catalog::{Catalog, CatalogError, LedgerEntry, LedgerId};
use crate::vfs::error::{ErrorKind, VfsError};
use crate::vfs::policy::DailyBudget;

/// Rows that may wait for the disk; more callers than that wait for a place.
const WAITING_MAX: usize = 1024;

/// Writes the ledger. Its task ends when this is dropped.
pub struct Purse {
    asked: mpsc::Sender<Asked>,
}

struct Asked {
    entry: LedgerEntry,
    budget: DailyBudget,
    reply: oneshot::Sender<Result<LedgerId, VfsError>>,
}

impl Purse {
    /// Starts the task on the current runtime.
    pub fn new(catalog: Catalog) -> Purse {
        let (asked, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write_rows(catalog, receiver));
        Purse { asked }
    }

    /// Enters a call that is about to be made, if `budget` allows it; on disk when this returns.
    pub async fn spend(&self, entry: LedgerEntry, budget: DailyBudget) -> Result<LedgerId, VfsError> {
        let (reply, answer) = oneshot::channel();
        let closed = || VfsError::new(ErrorKind::Io, "the ledger is closed");
        self.asked.send(Asked { entry, budget, reply }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// The budget is spent.
pub fn spent_error() -> VfsError {
    VfsError::new(ErrorKind::BudgetSpent, "the daily budget of billed calls is spent").uncalled()
}

/// Billed calls of the UTC day of `at`.
pub fn spent_on_day_of(catalog: &Catalog, at: Timestamp) -> Result<u64, CatalogError> {
    catalog.ledger_count(Day::of(at, &TimeZone::UTC).start(&TimeZone::UTC))
}

async fn write_rows(catalog: Catalog, mut receiver: mpsc::Receiver<Asked>) {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, WAITING_MAX).await > 0 {
        let (catalog, asked) = (catalog.clone(), std::mem::take(&mut batch));
        // Should the write panic, the replies are dropped, and those who wait for them are told so.
        let _ = tokio::task::spawn_blocking(move || write_batch(&catalog, asked)).await;
    }
}

fn write_batch(catalog: &Catalog, batch: Vec<Asked>) {
    let Some(first) = batch.first() else { return };
    let mut spent = match spent_on_day_of(catalog, first.entry.at) {
        Ok(spent) => spent,
        Err(error) => return refuse_all(batch, &VfsError::from(error)),
    };
    let mut allowed = Vec::with_capacity(batch.len());
    for asked in batch {
        if asked.budget.allows(spent) {
            spent += 1;
            allowed.push(asked);
        } else {
            let _ = asked.reply.send(Err(spent_error()));
        }
    }
    match catalog.ledger_begin_all(allowed.iter().map(|asked| &asked.entry)) {
        Ok(rows) => {
            for (asked, row) in allowed.into_iter().zip(rows) {
                // Nobody to hear it: the flight is gone, and the row counts as a call that may have been made.
                let _ = asked.reply.send(Ok(row));
            }
        }
        Err(error) => refuse_all(allowed, &VfsError::from(error)),
    }
}

fn refuse_all(batch: Vec<Asked>, error: &VfsError) {
    for asked in batch {
        let _ = asked.reply.send(Err(error.clone()));
    }
}
