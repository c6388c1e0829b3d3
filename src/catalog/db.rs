//! The database file: one writer, a bounded pool of readers, and what happens to a file that cannot be used.
//!
//! Knows no table. A reader sees the last committed state and never waits for the writer (WAL); a commit is on disk when it
//! returns (`synchronous=FULL`), because the ledger is money.

pub(super) mod connection;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connection::{BUSY, SUSPECT_SUFFIX, connect_writer, open_reader, open_writer};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::CatalogError;
use super::rows::Rows;
use super::salvage;
use super::schema::{self};
use super::statedir::{self, StateDir};
use crate::base::chain;
use crate::base::crypt::MasterKey;

const FILE_NAME: &str = "cxonefs.db";
/// Readers at once; more callers wait for one (microseconds). Each may keep [`connection::READER_CACHE_KIB`] of pages.
const MAX_READERS: usize = 16;

pub(super) struct Db {
    // Field order is drop order: the writer after the readers, because the last connection empties the WAL and a reader cannot;
    // then the directory's lock.
    readers: Readers,
    /// Fair: the thread that has waited longest gets it next, so other writers run between two pieces of a long job.
    writer: Mutex<Connection>,
    /// Grows with every commit, before the writer is told of it.
    generation: AtomicU64,
    /// Closed after all connections: with any descriptor of a file that a process closes go the locks that its other descriptors hold.
    file: File,
    rows: Rows,
    was_salvaged: bool,
    path: PathBuf,
    _dir: StateDir,
}

impl Db {
    /// Takes the directory, opens or creates the database in it and brings its schema up to date. A damaged or foreign file is
    /// moved aside; what can be read of the damaged one is kept. With a key, only what it vouches for is read, and all that is written is vouched for.
    pub(super) fn open(dir: &Path, key: Option<&MasterKey>) -> Result<Db, CatalogError> {
        let db = Db::open_with(dir, Rows::of(key))?;
        if key.is_some() {
            db.read(|connection| {
                if !schema::is_as_made(connection)? {
                    return Err(CatalogError::Forged(String::from("its tables and triggers")));
                }
                db.rows.check_small(connection)
            })?;
            // What was saved of a damaged database is what is there now.
            if db.was_salvaged {
                db.seal()?;
            }
        }
        Ok(db)
    }

    /// Seals the tables whose rows must not be missing, as they are.
    pub(super) fn seal(&self) -> Result<(), CatalogError> {
        self.write(|transaction| Ok(self.rows.seal_all(transaction)?))
    }

    /// Whether no row is missing of which that is noticed.
    pub(super) fn check_seals(&self) -> Result<(), CatalogError> {
        self.read(|connection| self.rows.check_seals(connection))
    }

    /// The same, reading anything and vouching for nothing.
    pub(super) fn open_unguarded(dir: &Path) -> Result<Db, CatalogError> {
        Db::open_with(dir, Rows::of(None))
    }

    fn open_with(dir: &Path, rows: Rows) -> Result<Db, CatalogError> {
        let dir = StateDir::hold(dir)?;
        let path = dir.path().join(FILE_NAME);
        // A process of an earlier version that was killed while it erased left a copy.
        let _ = std::fs::remove_file(statedir::with_suffix(&path, statedir::REWRITTEN_SUFFIX));
        let mut was_salvaged = false;
        let writer = match open_writer(&path, &rows) {
            Err(error) if error.is_damage() => {
                let aside = statedir::move_aside(&path)?;
                let _ = std::fs::remove_file(statedir::with_suffix(&path, SUSPECT_SUFFIX));
                let mut writer = open_writer(&path, &rows)?;
                let salvaged = salvage::copy(&aside, &mut writer, &rows);
                was_salvaged = true;
                let error = chain(&error);
                tracing::warn!(
                    error, moved_to = %aside.display(), salvaged_rows = salvaged,
                    "the state database could not be used ({error}): it was moved to {}, {salvaged} rows of it were salvaged, and a new one was begun",
                    aside.display()
                );
                writer
            }
            other => other?,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&path).map_err(CatalogError::io("open", &path))?;
        let readers = Readers::new(path.clone(), rows.clone());
        Ok(Db {
            writer: Mutex::new(writer),
            file,
            generation: AtomicU64::new(0),
            readers,
            rows,
            was_salvaged,
            path,
            _dir: dir,
        })
    }

