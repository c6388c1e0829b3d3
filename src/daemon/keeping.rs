//! Looking after what is on disk, for a mount or for a command alone: puts cache, catalog, logs and tree together.

mod erasing;
mod hashing;
mod holding;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::audit as books;
use crate::base::failure::chain;
use crate::base::{Clock, MasterId, SystemClock};
use crate::catalog::{Catalog, CatalogError, MAX_RECORDINGS};
use crate::config::AuditConfig;
use crate::media::{Media, RecordingKey};
use crate::ops::audit;
use crate::ops::keeping::{
    CacheReport, HoldReport, HoldRequest, HoldsReport, Keeping, Manifest, Progress, PurgeReport, PurgeRequest,
    VerifyReport, What,
};
use crate::ops::redact::{self, Meant};
use crate::ops::{AuditLog, AuditRecord};
use crate::tree::{self, Tree};

/// The log of a mount in the background where there is no syslog, in the state directory.
pub const LOG_FILE: &str = "cxonefs.log";

/// A tree that is in use.
pub struct Live {
    pub tree: Arc<Tree>,
    pub mount_point: PathBuf,
}

/// The audit log.
pub enum Books {
    /// A mount's.
    Open(Arc<AuditLog>),
    /// Nobody writes to it; it is opened where something is to be put on record.
    Closed(AuditConfig),
}

/// What is on disk.
pub struct Keeper {
    pub media: Media,
    pub cache_dir: PathBuf,
    pub max_age: Duration,
    /// None where there is no state database.
    pub catalog: Option<Catalog>,
    pub state_dir: PathBuf,
    pub audit: Books,
    /// None where nothing is mounted.
    pub live: Option<Live>,
    pub clock: Arc<dyn Clock>,
    /// Held while something is purged, held or released.
    pub changing: Mutex<()>,
}

impl Keeping for Keeper {
    fn stats(&self) -> CacheReport {
        let stats = self.media.stats();
        let time =
            |second: i64| Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string());
        CacheReport {
            dir: self.cache_dir.display().to_string(),
            mount_point: self.live.as_ref().map(|live| live.mount_point.display().to_string()),
            used_bytes: stats.used_bytes,
            size_bytes: stats.size_bytes,
            recordings: stats.recordings,
            complete: stats.complete,
            partial: stats.partial,
            blocks: stats.blocks,
            oldest: stats.oldest_s.map(time),
            newest: stats.newest_s.map(time),
            max_age_s: self.max_age.as_secs_f64(),
            hit_ratio: None,
        }
    }

    fn verify(&self, progress: &mut dyn FnMut(Progress) -> bool) -> VerifyReport {
        let found = self.media.examine(&mut |found| progress(Progress { done: found.recordings, of: found.of }));
        let mut report = VerifyReport {
            recordings: found.recordings,
            blocks: found.blocks,
            bytes: found.bytes,
            damaged_blocks: found.damaged_blocks,
            damaged_recordings: found.damaged_recordings,
            ..VerifyReport::default()
        };
        if let Err(why) = self.compare_hashes(&mut report, progress) {
            report.failed = Some(why);
        }
        report
    }

    fn purge(
        &self,
        request: &PurgeRequest,
        uid: u32,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PurgeReport, String> {
        let _one_at_a_time = self.exclusively();
        let log = if request.dry_run { None } else { self.log()? };
        if !request.dry_run {
            self.begun(log.as_deref(), purge_record("purge", request))?;
        }
        let purged = match &request.what {
            What::Media => self.purge_media(request.dry_run, progress),
            What::Contacts(ids) => self.purge_contacts(ids, request, uid, log.as_deref()),
            What::All => self.purge_all(request, uid, log.as_deref(), progress),
        };
        if let Some(log) = &log {
            let outcome = match &purged {
                Ok(report) if report.held.is_empty() => "ok",
                Ok(_) => "held",
                Err(_) => "failed",
            };
            ended(log, purge_record("purged", request), outcome);
        }
        let mut report = purged?;
        report.dry_run = request.dry_run;
        if !request.dry_run {
            // Not what it was: the log must not know it either.
            tracing::info!(
                interactions = report.interactions,
                bytes = report.bytes,
                uid,
                "purged {} interactions and {} bytes of recordings",
                report.interactions,
                report.bytes
            );
        }
        Ok(report)
    }

    fn holds(&self) -> Result<Vec<HoldReport>, String> {
        self.list_holds()
    }

    fn add_holds(&self, request: &HoldRequest, uid: u32) -> Result<HoldsReport, String> {
        self.hold(request, uid)
    }

    fn remove_holds(&self, contacts: &[i64]) -> Result<HoldsReport, String> {
        self.release(contacts)
    }

    fn manifest(&self, day: &str, progress: &mut dyn FnMut(Progress)) -> Result<Manifest, String> {
        self.day_manifest(day, progress)
    }
}

