//! `cxonefs audit`: proves, shows and sums up the audit log, from the state directory, while a mount may write to it.

mod args;
mod find;
mod lines;
mod report;
mod verify;

use std::io::{self, BufWriter, Write};

use crate::base::failure::Failure;
pub use args::AuditArgs;
use args::{AuditCommand, FormArgs};

/// Runs one of the three.
pub fn run(args: &AuditArgs) -> Result<(), Failure> {
    match &args.command {
        AuditCommand::Verify(args) => verify::run(args),
        AuditCommand::Show(args) => lines::run(args),
        AuditCommand::Report(args) => report::run(args),
    }
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Table,
    Json,
    Csv,
}

impl FormArgs {
    fn form(self) -> Form {
        match (self.json, self.csv) {
            (true, _) => Form::Json,
            (_, true) => Form::Csv,
            _ => Form::Table,
        }
    }
}

/// Writes to standard output. Nobody needs to read all of it.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut output = BufWriter::new(io::stdout().lock());
    match write(&mut output).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| Failure::failed(error).while_doing("writing to standard output")),
    }
}
