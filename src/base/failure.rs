//! How a command ends badly: what failed with its chain of causes, what to do, and the exit code. Knows no command.

use std::error::Error;
use std::fmt::Write;

use crate::base::cause::chain_after;
pub use crate::base::chain;
use crate::base::shown;

/// Exit code under a service manager where the login is refused (`EX_NOPERM`): each further try is one more refused login, by which a key may be
/// locked, so the unit does not try again.
pub const LOGIN_REFUSED: u8 = 77;

/// Any error, boxed.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Exit code 1: it did not work.
pub const FAILED: u8 = 1;
/// Exit code 2: what was asked for, or the configuration, makes no sense.
pub const USAGE: u8 = 2;

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    /// What was being done, where the cause alone does not say.
    doing: Option<String>,
    cause: Cause,
    remedy: Option<String>,
}

impl Failure {
    /// It did not work.
    pub fn failed(cause: impl Into<Cause>) -> Failure {
        Failure { code: FAILED, doing: None, cause: cause.into(), remedy: None }
    }

    /// The tenant refuses the login.
    pub fn login_refused(cause: impl Into<Cause>, is_service: bool) -> Failure {
        Failure { code: if is_service { LOGIN_REFUSED } else { FAILED }, ..Failure::failed(cause) }
    }

    /// What was asked for makes no sense.
    pub fn usage(cause: impl Into<Cause>) -> Failure {
        Failure { code: USAGE, doing: None, cause: cause.into(), remedy: None }
    }

    /// Says what to do about it, where that is known.
    #[must_use]
    pub fn with_remedy(self, remedy: Option<String>) -> Failure {
        Failure { remedy, ..self }
    }

    /// What came of writing to standard output. That whoever read the other end has seen enough is no failure.
    pub fn of_output(written: std::io::Result<()>) -> Result<(), Failure> {
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            done => done.map_err(|error| Failure::failed(error).while_doing("writing to standard output")),
        }
    }

    /// Says what was being done.
    #[must_use]
    pub fn while_doing(mut self, doing: impl Into<String>) -> Failure {
        self.doing = Some(doing.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Failure {
        self.remedy = Some(remedy.into());
        self
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// What to do about it, where that is known.
    pub fn remedy_text(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// `what: cause: cause`, on one line. A cause whose words its parent has already said is left out.
    pub fn line(&self) -> String {
        chain_after(self.doing.clone().unwrap_or_default(), &*self.cause)
    }

    /// What stands on the user's terminal.
    pub fn render(&self) -> String {
        let mut text = format!("cxonefs: {}\n", shown(&self.line()));
        for line in self.remedy.iter().flat_map(|remedy| remedy.lines()) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {}", shown(line));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_whole_chain_on_one_line_and_the_remedy_below() {
        let source = io::Error::from_raw_os_error(libc::EACCES);
        let failure = Failure::failed(source).remedy("make /x writable for you, or choose another directory");
        let failure = failure.while_doing("cache.dir");
        assert_eq!(
            failure.render(),
            "cxonefs: cache.dir: permission denied\n  \
             make /x writable for you, or choose another directory\n"
        );
        assert_eq!(failure.code(), FAILED);
        assert_eq!(Failure::usage("a\nb").render(), "cxonefs: a b\n");
        let hostile = Failure::usage("host \u{1b}[2J\u{202e}x").remedy("look at \u{7}y\nand z");
        assert_eq!(hostile.render(), "cxonefs: host \u{fffd}[2J\u{fffd}x\n  look at \u{fffd}y\n  and z\n");
    }
}
