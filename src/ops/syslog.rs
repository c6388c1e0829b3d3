//! Log lines to the local syslog socket, where the journal listens too: for a daemon without a terminal.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Where syslog and the journal listen.
pub const SOCKET: &str = "/dev/log";

/// Syslog's facility "daemon", shifted as in RFC 3164.
const FACILITY_DAEMON: u8 = 3 << 3;

/// Bytes of one datagram, at most; longer lines are cut.
const LINE_BYTES_MAX: usize = 8192;

/// A connection to the syslog socket.
#[derive(Clone, Debug)]
pub struct Syslog(Arc<UnixDatagram>);

impl Syslog {
    /// Connects; fails where nobody listens.
    pub fn connect(socket: &Path) -> io::Result<Syslog> {
        let datagram = UnixDatagram::unbound()?;
        datagram.connect(socket)?;
        datagram.set_nonblocking(true)?;
        Ok(Syslog(Arc::new(datagram)))
    }
}

/// One event's line; sent when dropped.
#[derive(Debug)]
pub struct Line {
    socket: Arc<UnixDatagram>,
    bytes: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        self.line(Level::INFO)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        self.line(*metadata.level())
    }
}

impl Syslog {
    fn line(&self, level: Level) -> Line {
        let priority = FACILITY_DAEMON | severity(level);
        let head = format!("<{priority}>cxonefs[{}]: ", std::process::id());
        Line { socket: Arc::clone(&self.0), bytes: head.into_bytes() }
    }
}

fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LINE_BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        // A log that nobody takes is nobody's to be told about.
        let _ = self.socket.send(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_carry_priority_and_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::connect(&path).unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(syslog).without_time().with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, || tracing::error!(day = 5, "it broke"));
        let mut buffer = [0; 1024];
        let length = server.recv(&mut buffer).unwrap();
        let line = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(line.starts_with(&format!("<27>cxonefs[{}]: ", std::process::id())), "{line}");
        assert!(line.contains("it broke day=5") && !line.ends_with('\n'), "{line}");
    }

    #[test]
    fn nobody_listening_is_an_error() {
        assert!(Syslog::connect(Path::new("/nonexistent/log")).is_err());
    }
}
