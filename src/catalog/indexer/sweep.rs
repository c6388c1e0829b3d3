//! Contacts that were completed or changed long after their day was final, and those that came with the listing of another day: each is filed
//! in its own day, whether that is open or final.
//!
//! A look at changes goes on where the last one ended, so that a mount that was away for a week finds what that week brought. Where it is not
//! known that the tenant counts a contact as of its start, it goes back to the beginning of every day that was listed since: a contact of the
//! day that ended weeks later is in no listing of the day.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::super::Catalog;
use super::super::error::CatalogError;
use super::{IndexError, Indexer, Inner, policy};
use crate::base::Day;
use crate::cxone::ContactRecord;

/// Between two looks.
const EVERY: Duration = Duration::from_hours(1);
/// Before another one where one failed.
const EVERY_FAILED: Duration = Duration::from_mins(5);
/// Under this name the state knows until when changes were looked at, in microseconds.
const SWEPT_UNTIL: &str = "index.swept_until";

impl Indexer {
    /// Looks at changes now and every hour, in a task of the current runtime, until the last clone is dropped.
    pub fn start_sweeping(&self) {
        tokio::spawn(keep_sweeping(Arc::downgrade(&self.inner)));
    }

    /// Files what changed since the last look, whenever it started. Gives the number of contacts that came.
    pub async fn sweep(&self) -> Result<u64, IndexError> {
        let inner = &self.inner;
        let asked_at = inner.clock.now();
        let catalog = inner.catalog.clone();
        let known = move || Ok((swept_until(&catalog)?, catalog.first_indexed()?));
        let (last, first_indexed) = inner.blocking(known).await?;
        let Some(since) = policy::sweep_since(asked_at, last, first_indexed) else {
            // Whatever is listed from now on is listed as it then is.
            return Ok(0);
        };
        let (into, mut batches) = mpsc::channel::<Vec<ContactRecord>>(1);
        // Drops its end of the channel where it fails, so that the listing ends too.
        let filing = async move {
            let mut contacts = 0;
            while let Some(batch) = batches.recv().await {
                contacts += batch.len() as u64;
                inner.file(batch).await?;
            }
            Ok::<_, IndexError>(contacts)
        };
        let (listed, contacts) = tokio::join!(inner.lister.changed(since, into), filing);
        let contacts = contacts?;
        let listed = listed.map_err(|error| IndexError::Api(Arc::new(error)))?;
        tracing::debug!(%since, contacts, skipped = listed.skipped, whole = listed.whole, "looked at changes");
        if listed.skipped > 0 {
            tracing::warn!(
                skipped = listed.skipped,
                "{} changed contact records cannot be read and are not shown; the lines before name the fields of some",
                listed.skipped
            );
        }
        if listed.whole {
            let (until, catalog) = (listed.last_poll.unwrap_or(asked_at), inner.catalog.clone());
            let note = move || {
                // Unless a day was listed meanwhile for which it has to go back.
                if swept_until(&catalog)? == last { catalog.set_fact(SWEPT_UNTIL, &written(until)) } else { Ok(()) }
            };
            inner.blocking(note).await?;
        }
        Ok(contacts)
    }
}

fn swept_until(catalog: &Catalog) -> Result<Option<Timestamp>, CatalogError> {
    let told = catalog.fact(SWEPT_UNTIL)?;
    Ok(told.and_then(|text| text.parse().ok()).and_then(|at| Timestamp::from_microsecond(at).ok()))
}

fn written(at: Timestamp) -> String {
    at.as_microsecond().to_string()
}

async fn keep_sweeping(indexer: Weak<Inner>) {
    let mut was_failing = false;
    loop {
        let Some(inner) = indexer.upgrade() else { return };
        let swept = Indexer { inner }.sweep().await;
        let pause = match &swept {
            Ok(_) => {
                if was_failing {
                    tracing::info!("contacts that were completed late can be looked for again");
                }
                EVERY
            }
            Err(error) => {
                if !was_failing {
                    let error = crate::base::chain(error);
                    tracing::warn!(
                        error,
                        "contacts that were completed late could not be looked for ({error}): they are missing until it works; it is tried again every few minutes"
                    );
                }
                EVERY_FAILED
            }
        };
        was_failing = swept.is_err();
        tokio::time::sleep(pause).await;
    }
}

impl Inner {
    /// The next look at changes goes back to `at`.
    pub(super) async fn sweep_from(&self, at: Timestamp) -> Result<(), IndexError> {
        let (catalog, now) = (self.catalog.clone(), self.clock.now());
        let note = move || {
            let from = swept_until(&catalog)?.unwrap_or(now);
            if at < from { catalog.set_fact(SWEPT_UNTIL, &written(at)) } else { Ok(()) }
        };
        self.blocking(note).await
    }

    /// Files legs in the days on which they start, and tells of the days that changed.
    pub(super) async fn file(&self, legs: Vec<ContactRecord>) -> Result<(), IndexError> {
        let first = self.since.first_day(Day::of(self.clock.now(), &self.timezone));
        let mut days: BTreeMap<Day, Vec<ContactRecord>> = BTreeMap::new();
        for leg in legs {
            days.entry(Day::of(leg.start, &self.timezone)).or_default().push(leg);
        }
        for (day, legs) in days {
            if day < first {
                tracing::debug!(%day, legs = legs.len(), "contacts of a day that is not shown");
                continue;
            }
            let (catalog, count) = (self.catalog.clone(), legs.len());
            if self.blocking(move || catalog.add_legs(day, &legs)).await? {
                tracing::info!(%day, legs = count, "{count} contact records came late to the day {day}, which shows them from now on");
                // No receiver is not an error.
                let _ = self.changes.send(day);
            }
        }
        Ok(())
    }

    /// Runs what may wait for the disk on a thread where it holds nobody up.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, IndexError> {
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| IndexError::Interrupted)?;
        Ok(done?)
    }
}
