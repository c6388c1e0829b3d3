//! The few things that the store asks of a file system, and the real one. Knows neither recordings nor blocks.
//!
//! A trait, because what a crash leaves behind can be tried out on a file system that is made up, and on no real one.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

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

    /// Removes a file; that it is not there is no error.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Bytes that are free for us where `path` is.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Everything written to this file system is durable when this returns.
    fn sync(&self, path: &Path) -> io::Result<()>;

    /// A file that is there as the kernel knows it, open for reading.
    fn plain(&self, path: &Path) -> io::Result<File>;
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

    /// Writes the slices one after the other.
    fn write_at(&self, slices: Vec<IoSlice<'_>>, offset: u64) -> io::Result<()>;

    /// Frees what lies in `[offset, offset + len)`, as far as the file system can; it reads as zeros then.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Sets the time at which it was last modified, in seconds since 1970.
    fn set_modified(&self, unix_s: i64) -> io::Result<()>;
}

/// The file systems of this machine.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk;

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
        Ok(Box::new(RealFile(private_file().create_new(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(private_file().open(path)?)))
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
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn meta(&self) -> io::Result<Meta> {
        self.0.metadata().map(|metadata| meta(&metadata))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn read_into(&self, offset: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let mut done = 0;
        out.reserve_exact(len);
        while done < len {
            let spare = &mut out.spare_capacity_mut()[..len - done];
            match rustix::io::pread(&self.0, spare, offset + done as u64).map(|(read, _)| read.len()) {
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

    fn write_at(&self, mut slices: Vec<IoSlice<'_>>, mut offset: u64) -> io::Result<()> {
        /// What the kernel takes at once.
        const SLICES_MAX: usize = 1024;
        if let [slice] = slices.as_slice() {
            return self.0.write_all_at(slice, offset);
        }
        let mut rest = slices.as_mut_slice();
        // Empty ones at the front would look like a write that went nowhere.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match rustix::io::pwritev(&self.0, &rest[..rest.len().min(SLICES_MAX)], offset) {
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
            match rustix::fs::fallocate(&self.0, flags, offset, len) {
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
        let result = unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_PUNCHHOLE, &raw const hole) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn set_modified(&self, unix_s: i64) -> io::Result<()> {
        self.0.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s.max(0) as u64))
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
