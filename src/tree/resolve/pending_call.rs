//! The life of one billed call: breaker, budget, rate limit, ledger row, call, storing. In a task of its own, so that no asker's leaving
//! harms it.
//!
//! Order of writes: ledger row (synced), call, documents and listing (synced), ledger outcome.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Resolver;
use super::claiming::{ClaimEnd, Claiming};
use super::failure::{Failure, completion, failure, is_failure};
use super::request::{Need, ResolveRequest};
use super::waiters::{PendingCall, Phase, Waiter, turn_of};
use crate::base::{Day, MasterId};
use crate::book::{Allowed, BookError, Claimed, Whose};
use crate::catalog::{FileKind, Interaction, NewResolution, Resolution, is_billed_outcome};
use crate::cxone::PlaybackAnswer;
use crate::net::{ApiError, ApiErrorKind, Ask};
use crate::tree::children::needs_call;
use crate::tree::documents;
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::links::by_recording;
use crate::tree::principal::Principal;

/// Tries of a call that never left this machine. One that did is not repeated: it may have been billed.
const TRIES_MAX: u32 = 3;
/// Pause before the second try; doubled before the third.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

impl Resolver {
    /// The pending call of an interaction, begun if there is none.
    pub(super) fn join_pending_call(
        &self,
        master: MasterId,
        request: &ResolveRequest,
        need: Need,
    ) -> (watch::Receiver<Phase>, Waiter) {
        let mut pending_calls = self.inner.pending_calls.lock();
        if let Some(pending) = pending_calls.get(&master) {
            let asked = turn_of(request);
            pending.turn.send_if_modified(|turn| {
                let book = &self.inner.book;
                let is_sooner = asked.priority < turn.priority
                    || (asked.priority == turn.priority
                        && asked.user != turn.user
                        && book.waiting_of(&asked.user) < book.waiting_of(&turn.user));
                if is_sooner {
                    *turn = asked;
                }
                is_sooner
            });
            return (pending.phase.subscribe(), pending.add_waiter(&request.principal));
        }
        let (phase, receiver) = watch::channel(Phase::Queued);
        let pending = Arc::new(PendingCall::new(phase, turn_of(request)));
        let waiter = pending.add_waiter(&request.principal);
        pending_calls.insert(master, pending.clone());
        drop(pending_calls);
        let resolver = self.clone();
        tokio::spawn(async move {
            let _registration = Registration { resolver: &resolver, master, pending: &pending };
            resolver.fly(master, need, &pending).await;
        });
        (receiver, waiter)
    }

