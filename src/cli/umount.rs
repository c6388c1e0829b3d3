//! `cxonefs umount`: takes a mount of ours out of the tree and waits until it is gone, and its daemon with it.
//!
//! The daemon is asked to do it, through its control socket. Where none answers (a dead mount, somebody else's), it is done from here.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::args::UmountArgs;
use crate::base::failure::Failure;
use crate::base::{complain, mounts, user_name, user_words};
use crate::daemon;
use crate::fuse::{Busy, unmount};
use crate::ops::control::{self, ControlError, UnmountRequest, Unmounted};

/// How long a daemon may take to answer before it is done without it.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// How long the mount may take to leave the table after the kernel said yes, and its daemon to end.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Unmounts.
pub fn run(args: &UmountArgs) -> Result<(), Failure> {
    let shown = args.mount_point.display();
    let not_ours = |what: String| Failure::failed(what).remedy("cxonefs mounts are shown by: findmnt -t fuse.cxonefs");
    let path =
        mounts::resolve(&args.mount_point).map_err(|error| Failure::failed(error).while_doing(shown.to_string()))?;
    let owner = match table(&path)? {
        Some(mount) if mount.is_ours() => mount.owner,
        Some(mount) => return Err(not_ours(format!("{shown} is not a cxonefs mount but of type {}", mount.kind))),
        None => return Err(not_ours(format!("{shown} is not a mount"))),
    };
    let socket = control::find_socket(&path, owner.unwrap_or_else(|| rustix::process::geteuid().as_raw()));
    let mut daemon = control::daemon_of(&socket);
    let failed = |error: io::Error| failure(error, &args.mount_point, owner);
    match ask(&socket, args.lazy)? {
        Asked::Done { goes_on } => {
            if goes_on {
                daemon = None;
            }
        }
        Asked::Busy(why) => return Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, why))),
        Asked::NoUse => unmount(&path, if args.lazy { Busy::Detach } else { Busy::Refuse }).map_err(failed)?,
    }
    let gone = || Ok(!table(&path)?.is_some_and(|mount| mount.is_ours()));
    if !within(GONE_WITHIN, gone)? {
        return Err(
            Failure::failed(format!("{shown} is still mounted")).remedy("another mount may lie below it; try again")
        );
    }
    // So that the next mount finds the state directory free. With files open, a detached mount's daemon goes on for them.
    if let Some(daemon) = daemon.filter(|_| !args.lazy)
        && !within(GONE_WITHIN, || Ok(!runs(daemon)))?
    {
        complain(format_args!(
            "cxonefs: {shown} is unmounted; its daemon (process {daemon}) has not ended yet and may be stopped: kill -CONT {daemon}"
        ));
    }
    Ok(())
}

/// What came of asking the daemon.
enum Asked {
    Done {
        /// The daemon serves other mounts.
        goes_on: bool,
    },
    /// Something is open, in the words of who found out.
    Busy(String),
    /// It is not there, does not answer or cannot.
    NoUse,
}

fn ask(socket: &Path, lazy: bool) -> Result<Asked, Failure> {
    let request = UnmountRequest { lazy };
    let asked = daemon::runtime()?.block_on(async {
        let answer = control::post::<Unmounted>(socket, "/unmount", &request);
        tokio::time::timeout(ANSWER_WITHIN, answer).await
    });
    Ok(match asked {
        // The daemon may be gone before its answer is through: the table of mounts says what happened.
        Ok(Ok(Unmounted { goes_on })) => Asked::Done { goes_on },
        Ok(Err(ControlError::Exchange(_) | ControlError::Nonsense(_))) => Asked::Done { goes_on: false },
        Ok(Err(ControlError::Refused(why))) if why.contains("busy") => Asked::Busy(why),
        Ok(Err(
            ControlError::Refused(_)
            | ControlError::Request(_)
            | ControlError::NotForUs { .. }
            | ControlError::NoDaemon { .. }
            | ControlError::Silent { .. }
            | ControlError::Stranger { .. },
        ))
        | Err(_) => Asked::NoUse,
    })
}

fn failure(error: io::Error, mount_point: &Path, owner: Option<u32>) -> Failure {
    let shown = mount_point.display();
    let busy = error.kind() == io::ErrorKind::ResourceBusy || error.to_string().contains("busy");
    let failure = Failure::failed(error).while_doing(format!("unmounting {shown}"));
    let us = rustix::process::geteuid().as_raw();
    if let Some(owner) = owner.filter(|owner| us != 0 && *owner != us) {
        user_name::learn_local();
        return failure.remedy(format!("mounted by {}: they or root can unmount it", user_words(owner)));
    }
    if busy {
        failure
            .remedy(format!("close what is open in it (fuser -vm {shown} shows it), or: cxonefs umount --lazy {shown}"))
    } else {
        failure
    }
}

fn table(path: &Path) -> Result<Option<mounts::Mount>, Failure> {
    mounts::at(path).map_err(|error| Failure::failed(error).while_doing("reading the mount table"))
}

/// Whether it came true in time.
fn within(time: Duration, mut is_true: impl FnMut() -> Result<bool, Failure>) -> Result<bool, Failure> {
    let deadline = Instant::now() + time;
    while !is_true()? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(true)
}

/// Whether a process runs, whosever it is. One that ended and that nobody has asked about yet does not.
fn runs(process: u32) -> bool {
    if !cfg!(target_os = "linux") {
        let process = process.try_into().ok().and_then(rustix::process::Pid::from_raw);
        return process.is_some_and(|process| rustix::process::test_kill_process(process).is_ok());
    }
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_mounts_are_unmounted() {
        let dir = tempfile::tempdir().unwrap();
        let said = |path: &Path| run(&UmountArgs { mount_point: path.to_owned(), lazy: false }).unwrap_err().render();
        assert!(said(dir.path()).contains("is not a mount"));
        assert!(said(Path::new("/proc")).contains("not a cxonefs mount but of type proc"));
    }

    #[test]
    fn a_process_runs_until_it_ends() {
        assert!(runs(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        assert!(within(GONE_WITHIN, || Ok(!runs(child.id()))).unwrap(), "not before it was waited for");
        child.wait().unwrap();
        assert!(!runs(child.id()));
    }
}
