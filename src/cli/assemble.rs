//! Puts the parts together for one mount: tenant → catalog → media → tree → kernel. Decides nothing but whether a login that fails
//! ends it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::runtime::Handle;

use super::daemon::Plan;
use super::failure::{Cause, Failure};
use super::keeping::{Keeper, Live};
use super::report::Report;
use crate::base::{Clock, ResolveOn, SystemClock};
use crate::catalog::{Catalog, CatalogSettings, Indexer, Lister};
use crate::config::{CacheConfig, Config, LimitsConfig};
use crate::cxone::{
    ApiError, ApiErrorKind, Breaker, ClientCredentials, ContactsAnswer, Credentials, Limiter, LimiterSettings,
    ListingProgress, Probe, Service, Tenant, TenantSettings,
};
use crate::fuse;
use crate::media::{Media, MediaSettings};
use crate::ops::control::{self, Controlled as _};
use crate::ops::metrics;
use crate::ops::rotate::Rotation;
use crate::ops::{AuditLog, AuditRecord, Trimmer};
use crate::vfs::{
    self, Audit, DailyBudget, OpenEvent, Ownership, Parts, ResolveLimits, Resolver, Scanners, Vfs, VfsSettings,
};

/// How long a mount that has something to show waits for the login: it must come up straight after boot, network or not.
const LOGIN_WITHIN_IF_INDEXED: Duration = Duration::from_secs(3);

/// A mount that is being served.
#[async_trait]
pub trait Served: Send {
    /// Takes it out of the tree at once, busy or not.
    fn detach(&self) -> Result<(), Cause>;

    /// Waits until the kernel ended the session.
    async fn ended(&mut self);

    /// Takes over what may change while it is mounted: see `reload`.
    fn reconfigure(&self, config: &Config);

    /// Writes its state to the log.
    fn tell_status(&self);
}

/// Builds every part and mounts.
pub async fn mount(plan: &Plan) -> Result<Box<dyn Served>, Failure> {
    let config = &plan.config;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tenant =
        Tenant::new(tenant_settings(config), Arc::clone(&clock)).map_err(|error| login_failure(error, config))?;
    let keys = &config.cache.keys;
    // Both before either is touched.
    Media::check_key(&config.cache.dir, keys).map_err(|error| Failure::usage(error).while_doing("cache.dir"))?;
    let settings = CatalogSettings { timezone: config.tree.timezone.clone() };
    let catalog = Catalog::open_sealed(&config.state.dir, settings, keys)
        .map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    let (indexed, _bytes) = catalog.totals().map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    log_in(&tenant, config, indexed > 0).await?;
    let media = Media::open_sealed(media_settings(&config.cache, &config.limits), keys, Arc::clone(&clock))
        .map_err(|error| Failure::failed(error).while_doing("cache.dir"))?;
    attach(plan, tenant, catalog, media, clock)
}

