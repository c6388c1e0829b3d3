//! A file system in memory that remembers every change, and can say what a crash after any of them would have left behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::media::disk::{Disk, DiskFile, Entry, Meta};

const PAGE: u64 = 4096;

/// One change, in the order in which they were made.
#[derive(Clone, Debug)]
enum Change {
    Create { path: PathBuf, inode: u64 },
    Remove { path: PathBuf },
    SetLen { inode: u64, len: u64 },
    Write { inode: u64, offset: u64, bytes: Arc<[u8]> },
    Punch { inode: u64, offset: u64, len: u64 },
    SetModified { inode: u64, unix_s: i64 },
}

/// A crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is gone; what it wrote is there.
    Killed,
    /// The power is gone: of the changes after the first `safe`, each happened, did not, or, if it was a write, happened in part.
    PowerLost { safe: usize },
}

/// A file's bytes by page; pages that are not there read as zeros.
#[derive(Clone, Debug, Default)]
struct Content {
    len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
    modified_s: i64,
}

#[derive(Debug, Default)]
struct Tree {
    names: BTreeMap<PathBuf, u64>,
    contents: BTreeMap<u64, Content>,
    log: Vec<Change>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct MadeUpDisk {
    tree: Arc<Mutex<Tree>>,
    next_inode: Arc<AtomicU64>,
    /// Every change fails.
    refuses: Arc<AtomicBool>,
    /// What it says that it has free, whatever is removed.
    free: Arc<Mutex<Option<u64>>>,
    /// Called before each access, for schedulers.
    pause: Option<fn()>,
}

impl MadeUpDisk {
    /// One that calls `pause` before each access to a file.
    pub fn with_pauses(pause: fn()) -> MadeUpDisk {
        MadeUpDisk { pause: Some(pause), ..MadeUpDisk::default() }
    }

    fn pause(&self) {
        if let Some(pause) = self.pause {
            pause();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap()
    }

    /// Changes so far.
    pub fn changes(&self) -> usize {
        self.lock().log.len()
    }

    /// What it would hold after a crash behind the first `changes` changes. `random` decides what a lost power takes.
    pub fn after_crash(&self, changes: usize, crash: Crash, random: &mut fastrand::Rng) -> MadeUpDisk {
        let disk = MadeUpDisk::default();
        let log = self.lock().log[..changes].to_vec();
        for (index, change) in log.into_iter().enumerate() {
            let at_risk = matches!(crash, Crash::PowerLost { safe } if index >= safe);
            match (at_risk, random.u8(0..4)) {
                (true, 0) => {}
                (true, 1) => disk.apply_in_part(change, random),
                _ => disk.apply(change),
            }
        }
        disk.lock().log.clear();
        disk.next_inode.store(1 << 32, Ordering::SeqCst);
        disk
    }

    /// Bytes that all files occupy.
    pub fn occupied(&self) -> u64 {
        let tree = self.lock();
        tree.names.values().map(|inode| tree.contents[inode].occupied()).sum()
    }

    /// The paths of all files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// Whether changes fail from now on.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Says from now on that it has so many bytes free.
    pub fn pretend_free(&self, bytes: u64) {
        *self.free.lock().unwrap() = Some(bytes);
    }

    /// Flips bits, cuts or lengthens a file.
    pub fn damage(&self, path: &Path, random: &mut fastrand::Rng) {
        let mut tree = self.lock();
        let inode = tree.names[path];
        let content = tree.contents.get_mut(&inode).unwrap();
        match random.u8(0..4) {
            0 => content.set_len(random.u64(0..=content.len)),
            1 => content.set_len(content.len + random.u64(1..10_000)),
            _ => {
                for _ in 0..random.u8(1..5) {
                    if content.len > 0 {
                        let at = random.u64(0..content.len);
                        let byte = content.read(at, 1)[0] ^ (1 << random.u8(0..8));
                        content.write(at, &[byte]);
                    }
                }
            }
        }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.pause();
        if self.refuses.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.apply(change);
        Ok(())
    }

    fn apply(&self, change: Change) {
        let tree = &mut *self.lock();
        tree.log.push(change.clone());
        match change {
            Change::Create { path, inode } => {
                tree.names.insert(path, inode);
                tree.contents.entry(inode).or_default();
            }
            Change::Remove { path } => {
                tree.names.remove(&path);
            }
            Change::SetLen { inode, len } => tree.contents.entry(inode).or_default().set_len(len),
            Change::Write { inode, offset, bytes } => tree.contents.entry(inode).or_default().write(offset, &bytes),
            Change::Punch { inode, offset, len } => tree.contents.entry(inode).or_default().punch(offset, len),
            Change::SetModified { inode, unix_s } => tree.contents.entry(inode).or_default().modified_s = unix_s,
        }
    }

    /// A torn write; other changes happen whole or not at all.
    fn apply_in_part(&self, change: Change, random: &mut fastrand::Rng) {
        let Change::Write { inode, offset, bytes } = change else { return self.apply(change) };
        let from = random.usize(0..=bytes.len());
        let to = random.usize(from..=bytes.len());
        // Where the rest is: not written, or written as something else.
        let garbage = random.bool().then(|| vec![0xa5; bytes.len()]);
        if let Some(garbage) = garbage {
            self.apply(Change::Write { inode, offset, bytes: garbage.into() });
        }
        self.apply(Change::Write { inode, offset: offset + from as u64, bytes: bytes[from..to].into() });
    }

    fn file(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let inode = *self.lock().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(MadeUpFile { disk: self.clone(), inode }))
    }
}

impl Content {
    fn occupied(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.retain(|page, _| page * PAGE < len);
            if let Some(page) = self.pages.get_mut(&(len / PAGE)) {
                page[(len % PAGE) as usize..].fill(0);
            }
        }
        self.len = len;
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = (at % PAGE) as usize;
            let len = rest.len().min(PAGE as usize - within);
            let page = self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize].into());
            page[within..within + len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            at += len as u64;
        }
        self.len = self.len.max(at);
    }

    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = (at % PAGE) as usize;
            let step = (len - done).min(PAGE as usize - within);
            if let Some(page) = self.pages.get(&(at / PAGE)) {
                out[done..done + step].copy_from_slice(&page[within..within + step]);
            }
            done += step;
        }
        out
    }

    fn punch(&mut self, offset: u64, len: u64) {
        let whole = offset.div_ceil(PAGE)..(offset + len) / PAGE;
        self.pages.retain(|page, _| !whole.contains(page));
    }
}

