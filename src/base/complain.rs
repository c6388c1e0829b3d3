//! One line on standard error, which may be anywhere: a full disk, a pipe whose reader has gone.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard error. That it cannot be written changes nothing else: `eprintln!` would panic, and a panic that is told of there
/// would end the program with SIGABRT.
pub fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
