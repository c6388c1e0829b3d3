//! What waits to be written. Bounded, and fair: one user's events never take the room that another user's need.
//!
//! The lock is held for some comparisons and never while anything waits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::coalesce::Coalescer;
use super::line::Head;
use super::record::AuditRecord;
use crate::ops::redact::Meant;

/// What the writer does besides.
pub enum Job {
    /// Write whatever is counted or gathered, and note the head.
    Flush(SyncSender<Head>),
    /// Erase from the file that is written to.
    Erase(Meant, SyncSender<io::Result<u64>>),
}

/// Events that may wait. At 500 bytes each this is 4 MiB.
const WAITING_MAX: usize = 8192;
/// What a user may have waiting in any case.
const OWN_MIN: usize = 32;
/// Users whose losses are counted apart.
const USERS_MAX: usize = 64;

/// The program's own events belong to no user.
const NOBODY: u32 = u32::MAX;

/// Why an event is not on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written (audit.required): {0}")]
pub struct NotWritten(pub String);

/// Is told what became of an event.
pub type Waiter = oneshot::Sender<Result<(), NotWritten>>;

/// An event that waits.
pub struct Item {
    pub record: AuditRecord,
    pub waiter: Option<Waiter>,
}

/// What was taken to be written.
#[derive(Default)]
pub struct Taken {
    pub items: VecDeque<Item>,
    pub jobs: VecDeque<Job>,
    pub is_closing: bool,
}

/// Events that were lost since the last line that said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub count: u64,
    pub by_user: BTreeMap<u32, u64>,
}

impl Lost {
    /// Counts events of a user.
    pub fn add(&mut self, user: Option<u32>, count: u64) {
        self.count += count;
        if let Some(user) = user
            && (self.by_user.len() < USERS_MAX || self.by_user.contains_key(&user))
        {
            *self.by_user.entry(user).or_default() += count;
        }
    }

    /// Counts those of another.
    pub fn add_all(&mut self, other: &Lost) {
        let known: u64 = other.by_user.values().sum();
        for (user, count) in &other.by_user {
            self.add(Some(*user), *count);
        }
        self.add(None, other.count - known);
    }
}

struct Waiting {
    taken: Taken,
    by_user: HashMap<u32, usize>,
    lost: Lost,
    coalescer: Coalescer,
}

/// The events that wait.
pub struct Intake {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    room: Notify,
}

fn user_of(record: &AuditRecord) -> u32 {
    record.actor.as_ref().map_or(NOBODY, |actor| actor.uid)
}

impl Waiting {
    /// Half of what is free is for users who have less waiting.
    fn has_room_for(&self, user: u32) -> bool {
        let all = self.taken.items.len();
        let own = self.by_user.get(&user).copied().unwrap_or(0);
        all < WAITING_MAX && (own < OWN_MIN || own < usize::midpoint(WAITING_MAX - all, own))
    }

    fn push(&mut self, record: AuditRecord, waiter: Option<Waiter>) -> Result<(), Box<Item>> {
        let user = user_of(&record);
        if !self.has_room_for(user) {
            return Err(Box::new(Item { record, waiter }));
        }
        *self.by_user.entry(user).or_default() += 1;
        self.taken.items.push_back(Item { record, waiter });
        Ok(())
    }

    fn push_or_lose(&mut self, record: AuditRecord) {
        if let Err(item) = self.push(record, None) {
            self.lose(&item.record);
        }
    }

    fn lose(&mut self, record: &AuditRecord) {
        self.lost.add(record.actor.as_ref().map(|actor| actor.uid), record.count);
    }
}