/// The last step: tree and kernel.
fn attach(
    plan: &Plan,
    tenant: Tenant,
    catalog: Catalog,
    media: Media,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Served>, Failure> {
    let config = &plan.config;
    let keys = &config.cache.keys;
    let limiter = limiter(config, &catalog, &clock)?;
    let resolver = resolver(config, &tenant, &catalog, &media, &limiter, &clock);
    let reporting = Breaker::new("reporting", Arc::new(ReportingProbe(tenant.clone())));
    let lister =
        Arc::new(TenantLister { tenant: tenant.clone(), breaker: reporting.clone(), trimmer: Trimmer::default() });
    let zone = config.tree.timezone.clone();
    let indexer = Indexer::with_refresh(catalog.clone(), lister, Arc::clone(&clock), zone, config.tree.refresh);
    let audit = AuditSink::open(&config.state.dir, keys.current.is_none(), Arc::clone(&clock))?;
    // Before anything is mounted: an address that cannot be had is said at once.
    let listener = plan.metrics.map(metrics::Listener::bind).transpose();
    let listener = listener.map_err(|error| metrics_failure(plan, error))?;
    let log = Arc::clone(&audit.log);
    media.start_ageing();
    let (kernel, notices) = fuse::notices();
    let parts = Parts {
        catalog: catalog.clone(),
        indexer: indexer.clone(),
        resolver,
        clock: Arc::clone(&clock),
        audit: Arc::new(audit),
        kernel,
    };
    let vfs = Arc::new(Vfs::new(vfs_settings(config), parts));
    vfs::start_keeping_fresh(&vfs, config.tree.refresh);
    // The kernel cannot decrypt.
    let passthrough = config.mount.passthrough && keys.current.is_none();
    let options = fuse::MountOptions { allow_other: config.mount.allow_other, passthrough };
    let mounted = fuse::mount(Arc::clone(&vfs), notices, &plan.mount_point, &options, &Handle::current())
        .map_err(|error| Failure::failed(error).while_doing("mounting"))?;
    let live = Live { vfs: Arc::clone(&vfs), audit: log, mount_point: mounted.path().to_owned() };
    let keeper = Keeper {
        media: media.clone(),
        cache_dir: config.cache.dir.clone(),
        max_age: config.cache.max_age,
        catalog: Some(catalog.clone()),
        state_dir: config.state.dir.clone(),
        live: Some(live),
    };
    let (host, mount_point, mounted_at) = (host(config), mounted.path().to_owned(), clock.now());
    let (config, passthrough) = (config.clone(), mounted.passthrough());
    let report = Report {
        config,
        mount_point,
        mounted_at,
        host,
        tenant,
        catalog,
        indexer,
        limiter,
        media,
        vfs: Arc::clone(&vfs),
        keeper: Arc::new(keeper),
        reporting,
        clock,
        passthrough,
    };
    let report = Arc::new(report);
    let metrics = match listener {
        Some(listener) => Some(listener.serve(report.clone()).map_err(|error| metrics_failure(plan, error))?),
        None => None,
    };
    let control = control(report.clone(), mounted.path());
    Ok(Box::new(ServedMount { mounted, vfs, report, _control: control, _metrics: metrics }))
}

fn metrics_failure(plan: &Plan, error: std::io::Error) -> Failure {
    let address = plan.metrics.map_or_else(String::new, |address| address.to_string());
    Failure::failed(error)
        .while_doing(format!("metrics at {address}"))
        .remedy("choose another address or port: --metrics")
}

/// A mount does its work without a control socket too.
fn control(report: Arc<Report>, mount_point: &std::path::Path) -> Option<control::Server> {
    let socket = control::socket_of(&control::runtime_dir(), mount_point);
    match control::serve(&socket, report) {
        Ok(server) => Some(server),
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(error = cause, "no control socket: cxonefs status will not find this mount");
            None
        }
    }
}

struct ServedMount {
    mounted: fuse::Mounted,
    vfs: Arc<Vfs>,
    report: Arc<Report>,
    _control: Option<control::Server>,
    _metrics: Option<metrics::Server>,
}

#[async_trait]
impl Served for ServedMount {
    fn detach(&self) -> Result<(), Cause> {
        Ok(self.mounted.detach()?)
    }

    async fn ended(&mut self) {
        self.mounted.ended().await;
    }

    fn tell_status(&self) {
        let status = serde_json::to_string(&self.report.status()).unwrap_or_default();
        tracing::info!(status, "status");
    }

    fn reconfigure(&self, config: &Config) {
        let resolver = self.vfs.resolver();
        resolver.set_limits(resolve_limits(&config.limits));
        resolver.set_rate(rate(&config.limits));
        self.vfs.set_scanners(Scanners::new(&config.mount.deny_processes));
    }
}

fn rate(limits: &LimitsConfig) -> LimiterSettings {
    LimiterSettings { calls: limits.playback_requests, window: limits.playback_window }
}

/// The tenant as the catalog's lister, behind a breaker.
struct TenantLister {
    tenant: Tenant,
    breaker: Breaker,
    trimmer: Trimmer,
}

struct ReportingProbe(Tenant);

#[async_trait]
impl Probe for ReportingProbe {
    async fn probe(&self) -> Result<(), ApiError> {
        self.0.probe(Service::Reporting).await
    }
}

#[async_trait]
impl Lister for TenantLister {
    async fn list(
        &self,
        start: Timestamp,
        end: Timestamp,
        updated_since: Option<Timestamp>,
        progress: &ListingProgress,
    ) -> Result<ContactsAnswer, ApiError> {
        let admitted = self.breaker.admit().await?;
        let answer = self.tenant.completed_contacts_telling(start, end, updated_since, progress).await;
        self.breaker.conclude(admitted, &answer);
        self.trimmer.burst_ends();
        answer
    }
}

/// The audit log as the tree's observer.
struct AuditSink {
    log: Arc<AuditLog>,
    clock: Arc<dyn Clock>,
    /// Whether agents' names may be written.
    names: bool,
}

impl AuditSink {
    fn open(dir: &std::path::Path, names: bool, clock: Arc<dyn Clock>) -> Result<AuditSink, Failure> {
        let log = AuditLog::open(dir, Rotation::LOG);
        let log = log.map_err(|error| Failure::failed(error).while_doing("audit log"))?;
        Ok(AuditSink { log: Arc::new(log), clock, names })
    }
}

