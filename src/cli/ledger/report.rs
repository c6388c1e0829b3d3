//! The ledger in words, as JSON lines or CSV. Pure but for the writer that it is given.
//!
//! Names of processes are chosen by whoever runs them: nothing in them reaches a terminal or a spreadsheet as more than text.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::base::shown::shown_json;
use crate::base::{Day, shown};
use crate::catalog::{ERASED_COMM, ERASED_UID, LedgerRow};
use crate::cli::args::LedgerBy;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Table,
    Json,
    Csv,
}

/// Names of users by their ids, each asked for once.
pub struct Users {
    look_up: fn(u32) -> Option<String>,
    known: RefCell<HashMap<u32, String>>,
}

impl Users {
    pub fn new(look_up: fn(u32) -> Option<String>) -> Users {
        Users { look_up, known: RefCell::default() }
    }

    /// The user's name, else the number.
    pub fn name(&self, uid: u32) -> String {
        let mut known = self.known.borrow_mut();
        known.entry(uid).or_insert_with(|| (self.look_up)(uid).unwrap_or_else(|| uid.to_string())).clone()
    }
}

/// Calls added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub billed: u64,
    /// Billed, and something was found.
    pub found: u64,
    /// Refused for their rate, or never left this machine.
    pub unbilled: u64,
}

impl Totals {
    pub fn add(&mut self, row: &LedgerRow) {
        self.billed += u64::from(row.is_billed());
        self.unbilled += u64::from(!row.is_billed());
        self.found += u64::from(row.outcome.as_deref() == Some("found"));
    }
}

/// Writes rows and totals.
pub struct Report {
    pub form: Form,
    /// Of the times in tables; JSON and CSV are in UTC.
    pub zone: TimeZone,
    pub users: Users,
}

/// A row without an outcome: the process ended before the answer came.
const UNKNOWN: &str = "unknown";

impl Report {
    /// What stands above the rows.
    pub fn rows_head(&self, output: &mut impl Write) -> io::Result<()> {
        match self.form {
            Form::Table => writeln!(
                output,
                "{:<19}  {:>14}  {:<4}  {:<12}  {:<15}  {:>7}  OUTCOME",
                "TIME", "INTERACTION", "WHY", "USER", "PROGRAM", "PID"
            ),
            Form::Csv => output.write_all(b"time,interaction,why,uid,user,program,pid,outcome,billed\r\n"),
            Form::Json => Ok(()),
        }
    }

    /// One call. Of an erased one nobody knows any more for which interaction and by whom it was.
    pub fn row(&self, row: &LedgerRow, output: &mut impl Write) -> io::Result<()> {
        let outcome = row.outcome.as_deref().unwrap_or(UNKNOWN);
        let known = (!is_erased(row)).then_some(row);
        let (interaction, uid, pid) =
            (known.map(|row| row.master_id.0), known.map(|row| row.uid), known.map(|row| row.pid));
        let user = uid.map(|uid| self.users.name(uid));
        match self.form {
            Form::Table => writeln!(
                output,
                "{:<19}  {:>14}  {:<4}  {:<12}  {:<15}  {:>7}  {}{}",
                self.zone.to_datetime(row.at).strftime("%Y-%m-%d %H:%M:%S").to_string(),
                text(interaction, "-"),
                row.reason,
                plain(&text(user, "-")),
                plain(&row.comm),
                text(pid, "-"),
                plain(outcome),
                if row.is_billed() { "" } else { " (not billed)" },
            ),
            Form::Csv => {
                let fields = [
                    row.at.to_string(),
                    text(interaction, ""),
                    row.reason.clone(),
                    text(uid, ""),
                    text(user, ""),
                    row.comm.clone(),
                    text(pid, ""),
                    outcome.to_owned(),
                    row.is_billed().to_string(),
                ];
                csv_line(&fields, output)
            }
            Form::Json => {
                let object = json!({
                    "time": row.at.to_string(), "interaction": interaction, "why": row.reason, "uid": uid,
                    "user": user, "program": row.comm, "pid": pid, "outcome": row.outcome, "billed": row.is_billed(),
                });
                writeln!(output, "{}", shown_json(&object.to_string()))
            }
        }
    }

    /// What stands below the rows.
    pub fn rows_foot(&self, totals: &Totals, output: &mut impl Write) -> io::Result<()> {
        match self.form {
            Form::Table => writeln!(output, "{}", in_words(totals)),
            Form::Csv | Form::Json => Ok(()),
        }
    }

