//! The program as a child that serves a mount. However a test ends, the mount is detached and the child is gone.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::leaks;
use super::sandbox::Sandbox;
use super::tool::Tool;
use super::waiting::wait_for;

/// A debug build on a busy machine mounts well within this time.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// For the state of a mount; one that does not say it has better things to do.
const STATUS_WITHIN: Duration = Duration::from_secs(2);
/// From a signal to the end of the process, with files open.
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// What the watchdog says of a thread that waits where it must not.
const BLOCKED: &str = "a thread that others need is blocked";

/// The program, serving a mount or about to.
pub struct Mount {
    child: Child,
    path: PathBuf,
    stderr: PathBuf,
    stdout: PathBuf,
    arguments: Vec<OsString>,
    home: PathBuf,
    environment: Environment,
    is_reaped: bool,
}

/// What a development build estimates every size to be.
const ESTIMATE: &str = "CXONEFS_TEST_GUESS";

/// Variables that the program finds besides its own few.
pub type Environment = Vec<(&'static str, OsString)>;

/// How the program ended instead of mounting.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub said: String,
}

/// The type of what is mounted at exactly that path, if anything is.
pub fn mount_at(path: &Path) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_there =
        |line: &&str| line.split(' ').nth(4).is_some_and(|point| Path::new(&point.replace("\\040", " ")) == path);
    let line = table.lines().rfind(is_there)?;
    Some(line.split_once(" - ")?.1.split(' ').next()?.to_owned())
}

impl Mount {
    /// `cxonefs mount --config F [more] DIR`, ready.
    #[track_caller]
    pub fn start(sandbox: &Sandbox, more: &[&str]) -> Mount {
        match Mount::attempt(sandbox, more) {
            Ok(mount) => mount,
            Err(ended) => panic!("cxonefs ended with {:?} instead of mounting:\n{}", ended.code, ended.said),
        }
    }

    /// The same, with further variables in its environment.
    #[track_caller]
    pub fn start_in(sandbox: &Sandbox, more: &[&str], environment: Environment) -> Mount {
        match Mount::spawn_in(sandbox, Mount::arguments(sandbox, more), sandbox.mount_point(), environment).ready() {
            Ok(mount) => mount,
            Err(ended) => panic!("cxonefs ended with {:?} instead of mounting:\n{}", ended.code, ended.said),
        }
    }

    /// As [`Mount::start`], where it may fail.
    pub fn attempt(sandbox: &Sandbox, more: &[&str]) -> Result<Mount, Ended> {
        Mount::spawn(sandbox, Mount::arguments(sandbox, more), sandbox.mount_point()).ready()
    }

    fn arguments(sandbox: &Sandbox, more: &[&str]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["mount".into(), "--config".into(), sandbox.config().into()];
        arguments.extend(more.iter().map(OsString::from));
        arguments.push(sandbox.mount_point().into());
        arguments
    }

    /// Any command that serves a mount at `path`; not waited for.
    #[track_caller]
    pub fn spawn(sandbox: &Sandbox, arguments: Vec<OsString>, path: PathBuf) -> Mount {
        Mount::spawn_in(sandbox, arguments, path, Vec::new())
    }

    #[track_caller]
    fn spawn_in(sandbox: &Sandbox, arguments: Vec<OsString>, path: PathBuf, mut environment: Environment) -> Mount {
        // Binaries of before it was there refuse a variable that they do not know.
        let knows = std::env::var_os("CXONEFS_TEST_BINARY_OLD").is_none();
        if let Some(bytes) =
            sandbox.estimate().filter(|_| knows && environment.iter().all(|(name, _)| *name != ESTIMATE))
        {
            environment.push((ESTIMATE, bytes.to_string().into()));
        }
        assert!(Path::new("/dev/fuse").exists(), "these tests need /dev/fuse; tests/README.md says how to get it");
        let (stdout, stderr) = (sandbox.path("stdout"), sandbox.path("stderr"));
        for path in [&stdout, &stderr] {
            File::create(path).unwrap();
        }
        let home = sandbox.home();
        let child = launch(&arguments, &home, &environment, &stdout, &stderr);
        Mount { child, path, stderr, stdout, arguments, home, environment, is_reaped: false }
    }

