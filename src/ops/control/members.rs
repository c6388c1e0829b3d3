//! The door for those who did not make the mount and may read it: what they may ask, and who they are.
//!
//! Its socket has a name in the kernel's abstract namespace, so that it needs no directory that another user could have made. Anybody can
//! connect, and anybody could have taken the name before: so each side asks the kernel who the other one is. The daemon hangs up on whoever
//! may not read the mount, and a command believes no listener but the mount's owner (see `client`). Nobody has more than a few connections at once,
//! or one user could take all descriptors of the daemon.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::audited::audited;
use super::controlled::{Controlled, Peer};
use super::place;
use super::server::{self};
use crate::base::user_words;

/// After the system had no descriptor for a connection.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// While another process has the door's name.
const NAME_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Connections of one user at once: a command has one.
const CONNECTIONS_MAX: usize = 16;

/// Who may read a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Who made it.
    pub owner: u32,
    /// Owner, group and permission bits of its folders.
    pub uid: u32,
    pub gid: u32,
    pub dir_mode: u16,
}

impl Access {
    /// Whether the kernel would let a user list the mount. It looks at the first of owner, group and others that fits, as open(2) does.
    #[must_use]
    pub fn admits(&self, uid: u32, groups: &[u32]) -> bool {
        const READ_AND_SEARCH: u16 = 0o5;
        let shift = match uid {
            0 => return true,
            uid if uid == self.owner => return true,
            uid if uid == self.uid => 6,
            _ if groups.contains(&self.gid) => 3,
            _ => 0,
        };
        (self.dir_mode >> shift) & READ_AND_SEARCH == READ_AND_SEARCH
    }
}

/// The door, open until this is dropped.
#[derive(Debug)]
pub struct Members(JoinHandle<()>);

impl Drop for Members {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens the door of the mount at an absolute path. Where another process has its name, it is opened as soon as it can be had.
pub fn serve(mount_point: &Path, controlled: Arc<dyn Controlled>, access: Access) -> Members {
    let (name, mount_point) = (place::members_socket(mount_point, access.owner), mount_point.to_owned());
    let router = Router::new()
        .route("/alive", get(server::alive))
        .route("/status", get(server::status_for_members))
        .route("/retry", post(server::retry))
        .route("/warm/cost", post(server::warm_cost))
        .route("/warm", post(server::warm))
        .route("/ledger", post(server::ledger))
        .route_layer(axum::middleware::from_fn_with_state(Arc::clone(&controlled), audited))
        // Reads what was sent, too: a connection that is closed with something unread is reset, and the answer may be lost.
        .fallback(move |_: bytes::Bytes| async move { not_for_members(access.owner) })
        .with_state(controlled);
    let service = router.into_make_service_with_connect_info::<Peer>();
    // At once, so that it is open when the mount is said to be there.
    let first = UnixListener::bind(&name);
    Members(tokio::spawn(async move {
        let listener = match first {
            Ok(listener) => listener,
            Err(error) => later(&name, &mount_point, access.owner, &error).await,
        };
        if let Err(error) = axum::serve(Door { listener, access, connected: Connected::default() }, service).await {
            tracing::warn!(%error, "the door for other users of the mount is closed: {error}");
        }
    }))
}

/// Logs which process has the name, and waits until the name is free.
async fn later(name: &Path, mount_point: &Path, owner: u32, error: &io::Error) -> UnixListener {
    let holder = tokio::time::timeout(AGAIN_AFTER, UnixStream::connect(name)).await.ok().and_then(Result::ok);
    let holder = holder.and_then(|stream| stream.peer_cred().ok());
    let by = holder.map_or_else(String::new, |peer| {
        let process = peer.pid().map_or_else(String::new, |pid| format!(" (process {pid})"));
        format!(", which {}{process} has", user_words(peer.uid()))
    });
    tracing::warn!(
        error = crate::base::chain(error),
        uid = holder.map(|peer| peer.uid()),
        pid = holder.and_then(|peer| peer.pid()),
        "the door for other users of {} waits for its name{by}: until then cxonefs status, warm and ledger work for {} alone",
        mount_point.display(),
        user_words(owner)
    );
    loop {
        tokio::time::sleep(NAME_AGAIN_AFTER).await;
        if let Ok(listener) = UnixListener::bind(name) {
            tracing::info!("the door for other users of {} is open", mount_point.display());
            return listener;
        }
    }
}

fn not_for_members(owner: u32) -> Response {
    let owner = user_words(owner);
    let why = format!("only {owner}, who made this mount, and root may do this; ask them, or use sudo");
    (StatusCode::FORBIDDEN, why).into_response()
}

struct Door {
    listener: UnixListener,
    access: Access,
    connected: Connected,
}

/// How many connections each user has.
#[derive(Clone, Default)]
struct Connected(Arc<Mutex<HashMap<u32, usize>>>);

impl Connected {
    fn lock(&self) -> parking_lot::MutexGuard<'_, HashMap<u32, usize>> {
        self.0.lock()
    }

