//! The matrix of programs: whatever reads a file, in whatever state it is, gets every byte or says that it did not.
//!
//! `table` has the programs and calls, a line each; `cell` runs one of them on one file; `lane` is a mount with a guess, with passthrough or not;
//! `servers` are what some of them need. A part of the cells is run always, every program among them; all with `--full`.
//! `docs/PROGRAMS.md` is made of the table, and the matrix holds the table to what is measured.

mod cell;
mod lane;
mod many;
mod page;
mod servers;
mod table;

use std::sync::Mutex;
use std::time::Instant;

use self::cell::{Cell, State, Verdict};
use self::lane::{Guess, Kind, Lane};
use self::table::{Class, Gives, Runs};
use crate::harness::is_full;

#[test]
fn a_guess_that_is_too_high() {
    no_cell_is_wrong(Guess::High, false);
}

#[test]
fn a_guess_that_is_too_low() {
    no_cell_is_wrong(Guess::Low, false);
}

#[test]
fn a_guess_that_is_right() {
    no_cell_is_wrong(Guess::Exact, false);
}

/// Where `stat` resolves, every program is exact from the first.
#[test]
fn the_exact_door() {
    no_cell_is_wrong(Guess::High, true);
}

/// All cells of a kind of mount.
fn cells(kind: Kind) -> Vec<Cell> {
    let mut cells = Vec::new();
    let named = std::env::var("CXONEFS_TEST_PROGRAM").unwrap_or_default();
    for (index, program) in table::ALL.iter().enumerate().filter(|(_, program)| program.name.contains(&named)) {
        for state in [State::Unresolved, State::Resolved, State::Cached] {
            for is_root in [true, false] {
                let cell = Cell { program, kind, state, is_root };
                if is_possible(&cell) && (is_full() || is_always(&cell, index)) {
                    cells.push(cell);
                }
            }
        }
    }
    cells
}

fn is_possible(cell: &Cell) -> bool {
    let program = cell.program;
    let is_of_user = cell.is_root || !program.root && program.runs != Runs::Slow;
    // The recordings of the mount whose guess is right are no media.
    let is_media = program.gives != Gives::Media || cell.kind.guess != Guess::Exact;
    let is_new = program.runs != Runs::Slow || cell.state != State::Resolved;
    let is_door = !cell.kind.is_exact_door || cell.state == State::Unresolved;
    is_of_user && is_media && is_new && is_door
}

/// Which cells are run always: each program unresolved with a high guess and with a low one, in one of its later states, and through the exact
/// door if it needs that; the user and passthrough change from program to program.
fn is_always(cell: &Cell, index: usize) -> bool {
    let program = cell.program;
    let is_slow = program.runs == Runs::Slow;
    let is_even = cell.kind.is_passthrough == index.is_multiple_of(2);
    let by_root = program.root || is_slow;
    let is_user = |turn: usize| cell.is_root == (by_root || index % 3 == turn);
    if program.runs == Runs::Full {
        return false;
    }
    match (cell.kind.is_exact_door, cell.kind.guess, cell.state) {
        (true, _, _) => is_even && is_user(0) && program.class != Class::Exact,
        (_, Guess::High, State::Unresolved) => is_even && is_user(1),
        (_, Guess::Low, State::Unresolved) => !is_even && is_user(2) && !is_slow,
        (_, Guess::High, State::Cached) => !is_even && is_user(0) && index.is_multiple_of(2) && !is_slow,
        (_, Guess::Exact, State::Unresolved) => is_even && is_user(0) && index.is_multiple_of(3) && !is_slow,
        (_, Guess::Low, State::Resolved) => is_even && is_user(0) && index % 2 == 1 && !is_slow,
        _ => false,
    }
}

fn no_cell_is_wrong(guess: Guess, is_exact_door: bool) {
    let begun = Instant::now();
    let (wrong, seen) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for is_passthrough in [true, false] {
            let (wrong, seen) = (&wrong, &seen);
            scope.spawn(move || {
                let kind = Kind { guess, is_passthrough, is_exact_door };
                let cells = cells(kind);
                let mut lane = Lane::start(kind, cells.len());
                for cell in &cells {
                    let (verdict, outcome) = cell::run(&mut lane, cell);
                    if let Err(why) = outcome {
                        wrong.lock().unwrap().push(format!("{cell}: {why}\n    {}", lane.last_words()));
                    }
                    seen.lock().unwrap().push((*cell, verdict));
                }
                lane.assert_looking_is_free();
            });
        }
    });
    let (wrong, seen) = (wrong.into_inner().unwrap(), seen.into_inner().unwrap());
    let of = |is_so: fn(&Verdict) -> bool| seen.iter().filter(|(_, verdict)| is_so(verdict)).count();
    println!(
        "matrix of programs, guess {guess:?}{}: {} cells in {:.0?}: {} exact, {} loud, {} wrong",
        if is_exact_door { ", exact door" } else { "" },
        seen.len(),
        begun.elapsed(),
        of(|verdict| *verdict == Verdict::Exact),
        of(|verdict| matches!(verdict, Verdict::Loud(_))),
        of(|verdict| matches!(verdict, Verdict::Wrong(_))),
    );
    for (cell, verdict) in seen.iter().filter(|(_, verdict)| *verdict != Verdict::Exact) {
        println!("  {cell}: {verdict:?}");
    }
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
}
