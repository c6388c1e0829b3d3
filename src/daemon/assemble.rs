//! Puts the parts together for one mount: tenant → catalog → media → tree → kernel.
//!
//! `doors` mounts the tree at each of its places, `login` decides whether a login that fails ends it, `settings` what each part is told, `audit` and `lister` fit parts that do not know each
//! other.

mod doors;
mod lister;
mod login;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;

use super::keeping::{Keeper, Live};
use super::plan::Plan;
use super::report::{DoorView, Report};
use crate::base::failure::{Cause, Failure};
use crate::base::{Clock, SystemClock};
use crate::book::LocalBook;
use crate::catalog::{Catalog, CatalogError, CatalogSettings, Indexer};
use crate::config::Config;
use crate::cxone::Tenant;
use crate::daemon::audit::{self, AuditSink};
use crate::daemon::binding::Bindings;
use crate::daemon::keeping::{self, Books};
use crate::daemon::secret_files::SecretFiles;
use crate::daemon::settings::{
    also_settings, guarded, media_reach, media_settings, rate, resolve_limits, tenant_settings, tree_settings,
};
use crate::media::{Media, MediaError, MediaSettings};
use crate::net::{Breaker, Limiter};
use crate::ops::Trimmer;
use crate::ops::certificate;
use crate::ops::control::{self, Controlled as _};
use crate::ops::keeping::Keeping;
use crate::ops::metrics;
use crate::tree::{self, Parts, Resolver, Tree};
use doors::Door;
pub use doors::source;
use lister::{ReportingProbe, TenantLister};
pub use login::{host, login_failure};

/// A mount that is being served.
#[async_trait]
pub trait Served: Send {
    /// The tree that it shows, for further front ends.
    fn tree(&self) -> &Arc<Tree>;

    /// Takes it out of the tree at once, busy or not.
    fn detach(&self) -> Result<(), Cause>;

    /// Waits until the kernel ended the session.
    async fn ended(&mut self);

    /// Takes over what may change while it is mounted: see `reload`. `changed` is for the audit log.
    fn reconfigure(&self, config: &Config, changed: Option<String>);

    /// Writes its state to the log.
    fn tell_status(&self);
}

/// Builds every part and mounts.
pub async fn mount(plan: &Plan) -> Result<Box<dyn Served>, Failure> {
    let config = &plan.config;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tenant =
        Tenant::new(tenant_settings(config), Arc::clone(&clock)).map_err(|error| login_failure(error, config))?;
    if let Some(files) = plan.reload.clone().and_then(|reload| SecretFiles::of(config, reload)) {
        tenant.watch_credentials(Arc::new(files));
    }
    let keys = &config.cache.keys;
    // Both before either is touched.
    Media::check_key(&config.cache.dir, keys).map_err(|error| Failure::usage(error).while_doing("cache.dir"))?;
    let settings = CatalogSettings { timezone: config.tree.timezone.clone() };
    let catalog = Catalog::open_sealed(&config.state.dir, settings, keys).map_err(state_failure)?;
    let (indexed, _bytes) = catalog.totals().map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    let bindings = Bindings::read(config, &catalog)?;
    let logged_in = login::log_in(&tenant, config, indexed > 0, bindings.know_login()).await?;
    let mut bytes = media_settings(&config.cache, &config.limits);
    bytes.reach = media_reach(&config.tenant);
    bytes.ca = config.media.ca_file.clone();
    let media = open_media(bytes, config, &catalog, &clock).map_err(cache_failure)?;
    if logged_in {
        let identity = tenant.identity().await.map_err(|error| login_failure(error, config))?;
        bindings.bind(config, &catalog, &identity)?;
    } else if let Some(known) = bindings.tenant() {
        tenant.belongs_to(known.clone());
    }
    attach(plan, tenant, catalog, media, clock)
}

/// A state directory that cannot be had. That it does not fit the configured key is a matter of the configuration.
pub fn state_failure(error: CatalogError) -> Failure {
    let remedy = error.remedy();
    let failure = match error {
        CatalogError::Unsealed { .. } | CatalogError::OtherKey { .. } => Failure::usage(error),
        _ => Failure::failed(error),
    };
    let failure = failure.while_doing("state.dir");
    match remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

/// A cache directory that cannot be had.
fn cache_failure(error: MediaError) -> Failure {
    Failure::failed(error)
        .while_doing("cache.dir")
        .remedy("it must be yours, and one mount's at a time: stop the other, or name another directory: --cache-dir")
}

/// The cache; recordings of skills that the configuration names never get into it.
fn open_media(
    settings: MediaSettings,
    config: &Config,
    catalog: &Catalog,
    clock: &Arc<dyn Clock>,
) -> Result<Media, MediaError> {
    let (keys, clock) = (&config.cache.keys, Arc::clone(clock));
    if config.cache.never.is_empty() {
        return Media::open_sealed(settings, keys, clock);
    }
    let media = Media::open_with_never(settings, keys, clock, tree::never(catalog, &config.cache.never))?;
    let (sweeping, catalog) = (media.clone(), catalog.clone());
    tokio::task::spawn_blocking(move || match catalog.recordings() {
        Ok(known) => {
            sweeping.keep_off_disk(known.into_iter().map(|(master, index)| tree::recording_key(master, index)));
        }
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(
                error = cause,
                "cannot look for recordings that may not be on disk; each is removed when it is opened"
            );
        }
    });
    Ok(media)
}

