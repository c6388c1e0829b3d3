//! Who asks: for the ledger, the audit log, the scanner guard, and to notice that they gave up.
//!
//! Knows `/proc`. The kernel's FUSE interrupt never reaches us (fuser 0.18 answers ENOSYS), and a process that is blocked in `open`
//! cannot die before we answer, so its pending signals are watched instead.

#[cfg(target_os = "linux")]
use std::io::Read;
use std::time::Duration;

/// A caller of one request, as the kernel names it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    /// Thread id; 0 where the caller lives outside our pid namespace.
    pub tid: u32,
}

/// How often pending signals are looked at: a blocked process must end within 1 s of Ctrl-C.
const WATCH_EVERY: Duration = Duration::from_millis(200);

impl Caller {
    /// The process's name as the kernel keeps it (15 bytes); empty if it is gone or unseen.
    pub fn comm(&self) -> String {
        self.names().into_iter().next().unwrap_or_default()
    }

    /// The names of the process and, if it is another, of the thread that asks.
    pub fn names(&self) -> Vec<String> {
        if self.tid == 0 {
            return Vec::new();
        }
        let pid = self.pid();
        let mut names: Vec<String> = name_of(pid).into_iter().collect();
        if pid != self.tid {
            names.extend(name_of(self.tid));
            names.dedup();
        }
        names
    }

    /// The process that the thread belongs to; the thread itself where that cannot be seen.
    pub fn pid(&self) -> u32 {
        if is_main_thread(self.tid) {
            return self.tid;
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.tid)).unwrap_or_default();
        field(&status, "Tgid").and_then(|text| text.parse().ok()).unwrap_or(self.tid)
    }

    /// Resolves when the caller has a signal pending that should end its wait. Never, if it cannot be watched.
    pub async fn gave_up(&self) {
        if self.tid == 0 || !cfg!(target_os = "linux") {
            return std::future::pending().await;
        }
        let path = format!("/proc/{}/status", self.tid);
        // Hidden from us, as other users' processes may be (`hidepid`), it is not to be told from one that is gone.
        if std::fs::read_to_string(&path).is_err() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            // procfs answers from memory: no need to leave the worker thread for it.
            match std::fs::read_to_string(&path) {
                Ok(status) if ends_the_wait(&status) => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// Whether it is a process's first thread, as nearly every caller is. False where the kernel does not tell: it gives a handle to whole
/// processes only, at a tenth of the cost of having `status` written out.
#[cfg(target_os = "linux")]
fn is_main_thread(tid: u32) -> bool {
    use rustix::process::{Pid, PidfdFlags};
    let pid = i32::try_from(tid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).is_ok())
}

/// macFUSE names the process.
#[cfg(not(target_os = "linux"))]
fn is_main_thread(_tid: u32) -> bool {
    true
}

#[cfg(target_os = "linux")]
fn name_of(tid: u32) -> Option<String> {
    // 15 bytes and a line end, in one piece.
    let mut bytes = [0; 64];
    let read = std::fs::File::open(format!("/proc/{tid}/comm")).and_then(|mut file| file.read(&mut bytes)).ok()?;
    Some(String::from_utf8_lossy(&bytes[..read]).trim_end_matches('\n').to_owned())
}

#[cfg(target_os = "macos")]
fn name_of(pid: u32) -> Option<String> {
    let mut bytes = [0_u8; 64];
    // SAFETY: the length is that of the buffer.
    let read = unsafe { libc::proc_name(pid.try_into().ok()?, bytes.as_mut_ptr().cast(), bytes.len() as u32) };
    let name = bytes.get(..usize::try_from(read).ok()?).filter(|name| !name.is_empty())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// A field of `/proc/TID/status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

const SIGHUP: u64 = 1 << 0;
const SIGINT: u64 = 1 << 1;
const SIGQUIT: u64 = 1 << 2;
const SIGKILL: u64 = 1 << 8;
const SIGTERM: u64 = 1 << 14;
const SIGCHLD: u64 = 1 << 16;
const SIGCONT: u64 = 1 << 17;
const SIGSTOP: u64 = 1 << 18;
const SIGTSTP: u64 = 1 << 19;
const SIGTTIN: u64 = 1 << 20;
const SIGTTOU: u64 = 1 << 21;
const SIGURG: u64 = 1 << 22;
const SIGWINCH: u64 = 1 << 27;

/// Signals by which people and service managers ask a program to stop, handler or not.
const ASKS_TO_STOP: u64 = SIGHUP | SIGINT | SIGQUIT | SIGTERM;
/// Signals whose default action does not end a process.
const HARMLESS: u64 = SIGCHLD | SIGCONT | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU | SIGURG | SIGWINCH;

/// Whether `/proc/TID/status` shows a signal that ends a wait: one that asks to stop, or one that would kill. Signals that a program
/// merely handles do not count (Go programs such as restic have SIGURG pending all the time).
fn ends_the_wait(status: &str) -> bool {
    let mask = |name: &str| field(status, name).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let pending = mask("SigPnd") | mask("ShdPnd");
    let deliverable = pending & !mask("SigBlk") & !mask("SigIgn");
    let deadly = deliverable & !mask("SigCgt") & !HARMLESS;
    pending & SIGKILL != 0 || deliverable & ASKS_TO_STOP != 0 || deadly != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_its_name_and_its_process_one() {
        let thread = std::thread::Builder::new().name("pool-worker".into());
        let names = thread
            .spawn(|| {
                // PID/task/TID
                let link = std::fs::read_link("/proc/thread-self").unwrap();
                let tid = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
                Caller { uid: 0, gid: 0, tid }.names()
            })
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(names.len(), 2);
        assert_eq!(names[1], "pool-worker");
        assert_eq!(names[0], name_of(std::process::id()).unwrap());
        assert!(is_main_thread(std::process::id()) && !is_main_thread(u32::MAX));
        assert!(Caller { uid: 0, gid: 0, tid: 0 }.names().is_empty());
    }

    fn status(pending: u64, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tcat\nSigPnd:\t{pending:016x}\nShdPnd:\t0000000000000000\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn only_signals_that_end_a_process_end_its_wait() {
        assert!(ends_the_wait(&status(SIGINT, 0, 0, 0)));
        assert!(ends_the_wait(&status(SIGINT, 0, 0, SIGINT)), "a handler for Ctrl-C still wants to run");
        assert!(ends_the_wait(&status(SIGKILL, u64::MAX, u64::MAX, 0)));
        assert!(!ends_the_wait(&status(SIGINT, SIGINT, 0, 0)), "blocked");
        assert!(!ends_the_wait(&status(SIGINT, 0, SIGINT, 0)), "ignored");
        assert!(!ends_the_wait(&status(SIGURG, 0, 0, SIGURG)), "Go's scheduler");
        assert!(!ends_the_wait(&status(SIGCHLD | SIGWINCH, 0, 0, 0)));
        assert!(ends_the_wait(&status(1 << 13, 0, 0, 0)), "SIGALRM without a handler kills");
        assert!(!ends_the_wait(&status(1 << 13, 0, 0, 1 << 13)), "SIGALRM with a handler does not");
        assert!(!ends_the_wait(&status(0, 0, 0, 0)));
        assert!(!ends_the_wait("nonsense"));
    }
}
