//! One mounted tree as the kernel sees it: inode numbers, open files by number, and what the kernel may keep.
//!
//! Between the tree, which knows neither, and the adapter, which only translates. Names no type of the `fuser` crate, so that it is tested
//! without a mount.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::base::{Day, MasterId, ResolveOn};
use crate::fuse::absent::{Absent, Before, Remembered, may_name_somebody};
use crate::fuse::attributes::{Attr, NAME_KEPT, Ownership, Ttl};
use crate::fuse::handles::Handles;
use crate::fuse::inodes::InodeTable;
use crate::fuse::kept::Kept;
use crate::fuse::listings::{Listings, Page};
use crate::fuse::meters::{Measured, Meters, Slow};
use crate::fuse::rechecks::Rechecks;
use crate::tree::{Entry, ErrorKind, File, Node, Observer, Principal, Stat, Subject, Tree, TreeError};

/// The root's inode number, by the FUSE protocol.
pub const ROOT_INO: u64 = 1;

/// Why an open failed that found the truth above the estimate.
const TOO_LOW: &str = "the size shown before was too low; open it again";
/// Files of which that is remembered.
const TOO_LOW_MAX: usize = 4096;
/// The attributes whose values depend on the cache's files: a file's state, and why it is not a happy one.
const STATE: &str = "user.cxone.state";
const REASON: &str = "user.cxone.reason";

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    Entry(Attr, Ttl),
    /// Nothing, and the kernel need not ask again for so long.
    Absent(Duration),
}

/// A successful open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub handle: u64,
    /// Bytes that can be read.
    pub size: u64,
    /// The kernel may keep the pages that it has of this file.
    pub keep_cache: bool,
}

/// One mounted tree.
pub struct Door {
    pub(super) tree: Arc<Tree>,
    ownership: Ownership,
    pub(super) inodes: InodeTable,
    files: Arc<Handles<File>>,
    listings: Arc<Listings>,
    absent: Arc<Absent>,
    /// The kernel, to be told what it must drop.
    pub(super) kernel: Arc<dyn Observer>,
    pub(super) rechecks: Rechecks,
    /// All doors of a tree share them.
    pub(super) meters: Arc<Meters>,
    /// Files whose last open failed because an estimate had been too low. There are few.
    too_low: Mutex<HashSet<u64>>,
    days: Mutex<DaysTold>,
}

/// The days by which the root was last answered.
struct DaysTold {
    days: (Day, Day),
    /// The kernel may keep answers of before they became these.
    moved: bool,
}

impl Door {
    /// A door whose kernel is told by `kernel` what it must drop.
    pub fn new(tree: Arc<Tree>, ownership: Ownership, kernel: Arc<dyn Observer>, meters: Arc<Meters>) -> Door {
        let (absent, listings) = (Arc::new(Absent::new()), Arc::new(Listings::new()));
        let files = Arc::new(Handles::new());
        let kept = Kept {
            kernel,
            absent: Arc::clone(&absent),
            listings: Arc::clone(&listings),
            files: Arc::clone(&files),
            meters: Arc::clone(&meters),
        };
        let kernel: Arc<dyn Observer> = Arc::new(kept);
        tree.observers().add(Arc::clone(&kernel));
        let days = DaysTold { days: tree.days(), moved: false };
        Door {
            tree,
            ownership,
            inodes: InodeTable::new(),
            files,
            listings,
            absent,
            kernel,
            rechecks: Rechecks::default(),
            meters,
            too_low: Mutex::new(HashSet::new()),
            days: Mutex::new(days),
        }
    }

    /// To be called before the root is answered. The clock may have been set, even back and forth between two looks of [`crate::fuse::fresh`].
    fn note_days(&self, directory: u64) {
        if directory == ROOT_INO {
            let (days, mut told) = (self.tree.days(), self.days.lock());
            told.moved |= told.days != days;
            told.days = days;
        }
    }

    /// Whether the root has been answered by other days than now since this was last asked.
    pub(super) fn days_moved(&self) -> bool {
        self.note_days(ROOT_INO);
        std::mem::take(&mut self.days.lock().moved)
    }

    /// The tree behind it.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// Answers a name, and counts the reference that the kernel takes with the answer.
    pub async fn lookup(&self, parent: u64, name: &OsStr, principal: &Principal) -> Result<Found, TreeError> {
        let directory = self.node(parent)?;
        self.note_days(parent);
        let before = self.absent.before();
        let found = match name.to_str() {
            Some(name) => self.tree.find(directory, name, principal).await,
            None => Err(TreeError::not_found()),
        };
        self.named(before, (parent, directory), name, found)
    }

