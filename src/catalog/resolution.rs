//! What billed calls said: interactions, their files, documents, sizes.
//!
//! Knows no call: when to make one is decided elsewhere.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::convert::{from_time, from_unsigned, to_channel, to_optional_time, to_time, to_unsigned};
use super::error::CatalogError;
use super::field_cipher::{FieldCipher, Place};
use super::handle::{Catalog, Inner};
use super::highest::Highest;
use super::inode::{MAX_EMAILS, MAX_RECORDINGS, kind_code, kind_from_code};
use super::kind::FileKind;
use super::known::UNKNOWN;
use super::model::{Interaction, NewResolution, Resolution, ResolvedFile};
use super::obstacle::Obstacles;
use super::rows::genuine;
use super::{obstacles, rates};
use crate::base::MasterId;

// One row per file, or one without a file: a single statement sees a single state, and is all that most listings cost.
pub(super) const ONE: &str = concat!(
    "SELECT i.channel, i.ino_base, i.mtime, i.first_start, i.last_end, i.places, i.resolved_at, i.recheck_at,
    o.kind, o.reason, o.said_at, o.again_at, o.times, o.scope, s.kind, s.reason, s.said_at, s.again_at, s.times, s.scope,
    f.kind, f.name, f.size, f.validator FROM interactions i LEFT JOIN files f ON f.master_id = i.master_id AND ",
    genuine!(files "f."),
    " LEFT JOIN obstacles o ON o.master_id = i.master_id AND o.subject = 0 AND ",
    genuine!(obstacles "o."),
    " LEFT JOIN obstacles s ON s.master_id = f.master_id AND s.subject = f.kind AND ",
    genuine!(obstacles "s."),
    " WHERE i.master_id = ?1 AND ",
    genuine!(interactions "i."),
    " ORDER BY f.kind"
);
/// Where the columns of the two obstacles and of the file begin in it.
const OBSTACLE_AT: usize = 8;
const STORAGE_AT: usize = 14;
const FILE_AT: usize = 20;
pub(super) const FILES: &str = concat!(
    "SELECT kind, name, size, validator FROM files WHERE master_id = ?1 AND ",
    genuine!(files ""),
    " ORDER BY kind"
);
const ALL_FILES: &str = concat!("SELECT master_id, kind FROM files WHERE ", genuine!(files ""));
pub(super) const DOCUMENT: &str = "SELECT bytes FROM documents WHERE master_id = ?1 AND kind = ?2";
pub(super) const SPAN: &str = "SELECT channel, first_start, last_end FROM interactions WHERE master_id = ?1";
pub(super) const RESOLVE: &str = "UPDATE interactions SET resolved_at = ?2, recheck_at = ?3 WHERE master_id = ?1";
const RECHECK: &str = "UPDATE interactions SET recheck_at = ?2 WHERE master_id = ?1 AND recheck_at > ?2";
pub(super) const FILES_CLEAR: &str = "DELETE FROM files WHERE master_id = ?1";
pub(super) const DOCUMENTS_CLEAR: &str = "DELETE FROM documents WHERE master_id = ?1";
const FILE_ADD: &str = "INSERT INTO files(master_id, kind, name, size, validator) VALUES(?1, ?2, ?3, ?4, ?5)";
const DOCUMENT_ADD: &str = "INSERT INTO documents(master_id, kind, bytes) VALUES(?1, ?2, ?3)";
pub(super) const SIZE: &str = "SELECT size FROM files WHERE master_id = ?1 AND kind = ?2";
pub(super) const SIZE_SET: &str = "UPDATE files SET size = ?3, validator = ?4 WHERE master_id = ?1 AND kind = ?2";

impl Catalog {
    /// What all places of an interaction share; `None` if no listing told of it.
    pub fn interaction(&self, master: MasterId) -> Result<Option<Interaction>, CatalogError> {
        // Before the look, so that a commit during it makes what is kept old and not wrong.
        let generation = self.inner.db.generation();
        if let Some(known) = self.inner.recent.interaction(master, generation) {
            return Ok(Some(known));
        }
        let found = self.inner.db.read(|connection| interaction(connection, &self.inner.field_cipher, master))?;
        if let Some(found) = &found {
            self.inner.recent.note(found, generation);
        }
        Ok(found)
    }