    async fn fly(&self, master: MasterId, need: Need, pending: &Arc<PendingCall>) {
        let (mut tries, mut renew) = (0, true);
        let result = loop {
            // Whoever looked just before another pending call completed, and registered just after, needs no call of its own.
            match self.has(master, need) {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
            if let Err(error) = self.check_askable(master) {
                break Err(error);
            }
            pending.phase.send_replace(Phase::Queued);
            tries += 1;
            match self.attempt(master, renew, pending).await {
                Ok(()) => break Ok(()),
                Err(Failure::Throttled) => {}
                // The second request is one more under the rate limit.
                Err(Failure::TokenRenewed) => renew = false,
                Err(Failure::Left) => return,
                Err(Failure::Unsent(_)) if tries < TRIES_MAX => {
                    tokio::time::sleep(RETRY_PAUSE * 2u32.pow(tries - 1)).await;
                }
                Err(Failure::Unsent(error) | Failure::Final(error)) => break Err(error),
            }
        };
        // Out of the map first: whoever comes from now on reads the catalog.
        deregister(&mut self.inner.pending_calls.lock(), master, pending);
        pending.phase.send_replace(Phase::Done(result));
    }

    /// Takes a pending call that nobody waits for out of the map.
    pub(super) fn deregister_if_left(&self, master: MasterId, pending: &PendingCall) -> bool {
        let mut pending_calls = self.inner.pending_calls.lock();
        // Somebody may have joined between the last one's leaving and this lock.
        let left = pending.phase.is_closed();
        if left {
            deregister(&mut pending_calls, master, pending);
        }
        left
    }

    /// In whose name a call is made now. `None`: everybody has gone, and the pending call is out of the map.
    pub(super) fn payer(&self, master: MasterId, pending: &PendingCall) -> Option<Principal> {
        pending.payer().or_else(|| {
            let mut pending_calls = self.inner.pending_calls.lock();
            // Somebody may have joined meanwhile.
            let payer = pending.payer();
            if payer.is_none() {
                deregister(&mut pending_calls, master, pending);
            }
            payer
        })
    }

    /// One try: a claim, the call, its outcome stored.
    async fn attempt(&self, master: MasterId, renew: bool, pending: &PendingCall) -> Result<(), Failure> {
        let allowed = self.allowed();
        let asked = pending.turn.borrow().user.clone();
        let refused = |error: BookError, payer: Option<Principal>| {
            if let (BookError::Spent(whose), Some(payer)) = (&error, payer) {
                self.log_spent_budget(whose, allowed, master, &payer);
            }
            Failure::Final(error.into())
        };
        // Before the queue; the claim decides, after it.
        self.inner.book.check(&asked, allowed).map_err(|error| refused(error, pending.payer()))?;
        let admitted = self.inner.breaker.admit().await;
        let admitted = admitted.map_err(|error| Failure::Final(TreeError::from(Arc::new(error))))?;
        let claiming = Claiming::new(self, master, pending, admitted);
        let claimed = self.inner.book.claim(master, &claiming, allowed).await;
        let (mut grant, payer, admitted) = match (claimed, claiming.end()) {
            (Ok(Claimed::Granted(grant)), ClaimEnd { payer: Some(payer), admitted: Some(admitted), .. }) => {
                (grant, payer, admitted)
            }
            (Ok(_), claim_end) => return Err(claim_end.why.unwrap_or(Failure::Left)),
            (Err(error), claim_end) => return Err(refused(error, claim_end.payer.or_else(|| pending.payer()))),
        };
        payer.note_payment(true);
        let admitted = admitted.now();
        // Long before those who wait give up it is known whether the service is there at all.
        let quiet = self.inner.limits.lock().deadline / 3;
        let answer = self.inner.breaker.watch(quiet, self.inner.player.playback(master, renew)).await;
        self.inner.breaker.conclude(admitted, Ask::of(&master), &answer);
        grant.complete(completion(&answer));
        if answer.is_ok() {
            self.inner.answered.send_replace(Some(Instant::now()));
        }
        let outcome = outcome_word(&answer);
        payer.note_payment(is_billed_outcome(Some(&outcome)));
        let stored = match answer {
            Ok(PlaybackAnswer::Refused(refusal)) => {
                Err(Failure::Final(self.remember_refusal(master, &refusal, &payer).await))
            }
            Ok(answer) => self.store(master, &answer, &payer).await.map_err(Failure::Final),
            Err(error) if is_failure(&error) => {
                Err(Failure::Final(self.remember_failure(master, &error, &payer).await))
            }
            Err(error) => Err(failure(error)),
        };
        grant.finish(outcome).await.map_err(|error| Failure::Final(error.into()))?;
        stored
    }

    async fn store(&self, master: MasterId, answer: &PlaybackAnswer, payer: &Principal) -> Result<(), TreeError> {
        let now = self.inner.clock.now();
        let known = self.interaction(master)?;
        self.forget_after_answer(&known).await?;
        let items = match answer {
            PlaybackAnswer::Found(playback) => playback.items.as_slice(),
            PlaybackAnswer::NotFound | PlaybackAnswer::Refused(_) => &[],
        };
        let links = by_recording(items, recordings(&known.resolution));
        let serial = self.inner.signings.fetch_add(1, Ordering::Relaxed) + 1;
        let has_link = |index: u8| links.get(usize::from(index)).is_some_and(Option::is_some);
        let is_known = !needs_call(&known.resolution, now);
        if is_known {
            self.note_links(&known, has_link, payer).await?;
        }
        self.inner.links.store(master, links, serial, now);
        // Erased since the look above: the erasure has forgotten its links before these came.
        if self.inner.catalog.erased_at(master.0).is_some() {
            self.inner.links.forget(master);
            return Err(TreeError::not_found());
        }
        // A new link is all that a resolved interaction takes from another call: what was published stays put.
        if !is_known {
            let mut resolution = documents::resolution(master, known.channel, known.mtime, answer, now);
            keep_sizes(&mut resolution, &known);
            let (resolver, before) = (self.clone(), known.clone());
            let step = self.inner.publishing.step(master).await;
            // A flush of the disk, which must not keep a worker from reading the next answer.
            let stored = tokio::task::spawn_blocking(move || resolver.publish(step, &before, &resolution, now)).await;
            stored.map_err(|_| TreeError::new(ErrorKind::Io, "storing what CXone said was interrupted"))??;
            self.shown_otherwise(&known).await;
        }
        Ok(())
    }

    /// What may be spent today.
    fn allowed(&self) -> Allowed {
        let limits = self.inner.limits.lock();
        Allowed { budget: limits.budget, user_budget: limits.user_budget }
    }

    /// Once a day for the budget of all, and once for each user's.
    fn log_spent_budget(&self, whose: &Whose, allowed: Allowed, master: MasterId, payer: &Principal) {
        let (user, budget) = match whose {
            Whose::All => (None, allowed.budget),
            Whose::User(user) => (Some(user.clone()), allowed.user_budget),
        };
        let today = Day::of(self.inner.clock.now(), &jiff::tz::TimeZone::UTC);
        {
            let mut logged = self.inner.budgets_logged.lock();
            if logged.0 != today {
                *logged = (today, HashSet::new());
            }
            if !logged.1.insert(user.clone()) {
                return;
            }
        }
        let limit = budget.0.unwrap_or(u64::MAX);
        let (what, key) = match user {
            Some(user) => (format!("billed calls of {user} is spent ({limit} a day)"), "limits.daily_budget_per_user"),
            None => (format!("{limit} billed calls is spent"), "limits.daily_budget"),
        };
        tracing::warn!(
            limit,
            utc_day = %today,
            %master,
            uid = payer.user().uid,
            pid = payer.pid(),
            comm = payer.comm(),
            "master contact {master} cannot be had now: EDQUOT for {}: the daily budget of {what} for the UTC day {today}; raise {key} and reload (SIGHUP) \
             to go on today; further refusals of today are not logged",
            payer.words()
        );
    }
}

/// Takes a pending call out of the map however its task ends, a panic included: nobody may join a pending call that will not complete.
struct Registration<'a> {
    resolver: &'a Resolver,
    master: MasterId,
    pending: &'a Arc<PendingCall>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        deregister(&mut self.resolver.inner.pending_calls.lock(), self.master, self.pending);
    }
}

