//! The control socket of a mount: JSON over HTTP on a Unix socket (0600) that only the mount's owner reaches, and another one for those who may
//! read the mount (`members`).
//!
//! `audited` puts commands on record, `place` says where the socket of a mount point is, `server` answers on it, `client` asks, `long` is what takes long. Knows no catalog and no tree: what can be
//! asked stands behind [`Controlled`].

mod audited;
mod client;
mod controlled;
mod long;
mod members;
mod place;
mod server;

pub use client::{ControlError, Lines, daemon_of, get, lines, post};
pub use controlled::{
    AuditHead, Command, Controlled, LedgerLine, LedgerRequest, Peer, RefreshRequest, Refreshed, Retried, RetryRequest,
    UnmountRequest, Unmounted, WarmLines,
};
pub use long::follow;
pub use members::{Access, Members, serve as serve_members};
pub use place::{find_socket, members_socket, own_runtime_dir, own_sockets, owner_behind, socket_of};
pub use server::{LogLevel, Server, serve};
