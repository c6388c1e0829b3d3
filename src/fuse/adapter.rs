//! The kernel's requests, translated. No decision is made here.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    BackingId, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::base::watchdog;
use crate::fuse::answer::{Asked, answer, answer_known, answer_now};
use crate::fuse::attributes::Attr;
use crate::fuse::door::{Door, Found, Opened, ROOT_INO};
use crate::fuse::notices::KernelView;
use crate::fuse::parked;
use crate::fuse::passthrough::{Mode, Modes};
use crate::fuse::process::keeps_atime;
use crate::fuse::told::{Caller, Shown, Verdict};
use crate::media::{Passthrough, VerifiedFile};
use crate::tree::{ErrorKind, Principal, TreeError};

/// The books of passthrough, with the kernel's registrations.
pub type BackingModes = Modes<BackingId, Passthrough>;

/// Requests that the kernel may have under way in the background (readahead above all).
const BACKGROUND_MAX: u16 = 64;
const BLOCK_BYTES: u32 = 4096;
const NAME_BYTES: u32 = 255;
/// The offset after `.` and `..`. What follows goes by inode numbers, which are all larger.
const AFTER_DOTS: u64 = 2;
/// The kernel repeats an open at once; one whose process was killed meanwhile is never repeated.
const REPEATED_WITHIN: Duration = Duration::from_secs(10);

/// One mounted tree.
pub struct Adapter {
    door: Arc<Door>,
    runtime: Handle,
    modes: Arc<BackingModes>,
    /// What passthrough claims of the kernel's levels of stacking.
    stack_depth: u32,
    kernel: Arc<KernelView>,
    /// The kernel keeps every listing until it is told, and opens no directory here.
    opens_no_directory: bool,
    /// Dropped when the session ends.
    ended: Option<oneshot::Sender<()>>,
}

impl Adapter {
    /// `ended` is dropped when the kernel ends the session.
    pub fn new(
        door: Arc<Door>,
        runtime: Handle,
        modes: Arc<BackingModes>,
        stack_depth: u32,
        kernel: Arc<KernelView>,
        ended: oneshot::Sender<()>,
    ) -> Adapter {
        Adapter { door, runtime, modes, stack_depth, kernel, opens_no_directory: false, ended: Some(ended) }
    }

    /// Closes what was opened for nobody.
    fn close(&self, useless: impl IntoIterator<Item = Opened>) {
        // Dropping a reader may stop fetches, which are tasks.
        let _context = self.runtime.enter();
        for opened in useless {
            self.door.release(opened.handle);
        }
    }
}

fn shown(attr: &Attr) -> Shown {
    Shown { size: attr.size, is_estimate: attr.is_estimate }
}

/// What may be answered to an open of `ino`, given what the kernel was told: the file, or nothing where the kernel is to look
/// again and to repeat it. Within a runtime.
fn sized(
    kernel: &Arc<KernelView>,
    door: &Arc<Door>,
    ino: u64,
    caller: &Caller<impl Fn() -> u32>,
    opened: Opened,
) -> Result<Option<Opened>, TreeError> {
    let mut useless = Vec::new();
    let verdict = kernel.told.verdict(ino, opened, caller, || kernel.drop_attributes(ino), &mut useless);
    for opened in useless {
        door.release(opened.handle);
    }
    match verdict {
        Verdict::Exact => Ok(Some(opened)),
        Verdict::TooLow { shown } => {
            door.release(opened.handle);
            let (reason, size) = (door.note_too_low(ino, true), opened.size);
            Err(TreeError::new(ErrorKind::Io, format!("{reason} ({shown} was shown, it is {size})")))
        }
        Verdict::LookAgain => {
            door.note_too_low(ino, false);
            let (kernel, door) = (Arc::clone(kernel), Arc::clone(door));
            tokio::spawn(async move {
                tokio::time::sleep(REPEATED_WITHIN).await;
                if let Some(opened) = kernel.told.expire(ino, opened.handle) {
                    door.release(opened.handle);
                }
            });
            Ok(None)
        }
    }
}

