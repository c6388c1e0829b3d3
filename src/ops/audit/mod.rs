//! The audit log: who opened what, and who did what to the mount. JSON lines in the state directory, numbered and chained by hashes, kept by age.
//!
//! | part | for |
//! | --- | --- |
//! | [`record`], [`text`] | what happened, before it is a line |
//! | [`line`] | a line, its link to the one before, what can be erased of it |
//! | [`coalesce`] | repeats and walks that become counts |
//! | [`intake`] | what waits to be written: bounded, fair between users |
//! | [`writer`], [`keep`], [`segments`], [`recover`] | the thread that writes; older files; going on after a start |
//! | [`verify`], [`read`], [`erase`] | proving the chain, reading lines, erasing contacts |
//! | [`export`], [`figures`] | lines for the log service; how the log is |
//!
//! Nothing here waits on a thread that takes requests. Knows no catalog (the place of the chain's ends is a [`ChainStore`]) and no policy.

pub mod coalesce;
pub mod erase;
pub mod export;
pub mod figures;
pub mod intake;
mod keep;
pub mod line;
pub mod read;
pub mod record;
pub mod recover;
pub mod segments;
mod settings;
pub mod text;
pub mod verify;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use ring::rand::SystemRandom;
use tokio::sync::oneshot;

use crate::base::Clock;
use crate::ops::privacy::{self, PrivacyError};
use crate::ops::redact::Meant;
use crate::ops::version;
use coalesce::Coalescer;
use export::Exporter;
pub use figures::Figures;
pub use intake::NotWritten;
use intake::{Intake, Item, Job, Lost};
use keep::Keeper;
pub use line::Head;
pub use record::{Actor, AuditRecord};
pub use settings::{AuditSettings, ChainStore};
pub use verify::{Anchors, Verdict};
use writer::{Times, Writer};

/// How long an event may wait for room before it is lost; the user who opens files faster than they can be written is slowed down so.
const ROOM_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks for room.
const ROOM_EVERY: Duration = Duration::from_millis(20);

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Private(#[from] PrivacyError),
    #[error("{}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the state database: {0}")]
    Store(String),
}

/// Takes events. Dropping it writes what waits and ends the thread.
pub struct AuditLog {
    dir: PathBuf,
    settings: AuditSettings,
    intake: Arc<Intake>,
    figures: Arc<figures::Shared>,
    keeper: Keeper,
    writer: Option<JoinHandle<()>>,
}

impl AuditLog {
    /// Opens or creates the log in `dir`, goes on where it ended, and starts its writer.
    pub fn open(
        dir: &Path,
        settings: AuditSettings,
        store: Arc<dyn ChainStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<AuditLog, AuditError> {
        let failed = |source| AuditError::Io { path: dir.to_owned(), source };
        let known = store.anchors().map_err(AuditError::Store)?;
        if known.is_none() {
            recover::set_legacy_aside(dir).map_err(failed)?;
        }
        segments::tidy(dir).map_err(failed)?;
        let resumed = recover::resume(dir, known).map_err(failed)?;
        let path = dir.join(segments::CURRENT);
        let file = privacy::private_append(&path)?;
        if resumed.torn_bytes > 0 {
            file.set_len(resumed.good_bytes).map_err(|source| AuditError::Io { path, source })?;
        }
        for what in &resumed.amiss {
            tracing::warn!(dir = %dir.display(), "audit log: {what}; cxonefs audit verify says more");
        }
        let figures = Arc::<figures::Shared>::default();
        let intake = Arc::new(Intake::new(Coalescer::new(settings.required)));
        let keeper = Keeper {
            dir: dir.to_owned(),
            keep: settings.keep,
            clock: Arc::clone(&clock),
            store: Arc::clone(&store),
            intake: Arc::clone(&intake),
            figures: Arc::clone(&figures),
            lock: Arc::new(Mutex::new(())),
        };
        let now = clock.now();
        let notes = std::iter::once(format!("cxonefs {}", version::SHORT)).chain(resumed.amiss).collect::<Vec<_>>();
        let begin = AuditRecord { detail: Some(notes.join("; ")), ..AuditRecord::new("begin", now) };
        let mut writer = Writer {
            dir: dir.to_owned(),
            exporter: Exporter::new(settings.export),
            settings: settings.clone(),
            clock,
            store,
            intake: Arc::clone(&intake),
            figures: Arc::clone(&figures),
            keeper: keeper.clone(),
            random: SystemRandom::new(),
            file,
            good_bytes: resumed.good_bytes,
            is_torn: false,
            first: resumed.first,
            head: resumed.before,
            noted: known.map(|anchors| anchors.head).unwrap_or_default(),
            says_before: true,
            begin: Some(begin),
            lost: Lost::default(),
            times: Times { checked: now, looked: now, ..Times::default() },
            is_noting_badly: false,
        };
        writer.look_at_disk(now);
        writer.turn_over_if_old(now);
        writer.write_all(std::collections::VecDeque::new());
        writer.note_head();
        writer.checkpoint();
        keeper.begin();
        let spawned = std::thread::Builder::new().name(String::from("audit")).spawn(move || writer.run());
        let writer = Some(spawned.map_err(failed)?);
        Ok(AuditLog { dir: dir.to_owned(), settings, intake, figures, keeper, writer })
    }

    /// How it is kept.
    #[must_use]
    pub fn settings(&self) -> &AuditSettings {
        &self.settings
    }

    /// How it is.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures.lock().clone()
    }

