//! Of rows that were deleted nothing is found in any byte of the file, however they were moved about before; and all others stay as they were.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use proptest::prelude::*;

use super::*;

const TABLES: &str = "
    CREATE TABLE by_rowid(id INTEGER PRIMARY KEY, name TEXT NOT NULL, value BLOB NOT NULL);
    CREATE INDEX by_name ON by_rowid(name, value);
    CREATE TABLE by_key(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;";

fn text(number: u32) -> String {
    format!("<{number:08}>")
}

fn dump(connection: &Connection) -> Vec<(String, Vec<u8>)> {
    let both = "SELECT name, value FROM by_rowid UNION ALL SELECT name, value FROM by_key ORDER BY 1";
    let mut select = connection.prepare(both).unwrap();
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// Rows of all lengths come in any order, change their length and go.
fn worked_on(page_size: u32, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "page_size", page_size).unwrap();
    connection.pragma_update(None, "secure_delete", "ON").unwrap();
    connection.pragma_update(None, "journal_mode", "MEMORY").unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    connection.execute_batch(TABLES).unwrap();
    let (mut here, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..6 {
        for _ in 0..400 {
            let number = random.u32(0..100_000);
            if !gone.contains(&number) && here.insert(number) {
                let (name, value) =
                    (text(number), text(number).repeat(random.usize(1..if round == 3 { 900 } else { 30 })));
                let table = if number.is_multiple_of(2) { "by_rowid" } else { "by_key" };
                let insert = format!("INSERT INTO {table}(name, value) VALUES(?1, ?2)");
                connection.execute(&insert, (&name, value.as_bytes())).unwrap();
            }
        }
        for number in here.clone() {
            let (name, table) = (text(number), if number.is_multiple_of(2) { "by_rowid" } else { "by_key" });
            match random.u8(0..10) {
                0..3 => {
                    connection.execute(&format!("DELETE FROM {table} WHERE name = ?1"), [&name]).unwrap();
                    here.remove(&number);
                    gone.insert(number);
                }
                3 => {
                    let value = name.repeat(random.usize(1..60));
                    let update = format!("UPDATE {table} SET value = ?2 WHERE name = ?1");
                    connection.execute(&update, (&name, value.as_bytes())).unwrap();
                }
                _ => {}
            }
        }
    }
    let before = dump(&connection);
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    let needles = AhoCorasick::new(gone.iter().map(|number| text(*number))).unwrap();
    let mut zeroed = 0;
    for (number, page) in bytes.chunks_exact_mut(page_size as usize).enumerate() {
        for part in unused(page, number == 0, page_size as usize).unwrap() {
            zeroed += usize::from(page[part.clone()].iter().any(|byte| *byte != 0));
            page[part].fill(0);
        }
    }
    assert!(zeroed > 0, "nothing was left: this tries out nothing");
    assert_eq!(needles.find_iter(&bytes).count(), 0, "page size {page_size}, seed {seed}");
    std::fs::write(&path, bytes).unwrap();
    let connection = Connection::open(&path).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!((verdict.as_str(), dump(&connection)), ("ok", before), "page size {page_size}, seed {seed}");
}

#[test]
fn what_was_deleted_is_in_no_byte() {
    for seed in 0..4 {
        for page_size in [512, 4096, 65536] {
            worked_on(page_size, seed);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_page_or_none(
        mut page in prop::collection::vec(any::<u8>(), 512..=1024),
        kind in prop::sample::select(vec![0_u8, 2, 5, 10, 13]),
        is_first: bool,
    ) {
        page[if is_first { FILE_HEADER } else { 0 }] = kind;
        let len = page.len();
        for part in unused(&page, is_first, len).into_iter().flatten() {
            prop_assert!(part.start <= part.end && part.end <= len);
        }
    }
}