impl Audit for AuditSink {
    fn opened(&self, event: &OpenEvent) {
        self.log.record(AuditRecord {
            time: self.clock.now(),
            uid: event.caller.uid,
            gid: event.caller.gid,
            pid: event.caller.tid,
            comm: event.caller.comm(),
            path: if self.names { event.path.clone() } else { nameless(&event.path) },
            master_contact: event.master,
            billed: event.billed,
            outcome: event.outcome.map_or_else(|kind| fuse::errno_name(kind).to_owned(), |()| String::from("ok")),
        });
    }
}

/// A path with the agent's id in place of name and id: with encryption on, no name is written anywhere in the clear.
fn nameless(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    let id = parts.get(1).and_then(|agent| agent.rsplit_once('_')).map(|(_, id)| id);
    let id = id.filter(|id| id.parse::<i64>().is_ok()).map(|id| format!("agent_{id}"));
    if let (Some(id), Some(agent)) = (&id, parts.get_mut(1)) {
        *agent = id;
    }
    parts.join("/")
}

/// The limiter, with the calls of earlier processes.
pub fn limiter(config: &Config, catalog: &Catalog, clock: &Arc<dyn Clock>) -> Result<Limiter, Failure> {
    let limits = &config.limits;
    // Calls of an earlier process count: a restart must not burst past the limit.
    let since = clock.now().saturating_sub(limits.playback_window).unwrap_or(Timestamp::MIN);
    let recent = catalog.ledger_times(since).map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    Ok(Limiter::new(rate(limits), recent, vfs::learned_before(catalog), Arc::clone(clock)))
}

fn resolver(
    config: &Config,
    tenant: &Tenant,
    catalog: &Catalog,
    media: &Media,
    limiter: &Limiter,
    clock: &Arc<dyn Clock>,
) -> Resolver {
    let (player, limits) = (Arc::new(tenant.clone()), resolve_limits(&config.limits));
    Resolver::new(player, catalog.clone(), media.clone(), limiter.clone(), Arc::clone(clock), limits)
}

fn resolve_limits(limits: &LimitsConfig) -> ResolveLimits {
    ResolveLimits {
        budget: DailyBudget(limits.daily_budget.map(u64::from)),
        deadline: limits.deadline,
        patience: limits.patience,
    }
}

fn vfs_settings(config: &Config) -> VfsSettings {
    let mount = &config.mount;
    VfsSettings {
        timezone: config.tree.timezone.clone(),
        since: config.tree.since,
        channels: config.tree.media_types.clone(),
        resolve_on: mount.resolve_on,
        // What the profile for backups sets, and nobody sets for anything else.
        anticipate: mount.resolve_on == ResolveOn::List && config.limits.patience.is_none(),
        scanners: Scanners::new(&mount.deny_processes),
        ownership: Ownership { uid: mount.uid, gid: mount.gid, dir_mode: mount.dir_mode, file_mode: mount.file_mode },
        deadline: config.limits.deadline,
    }
}

/// What the tenant client is told.
pub fn tenant_settings(config: &Config) -> TenantSettings {
    let tenant = &config.tenant;
    let client = tenant.client.as_ref().map(|client| ClientCredentials {
        client_id: client.client_id.clone(),
        client_secret: client.client_secret.clone(),
    });
    TenantSettings {
        issuer: tenant.issuer.clone(),
        credentials: Credentials {
            access_key_id: tenant.access_key_id.clone(),
            access_key_secret: tenant.access_key_secret.clone(),
            client,
        },
        area: tenant.area.clone(),
        auth_endpoint: tenant.auth_endpoint.clone(),
        api_endpoint: tenant.api_endpoint.clone(),
        playback_endpoint: tenant.playback_endpoint.clone(),
        reporting_version: tenant.reporting_version.clone(),
        call_timeout: config.limits.deadline,
    }
}

/// What the cache is told.
pub fn media_settings(cache: &CacheConfig, limits: &LimitsConfig) -> MediaSettings {
    MediaSettings {
        cache_dir: cache.dir.clone(),
        cache_size: cache.size,
        min_free: cache.min_free,
        whole_file_below: cache.whole_file_below,
        max_age: cache.max_age,
        connections: limits.media_connections,
        memory: limits.memory,
        deadline: limits.deadline,
    }
}

