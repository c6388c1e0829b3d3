//! `cxonefs audit show`, and which lines are meant: shared with `report`.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::args::{Filter, ShowArgs};
use super::find;
use super::print::{Form, print};
use crate::base::failure::Failure;
use crate::base::{Clock as _, SystemClock, accounts};
use crate::catalog;
use crate::cli::ledger;
use crate::cli::ledger::report::{Users, csv_line};
use crate::ops::audit::line::Object;
use crate::ops::audit::read;
use crate::ops::audit::text::shown;

/// Bytes of a field on a terminal.
const FIELD_MAX: usize = 300;
/// Columns of the CSV.
const COLUMNS: [&str; 17] = [
    "n",
    "time",
    "event",
    "uid",
    "user",
    "gid",
    "pid",
    "comm",
    "exe",
    "login_uid",
    "session",
    "door",
    "billed",
    "outcome",
    "count",
    "master_contact",
    "path",
];

/// Shows the newest lines.
pub fn run(args: &ShowArgs) -> Result<(), Failure> {
    let found = find::find(&args.place)?;
    found.head()?;
    let users = users();
    let wanted = Wanted::of(&args.filter, None, &found.dir)?;
    let mut newest: VecDeque<Object> = VecDeque::new();
    each(&found.dir, &wanted, |line| {
        if newest.len() == args.lines {
            newest.pop_front();
        }
        if args.lines > 0 {
            newest.push_back(line);
        }
    })?;
    let form = args.form.form();
    print(|output| {
        match form {
            Form::Table => writeln!(
                output,
                "{:<19}  {:<12}  {:<15}  {:>7}  {:<9}  {:<9}  {:>5}  {:>14}  PATH",
                "TIME", "USER", "PROGRAM", "PID", "EVENT", "OUTCOME", "COUNT", "CONTACT"
            )?,
            Form::Csv => csv_line(&COLUMNS.map(str::to_owned), output)?,
            Form::Json => {}
        }
        newest.iter().try_for_each(|line| write_line(line, form, &users, output))
    })
}

/// The users of this machine.
pub fn users() -> Users {
    Users::new(accounts::user_name)
}

/// A user by number or name.
fn number(who: &str) -> Option<u32> {
    who.parse().ok().or_else(|| accounts::user_id(who))
}

/// Which lines are meant.
pub struct Wanted {
    uid: Option<u32>,
    /// A contact's interactions.
    pub masters: Option<BTreeSet<i64>>,
    pub since: Timestamp,
    event: Option<String>,
}

impl Wanted {
    /// Of the command line; without a time, since `usual` (how long ago), or ever. Which interactions a contact belongs to is in the state directory `dir`.
    pub fn of(filter: &Filter, usual: Option<&str>, dir: &Path) -> Result<Wanted, Failure> {
        let uid = match &filter.who {
            None => None,
            Some(who) => Some(number(who).ok_or_else(|| {
                Failure::usage(format!("--who: there is no user {who:?} on this machine"))
                    .remedy("name the user by number")
            })?),
        };
        let since = match filter.since.as_deref().or(usual) {
            Some(text) => ledger::since(text, SystemClock.now(), &TimeZone::system())?,
            None => Timestamp::MIN,
        };
        let masters = filter.contact.map(|contact| catalog::read_masters(dir, contact)).transpose();
        let masters = masters.map_err(|error| Failure::failed(error).while_doing("looking for the contact"))?;
        Ok(Wanted { uid, masters, since, event: filter.event.clone() })
    }

    fn includes(&self, line: &Object) -> bool {
        let time = line.get("time").and_then(Value::as_str).and_then(|time| time.parse::<Timestamp>().ok());
        let uid = line.get("uid").and_then(Value::as_u64);
        time.is_none_or(|time| time >= self.since)
            && self.uid.is_none_or(|wanted| uid == Some(u64::from(wanted)))
            && self.masters.as_ref().is_none_or(|wanted| contacts(line).any(|contact| wanted.contains(&contact)))
            && self.event.as_ref().is_none_or(|wanted| event(line) == wanted)
    }
}

/// What happened; lines of before the chain are opens.
pub fn event(line: &Object) -> &str {
    let default = if line.contains_key("lost") { "lost" } else { "open" };
    line.get("event").and_then(Value::as_str).unwrap_or(default)
}

