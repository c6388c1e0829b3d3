//! Finds threads that wait where they must not: a worker of the runtime, or a thread that takes the kernel's requests, that sleeps in a
//! system call holds up everybody whose turn would be next. In debug builds only; the end-to-end tests fail where it finds one.
//!
//! A thread that merely waits for its turn on a busy machine is not one: it has to be asleep (`S` or `D`), in one piece (the kernel's count of
//! its time slices stays), within a system call, while it is at work. Who waits for a lock is found only while no other thread of this process
//! could run: its holder may be waiting for a core.

#[cfg(not(all(debug_assertions, target_os = "linux")))]
pub use off::{Working, start, watch_workers, working};
#[cfg(all(debug_assertions, target_os = "linux"))]
pub use on::{Working, start, watch_workers, working};

/// In release builds: nothing.
#[cfg(not(all(debug_assertions, target_os = "linux")))]
mod off {
    /// A thread at work.
    pub struct Working;

    /// Watches nothing.
    pub fn start() {}

    /// Watches nothing.
    pub fn watch_workers(_builder: &mut tokio::runtime::Builder) {}

    /// Watches nothing.
    pub fn working() -> Working {
        Working
    }
}

#[cfg(all(debug_assertions, target_os = "linux"))]
mod on {
    use std::cell::OnceCell;
    use std::collections::HashMap;
    use std::fs::{read_dir, read_to_string};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, Once, PoisonError};
    use std::time::Duration;

    use tokio::time::Instant;

    /// Between two looks.
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    /// A thread that sleeps as long is reported.
    const ASLEEP_MAX: Duration = Duration::from_millis(50);
    /// Two looks further apart than this, for another reason than a busy machine, and the process was stopped.
    const STOPPED_FROM: Duration = Duration::from_millis(100);

    /// A thread that is watched.
    struct Thread {
        tid: i32,
        /// Odd while it works; another number for each piece of work.
        turn: AtomicU64,
    }

    static THREADS: Mutex<Vec<Arc<Thread>>> = Mutex::new(Vec::new());

    thread_local! {
        static THIS: OnceCell<Arc<Thread>> = const { OnceCell::new() };
    }

    fn on_this_thread(f: impl FnOnce(&Thread)) {
        // An error: the thread is ending.
        let _ = THIS.try_with(|this| {
            f(this.get_or_init(|| {
                let thread = Arc::new(Thread { tid: this_thread(), turn: AtomicU64::new(0) });
                THREADS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&thread));
                thread
            }));
        });
    }

    fn this_thread() -> i32 {
        // SAFETY: no preconditions.
        unsafe { libc::gettid() }
    }

    /// The thread works, or rests.
    fn note(works: bool) {
        on_this_thread(|thread| {
            let turn = thread.turn.load(Ordering::Relaxed);
            if (turn % 2 == 1) != works {
                thread.turn.store(turn + 1, Ordering::Relaxed);
            }
        });
    }

    /// A thread at work, until this is dropped.
    pub struct Working(());

    impl Drop for Working {
        fn drop(&mut self) {
            note(false);
        }
    }

    /// The calling thread works from now on, and others wait for it.
    pub fn working() -> Working {
        note(true);
        Working(())
    }

    /// Watches the workers of a runtime that is being built.
    pub fn watch_workers(builder: &mut tokio::runtime::Builder) {
        builder.on_thread_unpark(|| note(true)).on_thread_park(|| note(false));
    }

    /// Starts to watch, once.
    pub fn start() {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| {
            let watching = std::thread::Builder::new().name(String::from("watchdog")).spawn(watch);
            if let Err(error) = watching {
                tracing::warn!(%error, "the thread that watches for blocked threads could not be started: {error}");
            }
        });
    }

    fn watch() {
        let mut asleep: HashMap<i32, Asleep> = HashMap::new();
        let (mut looked_at, mut waited) = (Instant::now(), waited_for_core());
        loop {
            std::thread::sleep(LOOK_EVERY);
            let (now, waits) = (Instant::now(), waited_for_core());
            let gap = now.duration_since(looked_at).saturating_sub(waits.saturating_sub(waited));
            (looked_at, waited) = (now, waits);
            if gap > STOPPED_FROM {
                asleep.clear();
            }
            let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for thread in threads {
                let turn = thread.turn.load(Ordering::Relaxed);
                let sleep = (turn % 2 == 1).then(|| sleep_of(thread.tid)).flatten();
                let Some((slices, call)) = sleep else {
                    asleep.remove(&thread.tid);
                    continue;
                };
                let known = asleep.entry(thread.tid).or_insert_with(|| Asleep::new(turn, slices, now));
                if (known.turn, known.slices) != (turn, slices)
                    || call == libc::SYS_futex && somebody_could_run(thread.tid)
                {
                    *known = Asleep::new(turn, slices, now);
                }
                let blocked = now.duration_since(known.since);
                if blocked > ASLEEP_MAX && !known.is_told {
                    known.is_told = true;
                    tell(thread.tid, call);
                }
            }
        }
    }

    /// A thread that was seen asleep.
    struct Asleep {
        turn: u64,
        slices: u64,
        since: Instant,
        is_told: bool,
    }

    impl Asleep {
        fn new(turn: u64, slices: u64, since: Instant) -> Asleep {
            Asleep { turn, slices, since, is_told: false }
        }
    }

    fn tell(tid: i32, call: i64) {
        let name = read_to_string(format!("/proc/self/task/{tid}/comm")).unwrap_or_default();
        let stack = read_to_string(format!("/proc/self/task/{tid}/stack")).unwrap_or_default();
        let (name, stack) = (name.trim_end(), stack.replace('\n', " "));
        tracing::error!(
            thread = name,
            tid,
            system_call = call,
            stack,
            "a thread that others need is blocked: {name} (thread {tid}) waits in system call {call}"
        );
    }

    /// If a thread is asleep within a system call: the count of its time slices, and the call.
    fn sleep_of(tid: i32) -> Option<(u64, i64)> {
        let slices = slices(tid)?;
        if !matches!(state(tid)?, b'S' | b'D') {
            return None;
        }
        let call = read_to_string(format!("/proc/self/task/{tid}/syscall")).ok()?;
        let call: i64 = call.split_ascii_whitespace().next()?.parse().ok()?;
        // -1: not in a call, as when a page of the program is read from disk.
        (call >= 0).then_some((slices, call))
    }

    /// The third field of `schedstat`.
    fn slices(tid: i32) -> Option<u64> {
        read_to_string(format!("/proc/self/task/{tid}/schedstat")).ok()?.split_ascii_whitespace().nth(2)?.parse().ok()
    }

    fn state(tid: i32) -> Option<u8> {
        let stat = read_to_string(format!("/proc/self/task/{tid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.bytes().next()
    }

    /// Whether another thread than `tid` and this one runs, or waits for a core.
    fn somebody_could_run(tid: i32) -> bool {
        let me = this_thread();
        let threads = read_dir("/proc/self/task").into_iter().flatten().flatten();
        let others = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        others.filter(|other| *other != tid && *other != me).any(|other| state(other) == Some(b'R'))
    }

    /// How long this thread has waited for a core so far.
    fn waited_for_core() -> Duration {
        let text = read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let waited = text.split_ascii_whitespace().nth(1).and_then(|text| text.parse().ok());
        Duration::from_nanos(waited.unwrap_or(0))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_that_sleeps_is_told_from_one_that_works() {
            let (tell, told) = std::sync::mpsc::channel();
            let (wake, woken) = std::sync::mpsc::channel::<()>();
            let sleeper = std::thread::spawn(move || {
                tell.send(this_thread()).unwrap();
                let _ = woken.recv();
                let began = std::time::Instant::now();
                while began.elapsed() < Duration::from_millis(200) {}
            });
            let tid = told.recv().unwrap();
            while sleep_of(tid).is_none() {
                std::thread::yield_now();
            }
            let (slices, call) = sleep_of(tid).unwrap();
            assert_eq!(call, libc::SYS_futex);
            assert_eq!(sleep_of(tid), Some((slices, call)), "one sleep");
            drop(wake);
            while state(tid).is_some_and(|state| state != b'R') {
                std::thread::yield_now();
            }
            sleeper.join().unwrap();
            assert_eq!(sleep_of(tid), None);
        }
    }
}
