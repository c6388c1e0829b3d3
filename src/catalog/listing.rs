//! Reading folders: range scans by index, in order of name, without a call to the tenant.
//!
//! Every statement here is in [`ALL`], which a test holds against full scans and sorting.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::convert::{to_channel, to_time, to_unsigned};
use super::error::CatalogError;
use super::field_cipher::{FieldCipher, Place};
use super::handle::Catalog;
use super::model::{AgentFolder, InteractionFolder, Leg};
use super::rows::genuine;
use super::{contact_json, names};
use crate::base::{AgentId, Channels, ContactId, Day, MasterId};

const AGENTS: &str = concat!(
    "SELECT a.agent_id, a.name, a.ino, a.mtime, c.channel FROM agents a
    CROSS JOIN agent_channels c ON c.day = a.day AND c.agent_id = a.agent_id
    WHERE a.day = ?1 AND ",
    genuine!(agents "a."),
    " AND ",
    genuine!(agent_channels "c."),
    " ORDER BY a.name"
);
const AGENT: &str =
    concat!("SELECT agent_id, name, ino, mtime FROM agents WHERE day = ?1 AND agent_id = ?2 AND ", genuine!(agents ""));
const AGENT_BY_NAME: &str = "SELECT agent_id, name, ino, mtime FROM agents WHERE day = ?1 AND name = ?2";
const AGENT_CHANNELS: &str =
    concat!("SELECT channel FROM agent_channels WHERE day = ?1 AND agent_id = ?2 AND ", genuine!(agent_channels ""));
// An interaction's own row is checked when a file of it is looked at: a listing shows no more of it than a time.
macro_rules! folders {
    ($($condition:expr),+) => {
        concat!(
            "SELECT f.master_id, f.channel, f.name, f.ino, f.contact_mtime, f.contact_size, i.mtime, i.ino_base
            FROM folders f CROSS JOIN interactions i ON i.master_id = f.master_id WHERE ",
            $($condition),+
        )
    };
}
const FOLDERS: &str = folders!("f.day = ?1 AND f.agent_id = ?2 AND ", genuine!(folders "f."), " ORDER BY f.name");
/// Of a folder whose rows were checked in this process; what was written since, we wrote.
const FOLDERS_AGAIN: &str = folders!("f.day = ?1 AND f.agent_id = ?2 ORDER BY f.name");
const FOLDER: &str = folders!("f.master_id = ?3 AND f.day = ?1 AND f.agent_id = ?2 AND ", genuine!(folders "f."));
const FOLDER_BY_NAME: &str = folders!("f.day = ?1 AND f.agent_id = ?2 AND f.name = ?3 AND ", genuine!(folders "f."));
pub(super) const PLACES: &str = "SELECT day, agent_id FROM folders WHERE master_id = ?1 ORDER BY day, agent_id";
// A handful of legs is sorted; the shapes are found by number.
const LEGS: &str = concat!(
    "SELECT s.keys, l.record, l.contact_id FROM legs l CROSS JOIN shapes s ON s.id = l.shape
    WHERE l.day = ?1 AND l.agent_id = ?2 AND l.master_id = ?3 AND ",
    genuine!(legs "l."),
    " ORDER BY l.start, l.contact_id"
);
const LEGS_OF_ALL: &str = "SELECT l.day, l.agent_id, l.contact_id FROM folders f CROSS JOIN legs l
    ON l.day = f.day AND l.agent_id = f.agent_id AND l.master_id = f.master_id
    WHERE f.master_id = ?1 ORDER BY f.day, f.agent_id, l.contact_id";
const TOTALS: &str = "SELECT interactions, bytes FROM totals WHERE id = 1";

