//! The life of a mount: runtime, assembly, readiness, signals, unmounting. Foreground, background and demo all come through here.

pub mod assemble;
pub mod audit;
pub mod binding;
pub mod keeping;
mod plan;
pub mod reload;
pub mod report;
pub mod secret_files;
pub mod settings;
#[cfg(test)]
pub mod testing;
pub mod warming;

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use secrecy::ExposeSecret as _;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::base::failure::Failure;
use crate::base::{user_name, watchdog};
use crate::ops::descriptors;
use crate::ops::notify::{self, State};
use crate::ops::version;
use assemble::Served;
pub use plan::Plan;

/// How long open files keep a detached mount's daemon alive.
const OPEN_FILES_WITHIN: Duration = Duration::from_secs(5);

/// How long tasks that are still running may take to end.
const TASKS_WITHIN: Duration = Duration::from_secs(1);

/// Mounts, calls `ready` with the mount point, and serves until it is unmounted or a signal ends it.
pub fn run(plan: Plan, ready: impl AsyncFnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(serve(plan, ready));
    runtime.shutdown_timeout(TASKS_WITHIN);
    result
}

/// The runtime of every command that needs one. At least two workers, so that one that is held up does not hold up all.
pub fn runtime() -> Result<Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    watchdog::watch_workers(&mut builder);
    let runtime = builder.worker_threads(cores.max(2)).thread_name("cxonefs").enable_all().build();
    runtime.map_err(|error| Failure::failed(error).while_doing("starting"))
}

/// [`run`] inside a runtime.
pub async fn serve(mut plan: Plan, ready: impl AsyncFnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    if let Err(error) = descriptors::allow_all() {
        tracing::debug!(%error, "the number of open files cannot be raised");
    }
    unlimited_file_size();
    // Before there is anybody who could wait for the disk.
    user_name::learn_local();
    watchdog::start();
    // Before anything is mounted, so that a signal at any time leaves no mount behind.
    let mut signals = Signals::listen()?;
    let mut served = tokio::select! {
        served = assemble::mount(&plan) => served?,
        name = signals.next() => {
            tracing::info!(signal = name, "{name} ended the mount before it was ready");
            return Ok(());
        }
    };
    tracing::info!(mount_point = %plan.mount_point.display(), "mounted at {}: version {}", plan.mount_point.display(), version::SHORT);
    let outcome = tokio::select! {
        outcome = ready(&plan.mount_point) => outcome,
        _ = signals.next() => return take_down(&mut *served, &mut signals).await,
    };
    if let Err(failure) = outcome {
        take_down(&mut *served, &mut signals).await?;
        return Err(failure);
    }
    notify::notify(State::Ready);
    loop {
        tokio::select! {
            () = served.ended() => {
                tracing::info!("{} was unmounted from outside: the daemon ends", plan.mount_point.display());
                return Ok(());
            }
            heard = signals.any() => match heard {
                Heard::Reload => reload_into(&mut plan, &*served).await,
                Heard::Status => served.tell_status(),
                Heard::End(name) => {
                    tracing::info!(signal = name, "{name} was received: {} is unmounted", plan.mount_point.display());
                    return take_down(&mut *served, &mut signals).await;
                }
            },
        }
    }
}

/// A limit on the size of files (`ulimit -f`) must not end the daemon: by default the kernel kills who exceeds it. With a handler for the signal
/// the write fails instead, as on a full disk. The handler stays when the stream is dropped.
fn unlimited_file_size() {
    let limits = rustix::process::getrlimit(Resource::Fsize);
    if let Err(error) = rustix::process::setrlimit(Resource::Fsize, Rlimit { current: limits.maximum, ..limits }) {
        tracing::debug!(%error, "the limit on the size of files cannot be raised");
    }
    if let Some(bytes) = limits.maximum {
        tracing::warn!(
            bytes,
            "the size of files is limited to {bytes} bytes (ulimit -f): larger recordings are read without the cache"
        );
    }
    if let Err(error) = signal(SignalKind::from_raw(libc::SIGXFSZ)) {
        tracing::warn!(%error, "SIGXFSZ cannot be caught ({error}): a file that grows beyond the limit (ulimit -f) would end the daemon");
    }
}

