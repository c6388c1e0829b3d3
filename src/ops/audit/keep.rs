//! Looks after older files, on a thread of its own while there is something to do: compresses them, and deletes what is older than `audit.keep`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::figures::{Shared, measured};
use super::intake::Intake;
use super::record::AuditRecord;
use super::segments;
use super::settings::ChainStore;
use crate::base::Clock;

/// Looks after files.
#[derive(Clone)]
pub struct Keeper {
    pub dir: PathBuf,
    pub keep: Duration,
    pub clock: Arc<dyn Clock>,
    pub store: Arc<dyn ChainStore>,
    pub intake: Arc<Intake>,
    pub figures: Arc<Shared>,
    /// Held while older files are changed.
    pub lock: Arc<Mutex<()>>,
}

impl Keeper {
    /// Does it meanwhile.
    pub fn begin(&self) {
        let keeper = self.clone();
        let begun = std::thread::Builder::new().name(String::from("audit-keep")).spawn(move || keeper.keep_house());
        if let Err(error) = begun {
            tracing::warn!(%error, "older files of the audit log are looked after later");
        }
    }

    /// Does it now.
    pub fn keep_house(&self) {
        let _alone = self.lock.lock();
        let done = self.compress().and_then(|()| self.delete()).and_then(|()| self.measure());
        if let Err(error) = done {
            tracing::warn!(%error, dir = %self.dir.display(), "older files of the audit log cannot be looked after; it is tried again");
        }
    }

    fn compress(&self) -> io::Result<()> {
        let plain = |segment: &&segments::Segment| segment.first.is_some() && !segment.is_compressed;
        segments::list(&self.dir)?.iter().filter(plain).try_for_each(segments::compress)
    }

    fn delete(&self) -> io::Result<()> {
        let now = self.clock.now();
        let oldest = now.saturating_sub(self.keep).unwrap_or(Timestamp::MIN);
        segments::delete_legacy(&self.dir, oldest)?;
        let files = segments::list(&self.dir)?;
        let Some((count, start)) = segments::expired(&files, oldest)? else { return Ok(()) };
        // First the place, then the files: a process that ends between the two leaves more than it says.
        self.store.note_start(&start).map_err(io::Error::other)?;
        segments::delete(&files[..count])?;
        tracing::info!(files = count, lines_until = start.number, "audit lines older than audit.keep were deleted");
        let detail = Some(format!("lines until {} were older than audit.keep and are deleted", start.number));
        // Where there is no room, the start is still noted.
        let _ = self.intake.line(AuditRecord { detail, ..AuditRecord::new("expire", now) }, None);
        Ok(())
    }

    fn measure(&self) -> io::Result<()> {
        let measured = measured(&self.dir)?;
        let mut figures = self.figures.lock();
        (figures.files, figures.closed_bytes, figures.oldest) =
            (measured.files, measured.closed_bytes, measured.oldest);
        Ok(())
    }
}
