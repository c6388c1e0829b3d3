//! Which faults there are, where each can strike, and what it may lead to.

use cxonefs::sim::Fault;
use libc::{EACCES, EIO, ENOENT, ESTALE, ETIMEDOUT};

use super::access::Access;
use super::cell::{Cached, Cell, Lasts, Phase};

/// A fault with what a caller may be told while it lasts. Success with the right bytes is always allowed.
#[derive(Clone, Debug)]
pub struct Row {
    pub fault: Fault,
    pub errnos: &'static [i32],
    /// A single one of these may be told to a caller: what does it is no trouble that passes.
    pub once_shows: bool,
    /// Calls that may be paid besides the one and those that the fault spoilt.
    pub more_calls: u64,
    /// "There is none" is an answer that is remembered.
    pub is_remembered: bool,
}

fn row(fault: Fault, errnos: &'static [i32]) -> Row {
    Row { fault, errnos, once_shows: false, more_calls: 0, is_remembered: false }
}

fn shows(fault: Fault, errnos: &'static [i32]) -> Row {
    Row { once_shows: true, ..row(fault, errnos) }
}

fn status(status: u16) -> Fault {
    Fault::Status { status, retry_after_s: None }
}

fn garbage(body: &str) -> Fault {
    Fault::Garbage { body: body.to_owned() }
}

fn redirect() -> Fault {
    Fault::Redirect { location: String::from("http://127.0.0.1:9/sign-in?next=/") }
}

const TROUBLE: &[i32] = &[EIO, ETIMEDOUT];

/// What any JSON endpoint may send instead of JSON.
fn garbages() -> Vec<Fault> {
    let mut bodies = vec![
        String::new(),
        String::from("null"),
        String::from("[]"),
        String::from("\"text\""),
        String::from("{\"a\": "),
        String::from("<!DOCTYPE html><html><body>Sign in</body></html>"),
        String::from("\u{feff}{}"),
    ];
    bodies.push("[".repeat(200_000));
    bodies.push("{\"interactions\":".repeat(5_000));
    bodies.into_iter().map(|body| Fault::Garbage { body }).collect()
}

/// What can happen to the answer of any request before its content matters. `patient`: a silence is broken off while there is time
/// for another try, as where bytes are fetched; a call of the API may take the whole deadline.
fn transport(patient: bool) -> Vec<Row> {
    let row_if = |fault, errnos| Row { once_shows: !patient, ..row(fault, errnos) };
    vec![
        row(status(500), TROUBLE),
        row(status(502), TROUBLE),
        row(status(503), TROUBLE),
        row_if(Fault::Hang, TROUBLE),
        row(Fault::Drop, TROUBLE),
        row(Fault::CutAfter { bytes: 20 }, TROUBLE),
        row_if(Fault::StallAfter { bytes: 20 }, TROUBLE),
        // Slow is not silent: it is broken off only when a reader has waited in vain.
        shows(Fault::Trickle { bytes_per_s: 1 }, TROUBLE),
        row(Fault::SlowFirstByte { ms: 300 }, &[]),
        row(Fault::Delay { ms: 300 }, &[]),
        row(Fault::WrongLength { by: 5 }, TROUBLE),
        row(Fault::NoLength, &[]),
    ]
}

/// The storage: head and ranges.
fn media() -> Vec<Row> {
    let mut rows = transport(true);
    for refusal in [400, 401, 403] {
        // A link that is refused is signed anew, once.
        rows.push(Row { more_calls: 1, ..row(status(refusal), &[EACCES]) });
    }
    rows.extend([404, 410].map(|gone| shows(status(gone), &[EIO])));
    rows.extend([204, 416, 418].map(|odd| shows(status(odd), &[EIO])));
    rows.push(row(Fault::Status { status: 429, retry_after_s: Some(1) }, TROUBLE));
    rows.push(row(Fault::Truncate { bytes: 1000 }, TROUBLE));
    rows.push(row(Fault::LongBody { bytes: 1000 }, TROUBLE));
    rows.push(row(Fault::LongChunkedBody { bytes: 1000 }, &[]));
    rows.push(row(Fault::RefuseRange, &[]));
    rows.push(row(Fault::WrongContentRange { by: 1 }, TROUBLE));
    rows.push(shows(Fault::WrongTotal { by: 5 }, &[ESTALE, EIO]));
    // What tells its version otherwise than before may be another one.
    rows.push(shows(Fault::NoEtag, &[ESTALE]));
    // It is followed, to where nobody answers: worth another try, as a silent host is.
    rows.push(row(redirect(), TROUBLE));
    rows.push(shows(garbage("{}"), TROUBLE));
    rows.push(shows(garbage("<!DOCTYPE html><html><body>Sign in</body></html>"), TROUBLE));
    rows.push(shows(Fault::Endless, TROUBLE));
    rows
}

