//! The life of one billed call: breaker, budget, rate limit, ledger row, call, storing. In a task of its own, so that no asker's leaving
//! harms it.
//!
//! Order of writes: ledger row (synced), call, documents and listing (synced), ledger outcome.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::purse::{Allowed, spent_on_day_of};
use super::{Need, Resolver, Want, lock};
use crate::base::{Day, MasterId, UserKey};
use crate::catalog::{FileKind, Interaction, LedgerEntry, LedgerId, NewResolution, Resolution, is_billed_outcome};
use crate::cxone::breaker::Admitted;
use crate::cxone::{ApiError, ApiErrorKind, Ask, InFlight, Permit, PlaybackAnswer, Priority};
use crate::vfs::children::needs_call;
use crate::vfs::documents;
use crate::vfs::error::{ErrorKind, VfsError};
use crate::vfs::links::by_recording;
use crate::vfs::principal::Principal;

/// Tries of a call that never left this machine. One that did is not repeated: it may have been billed.
const TRIES_MAX: u32 = 3;
/// Pause before the second try; doubled before the third.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub enum Phase {
    /// Waiting for the rate limit.
    Queued,
    /// The call is being made.
    Working,
    Done(Result<(), VfsError>),
}

/// One billed call under way, as its askers see it.
pub struct Flight {
    phase: watch::Sender<Phase>,
    /// The most urgent of all askers so far, and whose turn it waits for.
    turn: watch::Sender<Turn>,
    askers: Mutex<Askers>,
}

/// How a call waits for the rate limit.
#[derive(Clone, Debug)]
struct Turn {
    priority: Priority,
    user: UserKey,
}

/// Who waits for the call, oldest first.
#[derive(Default)]
struct Askers {
    next: u64,
    waiting: Vec<(u64, Principal)>,
}

impl Flight {
    fn new(phase: watch::Sender<Phase>, turn: Turn) -> Flight {
        Flight { phase, turn: watch::channel(turn).0, askers: Mutex::default() }
    }

    fn take_seat(self: &Arc<Flight>, principal: &Principal) -> Seat {
        let mut askers = lock(&self.askers);
        let number = askers.next;
        askers.next += 1;
        askers.waiting.push((number, principal.clone()));
        Seat { flight: Arc::clone(self), number }
    }

    /// In whose name the call is made: whoever has waited longest of those that have not gone.
    fn payer(&self) -> Option<Principal> {
        let waiting = lock(&self.askers).waiting.clone();
        waiting.into_iter().map(|(_, principal)| principal).find(|principal| !principal.has_gone())
    }
}

/// An asker waits until this is dropped.
pub struct Seat {
    flight: Arc<Flight>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.flight.askers).waiting.retain(|(number, _)| *number != self.number);
    }
}

/// How one try ended.
enum Failure {
    /// 429: the limiter pauses, the request is not lost.
    Throttled,
    /// The token had ended; there is a new one.
    TokenRenewed,
    /// It never left this machine: worth another try.
    Unsent(VfsError),
    /// Nobody waits for it any more, and it was not made.
    Left,
    Final(VfsError),
}

impl Resolver {
    /// The flight of an interaction, begun if there is none.
    pub(super) fn join_flight(&self, master: MasterId, want: &Want, need: Need) -> (watch::Receiver<Phase>, Seat) {
        let mut flights = lock(&self.inner.flights);
        if let Some(flight) = flights.get(&master) {
            let asked = turn_of(want);
            flight.turn.send_if_modified(|turn| {
                let limiter = &self.inner.limiter;
                let is_sooner = asked.priority < turn.priority
                    || (asked.priority == turn.priority
                        && asked.user != turn.user
                        && limiter.waiting_of(&asked.user) < limiter.waiting_of(&turn.user));
                if is_sooner {
                    *turn = asked;
                }
                is_sooner
            });
            return (flight.phase.subscribe(), flight.take_seat(&want.principal));
        }
        let (phase, receiver) = watch::channel(Phase::Queued);
        let flight = Arc::new(Flight::new(phase, turn_of(want)));
        let seat = flight.take_seat(&want.principal);
        flights.insert(master, flight.clone());
        drop(flights);
        let resolver = self.clone();
        tokio::spawn(async move {
            let _board = OnBoard { resolver: &resolver, master, flight: &flight };
            resolver.fly(master, need, &flight).await;
        });
        (receiver, seat)
    }