/// Erasures that were killed: nobody but who asked for them knows the numbers.
fn warn_of_unfinished(state_dir: &Path) {
    for begun in certificate::unfinished(state_dir).unwrap_or_default() {
        tracing::warn!(
            certificate = begun.certificate,
            "the erasure {} that was begun on {} did not end: repeat its cxonefs cache purge, which goes on with it and prints its certificate",
            begun.certificate,
            begun.begun_at
        );
    }
}

/// The last step: trees and kernels.
#[expect(clippy::needless_pass_by_value, reason = "the parts are given away: each door gets its own handles of them")]
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
    resolver.use_key(&config.tenant.access_key_id).map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    let reporting = Breaker::new("reporting", Arc::new(ReportingProbe(tenant.clone())));
    let lister = Arc::new(TenantLister {
        tenant: tenant.clone(),
        breaker: reporting.clone(),
        quiet: config.limits.deadline / 3,
        trimmer: Trimmer::default(),
    });
    let zone = config.tree.timezone.clone();
    let indexer = Indexer::with_refresh(catalog.clone(), lister, Arc::clone(&clock), zone, config.tree.refresh);
    let indexer = indexer.showing(config.tree.since);
    let log = Arc::new(audit::open(&config.state.dir, &config.audit, &catalog, Arc::clone(&clock))?);
    let names = keys.current.is_none();
    let audit = Arc::new(AuditSink { log: Arc::clone(&log), clock: Arc::clone(&clock), names });
    // Before anything is mounted: an address that cannot be had is said at once.
    let listener = plan.metrics.map(metrics::Listener::bind).transpose();
    let listener = listener.map_err(|error| metrics_failure(plan, error))?;
    keeping::apply_holds(&catalog, &media).map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    warn_of_unfinished(&config.state.dir);
    media.start_ageing();
    let parts = Parts {
        catalog: catalog.clone(),
        indexer: indexer.clone(),
        resolver,
        clock: Arc::clone(&clock),
        audit: Arc::clone(&audit) as Arc<dyn crate::tree::Audit>,
    };
    let first = Arc::new(Tree::new(tree_settings(config, &plan.mount_point), parts));
    let mut trees = vec![(Arc::clone(&first), plan.mount_point.clone())];
    for also in &config.mount.also {
        let tree = first.beside(also_settings(config, also), also.waits_long);
        trees.push((Arc::new(tree), also.dir.clone()));
    }
    indexer.start_sweeping();
    tree::start_hashing(&first);
    let doors = doors::open(config, trees)?;
    let live = Live { tree: Arc::clone(&first), mount_point: doors[0].mounted.path().to_owned() };
    let keeper = Keeper {
        media: media.clone(),
        cache_dir: config.cache.dir.clone(),
        max_age: config.cache.max_age,
        catalog: Some(catalog.clone()),
        state_dir: config.state.dir.clone(),
        audit: Books::Open(log),
        live: Some(live),
        clock: Arc::clone(&clock),
        changing: Mutex::default(),
    };
    let views: Arc<[DoorView]> = doors.iter().map(|door| door.view.clone()).collect();
    let (keeper, host, mounted_at): (Arc<dyn Keeping>, _, _) = (Arc::new(keeper), host(config), clock.now());
    let reports = doors.iter().map(|door| {
        Arc::new(Report {
            config: config.clone(),
            mount_point: door.mounted.path().to_owned(),
            mounted_at,
            host: host.clone(),
            tenant: tenant.clone(),
            catalog: catalog.clone(),
            indexer: indexer.clone(),
            limiter: limiter.clone(),
            media: media.clone(),
            door: Arc::clone(&door.kernel),
            keeper: Arc::clone(&keeper),
            reporting: reporting.clone(),
            clock: Arc::clone(&clock),
            passthrough: door.mounted.passthrough(),
            doors: Arc::clone(&views),
            audit: Arc::clone(&audit),
        })
    });
    let reports: Vec<Arc<Report>> = reports.collect();
    let report = Arc::clone(&reports[0]);
    for door in &doors {
        report.audit_own("mount", door.mounted.path(), Some(report.identities()));
    }
    let metrics = match listener {
        Some(listener) => Some(listener.serve(report.clone()).map_err(|error| metrics_failure(plan, error))?),
        None => None,
    };
    let doors = doors.into_iter().zip(reports);
    let doors = doors.map(|(door, report)| {
        let (control, members) = (control(Arc::clone(&report), door.mounted.path()), members(report, &door, config));
        ServedDoor { door, _control: control, _members: members }
    });
    let served = ServedMount { doors: doors.collect(), report, _metrics: metrics };
    let doors: Vec<&Door> = served.doors.iter().map(|served| &served.door).collect();
    doors::give_up_rights(&doors, plan.service_unmounts);
    Ok(Box::new(served))
}

