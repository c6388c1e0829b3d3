//! Looking after what is on disk, for a mount or for a command alone: puts cache, catalog, logs and tree together. The order is that of a
//! purge that may be killed at any point and asked for again: what leads to the rest goes last.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::assemble;
use super::failure::chain;
use crate::base::{Clock as _, MasterId, SystemClock};
use crate::catalog::{Catalog, CatalogError, ErasedPlace, MAX_RECORDINGS};
use crate::config::AuditConfig;
use crate::media::{Media, RecordingKey};
use crate::ops::audit;
use crate::ops::keeping::{CacheReport, Keeping, Progress, PurgeReport, PurgeRequest, VerifyReport, What};
use crate::ops::redact::{self, Meant};
use crate::ops::{AuditLog, AuditRecord};
use crate::vfs::{self, Vfs};

/// The log of a mount in the background where there is no syslog, in the state directory.
pub const LOG_FILE: &str = "cxonefs.log";

/// A tree that is in use.
pub struct Live {
    /// One for each door.
    pub trees: Vec<Arc<Vfs>>,
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
        VerifyReport {
            recordings: found.recordings,
            blocks: found.blocks,
            bytes: found.bytes,
            damaged_blocks: found.damaged_blocks,
            damaged_recordings: found.damaged_recordings,
        }
    }

    fn purge(&self, request: &PurgeRequest, progress: &mut dyn FnMut(Progress)) -> Result<PurgeReport, String> {
        let log = if request.dry_run { None } else { self.log()? };
        if let (Books::Closed(_), Some(log)) = (&self.audit, &log) {
            log.note(record("purge", request, "begun"));
        }
        let purged = match &request.what {
            What::Media => Ok(self.purge_media(request.dry_run, progress)),
            What::Contacts(ids) => self.purge_contacts(ids, request.dry_run, log.as_deref()),
            What::All => self.purge_all(request.dry_run, progress, log.as_deref()),
        };
        if let Some(log) = &log {
            log.note(record("purged", request, if purged.is_ok() { "ok" } else { "failed" }));
            log.flush();
        }
        let mut report = purged?;
        report.dry_run = request.dry_run;
        if !request.dry_run {
            // Not what it was: the log must not know it either.
            tracing::info!(
                interactions = report.interactions,
                bytes = report.bytes,
                "purged {} interactions and {} bytes of recordings",
                report.interactions,
                report.bytes
            );
        }
        Ok(report)
    }
}

impl Keeper {
    fn purge_media(&self, dry_run: bool, progress: &mut dyn FnMut(Progress)) -> PurgeReport {
        let stats = self.media.stats();
        if !dry_run {
            self.media.purge_all(&mut |done, of| progress(Progress { done, of }));
        }
        PurgeReport { recordings: stats.recordings, bytes: stats.used_bytes, ..PurgeReport::default() }
    }

    /// The audit log; none where there is no state.
    fn log(&self) -> Result<Option<Arc<AuditLog>>, String> {
        match (&self.audit, &self.catalog) {
            (Books::Open(log), _) => Ok(Some(Arc::clone(log))),
            (Books::Closed(config), Some(catalog)) => {
                let log = assemble::audit::open(&self.state_dir, config, catalog, Arc::new(SystemClock));
                log.map(|log| Some(Arc::new(log))).map_err(|failure| failure.render())
            }
            (Books::Closed(_), None) => Ok(None),
        }
    }

