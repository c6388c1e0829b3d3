//! What log lines must be, checked in the source: whole sentences, because an administrator sees the message alone.

use std::path::{Path, PathBuf};

/// Fewer words than these say neither what nor why.
const WORDS_MIN: usize = 4;
/// Words that are no message by themselves, whatever the fields say.
const BARE: [&str; 6] = ["failed", "refused", "changed", "status", "error", "mounted"];
/// Messages that are built elsewhere.
const BUILT: [&str; 3] = ["sentence(operation,", "failure.line()", "{warning}"];

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // The simulated tenant speaks to developers.
            if !path.ends_with("src/sim") {
                sources(&path, into);
            }
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("sentences.rs") {
            into.push(path);
        }
    }
}

/// The arguments of each call that logs at a level that is shown by default.
fn calls(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for level in ["error", "warn", "info"] {
        let start = format!("tracing::{level}!(");
        for (at, _) in text.match_indices(&start) {
            let arguments = &text[at + start.len()..];
            let (mut depth, mut quoted, mut before) = (1, false, ' ');
            let end = arguments.find(|c| {
                match c {
                    '"' if before != '\\' => quoted = !quoted,
                    '(' if !quoted => depth += 1,
                    ')' if !quoted => depth -= 1,
                    _ => {}
                }
                before = c;
                depth == 0
            });
            found.push(&arguments[..end.unwrap()]);
        }
    }
    found
}

/// The first text in quotes that is no field's value: the message.
fn message(arguments: &str) -> Option<&str> {
    let texts: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
    texts.into_iter().max_by_key(|text| text.len())
}

#[test]
fn every_log_line_is_a_sentence() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut seen = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests log what they like.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for arguments in calls(text) {
            seen += 1;
            if BUILT.iter().any(|built| arguments.contains(built)) {
                continue;
            }
            let message = message(arguments).unwrap_or_else(|| panic!("{}: no message: {arguments}", file.display()));
            let words = message.split_whitespace().count();
            assert!(
                words >= WORDS_MIN && !BARE.contains(&message),
                "{}: {message:?} is no sentence: say what, of what, why, and what to do",
                file.display()
            );
            assert!(
                !arguments.contains("path_of(") && !arguments.contains("paths = ?"),
                "{}: paths hold agents' names, which stay out of logs: {arguments}",
                file.display()
            );
        }
    }
    assert!(seen > 90, "only {seen} calls were found: the search is broken");
}
