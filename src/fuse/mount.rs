//! Mounting and unmounting.
//!
//! fuser 0.18's own unmounting is not used: it cannot unmount a busy mount as root, and after an external unmount it may hit a stranger
//! at the same path. We detach the mount ourselves and let the session end when the last file is closed.

use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::base::mounts;
use crate::fuse::adapter::{Adapter, BackingModes};
use crate::fuse::door::Door;
use crate::fuse::notices::NoticeQueue;
use crate::fuse::passthrough::PassthroughState;
use crate::fuse::readahead;
use crate::fuse::stacking;
use crate::fuse::unmount::{Busy, unmount};

/// The type under which `/proc/mounts` shows the mount is `fuse.` and this.
pub const SUBTYPE: &str = "cxonefs";

/// Threads that take requests: one per core within these bounds. What waits goes on elsewhere, so more buy nothing.
const THREADS_MIN: usize = 2;
const THREADS_MAX: usize = 16;

/// How to mount.
#[derive(Clone, Debug, Default)]
pub struct MountOptions {
    /// What the table of mounts shows as the source: names the tenant.
    pub source: String,
    /// Let other users in; the kernel then checks owner and mode.
    pub allow_other: bool,
    /// Let the kernel read complete recordings by itself, where it can.
    pub passthrough: bool,
    /// Where the files of passthrough are.
    pub cache_dir: PathBuf,
}

/// The kernel refused, or the helper did.
#[derive(Debug, thiserror::Error)]
pub enum FuseError {
    #[error("mounting at {} failed", path.display())]
    Mount { path: PathBuf, source: io::Error },
    #[error("unmounting {} failed", path.display())]
    Unmount { path: PathBuf, source: io::Error },
}

/// A mount that is being served.
pub struct Mounted {
    path: PathBuf,
    /// What it is known by in the table of mounts, if that could be read.
    device: Option<String>,
    /// Never dropped: its destructor would unmount by path, whoever is mounted there by then.
    _session: ManuallyDrop<BackgroundSession>,
    modes: Arc<BackingModes>,
    /// `None` once it was told.
    ended: Option<oneshot::Receiver<()>>,
}

/// Tells how passthrough is doing.
#[derive(Clone)]
pub struct PassthroughBooks(Arc<BackingModes>);

impl PassthroughBooks {
    /// As of now.
    pub fn state(&self) -> PassthroughState {
        self.0.state()
    }
}

/// Mounts the tree; the kernel's handshake is done when this returns. Futures of the tree run on `runtime`.
pub fn mount(
    door: Arc<Door>,
    notices: NoticeQueue,
    path: &Path,
    options: &MountOptions,
    runtime: &Handle,
) -> Result<Mounted, FuseError> {
    let failed = |source| FuseError::Mount { path: path.to_owned(), source };
    let absolute = path.canonicalize().map_err(failed)?;
    let (sender, ended) = oneshot::channel();
    let state = if options.passthrough { PassthroughState::Untried } else { PassthroughState::TurnedOff };
    let modes = Arc::new(BackingModes::new(state));
    let (depth, kernel) = (stacking::depth_for(&options.cache_dir), Arc::clone(&notices.kernel));
    let adapter = Adapter::new(door, runtime.clone(), Arc::clone(&modes), depth, kernel, sender);
    let session = Session::new(adapter, &absolute, &config(options)).map_err(failed)?;
    notices.deliver_to(session.notifier());
    let session = session.spawn().map_err(failed)?;
    let device = device_at(&absolute).unwrap_or_else(|error| {
        tracing::debug!(%error, "the table of mounts cannot be read");
        None
    });
    match device.as_deref().map_or(Ok(false), readahead::widen) {
        Ok(widened) => tracing::debug!(widened, "readahead of the kernel"),
        Err(error) => tracing::debug!(%error, "the readahead of the kernel cannot be changed"),
    }
    Ok(Mounted { path: absolute, device, _session: ManuallyDrop::new(session), modes, ended: Some(ended) })
}

/// The device of the topmost mount at `path`. By the table, and not by `stat`: asking the mount would be a request to ourselves.
fn device_at(path: &Path) -> io::Result<Option<String>> {
    Ok(mounts::at(path)?.and_then(|mount| mount.device))
}

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(options.source.clone()),
        // As root, `MountOption::Subtype` would only set the source.
        MountOption::CUSTOM(format!("subtype={SUBTYPE}")),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoAtime,
        // Without it the kernel would let every user it lets in read every file, whatever its mode.
        MountOption::DefaultPermissions,
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(threads(std::thread::available_parallelism().map_or(1, usize::from)));
    config
}

fn threads(cores: usize) -> usize {
    cores.clamp(THREADS_MIN, THREADS_MAX)
}

impl Mounted {
    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether complete recordings are read without us.
    pub fn passthrough(&self) -> PassthroughBooks {
        PassthroughBooks(Arc::clone(&self.modes))
    }

    /// Takes the mount out of the tree at once, busy or not; open files stay readable until they are closed. Somebody may have done so
    /// before, and mounted another thing there: that one stays.
    pub fn detach(&self) -> Result<(), FuseError> {
        let is_there = device_at(&self.path).map_or(true, |there| there == self.device);
        if self.device.is_some() && !is_there {
            tracing::info!("{} was unmounted before", self.path.display());
            return Ok(());
        }
        unmount(&self.path, Busy::Detach).map_err(|source| FuseError::Unmount { path: self.path.clone(), source })
    }

    /// Waits until the kernel ended the session: unmounted, and the last file closed.
    pub async fn ended(&mut self) {
        if let Some(ended) = &mut self.ended {
            let _ = ended.await;
            self.ended = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_by_as_many_threads_as_there_are_cores() {
        assert_eq!([1, 2, 7, 16, 128].map(threads), [2, 2, 7, 16, 16]);
    }
}
