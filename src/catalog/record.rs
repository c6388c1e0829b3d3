//! Writing a day: legs are added or replaced, and what is new gets its name, number and time for ever.
//!
//! A leg stays in the folder in which it was published, also when the tenant later moves it to another agent or day (it then
//! appears there too) or no longer tells of it. Knows no network.
//!
//! A large day is stored in pieces, each a transaction, so that a billed call is written to the ledger between two of them. The day counts as
//! listed from its last piece on, so that nobody takes a part for the whole.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::convert::{from_time, from_unsigned};
use super::days::Unreadable;
use super::error::CatalogError;
use super::field_cipher::Place;
use super::handle::Catalog;
use super::inode::{InodeNumbers, SALTS};
use super::marks::Snapshot;
use super::model::DayState;
use super::plan::{self, DayPlan, PlannedLeg, Span};
use super::{contact_json, days, names};
use crate::base::{AgentId, Day, MasterId};
use crate::cxone::ContactRecord;

/// Legs that are stored at once: some ten milliseconds.
const LEGS_PER_PIECE: usize = 256;

const SHAPE_ADD: &str = "INSERT OR IGNORE INTO shapes(keys) VALUES(?1)";
const SHAPE_GET: &str = "SELECT id FROM shapes WHERE keys = ?1";
// A record older than the stored one is a late echo.
const LEG_PUT: &str = "INSERT INTO legs(day, agent_id, master_id, contact_id, start, last_update, shape, record, json_size)
    VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT(day, agent_id, master_id, contact_id) DO UPDATE SET start = excluded.start,
        last_update = excluded.last_update, shape = excluded.shape, record = excluded.record, json_size = excluded.json_size
    WHERE (record <> excluded.record OR shape <> excluded.shape OR start <> excluded.start
            OR last_update IS NOT excluded.last_update)
        AND NOT coalesce(excluded.last_update < last_update, 0)";
pub(super) const FOLDER_SUM: &str = "SELECT count(*), sum(json_size), coalesce(max(last_update), max(start)) FROM legs
    WHERE day = ?1 AND agent_id = ?2 AND master_id = ?3";
pub(super) const FOLDER_UPDATE: &str = "UPDATE folders SET contact_size = ?4, contact_mtime = ?5
    WHERE master_id = ?3 AND day = ?1 AND agent_id = ?2";
const FOLDER_ADD: &str =
    "INSERT INTO folders(day, agent_id, name, master_id, channel, ino, contact_mtime, contact_size)
    VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(ino) DO NOTHING";
pub(super) const INTERACTION_UPDATE: &str =
    "UPDATE interactions SET first_start = min(first_start, ?2), last_end = max(last_end, ?3),
    places = places + ?4 WHERE master_id = ?1 RETURNING mtime";
const INTERACTION_ADD: &str =
    "INSERT INTO interactions(master_id, first_start, last_end, places, mtime, channel, ino_base)
    VALUES(?1, ?2, ?3, ?4, ?2, ?5, ?6) ON CONFLICT(ino_base) DO NOTHING";
pub(super) const AGENT_UPDATE: &str = "UPDATE agents SET mtime = max(mtime, ?3) WHERE day = ?1 AND agent_id = ?2";
const AGENT_ADD: &str = "INSERT INTO agents(day, agent_id, name, ino, mtime) VALUES(?1, ?2, ?3, ?4, ?5)
    ON CONFLICT(ino) DO NOTHING";
const CHANNEL_ADD: &str = "INSERT OR IGNORE INTO agent_channels(day, agent_id, channel) VALUES(?1, ?2, ?3)";

impl Catalog {
    /// Adds or updates a day's legs; publishes new names, never changes published ones. A day that was not listed before counts as listed when
    /// all of it is stored; what was stored before a failure stays, and is stored again with the rest.
    ///
    /// `records` may hold legs of other days: they are left out, but an earlier one tells when its interaction began. Legs of earlier
    /// recordings that are missing now stay.
    /// Returns whether anything that can be seen changed (a day recorded for the first time did).
    pub fn record_day(
        &self,
        day: Day,
        records: &[ContactRecord],
        indexed_at: Timestamp,
        closed: bool,
        last_poll: Option<Timestamp>,
    ) -> Result<bool, CatalogError> {
        let unreadable = Unreadable { contacts: 0, of_all: true };
        self.record_listing(day, records, &DayState { indexed_at, closed, last_poll }, unreadable)
    }

    /// [`Catalog::record_day`], where some contacts could not be read.
    pub fn record_listing(
        &self,
        day: Day,
        records: &[ContactRecord],
        state: &DayState,
        unreadable: Unreadable,
    ) -> Result<bool, CatalogError> {
        let changed = self.record_unmarked(day, records, |connection| {
            let known = days::get(connection, day)?;
            days::put(connection, day, state, unreadable)?;
            Ok(known.is_none())
        });
        self.inner.known_days.forget(day);
        changed
    }