/// Takes a pending call out of the map if it is there. Another one of the same interaction may have begun since this one left: removing that one would let
/// the next asker make a second call beside it.
pub(super) fn deregister(
    pending_calls: &mut HashMap<MasterId, Arc<PendingCall>>,
    master: MasterId,
    pending: &PendingCall,
) {
    if pending_calls.get(&master).is_some_and(|registered| std::ptr::eq(Arc::as_ptr(registered), pending)) {
        pending_calls.remove(&master);
    }
}

/// What the ledger says of a call. `throttled`, `token ended` and `unsent` are no billed calls, see [`crate::catalog::Catalog::ledger_count`].
pub fn outcome_word(answer: &Result<PlaybackAnswer, ApiError>) -> String {
    let error = match answer {
        Ok(PlaybackAnswer::Found(_)) => return "found".to_owned(),
        Ok(PlaybackAnswer::NotFound) => return "not found".to_owned(),
        Ok(PlaybackAnswer::Refused(refusal)) => return format!("refused {}", refusal.status),
        Err(error) => error,
    };
    match (error.kind, error.status) {
        (ApiErrorKind::RateLimited { .. }, _) => "throttled".to_owned(),
        _ if error.is_unsent() => "unsent".to_owned(),
        _ if error.is_token_renewed() => "token ended".to_owned(),
        (_, Some(status)) => format!("error {status}"),
        (ApiErrorKind::Timeout, None) => "timeout".to_owned(),
        (_, None) => "error".to_owned(),
    }
}

/// How many recordings were published.
fn recordings(resolution: &Resolution) -> usize {
    let Resolution::Resolved { files, .. } = resolution else { return 0 };
    files.iter().filter(|file| matches!(file.kind, FileKind::Recording(_))).count()
}

/// A second signing must not forget a size that the first one's head request learned.
fn keep_sizes(resolution: &mut NewResolution, known: &Interaction) {
    let Resolution::Resolved { files: known, .. } = &known.resolution else { return };
    for (file, _) in &mut resolution.files {
        if file.size.is_none()
            && let Some(before) = known.iter().find(|before| before.kind == file.kind && before.size.is_some())
        {
            file.size = before.size;
            file.validator.clone_from(&before.validator);
            // The published name stays: the bytes are the same recording.
            file.name = before.name.clone();
        }
    }
}
