//! The tree: nodes, attributes, listings, open files, and the policy of what may cost a billed call.
//!
//! Knows no type of the `fuser` crate and no HTTP. Every operation is an `async fn` that finishes at its first poll unless it truly
//! has to wait for the network, so that the adapter can answer from memory without spawning a task.

mod absent;
mod anticipate;
mod attr;
mod audit;
mod children;
mod documents;
mod error;
mod estimate;
mod evidence;
mod forget;
mod fresh;
mod guard;
mod handles;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod kernel;
mod links;
mod listing;
mod listings;
mod lookup;
mod meters;
mod never;
mod node;
mod note;
mod open;
mod paths;
mod policy;
mod principal;
mod resolve;
#[cfg(test)]
mod testing;
pub mod warm;
mod xattr;

pub use attr::{Attr, Ownership, Ttl};
pub use audit::{Act, Audit, NoAudit, NotAudited, OpenEvent};
pub use error::{ErrorKind, VfsError};
pub use evidence::{Listed, SHA256, start_hashing};
pub use fresh::start_keeping_fresh;
pub use guard::GuardedPrograms;
pub use kernel::{KernelCache, NoKernel};
pub use listing::DirEntry;
pub use listings::Page;
pub use lookup::{Entry, Found, ROOT_INO};
pub use meters::{Measured, OPERATIONS, Reads, Slow};
pub use never::never;
pub use node::{InodeTable, Node, Place};
pub use open::Opened;
pub use paths::Subject;
pub use policy::{Callers, DailyBudget, ProgramPatterns};
pub use principal::{Origin, Presence, Principal, Program, User};
pub use resolve::{Player, ResolveLimits, Resolver, Want, forget_in_role, outcome_word, recording_key};

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::base::{Channel, Channels, Clock, Day, MasterId, ResolveOn, Since};
use crate::catalog::{Catalog, Indexer};
use absent::{Absent, Before, Remembered};
use attr::NAME_KEPT;
use guard::Guard;
use handles::{Handles, OpenFile};
use listings::Listings;

/// What of the tenant is shown, to whom, and what looking may cost.
#[derive(Clone, Debug)]
pub struct VfsSettings {
    /// What this door is called in records: its mount point.
    pub door: Arc<str>,
    pub timezone: TimeZone,
    pub since: Since,
    /// Interactions on other channels are not shown.
    pub channels: Channels,
    pub resolve_on: ResolveOn,
    /// Prepare what a complete backup reads next.
    pub anticipate: bool,
    pub ownership: Ownership,
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

/// Why an open failed that found the truth above the estimate.
const TOO_LOW: &str = "the size shown before was too low; open it again";
/// Files of which that is remembered.
const TOO_LOW_MAX: usize = 4096;

/// How long a learned rate is used before it is looked up again; a folder's listing must not ask once per file.
const RATE_KEPT: Duration = Duration::from_secs(10);

/// The parts that the tree is made of.
pub struct Parts {
    pub catalog: Catalog,
    pub indexer: Indexer,
    pub resolver: Resolver,
    pub clock: Arc<dyn Clock>,
    pub audit: Arc<dyn Audit>,
    pub kernel: Arc<dyn KernelCache>,
}

/// The tree.
pub struct Vfs {
    settings: VfsSettings,
    guard: Guard,
    catalog: Catalog,
    indexer: Indexer,
    resolver: Resolver,
    clock: Arc<dyn Clock>,
    audit: Arc<dyn Audit>,
    kernel: Arc<dyn KernelCache>,
    inodes: InodeTable,
    names: paths::KnownNames,
    files: Handles<OpenFile>,
    listings: Listings,
    absent: Arc<Absent>,
    rechecks: fresh::Rechecks,
    rates: Mutex<HashMap<Channel, (Timestamp, Option<f64>)>>,
    /// Recordings whose object changed at the source while mounted: the kernel may have pages of both for as long. There are few. All doors share
    /// them.
    changed: Arc<Mutex<HashSet<(MasterId, u8)>>>,
    anticipation: anticipate::Anticipation,
    /// All doors share them.
    meters: Arc<meters::Meters>,
    /// Recordings that were closed and may be hashed. All doors share them.
    closed: Arc<evidence::Closed>,
    /// Files whose last open failed because an estimate had been too low. There are few.
    too_low: Mutex<HashSet<u64>>,
}

impl Vfs {
    /// Touches no network.
    pub fn new(settings: VfsSettings, parts: Parts) -> Vfs {
        let absent = Arc::new(Absent::new());
        let kernel: Arc<dyn KernelCache> =
            Arc::new(kernel::WithAbsent { kernel: parts.kernel, absent: absent.clone() });
        parts.resolver.tell(kernel.clone());
        Vfs {
            guard: Guard::new(settings.guarded.clone()),
            settings,
            catalog: parts.catalog,
            indexer: parts.indexer,
            resolver: parts.resolver,
            clock: parts.clock,
            audit: parts.audit,
            kernel,
            inodes: InodeTable::new(),
            names: paths::KnownNames::new(),
            files: Handles::new(),
            listings: Listings::new(),
            absent,
            rechecks: fresh::Rechecks::default(),
            rates: Mutex::new(HashMap::new()),
            changed: Arc::default(),
            anticipation: anticipate::Anticipation::new(),
            meters: Arc::default(),
            closed: Arc::new(evidence::Closed::new()),
            too_low: Mutex::new(HashSet::new()),
        }
    }

