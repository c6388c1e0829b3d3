//! Asking a command for the key of encryption: a key service, a TPM, a vault. It is run without a shell, with a time limit, and what it prints
//! goes into memory alone.
//!
//! A user who can change the program can get the key, so a program that others may write is refused, like a configuration. What it says on standard error is
//! shown, because it is the only one who knows what went wrong; what it prints is not.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::error::ConfigError;
use super::trust;
use super::value::Origin;
use crate::base::crypt::MasterKey;
use crate::base::shown::shown;

/// A key service may be far away; a mount at boot must not wait for ever.
const TIME_MAX: Duration = Duration::from_secs(30);
/// More than any form of a key.
const OUTPUT_BYTES_MAX: usize = 4096;
/// Bytes that are read at once, and how often before the time is looked at.
const CHUNK_BYTES: usize = 4096;
const CHUNKS_AT_ONCE: u32 = 64;
/// What is shown of what it said, in characters.
const SAID_MAX: usize = 400;
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs the command and reads the key that it prints: 32 bytes, in hexadecimal or base64.
pub fn read_key(command: &[String], euid: u32, key: &str, place: &Origin) -> Result<MasterKey, ConfigError> {
    within(command, euid, TIME_MAX).map_err(|problem| ConfigError::KeyCommand {
        place: place.clone(),
        key: key.to_owned(),
        program: command.first().cloned().unwrap_or_default(),
        problem,
    })
}

fn within(command: &[String], euid: u32, time: Duration) -> Result<MasterKey, String> {
    let (program, arguments) = command.split_first().ok_or("names no program")?;
    let program = trusted(Path::new(program), euid)?;
    let child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir("/")
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let mut asked = Asked::of(child).map_err(|error| format!("cannot be listened to: {error}"))?;
    let status = asked.wait(Instant::now() + time).map_err(|error| format!("cannot be waited for: {error}"))?;
    let said = asked.said();
    let Some(status) = status else {
        return Err(format!("gave no key within {} s{said}", time.as_secs_f32()));
    };
    if !status.success() {
        return Err(format!("failed ({status}){said}"));
    }
    if asked.printed.len() > OUTPUT_BYTES_MAX {
        return Err(String::from("printed more than a key"));
    }
    MasterKey::parse(&asked.printed)
        .ok_or_else(|| format!("printed no key: 32 bytes are wanted, as they are or in hexadecimal or base64{said}"))
}

/// A command under way. Read without threads: a mount that goes to the background must not have begun any.
struct Asked {
    child: Child,
    out: ChildStdout,
    err: ChildStderr,
    printed: Zeroizing<Vec<u8>>,
    words: Vec<u8>,
}

impl Asked {
    fn of(mut child: Child) -> io::Result<Asked> {
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        rustix::io::ioctl_fionbio(&out, true)?;
        rustix::io::ioctl_fionbio(&err, true)?;
        // The capacity is fixed beforehand, so that growing leaves no copies behind.
        let printed = Zeroizing::new(Vec::with_capacity(OUTPUT_BYTES_MAX + CHUNK_BYTES));
        Ok(Asked { child, out, err, printed, words: Vec::new() })
    }

    /// Until it has ended, or that time; then it is killed, and the answer is none.
    fn wait(&mut self, until: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            let ended = self.child.try_wait()?;
            drain(&mut self.out, &mut self.printed)?;
            drain(&mut self.err, &mut self.words)?;
            if ended.is_some() {
                return Ok(ended);
            }
            if Instant::now() >= until {
                self.child.kill()?;
                self.child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// What it said for people: on one line, bounded, and nothing that a terminal would obey.
    fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.words);
        let said: String = shown(text.trim()).chars().take(SAID_MAX).collect();
        if said.is_empty() { said } else { format!(" and said: {said}") }
    }
}

/// Takes what is there; what is too much is read and not kept, so that nobody waits for us.
fn drain(from: &mut impl Read, into: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = Zeroizing::new([0; CHUNK_BYTES]);
    // Bounded: one that prints for ever must not keep us from looking at the time.
    for _ in 0..CHUNKS_AT_ONCE {
        match from.read(chunk.as_mut_slice()) {
            Ok(0) => return Ok(()),
            Ok(len) if into.len() <= OUTPUT_BYTES_MAX => into.extend_from_slice(&chunk[..len]),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The program, if nobody else can change it.
fn trusted(program: &Path, euid: u32) -> Result<PathBuf, String> {
    if !program.is_absolute() {
        return Err(String::from("must be named by its whole path, so that nothing else is run in its place"));
    }
    let metadata = program.metadata().map_err(|error| format!("cannot be found: {error}"))?;
    if !metadata.is_file() {
        return Err(String::from("is no program"));
    }
    trust::check(program, &metadata, euid).map_err(|distrust| {
        format!("is not to be trusted: {} {}; {}", distrust.path.display(), distrust.problem, distrust.remedy)
    })?;
    Ok(program.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn run(script: &str) -> Result<MasterKey, String> {
        let command = ["/bin/sh", "-c", script].map(String::from);
        within(&command, me(), Duration::from_secs(20))
    }

    #[test]
    fn the_key_is_what_it_prints() {
        let key = run(&format!("echo {HEX}; echo a word >&2")).unwrap();
        assert_eq!(key.id(), MasterKey::parse(HEX.as_bytes()).unwrap().id());
        assert!(run("printf 0123456789abcdef0123456789abcdef").is_ok(), "32 bytes as they are");
    }

    #[test]
    fn what_goes_wrong_is_said_and_the_key_is_not() {
        let failed = run(&format!("echo {HEX}; printf 'the vault is\\n\\033[31msealed' >&2; exit 3")).unwrap_err();
        assert!(
            failed.contains("exit status: 3") && !failed.contains('\u{1b}') && failed.contains("sealed"),
            "{failed}"
        );
        assert!(!failed.contains(HEX));
        let nonsense = run("echo not a key").unwrap_err();
        assert!(nonsense.contains("printed no key") && !nonsense.contains("not a key"), "{nonsense}");
        assert!(run("yes & sleep 0.1; kill $!").is_err(), "one that prints for ever");
        assert!(run("head -c 100000 /dev/zero").unwrap_err().contains("more than a key"));
        let begun = Instant::now();
        assert!(
            within(&["/bin/sleep", "600"].map(String::from), me(), Duration::from_millis(200))
                .unwrap_err()
                .contains("no key within")
        );
        assert!(begun.elapsed() < Duration::from_mins(1));
    }

    #[test]
    fn a_program_that_others_may_change_is_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let (program, mark) = (dir.path().join("program"), dir.path().join("ran"));
        std::fs::write(&program, format!("#!/bin/sh\ntouch {}\necho {HEX}\n", mark.display())).unwrap();
        let run = |mode: u32, of_dir: u32| {
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(of_dir)).unwrap();
            within(&[program.display().to_string()], me(), Duration::from_secs(20))
        };
        for (mode, of_dir) in [(0o777, 0o700), (0o757, 0o700), (0o700, 0o777)] {
            assert!(run(mode, of_dir).unwrap_err().contains("not to be trusted"));
        }
        assert!(!mark.exists());
        run(0o755, 0o755).unwrap();
        assert!(mark.exists());
        assert!(within(&[String::from("sh")], me(), Duration::from_secs(1)).unwrap_err().contains("whole path"));
        assert!(within(&[], me(), Duration::from_secs(1)).is_err());
    }
}
