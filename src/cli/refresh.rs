//! `cxonefs refresh`: has a mount list days anew, or forget refusals, now.

use std::path::{Path, PathBuf};

use super::args::RefreshArgs;
use super::{status, units, within};
use crate::base::failure::Failure;
use crate::base::{complain, shown};
use crate::daemon;
use crate::ops::control::{self, RefreshRequest, Refreshed, Retried, RetryRequest};

/// Asks the daemon and says what became of it.
pub fn run(args: &RefreshArgs) -> Result<(), Failure> {
    let socket = status::socket(&args.mount_point)?;
    if let Some(paths) = &args.retry {
        retry(&socket, &args.mount_point, paths)?;
        if args.days.is_empty() {
            return Ok(());
        }
    }
    let request = RefreshRequest { days: args.days.iter().map(ToString::to_string).collect() };
    let answers: Vec<Refreshed> =
        daemon::runtime()?.block_on(control::post(&socket, "/refresh", &request)).map_err(status::not_answered)?;
    let mut failed = 0;
    for answer in &answers {
        match &answer.error {
            None => println!("{} refreshed", shown(&answer.day)),
            Some(error) => {
                failed += 1;
                complain(format_args!("cxonefs: {}: {}", shown(&answer.day), shown(error)));
            }
        }
    }
    if failed > 0 {
        let days = units::count(answers.len(), "day");
        return Err(Failure::failed(format!("{failed} of {days} could not be refreshed")));
    }
    Ok(())
}

fn retry(socket: &Path, mount_point: &Path, paths: &[PathBuf]) -> Result<(), Failure> {
    let paths = paths.iter().map(|path| relative(mount_point, path)).collect::<Result<_, _>>()?;
    let request = RetryRequest { paths };
    let asked = control::post(socket, "/retry", &request);
    let retried: Retried = daemon::runtime()?.block_on(asked).map_err(status::not_answered)?;
    let refusals = units::count(usize::try_from(retried.forgotten).unwrap_or(usize::MAX), "refusal");
    println!("{refusals} forgotten; opening asks CXone again");
    Ok(())
}

/// A path below the mount, given from here or from the mount point.
fn relative(mount_point: &Path, path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::failed(error).while_doing(path.display().to_string());
    let mount = within::locate(mount_point).map_err(failed)?.map(|found| found.mount_point);
    for candidate in [path.to_owned(), mount_point.join(path)] {
        let found = within::locate(&candidate).map_err(failed)?;
        if let Some(found) = found.filter(|found| mount.as_ref() == Some(&found.mount_point)) {
            return Ok(found.relative.to_string_lossy().into_owned());
        }
    }
    let (path, mount_point) = (path.display(), mount_point.display());
    Err(Failure::usage(format!("{path} is not below {mount_point}"))
        .remedy("name a path in the mount, or none for all refusals"))
}
