//! Spending: whether the budget allows one more billed call, and the ledger row that stands before the call is made.
//!
//! Rows of calls that begin together are written and synced together, by one task: at the start of a rate window many calls begin
//! at once, and a sync for each would hold up the last of them.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{mpsc, oneshot};

use crate::base::{Day, UserKey};
use crate::catalog::{Catalog, CatalogError, LedgerEntry, LedgerId};
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::policy::DailyBudget;

/// Rows that may wait for the disk; more callers than that wait for a place.
const WAITING_MAX: usize = 1024;

/// Writes the ledger. Its task ends when this is dropped.
pub struct Purse {
    asked: mpsc::Sender<Asked>,
}

struct Asked {
    entry: LedgerEntry,
    allowed: Allowed,
    reply: oneshot::Sender<Result<LedgerId, TreeError>>,
}

impl Purse {
    /// Starts the task on the current runtime.
    pub fn new(catalog: Catalog) -> Purse {
        let (asked, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write_rows(catalog, receiver));
        Purse { asked }
    }

    /// Enters a call that is about to be made, if that is `allowed`; on disk when this returns.
    pub async fn spend(&self, entry: LedgerEntry, allowed: Allowed) -> Result<LedgerId, TreeError> {
        let (reply, answer) = oneshot::channel();
        let closed = || TreeError::new(ErrorKind::Io, "the ledger is closed");
        self.asked.send(Asked { entry, allowed, reply }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// What may be spent in a UTC day.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// By all together.
    pub budget: DailyBudget,
    /// By each user.
    pub user_budget: DailyBudget,
}

impl Allowed {
    /// Whether `user` may spend one more call, by what the ledger has.
    pub fn check(self, catalog: &Catalog, at: Timestamp, user: &UserKey) -> Result<(), TreeError> {
        let all = if self.budget.0.is_some() { spent_on_day_of(catalog, at)? } else { 0 };
        let own = match user {
            UserKey::Uid(uid) if self.user_budget.0.is_some() => spent_by(catalog, at, *uid)?,
            _ => 0,
        };
        self.check_counts(all, own, user)
    }

    fn check_counts(self, all: u64, own: u64, user: &UserKey) -> Result<(), TreeError> {
        if !self.budget.allows(all) {
            return Err(spent_error("the daily budget of billed calls is spent; raise limits.daily_budget"));
        }
        if !self.user_budget.allows(own) {
            let message =
                format!("the daily budget of billed calls of {user} is spent; raise limits.daily_budget_per_user");
            return Err(spent_error(&message));
        }
        Ok(())
    }
}

fn spent_error(message: &str) -> TreeError {
    TreeError::new(ErrorKind::BudgetSpent, message).uncalled()
}

/// Billed calls of one local user on the UTC day of `at`.
fn spent_by(catalog: &Catalog, at: Timestamp, uid: u32) -> Result<u64, CatalogError> {
    catalog.ledger_count_of(Day::of(at, &TimeZone::UTC).start(&TimeZone::UTC), uid)
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
        Err(error) => return refuse_all(batch, &TreeError::from(error)),
    };
    let mut spent_by_users: HashMap<u32, u64> = HashMap::new();
    let mut allowed = Vec::with_capacity(batch.len());
    for asked in batch {
        let uid = asked.entry.uid;
        if asked.allowed.user_budget.0.is_some() && !spent_by_users.contains_key(&uid) {
            match spent_by(catalog, asked.entry.at, uid) {
                Ok(count) => _ = spent_by_users.insert(uid, count),
                Err(error) => {
                    let _ = asked.reply.send(Err(error.into()));
                    continue;
                }
            }
        }
        let own = spent_by_users.entry(uid).or_default();
        match asked.allowed.check_counts(spent, *own, &UserKey::Uid(uid)) {
            Ok(()) => {
                spent += 1;
                *own += 1;
                allowed.push(asked);
            }
            Err(error) => _ = asked.reply.send(Err(error)),
        }
    }
    match catalog.ledger_begin_all(allowed.iter().map(|asked| &asked.entry)) {
        Ok(rows) => {
            for (asked, row) in allowed.into_iter().zip(rows) {
                // Nobody to hear it: the flight is gone, and the row counts as a call that may have been made.
                let _ = asked.reply.send(Ok(row));
            }
        }
        Err(error) => refuse_all(allowed, &TreeError::from(error)),
    }
}

fn refuse_all(batch: Vec<Asked>, error: &TreeError) {
    for asked in batch {
        let _ = asked.reply.send(Err(error.clone()));
    }
}
