//! The fault matrix: what fails × where × how often × what the cache holds × how it is read, each cell on a real mount with an interaction
//! of its own.
//!
//! Whatever the cell: bytes are right or the error is a documented one; no call takes longer than it may; when the fault is gone the
//! recording reads; nothing was paid twice that need not be; and at the end nothing is left under way.
//!
//! `table` has the faults and what they may lead to, `cell` runs one, `access` reads, `lane` is a mount that runs many. A part of the cells
//! is run always, all of them by `scripts/test --full`.

mod access;
mod cell;
mod lane;
mod table;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::harness::is_full;
use cell::{Cell, Phase};
use lane::Lane;

/// Mounts at once of one test. Most of a cell's time is waiting.
const LANES: usize = 7;
/// Without `--full`, one cell of so many; coprime to the size of each dimension, so that each value of each is met.
const STRIDE: usize = 11;

#[test]
fn a_login_that_fails() {
    no_cell_is_wrong(Phase::Login);
}

#[test]
fn a_listing_that_fails() {
    no_cell_is_wrong(Phase::Listing);
}

#[test]
fn a_billed_call_that_fails() {
    no_cell_is_wrong(Phase::Resolve);
}

#[test]
fn the_head_of_a_recording_that_fails() {
    no_cell_is_wrong(Phase::Head);
}

#[test]
fn a_range_that_fails() {
    no_cell_is_wrong(Phase::Range);
}

#[test]
fn a_range_that_fails_in_the_middle() {
    no_cell_is_wrong(Phase::Middle);
}

/// Whatever fails in this phase, bytes are right or the error is.
fn no_cell_is_wrong(phase: Phase) {
    let all = table::cells(phase);
    let chosen: Vec<&Cell> = all.iter().step_by(if is_full() { 1 } else { STRIDE }).collect();
    let (begun, total) = (Instant::now(), all.len());
    // One sort of mount for what goes past the program, another for what does not.
    let (past, through): (Vec<&Cell>, Vec<&Cell>) = chosen.iter().partition(|cell| cell.access.is_passthrough());
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (cells, passthrough) in [(&past, true), (&through, false)] {
            let next = std::sync::Arc::new(AtomicUsize::new(0));
            let lanes = (LANES * cells.len() / chosen.len().max(1)).max(1);
            for _ in 0..lanes {
                let (next, wrong) = (next.clone(), &wrong);
                scope.spawn(move || {
                    let share = cells.len().div_ceil(lanes) * 2;
                    let mut lane = Lane::start(share, passthrough);
                    while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if lane.is_used_up() {
                            wrong.lock().unwrap().extend(lane.end());
                            lane = Lane::start(share, passthrough);
                        }
                        if let Err(why) = cell::run(&mut lane, cell) {
                            wrong.lock().unwrap().push(format!("{cell}: {why}\n    {}", lane.last_words()));
                        }
                    }
                    wrong.lock().unwrap().extend(lane.end());
                });
            }
        }
    });
    println!("fault matrix, {phase:?}: {} of {total} cells in {:.0?}", chosen.len(), begun.elapsed());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), chosen.len(), wrong.join("\n"));
}
