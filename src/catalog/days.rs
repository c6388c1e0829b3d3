//! Which days are in the index, and how fresh they are.
//!
//! A day has no time of its own in the index: its directory carries its date (see `tree`).

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::convert::{from_time, to_optional_time, to_time, to_unsigned};
use super::error::CatalogError;
use super::handle::Catalog;
use super::model::DayState;
use crate::base::Day;

pub(super) const ONE: &str = "SELECT indexed_at, closed, last_poll FROM days WHERE day = ?1";
pub(super) const OPEN: &str = "SELECT day FROM days WHERE closed = 0 AND day >= ?1 ORDER BY day";
pub(super) const FIRST_INDEXED: &str = "SELECT min(indexed_at) FROM days";
pub(super) const UNREADABLE: &str = "SELECT day, unreadable FROM days WHERE unreadable > 0 AND day >= ?1 ORDER BY day";
// The column `mtime` is no longer read. A look at changes sees few of a day's contacts, so it takes none off.
const PUT: &str =
    "INSERT INTO days(day, indexed_at, closed, mtime, last_poll, unreadable) VALUES(?1, ?2, ?3, 0, ?4, ?5)
    ON CONFLICT(day) DO UPDATE SET indexed_at = excluded.indexed_at, closed = max(closed, excluded.closed),
    last_poll = coalesce(excluded.last_poll, last_poll),
    unreadable = CASE WHEN ?6 THEN excluded.unreadable ELSE max(unreadable, excluded.unreadable) END";

/// Contacts that a listing could not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    pub contacts: u32,
    /// Whether the listing was one of the whole day.
    pub of_all: bool,
}

impl Catalog {
    /// What the index says of a day; `None` if it was never listed.
    pub fn day(&self, day: Day) -> Result<Option<DayState>, CatalogError> {
        let (known, writes) = self.inner.known_days.get(day);
        if known.is_some() {
            return Ok(known);
        }
        let read = self.inner.db.read(|connection| get(connection, day))?;
        if let Some(state) = read {
            self.inner.known_days.keep(day, state, writes);
        }
        Ok(read)
    }

    /// When the day was indexed that is in the index for longest.
    pub fn first_indexed(&self) -> Result<Option<Timestamp>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(FIRST_INDEXED)?;
            to_optional_time(statement.query_row([], |row| row.get(0))?)
        })
    }

    /// Days from `since` on of which contacts cannot be shown, because their records cannot be read, with how many; oldest first.
    pub fn unreadable(&self, since: Day) -> Result<Vec<(Day, u64)>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(UNREADABLE)?;
            let rows = statement.query_map([since.0], |row| Ok((Day(row.get(0)?), row.get::<_, i64>(1)?)))?;
            rows.map(|row| row.map_err(CatalogError::from).and_then(|(day, count)| Ok((day, to_unsigned(count)?))))
                .collect()
        })
    }

    /// How many days are in the index.
    pub fn days_indexed(&self) -> Result<u64, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT count(*) FROM days")?;
            to_unsigned(statement.query_row([], |row| row.get(0))?)
        })
    }

    /// Days in the index from `since` on that are not final, oldest first.
    pub fn open_days(&self, since: Day) -> Result<Vec<Day>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(OPEN)?;
            let days = statement.query_map([since.0], |row| row.get(0).map(Day))?;
            Ok(days.collect::<Result<_, _>>()?)
        })
    }
}

pub(super) fn get(connection: &Connection, day: Day) -> Result<Option<DayState>, CatalogError> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let row: Option<(i64, bool, Option<i64>)> = connection.prepare_cached(ONE)?.query_row([day.0], read).optional()?;
    let Some((indexed_at, closed, last_poll)) = row else { return Ok(None) };
    Ok(Some(DayState { indexed_at: to_time(indexed_at)?, closed, last_poll: to_optional_time(last_poll)? }))
}

/// Stores a day's state. A closed day stays closed, and an unknown poll time keeps the one before.
pub(super) fn put(connection: &Connection, day: Day, state: &DayState, seen: Unreadable) -> Result<(), CatalogError> {
    connection.prepare_cached(PUT)?.execute(params![
        day.0,
        from_time(state.indexed_at),
        state.closed,
        state.last_poll.map(from_time),
        seen.contacts,
        seen.of_all,
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{catalog, time};
    use super::*;

    #[test]
    fn a_day_is_as_it_was_last_recorded() {
        let (catalog, _dir) = catalog();
        let day = Day(20_000);
        for (now, closed) in [("2026-11-03T12:00:00Z", false), ("2026-11-05T12:00:00Z", true)] {
            catalog.record_day(day, &[], time(now), closed, None).unwrap();
            for _ in 0..2 {
                let state = catalog.day(day).unwrap().unwrap();
                assert_eq!((state.indexed_at, state.closed), (time(now), closed));
            }
        }
    }
}