    /// What a row is added to; `None` is the user of what was erased.
    pub fn group(&self, by: LedgerBy, row: &LedgerRow) -> Option<String> {
        match by {
            LedgerBy::Day => Some(Day::of(row.at, &TimeZone::UTC).to_string()),
            LedgerBy::Program => Some(row.comm.clone()),
            LedgerBy::User => (!is_erased(row)).then(|| self.users.name(row.uid)),
        }
    }

    /// Totals: days in order, others by what they cost.
    pub fn totals(
        &self,
        by: LedgerBy,
        groups: &BTreeMap<Option<String>, Totals>,
        all: &Totals,
        output: &mut impl Write,
    ) -> io::Result<()> {
        let word = match by {
            LedgerBy::Day => "day",
            LedgerBy::Program => "program",
            LedgerBy::User => "user",
        };
        let mut groups: Vec<(&Option<String>, &Totals)> = groups.iter().collect();
        if by != LedgerBy::Day {
            groups.sort_by_key(|(_, totals)| std::cmp::Reverse(totals.billed));
        }
        match self.form {
            Form::Table => {
                let head = if by == LedgerBy::Day { "DAY (UTC)".to_owned() } else { word.to_uppercase() };
                writeln!(output, "{head:<15}  {:>8}  {:>8}  {:>10}", "BILLED", "FOUND", "NOT BILLED")?;
                for (name, totals) in groups {
                    let Totals { billed, found, unbilled } = totals;
                    writeln!(
                        output,
                        "{:<15}  {billed:>8}  {found:>8}  {unbilled:>10}",
                        plain(&text(name.as_ref(), "-"))
                    )?;
                }
                writeln!(output, "{}", in_words(all))
            }
            Form::Csv => {
                csv_line(&[word, "billed", "found", "not_billed"].map(String::from), output)?;
                for (name, Totals { billed, found, unbilled }) in groups {
                    csv_line(
                        &[text(name.as_ref(), ""), billed.to_string(), found.to_string(), unbilled.to_string()],
                        output,
                    )?;
                }
                Ok(())
            }
            Form::Json => {
                for (name, totals) in groups {
                    let mut object = serde_json::Map::new();
                    object.insert(word.to_owned(), Value::from(name.clone()));
                    object.insert(String::from("billed"), totals.billed.into());
                    object.insert(String::from("found"), totals.found.into());
                    object.insert(String::from("not_billed"), totals.unbilled.into());
                    writeln!(output, "{}", shown_json(&Value::Object(object).to_string()))?;
                }
                Ok(())
            }
        }
    }
}

fn is_erased(row: &LedgerRow) -> bool {
    row.uid == ERASED_UID && row.comm == ERASED_COMM
}

/// What is known, else what stands there instead.
fn text(known: Option<impl ToString>, otherwise: &str) -> String {
    known.map_or_else(|| otherwise.to_owned(), |known| known.to_string())
}

fn in_words(totals: &Totals) -> String {
    let calls = |count: u64| if count == 1 { String::from("1 call") } else { format!("{count} calls") };
    let Totals { billed, unbilled, .. } = *totals;
    match unbilled {
        0 => format!("{} billed", calls(billed)),
        _ => format!("{} billed, {} not", calls(billed), calls(unbilled)),
    }
}

/// Safe for a terminal.
fn plain(text: &str) -> String {
    shown(text).into_owned()
}

