//! `cxonefs audit`: proves, shows and sums up the audit log, from the state directory, while a mount may write to it.

pub mod args;
mod find;
mod lines;
mod print;
mod report;
mod verify;

use crate::base::failure::Failure;
use args::{AuditArgs, AuditCommand};

/// Runs one of the three.
pub fn run(args: &AuditArgs) -> Result<(), Failure> {
    match &args.command {
        AuditCommand::Verify(args) => verify::run(args),
        AuditCommand::Show(args) => lines::run(args),
        AuditCommand::Report(args) => report::run(args),
    }
}
