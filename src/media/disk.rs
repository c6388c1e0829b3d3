//! The few things that the store asks of a file system, and the real one. Knows neither recordings nor blocks.
//!
//! A trait, because what a crash leaves behind can be tried out on a file system that is made up, and on no real one.
//!
//! What is asked *now* is asked on threads that others need: it is answered from memory or not at all. A sick disk or a network file system
//! answers after seconds, or never. On Linux a local file system says by itself what it would have to wait for (`RWF_NOWAIT`, `RESOLVE_CACHED`); one
//! that does not is taken to wait, unless its files are in memory. Measured: a read from the page cache takes as long by `preadv2` with `RWF_NOWAIT` as by `pread`
//! (2 µs for 4 KiB, 13 µs for 128 KiB), and on another thread 12 µs longer. So what is in memory is read on the thread that asks, and all of what is on a file
//! system of which nothing is known on another one.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Whether a caller may be kept waiting by a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Allowed,
    Forbidden,
}

/// What the store needs to know of a file or directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub is_dir: bool,
    /// Bytes, holes included.
    pub len: u64,
    /// Bytes on disk.
    pub occupied: u64,
    /// Last modified: seconds since 1970 and nanoseconds.
    pub modified: (i64, i64),
    /// Its metadata last changed, which no program can set: seconds since 1970 and nanoseconds.
    pub changed: (i64, i64),
}

/// What differs once a file was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Meta {
    /// What differs once the file was written to.
    pub fn stamp(&self) -> Stamp {
        Stamp { len: self.len, modified: self.modified, changed: self.changed }
    }

    /// Of a file that is open otherwise.
    pub fn of(metadata: &fs::Metadata) -> Meta {
        meta(metadata)
    }
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: OsString,
    pub meta: Meta,
}

/// A file system. Nothing in here is durable before the system pleases: the format on top must bear any loss.
pub trait Disk: Send + Sync + Debug {
    /// Creates a directory (0700), its parents too; that it is there is no error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Everything in a directory, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Of a file or directory.
    fn meta(&self, path: &Path) -> io::Result<Meta>;

    /// A new file (0600); fails if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A file that is there, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// The same if that waits for nothing; none also where it fails.
    fn open_now(&self, path: &Path) -> Option<Box<dyn DiskFile>> {
        self.open(path).ok()
    }

    /// Removes a file; that it is not there is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Bytes that are free for us where `path` is.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Everything written to this file system is durable when this returns.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// A file that is there as the kernel knows it, open for reading.
    fn plain(&self, path: &Path) -> io::Result<File>;

    /// The same if that waits for nothing; none also where it fails.
    fn plain_now(&self, path: &Path) -> Option<File> {
        self.plain(path).ok()
    }
}

/// An open file. It lives on without its name.
pub trait DiskFile: Send + Sync + Debug {
    /// As it is now.
    fn meta(&self) -> io::Result<Meta>;

    /// Cuts it, or makes it longer by a hole.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Appends `len` bytes at `offset` to `out`. An end of the file before that is an error, and `out` is then longer by
    /// whatever was read.
    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()>;

    /// As [`DiskFile::read_into`]; false where that waits.
    fn read_now(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        self.read_into(offset, len, out).map(|()| true)
    }

    /// Writes the slices one after the other.
    fn write_at(&self, slices: Vec<IoSlice<'_>>, offset: u64) -> io::Result<()>;

    /// Frees what lies in `[offset, offset + len)`, as far as the file system can; it reads as zeros then.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Sets the time at which it was last modified, in seconds since 1970.
    fn set_modified(&self, unix_s: i64) -> io::Result<()>;
}

/// A file system of this machine.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk {
    waits: Waits,
}

/// What is known of how a file system waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Its files are in memory.
    Never,
    /// It says so before it does.
    Says,
    /// Nothing is known.
    Unknown,
}

impl RealDisk {
    /// The one that holds `file`.
    pub fn of(file: &File) -> RealDisk {
        RealDisk { waits: waits(file) }
    }

    /// One that is only used where waiting is allowed.
    pub fn unknown() -> RealDisk {
        RealDisk { waits: Waits::Unknown }
    }
}

#[cfg(target_os = "linux")]
fn waits(file: &File) -> Waits {
    /// Of tmpfs and ramfs.
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    if rustix::fs::fstatfs(file).is_ok_and(|stat| IN_MEMORY.contains(&(stat.f_type as u64))) {
        return Waits::Never;
    }
    let asked = read_at_once(file, &mut [MaybeUninit::uninit()], 0);
    let says = asked.map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |_| true);
    if says { Waits::Says } else { Waits::Unknown }
}

#[cfg(not(target_os = "linux"))]
fn waits(_file: &File) -> Waits {
    Waits::Never
}