/// The file from which the kernel may serve an open of `ino`, if it is to serve it.
async fn verified_file(
    modes: &BackingModes,
    door: &Door,
    ino: u64,
    flags: OpenFlags,
    handle: u64,
) -> Option<VerifiedFile> {
    if is_past_pages(flags) || !modes.wants_file(ino) {
        return None;
    }
    door.file(handle)?.verified_file().await
}

/// Whether the program reads past the kernel's pages.
fn is_past_pages(flags: OpenFlags) -> bool {
    flags.0 & libc::O_DIRECT != 0
}

/// Answers an `open` in the mode that the kernel's rule and the state of the cache allow.
fn reply_opened(
    modes: &BackingModes,
    door: &Door,
    ino: u64,
    flags: OpenFlags,
    (opened, verified): (Opened, Option<VerifiedFile>),
    reply: ReplyOpen,
) {
    let handle = FileHandle(opened.handle);
    // The kernel refuses passthrough with FOPEN_KEEP_CACHE: there are no pages to keep.
    let cached = if opened.keep_cache { FopenFlags::FOPEN_KEEP_CACHE } else { FopenFlags::empty() };
    let Some(file) = door.file(opened.handle) else { return reply.error(Errno::EIO) };
    let Some(version) = file.version() else { return reply.opened(handle, cached) };
    let verified = verified.map(|verified| (verified.file, verified.guard));
    match modes.open(ino, opened.handle, version, is_past_pages(flags), verified, |file| reply.open_backing(file)) {
        Mode::Cached => reply.opened(handle, cached),
        Mode::Passthrough(backing) => reply.opened_passthrough(handle, FopenFlags::empty(), &backing.id),
        Mode::Direct => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO | cached),
        Mode::DirectBeside(backing) => reply.opened_passthrough(handle, FopenFlags::FOPEN_DIRECT_IO, &backing.id),
        Mode::OtherVersion => {
            door.release(opened.handle);
            reply.error(Errno::ESTALE);
        }
    }
}