    /// The same without waiting; `None` where [`Door::lookup`] would have to wait.
    pub fn lookup_known(&self, parent: u64, name: &OsStr, principal: &Principal) -> Option<Result<Found, TreeError>> {
        self.note_days(parent);
        let before = self.absent.before();
        let directory = match self.node(parent) {
            Ok(directory) => directory,
            Err(error) => return Some(Err(error)),
        };
        let known = match name.to_str() {
            Some(name) => self.tree.find_known(directory, name, principal).transpose()?,
            None => Err(TreeError::not_found()),
        };
        Some(self.named(before, (parent, directory), name, known))
    }

    /// What a name turned out to be is answered, and with it noted what the kernel then knows.
    fn named(
        &self,
        before: Before,
        (parent, directory): (u64, Node),
        name: &OsStr,
        found: Result<Entry, TreeError>,
    ) -> Result<Found, TreeError> {
        match found {
            Ok(entry) => {
                self.inodes.remember(entry.stat.id, entry.node);
                let (attr, ttl) = self.shown(&entry.stat);
                Ok(Found::Entry(attr, ttl))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && self.tree.tells_of_new_names(directory)? => {
                // A name that is not UTF-8 never appears.
                let Some(name) = name.to_str() else { return Ok(Found::Absent(NAME_KEPT)) };
                if may_name_somebody(name) {
                    return Err(error);
                }
                match self.absent.remember(before, parent, name) {
                    Remembered::No => Err(error),
                    Remembered::Yes(pushed_out) => {
                        if let Some((directory, name)) = pushed_out {
                            self.kernel.name_changed(directory, &name);
                        }
                        Ok(Found::Absent(NAME_KEPT))
                    }
                }
            }
            Err(error) => Err(error),
        }
    }

    fn shown(&self, stat: &Stat) -> (Attr, Ttl) {
        (self.ownership.attr(stat), Ttl::of(stat.holds))
    }

    /// The kernel dropped references.
    pub fn forget(&self, ino: u64, count: u64) {
        self.inodes.forget(ino, count);
    }

    /// What `stat` shows.
    pub async fn getattr(&self, ino: u64, principal: &Principal) -> Result<(Attr, Duration), TreeError> {
        let (attr, ttl) = self.shown(&self.tree.stat(self.node(ino)?, principal).await?);
        Ok((attr, ttl.attr))
    }

    /// The same without waiting; `None` where [`Door::getattr`] would have to wait.
    pub fn getattr_known(&self, ino: u64, principal: &Principal) -> Option<Result<(Attr, Duration), TreeError>> {
        let stat = self.node(ino).and_then(|node| self.tree.stat_known(node, principal)).transpose()?;
        Some(stat.map(|stat| {
            let (attr, ttl) = self.shown(&stat);
            (attr, ttl.attr)
        }))
    }

    /// Whether the kernel may keep every directory until it is told to drop it, and open none of them here.
    pub fn keeps_directories(&self) -> bool {
        // Where listing resolves, every listing of an interaction's folder must reach us until it is resolved.
        self.tree.resolve_on() < ResolveOn::List
    }

    /// Opens a directory, where [`Door::keeps_directories`] is false: whether the kernel may keep this one's listing.
    pub fn opendir(&self, ino: u64) -> Result<bool, TreeError> {
        let node = self.node(ino)?;
        if !node.is_dir() {
            return Err(TreeError::new(ErrorKind::NotADirectory, "not a directory"));
        }
        self.tree.tells_of_changes(node)
    }

    /// The entries of a directory that follow the one with inode number `last`, without `.` and `..`; with `None` it is looked at anew.
    pub async fn readdir(&self, ino: u64, last: Option<u64>, principal: &Principal) -> Result<Page, TreeError> {
        if let Some(last) = last
            && let Some(known) = self.listings.get(ino)
        {
            return Ok(Page::after(known, last));
        }
        self.note_days(ino);
        let listing = self.tree.list(self.node(ino)?, principal).await?;
        if let Some(until) = listing.until {
            self.rechecks.note(until, ino);
        }
        self.listings.put(ino, Arc::clone(&listing.entries));
        Ok(match last {
            Some(last) => Page::after(listing.entries, last),
            None => Page::whole(listing.entries),
        })
    }

    /// Opens a file.
    pub async fn open(&self, ino: u64, principal: &Principal) -> Result<Opened, TreeError> {
        self.open_as(ino, false, principal, async |opened| Ok(opened)).await
    }

    /// The same, where the kernel may not be given what was opened: the audit log says what came of `answer`. What is not on record is closed again.
    pub async fn open_as<T, F: Future<Output = Result<T, TreeError>>>(
        &self,
        ino: u64,
        keeps_atime: bool,
        principal: &Principal,
        answer: impl FnOnce(Opened) -> F,
    ) -> Result<T, TreeError> {
        let handle = AtomicU64::new(0);
        let opened = async |file: File| {
            let (size, keep_cache, master) = (file.size, file.is_settled, file.master());
            let opened = Opened { handle: self.files.insert(file), size, keep_cache };
            handle.store(opened.handle, Ordering::Relaxed);
            // An erasure may have replaced the open files before this one was among them.
            if master.is_some_and(|master| self.tree.is_erased(master)) {
                return Err(TreeError::not_found());
            }
            answer(opened).await
        };
        let answered = self.tree.open_as(self.node(ino)?, keeps_atime, principal, opened).await;
        if answered.is_err() {
            self.release(handle.into_inner());
        }
        answered
    }

    /// An open file.
    pub fn file(&self, handle: u64) -> Option<Arc<File>> {
        self.files.get(handle)
    }

    /// Bytes of an open file; shorter than `len` only at its end.
    pub async fn read(&self, handle: u64, offset: u64, len: u32, principal: &Principal) -> Result<Bytes, TreeError> {
        let closed = || TreeError::new(ErrorKind::Io, "the handle is not open");
        self.files.get(handle).ok_or_else(closed)?.read_at(offset, len, principal).await
    }

    /// Closes a file. Within a runtime.
    pub fn release(&self, handle: u64) {
        if let Some(file) = self.files.remove(handle) {
            File::close(file);
        }
    }

    /// The value of an extended attribute.
    pub fn getxattr(&self, ino: u64, name: &OsStr) -> Result<String, TreeError> {
        let no_such = || TreeError::new(ErrorKind::NoAttribute, "no such attribute");
        let name = name.to_str().ok_or_else(no_such)?;
        let is_too_low = name == REASON && self.too_low.lock().contains(&ino);
        if is_too_low { Ok(TOO_LOW.to_owned()) } else { self.tree.xattr(self.node(ino)?, name) }
    }

    /// As [`Door::getxattr`], for threads that must not wait: what depends on the cache's files is looked up on another one.
    pub async fn xattr_of(self: Arc<Self>, ino: u64, name: OsString) -> Result<String, TreeError> {
        if name != STATE && name != REASON {
            return self.getxattr(ino, &name);
        }
        let looked = tokio::task::spawn_blocking(move || self.getxattr(ino, &name)).await;
        looked.unwrap_or_else(|_| Err(TreeError::new(ErrorKind::Io, "looking into the cache was interrupted")))
    }

    /// The names of the extended attributes.
    pub fn listxattr(&self, ino: u64) -> Result<&'static [&'static str], TreeError> {
        Ok(Tree::xattr_names(self.node(ino)?))
    }