impl Catalog {
    /// Agent folders that have an interaction on one of `channels`, ordered by name (by bytes).
    pub fn agents(&self, day: Day, channels: &Channels) -> Result<Vec<AgentFolder>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(AGENTS)?;
            let mut rows = statement.query([day.0])?;
            let mut agents: Vec<AgentFolder> = Vec::new();
            // One row per agent and channel; an agent's rows stand together, because names of a day are unique.
            while let Some(row) = rows.next()? {
                let seen = agents.last().map(|agent| agent.agent_id.0) == Some(row.get(0)?);
                if !seen && channels.contains(to_channel(row.get(4)?)) {
                    agents.push(agent_folder(&self.inner.field_cipher, day, row)?);
                }
            }
            if self.inner.field_cipher.is_sealed() {
                agents.sort_by(|one, other| one.name.cmp(&other.name));
            }
            Ok(agents)
        })
    }

    /// One agent's folder of a day, whatever its channels.
    pub fn agent(&self, day: Day, agent: AgentId) -> Result<Option<AgentFolder>, CatalogError> {
        self.inner.db.read(|connection| {
            one(connection, AGENT, params![day.0, agent.0], |row| agent_folder(&self.inner.field_cipher, day, row))
        })
    }

    /// Whether an agent's folder of a day has an interaction on one of `channels`.
    pub fn agent_has(&self, day: Day, agent: AgentId, channels: &Channels) -> Result<bool, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(AGENT_CHANNELS)?;
            let mut rows = statement.query(params![day.0, agent.0])?;
            while let Some(row) = rows.next()? {
                if channels.contains(to_channel(row.get(0)?)) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// The folder that was published under exactly this name, whatever its channels.
    pub fn agent_by_name(&self, day: Day, name: &str) -> Result<Option<AgentFolder>, CatalogError> {
        let field_cipher = &self.inner.field_cipher;
        if field_cipher.is_sealed() {
            // A sealed name is bound to its agent, whose id it ends with.
            let Some(agent) = names::agent_of(name) else { return Ok(None) };
            return Ok(self.agent(day, agent)?.filter(|found| *found.name == *name));
        }
        let key = params![day.0, name];
        self.inner.db.read(|connection| one(connection, AGENT_BY_NAME, key, |row| agent_folder(field_cipher, day, row)))
    }

    /// Interaction folders on `channels`, ordered by name (by bytes).
    pub fn interactions(
        &self,
        day: Day,
        agent: AgentId,
        channels: &Channels,
    ) -> Result<Vec<InteractionFolder>, CatalogError> {
        let known = self.inner.checked.contains(day, agent);
        let folders = self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(if known { FOLDERS_AGAIN } else { FOLDERS })?;
            let mut rows = statement.query([i64::from(day.0), agent.0])?;
            let mut folders = Vec::new();
            while let Some(row) = rows.next()? {
                if channels.contains(to_channel(row.get(1)?)) {
                    folders.push(interaction_folder(row)?);
                }
            }
            Ok(folders)
        })?;
        if !known {
            self.inner.checked.note(day, agent);
        }
        Ok(folders)
    }

    pub fn interaction_folder(
        &self,
        day: Day,
        agent: AgentId,
        master: MasterId,
    ) -> Result<Option<InteractionFolder>, CatalogError> {
        let key = params![day.0, agent.0, master.0];
        self.inner.db.read(|connection| one(connection, FOLDER, key, interaction_folder))
    }

    /// The folder that was published under exactly this name.
    pub fn interaction_folder_by_name(
        &self,
        day: Day,
        agent: AgentId,
        name: &str,
    ) -> Result<Option<InteractionFolder>, CatalogError> {
        let key = params![day.0, agent.0, name];
        self.inner.db.read(|connection| one(connection, FOLDER_BY_NAME, key, interaction_folder))
    }

    /// `contact.json`: a pretty-printed JSON array with a final newline, one object per leg, ordered by start.
    /// As long as [`InteractionFolder::contact_size`] of the same moment says.
    pub fn contact_json(&self, day: Day, agent: AgentId, master: MasterId) -> Result<Option<Vec<u8>>, CatalogError> {
        let legs: Vec<(String, String)> = self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(LEGS)?;
            let mut rows = statement.query(params![day.0, agent.0, master.0])?;
            let mut legs = Vec::new();
            while let Some(row) = rows.next()? {
                let place = Place::record(day, agent, master, row.get(2)?);
                legs.push((row.get(0)?, self.inner.field_cipher.open_text(place, row.get_ref(1)?)?));
            }
            Ok(legs)
        })?;
        if legs.is_empty() {
            return Ok(None);
        }
        let text = contact_json::render_file(legs.iter().map(|(keys, record)| (keys.as_str(), record.as_str())))?;
        Ok(Some(text.into_bytes()))
    }

    /// Every folder in which an interaction appears, all channels counted (for invalidation).
    pub fn places(&self, master: MasterId) -> Result<Vec<(Day, AgentId)>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(PLACES)?;
            let places = statement.query_map([master.0], |row| Ok((Day(row.get(0)?), AgentId(row.get(1)?))))?;
            Ok(places.collect::<Result<_, _>>()?)
        })
    }

    /// The legs of an interaction in all its folders.
    pub fn legs(&self, master: MasterId) -> Result<Vec<Leg>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(LEGS_OF_ALL)?;
            let legs = statement.query_map([master.0], |row| {
                Ok(Leg { day: Day(row.get(0)?), agent_id: AgentId(row.get(1)?), contact_id: ContactId(row.get(2)?) })
            })?;
            Ok(legs.collect::<Result<_, _>>()?)
        })
    }

    /// The names of the skills that took part in an interaction, as far as Reporting tells.
    pub fn skills(&self, master: MasterId) -> Result<Vec<String>, CatalogError> {
        let field_cipher = &self.inner.field_cipher;
        self.inner.db.read(|connection| {
            let mut skills = Vec::new();
            let mut places = connection.prepare_cached(PLACES)?;
            let mut legs = connection.prepare_cached(LEGS)?;
            let places = places.query_map([master.0], |row| Ok((Day(row.get(0)?), AgentId(row.get(1)?))))?;
            for place in places {
                let (day, agent) = place?;
                let mut rows = legs.query(params![day.0, agent.0, master.0])?;
                while let Some(row) = rows.next()? {
                    let keys = row.get_ref(0)?.as_str().map_err(|_| CatalogError::Damaged("a name is no text"))?;
                    let place = Place::record(day, agent, master, row.get(2)?);
                    skills.extend(contact_json::text_of(
                        keys,
                        &field_cipher.open_text(place, row.get_ref(1)?)?,
                        "skillName",
                    )?);
                }
            }
            Ok(skills)
        })
    }

    /// Known interactions and the known bytes of their resolved files, for `statfs`.
    pub fn totals(&self) -> Result<(u64, u64), CatalogError> {
        let totals: (i64, i64) = self.inner.db.read(|connection| {
            Ok(connection.prepare_cached(TOTALS)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })?;
        Ok((to_unsigned(totals.0)?, to_unsigned(totals.1)?))
    }
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    key: &[&dyn ToSql],
    read: impl Fn(&Row<'_>) -> Result<T, CatalogError>,
) -> Result<Option<T>, CatalogError> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row(key, |row| Ok(read(row))).optional()?.transpose()
}