/// In the middle of a range: bytes have come, and then something happens.
fn middle() -> Vec<Row> {
    let cut = 40_000;
    vec![
        row(Fault::CutAfter { bytes: cut }, TROUBLE),
        row(Fault::StallAfter { bytes: cut }, TROUBLE),
        // A slow line is no error while 4 KiB arrive within the deadline of 2 s; less than that is.
        shows(Fault::Trickle { bytes_per_s: 1_000 }, TROUBLE),
        row(Fault::Trickle { bytes_per_s: 200_000 }, &[]),
        row(Fault::Trickle { bytes_per_s: 2_000_000 }, &[]),
        row(Fault::Truncate { bytes: cut }, TROUBLE),
        shows(Fault::Changed { version: 3 }, &[ESTALE, EIO]),
    ]
}

/// The billed call.
fn resolve() -> Vec<Row> {
    let mut rows = transport(false);
    for row in &mut rows {
        // It may have been billed, so it is not tried again for the same ask.
        row.once_shows |= !row.errnos.is_empty();
    }
    rows.extend([401, 403].map(|refusal| shows(status(refusal), &[EACCES])));
    rows.extend([400, 418].map(|odd| shows(status(odd), &[EIO])));
    rows.push(Row { is_remembered: true, ..shows(status(404), &[ENOENT]) });
    rows.push(row(Fault::Status { status: 429, retry_after_s: Some(1) }, &[ETIMEDOUT]));
    rows.push(shows(Fault::Truncate { bytes: 100 }, &[EIO]));
    rows.push(shows(redirect(), &[EIO]));
    rows.push(shows(Fault::Endless, TROUBLE));
    rows.extend(garbages().into_iter().map(|fault| shows(fault, &[EIO])));
    let wrong = [
        "{\"interactions\": \"none\"}",
        "{\"interactions\": [1, \"two\"]}",
        "{\"interactions\": [[[]]]}",
        "{\"value\": 5}",
    ];
    rows.extend(wrong.map(|body| shows(garbage(body), &[EIO])));
    rows
}

/// A login that is due because the token has ended.
fn login() -> Vec<Row> {
    let mut rows = transport(false);
    rows.extend([401, 403].map(|refusal| shows(status(refusal), &[EACCES])));
    rows.extend([400, 404, 418].map(|odd| shows(status(odd), &[EIO, EACCES])));
    rows.push(row(Fault::Status { status: 429, retry_after_s: Some(1) }, TROUBLE));
    rows.push(shows(redirect(), &[EIO]));
    rows.push(shows(Fault::Endless, TROUBLE));
    rows.extend(garbages().into_iter().map(|fault| shows(fault, &[EIO, EACCES])));
    let wrong = ["{\"access_token\": 5, \"expires_in\": []}", "{\"access_token\": \"\\n\", \"expires_in\": 3600}"];
    rows.extend(wrong.map(|body| shows(garbage(body), &[EIO, EACCES])));
    rows
}

/// The listing of a day that is not indexed.
fn listing() -> Vec<Row> {
    let mut rows = transport(false);
    rows.extend([400, 404, 418].map(|odd| shows(status(odd), &[EIO])));
    rows.extend([401, 403].map(|refusal| shows(status(refusal), &[EACCES, EIO])));
    rows.push(row(Fault::Status { status: 429, retry_after_s: Some(1) }, TROUBLE));
    rows.push(shows(Fault::Truncate { bytes: 100 }, &[EIO]));
    rows.push(shows(redirect(), &[EIO]));
    rows.push(shows(Fault::Endless, TROUBLE));
    rows.extend(garbages().into_iter().map(|fault| shows(fault, &[EIO])));
    let wrong = [
        "{\"completedContacts\": {}}",
        "{\"completedContacts\": [1, \"two\", null]}",
        "{\"completedContacts\": [{\"contactId\": \"no number\"}]}",
        "{\"totalRecords\": 3, \"completedContacts\": []}",
        "{\"totalRecords\": -1, \"completedContacts\": 5}",
    ];
    rows.extend(wrong.map(|body| shows(garbage(body), &[EIO])));
    rows
}

/// Every cell of a phase.
pub fn cells(phase: Phase) -> Vec<Cell> {
    let rows = match phase {
        Phase::Login => login(),
        Phase::Listing => listing(),
        Phase::Resolve => resolve(),
        Phase::Head | Phase::Range => media(),
        Phase::Middle => middle(),
    };
    let mut cells = Vec::new();
    for row in rows {
        for lasts in [Lasts::Once, Lasts::UntilMended] {
            for cached in [Cached::None, Cached::Part, Cached::Full] {
                for access in Access::ALL {
                    cells.push(Cell { phase, row: row.clone(), lasts, cached, access });
                }
            }
        }
    }
    cells
}
