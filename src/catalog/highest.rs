//! The highest that was seen of each kind of file by channel: bytes per second of recordings, bytes of documents. Sizes that are not known yet are
//! estimated by it, so it is kept in memory too: the estimate after the next is as high as this one should have been.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, OptionalExtension, params};

use super::error::CatalogError;
use super::inode::kind_code;
use super::kind::FileKind;

/// What every recording has beside its sound and picture weighs most in a short one: it is counted as one of this many seconds.
pub const SHORTEST_SECONDS: f64 = 30.0;

/// Above any video; what a tenant's wrong duration suggests beyond it is not learned. Bytes per second.
pub(super) const FASTEST: f64 = 64.0 * 1024.0 * 1024.0;

/// What is estimated by the highest has at least this margin above it: what stays within needs no estimate that was shown to be raised.
const MARGIN: f64 = 1.5;

pub(super) const HIGHEST: &str = "SELECT value FROM highest WHERE channel = ?1 AND kind = ?2";
const RAISE: &str = "INSERT INTO highest(channel, kind, value) VALUES(?1, ?2, ?3)
    ON CONFLICT(channel, kind) DO UPDATE SET value = max(value, excluded.value)";

/// What is known of it by now, by channel and kind; `None` where nothing was seen.
#[derive(Default)]
pub(super) struct Highest {
    known: Mutex<HashMap<(i64, u8), Option<f64>>>,
    raises: AtomicU64,
}

/// All recordings of a channel count as one kind, and all emails.
pub(super) fn class(kind: FileKind) -> u8 {
    match kind {
        FileKind::Recording(_) => kind_code(FileKind::Recording(0)),
        FileKind::Email(_) => kind_code(FileKind::Email(0)),
        document => kind_code(document),
    }
}

impl Highest {
    /// Learns from one file of `size` bytes whose interaction lasts `seconds`.
    pub(super) fn learn(
        &self,
        connection: &Connection,
        channel: i64,
        kind: FileKind,
        size: u64,
        seconds: f64,
    ) -> Result<(), CatalogError> {
        let value = match kind {
            FileKind::Recording(_) => size as f64 / seconds.max(SHORTEST_SECONDS),
            _ => size as f64,
        };
        if value > FASTEST {
            return Ok(());
        }
        let class = class(kind);
        let before = match self.known().get(&(channel, class)) {
            Some(known) => *known,
            None => read(connection, channel, class)?,
        };
        if before.is_some_and(|before| value <= before) {
            return Ok(());
        }
        connection.prepare_cached(RAISE)?.execute(params![channel, class, value])?;
        // If the transaction fails after all, estimates are too high.
        self.known().insert((channel, class), Some(value));
        if value > before.unwrap_or_default() * MARGIN {
            self.raises.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Grows whenever something was so much higher than all before that estimates which were shown are too low for its like.
    pub(super) fn raises(&self) -> u64 {
        self.raises.load(Ordering::SeqCst)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, HashMap<(i64, u8), Option<f64>>> {
        self.known.lock()
    }
}

pub(super) fn read(connection: &Connection, channel: i64, class: u8) -> Result<Option<f64>, CatalogError> {
    Ok(connection.prepare_cached(HIGHEST)?.query_row(params![channel, class], |row| row.get(0)).optional()?)
}