    /// Stores what a billed call said, in place of what an earlier one said, in one transaction; on disk when this returns.
    ///
    /// A document's size is that of its bytes. A recording that comes without a size keeps the one known before, so that signing
    /// again never makes a size unknown. Refuses an interaction that no listing told of, two files of one kind, and more than
    /// [`MAX_RECORDINGS`] recordings or [`MAX_EMAILS`] emails.
    pub fn store_resolution(
        &self,
        master: MasterId,
        resolution: &NewResolution,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.inner.db.write(|transaction| {
            let before = files(transaction, master)?;
            let recheck_at = resolution.recheck_at.map(from_time);
            let known = transaction.prepare_cached(RESOLVE)?.execute(params![master.0, from_time(at), recheck_at])?;
            if known == 0 {
                return Err(UNKNOWN);
            }
            obstacles::clear_in(transaction, master)?;
            transaction.prepare_cached(FILES_CLEAR)?.execute([master.0])?;
            transaction.prepare_cached(DOCUMENTS_CLEAR)?.execute([master.0])?;
            for (file, bytes) in &resolution.files {
                let old = before.iter().find(|old| old.kind == file.kind);
                store_file(transaction, &self.inner, master, file, bytes.as_deref(), old)?;
            }
            Ok(())
        })
    }

    /// A recording's size and validator: learned after resolving, or changed at the source.
    pub fn set_recording_version(
        &self,
        master: MasterId,
        index: u8,
        size: u64,
        validator: &str,
    ) -> Result<(), CatalogError> {
        self.inner.db.write(|transaction| {
            let kind = FileKind::Recording(index);
            let code = checked_code(kind)?;
            let before: Option<Option<i64>> =
                transaction.prepare_cached(SIZE)?.query_row(params![master.0, code], |row| row.get(0)).optional()?;
            let Some(before) = before else {
                return Err(CatalogError::Refused("no resolution told of this recording"));
            };
            let size_column = from_unsigned(size)?;
            transaction.prepare_cached(SIZE_SET)?.execute(params![master.0, code, size_column, validator])?;
            learn(transaction, &self.inner.highest, master, kind, before.is_some(), size)
        })
    }

    /// What an interaction lacks may be asked for from `at` on. Whether it lacks something, and could not be asked for before.
    pub fn recheck_at(&self, master: MasterId, at: Timestamp) -> Result<bool, CatalogError> {
        self.inner.db.write(|transaction| {
            Ok(transaction.prepare_cached(RECHECK)?.execute(params![master.0, from_time(at)])? > 0)
        })
    }

    /// Every recording that a resolution told of.
    pub fn recordings(&self) -> Result<Vec<(MasterId, u8)>, CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare(ALL_FILES)?;
            let mut rows = statement.query([])?;
            let mut recordings = Vec::new();
            while let Some(row) = rows.next()? {
                if let Some(FileKind::Recording(index)) = kind_from_code(row.get(1)?) {
                    recordings.push((MasterId(row.get(0)?), index));
                }
            }
            Ok(recordings)
        })
    }

    /// A document's bytes; `None` for recordings and for what was not resolved.
    pub fn document(&self, master: MasterId, kind: FileKind) -> Result<Option<Vec<u8>>, CatalogError> {
        self.inner.db.read(|connection| {
            let code = kind_code(kind);
            let place = Place::document(master, code);
            let mut statement = connection.prepare_cached(DOCUMENT)?;
            let mut rows = statement.query(params![master.0, code])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            self.inner.field_cipher.open(place, row.get_ref(0)?).map(Some)
        })
    }
}

