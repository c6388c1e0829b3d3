//! The program: one file per command. Turns what goes wrong into one line, its remedy and an exit code.

mod args;
mod audit;
mod background;
mod cache;
mod completions;
mod demo;
#[cfg(test)]
mod docs;
mod doctor;
mod hold;
mod init;
mod ledger;
mod log_level;
mod man;
mod manifest;
mod mount;
mod mount_helper;
mod options;
mod preflight;
mod refresh;
mod simulate;
mod simulator;
mod state;
mod status;
mod umount;
mod units;
mod warm;
mod within;
mod workspace;

use std::ffi::OsString;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use clap::Parser;

use crate::base::failure::{FAILED, Failure};
use args::{Cli, Command};

use crate::base::complain;

/// As a shell shows a program that SIGPIPE ended.
const PIPE_CLOSED: u8 = 128 + 13;

/// Reads the command line, runs the command, and says how it went: 0 ok, 1 failure, 2 usage or configuration.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(log_panic));
    // For every command: each may hold a secret, or what was said in a call. A mount says it if that cannot be done.
    let _ = crate::ops::privacy::no_core_dumps();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let result = panic::catch_unwind(|| run(&arguments));
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            complain(failure.render().trim_end());
            ExitCode::from(failure.code())
        }
        Err(panic) => match panic.downcast_ref::<String>().and_then(|said| unwritten(said)) {
            Some(why) if why.contains("Broken pipe") => ExitCode::from(PIPE_CLOSED),
            Some(why) => {
                complain(format_args!("cxonefs: writing to standard output: {why}"));
                ExitCode::from(FAILED)
            }
            // The hook has said it.
            None => ExitCode::from(FAILED),
        },
    }
}

fn run(arguments: &[OsString]) -> Result<(), Failure> {
    if let Some((program, rest)) = arguments.split_first()
        && mount_helper::is_helper(program)
    {
        return mount::run_helper(mount_helper::parse(rest)?);
    }
    // Prints its own messages, with exit code 2 for wrong usage and 0 for --help and --version.
    match Cli::try_parse_from(arguments).unwrap_or_else(|error| error.exit()).command {
        Command::Mount(args) => mount::run(args),
        Command::Umount(args) => umount::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Ledger(args) => ledger::run(&args),
        Command::State(args) => state::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Refresh(args) => refresh::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Cache(args) => cache::run(&args),
        Command::Hold(args) => hold::run(&args),
        Command::Manifest(args) => manifest::run(&args),
        Command::Warm(args) => warm::run(&args),
        Command::LogLevel(args) => log_level::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// Why `println!` could not write, if a panic says so: the reader (`head`, `grep -q`) wants no more, or the disk is full. No defect. The rest of
/// the command is not done.
fn unwritten(said: &str) -> Option<&str> {
    said.strip_prefix("failed printing to stdout: ")
}

/// A defect of ours: one line in the log where there is one, else on standard error; no stack for the user.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| String::from("?"), ToString::to_string);
    let said = info.payload_as_str().unwrap_or("no message");
    if unwritten(said).is_some() {
        return;
    }
    if tracing::dispatcher::has_been_set() {
        let thread = std::thread::current();
        tracing::error!(
            place,
            thread = thread.name().unwrap_or("?"),
            "internal error at {place}: {said}; please report it"
        );
    } else {
        complain(format_args!("cxonefs: internal error at {place}: {said}\n  this is a defect; please report it"));
    }
}
