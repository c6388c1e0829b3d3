//! Which days are in the index, and how fresh they are.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Catalog;
use super::convert::{from_time, to_optional_time, to_time};
use super::error::CatalogError;
use super::model::DayState;
use crate::base::Day;

pub(super) const ONE: &str = "SELECT indexed_at, closed, mtime, last_poll FROM days WHERE day = ?1";
pub(super) const OPEN: &str = "SELECT day FROM days WHERE closed = 0 AND day >= ?1 ORDER BY day";
const PUT: &str = "INSERT INTO days(day, indexed_at, closed, mtime, last_poll) VALUES(?1, ?2, ?3, ?4, ?5)
    ON CONFLICT(day) DO UPDATE SET indexed_at = excluded.indexed_at, closed = max(closed, excluded.closed),
    mtime = excluded.mtime, last_poll = coalesce(excluded.last_poll, last_poll)";

impl Catalog {
    /// What the index says of a day; `None` if it was never listed.
    pub fn day(&self, day: Day) -> Result<Option<DayState>, CatalogError> {
        let generation = self.inner.db.generation();
        if let Some(known) = self.inner.recent.day(day, generation) {
            return Ok(Some(known));
        }
        let found = self.inner.db.read(|connection| get(connection, day))?;
        if let Some(state) = found {
            self.inner.recent.note_day(day, state, generation);
        }
        Ok(found)
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
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let row: Option<(i64, bool, i64, Option<i64>)> =
        connection.prepare_cached(ONE)?.query_row([day.0], read).optional()?;
    let Some((indexed_at, closed, mtime, last_poll)) = row else { return Ok(None) };
    Ok(Some(DayState {
        indexed_at: to_time(indexed_at)?,
        closed,
        mtime: to_time(mtime)?,
        last_poll: to_optional_time(last_poll)?,
    }))
}

/// Stores a day's state. A closed day stays closed, and an unknown poll time keeps the one before.
pub(super) fn put(connection: &Connection, day: Day, state: &DayState) -> Result<(), CatalogError> {
    connection.prepare_cached(PUT)?.execute(params![
        day.0,
        from_time(state.indexed_at),
        state.closed,
        from_time(state.mtime),
        state.last_poll.map(from_time),
    ])?;
    Ok(())
}
