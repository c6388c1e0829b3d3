//! All records of a listing: each leg once, in order. Pages may come in any order and overlap.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;

use crate::base::ContactId;
use crate::cxone::model::{ContactRecord, ContactsAnswer};
use crate::cxone::reporting::contact::Unreadable;
use crate::cxone::reporting::page::Page;

/// Unreadable records of one listing that are logged one by one; the rest are only counted.
const UNREADABLE_LOGGED_MAX: u64 = 20;

/// What a record takes in memory, about. Its names count as far as it shares them with no other.
fn bytes_of(record: &ContactRecord) -> usize {
    let shape = &record.json.shape;
    size_of::<ContactRecord>() + record.json.values.len() + shape.len() / Arc::strong_count(shape).max(1)
}

/// Collects the rows of one listing.
#[derive(Default)]
pub(in crate::cxone) struct Gather {
    legs: HashMap<ContactId, ContactRecord>,
    /// Bytes of their records.
    bytes: usize,
    skipped: u64,
}

impl Gather {
    /// Adds a page's rows. Of two records of one leg, the one updated later stays; of equals, the first.
    pub fn add(&mut self, page: Page) {
        note_unreadable(&page.described, self.skipped);
        self.skipped += page.unreadable;
        page.records.into_iter().for_each(|record| self.keep(record));
    }

    fn keep(&mut self, record: ContactRecord) {
        let bytes = bytes_of(&record);
        match self.legs.entry(record.contact_id) {
            Entry::Vacant(vacant) => {
                vacant.insert(record);
                self.bytes += bytes;
            }
            Entry::Occupied(mut occupied) if record.last_update > occupied.get().last_update => {
                occupied.insert(record);
                self.bytes += bytes;
            }
            Entry::Occupied(_) => {}
        }
    }

    /// The same listing, made once more: what either has.
    pub fn again(&mut self, again: Gather) {
        let skipped = self.skipped.max(again.skipped);
        self.join(again);
        self.skipped = skipped;
    }

    /// Another part of the listing.
    pub fn join(&mut self, part: Gather) {
        self.skipped += part.skipped;
        part.legs.into_values().for_each(|record| self.keep(record));
    }

    /// Records that the tenant sent, each once, whether they could be read or not.
    pub fn distinct(&self) -> u64 {
        self.legs.len() as u64 + self.skipped
    }

    /// Records that could not be read so far.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Legs so far.
    pub fn len(&self) -> usize {
        self.legs.len()
    }

    /// What the legs take in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The legs by start, then contact id.
    pub fn finish(self, whole: bool, last_poll: Option<Timestamp>) -> ContactsAnswer {
        if self.skipped > 0 {
            tracing::warn!(
                skipped = self.skipped,
                legs = self.legs.len(),
                "{} of {} contact records cannot be read and are not shown; cxonefs status counts them by day",
                self.skipped,
                self.skipped + self.legs.len() as u64
            );
        }
        let mut contacts: Vec<ContactRecord> = self.legs.into_values().collect();
        contacts.sort_by_key(|record| (record.start, record.contact_id));
        ContactsAnswer { contacts, skipped: u32::try_from(self.skipped).unwrap_or(u32::MAX), whole, last_poll }
    }
}

/// Logs why records cannot be read, unless so many were logged `before`.
pub(in crate::cxone) fn note_unreadable(described: &[Unreadable], before: u64) {
    for (unreadable, _) in described.iter().zip(before..UNREADABLE_LOGGED_MAX) {
        tracing::warn!(why = unreadable.why, keys = ?unreadable.keys, "a contact record cannot be read and is not shown ({}); its fields are {:?}", unreadable.why, unreadable.keys);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cxone::reporting::contact;
    use crate::cxone::reporting::shape::Shapes;

    fn page(rows: impl IntoIterator<Item = Value>) -> Page {
        let mut page = Page::default();
        for row in rows {
            match contact::read(row, &mut Shapes::default()) {
                Ok(record) => page.records.push(record),
                Err(_) => page.unreadable += 1,
            }
        }
        page
    }

    fn row(id: i64, start: &str, updated: Option<&str>) -> Value {
        json!({"contactId": id, "contactStartDate": start, "lastUpdateTime": updated})
    }

    #[test]
    fn each_leg_once_as_last_updated_in_order() {
        let mut all = Gather::default();
        all.add(page([
            row(3, "2026-11-02T08:00:00Z", Some("2026-11-02T10:00:00Z")),
            row(2, "2026-11-02T08:00:00Z", None),
            row(1, "2026-11-02T09:00:00Z", None),
        ]));
        all.add(page([
            row(3, "2026-11-02T08:00:01Z", Some("2026-11-02T09:00:00Z")),
            row(2, "2026-11-02T07:00:00Z", Some("2026-11-02T09:00:00Z")),
            json!("not a record"),
        ]));
        assert_eq!(all.distinct(), 4);
        let answer = all.finish(true, None);
        let seen: Vec<(i64, String)> =
            answer.contacts.iter().map(|record| (record.contact_id.0, record.start.to_string())).collect();
        let expected = [(2, "2026-11-02T07:00:00Z"), (3, "2026-11-02T08:00:00Z"), (1, "2026-11-02T09:00:00Z")];
        assert_eq!(seen, expected.map(|(id, start)| (id, start.to_owned())));
        assert_eq!(answer.skipped, 1);
    }

    #[test]
    fn unreadable_records_of_two_parts_add_up_and_those_of_two_looks_do_not() {
        let part = || {
            let mut part = Gather::default();
            part.add(page([json!(1), row(1, "2026-11-02T08:00:00Z", None)]));
            part
        };
        let mut all = part();
        all.again(part());
        assert_eq!((all.skipped(), all.len()), (1, 1));
        all.join(part());
        assert_eq!((all.skipped(), all.len()), (2, 1));
    }
}
