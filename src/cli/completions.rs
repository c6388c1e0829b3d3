//! `cxonefs completions`: the shell's script, from the one definition of the command line.

use std::io::Write;

use clap::CommandFactory;

use super::args::{Cli, CompletionsArgs};
use crate::base::failure::Failure;

/// Prints it.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cxonefs", &mut script);
    let written = std::io::stdout().lock().write_all(&script);
    Failure::of_output(written)
}