    /// A number that names the committed state: what was read while it was this number still holds while it is this number.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Runs `f` on a reader; all its statements see one state if it begins a transaction.
    pub(super) fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, CatalogError>) -> Result<T, CatalogError> {
        let reader = self.readers.take()?;
        self.noting_damage(f(reader.connection()?))
    }

    /// Runs `f` in the one write transaction; on disk when this returns `Ok`, undone when `f` fails.
    pub(super) fn write<T>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut writer = self.writer.lock();
        let done = || -> Result<T, CatalogError> {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = f(&transaction)?;
            self.rows.seal_changed(&transaction)?;
            transaction.commit()?;
            Ok(value)
        }();
        // After a commit that failed too: nobody knows how far it got.
        self.generation.fetch_add(1, Ordering::Release);
        MutexGuard::unlock_fair(writer);
        self.noting_damage(done)
    }

    /// Runs a small change whose effect outlives the process and need not outlive a loss of power until something else is written, and on
    /// which nothing depends that [`Db::generation`] tells of. Fails at once where another process writes: waiting would hold up the other writes
    /// of this process.
    pub(super) fn write_loosely(
        &self,
        f: impl FnOnce(&Connection) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let mut writer = self.writer.lock();
        writer.busy_timeout(Duration::ZERO)?;
        writer.pragma_update(None, "synchronous", "NORMAL")?;
        let done = || -> Result<(), CatalogError> {
            let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            f(&transaction)?;
            self.rows.seal_changed(&transaction)?;
            transaction.commit()?;
            Ok(())
        }();
        writer.pragma_update(None, "synchronous", "FULL")?;
        writer.busy_timeout(BUSY)?;
        drop(writer);
        self.noting_damage(done)
    }

    /// Runs `f` with the writer's connection in no transaction, in which it waits for other connections no longer than `busy`. `f` changes no row.
    pub(super) fn exclusively<T>(
        &self,
        busy: Duration,
        f: impl FnOnce(&Connection) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let writer = self.writer.lock();
        let done = || -> Result<T, CatalogError> {
            writer.busy_timeout(busy)?;
            let done = f(&writer);
            writer.busy_timeout(BUSY)?;
            done
        }();
        MutexGuard::unlock_fair(writer);
        self.noting_damage(done)
    }

    /// Drops the pages and statements that connections keep in memory: those of readers with the readers, at the latest when they are returned.
    pub(super) fn forget_pages(&self) -> Result<(), CatalogError> {
        self.readers.retire();
        let mut writer = self.writer.lock();
        // A connection keeps the memory of pages that it let go of, and gives it back when it is closed.
        *writer = connect_writer(&self.path, &self.rows)?;
        Ok(())
    }

    /// Whether a damaged database was replaced by this one.
    pub(super) fn was_salvaged(&self) -> bool {
        self.was_salvaged
    }

    /// The database file, past SQLite.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Where the database is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn noting_damage<T>(&self, result: Result<T, CatalogError>) -> Result<T, CatalogError> {
        if let Err(error) = &result
            && error.is_damage()
        {
            let suspect = statedir::with_suffix(&self.path, SUSPECT_SUFFIX);
            if !suspect.exists() && statedir::private_file(&suspect).is_ok() {
                tracing::error!(path = %self.path.display(), "the state database {} is damaged: restart the mount, and what is readable is kept", self.path.display());
            }
        }
        result
    }
}

/// The database's path in a state directory.
pub(super) fn file_in(dir: &Path) -> PathBuf {
    dir.join(FILE_NAME)
}

/// Opened when first needed, kept for the next.
struct Readers {
    path: PathBuf,
    rows: Rows,
    state: Mutex<ReaderState>,
    returned: Condvar,
}

#[derive(Default)]
struct ReaderState {
    idle: Vec<Connection>,
    in_use: usize,
    waiting: usize,
    /// Readers that were opened before the last retirement are closed when they are returned.
    generation: u64,
}

impl Readers {
    fn new(path: PathBuf, rows: Rows) -> Readers {
        Readers { path, rows, state: Mutex::default(), returned: Condvar::new() }
    }

    fn take(&self) -> Result<Reader<'_>, CatalogError> {
        let mut state = self.state.lock();
        if state.in_use >= MAX_READERS {
            state.waiting += 1;
            self.returned.wait_while(&mut state, |state| state.in_use >= MAX_READERS);
            state.waiting -= 1;
        }
        state.in_use += 1;
        let (idle, generation) = (state.idle.pop(), state.generation);
        drop(state);
        // From here on dropping it gives the place back, also when opening fails.
        let mut reader = Reader { readers: self, connection: idle, generation };
        if reader.connection.is_none() {
            reader.connection = Some(open_reader(&self.path, &self.rows)?);
        }
        Ok(reader)
    }

    /// Closes every reader: idle ones now, the others when they are returned.
    fn retire(&self) {
        let idle = {
            let mut state = self.state.lock();
            state.generation += 1;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
    }
}

struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
    generation: u64,
}

impl Reader<'_> {
    fn connection(&self) -> Result<&Connection, CatalogError> {
        self.connection.as_ref().ok_or(CatalogError::Refused("a reader without a connection"))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut state = self.readers.state.lock();
        state.in_use -= 1;
        // A transaction that a panic left open would pin an old state for ever.
        let keeps = state.generation == self.generation;
        let connection = self.connection.take();
        if keeps {
            state.idle.extend(connection.filter(Connection::is_autocommit));
        }
        let awaited = state.waiting > 0;
        drop(state);
        // A system call, even if nobody waits.
        if awaited {
            self.readers.returned.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
