//! What a mount tells of itself through its control socket: gathers from the parts, decides nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::audit::{self, AuditSink};
use super::warming;
use crate::base::{Clock, Day, user_words};
use crate::catalog::{Catalog, Indexer, LedgerRow};
use crate::config::Config;
use crate::cxone::{LoginState, Tenant};
use crate::fuse::{self, PassthroughState};
use crate::media::Media;
use crate::net::{Breaker, Limiter, Priority, ServiceState};
use crate::ops::AuditRecord;
use crate::ops::audit::Actor;
use crate::ops::control::{AuditHead, Command, Controlled, LedgerLine, Peer, Refreshed, Retried, Unmounted, WarmLines};
use crate::ops::keeping::Keeping;
use crate::ops::metrics::{Measured, Measures};
use crate::ops::status::{
    AuditStatus, BudgetStatus, CacheStatus, DoorStatus, HinderedStatus, IndexingStatus, KernelStatus, LoginStatus,
    MediaHostStatus, MediaStatus, PassthroughStatus, PlaybackStatus, ReadStatus, ReportingStatus, ServiceStatus,
    SlowRequest, StateStatus, Status, TenantStatus, TreeStatus, UnreadableStatus, Waiting, WorkStatus,
};
use crate::ops::version;
use crate::ops::warm::{WarmCost, WarmRequest};
use crate::tree;

/// The parts that are asked.
pub struct Report {
    pub config: Config,
    pub mount_point: PathBuf,
    pub mounted_at: Timestamp,
    /// Host that logs us in.
    pub host: String,
    pub tenant: Tenant,
    pub catalog: Catalog,
    pub indexer: Indexer,
    pub limiter: Limiter,
    pub media: Media,
    pub door: Arc<fuse::Door>,
    pub keeper: Arc<dyn Keeping>,
    /// Whether Reporting answers.
    pub reporting: Breaker,
    pub clock: Arc<dyn Clock>,
    pub passthrough: fuse::PassthroughBooks,
    /// Every place at which the tree was mounted, the first one first.
    pub doors: Arc<[DoorView]>,
    pub audit: Arc<AuditSink>,
}

/// One place at which the tree is mounted, or was.
#[derive(Clone)]
pub struct DoorView {
    pub mount_point: PathBuf,
    pub door: Arc<fuse::Door>,
    pub passthrough: fuse::PassthroughBooks,
    /// False once it was unmounted.
    pub is_mounted: Arc<AtomicBool>,
}

impl DoorView {
    fn status(&self) -> DoorStatus {
        let (inodes, open_files) = self.door.held_by_kernel();
        DoorStatus {
            mount_point: self.mount_point.display().to_string(),
            resolve_on: self.door.tree().resolve_on().word().to_owned(),
            inodes: inodes as u64,
            open_files: open_files as u64,
            passthrough: passthrough(self.passthrough.state()),
        }
    }
}

#[async_trait]
impl Controlled for Report {
    fn status(&self) -> Status {
        let (inodes, open_files) = self.door.held_by_kernel();
        let measured = self.door.measured();
        Status {
            version: version::SHORT.to_owned(),
            pid: std::process::id(),
            mount_point: self.mount_point.display().to_string(),
            mounted_at: second(self.mounted_at),
            tenant: TenantStatus {
                host: self.host.clone(),
                access_key_id: self.config.tenant.access_key_id.clone(),
                login: login(self.tenant.login_state()),
            },
            tree: self.tree(),
            playback: self.playback(),
            reporting: self.reporting(),
            media: self.media(),
            work: self.work(),
            services: self.services(),
            budget: self.budget(),
            cache: CacheStatus {
                dir: self.config.cache.dir.display().to_string(),
                used_bytes: self.media.cache_used(),
                size_bytes: self.config.cache.size,
                encrypted: self.encrypted(),
                trouble: self.media.cache_trouble(),
            },
            state: StateStatus { dir: self.config.state.dir.display().to_string() },
            audit: self.audit_status(),
            kernel: KernelStatus {
                inodes: inodes as u64,
                open_files: open_files as u64,
                passthrough: self.passthrough(),
            },
            doors: self.mounted_doors().map(DoorView::status).collect(),
            reads: reads(&self.door.tree().reads(), self.media.brought_bytes()),
            slowest: measured.slowest.into_iter().map(slow).collect(),
            memory_bytes: resident_bytes(),
        }
    }

    fn keeper(&self) -> Arc<dyn Keeping> {
        Arc::clone(&self.keeper)
    }

