//! A shell that goes through a document, as its reader would: one session from its first command to its last.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use super::console::{Step, is_as_shown, steps};
use crate::harness::{Sandbox, wait_for};

/// Enough for every command that a document shows, on a slow machine.
const COMMAND_WITHIN: Duration = Duration::from_mins(1);
/// Stands between the outputs of two commands.
const MARK: char = '\u{1e}';

/// Bash with a home of its own: `~/recordings` is where a drive is to be mounted, the configuration is where `cxonefs` looks for it, and
/// `cxonefs` is in `PATH`.
pub struct Session {
    shell: Child,
    input: ChildStdin,
    output: PathBuf,
    seen: usize,
}

impl Session {
    /// In the home directory of a sandbox.
    pub fn new(sandbox: &Sandbox) -> Session {
        let (home, output) = (sandbox.home(), sandbox.path("session"));
        let program = Path::new(env!("CARGO_BIN_EXE_cxonefs")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
        let file = File::create(&output).unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).env_clear().env("HOME", &home).env("PATH", path);
        command.env("LC_ALL", "C.UTF-8").env("TZ", "America/New_York").env("TMPDIR", &home).current_dir(&home);
        command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file).process_group(0);
        let mut shell = command.spawn().unwrap();
        let input = shell.stdin.take().unwrap();
        Session { shell, input, output, seen: 0 }
    }

    /// Runs a command; what it wrote, and its exit code.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> (String, i32) {
        // Programs must not read the commands that follow.
        write!(self.input, "{{ {command}\n}} </dev/null\nprintf '{MARK}%d\\n' $?\n").unwrap();
        self.input.flush().unwrap();
        let ended = wait_for(COMMAND_WITHIN, || {
            let bytes = std::fs::read(&self.output).unwrap();
            let text = String::from_utf8_lossy(&bytes[self.seen..]).into_owned();
            let (said, code) = text.split_once(MARK)?;
            let code = code.strip_suffix('\n')?.parse().unwrap();
            Some((bytes.len(), said.to_owned(), code))
        });
        let Some((seen, said, code)) = ended else {
            panic!(
                "took longer than {COMMAND_WITHIN:?}: {command}\n{}",
                std::fs::read_to_string(&self.output).unwrap()
            );
        };
        self.seen = seen;
        (said, code)
    }

    /// Goes through a document of the repository. Every command must print what is shown, and succeed or show its error; `remark` does
    /// what the remarks say.
    #[track_caller]
    pub fn go_through(&mut self, document: &str, mut remark: impl FnMut(&str)) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
        let steps = steps(&text);
        assert!(steps.iter().any(|step| matches!(step, Step::Command { .. })), "{document} shows no command");
        let mut wrong = Vec::new();
        for step in steps {
            match step {
                Step::Remark { text, .. } => remark(&text),
                Step::Command { line, text, shown } => {
                    let (said, code) = self.run(&text);
                    let lines: Vec<&str> = said.trim_end_matches('\n').lines().collect();
                    let is_right = match shown {
                        // A command that fails says why, and the document shows that.
                        Some(shown) => is_as_shown(&lines, &shown) && (code == 0 || !shown.is_empty()),
                        None => code == 0,
                    };
                    if !is_right {
                        wrong.push(format!("{document}:{line}: {text}\nends with {code} and prints\n{said}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "not as shown:\n\n{}", wrong.join("\n"));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&self.shell),
            rustix::process::Signal::KILL,
        );
        let _ = self.shell.wait();
    }
}
