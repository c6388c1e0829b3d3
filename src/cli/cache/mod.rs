//! `cxonefs cache`: what is kept of recordings on disk, whether it is sound, and erasing it. By the mount that uses it, else directly on the
//! directories.

pub mod args;
mod encrypt;
pub mod find;
mod show;

use std::io::{self, BufRead, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::failure::Failure;
use crate::base::shown::{shown_json, shown_lines};
use crate::daemon;
use crate::ops::control;
use crate::ops::keeping::{CacheReport, Progress, PurgeReport, PurgeRequest, VerifyReport, What};
use args::Where;
use args::{CacheArgs, CacheCommand, PurgeArgs};
use find::Kept;

/// Runs one of them.
pub fn run(args: &CacheArgs) -> Result<(), Failure> {
    match &args.command {
        CacheCommand::Stats(place) => stats(place),
        CacheCommand::Verify(place) => verify(place),
        CacheCommand::Purge(args) => purge(args),
        CacheCommand::Encrypt(args) => encrypt::run(args),
    }
}

fn stats(place: &Where) -> Result<(), Failure> {
    let report: CacheReport = match find::find(place)? {
        Kept::Mounted(socket) => {
            daemon::runtime()?.block_on(control::get(&socket, "/cache")).map_err(Failure::failed)?
        }
        Kept::Directly(keeper) => keeper.stats(),
    };
    print(place.json, &report, show::stats)
}

fn verify(place: &Where) -> Result<(), Failure> {
    let kept = find::find(place)?;
    let bar = bar(place.json);
    let report: VerifyReport = match kept {
        Kept::Mounted(socket) => follow(&socket, "/cache/verify", &(), &bar)?,
        Kept::Directly(keeper) => keeper.verify(&mut |progress| {
            at(&bar, progress);
            true
        }),
    };
    bar.finish_and_clear();
    print(place.json, &report, show::verified)?;
    if let Some(why) = &report.failed {
        return Err(Failure::failed(why.clone()).while_doing("comparing hashes"));
    }
    if !report.mismatched.is_empty() {
        return Err(Failure::failed(show::mismatched(&report)).remedy(
            "its bytes were changed on disk, or its record in the state was: keep both, compare with the recording at the source, and look who can write to cache.dir and state.dir",
        ));
    }
    let (blocks, recordings) = (report.damaged_blocks, report.damaged_recordings);
    if blocks + recordings > 0 {
        let what = format!("damage was found and dropped: {blocks} blocks, and {recordings} recordings as a whole");
        return Err(Failure::failed(what).remedy("they are fetched again when somebody reads them; is the disk sound?"));
    }
    Ok(())
}

fn purge(args: &PurgeArgs) -> Result<(), Failure> {
    let reason = args.reason.clone();
    let what = match (args.contact.as_slice(), args.all) {
        ([], true) => What::All,
        ([], false) => What::Media,
        (ids, _) => What::Contacts(ids.to_vec()),
    };
    let kept = find::find(&args.place)?;
    let bar = ProgressBar::hidden();
    if !args.dry_run && !args.yes {
        let would = ask_for(&kept, &PurgeRequest { what: what.clone(), dry_run: true, reason: None }, &bar)?;
        refuse(&what, &would)?;
        confirm(&show::question(&what, &would))?;
    }
    let bar = self::bar(args.place.json);
    let request = PurgeRequest { what, dry_run: args.dry_run, reason };
    let report = ask_for(&kept, &request, &bar)?;
    bar.finish_and_clear();
    if args.place.json {
        print(true, &report, |_| String::new())?;
    } else if refuse(&request.what, &report).is_ok() || request.what == What::Media || report.certificate.is_some() {
        print(false, &report, |report| show::purged(&request.what, report))?;
    }
    refuse(&request.what, &report)
}

/// What is said as a failure: that something is held, or that nothing was known of a contact.
fn refuse(what: &What, report: &PurgeReport) -> Result<(), Failure> {
    if !report.held.is_empty() {
        let failure = Failure::failed(show::held(what, report));
        return Err(failure.remedy("holds are shown by: cxonefs hold list; one ends with: cxonefs hold remove MASTER"));
    }
    if !report.unknown.is_empty() {
        return Err(Failure::failed(show::unknown(report))
            .remedy("the number is the one at the end of a folder's name, or one of contact.json's contact ids"));
    }
    Ok(())
}

fn ask_for(kept: &Kept, request: &PurgeRequest, bar: &ProgressBar) -> Result<PurgeReport, Failure> {
    match kept {
        Kept::Mounted(socket) => follow(socket, "/cache/purge", request, bar),
        Kept::Directly(keeper) => {
            let uid = rustix::process::getuid().as_raw();
            keeper.purge(request, uid, &mut |progress| at(bar, progress)).map_err(Failure::failed)
        }
    }
}

pub fn follow<T: serde::de::DeserializeOwned>(
    socket: &std::path::Path,
    what: &str,
    request: &impl serde::Serialize,
    bar: &ProgressBar,
) -> Result<T, Failure> {
    let outcome = control::follow(socket, what, request, |progress| at(bar, progress));
    daemon::runtime()?.block_on(outcome).map_err(Failure::failed)
}

/// On standard error, and only on a terminal.
fn bar(json: bool) -> ProgressBar {
    if json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} recordings, {eta} to go");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn at(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of);
    bar.set_position(progress.done);
}

pub fn print<T: serde::Serialize>(json: bool, report: &T, table: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    let text = if json { serde_json::to_string_pretty(report).map_err(Failure::failed)? + "\n" } else { table(report) };
    let text = if json { shown_json(&text) } else { shown_lines(&text) };
    Failure::of_output(io::stdout().write_all(text.as_bytes()))
}

/// Asks on the terminal; without one, nothing is removed.
fn confirm(question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("nobody can be asked here, and nothing was removed")
            .remedy("--yes removes without asking, --dry-run only tells"));
    }
    let _ = write!(io::stderr(), "{} [y/N] ", shown_lines(question));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::failed(error).while_doing("reading the answer"))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was removed")),
    }
}
