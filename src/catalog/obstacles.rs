//! Keeping obstacles: what a source refused, so that nobody pays for the same refusal again, also after a restart.
//!
//! Knows no call: how long an obstacle holds is decided elsewhere. At most one per interaction, and one per file.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::convert::{from_time, to_time, to_unsigned};
use super::error::CatalogError;
use super::field_cipher::{FieldCipher, Place};
use super::handle::Catalog;
use super::inode::kind_code;
use super::kind::FileKind;
use super::known::check_known;
use super::obstacle::{Obstacle, ObstacleKind, Scope};
use crate::base::MasterId;

/// The number of the interaction itself among its files.
pub(super) const INTERACTION: u8 = 0;
const PUT: &str = "INSERT INTO obstacles(master_id, subject, kind, reason, said_at, again_at, times, scope)
    VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT(master_id, subject) DO UPDATE SET
    kind = excluded.kind, reason = excluded.reason, said_at = excluded.said_at, again_at = excluded.again_at,
    times = excluded.times, scope = excluded.scope";
pub(super) const CLEAR: &str = "DELETE FROM obstacles WHERE master_id = ?1 AND subject = ?2";
const CLEAR_ALL_OF: &str = "DELETE FROM obstacles WHERE master_id = ?1";
const COUNTS: &str = "SELECT kind, count(*) FROM obstacles WHERE again_at > ?1 GROUP BY kind";

impl Catalog {
    /// Keeps what stands in the way of an interaction, or of one of its files, in place of what did before; on disk when this returns. Refuses an
    /// interaction that no listing told of: everything may have been erased while it was asked for.
    pub fn put_obstacle(
        &self,
        master: MasterId,
        file: Option<FileKind>,
        obstacle: &Obstacle,
    ) -> Result<(), CatalogError> {
        let subject = file.map_or(INTERACTION, kind_code);
        let reason = self.inner.field_cipher.text(Place::obstacle(master, subject), &obstacle.reason)?;
        self.inner.db.write(|transaction| {
            self.inner.marks.snapshot().check(master)?;
            check_known(transaction, master)?;
            transaction.prepare_cached(PUT)?.execute(params![
                master.0,
                subject,
                obstacle.kind.word(),
                reason,
                from_time(obstacle.said_at),
                from_time(obstacle.again_at),
                obstacle.times,
                scope_code(obstacle.scope),
            ])?;
            Ok(())
        })
    }

    /// Forgets what stands in the way of an interaction, or of one of its files.
    pub fn clear_obstacle(&self, master: MasterId, file: Option<FileKind>) -> Result<(), CatalogError> {
        let subject = file.map_or(INTERACTION, kind_code);
        self.inner.db.write(|transaction| {
            transaction.prepare_cached(CLEAR)?.execute(params![master.0, subject])?;
            Ok(())
        })
    }

    /// Forgets what stands in the way of these interactions and their files. Returns how many obstacles there were.
    pub fn clear_obstacles_of(&self, masters: &[MasterId]) -> Result<u64, CatalogError> {
        self.inner.db.write(|transaction| {
            let mut clear = transaction.prepare_cached(CLEAR_ALL_OF)?;
            let mut cleared = 0;
            for master in masters {
                cleared += clear.execute([master.0])? as u64;
            }
            Ok(cleared)
        })
    }

    /// Forgets all obstacles. Returns how many there were.
    pub fn clear_obstacles(&self) -> Result<u64, CatalogError> {
        self.inner.db.write(|transaction| Ok(transaction.execute("DELETE FROM obstacles", [])? as u64))
    }

    /// Forgets the obstacles of one scope. Returns how many there were.
    pub fn clear_obstacles_in(&self, scope: Scope) -> Result<u64, CatalogError> {
        let clear = "DELETE FROM obstacles WHERE scope = ?1";
        self.inner.db.write(|transaction| Ok(transaction.execute(clear, [scope_code(scope)])? as u64))
    }

    /// Obstacles whose words fit all interactions concern only those that they were said of.
    pub fn settle_obstacles(&self) -> Result<(), CatalogError> {
        let settle = "UPDATE obstacles SET scope = ?2 WHERE scope = ?1";
        self.inner.db.write(|transaction| {
            transaction.execute(settle, [scope_code(Scope::Shared), scope_code(Scope::Settled)])?;
            Ok(())
        })
    }

    /// How many obstacles hold at `now`, by kind, in the order of [`ObstacleKind::ALL`].
    pub fn obstacle_counts(&self, now: jiff::Timestamp) -> Result<[u64; ObstacleKind::ALL.len()], CatalogError> {
        self.inner.db.read(|connection| {
            let mut statement = connection.prepare_cached(COUNTS)?;
            let mut rows = statement.query([from_time(now)])?;
            let mut counts = [0; ObstacleKind::ALL.len()];
            while let Some(row) = rows.next()? {
                let kind = kind_of(&row.get::<_, String>(0)?)?;
                counts[kind as usize] = to_unsigned(row.get(1)?)?;
            }
            Ok(counts)
        })
    }
}

/// Forgets what stood in the way of an interaction: Media Playback answered.
pub(super) fn clear_in(connection: &Connection, master: MasterId) -> Result<(), CatalogError> {
    connection.prepare_cached(CLEAR)?.execute(params![master.0, INTERACTION])?;
    Ok(())
}

/// An obstacle whose columns (kind, reason, `said_at`, `again_at`, times, scope) begin at `first`; none where they are NULL.
pub(super) fn read(
    field_cipher: &FieldCipher,
    place: Place,
    row: &Row<'_>,
    first: usize,
) -> Result<Option<Arc<Obstacle>>, CatalogError> {
    let Some(word) = row.get::<_, Option<String>>(first)? else { return Ok(None) };
    Ok(Some(Arc::new(Obstacle {
        kind: kind_of(&word)?,
        reason: field_cipher.open_text(place, row.get_ref(first + 1)?)?.into(),
        said_at: to_time(row.get(first + 2)?)?,
        again_at: to_time(row.get(first + 3)?)?,
        times: row.get(first + 4)?,
        scope: scope_of(row.get(first + 5)?),
    })))
}

fn kind_of(word: &str) -> Result<ObstacleKind, CatalogError> {
    let found = ObstacleKind::ALL.into_iter().find(|kind| kind.word() == word);
    found.ok_or(CatalogError::Damaged("an obstacle of no known kind"))
}

fn scope_code(scope: Scope) -> i64 {
    match scope {
        Scope::Own => 0,
        Scope::Shared => 1,
        Scope::Settled => 2,
    }
}

fn scope_of(code: i64) -> Scope {
    match code {
        1 => Scope::Shared,
        2 => Scope::Settled,
        _ => Scope::Own,
    }
}

#[cfg(test)]
mod tests;
