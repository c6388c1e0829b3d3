//! All records of a listing: each leg once, in the window, in order. Pages may come in any order and overlap.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::contact::Unreadable;
use super::model::{ContactRecord, ContactsAnswer};
use crate::base::ContactId;

/// Unreadable records of one listing that are logged one by one; the rest are only counted.
const UNREADABLE_LOGGED_MAX: u32 = 20;

/// Collects the rows of one listing.
pub(super) struct Gather {
    start: Timestamp,
    end: Timestamp,
    legs: HashMap<ContactId, ContactRecord>,
    /// Legs of other times.
    outside: HashSet<ContactId>,
    skipped: u32,
}

impl Gather {
    /// For legs that start in `[start, end)`.
    pub fn new(start: Timestamp, end: Timestamp) -> Gather {
        Gather { start, end, legs: HashMap::new(), outside: HashSet::new(), skipped: 0 }
    }

    /// Adds a page's rows. Of two records of one leg, the one updated later stays; of equals, the first.
    pub fn add(&mut self, rows: Vec<Result<ContactRecord, Unreadable>>) {
        for row in rows {
            let record = match row {
                Ok(record) => record,
                Err(unreadable) => {
                    self.skipped = self.skipped.saturating_add(1);
                    if self.skipped <= UNREADABLE_LOGGED_MAX {
                        tracing::warn!(why = unreadable.why, keys = ?unreadable.keys, "a contact record cannot be read; skipped");
                    }
                    continue;
                }
            };
            if record.start < self.start || record.start >= self.end {
                self.outside.insert(record.contact_id);
                continue;
            }
            self.keep(record);
        }
    }

    fn keep(&mut self, record: ContactRecord) {
        match self.legs.entry(record.contact_id) {
            Entry::Vacant(vacant) => {
                vacant.insert(record);
            }
            Entry::Occupied(mut occupied) if record.last_update > occupied.get().last_update => {
                occupied.insert(record);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// The same listing, made once more: what either has.
    pub fn join(&mut self, again: Gather) {
        again.legs.into_values().for_each(|record| self.keep(record));
        self.outside.extend(again.outside);
        self.skipped = self.skipped.max(again.skipped);
    }

    /// Records that the tenant sent, each once, whether they are of use or not.
    pub fn distinct(&self) -> u64 {
        (self.legs.len() + self.outside.len()) as u64 + u64::from(self.skipped)
    }

    /// Records that could not be read so far.
    pub fn skipped(&self) -> u32 {
        self.skipped
    }

    /// Legs so far.
    pub fn len(&self) -> usize {
        self.legs.len()
    }

    /// The legs by start, then contact id.
    pub fn finish(self, whole: bool, last_poll: Option<Timestamp>) -> ContactsAnswer {
        if self.skipped > UNREADABLE_LOGGED_MAX {
            tracing::warn!(skipped = self.skipped, "more contact records cannot be read");
        }
        let mut contacts: Vec<ContactRecord> = self.legs.into_values().collect();
        contacts.sort_by_key(|record| (record.start, record.contact_id));
        ContactsAnswer { contacts, skipped: self.skipped, whole, last_poll }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cxone::contact;
    use crate::cxone::shape::Shapes;

    fn read(row: Value) -> Result<ContactRecord, Unreadable> {
        contact::read(row, &mut Shapes::default())
    }

    fn row(id: i64, start: &str, updated: Option<&str>) -> Result<ContactRecord, Unreadable> {
        read(json!({"contactId": id, "contactStartDate": start, "lastUpdateTime": updated}))
    }

    fn gather() -> Gather {
        Gather::new("2026-11-02T00:00:00Z".parse().unwrap(), "2026-11-03T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn each_leg_once_as_last_updated_in_order() {
        let mut all = gather();
        all.add(vec![
            row(3, "2026-11-02T08:00:00Z", Some("2026-11-02T10:00:00Z")),
            row(2, "2026-11-02T08:00:00Z", None),
            row(1, "2026-11-02T09:00:00Z", None),
        ]);
        all.add(vec![
            row(3, "2026-11-02T08:00:01Z", Some("2026-11-02T09:00:00Z")),
            row(2, "2026-11-02T07:00:00Z", Some("2026-11-02T09:00:00Z")),
            read(json!("not a record")),
        ]);
        let answer = all.finish(true, None);
        let seen: Vec<(i64, String)> =
            answer.contacts.iter().map(|record| (record.contact_id.0, record.start.to_string())).collect();
        let expected = [(2, "2026-11-02T07:00:00Z"), (3, "2026-11-02T08:00:00Z"), (1, "2026-11-02T09:00:00Z")];
        assert_eq!(seen, expected.map(|(id, start)| (id, start.to_owned())));
        assert_eq!(answer.skipped, 1);
    }

    #[test]
    fn the_window_is_half_open() {
        let mut all = gather();
        all.add(vec![
            row(1, "2026-11-01T23:59:59.999Z", None),
            row(2, "2026-11-02T00:00:00Z", None),
            row(3, "2026-11-02T23:59:59.9999999Z", None),
            row(4, "2026-11-03T00:00:00Z", None),
        ]);
        let ids: Vec<i64> = all.finish(true, None).contacts.iter().map(|record| record.contact_id.0).collect();
        assert_eq!(ids, [2, 3]);
    }
}