/// Logs in early, so that wrong credentials are said at once. What is indexed needs no network.
async fn log_in(tenant: &Tenant, config: &Config, indexed: bool) -> Result<(), Failure> {
    // Without anything to show there is no reason to go on without a login, and the client has its own time limit.
    let within = if indexed { LOGIN_WITHIN_IF_INDEXED } else { Duration::MAX };
    let Ok(result) = tokio::time::timeout(within, tenant.login()).await else {
        tracing::warn!(host = host(config), "the tenant does not answer; going on with what is indexed");
        return Ok(());
    };
    match result {
        Err(error) if is_fatal(error.kind, indexed) => Err(login_failure(error, config)),
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(error = cause, host = host(config), "cannot log in now; going on with what is indexed");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Whether a mount makes no sense after a login that failed this way. With something indexed, only what no waiting will mend is.
fn is_fatal(kind: ApiErrorKind, indexed: bool) -> bool {
    match kind {
        ApiErrorKind::Configuration | ApiErrorKind::Denied => true,
        ApiErrorKind::Unavailable
        | ApiErrorKind::Timeout
        | ApiErrorKind::RateLimited { .. }
        | ApiErrorKind::BadAnswer => !indexed,
    }
}

/// A login that failed, with what to do about it.
pub fn login_failure(error: ApiError, config: &Config) -> Failure {
    let id = &config.tenant.access_key_id;
    let host = host(config);
    let doing = format!("logging in to {host} with access key {id}");
    match error.kind {
        ApiErrorKind::Configuration => Failure::usage(error).while_doing("[tenant]"),
        ApiErrorKind::Denied => Failure::failed(error)
            .while_doing(doing)
            .remedy("check tenant.access_key_id and its secret, that the key is active, and that its user may log in"),
        ApiErrorKind::Unavailable | ApiErrorKind::Timeout => Failure::failed(error)
            .while_doing(doing)
            .remedy(format!("check the network and name resolution ({host}), and tenant.issuer and the endpoints")),
        ApiErrorKind::RateLimited { .. } => {
            Failure::failed(error).while_doing(doing).remedy("try again in some minutes")
        }
        ApiErrorKind::BadAnswer => Failure::failed(error)
            .while_doing(doing)
            .remedy("check that tenant.issuer and the endpoints are those of a CXone tenant"),
    }
}

/// The host that logs us in, with its port.
pub fn host(config: &Config) -> String {
    let url = config.tenant.auth_endpoint.as_ref().unwrap_or(&config.tenant.issuer);
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => url.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::{Assignment, Host, Sources, env, resolve};

    fn config() -> Config {
        let variables = [("CXONEFS_ACCESS_KEY_ID", "KEYID"), ("CXONEFS_ACCESS_KEY_SECRET", "hunter2")];
        let environment =
            env::read(variables.map(|(name, value)| (OsString::from(name), OsString::from(value)))).unwrap();
        let flags = vec![Assignment::parse("tenant.issuer=http://127.0.0.1:9", "--set").unwrap()];
        let host = Host { home: Some("/home/u".into()), ..Host::default() };
        resolve(&Sources { environment, flags, ..Sources::default() }, &host).unwrap()
    }

    #[test]
    fn only_what_waiting_will_not_mend_ends_an_indexed_mount() {
        assert!(is_fatal(ApiErrorKind::Denied, true));
        assert!(is_fatal(ApiErrorKind::Configuration, true));
        assert!(!is_fatal(ApiErrorKind::Unavailable, true));
        assert!(!is_fatal(ApiErrorKind::Timeout, true));
        assert!(is_fatal(ApiErrorKind::Unavailable, false));
    }

    #[test]
    fn a_path_without_its_agents_name_still_leads_to_the_file() {
        let path = "2026-11-02/Keller_Rosa_8812345/085931_call_in_701/recording.mp4";
        assert_eq!(nameless(path), "2026-11-02/agent_8812345/085931_call_in_701/recording.mp4");
        assert_eq!(nameless("2026-11-02/no_agent/x"), "2026-11-02/no_agent/x");
    }

    #[test]
    fn a_refused_login_names_the_key_and_not_the_secret() {
        let error = ApiError::new(ApiErrorKind::Denied, "the tenant refused the login").with_status(401);
        let failure = login_failure(error, &config());
        let text = failure.render();
        assert!(text.contains("127.0.0.1:9") && text.contains("KEYID"), "{text}");
        assert!(!format!("{text}{failure:?}").contains("hunter2"));
        assert_eq!(failure.code(), 1);
    }

    #[test]
    fn the_parts_are_told_what_the_configuration_says() {
        let settings = tenant_settings(&config());
        assert_eq!(settings.call_timeout, Duration::from_secs(30));
        assert!(settings.credentials.client.is_none());
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(media_settings(&config().cache, &config().limits).cache_size, 10 << 30);
    }
}
