//! `--background`: one fork before any thread exists, a pipe over which the child says that it is ready or why it is not.
//! Knows nothing of what the child does.

use std::fs::OpenOptions;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::failure::{FAILED, Failure};

/// Bytes of a report, at most.
const REPORT_BYTES_MAX: u64 = 64 * 1024;

/// First byte of a report: it is ready; otherwise it is the exit code, and the rendered failure follows.
const READY: u8 = 0;

/// Which process this is now.
pub enum Side {
    Parent(Child),
    Child(Readiness),
}

/// The parent's end.
pub struct Child {
    reports: PipeReader,
}

/// The child's end.
pub struct Readiness {
    pipe: Arc<Mutex<Option<PipeWriter>>>,
}

/// Says that it is ready.
pub struct Ready(Arc<Mutex<Option<PipeWriter>>>);

/// Says why it is not.
pub struct Failed(Arc<Mutex<Option<PipeWriter>>>);

/// Splits into a parent that waits and a child in a session of its own, without a terminal, in `/`.
pub fn split() -> Result<Side, Failure> {
    let failed = |error: io::Error| Failure::failed(error).while_doing("going to the background");
    let (reports, writer) = io::pipe().map_err(failed)?;
    // SAFETY: the caller has started no thread, so that the child's copy of the memory is consistent: no lock is held by a thread
    // that does not exist there.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(failed(io::Error::last_os_error())),
        0 => {
            drop(reports);
            let readiness = Readiness { pipe: Arc::new(Mutex::new(Some(writer))) };
            if let Err(error) = leave_terminal() {
                // Reported here, because the caller does not know yet that it is the child.
                Err(Failed(readiness.pipe).report(failed(error)))
            } else {
                Ok(Side::Child(readiness))
            }
        }
        _ => {
            drop(writer);
            Ok(Side::Parent(Child { reports }))
        }
    }
}

fn leave_terminal() -> io::Result<()> {
    rustix::process::setsid()?;
    std::env::set_current_dir("/")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for stream in 0..=2 {
        // SAFETY: replaces a standard stream by an open descriptor; nothing in this process owns those three numbers.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

impl Child {
    /// Waits until the child is ready, or prints why it is not and ends with its exit code.
    pub fn wait(self) -> Result<(), Failure> {
        let mut report = Vec::new();
        let read = self.reports.take(REPORT_BYTES_MAX).read_to_end(&mut report);
        read.map_err(|error| Failure::failed(error).while_doing("waiting for the mount"))?;
        match report.split_first() {
            Some((&READY, _)) => Ok(()),
            Some((&code, text)) => {
                // Rendered by the child already.
                let _ = io::stderr().write_all(text);
                std::process::exit(i32::from(code));
            }
            None => Err(Failure::failed("the daemon ended before the mount was ready")
                .remedy("see why: run it without --background")),
        }
    }
}

impl Readiness {
    /// One half for success, one for failure; whichever speaks first is heard.
    pub fn into_parts(self) -> (Ready, Failed) {
        (Ready(Arc::clone(&self.pipe)), Failed(self.pipe))
    }
}

impl Ready {
    /// Fails if nobody waits any more: then nobody wants the mount.
    pub fn ready(self) -> io::Result<()> {
        send(&self.0, &[READY])
    }
}

impl Failed {
    /// Tells the parent, unless it was told that all is well; then the log is told.
    pub fn report(&self, failure: Failure) -> Failure {
        let mut report = vec![if failure.code() == READY { FAILED } else { failure.code() }];
        report.extend_from_slice(failure.render().as_bytes());
        if send(&self.0, &report).is_err() {
            tracing::error!("{}", failure.line());
        }
        failure
    }
}

/// Sends and closes. An error if it was closed already.
fn send(pipe: &Mutex<Option<PipeWriter>>, report: &[u8]) -> io::Result<()> {
    let writer = pipe.lock().take();
    match writer {
        Some(mut writer) => writer.write_all(report),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Child, Ready, Failed) {
        let (reports, writer) = io::pipe().unwrap();
        let (ready, failed) = Readiness { pipe: Arc::new(Mutex::new(Some(writer))) }.into_parts();
        (Child { reports }, ready, failed)
    }

    #[test]
    fn ready_is_heard_once() {
        let (child, ready, failed) = pair();
        ready.ready().unwrap();
        child.wait().unwrap();
        // Later failures go to the log.
        assert!(send(&failed.0, b"x").is_err());
    }

    #[test]
    fn a_silent_death_is_noticed() {
        let (child, ready, failed) = pair();
        drop((ready, failed));
        assert!(child.wait().unwrap_err().render().contains("before the mount was ready"));
    }

    #[test]
    fn a_parent_that_left_is_noticed() {
        let (child, ready, _failed) = pair();
        drop(child);
        assert!(ready.ready().is_err());
    }
}