    /// Whether something may be done whose line must be on disk.
    pub fn check(&self) -> Result<(), NotWritten> {
        if !self.settings.required {
            return Ok(());
        }
        self.figures.lock().trouble.clone().map_or(Ok(()), |why| Err(NotWritten(why)))
    }

    /// An event of a file: a line, or counted. With `audit.required` its line is on disk when this returns.
    pub async fn event(&self, record: AuditRecord) -> Result<(), NotWritten> {
        self.entered(record, Intake::event).await
    }

    /// An event that is a line in any case. With `audit.required` it is on disk when this returns.
    pub async fn command(&self, record: AuditRecord) -> Result<(), NotWritten> {
        self.entered(record, Intake::line).await
    }

    /// An event that nobody waits for.
    pub fn note(&self, record: AuditRecord) {
        if let Err(item) = self.intake.line(record, None) {
            self.intake.lose(&item);
        }
    }

    async fn entered(
        &self,
        record: AuditRecord,
        enter: impl FnOnce(&Intake, AuditRecord, Option<intake::Waiter>) -> Result<(), Box<Item>>,
    ) -> Result<(), NotWritten> {
        let (waiter, answer) = if self.settings.required {
            let (waiter, answer) = oneshot::channel();
            (Some(waiter), Some(answer))
        } else {
            (None, None)
        };
        if let Err(item) = enter(&self.intake, record, waiter) {
            self.when_there_is_room(item).await?;
        }
        match answer {
            Some(answer) => {
                answer.await.unwrap_or_else(|_| Err(NotWritten(String::from("it is not written any more"))))
            }
            None => Ok(()),
        }
    }

    async fn when_there_is_room(&self, mut item: Box<Item>) -> Result<(), NotWritten> {
        for _ in 0..ROOM_WITHIN.as_millis() / ROOM_EVERY.as_millis() {
            // A timeout is a look, too.
            let _ = tokio::time::timeout(ROOM_EVERY, self.intake.room()).await;
            let Item { record, waiter } = *item;
            match self.intake.line(record, waiter) {
                Ok(()) => return Ok(()),
                Err(refused) => item = refused,
            }
        }
        self.intake.lose(&item);
        if self.settings.required { Err(NotWritten(String::from("too much waits to be written"))) } else { Ok(()) }
    }

    /// Writes what waits, counts included, and notes the head in the state database. Blocks. None: the writer has ended.
    pub fn flush(&self) -> Option<Head> {
        let (done, head) = sync_channel(1);
        self.intake.job(Job::Flush(done));
        head.recv().ok()
    }

    /// Erases what the lines say of those who are meant; the chain still holds. On disk when this returns. Gives how many lines. Blocks.
    pub fn erase(&self, meant: &Meant) -> io::Result<u64> {
        let (done, erased) = sync_channel(1);
        self.intake.job(Job::Erase(meant.clone(), done));
        let gone = || io::Error::other("the audit log's writer has ended");
        let in_current = erased.recv().map_err(|_| gone())??;
        let _alone = self.keeper.lock.lock();
        let mut in_older = 0;
        for segment in segments::list(&self.dir)?.iter().filter(|segment| segment.first.is_some()) {
            in_older += segments::rewrite(segment, |text| erase::erased(text, meant))?;
        }
        Ok(in_current + in_older)
    }

    /// How many lines [`AuditLog::erase`] would change. Blocks.
    pub fn count(&self, meant: &Meant) -> io::Result<u64> {
        self.flush();
        erase::count(&self.dir, meant)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.intake.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the audit log's writer panicked");
        }
        // What is under way ends first: it holds the state database.
        drop(self.keeper.lock.lock());
    }
}

#[cfg(test)]
mod tests;
