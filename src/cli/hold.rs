//! `cxonefs hold`: interactions of which nothing may be removed. By the mount that shows them, else directly on the directories.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::args::{HoldArgs, HoldCommand, HoldWhere};
use super::cache::args::Where;
use super::cache::{self, find};
use super::units::size;
use crate::base::failure::Failure;
use crate::daemon;
use crate::ops::control;
use crate::ops::keeping::{HoldReport, HoldRequest, HoldsReport, ReleaseRequest};
use find::Kept;

/// Runs one of the three.
pub fn run(args: &HoldArgs) -> Result<(), Failure> {
    match &args.command {
        HoldCommand::Add { reason, place } => {
            let (contacts, place) = words(place)?;
            let request = HoldRequest { contacts, reason: reason.clone() };
            let kept = find::find(&place)?;
            let report = match &kept {
                Kept::Mounted(socket) => follow(socket, "/holds/add", &request)?,
                Kept::Directly(keeper) => {
                    keeper.add_holds(&request, rustix::process::getuid().as_raw()).map_err(Failure::failed)?
                }
            };
            cache::print(place.json, &report, |report| added(report, place.mount_point.as_deref()))?;
            unknown(&report, "nothing is known of contact", "and nothing was held")
        }
        HoldCommand::Remove { place } => {
            let (contacts, place) = words(place)?;
            let request = ReleaseRequest { contacts };
            let report = match find::find(&place)? {
                Kept::Mounted(socket) => follow(&socket, "/holds/remove", &request)?,
                Kept::Directly(keeper) => keeper.remove_holds(&request.contacts).map_err(Failure::failed)?,
            };
            cache::print(place.json, &report, removed)?;
            unknown(&report, "there is no hold of contact", "")
        }
        HoldCommand::List(place) => {
            let holds: Vec<HoldReport> = match find::find(place)? {
                Kept::Mounted(socket) => {
                    daemon::runtime()?.block_on(control::get(&socket, "/holds")).map_err(Failure::failed)?
                }
                Kept::Directly(keeper) => keeper.holds().map_err(Failure::failed)?,
            };
            cache::print(place.json, &holds, list)
        }
    }
}

fn follow(socket: &Path, what: &str, request: &impl serde::Serialize) -> Result<HoldsReport, Failure> {
    cache::follow(socket, what, request, &ProgressBar::hidden())
}

/// Contact ids, and after them the directory, if there is one: the last word that is no number.
fn words(place: &HoldWhere) -> Result<(Vec<i64>, Where), Failure> {
    let mut words: Vec<&String> = place.words.iter().collect();
    let is_number = |word: &str| word.parse::<i64>().is_ok_and(|number| number > 0);
    let mount_point = words.pop_if(|word| !is_number(word)).map(PathBuf::from);
    let contacts: Result<Vec<i64>, Failure> = words
        .into_iter()
        .map(|word| {
            let number = word.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| {
                Failure::usage(format!("{word:?} is no contact id"))
                    .remedy("contact ids are numbers; the directory comes last")
            })
        })
        .collect();
    let contacts = contacts?;
    if contacts.is_empty() {
        return Err(Failure::usage("no contact is named").remedy("cxonefs hold add MASTER… --reason TEXT DIR"));
    }
    Ok((contacts, Where { mount_point, config: place.config.clone(), json: place.json }))
}

fn unknown(report: &HoldsReport, what: &str, outcome: &str) -> Result<(), Failure> {
    if report.unknown.is_empty() {
        return Ok(());
    }
    let contacts: Vec<String> = report.unknown.iter().map(ToString::to_string).collect();
    let text = format!("{what} {} {outcome}", contacts.join(", "));
    Err(Failure::failed(text.trim_end().to_owned()))
}

#[expect(clippy::ptr_arg, reason = "what is printed is a list")]
fn list(holds: &Vec<HoldReport>) -> String {
    let lines: Vec<String> = holds.iter().map(line).collect();
    lines.concat()
}

fn line(hold: &HoldReport) -> String {
    let by = hold.user.clone().unwrap_or_else(|| format!("user {}", hold.uid));
    let here = hold.recordings - hold.missing;
    format!(
        "{} since {} by {by}, {here} of {} recordings here ({}): {}\n",
        hold.master_contact,
        hold.since,
        hold.recordings,
        size(hold.bytes),
        hold.reason
    )
}

/// What is held now, and how what is missing of it is brought: that may cost, so it is not done unasked.
fn added(report: &HoldsReport, mount_point: Option<&Path>) -> String {
    let mut text = String::new();
    for hold in &report.holds {
        text.push_str("held: ");
        text.push_str(&line(hold));
    }
    let missing: Vec<&HoldReport> = report.holds.iter().filter(|hold| hold.missing > 0).collect();
    if missing.is_empty() {
        return text;
    }
    let recordings: u64 = missing.iter().map(|hold| hold.missing).sum();
    let paths = missing.iter().filter_map(|hold| hold.paths.first());
    let paths = paths.map(|path| mount_point.map_or_else(|| PathBuf::from(path), |dir| dir.join(path)));
    let paths: Vec<String> = paths.map(|path| format!("'{}'", path.display())).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "not here yet: {recordings} recordings, which a hold does not fetch. To fetch them, at a cost that is said first:\n  cxonefs warm {}",
        paths.join(" ")
    );
    text
}

fn removed(report: &HoldsReport) -> String {
    let lines: Vec<String> =
        report.holds.iter().map(|hold| format!("no longer held: {}\n", hold.master_contact)).collect();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(words: &[&str]) -> HoldWhere {
        HoldWhere { words: words.iter().map(|word| (*word).to_owned()).collect(), config: None, json: false }
    }

    #[test]
    fn the_directory_comes_last() {
        let (contacts, found) = words(&place(&["7", "8", "/mnt"])).unwrap();
        assert_eq!((contacts, found.mount_point), (vec![7, 8], Some(PathBuf::from("/mnt"))));
        let (contacts, found) = words(&place(&["7"])).unwrap();
        assert_eq!((contacts, found.mount_point), (vec![7], None));
        for wrong in [&["/mnt", "7"][..], &["/mnt"], &["-7", "/mnt"], &["0", "/mnt"]] {
            assert_eq!(words(&place(wrong)).unwrap_err().code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_how_to_fetch_it() {
        let hold = |missing| HoldReport {
            master_contact: 7,
            reason: "complaint".into(),
            since: "2026-11-05T12:00:00Z".into(),
            uid: 0,
            user: Some("root".into()),
            bytes: 0,
            recordings: 1,
            missing,
            paths: vec!["2026-11-02/A_1/x_7".into()],
        };
        let report = |missing| HoldsReport { holds: vec![hold(missing)], unknown: Vec::new() };
        let said = added(&report(1), Some(Path::new("/mnt")));
        assert!(
            said.contains("cxonefs warm '/mnt/2026-11-02/A_1/x_7'") && said.contains("0 of 1 recordings"),
            "{said}"
        );
        assert!(!added(&report(0), None).contains("warm"));
    }
}
