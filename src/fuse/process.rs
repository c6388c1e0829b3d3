//! The kernel's callers as `/proc` shows them: which program a thread belongs to, and whether it still waits.
//!
//! The kernel's FUSE interrupt never reaches us (fuser 0.18 answers ENOSYS), and a process that is blocked in `open` cannot die before
//! we answer, so its pending signals are watched instead.
//!
//! Only what the kernel answers from its own memory is read on the threads of requests. `/proc/PID/cmdline` is not among it: it lies in the
//! memory of the process, whose lock may be held by a thread that waits for us.

#[cfg(target_os = "linux")]
use std::io::{BufRead, Read};
use std::sync::{Once, OnceLock};

use async_trait::async_trait;

use crate::base::shown;
use crate::tree::{Origin, Presence, Principal, Program, User};

/// The identity of a caller that the kernel names by a thread. 0: it lives outside our pid namespace.
pub fn principal(uid: u32, gid: u32, tid: u32) -> Principal {
    let user = User { uid, gid };
    if tid == 0 {
        say_once_that_nobody_is_known();
        Principal::unidentified(user)
    } else {
        Principal::new(user, Process { tid, started: OnceLock::new() })
    }
}

/// A daemon in a container learns nothing of callers outside of it: neither name nor process.
fn say_once_that_nobody_is_known() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "a program outside of this container's process ids uses the mount: mount.deny_processes does not stop it and Ctrl-C does not end an \
             open that waits; run the container with the host's process ids (docker run --pid=host)"
        );
    });
}

/// The process of one thread.
struct Process {
    tid: u32,
    /// When the thread was started, in ticks since boot, as first seen: another one of the same number started at another time. `None`:
    /// it was gone, or is hidden from us.
    started: OnceLock<Option<u64>>,
}

#[async_trait]
impl Origin for Process {
    fn program(&self) -> Option<Program> {
        let tid = self.tid;
        let _ = self.started.get_or_init(|| started(tid));
        let pid = process_of(tid);
        let thread = if pid == tid { None } else { name_of(tid) };
        let comm = name_of(pid).or_else(|| thread.clone())?;
        let thread = thread.filter(|thread| *thread != comm);
        Some(Program {
            pid,
            comm,
            thread,
            exe: executable(pid),
            login_uid: number_in(pid, "loginuid"),
            session: number_in(pid, "sessionid"),
        })
    }

    async fn argv0(&self) -> Option<String> {
        let tid = self.tid;
        tokio::task::spawn_blocking(move || argv0(tid)).await.ok().flatten()
    }

    async fn has_loaded(&self, part: &'static str) -> bool {
        let tid = self.tid;
        tokio::task::spawn_blocking(move || maps(tid, part)).await.unwrap_or(false)
    }

    fn presence(&self) -> Presence {
        let presence = match *self.started.get_or_init(|| started(self.tid)) {
            Some(then) => match (started(self.tid), status(self.tid)) {
                (Some(now), Some(status)) if now == then => Some(by_signals(&status)),
                _ => None,
            },
            // Other users' processes may be hidden from us (`hidepid`): those that exist are not to be told from each other.
            None => exists(self.tid).then_some(Presence::Waits),
        };
        presence.unwrap_or(Presence::Gone)
    }
}

/// The process that a thread belongs to; the thread itself where that cannot be seen.
fn process_of(tid: u32) -> u32 {
    if is_main_thread(tid) {
        return tid;
    }
    let status = status(tid).unwrap_or_default();
    field(&status, "Tgid").and_then(|text| text.parse().ok()).unwrap_or(tid)
}

/// Whether it is a process's first thread, as nearly every caller is. False where the kernel does not tell: it gives a handle to whole
/// processes only, at a tenth of the cost of having `status` written out.
#[cfg(target_os = "linux")]
fn is_main_thread(tid: u32) -> bool {
    use rustix::process::PidfdFlags;
    raw(tid).is_some_and(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).is_ok())
}

/// macFUSE names the process.
#[cfg(not(target_os = "linux"))]
fn is_main_thread(_tid: u32) -> bool {
    true
}

fn raw(tid: u32) -> Option<rustix::process::Pid> {
    i32::try_from(tid).ok().and_then(rustix::process::Pid::from_raw)
}

/// Whether there is a thread of that number, hidden or not.
fn exists(tid: u32) -> bool {
    let tested = raw(tid).map(rustix::process::test_kill_process);
    !matches!(tested, None | Some(Err(rustix::io::Errno::SRCH)))
}

#[cfg(target_os = "linux")]
fn name_of(tid: u32) -> Option<String> {
    short(tid, "comm")
}

