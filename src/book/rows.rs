//! Ledger rows, each before its call is made.
//!
//! Rows of calls that begin together are written and synced together, by one task: at the start of a rate window many calls begin
//! at once, and a sync for each would hold up the last of them.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{mpsc, oneshot};

use super::budget::Allowed;
use super::error::BookError;
use crate::base::{Day, UserKey};
use crate::catalog::{Catalog, CatalogError, LedgerEntry, LedgerId};

/// Rows that may wait for the disk; more callers than that wait for a place.
const WAITING_MAX: usize = 1024;

/// Writes the ledger. Its task ends when this is dropped.
pub struct Rows {
    asked: mpsc::Sender<Asked>,
}

struct Asked {
    entry: LedgerEntry,
    allowed: Allowed,
    reply: oneshot::Sender<Result<LedgerId, BookError>>,
}

impl Rows {
    /// Starts the task on the current runtime.
    pub fn new(catalog: Catalog) -> Rows {
        let (asked, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write_rows(catalog, receiver));
        Rows { asked }
    }

    /// Enters a call that is about to be made, if that is `allowed`; on disk when this returns.
    pub async fn enter(&self, entry: LedgerEntry, allowed: Allowed) -> Result<LedgerId, BookError> {
        let (reply, answer) = oneshot::channel();
        self.asked.send(Asked { entry, allowed, reply }).await.map_err(|_| BookError::Closed)?;
        answer.await.map_err(|_| BookError::Closed)?
    }
}

/// Whether `user` may spend one more call, by what the ledger has.
pub fn check(allowed: Allowed, catalog: &Catalog, at: Timestamp, user: &UserKey) -> Result<(), BookError> {
    let all = if allowed.budget.0.is_some() { spent_on_day_of(catalog, at)? } else { 0 };
    let own = match user {
        UserKey::Uid(uid) if allowed.user_budget.0.is_some() => spent_by(catalog, at, *uid)?,
        _ => 0,
    };
    allowed.spent(all, own, user).map_or(Ok(()), |whose| Err(BookError::Spent(whose)))
}

/// Billed calls of one local user on the UTC day of `at`.
fn spent_by(catalog: &Catalog, at: Timestamp, uid: u32) -> Result<u64, CatalogError> {
    catalog.ledger_count_of(Day::of(at, &TimeZone::UTC).start(&TimeZone::UTC), uid)
}

/// Billed calls of the UTC day of `at`.
fn spent_on_day_of(catalog: &Catalog, at: Timestamp) -> Result<u64, CatalogError> {
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
        Err(error) => return refuse_all(batch, &BookError::from(error)),
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
        match asked.allowed.spent(spent, *own, &UserKey::Uid(uid)) {
            None => {
                spent += 1;
                *own += 1;
                allowed.push(asked);
            }
            Some(whose) => _ = asked.reply.send(Err(BookError::Spent(whose))),
        }
    }
    match catalog.ledger_begin_all(allowed.iter().map(|asked| &asked.entry)) {
        Ok(rows) => {
            for (asked, row) in allowed.into_iter().zip(rows) {
                // Nobody to hear it: the claim is gone, and the row counts as a call that may have been made.
                let _ = asked.reply.send(Ok(row));
            }
        }
        Err(error) => refuse_all(allowed, &BookError::from(error)),
    }
}

fn refuse_all(batch: Vec<Asked>, error: &BookError) {
    for asked in batch {
        let _ = asked.reply.send(Err(error.clone()));
    }
}
