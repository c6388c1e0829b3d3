//! Giving up the right to mount once everything is mounted. Linux only; elsewhere there is nothing to give up.
//!
//! Capabilities belong to threads, and the kernel has no call that changes those of a whole process. So every thread is sent a signal whose handler
//! gives them up for its thread, until no thread has any: the way of `libpsx`. Threads that begin meanwhile inherit from one that has given them up, or
//! are found by the next look.

/// What a process may do about its mounts once it has given up the right to mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The kernel may still be asked to read files by itself, which takes the right.
    pub passthrough: bool,
    /// A program that is started cannot gain the right again (`no_new_privs`), so `fusermount3` cannot unmount.
    pub no_new_privs: bool,
    /// The service manager takes the mount away.
    pub unmounted_by_others: bool,
    /// Mounts.
    pub doors: usize,
}

/// Whether the right to mount may go: nothing takes it any more, and the mounts can still be taken away.
#[must_use]
pub fn may_go(situation: Situation) -> bool {
    let Situation { passthrough, no_new_privs, unmounted_by_others, doors } = situation;
    // The service manager knows of one mount.
    !passthrough && (!no_new_privs || (unmounted_by_others && doors == 1))
}

#[cfg(target_os = "linux")]
pub use linux::{give_up, no_new_privs};

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::mem::MaybeUninit;
    use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
    use std::time::Duration;

    /// Looks at the threads, at most.
    const ROUNDS_MAX: usize = 100;
    const PAUSE: Duration = Duration::from_millis(10);

    const VERSION_3: u32 = 0x2008_0522;
    /// Asked for again where it was there: it tells which program another user's process runs, which `mount.deny_processes` and the audit log go by.
    const KEPT: u64 = 1 << 19; // CAP_SYS_PTRACE

    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }

    static DONE: AtomicUsize = AtomicUsize::new(0);
    static ERROR: AtomicI32 = AtomicI32::new(0);

    /// Calls that are safe in a handler of a signal, and nothing else.
    extern "C" fn give_up_here(_signal: libc::c_int) {
        let header = Header { version: VERSION_3, pid: 0 };
        let mut data = [Data::default(); 2];
        // SAFETY: the structures are those of version 3 and outlive the calls; errno is put back.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            let mut failed = libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr());
            if failed == 0 {
                let kept = [KEPT as u32, (KEPT >> 32) as u32];
                for (data, kept) in data.iter_mut().zip(kept) {
                    *data = Data { effective: data.effective & kept, permitted: data.permitted & kept, inheritable: 0 };
                }
                failed = libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr());
            }
            if failed != 0 {
                ERROR.store(*errno, Ordering::SeqCst);
            }
            *errno = before;
        }
        DONE.fetch_add(1, Ordering::SeqCst);
    }

    /// Gives up every capability but `CAP_SYS_PTRACE` in every thread. `false`: there was none to give up.
    pub fn give_up() -> io::Result<bool> {
        if threads_with_rights()?.is_empty() {
            return Ok(false);
        }
        let signal = libc::SIGRTMAX() - 2;
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: all-zero bytes are a sigaction; the handler makes calls alone that are safe there, and is never taken away.
        unsafe {
            let action = action.assume_init_mut();
            action.sa_sigaction = give_up_here as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            if libc::sigaction(signal, action, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let pid = std::process::id() as libc::pid_t;
        let mut was_empty = false;
        for _ in 0..ROUNDS_MAX {
            let left = threads_with_rights()?;
            // One look may miss a thread that was begun meanwhile by one that still had its rights; the next look finds it.
            if left.is_empty() && was_empty {
                return Ok(true);
            }
            was_empty = left.is_empty();
            for tid in left {
                // SAFETY: a signal to a thread of this process, whose handler is in place. One that has ended is no matter.
                unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
            }
            std::thread::sleep(PAUSE);
            let error = ERROR.load(Ordering::SeqCst);
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        Err(io::Error::other("some threads still have capabilities"))
    }

    /// Threads of this process that could do more than what is kept.
    fn threads_with_rights() -> io::Result<Vec<libc::pid_t>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc/self/task")? {
            let entry = entry?;
            let Some(tid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has ended meanwhile has none.
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            if permitted(&status) & !KEPT != 0 {
                found.push(tid);
            }
        }
        Ok(found)
    }

    fn permitted(status: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
        line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
    }

    /// Whether programs that this process starts cannot gain rights.
    pub fn no_new_privs() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("NoNewPrivs:").is_some_and(|value| value.trim() == "1"))
    }
}

#[cfg(not(target_os = "linux"))]
pub fn give_up() -> std::io::Result<bool> {
    Ok(false)
}

#[cfg(not(target_os = "linux"))]
pub fn no_new_privs() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_to_mount_goes_where_nobody_needs_it_and_the_mount_can_still_go() {
        let alone = Situation { passthrough: false, no_new_privs: false, unmounted_by_others: false, doors: 2 };
        assert!(may_go(alone), "fusermount3 unmounts");
        assert!(!may_go(Situation { passthrough: true, ..alone }));
        let service = Situation { no_new_privs: true, unmounted_by_others: true, doors: 1, ..alone };
        assert!(may_go(service));
        assert!(!may_go(Situation { doors: 2, ..service }), "the service manager takes one away");
        assert!(!may_go(Situation { unmounted_by_others: false, ..service }), "nobody could unmount");
    }

    /// In a process of its own: what was given up is gone for good.
    #[test]
    #[cfg(target_os = "linux")]
    fn every_thread_gives_up_its_rights() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || {
            let _ = stopped.recv();
            std::fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        let had_rights = rustix::process::geteuid().is_root();
        assert_eq!(give_up().unwrap(), had_rights);
        drop(stop);
        let status = waiting.join().unwrap();
        let line = status.lines().find(|line| line.starts_with("CapEff:")).unwrap();
        let left = u64::from_str_radix(line.rsplit('\t').next().unwrap().trim(), 16).unwrap();
        assert_eq!(left & !(1 << 19), 0, "{line}");
        assert!(!give_up().unwrap(), "there is nothing left");
    }
}
