//! Interactions that go on over midnight: which of a day's legs continue what began the day before.
//!
//! What is published of an interaction for good, its time and its channel, comes from its earliest leg. A leg that began after midnight does
//! not tell of the one before it, so without a look at the evening before it would depend on which day is listed first, and be another
//! one after the index was lost. Knows no network: the indexer asks.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use rusqlite::OptionalExtension;

use super::error::CatalogError;
use super::handle::Catalog;
use crate::base::MasterId;
use crate::cxone::ContactRecord;

/// How long before midnight is looked for a beginning, and how long after it a leg may continue one. Calls do not last longer; an email
/// that is handed on the next morning is not worth another listing of every day.
pub(super) const LOOK_BACK: SignedDuration = SignedDuration::from_hours(4);

pub(super) const KNOWN: &str = "SELECT 1 FROM interactions WHERE master_id = ?1";

/// Interactions of `records` that may have begun before `midnight`: their own first leg, which bears their number, is not among them, and
/// the day was young when they came.
pub(super) fn sought(records: &[ContactRecord], midnight: Timestamp) -> HashSet<MasterId> {
    let mut sought: HashSet<MasterId> = records
        .iter()
        .filter(|record| record.start.duration_since(midnight) < LOOK_BACK)
        .map(|record| record.master_id)
        .collect();
    for record in records.iter().filter(|record| record.contact_id.0 == record.master_id.0) {
        sought.remove(&record.master_id);
    }
    sought
}

impl Catalog {
    /// Those of which nothing was published yet.
    pub(super) fn unpublished(&self, mut masters: HashSet<MasterId>) -> Result<HashSet<MasterId>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(KNOWN)?;
            let mut known = Vec::new();
            for master in &masters {
                known.extend(statement.query_row([master.0], |_| Ok(*master)).optional()?);
            }
            for master in known {
                masters.remove(&master);
            }
            Ok(masters)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{catalog, record, time};
    use super::*;
    use crate::base::Day;

    fn numbers(masters: HashSet<MasterId>) -> Vec<i64> {
        let mut numbers: Vec<i64> = masters.into_iter().map(|master| master.0).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn what_lacks_its_first_leg_soon_after_midnight_is_sought() {
        let midnight = time("2026-11-02T05:00:00Z");
        let records = [
            record(1, 1, 7, "2026-11-02T05:00:10Z"),
            record(3, 2, 7, "2026-11-02T05:00:10Z"),
            record(6, 5, 7, "2026-11-02T08:59:59Z"),
            // Has its own first leg beside it.
            record(11, 10, 7, "2026-11-02T05:30:00Z"),
            record(10, 10, 7, "2026-11-02T05:10:00Z"),
            // Too late to continue anything.
            record(21, 20, 7, "2026-11-02T09:00:00Z"),
        ];
        assert_eq!(numbers(sought(&records, midnight)), [2, 5]);
    }

    #[test]
    fn what_was_published_is_not_sought_again() {
        let (catalog, _dir) = catalog();
        let day: Day = "2026-11-01".parse().unwrap();
        let records = [record(2, 2, 7, "2026-11-01T15:00:00Z")];
        catalog.record_day(day, &records, time("2026-11-03T12:00:00Z"), false, None).unwrap();
        let masters = [2, 5].map(MasterId).into();
        assert_eq!(numbers(catalog.unpublished(masters).unwrap()), [5]);
    }
}
