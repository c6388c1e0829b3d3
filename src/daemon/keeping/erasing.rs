//! Erasing, in the order of an erasure that may be killed at any point and asked for again: what leads to the rest goes last. Contacts leave a
//! mark and a certificate.

use super::{Keeper, keys, say};
use crate::base::MasterId;
use crate::base::accounts::user_name;
use crate::base::machine::host_name;
use crate::catalog::{Catalog, ErasedPlace, Holdings};
use crate::daemon::binding::tenant_of;
use crate::ops::AuditLog;
use crate::ops::certificate::{self, Certificate, Erased, Requester};
use crate::ops::heap;
use crate::ops::keeping::{ErasedBefore, Progress, PurgeReport, PurgeRequest, What};
use crate::ops::redact::{self, Meant};
use crate::tree;

/// The scope of a certificate that is about everybody.
const EVERYTHING: &str = "everything";

impl Keeper {
    pub(super) fn purge_media(&self, dry_run: bool, progress: &mut dyn FnMut(Progress)) -> Result<PurgeReport, String> {
        let held = self.list_holds()?;
        let (stats, kept) = (self.media.stats(), held.iter().map(|hold| hold.bytes).sum::<u64>());
        if !dry_run {
            self.media.purge_all(&mut |done, of| progress(Progress { done, of }));
        }
        let still = held.iter().filter(|hold| hold.bytes > 0).map(|hold| hold.recordings - hold.missing).sum::<u64>();
        Ok(PurgeReport {
            recordings: stats.recordings.saturating_sub(still),
            bytes: stats.used_bytes.saturating_sub(kept),
            held,
            ..PurgeReport::default()
        })
    }

    pub(super) fn purge_contacts(
        &self,
        ids: &[i64],
        request: &PurgeRequest,
        uid: u32,
        log: Option<&AuditLog>,
    ) -> Result<PurgeReport, String> {
        let held =
            self.catalog.as_ref().map(|catalog| catalog.holdings(ids)).transpose().map_err(say)?.unwrap_or_default();
        let mut report = PurgeReport {
            interactions: held.masters.len() as u64,
            master_contacts: held.masters.iter().map(|master| master.0).collect(),
            folders: held.places.len() as u64,
            documents: held.documents,
            document_bytes: held.document_bytes,
            hashes: held.hashes,
            ledger_rows: held.ledger_rows,
            held: self.held_of(&held.masters)?,
            ..PurgeReport::default()
        };
        if !report.held.is_empty() {
            return Ok(report);
        }
        // Also what nothing else leads to any more: a state directory may have been lost, or a purge killed.
        let mut masters = held.masters.clone();
        masters.extend(ids.iter().copied().map(MasterId));
        masters.sort();
        masters.dedup();
        let numbers = self.numbers(&masters)?;
        let meant = Meant::Numbers(numbers.clone());
        let (recordings, bytes) = self.recordings_of(&masters);
        (report.recordings, report.bytes) = (recordings, bytes);
        report.log_lines = self.each_log(&meant, redact::count)? + self.audit_lines(&meant)?;
        let asked: Vec<String> = ids.iter().filter_map(|id| self.mark_of(*id)).collect();
        let unfinished = self.unfinished(|before| {
            !before.requested.is_empty() && before.requested.iter().all(|mark| asked.contains(mark))
        })?;
        self.note_unknown(ids, &unfinished, &mut report)?;
        if request.dry_run || report.unknown.len() == ids.len() {
            return Ok(report);
        }
        let known: Vec<MasterId> =
            masters.iter().copied().filter(|master| !report.unknown.contains(&master.0)).collect();
        let contacts = Some(ids.iter().copied().filter(|id| !report.unknown.contains(id)).collect());
        let mut certificate = self.certificate(request, &report, uid, contacts, self.marks_of(&known)?);
        certificate.requested = asked;
        for before in &unfinished {
            let both = masters.iter().copied();
            let both = both.filter(|master| self.mark_of(master.0).is_some_and(|mark| before.marks.contains(&mark)));
            certificate.go_on(before, self.counted(&both.collect::<Vec<_>>())?);
        }
        self.begin(&certificate, &numbers)?;
        self.erase_bytes(&masters);
        self.each_log(&meant, redact::redact)?;
        self.erase_audit(&meant, log)?;
        if let Some(catalog) = &self.catalog {
            catalog.erase(&known, self.clock.now()).map_err(say)?;
            self.tell_the_tree(&known, &held.places);
            // After what a mount has in memory, which it writes down with the next refusal.
            tree::forget_in_role(catalog, Some(&known)).map_err(say)?;
            catalog.wipe().map_err(say)?;
        }
        // An open under way may have fetched again or written a line meanwhile.
        self.erase_bytes(&masters);
        self.tell_the_tree(&masters, &held.places);
        self.each_log(&meant, redact::redact)?;
        self.erase_audit(&meant, log)?;
        self.keep(&mut certificate, &unfinished, &numbers)?;
        report.certificate = Some(certificate);
        forget_memory(held);
        Ok(report)
    }

