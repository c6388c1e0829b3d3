//! The tree: places, what a look shows of them, listings, open files, and the policy of what may cost a billed call.
//!
//! Every front end shows this tree: `walk` or `find` gives a [`Node`], `list` and `stat` show it, `open` gives a [`File`]. Whoever asks is a
//! [`Principal`]. What a front end keeps of what it was shown is its own matter; it hears of changes as an [`Observer`].
//!
//! Knows no inode table, no lifetime of an answer, no process and no HTTP. Every operation is an `async fn` that finishes at its first poll
//! unless it truly has to wait for the network, so that a front end can answer from memory without spawning a task.

mod anticipate;
mod audit;
mod children;
mod closed;
mod documents;
mod error;
mod estimate;
mod evidence;
mod file;
mod forget;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod guard;
mod known_names;
mod links;
mod listing;
mod lookup;
mod meters;
mod never;
mod node;
mod note;
mod observers;
mod open;
mod paths;
mod policy;
mod prefetch_cursors;
mod principal;
mod resolve;
mod signing;
mod stat;
#[cfg(test)]
pub mod testing;
pub mod warm;
mod xattr;

pub use audit::{Act, Audit, NoAudit, NotAudited, OpenEvent};
pub use error::{ErrorKind, TreeError};
pub use evidence::{Listed, SHA256, start_hashing};
pub use file::File;
pub use guard::GuardedPrograms;
pub use listing::{DirEntry, Listing};
pub use lookup::Entry;
pub use meters::Reads;
pub use never::never;
pub use node::{Node, Place};
pub use observers::{Erased, Observer, Observers};
pub use paths::Subject;
pub use policy::{Callers, ProgramPatterns};
pub use principal::{Origin, Presence, Principal, Program, User};
pub use resolve::{Player, ResolveLimits, ResolveRequest, Resolver, forget_in_role, outcome_word, recording_key};
pub use stat::{Holds, Stat};

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use crate::base::{AgentId, Channel, Channels, Clock, Day, MasterId, ResolveOn, Since};
use crate::catalog::{AgentFolder, Catalog, Indexer, InteractionFolder};
use closed::Closed;
use guard::Guard;
use known_names::KnownNames;
use prefetch_cursors::Anticipation;

/// What of the tenant is shown, to whom, and what looking may cost.
#[derive(Clone, Debug)]
pub struct TreeSettings {
    /// What this door is called in records: its mount point.
    pub door: Arc<str>,
    pub timezone: TimeZone,
    pub since: Since,
    /// Interactions on other channels are not shown.
    pub channels: Channels,
    pub resolve_on: ResolveOn,
    /// Prepare what a complete backup reads next.
    pub anticipate: bool,
    /// Programs that may look but cause no billed call.
    pub guarded: GuardedPrograms,
    /// For whom a look resolves, whatever `resolve_on` says.
    pub exact_for: Callers,
    /// How long one request may take to list a day.
    pub deadline: Duration,
}

/// Whether an interaction on this channel is expected to have a recording.
pub fn expects_recording(channel: Channel) -> bool {
    children::predicted(channel).contains(&crate::catalog::FileKind::Recording(0))
}

/// How long a learned rate is used before it is looked up again; a folder's listing must not ask once per file.
const RATE_KEPT: Duration = Duration::from_secs(10);

/// The parts that the tree is made of.
pub struct Parts {
    pub catalog: Catalog,
    pub indexer: Indexer,
    pub resolver: Resolver,
    pub clock: Arc<dyn Clock>,
    pub audit: Arc<dyn Audit>,
}

/// The tree.
pub struct Tree {
    settings: TreeSettings,
    guard: Guard,
    catalog: Catalog,
    indexer: Indexer,
    resolver: Resolver,
    clock: Arc<dyn Clock>,
    audit: Arc<dyn Audit>,
    names: KnownNames,
    rates: Mutex<HashMap<Channel, (Timestamp, Option<f64>)>>,
    /// Recordings whose object changed at the source since the start. There are few. All trees over the same parts share them.
    changed: Arc<Mutex<HashSet<(MasterId, u8)>>>,
    anticipation: Anticipation,
    /// All trees over the same parts share them.
    read_counters: Arc<meters::ReadCounters>,
    /// Recordings that were closed and may be hashed. All trees over the same parts share them.
    closed: Arc<Closed>,
}

impl Tree {
    /// Touches no network.
    pub fn new(settings: TreeSettings, parts: Parts) -> Tree {
        Tree {
            guard: Guard::new(settings.guarded.clone()),
            settings,
            catalog: parts.catalog,
            indexer: parts.indexer,
            resolver: parts.resolver,
            clock: parts.clock,
            audit: parts.audit,
            names: KnownNames::new(),
            rates: Mutex::new(HashMap::new()),
            changed: Arc::default(),
            anticipation: Anticipation::new(),
            read_counters: Arc::default(),
            closed: Arc::new(Closed::new()),
        }
    }

    /// The same tree with other rules of what looking may cost: what is known, cached and counted is shared. Whoever comes through it waits for
    /// the rate limit as long as calls still go through, if `waits_long`.
    #[must_use]
    pub fn beside(&self, settings: TreeSettings, waits_long: bool) -> Tree {
        let parts = Parts {
            catalog: self.catalog.clone(),
            indexer: self.indexer.clone(),
            resolver: self.resolver.waiting_long(waits_long),
            clock: Arc::clone(&self.clock),
            audit: Arc::clone(&self.audit),
        };
        let (changed, read_counters) = (Arc::clone(&self.changed), Arc::clone(&self.read_counters));
        Tree { changed, read_counters, closed: Arc::clone(&self.closed), ..Tree::new(settings, parts) }
    }