    /// The same tree through a further door, with rules of its own of what looking may cost: what is known, cached and counted is shared. Whoever
    /// comes through it waits for the rate limit as long as calls still go through, if `waits_long`.
    #[must_use]
    pub fn beside(&self, settings: VfsSettings, waits_long: bool, kernel: Arc<dyn KernelCache>) -> Vfs {
        let parts = Parts {
            catalog: self.catalog.clone(),
            indexer: self.indexer.clone(),
            resolver: self.resolver.waiting_long(waits_long),
            clock: Arc::clone(&self.clock),
            audit: Arc::clone(&self.audit),
            kernel,
        };
        let (changed, meters) = (Arc::clone(&self.changed), Arc::clone(&self.meters));
        Vfs { changed, meters, closed: Arc::clone(&self.closed), ..Vfs::new(settings, parts) }
    }

    /// When looking through this door makes a billed call.
    pub fn resolve_on(&self) -> ResolveOn {
        self.settings.resolve_on
    }

    /// Answers a name, and counts the reference that the kernel takes with the answer.
    pub async fn lookup(&self, parent: u64, name: &OsStr, principal: &Principal) -> Result<Found, VfsError> {
        let directory = self.node(parent)?;
        let before = self.absent.before();
        let found = unless_given_up(principal, self.find(directory, name, principal)).await;
        self.named(before, (parent, directory), name, found)
    }

    /// The same without waiting; `None` where [`Vfs::lookup`] would have to wait.
    pub fn lookup_known(&self, parent: u64, name: &OsStr, principal: &Principal) -> Option<Result<Found, VfsError>> {
        let before = self.absent.before();
        let known =
            self.node(parent).map(|directory| (directory, self.known_name(directory, name, principal).transpose()));
        match known {
            Ok((directory, found)) => Some(self.named(before, (parent, directory), name, found?)),
            Err(error) => Some(Err(error)),
        }
    }