impl Intake {
    /// Nothing waits.
    pub fn new(coalescer: Coalescer) -> Intake {
        let waiting = Waiting { taken: Taken::default(), by_user: HashMap::new(), lost: Lost::default(), coalescer };
        Intake { waiting: Mutex::new(waiting), arrived: Condvar::new(), room: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock()
    }

    /// An event of a file. Gives it back if it is a line of its own for which there is no room now.
    pub fn event(&self, record: AuditRecord, waiter: Option<Waiter>) -> Result<(), Box<Item>> {
        let mut waiting = self.lock();
        let lines = waiting.coalescer.take(record);
        lines.due.into_iter().for_each(|due| waiting.push_or_lose(due));
        let pushed = if let Some(record) = lines.own {
            waiting.push(record, waiter)
        } else {
            // Its first line was written; only a count is to come, and the caller may have gone.
            waiter.map(|waiter| waiter.send(Ok(())));
            Ok(())
        };
        drop(waiting);
        self.arrived.notify_one();
        pushed
    }

    /// An event that is a line in any case.
    pub fn line(&self, record: AuditRecord, waiter: Option<Waiter>) -> Result<(), Box<Item>> {
        let pushed = self.lock().push(record, waiter);
        self.arrived.notify_one();
        pushed
    }

    /// An event for which there was no room in time.
    pub fn lose(&self, item: &Item) {
        self.lock().lose(&item.record);
        self.arrived.notify_one();
    }

    /// Resolves when something was taken.
    pub async fn room(&self) {
        self.room.notified().await;
    }

    /// Something for the writer to do.
    pub fn job(&self, job: Job) {
        self.lock().taken.jobs.push_back(job);
        self.arrived.notify_one();
    }

    /// The writer is to end when all is written.
    pub fn close(&self) {
        self.lock().taken.is_closing = true;
        self.arrived.notify_one();
    }

    /// Waits until there is something, but no longer than `within`.
    pub fn wait(&self, within: Duration) -> bool {
        let mut waiting = self.lock();
        let is_idle = |waiting: &mut Waiting| {
            let Taken { items, jobs, is_closing } = &waiting.taken;
            items.is_empty() && jobs.is_empty() && !is_closing
        };
        !self.arrived.wait_while_for(&mut waiting, is_idle, within).timed_out()
    }

    /// Whether somebody waits for what is to be written.
    pub fn is_urgent(&self) -> bool {
        let waiting = self.lock();
        waiting.taken.is_closing
            || !waiting.taken.jobs.is_empty()
            || waiting.taken.items.iter().any(|item| item.waiter.is_some())
    }

    /// Takes all that waits, and what was lost meanwhile.
    pub fn take(&self) -> (Taken, Lost) {
        let mut waiting = self.lock();
        waiting.by_user.clear();
        let is_closing = waiting.taken.is_closing;
        let taken = std::mem::replace(&mut waiting.taken, Taken { is_closing, ..Taken::default() });
        let lost = std::mem::take(&mut waiting.lost);
        drop(waiting);
        self.room.notify_waiters();
        (taken, lost)
    }

    /// Asks for lines that are due.
    pub fn due<T>(&self, ask: impl FnOnce(&mut Coalescer) -> T) -> T {
        ask(&mut self.lock().coalescer)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::record::Actor;
    use super::*;

    fn event(uid: u32, path: u32) -> AuditRecord {
        let actor = Actor { uid, ..Actor::default() };
        AuditRecord {
            actor: Some(actor),
            path: Some(path.to_string()),
            ..AuditRecord::new("open", Timestamp::UNIX_EPOCH)
        }
    }

    #[test]
    fn a_flood_of_one_user_leaves_room_for_all_others() {
        let intake = Intake::new(Coalescer::new(false));
        let flood = (0..1_000_000_u32).filter(|path| intake.event(event(1, *path), None).is_ok()).count();
        assert!(flood >= WAITING_MAX / 3, "{flood}");
        for user in 2..100 {
            for path in 0..OWN_MIN as u32 {
                assert!(intake.event(event(user, path), None).is_ok(), "user {user}");
            }
        }
        let (taken, lost) = intake.take();
        assert!(
            taken.items.len() <= WAITING_MAX && lost == Lost::default(),
            "what is given back is the caller's to count"
        );
        intake.event(event(1, 7), None).ok().unwrap();
    }

    #[test]
    fn what_is_lost_is_counted_for_its_user() {
        let intake = Intake::new(Coalescer::new(false));
        intake.lose(&Item { record: event(7, 1), waiter: None });
        intake.lose(&Item { record: AuditRecord { count: 4, ..event(8, 1) }, waiter: None });
        let (_, mut lost) = intake.take();
        assert_eq!((lost.count, lost.by_user.get(&8)), (5, Some(&4)));
        (0..1000).for_each(|user| lost.add(Some(user), 1));
        assert_eq!((lost.count, lost.by_user.len()), (1005, USERS_MAX));
        let mut sum = Lost::default();
        sum.add_all(&lost);
        sum.add_all(&lost);
        assert_eq!(sum.count, 2010);
    }
}