    async fn unmount(&self, lazy: bool) -> Result<Unmounted, String> {
        let mount_point = self.mount_point.clone();
        let busy = if lazy { fuse::Busy::Detach } else { fuse::Busy::Refuse };
        // Not in a worker: the helper is waited for.
        let done = tokio::task::spawn_blocking(move || fuse::unmount(&mount_point, busy)).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(Unmounted { goes_on: self.mounted_doors().any(|door| door.mount_point != self.mount_point) })
    }

    async fn refresh(&self, days: Vec<Day>) -> Vec<Refreshed> {
        let days = if days.is_empty() { self.open_days() } else { days };
        let shown = self.door.tree().days();
        let mut answers = Vec::with_capacity(days.len());
        for day in days {
            let error = match not_shown(day, shown) {
                Some(why) => Some(why),
                None => self.refresh_everywhere(day).await.err().map(|error| crate::base::failure::chain(&error)),
            };
            answers.push(Refreshed { day: day.to_string(), error });
        }
        answers
    }

    fn caller(&self, peer: Peer) -> Actor {
        audit::actor(&fuse::principal(peer.uid, peer.gid, peer.pid))
    }

    fn audit_check(&self) -> Result<(), String> {
        self.audit.log.check().map_err(|error| error.to_string())
    }

    async fn audit(&self, caller: Actor, command: Command, outcome: &'static str) -> Result<(), String> {
        let record = AuditRecord {
            actor: Some(caller),
            door: Some(self.mount_point.to_string_lossy().into()),
            outcome: Some(outcome.into()),
            detail: command.detail,
            contacts: command.contacts,
            paths: command.paths.iter().map(|path| self.audit.path(path)).collect(),
            ..AuditRecord::new(command.event, self.audit.now())
        };
        self.audit.log.command(record).await.map_err(|error| error.to_string())
    }

    fn audit_head(&self) -> Option<AuditHead> {
        let head = self.audit.log.flush()?;
        Some(AuditHead { number: head.number, hash: head.hash.to_string() })
    }

    async fn retry(&self, paths: Vec<String>, peer: Peer) -> Result<Retried, String> {
        let forgotten = self.door.tree().retry(&paths).await.map_err(|error| crate::base::failure::chain(&error))?;
        tracing::info!(
            places = paths.len(),
            forgotten,
            uid = peer.uid,
            pid = peer.pid,
            "{forgotten} refusals were forgotten, as {} asked (cxonefs refresh --retry)",
            user_words(peer.uid)
        );
        Ok(Retried { forgotten })
    }

    fn ledger_of(&self, uid: u32, since: &str) -> Result<Vec<LedgerLine>, String> {
        let since = if since.is_empty() {
            Timestamp::MIN
        } else {
            since.parse().map_err(|_| format!("{since:?} is no time as RFC 3339 has it"))?
        };
        let mut lines = Vec::new();
        let rows = self.catalog.ledger_rows(since, |row| {
            if row.uid == uid {
                lines.push(ledger_line(row));
            }
        });
        rows.map(|()| lines).map_err(|error| crate::base::failure::chain(&error))
    }

    async fn warm_cost(&self, request: WarmRequest) -> Result<WarmCost, String> {
        warming::cost(self.door.tree(), &request).await
    }

    async fn warm(&self, request: WarmRequest, peer: Peer) -> Result<WarmLines, String> {
        warming::begin(self.door.tree(), &request, peer).await
    }
}

fn ledger_line(row: LedgerRow) -> LedgerLine {
    let LedgerRow { id, at, master_id, reason, uid, pid, comm, outcome } = row;
    LedgerLine { id: id.0, at: at.to_string(), master_contact: master_id.0, reason, uid, pid, comm, outcome }
}

/// To the second: nobody needs more of it.
fn second(at: Timestamp) -> String {
    at.round(jiff::Unit::Second).unwrap_or(at).to_string()
}

/// Why a day is not refreshed: nobody could see what came of it.
fn not_shown(day: Day, (first, last): (Day, Day)) -> Option<String> {
    let why = || format!("the tree has no such day: it shows {first} to {last} (tree.since, tree.timezone)");
    (day < first || day > last).then(why)
}

fn indexing((day, rows, total): (Day, u64, u64)) -> IndexingStatus {
    IndexingStatus { day: day.to_string(), rows, total: (total > 0).then_some(total) }
}

fn unreadable((day, contacts): (Day, u64)) -> UnreadableStatus {
    UnreadableStatus { day: day.to_string(), contacts }
}

