//! Promise: the parts of the program know of each other what ARCHITECTURE.md says, no file is too long to read at once, and no two files
//! need each other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has to say so and end")]

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sources::Sources;

/// Lines of a file that is read at one sitting.
const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Sources {
    Sources::read(&root().join("src"))
}

#[test]
fn no_file_is_long() {
    let sources = sources();
    let long: Vec<String> = sources
        .0
        .iter()
        .filter(|(_, source)| source.lines > LINES_MAX && !source.is_for_tests)
        .map(|(module, source)| format!("{}: {}", module.join("::"), source.lines))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_two_files_need_each_other() {
    let circles = sources().circles();
    for c in &circles {
        println!("{} {}", c.len(), c.join(" "));
    }
    assert!(circles.is_empty(), "{circles:#?}");
}

/// What each folder may know, by the table of ARCHITECTURE.md: `` | `src/x` | for | `a`, `b` | ``.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `src/"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let folder = cells[0].trim_end_matches('`').to_owned();
        let known = cells.last().unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (folder, known)
    })
    .collect()
}

#[test]
fn folders_know_each_other_as_the_map_says() {
    let (table, sources) = (table(), sources());
    let mut wrong = Vec::new();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (module, source) in sources.0.iter().filter(|(module, source)| module.len() > 1 && !source.is_for_tests) {
        let _ = source;
        for other in sources.needs(module) {
            let (Some(from), Some(to)) = (module.first(), other.first()) else { continue };
            if from == to {
                continue;
            }
            used.insert((from.clone(), to.clone()));
            if !table.get(from).is_some_and(|known| known.contains(to)) {
                wrong.push(format!("{} needs {}", module.join("::"), other.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "not in the table of ARCHITECTURE.md: {wrong:#?}");
    let said: BTreeSet<(String, String)> =
        table.iter().flat_map(|(from, known)| known.iter().map(move |to| (from.clone(), to.clone()))).collect();
    let idle: Vec<_> = said.difference(&used).collect();
    assert!(idle.is_empty(), "in the table, and not needed: {idle:?}");
}
