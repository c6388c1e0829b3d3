//! `cxonefs ledger`: what was billed, from the state directory, read-only, while a mount may use it.

pub mod report;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::args::{LedgerArgs, LedgerBy};
use super::{state, status};
use crate::base::failure::Failure;
use crate::base::{Clock, Day, MasterId, SystemClock, accounts};
use crate::catalog::{LedgerId, LedgerReader, LedgerRow};
use crate::config::units;
use crate::daemon;
use crate::ops::control::{self, LedgerLine, LedgerRequest};
use report::{Form, Report, Totals, Users};

/// Prints the rows or their totals.
pub fn run(args: &LedgerArgs) -> Result<(), Failure> {
    let zone = TimeZone::system();
    let since = match &args.since {
        Some(text) => since(text, SystemClock.now(), &zone)?,
        None => Timestamp::MIN,
    };
    let ledger = ledger(args, since)?;
    let users = Users::new(accounts::user_name);
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table,
    };
    let report = Report { form, zone, users };
    let mut output = BufWriter::new(io::stdout().lock());
    let written = match args.by {
        None => print_rows(&ledger, since, &report, &mut output),
        Some(by) => print_totals(&ledger, since, by, &report, &mut output),
    };
    let flushed = written.and_then(|()| output.flush().map_err(Stopped::Output));
    match flushed {
        Ok(()) => Ok(()),
        // Whoever read the other end has seen enough.
        Err(Stopped::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stopped::Output(error)) => Err(Failure::failed(error).while_doing("writing to standard output")),
        Err(Stopped::Ledger(error)) => Err(Failure::failed(error).while_doing("reading the ledger")),
    }
}

/// Where rows come from.
enum Ledger {
    /// All of them, from the state directory.
    File(LedgerReader),
    /// Our own, from the daemon of a mount that another user made.
    Own(Vec<LedgerRow>),
}

impl Ledger {
    fn rows(&self, since: Timestamp, mut each: impl FnMut(LedgerRow)) -> Result<(), crate::catalog::CatalogError> {
        match self {
            Ledger::File(file) => file.rows(since, each),
            Ledger::Own(rows) => {
                rows.iter().cloned().for_each(&mut each);
                Ok(())
            }
        }
    }
}

fn ledger(args: &LedgerArgs, since: Timestamp) -> Result<Ledger, Failure> {
    if let (None, Some(mount_point)) = (&args.state.state_dir, &args.mount_point) {
        let socket = status::socket(mount_point)?;
        if control::owner_behind(&socket).is_some() {
            let request =
                LedgerRequest { since: if since == Timestamp::MIN { String::new() } else { since.to_string() } };
            let asked = control::post::<Vec<LedgerLine>>(&socket, "/ledger", &request);
            let lines = daemon::runtime()?.block_on(asked).map_err(status::not_answered)?;
            return Ok(Ledger::Own(lines.into_iter().filter_map(row).collect()));
        }
    }
    let dir = state::state_dir(&args.state, args.mount_point.as_deref())?;
    LedgerReader::open(&dir).map(Ledger::File).map_err(|error| no_ledger(error, &dir))
}

fn row(line: LedgerLine) -> Option<LedgerRow> {
    let LedgerLine { id, at, master_contact, reason, uid, pid, comm, outcome } = line;
    let (id, at, master_id) = (LedgerId(id), at.parse().ok()?, MasterId(master_contact));
    Some(LedgerRow { id, at, master_id, reason, uid, pid, comm, outcome })
}

enum Stopped {
    Output(io::Error),
    Ledger(crate::catalog::CatalogError),
}

fn no_ledger(error: crate::catalog::CatalogError, dir: &Path) -> Failure {
    Failure::failed(error)
        .while_doing(format!("opening the ledger in {}", dir.display()))
        .remedy("name the mount point, the state directory (--state-dir) or the configuration (--config); there is a ledger once something was mounted")
}

/// Reads `--since`.
pub fn since(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Failure> {
    let text = text.trim();
    if let Ok(day) = text.parse::<Day>() {
        return Ok(day.start(zone));
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let ago = units::parse_duration(text).map_err(|reason| {
        Failure::usage(format!("--since: {text:?} is no date, no time and no duration: {reason}"))
            .remedy("such as 2026-11-02, 2026-11-02T08:00:00Z, 7d or 12h")
    })?;
    Ok(now.saturating_sub(ago).unwrap_or(Timestamp::MIN))
}

fn print_rows(ledger: &Ledger, since: Timestamp, report: &Report, output: &mut impl Write) -> Result<(), Stopped> {
    let mut totals = Totals::default();
    let mut written = report.rows_head(output);
    let each = |row: LedgerRow| {
        totals.add(&row);
        if written.is_ok() {
            written = report.row(&row, output);
        }
    };
    ledger.rows(since, each).map_err(Stopped::Ledger)?;
    written.map_err(Stopped::Output)?;
    report.rows_foot(&totals, output).map_err(Stopped::Output)
}

fn print_totals(
    ledger: &Ledger,
    since: Timestamp,
    by: LedgerBy,
    report: &Report,
    output: &mut impl Write,
) -> Result<(), Stopped> {
    let mut groups: BTreeMap<Option<String>, Totals> = BTreeMap::new();
    let mut all = Totals::default();
    let each = |row: LedgerRow| {
        all.add(&row);
        groups.entry(report.group(by, &row)).or_default().add(&row);
    };
    ledger.rows(since, each).map_err(Stopped::Ledger)?;
    report.totals(by, &groups, &all, output).map_err(Stopped::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_date_a_time_or_so_long_ago() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let now: Timestamp = "2026-11-02T15:00:00Z".parse().unwrap();
        let read = |text: &str| since(text, now, &zone).map(|at| at.to_string()).map_err(|failure| failure.code());
        assert_eq!(read("2026-11-02").unwrap(), "2026-11-02T05:00:00Z");
        assert_eq!(read("2026-11-02T08:00:00Z").unwrap(), "2026-11-02T08:00:00Z");
        assert_eq!(read("12h").unwrap(), "2026-11-02T03:00:00Z");
        assert_eq!(read("7d").unwrap(), "2026-10-26T15:00:00Z");
        assert_eq!(read("yesterday"), Err(2));
        let said = since("100000d", now, &zone).unwrap_err().render();
        assert!(said.contains("it is longer than 100 years"), "{said}");
    }
}