    /// What a name turned out to be is answered, and with it noted what the kernel then knows.
    fn named(
        &self,
        before: Before,
        (parent, directory): (u64, Node),
        name: &OsStr,
        found: Result<Entry, VfsError>,
    ) -> Result<Found, VfsError> {
        match found {
            Ok(entry) => {
                self.inodes.remember(entry.attr.ino, entry.node);
                Ok(Found::Entry(entry))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && self.absence_may_be_kept(directory)? => {
                // A name that is not UTF-8 never appears.
                let Some(name) = name.to_str() else { return Ok(Found::Absent(NAME_KEPT)) };
                if absent::may_name_somebody(name) {
                    return Err(error);
                }
                match self.absent.remember(before, parent, name) {
                    Remembered::No => Err(error),
                    Remembered::Yes(pushed_out) => {
                        if let Some((directory, name)) = pushed_out {
                            self.kernel.forget_name(directory, &name);
                        }
                        Ok(Found::Absent(NAME_KEPT))
                    }
                }
            }
            Err(error) => Err(error),
        }
    }

    /// The kernel dropped references.
    pub fn forget(&self, ino: u64, count: u64) {
        self.inodes.forget(ino, count);
    }

    /// What `stat` shows.
    pub async fn getattr(&self, ino: u64, principal: &Principal) -> Result<(Attr, Duration), VfsError> {
        let node = self.node(ino)?;
        let entry = unless_given_up(principal, self.entry(node, principal)).await?;
        Ok((entry.attr, entry.ttl.attr))
    }

    /// The same without waiting; `None` where [`Vfs::getattr`] would have to wait.
    pub fn getattr_known(&self, ino: u64, principal: &Principal) -> Option<Result<(Attr, Duration), VfsError>> {
        let entry = self.node(ino).and_then(|node| self.known_entry(node, principal)).transpose()?;
        Some(entry.map(|entry| (entry.attr, entry.ttl.attr)))
    }

    /// Whether the kernel may keep every directory until it is told to drop it, and open none of them here.
    pub fn keeps_directories(&self) -> bool {
        // Where listing resolves, every listing of an interaction's folder must reach us until it is resolved.
        self.settings.resolve_on < ResolveOn::List
    }

    /// Opens a directory, where [`Vfs::keeps_directories`] is false: whether the kernel may keep this one's listing.
    pub fn opendir(&self, ino: u64) -> Result<bool, VfsError> {
        let node = self.node(ino)?;
        if matches!(node, Node::Contact(_) | Node::Shared(..)) {
            return Err(VfsError::new(ErrorKind::NotADirectory, "not a directory"));
        }
        self.may_be_kept(node)
    }

    /// The entries of a directory that follow the one with inode number `last`, without `.` and `..`; with `None` it is looked at anew.
    pub async fn readdir(&self, ino: u64, last: Option<u64>, principal: &Principal) -> Result<Page, VfsError> {
        if let Some(last) = last
            && let Some(known) = self.listings.get(ino)
        {
            return Ok(Page::after(known, last));
        }
        let node = self.node(ino)?;
        let listing = unless_given_up(principal, self.list(node, principal)).await?;
        self.listings.put(ino, listing.clone());
        Ok(last.map_or_else(|| Page::whole(listing.clone()), |last| Page::after(listing.clone(), last)))
    }

    /// Opens a file: resolves it if that was never done. Ends with `Interrupted` within a second of a signal that should end the wait.
    pub async fn open(&self, ino: u64, principal: &Principal) -> Result<Opened, VfsError> {
        self.open_as(ino, false, principal, async |opened| Ok(opened)).await
    }

    /// The same for a door that may refuse what was opened: the audit log says what came of `answer`. `keeps_atime`: the caller asked for the
    /// file's access time to be left alone.
    pub async fn open_as<T, F: Future<Output = Result<T, VfsError>>>(
        &self,
        ino: u64,
        keeps_atime: bool,
        principal: &Principal,
        answer: impl FnOnce(Opened) -> F,
    ) -> Result<T, VfsError> {
        let node = self.node(ino)?;
        match node {
            Node::Contact(place) => {
                self.audit.check()?;
                let answered = answered(self.open_contact(place), answer).await;
                self.audited(node, &principal.anew(), answered).await
            }
            Node::Shared(kind, place) => {
                self.audit.check()?;
                let asker = principal.anew();
                let opened = self.open_shared(kind, place, keeps_atime, &asker).await;
                let answered = answered(opened, answer).await;
                let result = self.audited(node, &asker, answered).await;
                self.anticipate(place, principal);
                result
            }
            Node::Root | Node::Day(_) | Node::Agent(..) | Node::Folder(_) => {
                Err(VfsError::new(ErrorKind::Io, "a directory cannot be opened as a file"))
            }
        }
    }

    /// Whether a handle is open.
    pub fn is_open(&self, handle: u64) -> bool {
        self.files.get(handle).is_some()
    }

    /// Bytes of an open file; shorter than `len` only at its end.
    pub async fn read(&self, handle: u64, offset: u64, len: u32, principal: &Principal) -> Result<Bytes, VfsError> {
        let file = self.files.get(handle).ok_or_else(closed_handle)?;
        self.read_file(&file, offset, len, principal).await
    }

    /// Closes a file. Within a runtime.
    pub fn release(&self, handle: u64) {
        if let Some(file) = self.files.remove(handle)
            && let OpenFile::Recording(_) = &*file
        {
            let closed = Arc::clone(&self.closed);
            // The last reader closes files of the cache, and may remove some.
            tokio::task::spawn_blocking(move || {
                let wanted = file.recorded();
                drop(file);
                if let Some(wanted) = wanted {
                    closed.note(wanted);
                }
            });
        }
    }

    /// The value of an extended attribute.
    pub fn getxattr(&self, ino: u64, name: &OsStr) -> Result<String, VfsError> {
        let no_such = || VfsError::new(ErrorKind::NoAttribute, "no such attribute");
        let name = name.to_str().ok_or_else(no_such)?;
        let is_too_low =
            name == xattr::REASON && self.too_low.lock().unwrap_or_else(PoisonError::into_inner).contains(&ino);
        if is_too_low { Ok(TOO_LOW.to_owned()) } else { self.xattr(self.node(ino)?, name) }
    }

    /// An open failed because the size that had been shown was too low, or did not. Gives the failure's sentence.
    pub fn note_too_low(&self, ino: u64, is_too_low: bool) -> &'static str {
        let mut files = self.too_low.lock().unwrap_or_else(PoisonError::into_inner);
        if is_too_low && files.len() < TOO_LOW_MAX {
            files.insert(ino);
        } else {
            files.remove(&ino);
        }
        TOO_LOW
    }

