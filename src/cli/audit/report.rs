//! `cxonefs audit report`: who opened what, added up by person and contact.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::args::ReportArgs;
use super::find;
use super::lines::{Wanted, contacts, each, event, users};
use super::print::{Form, print};
use crate::base::failure::Failure;
use crate::cli::ledger::report::{Users, csv_line};
use crate::cli::units::count;
use crate::ops::audit::line::Object;
use crate::ops::audit::text::shown;

/// How far back it looks where nobody says.
const USUAL: &str = "90d";
/// Programs that a row names.
const PROGRAMS_MAX: usize = 5;
/// What is added up; commands are not opens.
const OPENS: [&str; 3] = ["open", "warm", "look"];

/// Adds up and prints.
pub fn run(args: &ReportArgs) -> Result<(), Failure> {
    let found = find::find(&args.place)?;
    found.head()?;
    let users = users();
    let wanted = Wanted::of(&args.filter, Some(USUAL), &found.dir)?;
    let mut sums = Sums::default();
    each(&found.dir, &wanted, |line| sums.add(&line, wanted.masters.as_ref()))?;
    let form = args.form.form();
    print(|output| sums.write(form, &users, wanted.since, output))
}

/// One person and contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    opened: u64,
    refused: u64,
    billed: u64,
    first: Option<String>,
    last: Option<String>,
    programs: BTreeSet<String>,
    /// Its folder, as last seen.
    path: Option<String>,
}

#[derive(Debug, Default)]
struct Sums {
    /// By user and master contact; none: erased.
    rows: BTreeMap<(u64, Option<i64>), Sum>,
    /// Events that the log says were lost.
    lost: u64,
}

impl Sums {
    fn add(&mut self, line: &Object, only: Option<&BTreeSet<i64>>) {
        self.lost += line.get("lost").and_then(Value::as_u64).unwrap_or(0);
        let Some(uid) = line.get("uid").and_then(Value::as_u64).filter(|_| OPENS.contains(&event(line))) else {
            return;
        };
        let about: Vec<Option<i64>> =
            contacts(line).filter(|contact| only.is_none_or(|only| only.contains(contact))).map(Some).collect();
        let is_erased =
            line.get("master_contact").is_some_and(Value::is_null) || line.get("contacts").is_some_and(Value::is_null);
        let about = if about.is_empty() && is_erased { vec![None] } else { about };
        // Of a line that stands for several contacts each was opened at least once.
        let count =
            if line.contains_key("contacts") { 1 } else { line.get("count").and_then(Value::as_u64).unwrap_or(1) };
        let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
        let was_opened = text("outcome").is_none_or(|outcome| outcome == "ok");
        for contact in about {
            let sum = self.rows.entry((uid, contact)).or_default();
            let counted = if was_opened { &mut sum.opened } else { &mut sum.refused };
            *counted += count;
            sum.billed += u64::from(line.get("billed") == Some(&Value::Bool(true)));
            if sum.first.is_none() {
                sum.first = text("since").or_else(|| text("time"));
            }
            sum.last = text("time");
            if sum.programs.len() < PROGRAMS_MAX {
                sum.programs.extend(text("comm").filter(|comm| !comm.is_empty()));
            }
            let folder = |path: String| path.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
            sum.path = text("path").map(folder).or(sum.path.take());
        }
    }

    fn write(&self, form: Form, users: &Users, since: Timestamp, output: &mut dyn Write) -> io::Result<()> {
        match form {
            Form::Table => writeln!(
                output,
                "{:<12}  {:>14}  {:>7}  {:>7}  {:>6}  {:<19}  {:<19}  {:<20}  FOLDER",
                "USER", "CONTACT", "OPENED", "REFUSED", "BILLED", "FIRST", "LAST", "PROGRAMS"
            )?,
            Form::Csv => {
                let head =
                    ["uid", "user", "contact", "opened", "refused", "billed", "first", "last", "programs", "folder"];
                csv_line(&head.map(str::to_owned), output)?;
            }
            Form::Json => {}
        }
        for ((uid, contact), sum) in &self.rows {
            sum.write(*uid, *contact, form, users, output)?;
        }
        if form == Form::Table {
            let contacts: BTreeSet<_> = self.rows.keys().filter_map(|(_, contact)| *contact).collect();
            let persons: BTreeSet<_> = self.rows.keys().map(|(uid, _)| *uid).collect();
            let opened: u64 = self.rows.values().map(|sum| sum.opened).sum();
            let since = TimeZone::system().to_datetime(since).strftime("%Y-%m-%d %H:%M").to_string();
            let opens = count(usize::try_from(opened).unwrap_or(usize::MAX), "open");
            let (contacts, users) = (count(contacts.len(), "contact"), count(persons.len(), "user"));
            writeln!(output, "{opens} of {contacts} by {users} since {since}")?;
            if self.lost > 0 {
                writeln!(output, "{} events are missing: they could not be written", self.lost)?;
            }
        }
        Ok(())
    }
}

