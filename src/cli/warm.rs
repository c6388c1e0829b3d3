//! `cxonefs warm`: says what it costs, asks, and shows how the mount brings it.

mod words;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::args::WarmArgs;
use super::status;
use super::within::{self, Within};
use crate::base::failure::Failure;
use crate::daemon;
use crate::ops::control;
use crate::ops::warm::{WarmCost, WarmProgress, WarmRequest, WarmState};

/// Runs until everything is here, or until it is interrupted.
pub fn run(args: &WarmArgs) -> Result<(), Failure> {
    let (mount_point, request) = request(args)?;
    let socket = status::socket(&mount_point)?;
    daemon::runtime()?.block_on(warm(args, &socket, &request))
}

/// What to ask of which mount.
fn request(args: &WarmArgs) -> Result<(PathBuf, WarmRequest), Failure> {
    let mut mount_point: Option<PathBuf> = None;
    let mut paths = Vec::new();
    for path in &args.paths {
        let Within { mount_point: found, relative } = locate(path)?;
        if mount_point.as_ref().is_some_and(|known| *known != found) {
            return Err(Failure::usage("the paths lie in more than one mount").remedy("warm one mount at a time"));
        }
        mount_point = Some(found);
        paths.push(relative.to_string_lossy().into_owned());
    }
    let mount_point = mount_point.ok_or_else(|| Failure::usage("no path was given"))?;
    Ok((mount_point, WarmRequest { paths, metadata_only: args.metadata_only }))
}

fn locate(path: &Path) -> Result<Within, Failure> {
    let shown = path.display();
    let found = within::locate(path).map_err(|error| Failure::failed(error).while_doing(shown.to_string()))?;
    found.ok_or_else(|| {
        Failure::failed(format!("{shown} is in no cxonefs mount"))
            .remedy("cxonefs mounts are shown by: findmnt -t fuse.cxonefs")
    })
}

async fn warm(args: &WarmArgs, socket: &Path, request: &WarmRequest) -> Result<(), Failure> {
    let cost: WarmCost = control::post(socket, "/warm/cost", request).await.map_err(status::not_answered)?;
    if args.dry_run {
        if args.json {
            println!("{}", json!({ "cost": cost }));
        } else {
            print!("{}", words::cost(&cost));
        }
        return Ok(());
    }
    if !args.json {
        print!("{}", words::cost(&cost));
    }
    if cost.interactions == 0 || (cost.calls == 0 && cost.recordings == 0) {
        if args.json {
            println!(
                "{}",
                json!({ "cost": cost, "result": WarmProgress { state: WarmState::Finished, ..WarmProgress::default() } })
            );
        }
        return Ok(());
    }
    if !args.yes && !agreed(args.json)? {
        println!("nothing was done");
        return Ok(());
    }
    let progress = tokio::select! {
        progress = follow(socket, request) => progress?,
        // The answer is dropped, which ends the job.
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::failed("interrupted").remedy("what was brought is kept; the same command goes on from there"));
        }
    };
    if args.json {
        println!("{}", json!({ "cost": cost, "result": progress }));
    } else {
        println!("{}", words::result(&progress));
    }
    conclude(&progress)
}

/// Asks on the terminal.
fn agreed(json: bool) -> Result<bool, Failure> {
    if json || !std::io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask on")
            .remedy("add --yes to go on, or --dry-run to see the cost only"));
    }
    let failed = |error: std::io::Error| Failure::failed(error).while_doing("asking");
    print!("Go on? [y/N] ");
    std::io::stdout().flush().map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Shows the job's progress until it ends.
async fn follow(socket: &Path, request: &WarmRequest) -> Result<WarmProgress, Failure> {
    let mut lines = control::lines(socket, "/warm", request).await.map_err(status::not_answered)?;
    let bar = bar();
    let mut last = None;
    while let Some(progress) = lines.next::<WarmProgress>().await.map_err(Failure::failed)? {
        let (position, length) = words::effort(&progress);
        bar.set_length(length);
        bar.set_position(position);
        bar.set_message(words::bar(&progress));
        last = Some(progress);
    }
    bar.finish_and_clear();
    let ended = last.filter(|progress| progress.state != WarmState::Running);
    ended.ok_or_else(|| {
        Failure::failed("the mount ended before everything was here")
            .remedy("what was brought is kept; mount again and run the same command")
    })
}

/// On standard error, and nowhere if that is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{percent:>3}% [{bar:30}] {msg}, {elapsed} gone, about {eta} left")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    // The clock goes on while the rate limit lets nothing through.
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

fn conclude(progress: &WarmProgress) -> Result<(), Failure> {
    let why = progress.why.clone().unwrap_or_else(|| String::from("it ended early"));
    match progress.state {
        WarmState::BudgetSpent => Err(Failure::failed(why).remedy(
            "it begins anew at 00:00 UTC: run the same command then; or raise limits.daily_budget and send SIGHUP to the mount",
        )),
        WarmState::GivenUp => Err(Failure::failed(why).remedy("what was brought is kept; run the same command later")),
        WarmState::Running | WarmState::Finished if progress.failed > 0 => {
            let list: Vec<String> = progress.failures.clone();
            Err(Failure::failed(format!("{} of {} interactions failed", progress.failed, progress.interactions))
                .remedy(list.join("\n")))
        }
        WarmState::Running | WarmState::Finished => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_ended_is_the_exit_code() {
        let ended = |state, failed| {
            conclude(&WarmProgress { interactions: 9, state, failed, ..WarmProgress::default() })
                .err()
                .map(|failure| failure.render())
        };
        assert_eq!(ended(WarmState::Finished, 0), None);
        assert!(ended(WarmState::Finished, 2).unwrap().contains("2 of 9 interactions failed"));
        assert!(ended(WarmState::BudgetSpent, 0).unwrap().contains("00:00 UTC"));
        assert!(ended(WarmState::GivenUp, 1).unwrap().contains("is kept"));
    }

    #[test]
    fn what_is_in_no_mount_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert!(locate(dir.path()).unwrap_err().render().contains("is in no cxonefs mount"));
    }
}