    /// The names of the extended attributes.
    pub fn listxattr(&self, ino: u64) -> Result<&'static [&'static str], VfsError> {
        Ok(Vfs::xattr_names(self.node(ino)?))
    }

    /// Interactions and bytes, as far as they are known; never no bytes, because `df` leaves out a file system without any.
    pub fn statfs(&self) -> Result<(u64, u64), VfsError> {
        let (interactions, bytes) = self.catalog.totals()?;
        Ok((interactions, bytes.max(1)))
    }

    /// What the kernel holds: inodes, and open files.
    pub fn held_by_kernel(&self) -> (usize, usize) {
        (self.inodes.len(), self.files.count())
    }

    /// Who resolves: limits, budget, the state of the service.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Guards against other programs from now on.
    pub fn set_guarded(&self, programs: GuardedPrograms) {
        self.guard.set(programs);
    }

    fn node(&self, ino: u64) -> Result<Node, VfsError> {
        if ino == ROOT_INO {
            return Ok(Node::Root);
        }
        self.inodes.get(ino).ok_or_else(VfsError::not_found)
    }

    /// The day in the index; waits for the network only if it was never indexed, and then no longer than a request may.
    async fn ensure_day(&self, day: Day) -> Result<(), VfsError> {
        let deadline = self.settings.deadline;
        let indexed = tokio::time::timeout(deadline, self.indexer.ensure(day)).await;
        indexed.map_err(|_| {
            let deadline = crate::base::span::words(deadline);
            let message = format!(
                "listing {day} takes longer than {deadline} (limits.deadline); it goes on: look again in a minute"
            );
            VfsError::new(ErrorKind::TimedOut, message)
        })??;
        Ok(())
    }

    /// The tree's first and last day, now.
    pub fn days(&self) -> (Day, Day) {
        let today = Day::of(self.clock.now(), &self.settings.timezone);
        (self.settings.since.first_day(today), today)
    }

    fn learned_rate(&self, channel: Channel) -> Result<Option<f64>, VfsError> {
        let now = self.clock.now();
        let kept = self.rates.lock().unwrap_or_else(PoisonError::into_inner).get(&channel).copied();
        if let Some((at, rate)) = kept
            && now.duration_since(at).unsigned_abs() < RATE_KEPT
        {
            return Ok(rate);
        }
        let rate = self.catalog.learned_rate(channel)?;
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).insert(channel, (now, rate));
        Ok(rate)
    }

    fn note_changed(&self, master: MasterId, index: u8) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert((master, index));
    }

    fn has_changed(&self, master: MasterId, index: u8) -> bool {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).contains(&(master, index))
    }
}

/// Ends with `Interrupted` within a second of a signal that should end the caller's wait. The work that was begun goes on if others
/// wait for it too.
async fn unless_given_up<T>(
    principal: &Principal,
    work: impl Future<Output = Result<T, VfsError>>,
) -> Result<T, VfsError> {
    tokio::select! {
        biased;
        result = work => result,
        () = principal.gave_up() => Err(VfsError::interrupted()),
    }
}

/// What a door makes of what was opened, and the handle that was.
async fn answered<T, F: Future<Output = Result<T, VfsError>>>(
    opened: Result<Opened, VfsError>,
    answer: impl FnOnce(Opened) -> F,
) -> (Option<u64>, Result<T, VfsError>) {
    match opened {
        Ok(opened) => (Some(opened.handle), answer(opened).await),
        Err(error) => (None, Err(error)),
    }
}

fn closed_handle() -> VfsError {
    VfsError::new(ErrorKind::Io, "the handle is not open")
}
