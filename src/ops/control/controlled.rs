//! What can be asked of a mount, and in which words. Whoever answers stands behind [`Controlled`].

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use crate::base::Day;
use crate::ops::audit::Actor;
use crate::ops::keeping::Keeping;
use crate::ops::status::Status;
use crate::ops::warm::{WarmCost, WarmProgress, WarmRequest};

/// Who asks, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    /// 0 where it is outside of this process's pid namespace.
    pub pid: u32,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Peer {
        // Who connects to a socket of mode 0600 is its owner, or root, even where the kernel does not say which.
        let nobody =
            Peer { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw(), pid: 0 };
        stream.io().peer_cred().map_or(nobody, |known| Peer {
            uid: known.uid(),
            gid: known.gid(),
            pid: known.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        })
    }
}

/// A job's progress, until it ends. Dropping it ends the job.
pub type WarmLines = BoxStream<'static, WarmProgress>;

/// What can be asked of a mount.
#[async_trait]
pub trait Controlled: Send + Sync + 'static {
    /// How it is, now. Never waits for the network.
    fn status(&self) -> Status;

    /// Lists days anew; without any, those that are still open.
    async fn refresh(&self, days: Vec<Day>) -> Vec<Refreshed>;

    /// Forgets refusals, of all interactions or of those below `paths` (relative to the mount). Makes no billed call. An error is in words for
    /// the user.
    async fn retry(&self, paths: Vec<String>, peer: Peer) -> Result<Retried, String>;

    /// The ledger's rows of one user from a time on, as RFC 3339 has it. An error is in words for the user.
    fn ledger_of(&self, uid: u32, since: &str) -> Result<Vec<LedgerLine>, String>;

    /// Takes the mount out of the tree: only if nothing in it is in use, or, lazily, in any case. An error is in words for the user.
    async fn unmount(&self, lazy: bool) -> Result<Unmounted, String>;

    /// Who looks after what this mount keeps on disk.
    fn keeper(&self) -> Arc<dyn Keeping>;

    /// What warming would cost. Makes no billed call. An error is in words for the user.
    async fn warm_cost(&self, request: WarmRequest) -> Result<WarmCost, String>;

    /// Who a peer is, as far as it can be seen now.
    fn caller(&self, peer: Peer) -> Actor;

    /// Whether commands can be put on record, where they must be. An error is in words for the user.
    fn audit_check(&self) -> Result<(), String>;

    /// Puts a command on record. An error is in words for the user.
    async fn audit(&self, caller: Actor, command: Command, outcome: &'static str) -> Result<(), String>;

    /// Writes all audit lines that wait; the last one's number and hash. Blocks.
    fn audit_head(&self) -> Option<AuditHead>;

    /// Begins to warm on behalf of `peer`.
    async fn warm(&self, request: WarmRequest, peer: Peer) -> Result<WarmLines, String>;
}

/// The last line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    pub number: u64,
    pub hash: String,
}

/// What became of one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// Why it failed; absent if it did not.
    pub error: Option<String>,
}

/// The days to refresh.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RefreshRequest {
    pub days: Vec<String>,
}

/// Where refusals are to be forgotten.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RetryRequest {
    /// Relative to the mount; none: everywhere.
    pub paths: Vec<String>,
}

/// Which rows of the ledger are wanted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LedgerRequest {
    /// RFC 3339; empty: all.
    pub since: String,
}

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    pub id: i64,
    /// RFC 3339.
    pub at: String,
    pub master_contact: i64,
    pub reason: String,
    pub uid: u32,
    pub pid: u32,
    pub comm: String,
    pub outcome: Option<String>,
}

/// How many refusals were forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    pub forgotten: u64,
}

/// What a daemon does after a mount of its was taken away.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Unmounted {
    /// It serves the tree at further places.
    pub goes_on: bool,
}

/// How to unmount.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct UnmountRequest {
    /// Also if files are open; they stay readable until they are closed.
    pub lazy: bool,
}

/// A command that goes on record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub event: String,
    pub detail: Option<String>,
    pub contacts: Vec<i64>,
    /// Below the mount point.
    pub paths: Vec<String>,
    /// On record before it begins, because it takes long or ends the daemon.
    pub begins: bool,
}