/// What a file of `/proc/TID` says on its one short line.
#[cfg(target_os = "linux")]
fn short(tid: u32, file: &str) -> Option<String> {
    // 15 bytes of a name or ten digits, and a line end, in one piece.
    let mut bytes = [0; 64];
    let read = std::fs::File::open(format!("/proc/{tid}/{file}")).and_then(|mut file| file.read(&mut bytes)).ok()?;
    // A process chooses its name itself; it is shown in logs, tables and the audit log.
    Some(shown(String::from_utf8_lossy(&bytes[..read]).trim_end_matches('\n')).into_owned())
}

/// `u32::MAX` means unset.
#[cfg(target_os = "linux")]
fn number_in(pid: u32, file: &str) -> Option<u32> {
    short(pid, file)?.parse().ok().filter(|number| *number != u32::MAX)
}

#[cfg(target_os = "linux")]
fn executable(pid: u32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?.to_string_lossy().into_owned();
    // What was replaced by an update while it ran.
    Some(shown(path.strip_suffix(" (deleted)").unwrap_or(&path)).into_owned())
}

/// The first word of the command line. Waits for the process's memory.
#[cfg(target_os = "linux")]
fn argv0(tid: u32) -> Option<String> {
    let mut bytes = [0; 4096];
    let read = std::fs::File::open(format!("/proc/{tid}/cmdline")).and_then(|mut file| file.read(&mut bytes)).ok()?;
    let word = bytes[..read].split(|byte| *byte == 0).next().filter(|word| !word.is_empty())?;
    Some(String::from_utf8_lossy(word).into_owned())
}

/// Whether a file whose path holds `part` is mapped. Waits for the process's memory.
#[cfg(target_os = "linux")]
fn maps(tid: u32, part: &str) -> bool {
    let Ok(file) = std::fs::File::open(format!("/proc/{tid}/maps")) else { return false };
    std::io::BufReader::new(file)
        .split(b'\n')
        .map_while(Result::ok)
        .any(|line| String::from_utf8_lossy(&line).contains(part))
}

/// Whether an open asks for the file's access time to be left alone.
#[cfg(target_os = "linux")]
pub fn keeps_atime(flags: i32) -> bool {
    flags & libc::O_NOATIME != 0
}

#[cfg(target_os = "linux")]
fn status(tid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{tid}/status")).ok()
}

/// When a thread was started, in ticks since boot. `None` where there is none, or only its remains.
#[cfg(target_os = "linux")]
fn started(tid: u32) -> Option<u64> {
    started_in(&std::fs::read_to_string(format!("/proc/{tid}/stat")).ok()?)
}

/// The same, from the text of `/proc/TID/stat`: fields 3 (state) and 22, counted after the name, which may hold anything.
fn started_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(target_os = "macos")]
fn name_of(pid: u32) -> Option<String> {
    let mut bytes = [0_u8; 64];
    // SAFETY: the length is that of the buffer.
    let read = unsafe { libc::proc_name(pid.try_into().ok()?, bytes.as_mut_ptr().cast(), bytes.len() as u32) };
    let name = bytes.get(..usize::try_from(read).ok()?).filter(|name| !name.is_empty())?;
    Some(shown(&String::from_utf8_lossy(name)).into_owned())
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    //! What only Linux tells.

    pub fn number_in(_pid: u32, _file: &str) -> Option<u32> {
        None
    }

    pub fn executable(_pid: u32) -> Option<String> {
        None
    }

    pub fn argv0(_pid: u32) -> Option<String> {
        None
    }

    pub fn maps(_pid: u32, _part: &str) -> bool {
        false
    }

    pub fn keeps_atime(_flags: i32) -> bool {
        false
    }

    pub fn status(_pid: u32) -> Option<String> {
        None
    }

    pub fn started(_pid: u32) -> Option<u64> {
        None
    }
}
#[cfg(not(target_os = "linux"))]
pub use elsewhere::keeps_atime;
#[cfg(not(target_os = "linux"))]
use elsewhere::{argv0, executable, maps, number_in, started, status};

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