    fn purge_contacts(&self, ids: &[i64], dry_run: bool, log: Option<&AuditLog>) -> Result<PurgeReport, String> {
        let held =
            self.catalog.as_ref().map(|catalog| catalog.holdings(ids)).transpose().map_err(say)?.unwrap_or_default();
        let mut report = PurgeReport {
            interactions: held.masters.len() as u64,
            master_contacts: held.masters.iter().map(|master| master.0).collect(),
            folders: held.places.len() as u64,
            documents: held.documents,
            document_bytes: held.document_bytes,
            ledger_rows: held.ledger_rows,
            ..PurgeReport::default()
        };
        // Also what nothing else leads to any more: a state directory may have been lost, or a purge killed.
        let mut masters = held.masters.clone();
        masters.extend(ids.iter().copied().map(MasterId));
        masters.sort();
        masters.dedup();
        for key in keys(&masters) {
            let bytes = self.media.occupied(&key);
            report.bytes += bytes;
            report.recordings += u64::from(bytes > 0);
        }
        let meant = Meant::Numbers(self.numbers(&masters)?);
        if dry_run {
            report.log_lines = self.each_log(&meant, redact::count)? + self.audit_lines(&meant)?;
            return Ok(report);
        }
        self.erase_bytes(&masters);
        report.log_lines = self.each_log(&meant, redact::redact)? + self.erase_audit(&meant, log)?;
        if let Some(catalog) = &self.catalog {
            catalog.erase(&masters).map_err(say)?;
            self.tell_the_tree(&masters, &held.places);
            catalog.squeeze().map_err(say)?;
        }
        // Whoever had just opened it may have fetched again meanwhile.
        self.erase_bytes(&masters);
        Ok(report)
    }

    fn purge_all(
        &self,
        dry_run: bool,
        progress: &mut dyn FnMut(Progress),
        log: Option<&AuditLog>,
    ) -> Result<PurgeReport, String> {
        let (stats, held) =
            (self.media.stats(), self.catalog.as_ref().map(Catalog::all_holdings).transpose().map_err(say)?);
        let held = held.unwrap_or_default();
        let mut report = PurgeReport {
            recordings: stats.recordings,
            bytes: stats.used_bytes,
            interactions: held.interactions,
            folders: held.folders,
            documents: held.documents,
            document_bytes: held.document_bytes,
            ledger_rows: held.ledger_rows,
            ..PurgeReport::default()
        };
        if dry_run {
            report.log_lines = self.each_log(&Meant::All, redact::count)? + self.audit_lines(&Meant::All)?;
            return Ok(report);
        }
        self.media.erase_all(&mut |done, of| progress(Progress { done, of }));
        report.log_lines = self.each_log(&Meant::All, redact::redact)? + self.erase_audit(&Meant::All, log)?;
        if let Some(catalog) = &self.catalog {
            let agents = catalog.all_agents().map_err(say)?;
            catalog.erase_all().map_err(say)?;
            if let Some(live) = &self.live {
                for tree in &live.trees {
                    tree.forget_agents(&agents);
                }
            }
            catalog.squeeze().map_err(say)?;
        }
        self.media.erase_all(&mut |_, _| {});
        Ok(report)
    }

    fn erase_bytes(&self, masters: &[MasterId]) {
        keys(masters).for_each(|key| self.media.erase(&key));
    }

    /// Every number by which a log may name the interactions.
    fn numbers(&self, masters: &[MasterId]) -> Result<Vec<String>, String> {
        let mut numbers: Vec<String> = masters.iter().map(ToString::to_string).collect();
        for master in masters {
            let legs = self.catalog.as_ref().map(|catalog| catalog.legs(*master)).transpose().map_err(say)?;
            numbers.extend(legs.into_iter().flatten().map(|leg| leg.contact_id.to_string()));
        }
        numbers.sort();
        numbers.dedup();
        Ok(numbers)
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

    fn tell_the_tree(&self, masters: &[MasterId], places: &[ErasedPlace]) {
        if let Some(live) = &self.live {
            for tree in &live.trees {
                tree.forget_interactions(masters, places);
            }
        }
    }
}

/// What is not there holds nothing.
fn or_none<T: Default>(found: io::Result<T>) -> io::Result<T> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        found => found,
    }
}

/// A line of the audit log; names nobody who is erased.
fn record(event: &'static str, request: &PurgeRequest, outcome: &'static str) -> AuditRecord {
    let what = match &request.what {
        What::Media => "media",
        What::Contacts(_) => "contacts",
        What::All => "all",
    };
    AuditRecord {
        actor: Some(assemble::audit::ourselves()),
        detail: Some(what.to_owned()),
        outcome: Some(outcome.into()),
        ..AuditRecord::new(event, SystemClock.now())
    }
}

/// The keys of every recording that an interaction can have.
fn keys(masters: &[MasterId]) -> impl Iterator<Item = RecordingKey> + '_ {
    masters.iter().flat_map(|master| (0..MAX_RECORDINGS).map(|index| vfs::recording_key(*master, index)))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn say(error: CatalogError) -> String {
    chain(&error)
}