    pub(super) fn purge_all(
        &self,
        request: &PurgeRequest,
        uid: u32,
        log: Option<&AuditLog>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PurgeReport, String> {
        let (stats, all) =
            (self.media.stats(), self.catalog.as_ref().map(Catalog::all_holdings).transpose().map_err(say)?);
        let all = all.unwrap_or_default();
        let mut report = PurgeReport {
            recordings: stats.recordings,
            bytes: stats.used_bytes,
            interactions: all.interactions,
            folders: all.folders,
            documents: all.documents,
            document_bytes: all.document_bytes,
            ledger_rows: all.ledger_rows,
            held: self.list_holds()?,
            ..PurgeReport::default()
        };
        if request.dry_run || !report.held.is_empty() {
            report.log_lines = self.each_log(&Meant::All, redact::count)? + self.audit_lines(&Meant::All)?;
            return Ok(report);
        }
        let unfinished = self.unfinished(|before| before.scope == EVERYTHING)?;
        let mut certificate = self.certificate(request, &report, uid, None, Vec::new());
        for before in &unfinished {
            let left = certificate.erased;
            certificate.go_on(before, left);
        }
        self.begin(&certificate, &[])?;
        self.media.erase_all(&mut |done, of| progress(Progress { done, of }));
        report.log_lines = self.each_log(&Meant::All, redact::redact)? + self.erase_audit(&Meant::All, log)?;
        if let Some(catalog) = &self.catalog {
            let agents = catalog.all_agents().map_err(say)?;
            catalog.erase_all().map_err(say)?;
            if let Some(live) = &self.live {
                live.tree.forget_agents(&agents);
            }
            tree::forget_in_role(catalog, None).map_err(say)?;
            // An open under way may have written a line meanwhile.
            report.log_lines += self.each_log(&Meant::All, redact::redact)? + self.erase_audit(&Meant::All, log)?;
            catalog.wipe().map_err(say)?;
        }
        self.media.erase_all(&mut |_, _| {});
        certificate.erased.log_lines = certificate.erased.log_lines.max(report.log_lines);
        self.keep(&mut certificate, &unfinished, &[])?;
        report.certificate = Some(certificate);
        heap::give_back();
        Ok(report)
    }

    /// Which of the contacts nothing is known of, and which of those were erased before.
    fn note_unknown(&self, ids: &[i64], unfinished: &[Certificate], report: &mut PurgeReport) -> Result<(), String> {
        for id in ids {
            if unfinished.iter().any(|before| self.is_marked_in(before, *id)) {
                continue;
            }
            let masters = self.catalog.as_ref().map(|catalog| catalog.holdings(&[*id])).transpose().map_err(say)?;
            if masters.is_some_and(|held| !held.masters.is_empty())
                || keys(&[MasterId(*id)]).any(|key| self.media.occupied(&key) > 0)
                || self.is_in_logs(*id)?
            {
                continue;
            }
            report.unknown.push(*id);
            if let Some(at) = self.catalog.as_ref().and_then(|catalog| catalog.erased_at(*id)) {
                report.erased_before.push(ErasedBefore { contact: *id, at: at.to_string() });
            }
        }
        Ok(())
    }

    fn is_in_logs(&self, id: i64) -> Result<bool, String> {
        let meant = Meant::Numbers(vec![id.to_string()]);
        Ok(self.each_log(&meant, redact::count)? + self.audit_lines(&meant)? > 0)
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

    fn certificate(
        &self,
        request: &PurgeRequest,
        report: &PurgeReport,
        uid: u32,
        contacts: Option<Vec<i64>>,
        marks: Vec<String>,
    ) -> Certificate {
        let scope = if request.what == What::All { EVERYTHING } else { "contacts" };
        let begun_at = self.clock.now();
        Certificate {
            certificate: format!("{}-{:08x}", begun_at.strftime("%Y%m%dT%H%M%SZ"), fastrand::u32(..)),
            program: format!("cxonefs {}", crate::ops::version::SHORT),
            host: host_name(),
            tenant: self.catalog.as_ref().and_then(tenant_of),
            requested_by: Requester { uid, name: user_name(uid) },
            reason: request.reason.clone(),
            begun_at: begun_at.to_string(),
            finished_at: String::new(),
            scope: scope.to_owned(),
            contacts,
            requested: Vec::new(),
            marks,
            erased: Erased {
                interactions: report.interactions,
                folders: report.folders,
                recordings: report.recordings,
                recording_bytes: report.bytes,
                documents: report.documents,
                document_bytes: report.document_bytes,
                hashes: report.hashes,
                ledger_rows: report.ledger_rows,
                log_lines: report.log_lines,
            },
            not_reached: Certificate::not_reached(),
        }
    }

    /// Erasures that were killed and are meant.
    fn unfinished(&self, is_meant: impl Fn(&Certificate) -> bool) -> Result<Vec<Certificate>, String> {
        let found = certificate::unfinished(&self.state_dir);
        let mut found = found.map_err(|error| format!("{}: {error}", self.state_dir.display()))?;
        found.retain(is_meant);
        Ok(found)
    }

    /// What stays of a contact; none where there is no catalog, and so no key to the marks.
    fn mark_of(&self, id: i64) -> Option<String> {
        self.catalog.as_ref().map(|catalog| catalog.mark_of(id).to_string())
    }

    fn is_marked_in(&self, certificate: &Certificate, id: i64) -> bool {
        self.mark_of(id).is_some_and(|mark| certificate.marks.contains(&mark))
    }

    /// How many recordings of some interactions are here, and their bytes.
    fn recordings_of(&self, masters: &[MasterId]) -> (u64, u64) {
        let sizes = keys(masters).map(|key| self.media.occupied(&key)).filter(|bytes| *bytes > 0);
        sizes.fold((0, 0), |(recordings, bytes), more| (recordings + 1, bytes + more))
    }

    /// How much there is of some interactions.
    fn counted(&self, masters: &[MasterId]) -> Result<Erased, String> {
        let ids: Vec<i64> = masters.iter().map(|master| master.0).collect();
        let held = self.catalog.as_ref().map(|catalog| catalog.holdings(&ids)).transpose().map_err(say)?;
        let held = held.unwrap_or_default();
        let meant = Meant::Numbers(self.numbers(masters)?);
        let (recordings, recording_bytes) = self.recordings_of(masters);
        Ok(Erased {
            interactions: held.masters.len() as u64,
            folders: held.places.len() as u64,
            recordings,
            recording_bytes,
            documents: held.documents,
            document_bytes: held.document_bytes,
            hashes: held.hashes,
            ledger_rows: held.ledger_rows,
            log_lines: self.each_log(&meant, redact::count)? + self.audit_lines(&meant)?,
        })
    }

    /// The marks that will stay of some interactions.
    fn marks_of(&self, masters: &[MasterId]) -> Result<Vec<String>, String> {
        let Some(catalog) = &self.catalog else { return Ok(Vec::new()) };
        let numbers = self.numbers(masters)?;
        let numbers = numbers.iter().filter_map(|number| number.parse().ok());
        Ok(numbers.map(|number| catalog.mark_of(number).to_string()).collect())
    }

    /// Notes what is about to be erased.
    fn begin(&self, certificate: &Certificate, numbers: &[String]) -> Result<(), String> {
        certificate::begin(&self.state_dir, &certificate.nameless(numbers)).map_err(|error| {
            format!("nothing was erased: its certificate cannot be kept in {}: {error}", self.state_dir.display())
        })
    }

    fn keep(
        &self,
        certificate: &mut Certificate,
        unfinished: &[Certificate],
        numbers: &[String],
    ) -> Result<(), String> {
        certificate.finished_at = self.clock.now().to_string();
        let kept = certificate::keep(&self.state_dir, &certificate.nameless(numbers), unfinished);
        kept.map(drop).map_err(|error| format!("everything was erased, but the certificate cannot be kept: {error}"))
    }

    fn tell_the_tree(&self, masters: &[MasterId], places: &[ErasedPlace]) {
        if let Some(live) = &self.live {
            live.tree.forget_interactions(masters, places);
        }
    }
}

/// What this erasure itself knew of the contact goes, and with it what lies in memory that was freed before.
fn forget_memory(held: Holdings) {
    drop(held);
    heap::give_back();
}
