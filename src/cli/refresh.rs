//! `cxonefs refresh`: has a mount list days anew, now.

use super::args::RefreshArgs;
use super::failure::Failure;
use super::{daemon, status, units};
use crate::ops::control::{self, RefreshRequest, Refreshed};

/// Asks the daemon and says what became of each day.
pub fn run(args: &RefreshArgs) -> Result<(), Failure> {
    let socket = status::socket(&args.mount_point)?;
    let request = RefreshRequest { days: args.days.iter().map(ToString::to_string).collect() };
    let answers: Vec<Refreshed> =
        daemon::runtime()?.block_on(control::post(&socket, "/refresh", &request)).map_err(status::not_answered)?;
    let mut failed = 0;
    for answer in &answers {
        match &answer.error {
            None => println!("{} refreshed", answer.day),
            Some(error) => {
                failed += 1;
                eprintln!("cxonefs: {}: {error}", answer.day);
            }
        }
    }
    if failed > 0 {
        let days = units::count(answers.len(), "day");
        return Err(Failure::failed(format!("{failed} of {days} could not be refreshed")));
    }
    Ok(())
}