impl Measured for Report {
    fn measures(&self) -> Measures {
        let (measured, reads) = (self.door.measured(), self.door.tree().reads());
        let words = Priority::ALL.map(Priority::word);
        Measures {
            status: self.status(),
            requests: measured.operations,
            errors: measured
                .errors
                .into_iter()
                .map(|(operation, kind, count)| (operation, kind.name(), count))
                .collect(),
            api_calls: self.tenant.counters(),
            waits: words.into_iter().zip(self.door.tree().resolver().waits()).collect(),
            reads: (reads.cache, reads.network),
        }
    }
}

impl Report {
    /// Puts on record what this process itself does.
    pub fn audit_own(&self, event: &'static str, door: &Path, detail: Option<String>) {
        self.audit.log.note(AuditRecord {
            actor: Some(audit::ourselves()),
            door: Some(door.to_string_lossy().into()),
            detail,
            outcome: Some("ok".into()),
            ..AuditRecord::new(event, self.audit.now())
        });
    }

    /// With which keys it is mounted, so that a change shows.
    pub fn identities(&self) -> String {
        let sealed = if self.encrypted() { "encrypted" } else { "not encrypted" };
        format!("access key {}; {sealed}", self.config.tenant.access_key_id)
    }

    fn audit_status(&self) -> AuditStatus {
        let (figures, settings) = (self.audit.log.figures(), self.audit.log.settings());
        let (keep_s, now) = (settings.keep.as_secs_f64(), self.clock.now());
        AuditStatus {
            number: figures.number,
            written: figures.written,
            lost: figures.lost,
            not_exported: figures.not_exported,
            required: settings.required,
            export: settings.export.word().to_owned(),
            keep_s,
            files: figures.files,
            bytes: figures.bytes(),
            need_bytes: figures.need_bytes(keep_s, now),
            free_bytes: figures.free_bytes,
            oldest: figures.oldest.map(second),
            warning: figures.warning(keep_s, now),
            trouble: figures.trouble,
        }
    }

    fn mounted_doors(&self) -> impl Iterator<Item = &DoorView> {
        self.doors.iter().filter(|door| door.is_mounted.load(Ordering::Relaxed))
    }

    async fn refresh_everywhere(&self, day: Day) -> Result<(), tree::TreeError> {
        self.door.tree().refresh(day).await?;
        for door in self.mounted_doors().filter(|door| door.mount_point != self.mount_point) {
            door.door.show_refreshed(day).await?;
        }
        Ok(())
    }

    fn services(&self) -> Vec<ServiceStatus> {
        let tenant = [self.door.tree().resolver().service(), self.reporting.state()];
        tenant.into_iter().chain(self.media.hosts()).map(service).collect()
    }

    fn encrypted(&self) -> bool {
        self.config.cache.keys.current.is_some()
    }

    fn passthrough(&self) -> PassthroughStatus {
        let mut status = passthrough(self.passthrough.state());
        if self.encrypted() && self.config.mount.passthrough {
            status.why = Some(String::from("the cache is encrypted"));
        }
        status
    }

    fn tree(&self) -> TreeStatus {
        let (first, last) = self.door.tree().days();
        TreeStatus {
            first_day: first.to_string(),
            last_day: last.to_string(),
            days_indexed: self.catalog.days_indexed().unwrap_or(0),
            days_open: self.open_days().len() as u64,
            interactions: self.catalog.totals().map_or(0, |(interactions, _)| interactions),
            resolve_on: self.door.tree().resolve_on().word().to_owned(),
            indexing: self.indexer.under_way().into_iter().map(indexing).collect(),
            unreadable: self.catalog.unreadable(first).unwrap_or_default().into_iter().map(unreadable).collect(),
            hindered: self.hindered(),
        }
    }

    fn hindered(&self) -> HinderedStatus {
        let [denied, refused, restoring, archived, failed, withdrawn] =
            self.catalog.obstacle_counts(self.clock.now()).unwrap_or_default();
        HinderedStatus { refused: denied + refused, restoring, archived, failed, withdrawn }
    }

    fn playback(&self) -> PlaybackStatus {
        let limiter = self.limiter.snapshot();
        let [open, stat, list, warm] = limiter.waiting;
        PlaybackStatus {
            limit: limiter.calls,
            window_s: limiter.window.as_secs_f64(),
            learned_limit: limiter.learned_limit,
            used: limiter.used,
            waiting: Waiting { open, stat, list, warm },
            held_by: limiter.held_by.map(|why| why.words().to_owned()),
            held_for_s: limiter.held_for.map(|wait| wait.as_secs_f64()),
            paused_for_s: limiter.paused_for.as_secs_f64(),
            refused: limiter.refused,
        }
    }

