//! Looking after what is on disk, for a mount or for a command alone: puts cache, catalog, logs and tree together. The order is that of a
//! purge that may be killed at any point and asked for again: what leads to the rest goes last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::failure::chain;
use crate::base::MasterId;
use crate::catalog::{Catalog, CatalogError, ErasedPlace, MAX_RECORDINGS};
use crate::media::{Media, RecordingKey};
use crate::ops::AuditLog;
use crate::ops::audit;
use crate::ops::keeping::{CacheReport, Keeping, Progress, PurgeReport, PurgeRequest, VerifyReport, What};
use crate::ops::redact::{self, Meant};
use crate::vfs::{self, Vfs};

/// The log of a mount in the background where there is no syslog, in the state directory.
pub const LOG_FILE: &str = "cxonefs.log";

/// A tree that is in use, and its audit log.
pub struct Live {
    /// One for each door.
    pub trees: Vec<Arc<Vfs>>,
    pub audit: Arc<AuditLog>,
    pub mount_point: PathBuf,
}

/// What is on disk.
pub struct Keeper {
    pub media: Media,
    pub cache_dir: PathBuf,
    pub max_age: Duration,
    /// None where there is no state database.
    pub catalog: Option<Catalog>,
    pub state_dir: PathBuf,
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
        let mut report = match &request.what {
            What::Media => Ok(self.purge_media(request.dry_run, progress)),
            What::Contacts(ids) => self.purge_contacts(ids, request.dry_run),
            What::All => self.purge_all(request.dry_run, progress),
        }?;
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

    fn purge_contacts(&self, ids: &[i64], dry_run: bool) -> Result<PurgeReport, String> {
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
            report.log_lines = self.each_log(&meant, redact::count)?;
            return Ok(report);
        }
        self.erase_bytes(&masters);
        if let Some(live) = &self.live {
            live.audit.flush();
        }
        report.log_lines = self.each_log(&meant, redact::redact)?;
        if let Some(catalog) = &self.catalog {
            catalog.erase(&masters).map_err(say)?;
            self.tell_the_tree(&masters, &held.places);
            catalog.squeeze().map_err(say)?;
        }
        // Whoever had just opened it may have fetched again meanwhile.
        self.erase_bytes(&masters);
        Ok(report)
    }

    fn purge_all(&self, dry_run: bool, progress: &mut dyn FnMut(Progress)) -> Result<PurgeReport, String> {
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
            report.log_lines = self.each_log(&Meant::All, redact::count)?;
            return Ok(report);
        }
        self.media.erase_all(&mut |done, of| progress(Progress { done, of }));
        if let Some(live) = &self.live {
            live.audit.flush();
        }
        report.log_lines = self.each_log(&Meant::All, redact::redact)?;
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

    fn each_log(
        &self,
        meant: &Meant,
        act: impl Fn(&std::path::Path, &Meant) -> std::io::Result<u64>,
    ) -> Result<u64, String> {
        let mut lines = 0;
        for name in [audit::FILE_NAME, LOG_FILE] {
            let failed = |error: std::io::Error| format!("{}: {error}", self.state_dir.join(name).display());
            let files = match redact::rotated(&self.state_dir, name) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                files => files.map_err(failed)?,
            };
            for file in files {
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

/// The keys of every recording that an interaction can have.
fn keys(masters: &[MasterId]) -> impl Iterator<Item = RecordingKey> + '_ {
    masters.iter().flat_map(|master| (0..MAX_RECORDINGS).map(|index| vfs::recording_key(*master, index)))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn say(error: CatalogError) -> String {
    chain(&error)
}