/// What the signals in `/proc/TID/status` make of a wait: one that would kill ends it, one that asks to stop should. Signals that a program
/// merely handles do not count (Go programs such as restic have SIGURG pending all the time).
fn by_signals(status: &str) -> Presence {
    let mask = |name: &str| field(status, name).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let pending = mask("SigPnd") | mask("ShdPnd");
    let deliverable = pending & !mask("SigBlk") & !mask("SigIgn");
    let deadly = deliverable & !mask("SigCgt") & !HARMLESS;
    if pending & SIGKILL != 0 || deadly != 0 {
        Presence::Gone
    } else if deliverable & ASKS_TO_STOP != 0 {
        Presence::AskedToStop
    } else {
        Presence::Waits
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn program(tid: u32) -> Option<Program> {
        principal(0, 0, tid).program().cloned()
    }

    /// A program chooses its name, and may choose one that turns what stands behind it.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_name_that_turns_text_is_shown_with_a_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a\u{202e}b\u{1b}c");
        std::fs::copy("/bin/sleep", &odd).unwrap();
        let mut child = Command::new(&odd).arg("60").stdin(Stdio::null()).spawn().unwrap();
        let program = program(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        let program = program.unwrap();
        assert_eq!(program.comm, "a\u{fffd}b\u{fffd}c");
        assert!(program.exe.unwrap().ends_with("/a\u{fffd}b\u{fffd}c"));
    }

    #[test]
    fn a_thread_has_its_name_and_its_process_one() {
        let thread = std::thread::Builder::new().name("pool-worker".into());
        let program = thread.spawn(|| {
            // PID/task/TID
            let link = std::fs::read_link("/proc/thread-self").unwrap();
            program(link.file_name().unwrap().to_str().unwrap().parse().unwrap())
        });
        let program = program.unwrap().join().unwrap().unwrap();
        assert_eq!(program.pid, std::process::id());
        assert_eq!(program.thread.as_deref(), Some("pool-worker"));
        assert_eq!(Some(program.comm), name_of(std::process::id()));
        let exe = std::env::current_exe().unwrap();
        assert_eq!(program.exe.as_deref(), exe.to_str());
        assert!(maps(std::process::id(), exe.to_str().unwrap()) && !maps(std::process::id(), "/libgio-2.0.so"));
        assert!(is_main_thread(std::process::id()) && !is_main_thread(u32::MAX));
    }

    #[test]
    fn a_caller_outside_the_namespace_is_not_identified() {
        let outside = principal(7, 8, 0);
        assert_eq!((outside.user(), outside.program()), (User { uid: 7, gid: 8 }, None));
        assert!(!outside.has_gone());
    }

    #[tokio::test]
    async fn what_was_learned_of_a_process_outlives_it() {
        let mut sleeper = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let caller = principal(0, 0, sleeper.id());
        // The name is that of the test until the child has become `sleep`.
        while name_of(sleeper.id()).as_deref() != Some("sleep") {
            std::thread::yield_now();
        }
        caller.identify();
        assert!(!caller.has_gone());
        assert_eq!(caller.argv0().await, Some("sleep"));
        sleeper.kill().unwrap();
        let remains = || matches!(std::fs::read_to_string(format!("/proc/{}/stat", sleeper.id())), Ok(stat) if started_in(&stat).is_some());
        while remains() {
            std::thread::yield_now();
        }
        assert!(caller.has_gone(), "its remains wait for nothing");
        sleeper.wait().unwrap();
        assert!(caller.has_gone());
        assert_eq!((caller.pid(), caller.comm()), (sleeper.id(), "sleep"));
        assert!(principal(0, 0, sleeper.id()).has_gone(), "gone before it was looked at");
    }

    #[test]
    fn another_process_of_the_same_number_is_not_the_caller() {
        let me = std::process::id();
        let mine = Process { tid: me, started: OnceLock::from(started(me)) };
        assert_eq!(mine.presence(), Presence::Waits);
        let reused = Process { tid: me, started: OnceLock::from(started(me).map(|ticks| ticks - 1)) };
        assert_eq!(reused.presence(), Presence::Gone);
    }

    #[test]
    fn a_start_is_read_past_any_name() {
        let stat = |name, state| format!("12 ({name}) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21");
        assert_eq!(started_in(&stat("cat", "S")), Some(4711));
        assert_eq!(started_in(&stat(") Z 1 (x)", "D")), Some(4711));
        assert_eq!(started_in(&stat("cat", "Z")), None);
        assert_eq!(started_in("nonsense"), None);
    }

    fn status(pending: u64, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tcat\nSigPnd:\t{pending:016x}\nShdPnd:\t0000000000000000\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn only_signals_that_end_a_process_end_its_wait() {
        let presence = |pending, blocked, ignored, caught| by_signals(&status(pending, blocked, ignored, caught));
        assert_eq!(presence(SIGINT, 0, 0, 0), Presence::Gone);
        assert_eq!(presence(SIGINT, 0, 0, SIGINT), Presence::AskedToStop, "a handler for Ctrl-C still wants to run");
        assert_eq!(presence(SIGKILL, u64::MAX, u64::MAX, 0), Presence::Gone);
        assert_eq!(presence(SIGINT, SIGINT, 0, 0), Presence::Waits, "blocked");
        assert_eq!(presence(SIGINT, 0, SIGINT, 0), Presence::Waits, "ignored");
        assert_eq!(presence(SIGURG, 0, 0, SIGURG), Presence::Waits, "Go's scheduler");
        assert_eq!(presence(SIGCHLD | SIGWINCH, 0, 0, 0), Presence::Waits);
        assert_eq!(presence(1 << 13, 0, 0, 0), Presence::Gone, "SIGALRM without a handler kills");
        assert_eq!(presence(1 << 13, 0, 0, 1 << 13), Presence::Waits, "SIGALRM with a handler does not");
        assert_eq!(presence(0, 0, 0, 0), Presence::Waits);
        assert_eq!(by_signals("nonsense"), Presence::Waits);
    }
}