    /// An open failed because the size that had been shown was too low, or did not. Gives the failure's sentence.
    pub fn note_too_low(&self, ino: u64, is_too_low: bool) -> &'static str {
        let mut files = self.too_low.lock();
        if is_too_low && files.len() < TOO_LOW_MAX {
            files.insert(ino);
        } else {
            files.remove(&ino);
        }
        TOO_LOW
    }

    /// Interactions and bytes, as far as they are known; never no bytes, because `df` leaves out a file system without any.
    pub fn statfs(&self) -> Result<(u64, u64), TreeError> {
        let (interactions, bytes) = self.tree.totals()?;
        Ok((interactions, bytes.max(1)))
    }

    /// What the kernel holds: inodes, and open files.
    pub fn held_by_kernel(&self) -> (usize, usize) {
        (self.inodes.len(), self.files.count())
    }

    /// Where an inode is in the tree, with the agent's id in place of the name: for the log and for `status`.
    pub fn path_of(&self, ino: u64) -> String {
        self.node(ino).map_or_else(|_| format!("inode {ino}"), |node| self.tree.nameless_path(node))
    }

    /// What an inode is, for logs: by ids, without the names of people.
    pub fn subject_of(&self, ino: u64) -> Subject {
        let unknown = |_| Subject { words: format!("inode {ino}"), master: None, day: None };
        self.node(ino).map_or_else(unknown, |node| self.tree.subject_of(node))
    }

    /// Whose interaction an inode is of.
    pub(super) fn master_of(&self, ino: u64) -> Option<MasterId> {
        self.node(ino).ok().and_then(Node::place).map(|place| place.master)
    }

    /// The SHA-256 of a recording that is here as a whole. Reads it if it was never hashed.
    pub async fn sha256(self: Arc<Self>, ino: u64) -> Result<String, TreeError> {
        Arc::clone(&self.tree).sha256(self.node(ino)?).await
    }

    /// A request was answered.
    pub fn note_request(&self, operation: &'static str, ino: u64, took: Duration, error: Option<ErrorKind>) {
        if self.meters.note(operation, took, error) {
            let (master, path) = (self.master_of(ino), self.path_of(ino));
            self.meters.note_slow(Slow { at: self.tree.now(), operation, path, master, took, error });
        }
    }

    /// What was asked of all doors since they were mounted.
    pub fn measured(&self) -> Measured {
        self.meters.measured(self.tree.now())
    }

    fn node(&self, ino: u64) -> Result<Node, TreeError> {
        if ino == ROOT_INO {
            return Ok(Node::Root);
        }
        self.inodes.get(ino).ok_or_else(TreeError::not_found)
    }
}