    async fn fly(&self, master: MasterId, need: Need, flight: &Arc<Flight>) {
        let (mut tries, mut renew) = (0, true);
        let result = loop {
            // Whoever looked just before another flight landed, and boarded just after, needs no call of its own.
            match self.has(master, need) {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(error) => break Err(error),
            }
            if let Err(error) = self.check_askable(master) {
                break Err(error);
            }
            flight.phase.send_replace(Phase::Queued);
            let (permit, admitted) = match self.queue(master, flight).await {
                Ok(Some(leave)) => leave,
                Ok(None) => return,
                Err(error) => break Err(error),
            };
            flight.phase.send_replace(Phase::Working);
            tries += 1;
            match self.call(master, renew, flight, permit, admitted).await {
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
        // Off the board first: whoever comes from now on reads the catalog.
        lock(&self.inner.flights).remove(&master);
        flight.phase.send_replace(Phase::Done(result));
    }

    /// Waits until the call may be made. `None` if everybody left; then the flight is off the board.
    async fn queue(&self, master: MasterId, flight: &Flight) -> Result<Option<(Permit, Admitted)>, VfsError> {
        let mut turn = flight.turn.subscribe();
        self.check_budget(master, flight)?;
        let admitted = self.inner.breaker.admit().await.map_err(|error| VfsError::from(Arc::new(error)))?;
        let begun = Instant::now();
        loop {
            if flight.phase.is_closed() && self.leave_board(master, flight) {
                return Ok(None);
            }
            let wanted = turn.borrow_and_update().clone();
            tokio::select! {
                biased;
                permit = self.inner.limiter.acquire_for(wanted.priority, &wanted.user) => {
                    let permit = permit.map_err(VfsError::from)?;
                    self.inner.waits[wanted.priority as usize].note(begun.elapsed());
                    return Ok(Some((permit, admitted)));
                }
                _ = turn.changed() => {}
                // Nobody waits for the rate limit of what would not answer.
                () = self.inner.breaker.down() => {
                    self.inner.breaker.check().map_err(|error| VfsError::from(Arc::new(error)))?;
                }
                () = flight.phase.closed() => {}
            }
        }
    }

    /// Takes a flight that nobody waits for off the board.
    fn leave_board(&self, master: MasterId, flight: &Flight) -> bool {
        let mut flights = lock(&self.inner.flights);
        // Somebody may have joined between the last one's leaving and this lock.
        let left = flight.phase.is_closed();
        if left {
            flights.remove(&master);
        }
        left
    }

    /// In whose name a call is made now. `None`: everybody has gone, and the flight is off the board.
    fn payer(&self, master: MasterId, flight: &Flight) -> Option<Principal> {
        flight.payer().or_else(|| {
            let mut flights = lock(&self.inner.flights);
            // Somebody may have joined meanwhile.
            let payer = flight.payer();
            if payer.is_none() {
                flights.remove(&master);
            }
            payer
        })
    }

    /// One billed call with its ledger row, its outcome stored.
    async fn call(
        &self,
        master: MasterId,
        renew: bool,
        flight: &Flight,
        permit: Permit,
        admitted: Admitted,
    ) -> Result<(), Failure> {
        let reason = flight.turn.borrow().priority;
        // Before the row: after a restart, a call counts from its row on.
        if let Err(error) = self.inner.player.ready().await {
            let answer = Err(error.unsent());
            self.inner.breaker.conclude(admitted, Ask::of(&master), &answer);
            self.land(permit.spend(), &answer);
            return Err(answer.map_or_else(failure, |_| Failure::Throttled));
        }
        // The login may have taken long.
        if flight.phase.is_closed() && self.leave_board(master, flight) {
            return Err(Failure::Left);
        }
        self.ask(master).map_err(Failure::Final)?;
        let Some(payer) = self.payer(master, flight) else {
            return Err(Failure::Final(VfsError::interrupted().uncalled()));
        };
        let row = self.enter_in_ledger(master, &payer, reason).await.map_err(Failure::Final)?;
        payer.note_payment(true);
        let under_way = permit.spend();
        let admitted = admitted.now();
        // Long before those who wait give up it is known whether the service is there at all.
        let quiet = lock(&self.inner.limits).deadline / 3;
        let answer = self.inner.breaker.watch(quiet, self.inner.player.playback(master, renew)).await;
        self.inner.breaker.conclude(admitted, Ask::of(&master), &answer);
        self.land(under_way, &answer);
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
        let catalog = self.inner.catalog.clone();
        match tokio::task::spawn_blocking(move || catalog.ledger_finish(row, &outcome)).await {
            Ok(Ok(())) => stored,
            Ok(Err(error)) => Err(Failure::Final(error.into())),
            Err(_) => Err(Failure::Final(VfsError::new(ErrorKind::Io, "the ledger was interrupted"))),
        }
    }

    /// Tells the limiter how the call ended.
    fn land(&self, under_way: InFlight, answer: &Result<PlaybackAnswer, ApiError>) {
        match answer {
            Ok(_) => {
                under_way.finished();
                self.inner.answered.send_replace(Some(Instant::now()));
            }
            Err(error) => match error.kind {
                ApiErrorKind::RateLimited { retry_after } => under_way.throttled(retry_after),
                _ if error.is_unsent() => under_way.unsent(),
                _ => drop(under_way),
            },
        }
    }

    async fn store(&self, master: MasterId, answer: &PlaybackAnswer, payer: &Principal) -> Result<(), VfsError> {
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
        // A new link is all that a resolved interaction takes from another call: what was published stays put.
        if !is_known {
            let mut resolution = documents::resolution(master, known.channel, known.mtime, answer, now);
            keep_sizes(&mut resolution, &known);
            let (resolver, before) = (self.clone(), known.clone());
            // A flush of the disk, which must not keep a worker from reading the next answer.
            let stored = tokio::task::spawn_blocking(move || resolver.publish(&before, &resolution, now)).await;
            stored.map_err(|_| VfsError::new(ErrorKind::Io, "storing what CXone said was interrupted"))??;
            self.shown_otherwise(&known).await;
        }
        Ok(())
    }

    async fn enter_in_ledger(
        &self,
        master: MasterId,
        payer: &Principal,
        reason: Priority,
    ) -> Result<LedgerId, VfsError> {
        let (uid, pid, comm) = (payer.user().uid, payer.pid(), payer.comm().to_owned());
        let entry = LedgerEntry { at: self.inner.clock.now(), master_id: master, reason, uid, pid, comm };
        let allowed = self.allowed();
        let row = self.inner.purse.spend(entry, allowed).await;
        if row.as_ref().is_err_and(|error| error.kind() == ErrorKind::BudgetSpent) {
            self.log_spent_budget(allowed, master, payer);
        }
        row
    }

    /// What may be spent today.
    fn allowed(&self) -> Allowed {
        let limits = lock(&self.inner.limits);
        Allowed { budget: limits.budget, user_budget: limits.user_budget }
    }

    /// Says no before the queue; what decides is [`Purse::spend`](super::purse::Purse::spend), after it.
    fn check_budget(&self, master: MasterId, flight: &Flight) -> Result<(), VfsError> {
        let (allowed, user) = (self.allowed(), flight.turn.borrow().user.clone());
        let spent = allowed.check(&self.inner.catalog, self.inner.clock.now(), &user);
        if spent.as_ref().is_err_and(|error| error.kind() == ErrorKind::BudgetSpent)
            && let Some(payer) = flight.payer()
        {
            self.log_spent_budget(allowed, master, &payer);
        }
        spent
    }

    /// Once a day for the budget of all, and once for each user's.
    fn log_spent_budget(&self, allowed: Allowed, master: MasterId, payer: &Principal) {
        let (now, user) = (self.inner.clock.now(), UserKey::Uid(payer.user().uid));
        let is_left = spent_on_day_of(&self.inner.catalog, now).is_ok_and(|spent| allowed.budget.allows(spent));
        if is_left && allowed.check(&self.inner.catalog, now, &user).is_ok() {
            return;
        }
        let (whose, budget) = if is_left { (Some(user), allowed.user_budget) } else { (None, allowed.budget) };
        let today = Day::of(now, &jiff::tz::TimeZone::UTC);
        {
            let mut logged = lock(&self.inner.budgets_logged);
            if logged.0 != today {
                *logged = (today, HashSet::new());
            }
            if !logged.1.insert(whose.clone()) {
                return;
            }
        }
        let limit = budget.0.unwrap_or(u64::MAX);
        let (what, key) = match whose {
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

fn turn_of(want: &Want) -> Turn {
    Turn { priority: want.priority, user: UserKey::Uid(want.principal.user().uid) }
}

/// Takes a flight off the board however its task ends, a panic included: nobody may join a flight that will not land.
struct OnBoard<'a> {
    resolver: &'a Resolver,
    master: MasterId,
    flight: &'a Arc<Flight>,
}

impl Drop for OnBoard<'_> {
    fn drop(&mut self) {
        let mut flights = lock(&self.resolver.inner.flights);
        if flights.get(&self.master).is_some_and(|flight| Arc::ptr_eq(flight, self.flight)) {
            flights.remove(&self.master);
        }
    }
}

/// Whether a call was made and not answered: it may have been billed, and the next may end the same way.
fn is_failure(error: &ApiError) -> bool {
    matches!(error.kind, ApiErrorKind::Unavailable | ApiErrorKind::Timeout)
        && !error.is_unsent()
        && !error.is_token_renewed()
}

fn failure(error: ApiError) -> Failure {
    if error.is_token_renewed() {
        return Failure::TokenRenewed;
    }
    let (kind, is_unsent) = (error.kind, error.is_unsent());
    let error = || VfsError::from(Arc::new(error));
    match kind {
        ApiErrorKind::RateLimited { .. } => Failure::Throttled,
        ApiErrorKind::Unavailable if is_unsent => Failure::Unsent(error()),
        _ => Failure::Final(error()),
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
