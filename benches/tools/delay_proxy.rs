//! A TCP proxy that delays every byte by a fixed time and throttles nothing: `delay_proxy PORT TO_PORT DELAY_MS`, on loopback. For
//! `scripts/bench`.
//!
//! A wire takes none of a machine's CPU, so bytes are not copied here: they wait in pipes, into which and out of which the
//! kernel moves their pages.

use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Pieces under way per direction and connection, at most.
const PIECES_MAX: usize = 1024;
/// What a pipe is asked to hold (bytes); without the right to so much it holds 64 KiB, and there are more pieces.
const PIPE_BYTES: usize = 1 << 20;

/// A place where some bytes wait.
struct Pipe {
    to_read: File,
    to_write: File,
}

/// Some bytes, and when they are due.
struct Piece {
    due: Instant,
    pipe: Pipe,
    len: usize,
}

impl Pipe {
    fn new() -> io::Result<Pipe> {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for the two descriptors, which nobody else owns.
        unsafe {
            if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::fcntl(ends[1], libc::F_SETPIPE_SZ, PIPE_BYTES);
            Ok(Pipe { to_read: File::from_raw_fd(ends[0]), to_write: File::from_raw_fd(ends[1]) })
        }
    }
}

/// Moves up to `len` bytes, one end being a pipe; waits for the first one.
fn splice(from: &impl AsRawFd, to: &impl AsRawFd, len: usize) -> io::Result<usize> {
    let (from, to, null) = (from.as_raw_fd(), to.as_raw_fd(), std::ptr::null_mut());
    // SAFETY: both descriptors are open, and no offsets are given.
    let moved = unsafe { libc::splice(from, null, to, null, len, libc::SPLICE_F_MOVE) };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: delay_proxy PORT TO_PORT DELAY_MS");
    let (port, to_port): (u16, u16) = (next()?.parse()?, next()?.parse()?);
    let delay = Duration::from_secs_f64(next()?.parse::<f64>()? / 1000.0);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    for client in listener.incoming() {
        let client = client?;
        thread::spawn(move || {
            // A connection takes a round trip to set up.
            thread::sleep(delay * 2);
            let server = TcpStream::connect(("127.0.0.1", to_port))?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            pass_on(client.try_clone()?, server.try_clone()?, delay);
            pass_on(server, client, delay);
            io::Result::Ok(())
        });
    }
    Ok(())
}

fn pass_on(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = sync_channel(PIECES_MAX);
    // Pipes come back to be used again.
    let (used, unused) = channel();
    thread::spawn(move || deliver(&receiver, &used, &to));
    thread::spawn(move || {
        loop {
            let pipe = unused.try_recv().map_or_else(|_| Pipe::new(), Ok);
            let piece = pipe.and_then(|pipe| {
                let len = splice(&from, &pipe.to_write, PIPE_BYTES)?;
                Ok(Piece { due: Instant::now() + delay, pipe, len })
            });
            let Some(piece) = piece.ok().filter(|piece| piece.len > 0) else { return };
            if sender.send(piece).is_err() {
                return;
            }
        }
    });
}

fn deliver(pieces: &Receiver<Piece>, used: &Sender<Pipe>, to: &TcpStream) {
    while let Ok(piece) = pieces.recv() {
        thread::sleep(piece.due.saturating_duration_since(Instant::now()));
        let mut left = piece.len;
        while left > 0 {
            match splice(&piece.pipe.to_read, to, left) {
                Ok(moved) if moved > 0 => left -= moved,
                _ => {
                    let _ = to.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
        // Refused when nothing more is read.
        let _ = used.send(piece.pipe);
    }
    let _ = to.shutdown(Shutdown::Both);
}
