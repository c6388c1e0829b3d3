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

use crate::fuse::adapter::Adapter;
use crate::fuse::notices::NoticeQueue;
use crate::fuse::unmount::{Busy, unmount};
use crate::vfs::Vfs;

/// The type under which `/proc/mounts` shows the mount is `fuse.` and this.
pub const SUBTYPE: &str = "cxonefs";

/// More threads buy nothing on two cores, fewer let one slow disk read hold up the rest.
const THREADS: usize = 2;

/// How to mount.
#[derive(Clone, Debug, Default)]
pub struct MountOptions {
    /// Let other users in; the kernel then checks owner and mode.
    pub allow_other: bool,
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
    /// Never dropped: its destructor would unmount by path, whoever is mounted there by then.
    _session: ManuallyDrop<BackgroundSession>,
    ended: oneshot::Receiver<()>,
}

/// Mounts the tree; the kernel's handshake is done when this returns. Futures of the tree run on `runtime`.
pub fn mount(
    vfs: Arc<Vfs>,
    notices: NoticeQueue,
    path: &Path,
    options: &MountOptions,
    runtime: &Handle,
) -> Result<Mounted, FuseError> {
    let failed = |source| FuseError::Mount { path: path.to_owned(), source };
    let absolute = path.canonicalize().map_err(failed)?;
    let (sender, ended) = oneshot::channel();
    let adapter = Adapter::new(vfs, runtime.clone(), sender);
    let session = Session::new(adapter, &absolute, &config(options)).map_err(failed)?;
    notices.deliver_to(session.notifier());
    let session = session.spawn().map_err(failed)?;
    Ok(Mounted { path: absolute, _session: ManuallyDrop::new(session), ended })
}

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(SUBTYPE.to_owned()),
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
    config.n_threads = Some(THREADS);
    config
}

impl Mounted {
    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the mount out of the tree at once, busy or not; open files stay readable until they are closed.
    pub fn detach(&self) -> Result<(), FuseError> {
        unmount(&self.path, Busy::Detach).map_err(|source| FuseError::Unmount { path: self.path.clone(), source })
    }

    /// Waits until the kernel ended the session: unmounted, and the last file closed.
    pub async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }
}