    fn reporting(&self) -> ReportingStatus {
        let limiter = self.tenant.reporting_rate();
        ReportingStatus {
            limit: limiter.calls,
            window_s: limiter.window.as_secs_f64(),
            learned_limit: limiter.learned_limit,
            used: limiter.used,
            waiting: limiter.waiting.iter().sum(),
            paused_for_s: limiter.paused_for.as_secs_f64(),
            refused: limiter.refused,
        }
    }

    fn media(&self) -> MediaStatus {
        let gate = self.media.gate();
        let hosts = gate.hosts.into_iter().map(|used| MediaHostStatus {
            host: used.host.0.to_string(),
            connections: used.connections,
            waiting: used.waiting,
        });
        MediaStatus {
            connections_limit: gate.connections_max,
            buffer_limit_bytes: gate.buffer_bytes,
            hosts: hosts.collect(),
        }
    }

    fn work(&self) -> WorkStatus {
        let fetches = self.media.gate().hosts.iter().map(|used| used.connections + used.waiting).sum();
        WorkStatus {
            resolving: self.door.tree().resolver().pending_calls(),
            sizes: self.media.probes(),
            fetches,
            tasks: tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks()),
        }
    }

    fn budget(&self) -> BudgetStatus {
        let today = Day::of(self.clock.now(), &TimeZone::UTC).start(&TimeZone::UTC);
        let spent_today = self.catalog.ledger_count(today).unwrap_or_else(|error| {
            let error = crate::base::chain(&error);
            tracing::warn!(error, "the ledger cannot be read for the status ({error}): it shows no spending");
            0
        });
        // Not the configuration's, which may have been read again since.
        BudgetStatus { limit: self.door.tree().resolver().budget().0, spent_today }
    }

    fn open_days(&self) -> Vec<Day> {
        self.catalog.open_days(self.door.tree().days().0).unwrap_or_default()
    }
}

fn passthrough(state: PassthroughState) -> PassthroughStatus {
    let (word, opens, why) = match state {
        PassthroughState::TurnedOff => ("off", 0, Some("mount.passthrough is false".to_owned())),
        PassthroughState::NotOffered => {
            ("not offered", 0, Some("this kernel does not offer it; Linux 6.9 or later does".to_owned()))
        }
        PassthroughState::Untried => ("untried", 0, None),
        PassthroughState::Working { opens } => ("working", opens, None),
        PassthroughState::Refused { why } => ("refused", 0, Some(why)),
    };
    PassthroughStatus { state: word.to_owned(), opens, why }
}

fn login(state: LoginState) -> LoginStatus {
    let told = |state: &str| LoginStatus { state: state.to_owned(), until: None, error: None };
    match state {
        LoginState::None => told("none"),
        LoginState::Good { until } => LoginStatus { until: Some(second(until)), ..told("good") },
        LoginState::Failed { error, .. } => {
            LoginStatus { error: Some(crate::base::failure::chain(&error)), ..told("failed") }
        }
    }
}

fn reads(reads: &tree::Reads<u64>, fetched_bytes: u64) -> ReadStatus {
    let all = reads.cache + reads.network;
    ReadStatus {
        cache_bytes: reads.cache_bytes,
        network_bytes: reads.network_bytes,
        hit_ratio: (all > 0).then(|| reads.cache as f64 / all as f64),
        fetched_bytes,
    }
}

fn slow(slow: fuse::Slow) -> SlowRequest {
    let fuse::Slow { at, operation, path, took, error, .. } = slow;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let error = error.map(|kind| kind.name().to_owned());
    SlowRequest { at: second(at), operation: operation.to_owned(), path, took_ms, error }
}

fn service(state: ServiceState) -> ServiceStatus {
    let ServiceState { service, down_for, error } = state;
    ServiceStatus { name: service.to_string(), down_for_s: down_for.map(|down_for| down_for.as_secs_f64()), error }
}

/// Resident memory of this process; 0 where `/proc` does not tell.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_days_that_the_tree_shows_are_refreshed() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        let shown = (day("2026-11-01"), day("2026-11-03"));
        for outside in ["2020-01-01", "2026-10-31", "2026-11-04"] {
            let why = not_shown(day(outside), shown).unwrap();
            assert!(why.contains("2026-11-01 to 2026-11-03"), "{why}");
        }
        for inside in ["2026-11-01", "2026-11-03"] {
            assert_eq!(not_shown(day(inside), shown), None);
        }
    }
}