/// What is in memory of the file at `offset`, as far as it goes without a gap. [`io::ErrorKind::WouldBlock`]: nothing.
#[cfg(target_os = "linux")]
fn read_at_once(file: &File, spare: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
    use std::os::fd::AsRawFd;
    let slice = libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: spare.len() };
    let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the slice is ours to write to, all of it, and lives until the call returns.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const slice, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).recursive(true).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok(Entry { name: entry.file_name(), meta: meta(&entry.metadata()?) })
        };
        fs::read_dir(path)?.map(entry).collect()
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        fs::metadata(path).map(|metadata| meta(&metadata))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.boxed(private_file().create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.boxed(private_file().open(path)?))
    }

    fn open_now(&self, path: &Path) -> Option<Box<dyn DiskFile>> {
        self.opened_now(path, true).map(|file| self.boxed(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(File::open(path)?)?;
        #[cfg(not(target_os = "linux"))]
        let _ = path;
        Ok(())
    }

    fn plain(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    fn plain_now(&self, path: &Path) -> Option<File> {
        self.opened_now(path, false)
    }
}

impl RealDisk {
    fn boxed(self, file: File) -> Box<dyn DiskFile> {
        Box::new(RealFile { file, waits: self.waits })
    }

    /// Opens a file whose path is in the kernel's memory.
    #[cfg(target_os = "linux")]
    fn opened_now(self, path: &Path, for_writing: bool) -> Option<File> {
        use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
        if self.waits == Waits::Unknown {
            return None;
        }
        let flags = if for_writing { OFlags::RDWR } else { OFlags::RDONLY };
        let opened = rustix::fs::openat2(CWD, path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED);
        opened.ok().map(File::from)
    }

    #[cfg(not(target_os = "linux"))]
    fn opened_now(self, path: &Path, for_writing: bool) -> Option<File> {
        private_file().write(for_writing).open(path).ok()
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    waits: Waits,
}

impl DiskFile for RealFile {
    fn meta(&self) -> io::Result<Meta> {
        self.file.metadata().map(|metadata| meta(&metadata))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let mut done = 0;
        out.reserve_exact(len);
        while done < len {
            let spare = &mut out.spare_capacity_mut()[..len - done];
            match rustix::io::pread(&self.file, spare, offset + done as u64).map(|(read, _)| read.len()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    // SAFETY: the kernel wrote `read` bytes to the start of the spare capacity.
                    unsafe { out.set_len(out.len() + read) };
                    done += read;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn read_now(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        match self.waits {
            Waits::Never => return self.read_into(offset, len, out).map(|()| true),
            Waits::Unknown => return Ok(false),
            Waits::Says => {}
        }
        let mut done = 0;
        out.reserve_exact(len);
        while done < len {
            let spare = &mut out.spare_capacity_mut()[..len - done];
            match read_at_once(&self.file, spare, offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    // SAFETY: the kernel wrote `read` bytes to the start of the spare capacity.
                    unsafe { out.set_len(out.len() + read) };
                    done += read;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn write_at(&self, mut slices: Vec<IoSlice<'_>>, mut offset: u64) -> io::Result<()> {
        /// What the kernel takes at once.
        const SLICES_MAX: usize = 1024;
        if let [slice] = slices.as_slice() {
            return self.file.write_all_at(slice, offset);
        }
        let mut rest = slices.as_mut_slice();
        // Empty ones at the front would look like a write that went nowhere.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(&self.file, &rest[..rest.len().min(SLICES_MAX)], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        loop {
            match rustix::fs::fallocate(&self.file, flags, offset, len) {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    #[cfg(target_os = "macos")]
    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let (offset, len) = (offset.try_into(), len.try_into());
        let (Ok(fp_offset), Ok(fp_length)) = (offset, len) else { return Err(io::ErrorKind::InvalidInput.into()) };
        let hole = libc::fpunchhole_t { fp_flags: 0, reserved: 0, fp_offset, fp_length };
        // SAFETY: the descriptor is open, and the request takes this structure.
        let result = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_PUNCHHOLE, &raw const hole) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn set_modified(&self, unix_s: i64) -> io::Result<()> {
        self.file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s.max(0) as u64))
    }
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn meta(metadata: &fs::Metadata) -> Meta {
    Meta {
        is_dir: metadata.is_dir(),
        len: metadata.len(),
        occupied: metadata.blocks() * 512,
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_not_in_memory_is_not_read_now() {
        // Where the build is: a temporary directory may be in memory.
        let dir = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let path = dir.path().join("file");
        let bytes = vec![7; 200_000];
        fs::write(&path, &bytes).unwrap();
        let plain = File::open(&path).unwrap();
        let disk = RealDisk::of(&plain);
        let (file, mut out) = (disk.open(&path).unwrap(), Vec::new());
        plain.sync_all().unwrap();
        rustix::fs::fadvise(&plain, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        if disk.waits == Waits::Says {
            assert!(!file.read_now(0, 131_072, &mut out).unwrap());
            out.clear();
            file.read_into(0, bytes.len(), &mut out).unwrap();
            out.clear();
            assert!(file.read_now(1, 199_999, &mut out).unwrap());
            assert!(file.read_now(1, 200_000, &mut Vec::new()).is_err(), "past the end");
            assert!(out == bytes[1..]);
            assert!(disk.open_now(&path).is_some() && disk.plain_now(&path).is_some());
        }
        let unknown = RealDisk::unknown();
        assert!(unknown.open_now(&path).is_none() && unknown.plain_now(&path).is_none());
        assert!(!unknown.open(&path).unwrap().read_now(0, 1, &mut out).unwrap());
        let in_memory = RealDisk { waits: Waits::Never };
        assert!(in_memory.open(&path).unwrap().read_now(0, 1, &mut out).unwrap());
    }
}