fn interaction(
    connection: &Connection,
    field_cipher: &FieldCipher,
    master: MasterId,
) -> Result<Option<Interaction>, CatalogError> {
    let mut statement = connection.prepare_cached(ONE)?;
    let mut rows = statement.query([master.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut interaction = Interaction {
        master_id: master,
        channel: to_channel(row.get(0)?),
        ino_base: to_unsigned(row.get(1)?)?,
        mtime: to_time(row.get(2)?)?,
        duration_s: seconds(row.get(3)?, row.get(4)?),
        places: row.get(5)?,
        resolution: Resolution::Unresolved,
        obstacles: Obstacles::default(),
    };
    let place = Place::obstacle(master, obstacles::INTERACTION);
    interaction.obstacles.playback = obstacles::read(field_cipher, place, row, OBSTACLE_AT)?;
    if row.get::<_, Option<i64>>(6)?.is_some() {
        let recheck_at = to_optional_time(row.get(7)?)?;
        let mut files = Vec::new();
        let mut row = Some(row);
        while let Some(file) = row {
            if file.get::<_, Option<i64>>(FILE_AT)?.is_some() {
                let found = resolved_file(file, FILE_AT)?;
                let place = Place::obstacle(master, kind_code(found.kind));
                if let Some(obstacle) = obstacles::read(field_cipher, place, file, STORAGE_AT)? {
                    interaction.obstacles.storage.push((found.kind, obstacle));
                }
                files.push(found);
            }
            row = rows.next()?;
        }
        interaction.resolution = Resolution::Resolved { files: files.into(), recheck_at };
    }
    Ok(Some(interaction))
}

/// A file whose columns (kind, name, size, validator) begin at `first`.
fn resolved_file(row: &rusqlite::Row<'_>, first: usize) -> Result<ResolvedFile, CatalogError> {
    Ok(ResolvedFile {
        kind: kind_from_code(row.get(first)?).ok_or(CatalogError::Damaged("a file of no known kind"))?,
        name: Arc::from(row.get::<_, String>(first + 1)?),
        size: row.get::<_, Option<i64>>(first + 2)?.map(to_unsigned).transpose()?,
        validator: row.get(first + 3)?,
    })
}

fn seconds(first_start: i64, last_end: i64) -> f64 {
    (last_end.saturating_sub(first_start) as f64 / 1e6).max(1.0)
}

fn files(connection: &Connection, master: MasterId) -> Result<Vec<ResolvedFile>, CatalogError> {
    let mut statement = connection.prepare_cached(FILES)?;
    let mut rows = statement.query([master.0])?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        files.push(resolved_file(row, 0)?);
    }
    Ok(files)
}

fn store_file(
    connection: &Connection,
    inner: &Inner,
    master: MasterId,
    file: &ResolvedFile,
    bytes: Option<&[u8]>,
    old: Option<&ResolvedFile>,
) -> Result<(), CatalogError> {
    let code = checked_code(file.kind)?;
    let (size, validator) = match (bytes, file.size, old) {
        (Some(bytes), _, _) => (Some(bytes.len() as u64), file.validator.as_str()),
        (None, Some(size), _) => (Some(size), file.validator.as_str()),
        (None, None, Some(old)) => (old.size, old.validator.as_str()),
        (None, None, None) => (None, file.validator.as_str()),
    };
    let size_column = size.map(from_unsigned).transpose()?;
    connection.prepare_cached(FILE_ADD)?.execute(params![master.0, code, &*file.name, size_column, validator])?;
    if let Some(bytes) = bytes {
        let bytes = inner.field_cipher.blob(Place::document(master, code), bytes)?;
        connection.prepare_cached(DOCUMENT_ADD)?.execute(params![master.0, code, bytes])?;
    }
    if let Some(size) = size {
        let known_before = old.is_some_and(|old| old.size.is_some());
        learn(connection, &inner.highest, master, file.kind, known_before, size)?;
    }
    Ok(())
}

/// Learns from a size that became known just now. A rate only from the first recording: an elevated contact's further recordings do not last
/// as long as the whole.
fn learn(
    connection: &Connection,
    highest: &Highest,
    master: MasterId,
    kind: FileKind,
    known_before: bool,
    size: u64,
) -> Result<(), CatalogError> {
    if known_before {
        return Ok(());
    }
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (channel, start, end) = connection.prepare_cached(SPAN)?.query_row([master.0], read)?;
    highest.learn(connection, channel, kind, size, seconds(start, end))?;
    if kind != FileKind::Recording(0) {
        return Ok(());
    }
    rates::learn(connection, channel, size, seconds(start, end))
}

fn checked_code(kind: FileKind) -> Result<u8, CatalogError> {
    match kind {
        FileKind::Recording(index) if index >= MAX_RECORDINGS => {
            Err(CatalogError::Refused("an interaction with more than 200 recordings"))
        }
        FileKind::Email(index) if index >= MAX_EMAILS => {
            Err(CatalogError::Refused("an interaction with more than 52 emails"))
        }
        kind => Ok(kind_code(kind)),
    }
}

#[cfg(test)]
mod tests;
