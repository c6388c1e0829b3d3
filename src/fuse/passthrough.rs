//! Which opens the kernel serves from the cache's file by itself, and the books that this needs. Knows no path, no bytes and no
//! reply; what registers a file with the kernel is given to it.
//!
//! The kernel's rule: at any time an inode is open either through us (*cached*) or by passthrough, and all its passthrough opens
//! share one registered file; anything else is EIO to whoever opens. So the choice and its count are made under one lock, and
//! taken back at `release` by handle. The kernel leaves a mode before it sends `release`, so our counts lag on the safe side.
//!
//! Whoever has an inode open *cached* shares its pages, so all of them read one version: pages that were filled for a newer one would be
//! shown to those who began with the older. Who opens the newer one meanwhile reads it past the pages (*direct*), which the kernel allows
//! beside cached opens and not beside passthrough.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;

use crate::media::Version;

/// Whether complete recordings are served by passthrough, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassthroughState {
    /// `mount.passthrough = false`.
    TurnedOff,
    /// The kernel does not offer it (before 6.9, or built without it).
    NotOffered,
    /// No complete recording was opened yet.
    Untried,
    /// It works.
    Working {
        /// Opens served so since mounting.
        opens: u64,
    },
    /// The kernel refused the first attempt; not tried again in this mount.
    Refused {
        /// In words for the user.
        why: String,
    },
}

/// A file registered with the kernel, and the promise `G` that nothing punches holes into it.
pub struct Backing<B, G> {
    // Order of dropping: the kernel's registration first, then the promise.
    pub id: B,
    _promise: G,
}

/// How an open is to be answered.
pub enum Mode<B, G> {
    Cached,
    Passthrough(Arc<Backing<B, G>>),
    /// Read past the pages and past the registered file: somebody has another version open, whose pages are not for this one, or the
    /// program asked for it (`O_DIRECT`).
    Direct,
    /// As `Direct`, where others have the inode open by passthrough: the kernel wants the registered file named all the same.
    DirectBeside(Arc<Backing<B, G>>),
    /// Somebody has another version open by passthrough, and the kernel serves nothing else beside it.
    OtherVersion,
}

struct Inode<B, G> {
    cached: u32,
    passthrough: u32,
    backing: Weak<Backing<B, G>>,
    /// What everybody reads who has it open cached or by passthrough.
    version: Version,
}

/// What an open handle counts as.
enum Held<B, G> {
    Cached,
    /// No part of the rule.
    Direct,
    /// Held until `release`: the kernel must find the registration at further opens.
    Passthrough(Arc<Backing<B, G>>),
}

struct Books<B, G> {
    state: PassthroughState,
    inodes: HashMap<u64, Inode<B, G>>,
    handles: HashMap<u64, Held<B, G>>,
}

/// The open recordings of one mount, by inode and by handle.
pub struct Modes<B, G> {
    books: Mutex<Books<B, G>>,
}

impl<B, G> Modes<B, G> {
    /// Nothing open.
    pub fn new(state: PassthroughState) -> Modes<B, G> {
        Modes { books: Mutex::new(Books { state, inodes: HashMap::new(), handles: HashMap::new() }) }
    }

    /// For `status`.
    pub fn state(&self) -> PassthroughState {
        self.lock().state.clone()
    }

    /// Learned in the handshake, before anything is open.
    pub fn not_offered(&self) {
        self.lock().state = PassthroughState::NotOffered;
    }

    /// Whether preparing a file for passthrough is worth anything.
    pub fn may_work(&self) -> bool {
        matches!(self.lock().state, PassthroughState::Untried | PassthroughState::Working { .. })
    }

    /// Whether an open of `ino` would be served from a file now, if there is one.
    pub fn wants_file(&self, ino: u64) -> bool {
        let is_closed = self.lock().inodes.get(&ino).is_none_or(|inode| inode.cached == 0 && inode.passthrough == 0);
        is_closed && self.may_work()
    }