fn file_attr(attr: &Attr) -> FileAttr {
    let time = SystemTime::from(attr.time);
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.blocks(),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(attr.is_dir),
        perm: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// What goes with an answer that there is nothing.
fn no_attr() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

fn kind(is_dir: bool) -> FileType {
    if is_dir { FileType::Directory } else { FileType::RegularFile }
}

impl Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What an older kernel lacks only costs speed. Not FUSE_AUTO_INVAL_DATA: the size that the kernel holds is exact before any byte is
        // read, and with it a read asks for attributes again, and drops pages, whenever their time is up.
        if let Err(missing) = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS) {
            tracing::debug!(?missing, "kernel capabilities not offered");
        }
        // A kernel before 5.1 would take ENOSYS for an error.
        let offered = config.add_capabilities(InitFlags::FUSE_NO_OPENDIR_SUPPORT).is_ok();
        self.opens_no_directory = offered && self.door.keeps_directories();
        let _ = config.set_max_background(BACKGROUND_MAX);
        if self.modes.may_work() {
            let offered = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok();
            if !offered || config.set_max_stack_depth(self.stack_depth).is_err() {
                self.modes.not_offered();
            }
        }
        Ok(())
    }

    fn destroy(&mut self) {
        drop(self.ended.take());
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let asked = Asked::new("lookup", parent.0, request);
        let (kernel, arrival) = (Arc::clone(&self.kernel), self.kernel.told.arrived());
        let principal = asked.principal.clone();
        let known = |asker: &Principal| self.door.lookup_known(parent.0, name, asker);
        let wait = || {
            let (door, name) = (self.door.clone(), name.to_owned());
            async move { door.lookup(parent.0, &name, &principal).await }
        };
        answer_known(&self.runtime, &self.door, asked, known, wait, move |result| match result {
            Ok(Found::Entry(attr, ttl)) => {
                if !attr.is_dir {
                    kernel.told.looked_up(attr.ino, shown(&attr), arrival);
                }
                reply.entry_with_ttls(&ttl.attr, &ttl.entry, &file_attr(&attr), Generation(0));
            }
            // Inode number 0: there is no such name, and the kernel may keep that.
            Ok(Found::Absent(kept)) => reply.entry(&kept, &no_attr(), Generation(0)),
            Err(errno) => reply.error(errno),
        });
    }

    fn forget(&self, _request: &Request, ino: INodeNo, nlookup: u64) {
        self.door.forget(ino.0, nlookup);
        self.close(self.kernel.told.forget(ino.0, nlookup));
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        let asked = Asked::new("getattr", ino.0, request);
        let (kernel, arrival) = (Arc::clone(&self.kernel), self.kernel.told.arrived());
        let principal = asked.principal.clone();
        let known = |asker: &Principal| self.door.getattr_known(ino.0, asker);
        let wait = || {
            let door = self.door.clone();
            async move { door.getattr(ino.0, &principal).await }
        };
        answer_known(&self.runtime, &self.door, asked, known, wait, move |result| match result {
            Ok((attr, ttl)) => {
                kernel.told.shown(ino.0, shown(&attr), arrival);
                reply.attr(&ttl, &file_attr(&attr));
            }
            Err(errno) => reply.error(errno),
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        let from = (request.pid(), self.kernel.told.arrived());
        match self.kernel.told.repeated(ino.0, from.0, from.1) {
            // It was counted and written down when it first came.
            Some(Ok(opened)) if self.door.file(opened.handle).is_some() => {
                let (door, modes) = (self.door.clone(), self.modes.clone());
                let _working = watchdog::working();
                parked::run(&self.runtime, async move {
                    let verified = verified_file(&modes, &door, ino.0, flags, opened.handle).await;
                    reply_opened(&modes, &door, ino.0, flags, (opened, verified), reply);
                });
                return;
            }
            Some(Err(useless)) => self.close([useless]),
            // A file that was closed again could not be put on record.
            Some(Ok(_)) | None => {}
        }
        let asked = Asked::new("open", ino.0, request);
        let (door, principal, prepare) = (self.door.clone(), asked.principal.clone(), self.modes.may_work());
        let (kernel, modes) = (Arc::clone(&self.kernel), self.modes.clone());
        let keeps_atime = keeps_atime(flags.0);
        let only_tries = flags.0 & libc::O_NONBLOCK != 0;
        let future = async move {
            let answer = async |opened: Opened| {
                if prepare && let Some(file) = door.file(opened.handle) {
                    file.prepare_passthrough().await;
                }
                let process = || principal.pid();
                let caller = Caller { thread: from.0, process, arrival: from.1, only_tries, now: Instant::now() };
                let Some(opened) = sized(&kernel, &door, ino.0, &caller, opened)? else { return Ok(None) };
                let verified = verified_file(&modes, &door, ino.0, flags, opened.handle).await;
                Ok(Some((opened, verified)))
            };
            door.open_as(ino.0, keeps_atime, &principal, answer).await
        };
        let (door, modes) = (self.door.clone(), self.modes.clone());
        answer(&self.runtime, &self.door, asked, future, move |result| match result {
            Ok(Some(opened)) => reply_opened(&modes, &door, ino.0, flags, opened, reply),
            Ok(None) => reply.error(Errno::ESTALE),
            Err(errno) => reply.error(errno),
        });
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _lock: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let asked = Asked::new("read", ino.0, request);
        let (door, kernel, principal) = (self.door.clone(), Arc::clone(&self.kernel), asked.principal.clone());
        let past_pages = is_past_pages(flags);
        let future = async move { door.read(handle.0, offset, size, &principal).await };
        answer(&self.runtime, &self.door, asked, future, move |result| match result {
            Ok(bytes) => {
                // A read past the kernel's pages leaves the size that it holds alone (fuse_direct_io).
                if bytes.len() < size as usize && !past_pages {
                    kernel.told.ended_at(ino.0, offset + bytes.len() as u64);
                }
                reply.data(&bytes);
            }
            Err(errno) => reply.error(errno),
        });
    }

    fn release(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let _working = watchdog::working();
        let _context = self.runtime.enter();
        self.modes.release(ino.0, handle.0);
        self.door.release(handle.0);
        reply.ok();
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if self.opens_no_directory {
            // From now on the kernel opens no directory here, and keeps every listing until it is told to drop it.
            return reply.error(Errno::ENOSYS);
        }
        let asked = Asked::new("opendir", ino.0, request);
        answer_now(
            &self.door,
            &asked,
            || self.door.opendir(ino.0),
            |result| match result {
                Ok(keep) => {
                    // CACHE_DIR alone is dropped at the next opendir: both or none.
                    let kept = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
                    reply.opened(FileHandle(0), if keep { kept } else { FopenFlags::empty() });
                }
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn readdir(&self, request: &Request, ino: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let asked = Asked::new("readdir", ino.0, request);
        let (door, principal) = (self.door.clone(), asked.principal.clone());
        let last = (offset > AFTER_DOTS).then_some(offset);
        let future = async move { door.readdir(ino.0, last, &principal).await };
        answer(&self.runtime, &self.door, asked, future, move |result| match result {
            Ok(page) => {
                let dots =
                    [(ino.0, 1, "."), (ROOT_INO, AFTER_DOTS, "..")].into_iter().skip(offset.min(AFTER_DOTS) as usize);
                let dots = dots.filter(|_| last.is_none()).map(|(ino, next, name)| (ino, next, true, name));
                // The inode number says where the next request goes on: it stays, whatever appears meanwhile.
                let named = page.entries().iter().map(|entry| (entry.id, entry.id, entry.is_dir, &*entry.name));
                for (ino, next, is_dir, name) in dots.chain(named) {
                    if reply.add(INodeNo(ino), next, kind(is_dir), name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        });
    }

    fn releasedir(&self, _request: &Request, _ino: INodeNo, _handle: FileHandle, _flags: OpenFlags, reply: ReplyEmpty) {
        reply.ok();
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if !name.as_bytes().starts_with(b"user.") {
            // No ACLs, no labels, no capabilities: said so, `ls -l` asks for them once and not of every file.
            return reply.error(Errno::EOPNOTSUPP);
        }
        let asked = Asked::new("getxattr", ino.0, request);
        if name == crate::tree::SHA256 {
            let value = Arc::clone(&self.door).sha256(ino.0);
            return answer(&self.runtime, &self.door, asked, value, move |result| match result {
                Ok(value) => reply_xattr(reply, size, value.as_bytes()),
                Err(errno) => reply.error(errno),
            });
        }
        let (door, name) = (self.door.clone(), name.to_owned());
        let value = async move { door.xattr_of(ino.0, name).await };
        answer(&self.runtime, &self.door, asked, value, move |result| match result {
            Ok(value) => reply_xattr(reply, size, value.as_bytes()),
            Err(errno) => reply.error(errno),
        });
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let asked = Asked::new("listxattr", ino.0, request);
        answer_now(
            &self.door,
            &asked,
            || self.door.listxattr(ino.0),
            |result| match result {
                Ok(names) => {
                    let list: Vec<u8> = names.iter().flat_map(|name| name.bytes().chain([0])).collect();
                    reply_xattr(reply, size, &list);
                }
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let asked = Asked::new("statfs", ino.0, request);
        answer_now(
            &self.door,
            &asked,
            || self.door.statfs(),
            |result| match result {
                Ok((files, bytes)) => {
                    let blocks = bytes.div_ceil(u64::from(BLOCK_BYTES));
                    // As much free as in use: nothing can be added, but a full file system sets off disk monitoring.
                    let (of_both, free) = (blocks.saturating_mul(2), blocks);
                    reply.statfs(of_both, free, free, files * 2, files, BLOCK_BYTES, NAME_BYTES, BLOCK_BYTES);
                }
                Err(errno) => reply.error(errno),
            },
        );
    }
}

/// A size of 0 asks how long the value is.
fn reply_xattr(reply: ReplyXattr, size: u32, value: &[u8]) {
    if size == 0 {
        reply.size(value.len() as u32);
    } else if value.len() > size as usize {
        reply.error(Errno::ERANGE);
    } else {
        reply.data(value);
    }
}