    /// Adds or updates legs of a day that came with the listing of another, or with a look at changes. The day is as open or closed as before;
    /// names, numbers and times that were published stay. A day that was never listed is left alone: it will be listed as a whole, and what is
    /// published of an interaction comes from its first leg. Returns whether anything changed.
    pub fn add_legs(&self, day: Day, records: &[ContactRecord]) -> Result<bool, CatalogError> {
        if self.day(day)?.is_none() {
            return Ok(false);
        }
        self.record_unmarked(day, records, |_| Ok(false))
    }

    /// Records what tells of no erased contact, also of one that is erased meanwhile. `finish` has part in the last transaction.
    fn record_unmarked(
        &self,
        day: Day,
        records: &[ContactRecord],
        finish: impl Fn(&Connection) -> Result<bool, CatalogError>,
    ) -> Result<bool, CatalogError> {
        loop {
            let marks = self.inner.marks.snapshot();
            let records = marks.unmarked(records);
            // Encoding needs no lock, so billed calls can be written to the ledger meanwhile.
            let plan = plan::plan(day, &self.inner.timezone, &records)?;
            if let Some(changed) = self.record_pieces(day, &plan, &marks, &finish)? {
                return Ok(changed);
            }
        }
    }

    /// Stores what is planned, piece by piece. None where something was erased meanwhile, perhaps of a piece that was stored.
    fn record_pieces(
        &self,
        day: Day,
        plan: &DayPlan<'_>,
        marks: &Snapshot<'_>,
        finish: impl Fn(&Connection) -> Result<bool, CatalogError>,
    ) -> Result<Option<bool>, CatalogError> {
        let pieces = plan.pieces(LEGS_PER_PIECE);
        for (piece, number) in pieces.iter().zip(1..) {
            let is_last = number == pieces.len();
            let recorded = self.inner.db.write(|connection| {
                // A mark is in memory before anything is erased: what is stored under older ones is erased after this.
                if !marks.is_current() {
                    return Ok(None);
                }
                let recorder = Recorder { catalog: self, connection, day, plan };
                let changed = recorder.legs(piece)?;
                Ok(Some(if is_last { finish(connection)? || changed } else { changed }))
            })?;
            let Some(changed) = recorded else { return Ok(None) };
            if changed {
                self.inner.unsaid.note(day);
            }
        }
        Ok(Some(self.inner.unsaid.take(day)))
    }
}

struct Recorder<'a> {
    catalog: &'a Catalog,
    connection: &'a Connection,
    day: Day,
    plan: &'a DayPlan<'a>,
}