/// The master contacts that a line is about.
pub fn contacts(line: &Object) -> impl Iterator<Item = i64> + '_ {
    let one = line.get("master_contact").and_then(Value::as_i64);
    one.into_iter()
        .chain(line.get("contacts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_i64))
}

/// Calls `f` with every line that is meant, oldest first.
pub fn each(dir: &Path, wanted: &Wanted, mut f: impl FnMut(Object)) -> Result<(), Failure> {
    let read = read::each(dir, |line| {
        if wanted.includes(&line) {
            f(line);
        }
        true
    });
    read.map_err(|error| Failure::failed(error).while_doing(format!("reading the audit log in {}", dir.display())))
}

fn write_line(line: &Object, form: Form, users: &Users, output: &mut dyn Write) -> io::Result<()> {
    let text = |name: &str| match line.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(shown(text, FIELD_MAX)),
        Some(other) => Some(shown(&other.to_string(), FIELD_MAX)),
    };
    let user = line.get("uid").and_then(Value::as_u64).map(|uid| users.name(uid as u32));
    let contact = || {
        text("master_contact").or_else(|| {
            let count = line.get("contacts").and_then(Value::as_array).map(Vec::len);
            count.map(|count| format!("{count} contacts"))
        })
    };
    match form {
        Form::Json => writeln!(output, "{}", Value::Object(line.clone())),
        Form::Csv => {
            let fields = COLUMNS.map(|name| match name {
                "user" => user.clone().unwrap_or_default(),
                "event" => event(line).to_owned(),
                "count" => text(name).unwrap_or_else(|| String::from("1")),
                "path" => text("path").or_else(|| text("paths")).or_else(|| text("detail")).unwrap_or_default(),
                name => text(name).unwrap_or_default(),
            });
            csv_line(&fields, output)
        }
        Form::Table => {
            let zone = TimeZone::system();
            let time = text("time").unwrap_or_default();
            let time = time
                .parse::<Timestamp>()
                .map_or(time, |time| zone.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S").to_string());
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| String::from("-"));
            let is_erased = line.get("path").is_some_and(Value::is_null);
            let lost = text("lost").map(|lost| format!("{lost} events could not be written"));
            let about = text("path").or_else(|| text("paths")).or(lost).or_else(|| text("detail"));
            writeln!(
                output,
                "{time:<19}  {:<12}  {:<15}  {:>7}  {:<9}  {:<9}  {:>5}  {:>14}  {}",
                shown(&or_dash(user), FIELD_MAX),
                or_dash(text("comm")),
                or_dash(text("pid")),
                shown(event(line), FIELD_MAX),
                or_dash(text("outcome")),
                text("count").unwrap_or_else(|| String::from("1")),
                or_dash(contact()),
                if is_erased { String::from("(erased)") } else { or_dash(about) },
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        serde_json::from_str(text).unwrap()
    }

    fn wanted(filter: &Filter) -> Wanted {
        Wanted::of(filter, None, Path::new("/nonexistent")).unwrap()
    }

    fn none() -> Filter {
        Filter { who: None, contact: None, since: None, event: None }
    }

    #[test]
    fn lines_are_chosen_by_person_contact_time_and_event() {
        let opened = object(r#"{"time":"2026-11-02T13:59:31Z","event":"open","uid":0,"master_contact":701}"#);
        let walked = object(r#"{"time":"2026-11-03T13:59:31Z","event":"open","uid":7,"contacts":[700,701]}"#);
        let legacy = object(r#"{"time":"2026-10-03T13:59:31Z","uid":7,"master_contact":5}"#);
        let found = |filter: Filter| {
            let wanted = wanted(&filter);
            [&opened, &walked, &legacy].map(|line| wanted.includes(line))
        };
        assert_eq!(found(none()), [true, true, true]);
        assert_eq!(found(Filter { who: Some("root".into()), ..none() }), [true, false, false]);
        assert_eq!(found(Filter { who: Some("7".into()), ..none() }), [false, true, true]);
        assert_eq!(found(Filter { contact: Some(701), ..none() }), [true, true, false]);
        assert_eq!(found(Filter { since: Some("2026-11-03T00:00:00Z".into()), ..none() }), [false, true, false]);
        assert_eq!(found(Filter { event: Some("open".into()), ..none() }), [true, true, true]);
        let unknown = Wanted::of(&Filter { who: Some("nobody-here".into()), ..none() }, None, Path::new("/"));
        assert_eq!(unknown.err().unwrap().code(), 2);
    }

    #[test]
    fn a_line_is_shown_in_each_form_and_reaches_no_terminal_as_more_than_text() {
        let line = object(
            r#"{"n":1,"time":"2026-11-02T13:59:31Z","event":"open","uid":1000,"comm":"\u001b[2J=x","path":null,"master_contact":null}"#,
        );
        let users = Users::new(|_| Some(String::from("rosa")));
        let text = |form| {
            let mut output = Vec::new();
            write_line(&line, form, &users, &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        assert!(text(Form::Table).contains("rosa") && text(Form::Table).contains("(erased)"));
        assert!([Form::Table, Form::Json, Form::Csv].iter().all(|form| !text(*form).contains('\x1b')));
        assert!(text(Form::Csv).starts_with("1,2026-11-02T13:59:31Z,open,1000,rosa,"));
    }
}
