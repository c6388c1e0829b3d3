//! From a future of the tree to one reply: at once where it is ready, from a task where it has to wait; and the one place that logs
//! an error.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use fuser::{Errno, Request};
use futures_util::FutureExt;
use tokio::runtime::Handle;

use crate::base::{chain, watchdog};
use crate::fuse::door::Door;
use crate::fuse::errno::errno;
use crate::fuse::parked;
use crate::fuse::process;
use crate::tree::{ErrorKind, Principal, TreeError};

/// One request of the kernel: what is asked, of what, by whom.
#[derive(Clone)]
pub struct Asked {
    pub operation: &'static str,
    pub ino: u64,
    pub principal: Principal,
    /// The kernel's number of the request; the log's correlation id.
    pub unique: u64,
}

impl Asked {
    /// Copies out of the borrowed request what outlives it.
    pub fn new(operation: &'static str, ino: u64, request: &Request) -> Asked {
        let principal = process::principal(request.uid(), request.gid(), request.pid());
        Asked { operation, ino, principal, unique: request.unique().0 }
    }
}

/// Polls once in the kernel's thread, for nearly every request is answered from memory; otherwise whatever wakes it starts a task that
/// goes on and replies, so that nobody waits here.
pub fn answer<T, F, R>(runtime: &Handle, door: &Arc<Door>, asked: Asked, future: F, reply: R)
where
    T: Send + 'static,
    F: Future<Output = Result<T, TreeError>> + Send + 'static,
    R: FnOnce(Result<T, Errno>) + Send + 'static,
{
    let _working = watchdog::working();
    let started = Instant::now();
    // A panic must not end the thread that serves the mount. In a task the reply would be dropped, which answers EIO.
    let (watched, task_door) = (AssertUnwindSafe(future).catch_unwind(), door.clone());
    let principal = asked.principal.clone();
    let replied = async move {
        let result = watched.await.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        reply(conclude(&task_door, &asked, started, result));
    };
    if !parked::run(runtime, replied) {
        // It waits: later the caller may be gone, and nobody could tell who asked.
        principal.identify();
    }
}

/// The same for what is known nearly always: `known` is asked first, and what waits is made only if that gives nothing. A future that can wait
/// for a billed call is large: making, moving and polling it takes as long as all the rest of the answer to `stat`.
pub fn answer_known<T, F, R>(
    runtime: &Handle,
    door: &Arc<Door>,
    asked: Asked,
    known: impl FnOnce(&Principal) -> Option<Result<T, TreeError>>,
    wait: impl FnOnce() -> F,
    reply: R,
) where
    T: Send + 'static,
    F: Future<Output = Result<T, TreeError>> + Send + 'static,
    R: FnOnce(Result<T, Errno>) + Send + 'static,
{
    let _working = watchdog::working();
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| known(&asked.principal)))
        .unwrap_or_else(|panic| Some(Err(panicked(panic.as_ref()))));
    match result {
        Some(result) => reply(conclude(door, &asked, started, result)),
        None => answer(runtime, door, asked, wait(), reply),
    }
}

/// The same for what never waits.
pub fn answer_now<T>(
    door: &Door,
    asked: &Asked,
    work: impl FnOnce() -> Result<T, TreeError>,
    reply: impl FnOnce(Result<T, Errno>),
) {
    let _working = watchdog::working();
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
    reply(conclude(door, asked, started, result));
}

/// Counts the request and, if it failed, says so.
fn conclude<T>(door: &Door, asked: &Asked, started: Instant, result: Result<T, TreeError>) -> Result<T, Errno> {
    let error = result.as_ref().err().map(TreeError::kind);
    door.note_request(asked.operation, asked.ino, started.elapsed(), error);
    result.map_err(|error| report(door, asked, &error))
}

fn panicked(panic: &(dyn Any + Send)) -> TreeError {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    TreeError::new(ErrorKind::Io, format!("internal error: {text}"))
}

/// Logs an error, once, and says what the kernel is told.
fn report(door: &Door, asked: &Asked, error: &TreeError) -> Errno {
    let code = errno(error.kind());
    let Asked { operation, ino, ref principal, unique } = *asked;
    match error.kind() {
        // Looking for what does not exist is no error of ours.
        ErrorKind::NotFound | ErrorKind::NoAttribute | ErrorKind::NotADirectory => {
            tracing::trace!(operation, ino, unique, %error, "not there");
        }
        // The first one of a budget has its line; so has what is in the way when it is met first, an outage, and a program that
        // may not cause a call.
        kind @ (ErrorKind::Interrupted | ErrorKind::BudgetSpent) => quietly(door, asked, kind, error),
        kind if error.is_hindered() || error.is_outage() || error.is_told() => quietly(door, asked, kind, error),
        kind => {
            let (subject, cause) = (door.subject_of(ino), chain(error));
            tracing::error!(
                operation,
                master = subject.master.map(tracing::field::display),
                day = subject.day.map(tracing::field::display),
                uid = principal.user().uid,
                pid = principal.pid(),
                comm = principal.comm(),
                unique,
                errno = code.code(),
                correlation_id = error.correlation_id(),
                error = cause,
                "{}",
                sentence(operation, &subject.words, kind, principal, &cause)
            );
        }
    }
    code
}

/// What has had its line, for those who look closer.
fn quietly(door: &Door, asked: &Asked, kind: ErrorKind, error: &TreeError) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let Asked { operation, ino, ref principal, unique } = *asked;
        let (subject, cause) = (door.subject_of(ino), chain(error));
        tracing::debug!(operation, unique, "{}", sentence(operation, &subject.words, kind, principal, &cause));
    }
}

fn sentence(operation: &str, subject: &str, kind: ErrorKind, principal: &Principal, cause: &str) -> String {
    format!("{operation} of {subject} failed with {} for {}: {cause}", kind.name(), principal.words())
}
