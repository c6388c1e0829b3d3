//! A TCP proxy that delays every byte by a fixed time and throttles nothing: `delay_proxy PORT TO_PORT DELAY_MS`, on loopback. For
//! `scripts/bench`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Pieces under way per direction and connection (of up to 64 KiB: 64 MiB), more than 40 ms hold at any speed that a machine has.
const PIECES_MAX: usize = 1024;
const PIECE_BYTES: usize = 64 * 1024;

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
    thread::spawn(move || deliver(&receiver, to));
    thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            match from.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(read) => piece.truncate(read),
            }
            if sender.send((Instant::now() + delay, piece)).is_err() {
                return;
            }
        }
    });
}

fn deliver(pieces: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    while let Ok((due, piece)) = pieces.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
