//! A pending call that waits for its grant: what it tells the book, and why it gave up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Resolver;
use super::failure::{Failure, completion, failure};
use super::waiters::{PendingCall, Phase};
use crate::base::MasterId;
use crate::book::{Asking, Completion, Payer, Turn};
use crate::cxone::PlaybackAnswer;
use crate::net::breaker::Admitted;
use crate::net::{ApiError, Ask};
use crate::tree::error::TreeError;
use crate::tree::principal::Principal;

/// A pending call that waits for its grant.
pub struct Claiming<'a> {
    resolver: &'a Resolver,
    master: MasterId,
    pending: &'a PendingCall,
    /// The service went down meanwhile.
    is_down: AtomicBool,
    claim_end: Mutex<ClaimEnd>,
}

/// What came of it.
pub struct ClaimEnd {
    /// Leave to ask the service; none once it was concluded.
    pub admitted: Option<Admitted>,
    /// In whose name the call is made.
    pub payer: Option<Principal>,
    /// Why there is no call.
    pub why: Option<Failure>,
}

impl<'a> Claiming<'a> {
    /// With leave to ask the service.
    pub fn new(resolver: &'a Resolver, master: MasterId, pending: &'a PendingCall, admitted: Admitted) -> Claiming<'a> {
        let claim_end = Mutex::new(ClaimEnd { admitted: Some(admitted), payer: None, why: None });
        Claiming { resolver, master, pending, is_down: AtomicBool::new(false), claim_end }
    }

    /// What came of it.
    pub fn end(self) -> ClaimEnd {
        self.claim_end.into_inner()
    }

    fn give_up(&self, why: Failure) {
        self.claim_end.lock().why = Some(why);
    }

    /// Whether everybody left; then the pending call is out of the map.
    fn has_been_left(&self) -> bool {
        let left = self.pending.phase.is_closed() && self.resolver.deregister_if_left(self.master, self.pending);
        if left {
            self.give_up(Failure::Left);
        }
        left
    }
}

#[async_trait]
impl Asking for Claiming<'_> {
    fn turn(&self) -> Turn {
        self.pending.turn.borrow().clone()
    }

    async fn changed(&self, seen: &Turn) {
        let mut turn = self.pending.turn.subscribe();
        tokio::select! {
            biased;
            _ = turn.wait_for(|turn| turn != seen) => {}
            // Nobody waits for the rate limit of what would not answer.
            () = self.resolver.inner.breaker.down() => self.is_down.store(true, Ordering::Relaxed),
            () = self.pending.phase.closed() => {}
        }
    }

    fn is_wanted(&self) -> bool {
        if self.has_been_left() {
            return false;
        }
        if !self.is_down.swap(false, Ordering::Relaxed) {
            return true;
        }
        let checked = self.resolver.inner.breaker.check();
        checked.map_err(|error| self.give_up(Failure::Final(TreeError::from(Arc::new(error))))).is_ok()
    }

    async fn prepare(&self) -> Result<(), Completion> {
        self.pending.phase.send_replace(Phase::Working);
        let inner = &self.resolver.inner;
        if let Err(error) = inner.player.ready().await {
            let answer: Result<PlaybackAnswer, ApiError> = Err(error.unsent());
            if let Some(admitted) = self.claim_end.lock().admitted.take() {
                inner.breaker.conclude(admitted, Ask::of(&self.master), &answer);
            }
            let how = completion(&answer);
            self.give_up(answer.map_or_else(failure, |_| Failure::Throttled));
            return Err(how);
        }
        // The login may have taken long.
        if self.has_been_left() {
            return Err(Completion::Unsent);
        }
        self.resolver.ask(self.master).map_err(|error| {
            self.give_up(Failure::Final(error));
            Completion::Unsent
        })
    }

    fn payer(&self) -> Option<Payer> {
        let payer = self.resolver.payer(self.master, self.pending);
        let Some(payer) = payer else {
            self.give_up(Failure::Final(TreeError::interrupted()));
            return None;
        };
        let entry = Payer { uid: payer.user().uid, pid: payer.pid(), comm: payer.comm().to_owned() };
        self.claim_end.lock().payer = Some(payer);
        Some(entry)
    }
}
