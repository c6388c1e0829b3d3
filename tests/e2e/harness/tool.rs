//! Running the tools that people use, each with a time limit. What a tool writes goes to files, so that no pipe can fill up.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::leaks;
use super::waiting::wait_for;

/// Enough for everything that a test asks of a tool, on a slow machine.
const TOOL_WITHIN: Duration = Duration::from_mins(1);
/// How long a killed tool may take to go. One that is stuck in the kernel is left to the end of the mount.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// A tool about to run.
pub struct Tool {
    command: Command,
    within: Duration,
}

/// What became of it.
pub struct Done {
    line: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A tool, found in `PATH` or by its path. In the C.UTF-8 locale, so that what it says is known.
pub fn tool(program: impl AsRef<OsStr>) -> Tool {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    Tool::of(command)
}

/// A line of shell.
pub fn sh(line: &str) -> Tool {
    // Bash for `pipefail`: a broken end of a pipe must not go unseen.
    tool("bash").args(["-o", "pipefail", "-euc", line])
}

impl Tool {
    pub fn of(mut command: Command) -> Tool {
        // A group of its own: a time limit ends the tool's children, too.
        command.process_group(0);
        // The program refuses variables of its prefix that it does not know.
        command.env_remove("CXONEFS_TEST_FULL");
        Tool { command, within: TOOL_WITHIN }
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Tool {
        self.command.arg(argument);
        self
    }

    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Tool {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Tool {
        self.command.env(name, value);
        self
    }

    pub fn in_dir(mut self, dir: &Path) -> Tool {
        self.command.current_dir(dir);
        self
    }

    pub fn within(mut self, within: Duration) -> Tool {
        self.within = within;
        self
    }

    /// Runs it to its end, whatever that is. Fails if it takes too long.
    #[track_caller]
    pub fn run(mut self) -> Done {
        let line = format!("{:?}", self.command);
        let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        self.command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let mut child = spawn(&mut self.command);
        let ended = wait_for(self.within, || child.try_wait().unwrap());
        let status = ended.or_else(|| {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            wait_for(KILLED_WITHIN, || child.try_wait().unwrap())
        });
        let (said, complained) = (written(&mut stdout), written(&mut stderr));
        if Path::new(self.command.get_program()).file_name() == Some(OsStr::new("cxonefs")) {
            leaks::note_said(&line, format!("{said}{complained}"));
        }
        let status = status.filter(|_| ended.is_some());
        let Some(status) = status else {
            panic!("took longer than {:?}: {line}\n{said}{complained}", self.within);
        };
        Done { line, status, stdout: said, stderr: complained }
    }

    /// Runs it; it has to succeed.
    #[track_caller]
    pub fn ok(self) -> Done {
        let done = self.run();
        assert!(done.status.success(), "{}: {}\n{}{}", done.status, done.line, done.stdout, done.stderr);
        done
    }

    /// Starts it and leaves it running; what it says is lost.
    #[track_caller]
    pub fn start(mut self) -> Running {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        Running(spawn(&mut self.command))
    }
}

impl Done {
    /// The exit code; a signal's number is negative.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| -self.status.signal().unwrap_or_default())
    }

    /// Lines of standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

/// A tool that runs; ended when dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            wait_for(KILLED_WITHIN, || self.0.try_wait().ok().flatten());
        }
    }
}

#[track_caller]
fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => {
            panic!("these tests need {}; tests/README.md says what to install", command.get_program().display())
        }
        _ => panic!("{command:?}: {error}"),
    })
}

fn written(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
