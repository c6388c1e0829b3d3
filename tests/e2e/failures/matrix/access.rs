//! The ways in which programs read a recording, each with the time that its slowest call took.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};

/// What `read` asks for at a time.
const PIECE: usize = 128 * 1024;

/// How a recording is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Open,
    Sequential,
    Random,
    Passthrough,
    Map,
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that was read is right.
    Right,
    Errno(i32),
    /// Of a map: the fault was answered with SIGBUS.
    Bus,
    Wrong(String),
}

/// How it went, and the slowest `open` and read.
#[derive(Debug)]
pub struct Accessed {
    pub outcome: Outcome,
    pub open: Duration,
    pub read: Duration,
}

impl Access {
    pub const ALL: [Access; 5] = [Access::Open, Access::Sequential, Access::Random, Access::Passthrough, Access::Map];

    /// Whether the mount may hand complete recordings to the kernel.
    pub fn is_passthrough(self) -> bool {
        self == Access::Passthrough
    }

    /// Reads the recording, whose bytes are `expected`.
    pub fn read(self, path: &Path, expected: &[u8]) -> Accessed {
        let begun = Instant::now();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let open = begun.elapsed();
        let (size, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return Accessed { outcome: errno(&error), open, read: Duration::ZERO },
        };
        let mut read = Duration::ZERO;
        let mut at = |offset: u64, length: usize| {
            let mut piece = vec![0; length];
            let begun = Instant::now();
            let length = file.read_at(&mut piece, offset);
            read = read.max(begun.elapsed());
            length.map(|length| piece.truncate(length)).map(|()| piece)
        };
        let outcome = match self {
            Access::Open if size == expected.len() as u64 => Outcome::Right,
            Access::Open => Outcome::Wrong(format!("{size} bytes instead of {}", expected.len())),
            Access::Sequential | Access::Passthrough => sequential(expected, &mut at),
            Access::Random => random(expected, &mut at),
            Access::Map => {
                let begun = Instant::now();
                let outcome = map(&file, expected);
                read = begun.elapsed();
                outcome
            }
        };
        Accessed { outcome, open, read }
    }
}

/// Fetches what the cache is to hold, and has the kernel forget it, so that the next read comes to the program.
pub fn prepare(path: &Path, bytes: usize) -> io::Result<()> {
    let file = File::open(path)?;
    fadvise(&file, 0, None, Advice::Random)?;
    let mut piece = vec![0; PIECE];
    let mut read = 0;
    while read < bytes {
        match file.read_at(&mut piece[..PIECE.min(bytes - read)], read as u64)? {
            0 => break,
            length => read += length,
        }
    }
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}

type ReadAt<'a> = &'a mut dyn FnMut(u64, usize) -> io::Result<Vec<u8>>;

fn sequential(expected: &[u8], at: ReadAt<'_>) -> Outcome {
    let mut offset = 0;
    loop {
        match at(offset as u64, PIECE) {
            Err(error) => return errno(&error),
            Ok(piece) if piece.is_empty() && offset == expected.len() => return Outcome::Right,
            Ok(piece) if piece.is_empty() => return Outcome::Wrong(format!("it ends after {offset} bytes")),
            Ok(piece) if expected[offset..].starts_with(&piece) => offset += piece.len(),
            Ok(piece) => return Outcome::Wrong(format!("other bytes in {} at {offset}", piece.len())),
        }
    }
}

fn random(expected: &[u8], at: ReadAt<'_>) -> Outcome {
    let mut random = fastrand::Rng::with_seed(expected.len() as u64);
    let end = expected.len();
    let offsets: Vec<usize> = (0..10).map(|_| random.usize(0..end)).collect();
    for offset in [end - 10].into_iter().chain(offsets) {
        let wanted = &expected[offset..end.min(offset + 4096)];
        match at(offset as u64, 4096) {
            Err(error) => return errno(&error),
            Ok(piece) if piece == wanted => {}
            Ok(piece) => return Outcome::Wrong(format!("other {} bytes at {offset}", piece.len())),
        }
    }
    Outcome::Right
}

fn errno(error: &io::Error) -> Outcome {
    Outcome::Errno(error.raw_os_error().unwrap_or(0))
}

/// Compares a map of the file, in a process of its own, since a page that cannot be had ends whoever touches it.
fn map(file: &File, expected: &[u8]) -> Outcome {
    use std::os::fd::AsRawFd;
    // SAFETY: a new private read-only map of a whole open file; unmapped below, and touched by nobody but the child.
    let map = unsafe {
        libc::mmap(std::ptr::null_mut(), expected.len(), libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if map == libc::MAP_FAILED {
        return errno(&io::Error::last_os_error());
    }
    // SAFETY: the child of a process with threads may only do what is async-signal-safe: it compares memory and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: both ranges have this length; memcmp, signal and _exit are async-signal-safe.
        unsafe {
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
            let same = libc::memcmp(map, expected.as_ptr().cast(), expected.len()) == 0;
            libc::_exit(i32::from(!same));
        }
    }
    let mut status = 0;
    // SAFETY: waits for the child that was just made; `map` is not used after this.
    let waited = unsafe {
        let waited = libc::waitpid(child, &raw mut status, 0);
        libc::munmap(map, expected.len());
        waited
    };
    match (waited == child, libc::WIFEXITED(status), libc::WIFSIGNALED(status)) {
        (true, true, _) if libc::WEXITSTATUS(status) == 0 => Outcome::Right,
        (true, _, true) if libc::WTERMSIG(status) == libc::SIGBUS => Outcome::Bus,
        _ => Outcome::Wrong(format!("a map whose reader ended with {status:#x}")),
    }
}