    /// Decides how `handle` of `ino`, which reads `version`, is open, and counts it. `verified` is the data file if it is
    /// complete and verified, and was wanted; `register` makes it known to the kernel. `past_pages`: the program opens with `O_DIRECT`, which must mean
    /// the same whether or not the recording is here: a file read by passthrough would refuse what is not aligned.
    pub fn open(
        &self,
        ino: u64,
        handle: u64,
        version: &Version,
        past_pages: bool,
        verified: Option<(File, G)>,
        register: impl FnOnce(&File) -> io::Result<B>,
    ) -> Mode<B, G> {
        let mut books = self.lock();
        let may_work = matches!(books.state, PassthroughState::Untried | PassthroughState::Working { .. });
        let inode = books.inodes.entry(ino).or_insert_with(|| Inode {
            cached: 0,
            passthrough: 0,
            backing: Weak::new(),
            version: version.clone(),
        });
        if !inode.version.agrees_with(version) {
            if inode.passthrough > 0 {
                return Mode::OtherVersion;
            }
            books.handles.insert(handle, Held::Direct);
            return Mode::Direct;
        }
        if past_pages {
            let beside = (inode.passthrough > 0).then(|| inode.backing.upgrade()).flatten();
            if let Some(backing) = beside {
                inode.passthrough += 1;
                books.handles.insert(handle, Held::Passthrough(Arc::clone(&backing)));
                return Mode::DirectBeside(backing);
            }
            if inode.cached == 0 {
                books.inodes.remove(&ino);
            }
            books.handles.insert(handle, Held::Direct);
            return Mode::Direct;
        }
        let mut refused = None;
        let backing = if inode.passthrough > 0 {
            // Each of the counted handles holds it.
            inode.backing.upgrade()
        } else if inode.cached > 0 || !may_work {
            None
        } else {
            verified.and_then(|(file, promise)| match register(&file) {
                Ok(id) => Some(Arc::new(Backing { id, _promise: promise })),
                Err(error) => {
                    refused = lasting(&error);
                    None
                }
            })
        };
        if let Some(backing) = &backing {
            inode.passthrough += 1;
            inode.backing = Arc::downgrade(backing);
        } else {
            inode.cached += 1;
        }
        let held = backing.clone().map_or(Held::Cached, Held::Passthrough);
        books.handles.insert(handle, held);
        books.note(backing.is_some(), refused);
        backing.map_or(Mode::Cached, Mode::Passthrough)
    }

    /// The kernel closed `handle` of `ino`. One that was never counted is ignored.
    pub fn release(&self, ino: u64, handle: u64) {
        let mut books = self.lock();
        let mut backing = None;
        let held = books.handles.remove(&handle);
        if let Some(inode) = books.inodes.get_mut(&ino) {
            match held {
                Some(Held::Cached) => inode.cached = inode.cached.saturating_sub(1),
                Some(Held::Passthrough(held)) => {
                    inode.passthrough = inode.passthrough.saturating_sub(1);
                    backing = Some(held);
                }
                Some(Held::Direct) | None => {}
            }
            if inode.cached == 0 && inode.passthrough == 0 {
                books.inodes.remove(&ino);
            }
        }
        drop(books);
        // Only now: taking a registration back is a call to the kernel.
        drop(backing);
    }

    fn lock(&self) -> MutexGuard<'_, Books<B, G>> {
        self.books.lock()
    }
}

impl<B, G> Books<B, G> {
    fn note(&mut self, passed: bool, refused: Option<String>) {
        if let Some(why) = refused {
            tracing::info!(why, "passthrough is not used ({why}): cached recordings are served through the daemon");
            self.state = PassthroughState::Refused { why };
        } else if passed {
            let before = if let PassthroughState::Working { opens } = self.state { opens } else { 0 };
            self.state = PassthroughState::Working { opens: before + 1 };
        }
    }
}

/// Why no further attempt would go better; `None` for what is short at the moment only.
fn lasting(error: &io::Error) -> Option<String> {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR | Errno::AGAIN) => None,
        Some(Errno::PERM) => Some("it takes the right CAP_SYS_ADMIN".to_owned()),
        Some(Errno::LOOP) => Some("the cache directory is on a stacked file system (overlay, FUSE)".to_owned()),
        Some(Errno::OPNOTSUPP | Errno::NOTTY) => Some("the kernel was built without it".to_owned()),
        _ => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