    /// Waits until it is mounted.
    #[track_caller]
    pub fn ready(mut self) -> Result<Mount, Ended> {
        let outcome = wait_for(READY_WITHIN, || {
            if self.is_served() {
                return Some(Ok(()));
            }
            self.child.try_wait().unwrap().map(Err)
        });
        match outcome {
            Some(Ok(())) => Ok(self),
            Some(Err(status)) => {
                self.is_reaped = true;
                Err(Ended { code: status.code(), said: self.stderr() })
            }
            None => panic!("not mounted within {READY_WITHIN:?}"),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below the mount point.
    pub fn at(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }

    /// What the program wrote to standard error, over all its starts.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Whether what is mounted there has nobody behind it. Asked by statfs, which the kernel never answers by itself.
    pub fn is_dead(&self) -> bool {
        matches!(rustix::fs::statvfs(&self.path), Err(Errno::NOTCONN | Errno::CONNABORTED))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What `cxonefs status --json` says of it.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        // Its socket is there a moment after the mount.
        let said = wait_for(READY_WITHIN, || {
            let done = cxonefs(&self.home).arg("status").arg(&self.path).arg("--json").run();
            done.status.success().then_some(done.stdout)
        });
        serde_json::from_str(&said.expect("it tells its state")).unwrap()
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status = wait_for(GONE_WITHIN, || self.child.try_wait().unwrap());
        self.is_reaped |= status.is_some();
        status.unwrap_or_else(|| panic!("cxonefs still runs after {GONE_WITHIN:?}"))
    }

    /// Ends it as a machine that loses power would: the mount stays and is dead.
    #[track_caller]
    pub fn kill_nine(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// Ends it as systemd would; it has to succeed and to leave no mount.
    #[track_caller]
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "after SIGTERM: {status}");
        assert_eq!(mount_at(&self.path), None, "SIGTERM left a mount");
    }

    /// In this order: a dead mount that is cleared between the two looks must not pass for a new one.
    fn is_served(&self) -> bool {
        !self.is_dead() && mount_at(&self.path).as_deref() == Some("fuse.cxonefs")
    }

    /// Starts it again with the same arguments after it has ended.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.is_reaped, "it still runs");
        self.child = launch(&self.arguments, &self.home, &self.environment, &self.stdout, &self.stderr);
        self.is_reaped = false;
        let ready = wait_for(READY_WITHIN, || {
            self.is_served().then_some(Ok(())).or_else(|| self.child.try_wait().unwrap().map(Err))
        });
        assert!(matches!(ready, Some(Ok(()))), "not mounted again: {ready:?}\n{}", self.stderr());
    }

    /// Unmounts in good order and mounts the same directories again.
    #[track_caller]
    pub fn remount(&mut self) {
        self.terminate();
        self.start_again();
    }
}

impl Mount {
    /// Writes down what the control socket says, for the search for secrets; only if it says it at once.
    fn note_status(&mut self) {
        if std::thread::panicking() || self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let mut command = program(&self.home);
        command.args(["status", "--json"]).arg(&self.path).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(mut asking) = command.spawn() else { return };
        if wait_for(STATUS_WITHIN, || asking.try_wait().ok().flatten()).is_none() {
            let _ = asking.kill();
        }
        let said = asking.wait_with_output().map(|output| output.stdout).unwrap_or_default();
        leaks::note_said("cxonefs status", String::from_utf8_lossy(&said).into_owned());
    }
}

impl Mount {
    /// What a daemon that was killed left of its further places.
    fn detach_others(&self) {
        let Some(root) = self.home.parent() else { return };
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in table.lines().filter(|line| line.contains(" - fuse.cxonefs ")) {
            let Some(path) = line.split(' ').nth(4).map(Path::new).filter(|path| path.starts_with(root)) else {
                continue;
            };
            if matches!(rustix::fs::statvfs(path), Err(Errno::NOTCONN | Errno::CONNABORTED)) {
                let _ = unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.note_status();
            let _ = self.child.kill();
        }
        // Whatever is there by now is this test's.
        while mount_at(&self.path).is_some_and(|kind| kind == "fuse.cxonefs") {
            if unmount(&self.path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_err() {
                break;
            }
        }
        if !self.is_reaped {
            wait_for(GONE_WITHIN, || self.child.try_wait().ok().flatten());
        }
        self.detach_others();
        let blocked = self.blocked();
        if std::thread::panicking() {
            let said = self.stderr();
            let tail = said.len().saturating_sub(16 * 1024);
            eprintln!("--- cxonefs said:\n{}---", said.get(said.ceil_char_boundary(tail)..).unwrap_or_default());
        } else {
            assert!(blocked.is_empty(), "threads that others need were blocked:\n{}", blocked.join("\n"));
        }
    }
}

impl Mount {
    /// What the watchdog of the debug build found.
    fn blocked(&self) -> Vec<String> {
        let said = self.stderr();
        said.lines().filter(|line| line.contains(BLOCKED)).map(str::to_owned).collect()
    }
}

/// Where the program is; another build of it, to see a test fail on the version before.
pub fn binary() -> OsString {
    std::env::var_os("CXONEFS_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_cxonefs").into())
}

/// The program, with nothing of this machine's environment.
pub fn program(home: &Path) -> Command {
    let mut command = Command::new(binary());
    // What it leaves in its temporary directory is looked for.
    command.env_clear().env("HOME", home).env("TMPDIR", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.current_dir(home).stdin(Stdio::null());
    command
}

fn launch(arguments: &[OsString], home: &Path, environment: &Environment, stdout: &Path, stderr: &Path) -> Child {
    let mut command = program(home);
    command.envs(environment.iter().cloned());
    command.args(arguments.iter().map(OsStr::new)).stdout(appended(stdout)).stderr(appended(stderr));
    // SAFETY: prctl(2) is async-signal-safe, and nothing is allocated.
    unsafe {
        // A test that is killed takes its mount along: the program unmounts on SIGTERM.
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
    }
    command.spawn().unwrap()
}

fn appended(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// The program with its home in a sandbox, for commands that end by themselves.
pub fn cxonefs(home: &Path) -> Tool {
    Tool::of(program(home))
}

/// Processes of the program, in the background or not, that were started for this sandbox.
pub fn daemons_of(sandbox: &Sandbox) -> Vec<Pid> {
    let root = sandbox.root().as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // Processes come and go while this looks.
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
        if program.ends_with(b"/cxonefs") && line.windows(root.len()).any(|part| part == root) {
            found.push(pid);
        }
    }
    found
}