    /// When a look makes a billed call.
    pub fn resolve_on(&self) -> ResolveOn {
        self.settings.resolve_on
    }

    /// Who hears of changes.
    pub fn observers(&self) -> &Observers {
        self.resolver.observers()
    }

    /// The node at a path, whose names are separated by `/`; the root for none.
    pub async fn walk(&self, path: &str, principal: &Principal) -> Result<Node, TreeError> {
        let mut node = Node::Root;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            node = self.find(node, name, principal).await?.node;
        }
        Ok(node)
    }

    /// What a name below a directory stands for.
    pub async fn find(&self, parent: Node, name: &str, principal: &Principal) -> Result<Entry, TreeError> {
        unless_given_up(principal, self.find_patiently(parent, name, principal)).await
    }

    /// What a look shows of a node.
    pub async fn stat(&self, node: Node, principal: &Principal) -> Result<Stat, TreeError> {
        unless_given_up(principal, self.stat_patiently(node, principal)).await
    }

    /// The names below a directory. Waits for the network only if the day was never indexed, or where `resolve_on = "list"` wants an exact
    /// listing.
    pub async fn list(&self, node: Node, principal: &Principal) -> Result<Listing, TreeError> {
        unless_given_up(principal, self.list_patiently(node, principal)).await
    }

    /// Interactions and bytes, as far as they are known.
    pub fn totals(&self) -> Result<(u64, u64), TreeError> {
        Ok(self.catalog.totals()?)
    }

    /// What was read so far.
    pub fn reads(&self) -> Reads<u64> {
        self.read_counters.counted()
    }

    /// The time, as the tree has it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who resolves: limits, budget, the state of the service.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Whether an interaction was erased.
    pub fn is_erased(&self, master: MasterId) -> bool {
        self.catalog.erased_at(master.0).is_some()
    }

    /// Guards against other programs from now on.
    pub fn set_guarded(&self, programs: GuardedPrograms) {
        self.guard.set(programs);
    }

    /// The day in the index; waits for the network only if it was never indexed, and then no longer than a request may.
    pub async fn ensure_day(&self, day: Day) -> Result<(), TreeError> {
        let deadline = self.settings.deadline;
        let indexed = tokio::time::timeout(deadline, self.indexer.ensure(day)).await;
        indexed.map_err(|_| {
            let deadline = crate::base::span::words(deadline);
            let message = format!(
                "listing {day} takes longer than {deadline} (limits.deadline); it goes on: look again in a minute"
            );
            TreeError::new(ErrorKind::TimedOut, message)
        })??;
        Ok(())
    }

    /// The tree's first and last day, now.
    pub fn days(&self) -> (Day, Day) {
        let today = Day::of(self.clock.now(), &self.settings.timezone);
        (self.settings.since.first_day(today), today)
    }

    fn learned_rate(&self, channel: Channel) -> Result<Option<f64>, TreeError> {
        let now = self.clock.now();
        let kept = self.rates.lock().get(&channel).copied();
        if let Some((at, rate)) = kept
            && now.duration_since(at).unsigned_abs() < RATE_KEPT
        {
            return Ok(rate);
        }
        let rate = self.catalog.learned_rate(channel)?;
        self.rates.lock().insert(channel, (now, rate));
        Ok(rate)
    }

    /// Days whose listing changed, as they do.
    pub fn changed_days(&self) -> tokio::sync::broadcast::Receiver<Day> {
        self.indexer.changes()
    }

    /// Indexed days that are not final.
    pub fn open_days(&self) -> Vec<Day> {
        self.catalog.open_days(self.days().0).unwrap_or_default()
    }

    /// When a day ends here.
    pub fn end_of(&self, day: Day) -> Timestamp {
        day.next().start(&self.settings.timezone)
    }

    /// Begins to refresh an indexed day if that is due; answers at once.
    pub async fn refresh_if_due(&self, day: Day) -> Result<(), TreeError> {
        self.indexer.ensure(day).await?;
        Ok(())
    }

    /// Lists a whole day again, also a final one.
    pub async fn refresh(&self, day: Day) -> Result<(), TreeError> {
        self.indexer.refresh(day).await?;
        Ok(())
    }

    /// The agents of an indexed day, and the interactions of one, as they are shown.
    pub fn agents(&self, day: Day) -> Result<Vec<AgentFolder>, TreeError> {
        Ok(self.catalog.agents(day, &self.settings.channels)?)
    }

    /// The interactions of an agent's day, as they are shown.
    pub fn interactions(&self, day: Day, agent: AgentId) -> Result<Vec<InteractionFolder>, TreeError> {
        Ok(self.catalog.interactions(day, agent, &self.settings.channels)?)
    }

    fn note_changed(&self, master: MasterId, index: u8) {
        self.changed.lock().insert((master, index));
    }

    fn has_changed(&self, master: MasterId, index: u8) -> bool {
        self.changed.lock().contains(&(master, index))
    }
}

/// Ends with `Interrupted` within a second of a signal that should end the caller's wait. The work that was begun goes on if others
/// wait for it too.
async fn unless_given_up<T>(
    principal: &Principal,
    work: impl Future<Output = Result<T, TreeError>>,
) -> Result<T, TreeError> {
    tokio::select! {
        biased;
        result = work => result,
        () = principal.gave_up() => Err(TreeError::interrupted()),
    }
}