/// Reads the configuration again. One that cannot be used changes nothing.
async fn reload_into(plan: &mut Plan, served: &dyn Served) {
    let Some(source) = plan.reload.clone() else {
        tracing::info!("SIGHUP: this mount has no configuration that could change");
        return;
    };
    // A command that gives the key may take its time.
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    match read.unwrap_or_else(|error| Err(Failure::failed(error))) {
        Ok(config) => {
            let changes = reload::changes(&plan.config, &config);
            let is_new_secret =
                plan.config.tenant.access_key_secret.expose_secret() != config.tenant.access_key_secret.expose_secret();
            reload::log(&changes, is_new_secret);
            served.reconfigure(&config, reload::named(&changes, is_new_secret));
            plan.config = config;
        }
        Err(failure) => {
            let problem = failure.render();
            let problem = problem.trim_end().trim_start_matches("cxonefs: ");
            tracing::error!(
                problem,
                "SIGHUP was received, and the configuration stays as it was: {}",
                problem.replace('\n', ";")
            );
        }
    }
}

/// Takes the mount out of the tree at once, then gives open files a moment. A second signal ends it without one.
async fn take_down(served: &mut dyn Served, signals: &mut Signals) -> Result<(), Failure> {
    notify::notify(State::Stopping);
    served.detach().map_err(|error| Failure::failed(error).while_doing("unmounting"))?;
    tokio::select! {
        () = served.ended() => {}
        () = tokio::time::sleep(OPEN_FILES_WITHIN) => {
            tracing::warn!("files were still open when the mount ended: what the kernel has not read of them by now cannot be read any more");
        }
        name = signals.next() => tracing::warn!(signal = name, "a second signal ({name}) ended the daemon at once: readers of open files get errors from now on"),
    }
    Ok(())
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// To end; the signal's name.
    End(&'static str),
    /// To read the configuration again.
    Reload,
    /// To write its state to the log.
    Status,
}

/// SIGTERM and SIGINT, which end it, and SIGHUP and SIGUSR1, which do not.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    pub fn listen() -> Result<Signals, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error: io::Error| Failure::failed(error).while_doing("listening for signals"));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            user: listen(SignalKind::user_defined1())?,
        })
    }

    /// Waits for any of them.
    pub async fn any(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::End("SIGTERM"),
            _ = self.interrupt.recv() => Heard::End("SIGINT"),
            _ = self.hangup.recv() => Heard::Reload,
            _ = self.user.recv() => Heard::Status,
        }
    }

    /// Waits for one that ends it; its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::base::failure::Cause;

    struct Fake {
        detached: AtomicBool,
        busy: bool,
    }

    #[async_trait]
    impl Served for Fake {
        fn tree(&self) -> &std::sync::Arc<crate::tree::Tree> {
            unreachable!("nobody looks")
        }

        fn detach(&self) -> Result<(), Cause> {
            self.detached.store(true, Ordering::SeqCst);
            Ok(())
        }

        fn reconfigure(&self, _config: &crate::config::Config, _changed: Option<String>) {}

        fn tell_status(&self) {}

        async fn ended(&mut self) {
            if self.busy {
                std::future::pending::<()>().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_mount_is_detached_and_given_five_seconds() {
        for (busy, seconds) in [(true, 5), (false, 0)] {
            let mut fake = Fake { detached: AtomicBool::new(false), busy };
            let mut signals = Signals::listen().unwrap();
            let before = tokio::time::Instant::now();
            take_down(&mut fake, &mut signals).await.unwrap();
            assert!(fake.detached.load(Ordering::SeqCst));
            assert_eq!(before.elapsed().as_secs(), seconds);
        }
    }
}
