//! `cxonefs log-level`: shows or changes what a mount logs.

use super::args::LogLevelArgs;
use super::status;
use crate::base::failure::Failure;
use crate::daemon;
use crate::ops::control::{self, LogLevel};
use crate::ops::logging;

/// Asks the daemon; prints what is logged from now on.
pub fn run(args: &LogLevelArgs) -> Result<(), Failure> {
    if let Some(level) = &args.level {
        logging::check_filter(level)?;
    }
    let socket = status::socket(&args.mount_point)?;
    let told: LogLevel = daemon::runtime()?
        .block_on(async {
            match &args.level {
                Some(level) => control::post(&socket, "/log-level", &LogLevel { filter: level.clone() }).await,
                None => control::get(&socket, "/log-level").await,
            }
        })
        .map_err(status::not_answered)?;
    println!("{}", crate::base::shown(&told.filter));
    Ok(())
}
