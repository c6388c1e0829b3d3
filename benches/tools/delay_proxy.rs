//! A TCP proxy that delays every byte by a fixed time and throttles nothing: `delay_proxy PORT TO_PORT DELAY_MS`, on loopback. For
//! `scripts/bench`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Pieces under way per direction and connection (of up to 256 KiB: 64 MiB), more than 40 ms hold at any speed that a machine has.
const PIECES_MAX: usize = 256;
const PIECE_BYTES: usize = 256 * 1024;

/// Some bytes, and when they are due.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    len: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: delay_proxy PORT TO_PORT DELAY_MS");
    let (port, to_port): (u16, u16) = (next()?.parse()?, next()?.parse()?);
    let delay = Duration::from_secs_f64(next()?.parse::<f64>()? / 1000.0);
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

fn pass_on(mut from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = sync_channel(PIECES_MAX);
    // Buffers come back to be used again: fresh ones would cost more than what is measured.
    let (used, unused) = channel();
    thread::spawn(move || deliver(&receiver, &used, to));
    thread::spawn(move || {
        loop {
            let mut bytes = unused.try_recv().unwrap_or_else(|_| vec![0; PIECE_BYTES]);
            let len = match from.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(read) => read,
            };
            if sender.send(Piece { due: Instant::now() + delay, bytes, len }).is_err() {
                return;
            }
        }
    });
}

fn deliver(pieces: &Receiver<Piece>, used: &Sender<Vec<u8>>, mut to: TcpStream) {
    while let Ok(piece) = pieces.recv() {
        thread::sleep(piece.due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece.bytes[..piece.len]).is_err() {
            break;
        }
        // Refused when nothing more is read.
        let _ = used.send(piece.bytes);
    }
    let _ = to.shutdown(Shutdown::Both);
}