impl Recorder<'_> {
    /// Stores legs and what follows from them. Returns whether anything changed.
    fn legs(&self, piece: &[PlannedLeg<'_>]) -> Result<bool, CatalogError> {
        let shapes = self.shapes(piece)?;
        let mut changed = false;
        for legs in piece.chunk_by(|one, other| one.agent == other.agent) {
            let mut newest = None;
            for folder in legs.chunk_by(|one, other| one.record.master_id == other.record.master_id) {
                newest = newest.max(self.folder(folder, &shapes)?);
            }
            if let (Some(newest), Some(first)) = (newest, legs.first()) {
                self.agent(first.agent, self.plan.of_agent(first.agent), newest)?;
                changed = true;
            }
        }
        Ok(changed)
    }

    /// The shapes of some legs, by their numbers in the plan.
    fn shapes(&self, legs: &[PlannedLeg<'_>]) -> Result<HashMap<usize, i64>, CatalogError> {
        let mut add = self.connection.prepare_cached(SHAPE_ADD)?;
        let mut get = self.connection.prepare_cached(SHAPE_GET)?;
        let mut ids = HashMap::new();
        for shape in legs.iter().map(|leg| leg.shape) {
            if ids.contains_key(&shape) {
                continue;
            }
            let keys = self.plan.shapes.get(shape).ok_or(CatalogError::Refused("a shape outside of the plan"))?;
            add.execute([keys])?;
            ids.insert(shape, get.query_row([keys], |row| row.get(0))?);
        }
        Ok(ids)
    }

    /// Stores one folder's legs. Returns the time of the folder's newest child if anything changed.
    fn folder(&self, legs: &[PlannedLeg<'_>], shapes: &HashMap<usize, i64>) -> Result<Option<i64>, CatalogError> {
        let mut changed = false;
        for leg in legs {
            changed |= self.leg(leg, shapes)?;
        }
        let (Some(first), true) = (legs.first(), changed) else { return Ok(None) };
        let (agent, master) = (first.agent, first.record.master_id);
        let (count, legs_size, contact_mtime): (u64, u64, i64) = {
            let mut sum = self.connection.prepare_cached(FOLDER_SUM)?;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?));
            let (count, size, mtime) = sum.query_row(params![self.day.0, agent.0, master.0], read)?;
            (count.unsigned_abs(), size.unsigned_abs(), mtime)
        };
        let contact_size = from_unsigned(contact_json::file_size(count, legs_size))?;
        let mut update = self.connection.prepare_cached(FOLDER_UPDATE)?;
        let known = update.execute(params![self.day.0, agent.0, master.0, contact_size, contact_mtime])? > 0;
        if !known {
            self.publish_folder(first, contact_mtime, contact_size)?;
        }
        let span = self.plan.masters.get(&master).ok_or(CatalogError::Refused("a leg outside of the plan"))?;
        let mtime = self.interaction(master, span, i64::from(!known))?;
        Ok(Some(contact_mtime.max(mtime)))
    }

    fn leg(&self, leg: &PlannedLeg<'_>, shapes: &HashMap<usize, i64>) -> Result<bool, CatalogError> {
        let place = Place::record(self.day, leg.agent, leg.record.master_id, leg.record.contact_id.0);
        let changed = self.connection.prepare_cached(LEG_PUT)?.execute(params![
            self.day.0,
            leg.agent.0,
            leg.record.master_id.0,
            leg.record.contact_id.0,
            from_time(leg.record.start),
            leg.record.last_update.map(from_time),
            shapes.get(&leg.shape).ok_or(CatalogError::Refused("a shape outside of the piece"))?,
            self.catalog.inner.field_cipher.text(place, &leg.record.json.values)?,
            from_unsigned(leg.json_size)?,
        ])?;
        Ok(changed > 0)
    }

    fn publish_folder(&self, leg: &PlannedLeg<'_>, mtime: i64, size: i64) -> Result<(), CatalogError> {
        let (agent, master) = (leg.agent, leg.record.master_id);
        let channel = plan::channel(leg.record);
        let local = self.catalog.inner.timezone.to_datetime(leg.record.start).time();
        let name = names::interaction_name(local, channel, leg.record.is_outbound, master);
        let channel = channel.media_type_id();
        let numbers = self.catalog.inner.numbers;
        let mut add = self.connection.prepare_cached(FOLDER_ADD)?;
        salted(|salt| {
            let ino = from_unsigned(numbers.folder(self.day, agent, master, salt))?;
            Ok(add.execute(params![self.day.0, agent.0, name, master.0, channel, ino, mtime, size])?)
        })?;
        self.connection.prepare_cached(CHANNEL_ADD)?.execute(params![self.day.0, agent.0, channel])?;
        Ok(())
    }

    /// Adds what the day says of an interaction. Returns its published time.
    fn interaction(&self, master: MasterId, span: &Span, new_places: i64) -> Result<i64, CatalogError> {
        let (start, end) = (from_time(span.first_start), from_time(span.last_end));
        let known: Option<i64> = self
            .connection
            .prepare_cached(INTERACTION_UPDATE)?
            .query_row(params![master.0, start, end, new_places], |row| row.get(0))
            .optional()?;
        if let Some(mtime) = known {
            return Ok(mtime);
        }
        let numbers: InodeNumbers = self.catalog.inner.numbers;
        let channel = span.channel.media_type_id();
        let mut add = self.connection.prepare_cached(INTERACTION_ADD)?;
        salted(|salt| {
            let ino = from_unsigned(numbers.interaction(master, salt))?;
            Ok(add.execute(params![master.0, start, end, new_places, channel, ino])?)
        })?;
        Ok(start)
    }

    fn agent(&self, agent: AgentId, legs: &[PlannedLeg<'_>], newest: i64) -> Result<(), CatalogError> {
        let mut update = self.connection.prepare_cached(AGENT_UPDATE)?;
        if update.execute(params![self.day.0, agent.0, newest])? > 0 {
            return Ok(());
        }
        // The earliest leg that has a name gives it.
        let named = legs
            .iter()
            .map(|leg| leg.record)
            .filter(|record| {
                [&record.last_name, &record.first_name].into_iter().flatten().any(|name| !name.trim().is_empty())
            })
            .min_by_key(|record| (record.start, record.contact_id));
        let (last, first) =
            named.map_or((None, None), |record| (record.last_name.as_deref(), record.first_name.as_deref()));
        let name = names::agent_name(agent, last, first);
        let name = self.catalog.inner.field_cipher.text(Place::agent_name(self.day, agent), &name)?;
        let numbers = self.catalog.inner.numbers;
        let mut add = self.connection.prepare_cached(AGENT_ADD)?;
        salted(|salt| {
            let ino = from_unsigned(numbers.agent(self.day, agent, salt))?;
            Ok(add.execute(params![self.day.0, agent.0, name, ino, newest])?)
        })
    }
}

/// Tries `insert` with one salt after the other until it inserted a row.
fn salted(mut insert: impl FnMut(u32) -> Result<usize, CatalogError>) -> Result<(), CatalogError> {
    for salt in 0..SALTS {
        if insert(salt)? > 0 {
            return Ok(());
        }
    }
    Err(CatalogError::Refused("no inode number was free"))
}

#[cfg(test)]
mod tests;