impl Sum {
    fn write(
        &self,
        uid: u64,
        contact: Option<i64>,
        form: Form,
        users: &Users,
        output: &mut dyn Write,
    ) -> io::Result<()> {
        let user = users.name(uid as u32);
        let programs: Vec<&str> = self.programs.iter().map(String::as_str).collect();
        let text = |text: &Option<String>| shown(text.as_deref().unwrap_or_default(), 300);
        match form {
            Form::Json => writeln!(
                output,
                "{}",
                json!({
                    "uid": uid, "user": user, "contact": contact, "opened": self.opened, "refused": self.refused, "billed": self.billed,
                    "first": self.first, "last": self.last, "programs": programs, "folder": self.path,
                })
            ),
            Form::Csv => csv_line(
                &[
                    uid.to_string(),
                    user,
                    contact.map_or_else(|| String::from("(erased)"), |contact| contact.to_string()),
                    self.opened.to_string(),
                    self.refused.to_string(),
                    self.billed.to_string(),
                    text(&self.first),
                    text(&self.last),
                    shown(&programs.join(" "), 300),
                    text(&self.path),
                ],
                output,
            ),
            Form::Table => {
                let zone = TimeZone::system();
                let local = |at: &Option<String>| {
                    let parsed = at.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
                    parsed.map_or_else(|| text(at), |at| zone.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string())
                };
                writeln!(
                    output,
                    "{:<12}  {:>14}  {:>7}  {:>7}  {:>6}  {:<19}  {:<19}  {:<20}  {}",
                    shown(&user, 100),
                    contact.map_or_else(|| String::from("(erased)"), |contact| contact.to_string()),
                    self.opened,
                    self.refused,
                    self.billed,
                    local(&self.first),
                    local(&self.last),
                    shown(&programs.join(" "), 100),
                    text(&self.path),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_are_added_up_by_person_and_contact() {
        let mut sums = Sums::default();
        for text in [
            r#"{"time":"t1","event":"open","uid":7,"comm":"cat","billed":true,"outcome":"ok","path":"d/a/i_701/x.mp4","master_contact":701}"#,
            r#"{"time":"t3","event":"open","uid":7,"comm":"mpv","billed":false,"outcome":"ok","count":4,"since":"t2","path":"d/a/i_701/x.mp4","master_contact":701}"#,
            r#"{"time":"t4","event":"open","uid":7,"comm":"cat","outcome":"EDQUOT","path":"d/a/i_702/x.mp4","master_contact":702}"#,
            r#"{"time":"t5","event":"open","uid":8,"comm":"grep","outcome":"ok","count":9,"path":"d/a","contacts":[701,702]}"#,
            r#"{"time":"t6","event":"open","uid":8,"comm":"grep","outcome":"ok","path":null,"master_contact":null}"#,
            r#"{"time":"t7","event":"mount","uid":0,"outcome":"ok"}"#,
            r#"{"time":"t8","event":"lost","lost":5}"#,
        ] {
            sums.add(&serde_json::from_str(text).unwrap(), None);
        }
        let rows: Vec<_> = sums.rows.iter().map(|(key, sum)| (*key, sum.opened, sum.refused)).collect();
        assert_eq!(
            rows,
            [
                ((7, Some(701)), 5, 0),
                ((7, Some(702)), 0, 1),
                ((8, None), 1, 0),
                ((8, Some(701)), 1, 0),
                ((8, Some(702)), 1, 0)
            ]
        );
        let sum = &sums.rows[&(7, Some(701))];
        assert_eq!((sum.first.as_deref(), sum.last.as_deref(), sum.billed), (Some("t1"), Some("t3"), 1));
        assert_eq!((sum.path.as_deref(), sum.programs.len()), (Some("d/a/i_701"), 2));
        let mut output = Vec::new();
        sums.write(Form::Table, &Users::new(|_| Some(String::from("rosa"))), Timestamp::UNIX_EPOCH, &mut output)
            .unwrap();
        let text = String::from_utf8(output).unwrap();
        assert!(
            text.contains("rosa")
                && text.contains("8 opens of 2 contacts by 2 users")
                && text.contains("5 events are missing"),
            "{text}"
        );
    }
}