    /// One more, if there may be.
    fn enter(&self, uid: u32) -> Option<Seat> {
        let mut connected = self.lock();
        let count = connected.entry(uid).or_default();
        if *count >= CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        drop(connected);
        Some(Seat { connected: self.clone(), uid })
    }
}

/// Counts a connection until it is dropped.
struct Seat {
    connected: Connected,
    uid: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut connected = self.connected.lock();
        if let Some(count) = connected.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                connected.remove(&self.uid);
            }
        }
    }
}

/// A connection that is counted.
struct Seated {
    stream: UnixStream,
    _seat: Seat,
}

impl AsyncRead for Seated {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Seated {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Listener for Door {
    type Io = Seated;
    type Addr = Peer;

    /// The next peer that may read the mount. Others are disconnected without an answer.
    async fn accept(&mut self) -> (Seated, Peer) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match identify(&stream) {
                    Ok((peer, groups)) if self.access.admits(peer.uid, &groups) => {
                        if let Some(seat) = self.connected.enter(peer.uid) {
                            return (Seated { stream, _seat: seat }, peer);
                        }
                    }
                    _ => {}
                },
                Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { uid: self.access.owner, gid: self.access.gid, pid: std::process::id() })
    }
}

impl connect_info::Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Peer {
        *stream.remote_addr()
    }
}

/// Who connected, and all of their groups, as they were then: a process that has changed since, or ended, deceives nobody.
fn identify(stream: &UnixStream) -> io::Result<(Peer, Vec<u32>)> {
    let known = stream.peer_cred()?;
    let pid = known.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    let peer = Peer { uid: known.uid(), gid: known.gid(), pid };
    let mut groups = further_groups(stream)?;
    groups.push(peer.gid);
    Ok((peer, groups))
}

#[cfg(target_os = "linux")]
fn further_groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    use std::os::fd::AsRawFd as _;
    // NGROUPS_MAX: nobody has more.
    let mut groups = vec![0_u32; 65_536];
    let mut bytes = libc::socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the kernel writes at most `bytes` bytes into a buffer of that size, and says how many.
    let done = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    groups.truncate(bytes as usize / size_of::<u32>());
    Ok(groups)
}

/// Abstract names are Linux's: there is no such door elsewhere.
#[cfg(not(target_os = "linux"))]
fn further_groups(_: &UnixStream) -> io::Result<Vec<u32>> {
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_list_the_mount_is_whom_the_kernel_lets_in() {
        let access = Access { owner: 7, uid: 8, gid: 100, dir_mode: 0o550 };
        for (uid, groups, may) in [
            (0, &[][..], true),
            (7, &[], true),
            (8, &[], true),
            (9, &[1, 100], true),
            (9, &[1], false),
            (9, &[], false),
        ] {
            assert_eq!(access.admits(uid, groups), may, "{uid} {groups:?}");
        }
        assert!(Access { dir_mode: 0o555, ..access }.admits(9, &[]));
        // Listing without entering, and the other way round, is not reading.
        assert!(!Access { dir_mode: 0o440, ..access }.admits(9, &[100]));
        assert!(!Access { dir_mode: 0o110, ..access }.admits(9, &[100]));
        // The group's bits hold for its members even where everybody else may.
        assert!(!Access { dir_mode: 0o505, ..access }.admits(9, &[100]));
    }

    #[test]
    fn nobody_has_more_than_a_few_connections_and_each_is_counted_once() {
        let connected = Connected::default();
        let seats: Vec<Seat> = (0..CONNECTIONS_MAX).filter_map(|_| connected.enter(7)).collect();
        assert_eq!(seats.len(), CONNECTIONS_MAX);
        assert!(connected.enter(7).is_none() && connected.enter(8).is_some());
        drop(seats);
        assert!(connected.enter(7).is_some() && connected.lock().is_empty());
    }

    #[tokio::test]
    async fn the_kernel_says_who_connected() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (peer, groups) = identify(&ours).unwrap();
        assert_eq!((peer.uid, peer.pid), (rustix::process::geteuid().as_raw(), std::process::id()));
        assert!(groups.contains(&peer.gid));
    }
}
