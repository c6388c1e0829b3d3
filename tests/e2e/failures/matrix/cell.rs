//! One cell: prepare, let it fail, read, mend, read again, count.

use std::fmt;
use std::time::{Duration, Instant};

use cxonefs::sim::{Endpoint, Fault, FaultRule};

use super::access::{self, Access, Accessed, Outcome};
use super::lane::{DEADLINE, Lane};
use super::table::Row;
use crate::harness::{true_bytes, wait_for};

/// Beyond what a call may take, on a busy machine.
const SLACK: Duration = Duration::from_millis(1500);
/// What the kernel asks for at a time where it reads a map, or less.
const REQUEST_BYTES: usize = 64 * 1024;
/// From mending to the first right read: a refused login stands for 5 s, and a host that was down is probed.
const MENDED_WITHIN: Duration = Duration::from_secs(15);

/// At which request the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Login,
    Listing,
    Resolve,
    Head,
    Range,
    Middle,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    Once,
    UntilMended,
}

/// What is on disk before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    None,
    Part,
    Full,
}

#[derive(Clone, Debug)]
pub struct Cell {
    pub phase: Phase,
    pub row: Row,
    pub lasts: Lasts,
    pub cached: Cached,
    pub access: Access,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = format!("{:?}", self.row.fault);
        let fault: String = fault.chars().take(80).collect();
        write!(f, "{:?} {fault} {:?}, cached {:?}, {:?}", self.phase, self.lasts, self.cached, self.access)
    }
}

impl Cell {
    fn endpoint(&self) -> Endpoint {
        match self.phase {
            Phase::Login => Endpoint::Login,
            Phase::Listing => Endpoint::Completed,
            Phase::Resolve => Endpoint::Playback,
            Phase::Head | Phase::Range | Phase::Middle => Endpoint::Media,
        }
    }

    /// Whether the request at which the fault strikes is made at all.
    fn strikes(&self) -> bool {
        match (self.cached, self.phase) {
            (Cached::None, _) => true,
            (Cached::Part, Phase::Head | Phase::Range | Phase::Middle) => self.access != Access::Open,
            (Cached::Part | Cached::Full, _) => false,
        }
    }

    fn is_wrong_size_of_the_unseen(&self) -> bool {
        matches!(self.row.fault, Fault::WrongTotal { .. }) && self.phase == Phase::Head && self.cached == Cached::None
    }

    fn rule(&self, master: i64) -> FaultRule {
        let mut rule = FaultRule::always(self.endpoint(), self.row.fault.clone());
        rule.times = (self.lasts == Lasts::Once).then_some(1);
        // The head of what nobody has looked at yet goes well.
        let head_first = matches!(self.phase, Phase::Range | Phase::Middle) && self.cached == Cached::None;
        rule.after = u32::from(head_first);
        rule.path_contains = match self.phase {
            Phase::Login | Phase::Listing => None,
            _ => Some(master.to_string()),
        };
        rule
    }

    /// Why this outcome is none that is documented.
    fn objection(&self, accessed: &Accessed) -> Option<String> {
        let errnos = self.row.errnos;
        let may_fail = self.strikes() && (self.lasts == Lasts::UntilMended || self.row.once_shows);
        match &accessed.outcome {
            Outcome::Right => None,
            Outcome::Errno(errno) if may_fail && errnos.contains(errno) => None,
            // An error of a page is a signal, whatever the error.
            Outcome::Bus if may_fail && !errnos.is_empty() => None,
            // Who states a wrong size for a recording that nobody has seen is believed until its end.
            Outcome::Wrong(_) if may_fail && self.is_wrong_size_of_the_unseen() && self.access == Access::Open => None,
            other => Some(format!("{other:?}")),
        }
    }
}

/// Runs it; `Err` says what is wrong.
pub fn run(lane: &mut Lane, cell: &Cell) -> Result<(), String> {
    let place = lane.next();
    let drive = &lane.drive;
    let path = drive.at(&place.path).join("recording.mp4");
    let expected = true_bytes(&drive.tenant, place.master, 1);
    drive.tenant.reset_counters();
    let prepared = match cell.cached {
        // A day that nobody has listed stays so.
        Cached::None if cell.phase == Phase::Listing => Ok(()),
        Cached::None => path.metadata().map(drop),
        Cached::Part => access::prepare(&path, 4096),
        Cached::Full => access::prepare(&path, expected.len()),
    };
    prepared.map_err(|error| format!("preparing: {error}"))?;
    drive.tenant.switch(|switches| {
        if cell.phase == Phase::Login {
            switches.token_generation += 1;
        }
        switches.faults = vec![cell.rule(place.master)];
    });
    let struck_before = drive.counters();
    let accessed = cell.access.read(&path, &expected);
    let spoilt = drive.counters().faults - struck_before.faults;
    let billed_while_failing = drive.counters().playback_billed;
    drive.tenant.heal();
    if let Some(objection) = cell.objection(&accessed) {
        return Err(format!("{objection}, {accessed:?}"));
    }
    // Waiting for the rate limit and working are two things, and only an open does both.
    let open_max = DEADLINE * 2 + SLACK;
    // A map is read as a whole, request after request.
    let requests = if cell.access == Access::Map { expected.len() / REQUEST_BYTES + 2 } else { 1 };
    let read_max = DEADLINE * requests as u32 + SLACK;
    if accessed.open > open_max || accessed.read > read_max {
        return Err(format!("too slow: {accessed:?}"));
    }
    if !cell.row.is_remembered || !cell.strikes() {
        reads_again(lane, cell, &path, &expected)?;
    }
    let calls = 1 + if cell.phase == Phase::Resolve { spoilt } else { cell.row.more_calls };
    let billed = drive.counters().playback_billed;
    if billed > calls {
        return Err(format!("{billed} calls billed ({billed_while_failing} while it failed), {calls} may be"));
    }
    Ok(())
}

/// All is well soon after the fault is gone; what the billed call was answered, or not, is remembered until somebody has it forgotten.
fn reads_again(lane: &Lane, cell: &Cell, path: &std::path::Path, expected: &[u8]) -> Result<(), String> {
    let (begun, mut last) = (Instant::now(), Outcome::Right);
    let read = wait_for(MENDED_WITHIN, || {
        last = Access::Sequential.read(path, expected).outcome;
        if cell.phase == Phase::Resolve && matches!(last, Outcome::Errno(_)) {
            lane.drive.retry();
        }
        matches!(last, Outcome::Right | Outcome::Wrong(_)).then_some(())
    });
    match (read, last) {
        (Some(()), Outcome::Right) => Ok(()),
        (_, last) => Err(format!("{:?} after mending: {last:?}", begun.elapsed())),
    }
}
