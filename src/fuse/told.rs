//! Which size of each file the kernel may hold, so that no program reads by a size that was only estimated.
//!
//! The kernel takes the end of a `sendfile` or `splice` from the size that it was told before `open`. So an `open` is answered only
//! if the kernel holds the true size. Otherwise the attributes are dropped and the open is answered ESTALE: the VFS then looks the path up
//! again, which brings the true size, and repeats the open. The program sees nothing of it.
//!
//! What makes this exact although several threads look, open and are answered at once:
//! - The kernel discards a reply with attributes if a notice for the inode came after the request was sent. So once the true size is what
//!   every look shows, one notice ends all others: what the kernel takes over after it is the true size.
//! - A thread that was answered ESTALE after the notice has taken over such a reply before it opens again. No other thread is known to have
//!   done so: its open may be under way since before the notice. So a size counts as held only when the first repeated open arrives.
//! - A further notice between would discard what the repeated open relies on. So none is sent while one is expected.
//!
//! Knows no tree and no `fuser`: sending a notice is given to it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::fuse::door::Opened;

/// Enough that two kernel threads rarely meet.
const SHARDS: usize = 16;

/// How long a program that only tried a file with its first open is told of a low estimate when it opens it to read.
const TOLD_AGAIN_FOR: Duration = Duration::from_secs(2);

/// When a request was taken from the kernel, in relation to notices and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(u64);

/// The caller of an `open`, and when it arrived.
pub struct Caller<P> {
    /// 0 if it cannot be seen.
    pub thread: u32,
    /// Gives its process, 0 if that cannot be seen.
    pub process: P,
    pub arrival: Arrival,
    /// With `O_NONBLOCK`, which means nothing to a file: a program that looks for holes first opens it so, takes no notice if that fails, and then
    /// opens it without to read by the size that it saw before.
    pub only_tries: bool,
    pub now: Instant,
}

/// A process that was told of a low estimate when it only tried the file.
struct Tried {
    process: u32,
    shown: u64,
    until: Instant,
}

/// A size as it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Bytes.
    pub size: u64,
    pub is_estimate: bool,
}

/// How an `open` is to be answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel holds the true size.
    Exact,
    /// With ESTALE; the open file is kept for the repeated open.
    LookAgain,
    /// With an error: an estimate was lower than the truth, and whoever went by it would read too little.
    TooLow {
        /// The lowest estimate that was shown, bytes.
        shown: u64,
    },
}

/// What is known of every file that the kernel holds.
struct File {
    /// References that the kernel took with lookups.
    lookups: u64,
    /// The kernel holds this size, unless the file is among the unsure ones.
    shown: Shown,
}

/// Sizes told since the last notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Nothing,
    Only(u64),
    Several,
}

/// A file of which the kernel may hold one of several sizes.
struct Unsure {
    since: Since,
    /// The last notice: the kernel discards answers to requests that arrived before it.
    noticed: Arrival,
    /// The lowest estimate that was shown, since estimates were raised if they were.
    lowest: Option<u64>,
    /// When estimates were raised, and the lowest that was shown before.
    raised: Option<(Arrival, u64)>,
    /// When an open first found that `lowest` was too low. Opens that arrived before are told too.
    found_low: Option<Arrival>,
}

/// An open that was answered ESTALE after the last notice, and that the kernel is about to repeat.
struct Expected {
    thread: u32,
    answered: Arrival,
    opened: Opened,
}

#[derive(Default)]
struct Shard {
    files: HashMap<u64, File>,
    unsure: HashMap<u64, Unsure>,
    expected: HashMap<u64, Vec<Expected>>,
    /// There are few: estimates err high.
    tried: HashMap<u64, Tried>,
}

impl Shard {
    fn doubt(&mut self, ino: u64) -> &mut Unsure {
        let estimate = self.files.get(&ino).map(|file| file.shown).filter(|shown| shown.is_estimate);
        self.unsure.entry(ino).or_insert_with(|| Unsure {
            since: Since::Several,
            noticed: Arrival(0),
            lowest: estimate.map(|shown| shown.size),
            raised: None,
            found_low: None,
        })
    }

    fn note(&mut self, ino: u64, shown: Shown, arrival: Arrival) {
        let Some(file) = self.files.get(&ino) else { return };
        if file.shown == shown && !self.unsure.contains_key(&ino) {
            return;
        }
        let same_size = file.shown.size == shown.size;
        match self.unsure.get_mut(&ino) {
            // An estimate that turned out to be right.
            None if same_size => {}
            None => {
                let unsure = self.doubt(ino);
                unsure.note_estimate(shown, arrival);
            }
            Some(unsure) => {
                unsure.note_estimate(shown, arrival);
                if arrival >= unsure.noticed {
                    unsure.since = match unsure.since {
                        Since::Nothing => Since::Only(shown.size),
                        Since::Only(size) if size == shown.size => unsure.since,
                        Since::Only(_) | Since::Several => Since::Several,
                    };
                }
            }
        }
    }

