//! Tells the service manager how it goes (`sd_notify(3)`): one datagram to `$NOTIFY_SOCKET`. Does nothing where there is none.
//!
//! By hand, because the crate for it waits for a manager that does not read.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The mount is there.
    Ready,
    /// It is being unmounted.
    Stopping,
}

impl State {
    fn message(self) -> &'static str {
        match self {
            State::Ready => "READY=1\nSTATUS=mounted",
            State::Stopping => "STOPPING=1\nSTATUS=unmounting",
        }
    }
}

/// Whether a service manager started this process and wants to know.
#[must_use]
pub fn is_listening() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// Tells the service manager of this process. Not being able to is logged and changes nothing else.
pub fn notify(state: State) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, state)
    {
        let error = crate::base::chain(&error);
        tracing::warn!(
            error,
            ?state,
            "the service manager cannot be notified of {state:?} ({error}): it may end this mount"
        );
    }
}

/// A socket is a path, or a name in the abstract namespace after an `@`.
fn send(socket: &OsStr, state: State) -> io::Result<()> {
    let address = address(socket)?;
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.message().as_bytes(), &address).map(|_| ())
}

fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(socket),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "NOTIFY_SOCKET is neither a path nor an abstract name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_arrives_at_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), State::Ready).unwrap();
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"READY=1\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_datagram_arrives_at_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("cxonefs-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), State::Stopping).unwrap();
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"STOPPING=1\n"));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(send(OsStr::new("relative"), State::Ready).is_err());
        assert!(send(OsStr::new("/nonexistent/notify"), State::Ready).is_err());
    }
}