fn metrics_failure(plan: &Plan, error: std::io::Error) -> Failure {
    let address = plan.metrics.map_or_else(String::new, |address| address.to_string());
    Failure::failed(error)
        .while_doing(format!("metrics at {address}"))
        .remedy("choose another address or port: --metrics")
}

/// A mount does its work without a control socket too.
fn control(report: Arc<Report>, mount_point: &std::path::Path) -> Option<control::Server> {
    let socket = control::socket_of(&control::own_runtime_dir(), mount_point);
    match control::serve(&socket, report) {
        Ok(server) => Some(server),
        Err(error) => {
            let error = crate::base::chain(&error);
            tracing::warn!(
                error,
                "the mount has no control socket ({error}): cxonefs status, warm and refresh do not reach it"
            );
            None
        }
    }
}

/// Where others may read the mount, they may ask about it, too.
fn members(report: Arc<Report>, door: &Door, config: &Config) -> Option<control::Members> {
    let mount = &config.mount;
    if !mount.allow_other {
        return None;
    }
    let owner = rustix::process::geteuid().as_raw();
    let access = control::Access { owner, uid: mount.uid, gid: mount.gid, dir_mode: mount.dir_mode };
    Some(control::serve_members(door.mounted.path(), report, access))
}

/// A place at which the tree is mounted, and the sockets by which it is asked.
struct ServedDoor {
    door: Door,
    _control: Option<control::Server>,
    _members: Option<control::Members>,
}

struct ServedMount {
    /// Those that are still mounted.
    doors: Vec<ServedDoor>,
    report: Arc<Report>,
    _metrics: Option<metrics::Server>,
}

#[async_trait]
impl Served for ServedMount {
    fn tree(&self) -> &Arc<Tree> {
        self.report.door.tree()
    }

    fn detach(&self) -> Result<(), Cause> {
        let detached: Vec<_> = self.doors.iter().map(|served| served.door.mounted.detach()).collect();
        for served in &self.doors {
            served.door.view.is_mounted.store(false, Ordering::Relaxed);
            self.report.audit_own("umount", served.door.mounted.path(), None);
        }
        Ok(detached.into_iter().collect::<Result<(), _>>()?)
    }

    async fn ended(&mut self) {
        while !self.doors.is_empty() {
            let each = self.doors.iter_mut().map(|served| Box::pin(served.door.mounted.ended()));
            let (index, others) = {
                let ((), index, others) = futures_util::future::select_all(each).await;
                (index, others.len())
            };
            let served = self.doors.remove(index);
            // What was detached by us is on record already.
            if served.door.view.is_mounted.swap(false, Ordering::Relaxed) {
                self.report.audit_own("umount", served.door.mounted.path(), None);
            }
            if others > 0 {
                let mount_point = served.door.mounted.path().display();
                tracing::info!(%mount_point, others, "{mount_point} was unmounted from outside; the tree stays mounted at {others} more places");
            }
        }
    }

    fn tell_status(&self) {
        let mut status = self.report.status();
        // Paths stay out of logs.
        status.slowest.clear();
        let status = serde_json::to_string(&status).unwrap_or_default();
        tracing::info!(status, "the state of the mount, as SIGUSR1 asked for: {status}");
    }

    fn reconfigure(&self, config: &Config, changed: Option<String>) {
        for ServedDoor { door, .. } in &self.doors {
            door.kernel.tree().set_guarded(guarded(&config.mount));
        }
        let resolver = self.report.door.tree().resolver();
        resolver.set_limits(resolve_limits(&config.limits));
        resolver.set_rate(rate(&config.limits));
        self.report.tenant.adopt_credentials(tenant_settings(config).credentials);
        let (resolver, key) = (resolver.clone(), config.tenant.access_key_id.clone());
        // Flushes the database where the key is another one.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = resolver.use_key(&key) {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "refusals under the access key before are kept"
                );
            }
        });
        self.report.audit_own("reload", &self.report.mount_point, changed);
    }
}

/// The limiter, with the calls of earlier processes.
pub fn limiter(config: &Config, catalog: &Catalog, clock: &Arc<dyn Clock>) -> Result<Limiter, Failure> {
    let limits = &config.limits;
    // Calls of an earlier process count: a restart must not burst past the limit.
    // The limiter knows how long they do; it is given more than that.
    let since = clock.now().saturating_sub(limits.playback_window * 2).unwrap_or(Timestamp::MIN);
    let recent = catalog.ledger_times(since).map_err(|error| Failure::failed(error).while_doing("state.dir"))?;
    Ok(Limiter::new(rate(limits), recent, Arc::clone(clock)))
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
    let book = Arc::new(LocalBook::new(catalog.clone(), limiter.clone(), Arc::clone(clock)));
    Resolver::new(player, catalog.clone(), media.clone(), book, Arc::clone(clock), limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_another_mount_uses_is_said_with_what_to_do() {
        let in_use = MediaError::Source("the cache directory /x is in use by another process".into());
        let said = cache_failure(in_use).render();
        assert!(said.contains("/x is in use by another process\n  ") && said.contains("--cache-dir"), "{said}");
    }
}