#[derive(Debug)]
struct MadeUpFile {
    disk: MadeUpDisk,
    inode: u64,
}

impl Disk for MadeUpDisk {
    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let tree = self.lock();
        let mut entries: BTreeMap<_, Entry> = BTreeMap::new();
        for (name, inode) in &tree.names {
            let Ok(below) = name.strip_prefix(path) else { continue };
            let mut parts = below.iter();
            let (Some(first), rest) = (parts.next(), parts.next()) else { continue };
            let meta = match rest {
                Some(_) => Meta { is_dir: true, ..Meta::default() },
                None => tree.contents[inode].meta(),
            };
            entries.insert(first.to_owned(), Entry { name: first.to_owned(), meta });
        }
        Ok(entries.into_values().collect())
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        let tree = self.lock();
        Ok(tree.names.get(path).map_or(Meta { is_dir: true, ..Meta::default() }, |inode| tree.contents[inode].meta()))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.lock().names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.next_inode.fetch_add(1, Ordering::SeqCst);
        self.change(Change::Create { path: path.to_owned(), inode })?;
        self.file(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.lock().names.contains_key(path) {
            self.change(Change::Remove { path: path.to_owned() })?;
        }
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.free.lock().unwrap().unwrap_or(u64::MAX / 2))
    }

    fn sync(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn plain(&self, _path: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Content {
    fn meta(&self) -> Meta {
        let modified = (self.modified_s, 0);
        Meta { is_dir: false, len: self.len, occupied: self.occupied(), modified, changed: modified }
    }
}

impl DiskFile for MadeUpFile {
    fn meta(&self) -> io::Result<Meta> {
        Ok(self.disk.lock().contents[&self.inode].meta())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.change(Change::SetLen { inode: self.inode, len })
    }

    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.disk.pause();
        let tree = self.disk.lock();
        let content = &tree.contents[&self.inode];
        if offset + len as u64 > content.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.extend(content.read(offset, len));
        Ok(())
    }

    fn write_at(&self, slices: Vec<IoSlice<'_>>, offset: u64) -> io::Result<()> {
        let mut bytes = Vec::new();
        for slice in &slices {
            bytes.extend_from_slice(slice);
        }
        self.disk.change(Change::Write { inode: self.inode, offset, bytes: bytes.into() })
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.change(Change::Punch { inode: self.inode, offset, len })
    }

    fn set_modified(&self, unix_s: i64) -> io::Result<()> {
        self.disk.change(Change::SetModified { inode: self.inode, unix_s })
    }
}