pub(super) fn agent_folder(field_cipher: &FieldCipher, day: Day, row: &Row<'_>) -> Result<AgentFolder, CatalogError> {
    let agent_id = AgentId(row.get(0)?);
    Ok(AgentFolder {
        agent_id,
        name: Arc::from(field_cipher.open_text(Place::agent_name(day, agent_id), row.get_ref(1)?)?),
        ino: to_unsigned(row.get(2)?)?,
        mtime: to_time(row.get(3)?)?,
    })
}

fn interaction_folder(row: &Row<'_>) -> Result<InteractionFolder, CatalogError> {
    Ok(InteractionFolder {
        master_id: MasterId(row.get(0)?),
        channel: to_channel(row.get(1)?),
        name: Arc::from(row.get_ref(2)?.as_str().map_err(|_| CatalogError::Damaged("a name is no text"))?),
        ino: to_unsigned(row.get(3)?)?,
        contact_mtime: to_time(row.get(4)?)?,
        contact_size: to_unsigned(row.get(5)?)?,
        mtime: to_time(row.get::<_, i64>(4)?.max(row.get(6)?))?,
        ino_base: to_unsigned(row.get(7)?)?,
    })
}

/// Every statement above that a listing or a lookup runs.
#[cfg(test)]
const ALL: [&str; 12] = [
    AGENTS,
    AGENT,
    AGENT_CHANNELS,
    AGENT_BY_NAME,
    FOLDERS,
    FOLDERS_AGAIN,
    FOLDER,
    FOLDER_BY_NAME,
    PLACES,
    LEGS,
    LEGS_OF_ALL,
    TOTALS,
];

#[cfg(test)]
mod tests;