    /// The kernel holds `size` from now on.
    fn held(&mut self, ino: u64, size: u64) {
        self.unsure.remove(&ino);
        if let Some(file) = self.files.get_mut(&ino) {
            file.shown = Shown { size, is_estimate: false };
        }
    }
}

impl Unsure {
    /// Whoever asked saw it, also where the kernel discards it.
    fn note_estimate(&mut self, shown: Shown, arrival: Arrival) {
        if !shown.is_estimate {
            return;
        }
        match &mut self.raised {
            Some((at, before)) if arrival < *at => *before = shown.size.min(*before),
            _ => self.lowest = Some(self.lowest.map_or(shown.size, |lowest| lowest.min(shown.size))),
        }
    }

    /// The lowest estimate that somebody may go by whose open arrived at `arrival`.
    fn lowest_for(&self, arrival: Arrival) -> Option<u64> {
        match self.raised {
            Some((at, before)) if arrival < at || self.lowest.is_none() => {
                Some(self.lowest.map_or(before, |lowest| lowest.min(before)))
            }
            _ => self.lowest,
        }
    }

    /// Whether all that was told since the last notice is `size`.
    fn agrees_with(&self, size: u64) -> bool {
        matches!(self.since, Since::Nothing) || self.since == Since::Only(size)
    }
}

/// The sizes that one mount told.
pub struct Told {
    shards: [Mutex<Shard>; SHARDS],
    events: AtomicU64,
}

impl Told {
    /// Nothing told.
    pub fn new() -> Told {
        Told { shards: std::array::from_fn(|_| Mutex::default()), events: AtomicU64::new(0) }
    }

    /// To be taken when a request arrives, before anything is looked up for it.
    pub fn arrived(&self) -> Arrival {
        Arrival(self.events.load(Ordering::SeqCst))
    }

    /// A lookup, which adds a reference, is about to be answered.
    pub fn looked_up(&self, ino: u64, shown: Shown, arrival: Arrival) {
        let mut guard = self.shard(ino);
        let shard = &mut *guard;
        match shard.files.entry(ino) {
            Entry::Vacant(vacant) => {
                vacant.insert(File { lookups: 1, shown });
            }
            Entry::Occupied(mut known) => {
                known.get_mut().lookups += 1;
                shard.note(ino, shown, arrival);
            }
        }
    }

    /// A request for attributes is about to be answered.
    pub fn shown(&self, ino: u64, shown: Shown, arrival: Arrival) {
        self.shard(ino).note(ino, shown, arrival);
    }

    /// A reader got to the end of an open file that has `size` bytes. The kernel then takes that for the size of the file, whatever it
    /// was told.
    pub fn ended_at(&self, ino: u64, size: u64) {
        let mut guard = self.shard(ino);
        let shard = &mut *guard;
        if shard.unsure.contains_key(&ino) || shard.files.get(&ino).is_some_and(|file| file.shown.size != size) {
            shard.doubt(ino).since = Since::Several;
        }
    }

    /// The kernel dropped references. Gives what was kept for opens that are not repeated.
    pub fn forget(&self, ino: u64, count: u64) -> Vec<Opened> {
        let mut guard = self.shard(ino);
        let shard = &mut *guard;
        let Some(file) = shard.files.get_mut(&ino) else { return Vec::new() };
        file.lookups = file.lookups.saturating_sub(count);
        if file.lookups > 0 {
            return Vec::new();
        }
        shard.files.remove(&ino);
        // A walk of a million files must not pin its peak for ever.
        if shard.files.len() * 4 < shard.files.capacity() {
            shard.files.shrink_to(64);
        }
        shard.unsure.remove(&ino);
        shard.tried.remove(&ino);
        shard.expected.remove(&ino).unwrap_or_default().into_iter().map(|expected| expected.opened).collect()
    }

    /// An open arrived that repeats one that was answered ESTALE: gives its open file if the kernel holds the size by now. If it does not,
    /// the error is the open file, which is of no use any more.
    pub fn repeated(&self, ino: u64, thread: u32, arrival: Arrival) -> Option<Result<Opened, Opened>> {
        let mut guard = self.shard(ino);
        let shard = &mut *guard;
        let expected = shard.expected.get_mut(&ino)?;
        let index = expected.iter().position(|one| one.thread == thread && one.answered <= arrival)?;
        let opened = expected.swap_remove(index).opened;
        if expected.is_empty() {
            shard.expected.remove(&ino);
        }
        let is_held = match shard.unsure.get(&ino) {
            Some(unsure) => unsure.since == Since::Only(opened.size),
            None => shard.files.get(&ino).is_some_and(|file| file.shown.size == opened.size),
        };
        if !is_held {
            return Some(Err(opened));
        }
        shard.held(ino, opened.size);
        Some(Ok(opened))
    }