/// One line as RFC 4180 has it. A field that a spreadsheet would take for a formula is marked as text.
pub fn csv_line(fields: &[String], output: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let is_formula = |field: &String| field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let fields = fields.iter().map(|field| if is_formula(field) { format!("'{field}") } else { field.clone() });
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(output);
    writer.write_record(fields)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MasterId;
    use crate::catalog::LedgerId;

    fn row(at: &str, comm: &str, uid: u32, outcome: Option<&str>) -> LedgerRow {
        LedgerRow {
            id: LedgerId(1),
            at: at.parse().unwrap(),
            master_id: MasterId(701_000_000_122),
            reason: String::from("open"),
            uid,
            pid: 42,
            comm: comm.to_owned(),
            outcome: outcome.map(str::to_owned),
        }
    }

    fn report(form: Form) -> Report {
        let zone = TimeZone::get("America/New_York").unwrap();
        Report {
            form,
            zone,
            users: Users::new(|uid| match uid {
                0 => Some("root".into()),
                1000 => Some("rosa".into()),
                _ => None,
            }),
        }
    }

    fn rows() -> [LedgerRow; 4] {
        [
            row("2026-11-02T03:59:59Z", "restic", 1000, Some("found")),
            row("2026-11-02T04:00:00Z", "restic", 1000, Some("throttled")),
            row("2026-11-02T23:59:59Z", "evil\u{1b}[2J,\"", 77, None),
            row("2026-11-03T00:00:00Z", "ffprobe", 0, Some("not found")),
        ]
    }

    fn written(form: Form) -> String {
        let (report, mut output, mut totals) = (report(form), Vec::new(), Totals::default());
        report.rows_head(&mut output).unwrap();
        for row in rows() {
            totals.add(&row);
            report.row(&row, &mut output).unwrap();
        }
        report.rows_foot(&totals, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    fn totals(form: Form, by: LedgerBy) -> String {
        totals_of(&rows(), form, by)
    }

    fn totals_of(rows: &[LedgerRow], form: Form, by: LedgerBy) -> String {
        let (report, mut output) = (report(form), Vec::new());
        let (mut groups, mut all) = (BTreeMap::<_, Totals>::new(), Totals::default());
        for row in rows {
            all.add(row);
            groups.entry(report.group(by, row)).or_default().add(row);
        }
        report.totals(by, &groups, &all, &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_table_for_people() {
        let text = written(Form::Table);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "2026-11-01 22:59:59    701000000122  open  rosa          restic                42  found"
        );
        assert!(lines[2].ends_with("throttled (not billed)"));
        assert!(lines[3].contains("77 ") && lines[3].contains("evil\u{fffd}[2J") && lines[3].ends_with("unknown"));
        assert_eq!(lines[5], "3 calls billed, 1 call not");
    }

    #[test]
    fn json_and_csv_can_be_read_back() {
        let text = written(Form::Json);
        let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), 4);
        assert_eq!((&objects[0]["billed"], &objects[1]["billed"]), (&json!(true), &json!(false)));
        assert_eq!((&objects[2]["program"], &objects[2]["outcome"]), (&json!("evil\u{1b}[2J,\""), &json!(null)));
        let text = written(Form::Csv);
        assert!(text.contains("77,77,\"evil\u{1b}[2J,\"\"\",42,unknown,true\r\n"), "{text}");
        let mut line = Vec::new();
        csv_line(&[String::from("=1+1"), String::from("a")], &mut line).unwrap();
        assert_eq!(line, b"'=1+1,a\r\n");
    }

    #[test]
    fn of_an_erased_call_no_number_stands_where_nobody_knows_one() {
        let erased =
            LedgerRow { master_id: MasterId(0), pid: 0, ..row("2026-11-02T03:59:59Z", ERASED_COMM, ERASED_UID, None) };
        let written = |form: Form| {
            let mut output = Vec::new();
            report(form).row(&erased, &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        let shown: Vec<String> = written(Form::Table).split_whitespace().skip(2).map(str::to_owned).collect();
        assert_eq!(shown, ["-", "open", "-", "(erased)", "-", "unknown"]);
        assert_eq!(written(Form::Csv), "2026-11-02T03:59:59Z,,open,,,(erased),,unknown,true\r\n");
        let object: Value = serde_json::from_str(&written(Form::Json)).unwrap();
        for name in ["interaction", "uid", "user", "pid"] {
            assert_eq!(object[name], Value::Null, "{name}");
        }
        let by_user = |form| totals_of(&[erased.clone(), rows()[0].clone()], form, LedgerBy::User);
        assert!(by_user(Form::Table).contains("\n-                       1 "), "{}", by_user(Form::Table));
        assert!(by_user(Form::Csv).contains("\r\n,1,0,0\r\n"), "{}", by_user(Form::Csv));
        assert!(by_user(Form::Json).contains(r#"{"user":null,"billed":1"#), "{}", by_user(Form::Json));
    }

    #[test]
    fn totals_by_utc_day_program_and_user() {
        let days = totals(Form::Csv, LedgerBy::Day);
        assert_eq!(days, "day,billed,found,not_billed\r\n2026-11-02,2,1,1\r\n2026-11-03,1,0,0\r\n");
        let users = totals(Form::Json, LedgerBy::User);
        assert!(users.contains(r#"{"user":"rosa","billed":1,"found":1,"not_billed":1}"#), "{users}");
        assert!(totals(Form::Table, LedgerBy::Program).contains("restic"));
    }
}
