//! A billed call under way, as those who wait for it see it: how far it is, how urgent, and in whose name it is made.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::request::ResolveRequest;
use crate::base::UserKey;
use crate::book::Turn;
use crate::tree::error::TreeError;
use crate::tree::principal::Principal;

/// How far a pending call is.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Waiting for the rate limit.
    Queued,
    /// The call is being made.
    Working,
    Done(Result<(), TreeError>),
}

/// One billed call under way, as its askers see it.
pub struct PendingCall {
    pub phase: watch::Sender<Phase>,
    /// The most urgent of all askers so far, and whose turn it waits for.
    pub turn: watch::Sender<Turn>,
    askers: Mutex<Askers>,
}

/// The turn of whoever wants it.
pub fn turn_of(request: &ResolveRequest) -> Turn {
    Turn { priority: request.priority, user: UserKey::Uid(request.principal.user().uid) }
}

/// Who waits for the call, oldest first.
#[derive(Default)]
struct Askers {
    next: u64,
    waiting: Vec<(u64, Principal)>,
}

impl PendingCall {
    /// Nobody waits yet.
    pub fn new(phase: watch::Sender<Phase>, turn: Turn) -> PendingCall {
        PendingCall { phase, turn: watch::channel(turn).0, askers: Mutex::default() }
    }

    /// One more waits, until the waiter is dropped.
    pub fn add_waiter(self: &Arc<PendingCall>, principal: &Principal) -> Waiter {
        let mut askers = self.askers.lock();
        let number = askers.next;
        askers.next += 1;
        askers.waiting.push((number, principal.clone()));
        Waiter { pending: Arc::clone(self), number }
    }

    /// In whose name the call is made: whoever has waited longest of those that have not gone.
    pub fn payer(&self) -> Option<Principal> {
        let waiting = self.askers.lock().waiting.clone();
        waiting.into_iter().map(|(_, principal)| principal).find(|principal| !principal.has_gone())
    }
}

/// An asker waits until this is dropped.
pub struct Waiter {
    pending: Arc<PendingCall>,
    number: u64,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.pending.askers.lock().waiting.retain(|(number, _)| *number != self.number);
    }
}