    /// Nobody repeated the open in time: gives what was kept for it.
    pub fn expire(&self, ino: u64, handle: u64) -> Option<Opened> {
        let mut guard = self.shard(ino);
        let shard = &mut *guard;
        let expected = shard.expected.get_mut(&ino)?;
        let index = expected.iter().position(|one| one.opened.handle == handle)?;
        let opened = expected.swap_remove(index).opened;
        if expected.is_empty() {
            shard.expected.remove(&ino);
        }
        Some(opened)
    }

    /// How an open is to be answered, `opened` being the open file. `notify` has the kernel drop the file's attributes. What was kept for opens
    /// that are not expected any more is added to `useless`.
    pub fn verdict(
        &self,
        ino: u64,
        opened: Opened,
        caller: &Caller<impl Fn() -> u32>,
        notify: impl FnOnce(),
        useless: &mut Vec<Opened>,
    ) -> Verdict {
        let mut guard = self.shard(ino);
        let shard = &mut *guard;
        let Caller { thread, arrival, now, .. } = *caller;
        if let Some(tried) = shard.tried.get(&ino) {
            if now >= tried.until {
                shard.tried.remove(&ino);
            } else if !caller.only_tries && (caller.process)() == tried.process {
                return Verdict::TooLow { shown: tried.shown };
            }
        }
        let is_held = shard.files.get(&ino).is_some_and(|file| file.shown.size == opened.size);
        if is_held && !shard.unsure.contains_key(&ino) {
            return Verdict::Exact;
        }
        let is_repetition_expected = shard.expected.contains_key(&ino);
        let unsure = shard.doubt(ino);
        let lowest = unsure.lowest_for(arrival).filter(|lowest| *lowest < opened.size);
        let too_low = lowest.filter(|_| unsure.found_low.is_none_or(|found| arrival < found));
        if !(is_repetition_expected && unsure.agrees_with(opened.size)) {
            unsure.noticed = self.event();
            unsure.since = Since::Nothing;
            // Under the lock: nobody is answered ESTALE between the decision and the notice.
            notify();
            let given_up = shard.expected.remove(&ino).unwrap_or_default();
            useless.extend(given_up.into_iter().map(|expected| expected.opened));
        }
        if let Some(shown) = too_low {
            let event = self.event();
            shard.doubt(ino).found_low.get_or_insert(event);
            let process = if caller.only_tries { (caller.process)() } else { 0 };
            if process != 0 {
                shard.tried.insert(ino, Tried { process, shown, until: now + TOLD_AGAIN_FOR });
            }
            return Verdict::TooLow { shown };
        }
        let expected = Expected { thread, answered: self.event(), opened };
        shard.expected.entry(ino).or_default().push(expected);
        Verdict::LookAgain
    }

    /// Has `notify` drop the attributes of a file or directory. False, and nothing is done, while an open is expected that relies on what was
    /// told since the last notice.
    pub fn notice(&self, ino: u64, notify: impl FnOnce()) -> bool {
        let mut guard = self.shard(ino);
        let shard = &mut *guard;
        if shard.expected.contains_key(&ino) {
            return false;
        }
        if let Some(unsure) = shard.unsure.get_mut(&ino) {
            unsure.noticed = self.event();
            unsure.since = Since::Nothing;
        }
        notify();
        true
    }

    /// Estimates are higher from now on: has `notify` drop those that were shown.
    pub fn raised(&self, notify: impl Fn(u64)) {
        for shard in &self.shards {
            let estimates: Vec<u64> = {
                let shard = shard.lock();
                shard.files.iter().filter(|(_, file)| file.shown.is_estimate).map(|(ino, _)| *ino).collect()
            };
            // One at a time, so that nobody waits for all of them.
            for ino in estimates {
                let mut guard = shard.lock();
                let shard = &mut *guard;
                let is_estimate = shard.files.get(&ino).is_some_and(|file| file.shown.is_estimate);
                if !is_estimate || shard.expected.contains_key(&ino) {
                    continue;
                }
                let now = self.event();
                let unsure = shard.doubt(ino);
                if let Some(before) = unsure.lowest_for(Arrival(0)) {
                    unsure.raised = Some((now, before));
                    unsure.lowest = None;
                }
                unsure.noticed = now;
                unsure.since = Since::Nothing;
                notify(ino);
            }
        }
    }

    /// Everything that is requested from now on arrives after it.
    fn event(&self) -> Arrival {
        Arrival(self.events.fetch_add(1, Ordering::SeqCst) + 1)
    }

    // The low bits are a file's kind, the high ones a class: the middle of the hash spreads evenly.
    fn shard(&self, ino: u64) -> MutexGuard<'_, Shard> {
        self.shards[(ino >> 20) as usize % SHARDS].lock()
    }
}

#[cfg(test)]
mod tests;