/// What is held in a catalog stays in the cache, from now on.
pub fn apply_holds(catalog: &Catalog, media: &Media) -> Result<(), CatalogError> {
    for hold in catalog.holds()? {
        keys(&[hold.master]).for_each(|key| media.hold(&key, true));
    }
    Ok(())
}

impl Keeper {
    /// Purges and holds do not overlap.
    fn exclusively(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }

    /// The audit log; none where there is no state.
    fn log(&self) -> Result<Option<Arc<AuditLog>>, String> {
        match (&self.audit, &self.catalog) {
            (Books::Open(log), _) => Ok(Some(Arc::clone(log))),
            (Books::Closed(config), Some(catalog)) => {
                let log = books::open(&self.state_dir, config, catalog, Arc::new(SystemClock));
                log.map(|log| Some(Arc::new(log))).map_err(|failure| failure.render())
            }
            (Books::Closed(_), None) => Ok(None),
        }
    }

    /// Puts on record what is about to be done, where no mount does that. Refuses it where it must be on record and cannot.
    fn begun(&self, log: Option<&AuditLog>, record: AuditRecord) -> Result<(), String> {
        let Books::Closed(config) = &self.audit else { return Ok(()) };
        match log {
            Some(log) => {
                log.note(AuditRecord { outcome: Some("begun".into()), ..record });
                log.flush();
                log.check().map_err(|error| {
                    format!("nothing was done: {error}; free some space, or repair {}", self.state_dir.display())
                })
            }
            None if config.required => Err(format!(
                "nothing was done: audit.required is set, and there is no state in {} in which it could be put on record; mount once, and ask the mount",
                self.state_dir.display()
            )),
            None => Ok(()),
        }
    }

    /// Lines of the audit log that say something of those who are meant.
    fn audit_lines(&self, meant: &Meant) -> Result<u64, String> {
        let count = match &self.audit {
            Books::Open(log) => log.count(meant),
            Books::Closed(_) => audit::erase::count(&self.state_dir, meant),
        };
        or_none(count).map_err(|error| self.audit_failed(&error))
    }

    /// Path, numbers and salt go; who did what when stays, and the chain holds.
    fn erase_audit(&self, meant: &Meant, log: Option<&AuditLog>) -> Result<u64, String> {
        let erased = match log {
            Some(log) => log.erase(meant),
            None => audit::erase::in_all(&self.state_dir, meant),
        };
        or_none(erased).map_err(|error| self.audit_failed(&error))
    }

    fn audit_failed(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.state_dir.join(audit::segments::CURRENT).display())
    }

    /// The program's own log, and audit logs of versions before the chain.
    fn each_log(
        &self,
        meant: &Meant,
        act: impl Fn(&std::path::Path, &Meant) -> std::io::Result<u64>,
    ) -> Result<u64, String> {
        let mut lines = 0;
        let failed = |error: io::Error| format!("{}: {error}", self.state_dir.join(LOG_FILE).display());
        for files in [redact::rotated(&self.state_dir, LOG_FILE), audit::segments::legacy(&self.state_dir)] {
            for file in or_none(files).map_err(failed)? {
                lines += act(&file, meant).map_err(failed)?;
            }
        }
        Ok(lines)
    }
}

/// What is not there holds nothing.
fn or_none<T: Default>(found: io::Result<T>) -> io::Result<T> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        found => found,
    }
}

/// Puts on record what came of it; on disk when this returns.
fn ended(log: &AuditLog, record: AuditRecord, outcome: &'static str) {
    log.note(AuditRecord { outcome: Some(outcome.into()), ..record });
    log.flush();
}

/// A line of the audit log about what this process does.
fn record(event: &'static str) -> AuditRecord {
    AuditRecord { actor: Some(crate::daemon::audit::ourselves()), ..AuditRecord::new(event, SystemClock.now()) }
}

/// The same about a purge; names nobody who is erased.
fn purge_record(event: &'static str, request: &PurgeRequest) -> AuditRecord {
    let what = match &request.what {
        What::Media => "media",
        What::Contacts(_) => "contacts",
        What::All => "all",
    };
    AuditRecord { detail: Some(what.to_owned()), ..record(event) }
}

/// The keys of every recording that an interaction can have.
fn keys(masters: &[MasterId]) -> impl Iterator<Item = RecordingKey> + '_ {
    masters.iter().flat_map(|master| (0..MAX_RECORDINGS).map(|index| tree::recording_key(*master, index)))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn say(error: CatalogError) -> String {
    chain(&error)
}
