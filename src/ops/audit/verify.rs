//! Proving the chain: lines go in one after the other, findings come out. Pure; knows no file.
//!
//! What the database says bounds both ends: where the chain begins, since older segments were deleted by age, and where it ended when its head was
//! noted last. Between them every line must be there, in order, as it was written, or erased.

use serde::{Deserialize, Serialize};

use super::line::{Hash, Head, Line};

/// Findings that are told in words; the rest is counted.
const FINDINGS_TOLD_MAX: usize = 100;

/// What the state database knows of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchors {
    /// The last line that was deleted by age.
    pub start: Head,
    /// The last line, when that was noted.
    pub head: Head,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `changed`, `removed`, `moved`, `inserted`, `cut`, `torn` or `rewritten`.
    pub kind: String,
    /// The line's number, and the last one where it is about several; absent where it has none.
    pub number: Option<u64>,
    pub to: Option<u64>,
    /// File and line.
    pub place: String,
    pub what: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub files: u64,
    pub lines: u64,
    /// Numbers and times of the first and the last line.
    pub first: Option<u64>,
    pub last: Option<u64>,
    pub since: Option<String>,
    pub until: Option<String>,
    /// Lines whose path and number were erased.
    pub erased: u64,
    /// Events that the log itself says are missing, because they could not be written.
    pub lost: u64,
    /// Lines behind the last one of which the database knows: only the chain itself protects them.
    pub beyond_head: u64,
    /// Files of an older version, without a chain.
    pub unchained_files: u64,
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more_findings: u64,
}

impl Verdict {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.more_findings == 0
    }
}

/// Looks at one line after the other.
#[derive(Debug)]
pub struct Verifier {
    anchors: Option<Anchors>,
    /// Hashes that were noted elsewhere.
    checkpoints: Vec<Head>,
    /// The line before; `None` before the first one.
    before: Option<Head>,
    /// The hash before is not to be trusted, because that line was none.
    is_blind: bool,
    /// Numbers that were not there where they should have been.
    missing: Vec<Missing>,
    verdict: Verdict,
}

#[derive(Clone, Debug)]
struct Missing {
    from: u64,
    to: u64,
    place: String,
}

impl Verifier {
    /// Without anchors the ends cannot be proven. `checkpoints` are hashes that were noted elsewhere, such as in the journal.
    #[must_use]
    pub fn new(anchors: Option<Anchors>, checkpoints: Vec<Head>) -> Verifier {
        Verifier {
            anchors,
            checkpoints,
            before: None,
            is_blind: false,
            missing: Vec::new(),
            verdict: Verdict::default(),
        }
    }

    /// A file begins.
    pub fn file(&mut self) {
        self.verdict.files += 1;
    }

    /// A file of an older version.
    pub fn unchained_file(&mut self) {
        self.verdict.unchained_files += 1;
    }

    /// What cannot be read, or something else that is no line.
    pub fn note(&mut self, kind: &str, number: Option<u64>, place: &str, what: impl Into<String>) {
        self.find(kind, number, None, place, what.into());
    }

    /// The next line, without its newline, and where it stands.
    pub fn line(&mut self, text: &[u8], place: &str) {
        self.verdict.lines += 1;
        let expected = self.before.map(|before| before.number + 1);
        let Some(line) = Line::read(text) else {
            let number = expected.or(self.anchors.map(|anchors| anchors.start.number + 1));
            self.note("changed", number, place, "this is no line as it was written");
            // It stands in the place of one.
            if let Some(before) = &mut self.before {
                before.number += 1;
            }
            self.is_blind = true;
            return;
        };
        self.verdict.erased += u64::from(line.is_erased);
        self.verdict.lost += line.object.get("lost").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let number = line.head.number;
        match expected {
            None => self.first(&line, place),
            Some(expected) if number == expected => self.next(&line, place),
            Some(expected) if number > expected => self.skipped(&line, expected, place),
            Some(_) => {
                self.behind(&line, place);
                return;
            }
        }
        self.look_at_known(&line, place);
        self.before = Some(line.head);
        self.is_blind = false;
        let time = line.object.get("time").and_then(serde_json::Value::as_str).map(str::to_owned);
        self.verdict.first.get_or_insert(number);
        self.verdict.last = Some(number);
        if self.verdict.since.is_none() {
            self.verdict.since.clone_from(&time);
        }
        self.verdict.until = time;
    }

    /// The last line has no end: a write was cut off.
    pub fn torn(&mut self, bytes: usize, place: &str) {
        self.note(
            "torn",
            None,
            place,
            format!("{bytes} bytes of a line that was not finished; the next mount removes them"),
        );
    }

    /// There are no more lines.
    #[must_use]
    pub fn finish(mut self, end: &str) -> Verdict {
        for missing in std::mem::take(&mut self.missing) {
            let what = format!("{} missing", lines(missing.from, missing.to));
            self.find("removed", Some(missing.from), Some(missing.to), &missing.place, what);
        }
        if let Some(Anchors { start, head }) = self.anchors {
            let last = self.before.map_or(start.number, |before| before.number);
            if last < head.number {
                let what = format!("{} missing at the end", lines(last + 1, head.number));
                self.find("cut", Some(last + 1), Some(head.number), end, what);
            }
            self.verdict.beyond_head = last.saturating_sub(head.number);
        } else if self.before.is_some() {
            self.note(
                "cut",
                None,
                end,
                "the state database does not know where the log ends: lines cut off there would not show",
            );
        }
        self.verdict
    }

    fn first(&mut self, line: &Line, place: &str) {
        let number = line.head.number;
        let Some(before) = line.says_before else {
            self.note(
                "removed",
                Some(number),
                place,
                "lines before this one are missing: it is not the first of a file",
            );
            return;
        };
        if !line.follows(&before) {
            self.note("changed", Some(number), place, "it is not as it was written");
        }
        let Some(Anchors { start, .. }) = self.anchors else { return };
        if number > start.number + 1 {
            let what = format!("{} missing at the beginning", lines(start.number + 1, number - 1));
            self.find("removed", Some(start.number + 1), Some(number - 1), place, what);
        } else if number == start.number + 1 && before != start.hash {
            self.note("rewritten", Some(number), place, "it does not follow the last line that was deleted by age");
        }
    }

    fn next(&mut self, line: &Line, place: &str) {
        let before = self.before.unwrap_or_default().hash;
        let number = line.head.number;
        if self.is_blind {
            // What stood before is known only where the line repeats it.
            if line.says_before.is_some_and(|before| !line.follows(&before)) {
                self.note("changed", Some(number), place, "it is not as it was written");
            }
        } else if !line.follows(&before) {
            let what = match line.says_before {
                Some(said) if said != before && line.follows(&said) => "it follows another line than the one before it",
                _ => "it is not as it was written, or the line before it is not",
            };
            self.note("changed", Some(number), place, what);
        }
    }

    fn skipped(&mut self, line: &Line, expected: u64, place: &str) {
        let number = line.head.number;
        self.missing.push(Missing { from: expected, to: number - 1, place: place.to_owned() });
        if line.says_before.is_some_and(|before| !line.follows(&before)) {
            self.note("changed", Some(number), place, "it is not as it was written");
        }
    }

    /// A number that should have come before.
    fn behind(&mut self, line: &Line, place: &str) {
        let number = line.head.number;
        let Some(index) = self.missing.iter().position(|missing| (missing.from..=missing.to).contains(&number)) else {
            self.note("inserted", Some(number), place, "a line of this number stands before it already");
            return;
        };
        let Missing { from, to, place: gap } = self.missing.swap_remove(index);
        let parts = [(from, number.wrapping_sub(1)), (number + 1, to)];
        let parts = parts.into_iter().filter(|(from, to)| from <= to && number > 0);
        self.missing.extend(parts.map(|(from, to)| Missing { from, to, place: gap.clone() }));
        self.missing.sort_by_key(|missing| missing.from);
        let after = self.before.map_or(0, |before| before.number);
        self.note("moved", Some(number), place, format!("it stands behind line {after}"));
    }

    /// Compares with what was noted elsewhere.
    fn look_at_known(&mut self, line: &Line, place: &str) {
        let head = self.anchors.map(|anchors| anchors.head).filter(|head| head.number > 0);
        let known = self.checkpoints.iter().copied().map(|head| (head, "the checkpoint"));
        let known = known.chain(head.map(|head| (head, "the state database")));
        let others: Vec<&str> = known
            .filter(|(head, _)| head.number == line.head.number && head.hash != line.head.hash)
            .map(|(_, who)| who)
            .collect();
        for who in others {
            let what = format!("{who} knows another line of this number: what stands before it was rewritten");
            self.note("rewritten", Some(line.head.number), place, what);
        }
    }

    fn find(&mut self, kind: &str, number: Option<u64>, to: Option<u64>, place: &str, what: String) {
        if self.verdict.findings.len() >= FINDINGS_TOLD_MAX {
            self.verdict.more_findings += 1;
            return;
        }
        self.verdict.findings.push(Finding {
            kind: kind.to_owned(),
            number,
            to: to.filter(|to| Some(*to) != number),
            place: place.to_owned(),
            what,
        });
    }
}

fn lines(from: u64, to: u64) -> String {
    if from == to { format!("line {from} is") } else { format!("lines {from} to {to} are") }
}

/// Reads `NUMBER:HASH`, as the journal has it.
#[must_use]
pub fn checkpoint(text: &str) -> Option<Head> {
    let (number, hash) = text.split_once(':')?;
    Some(Head { number: number.trim().parse().ok()?, hash: Hash::parse(hash.trim())? })
}

#[cfg(test)]
mod tests {
    use super::super::line::{Object, SALT_BYTES, sealed};
    use super::*;

    /// So many lines, and the anchors that fit them.
    fn log(count: u64) -> (Vec<Vec<u8>>, Anchors) {
        let (mut lines, mut head) = (Vec::new(), Head::default());
        for number in 0..count {
            let text = format!(
                r#"{{"time":"2026-11-02T13:59:{:02}Z","event":"open","uid":{number},"path":"a/b_{number}"}}"#,
                number % 60
            );
            let fields: Object = serde_json::from_str(&text).unwrap();
            let (mut line, next) = sealed(&fields, &head, number == 0, [number as u8; SALT_BYTES]);
            line.pop();
            lines.push(line);
            head = next;
        }
        (lines, Anchors { start: Head::default(), head })
    }

    fn verdict(lines: &[Vec<u8>], anchors: Anchors) -> Verdict {
        let mut verifier = Verifier::new(Some(anchors), Vec::new());
        verifier.file();
        for (index, line) in lines.iter().enumerate() {
            verifier.line(line, &format!("audit.log:{}", index + 1));
        }
        verifier.finish("audit.log")
    }

    #[track_caller]
    fn assert_found(lines: &[Vec<u8>], anchors: Anchors, expected: &[(&str, u64)]) {
        let verdict = verdict(lines, anchors);
        let found: Vec<(&str, u64)> =
            verdict.findings.iter().map(|finding| (finding.kind.as_str(), finding.number.unwrap_or(0))).collect();
        assert_eq!(found, expected, "{:#?}", verdict.findings);
    }

    #[test]
    fn what_was_written_is_sound() {
        let (lines, anchors) = log(20);
        let verdict = verdict(&lines, anchors);
        assert!(verdict.is_sound(), "{verdict:?}");
        assert_eq!((verdict.lines, verdict.first, verdict.last), (20, Some(1), Some(20)));
        assert_eq!(
            (verdict.since.as_deref(), verdict.until.as_deref()),
            (Some("2026-11-02T13:59:00Z"), Some("2026-11-02T13:59:19Z"))
        );
    }

    #[test]
    fn each_way_to_tamper_is_found_and_named() {
        let (lines, anchors) = log(20);
        let change = |act: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut changed = lines.clone();
            act(&mut changed);
            changed
        };
        let edited = |line: &[u8], from: &str, to: &str| {
            let text = std::str::from_utf8(line).unwrap();
            assert!(text.contains(from));
            text.replace(from, to).into_bytes()
        };
        let removed = change(&|lines| drop(lines.remove(6)));
        assert_found(&removed, anchors, &[("removed", 7)]);
        let several = change(&|lines| drop(lines.drain(6..9)));
        assert_found(&several, anchors, &[("removed", 7)]);
        assert_eq!(verdict(&several, anchors).findings[0].to, Some(9));
        let changed = change(&|lines| lines[6] = edited(&lines[6], "\"uid\":6", "\"uid\":7"));
        assert_found(&changed, anchors, &[("changed", 7)]);
        let path = change(&|lines| lines[6] = edited(&lines[6], "a/b_6", "a/b_9"));
        assert_found(&path, anchors, &[("changed", 7)]);
        let garbage = change(&|lines| lines[6] = b"nothing".to_vec());
        assert_found(&garbage, anchors, &[("changed", 7)]);
        let swapped = change(&|lines| lines.swap(6, 7));
        assert_found(&swapped, anchors, &[("moved", 7)]);
        let far = change(&|lines| {
            let line = lines.remove(3);
            lines.insert(10, line);
        });
        assert_found(&far, anchors, &[("moved", 4)]);
        let doubled = change(&|lines| lines.insert(7, lines[2].clone()));
        assert_found(&doubled, anchors, &[("inserted", 3)]);
        let cut = change(&|lines| lines.truncate(17));
        assert_found(&cut, anchors, &[("cut", 18)]);
        let beginning = change(&|lines| drop(lines.drain(..2)));
        assert_found(&beginning, anchors, &[("removed", 3)]);
        assert_found(&[], anchors, &[("cut", 1)]);
    }

    #[test]
    fn a_line_with_a_hash_that_fits_gives_itself_away_by_the_next() {
        let (mut lines, anchors) = log(20);
        let read = Line::read(&lines[5]).unwrap();
        let forged: Object = serde_json::from_str(r#"{"time":"2026-11-02T13:59:06Z","event":"open","uid":9}"#).unwrap();
        let (mut line, _) = sealed(&forged, &read.head, false, [0; SALT_BYTES]);
        line.pop();
        lines[6] = line.clone();
        assert_found(&lines, anchors, &[("changed", 8)]);
        let (mut lines, anchors) = log(20);
        lines.insert(6, line);
        assert_found(&lines, anchors, &[("inserted", 7), ("changed", 8)]);
    }

    #[test]
    fn a_log_that_was_rewritten_as_a_whole_is_not_the_one_that_is_known() {
        let (_, anchors) = log(20);
        let (mut lines, mut head) = (Vec::new(), Head::default());
        for number in 0..20 {
            let fields: Object = serde_json::from_str(r#"{"time":"2026-11-02T13:59:06Z","event":"open"}"#).unwrap();
            let (mut line, next) = sealed(&fields, &head, number == 0, [0; SALT_BYTES]);
            line.pop();
            lines.push(line);
            head = next;
        }
        assert_found(&lines, anchors, &[("rewritten", 20)]);
        let known = checkpoint(&format!("20:{}", anchors.head.hash)).unwrap();
        let mut verifier = Verifier::new(Some(Anchors { head, ..anchors }), vec![known]);
        for line in &lines {
            verifier.line(line, "x");
        }
        assert_eq!(verifier.finish("x").findings[0].kind, "rewritten");
    }

    #[test]
    fn erased_is_not_changed_and_lines_behind_the_head_are_counted() {
        let (mut lines, mut anchors) = log(20);
        lines[6] = Line::read(&lines[6]).unwrap().erased().unwrap();
        let read = Line::read(&lines[16]).unwrap();
        anchors.head = read.head;
        let verdict = verdict(&lines, anchors);
        assert!(verdict.is_sound(), "{verdict:?}");
        assert_eq!((verdict.erased, verdict.beyond_head), (1, 3));
    }

    #[test]
    fn without_a_database_the_end_is_in_doubt() {
        let (lines, _) = log(3);
        let mut verifier = Verifier::new(None, Vec::new());
        for line in &lines {
            verifier.line(line, "x");
        }
        assert!(!verifier.finish("x").is_sound());
        assert!(Verifier::new(None, Vec::new()).finish("x").is_sound(), "there is nothing");
    }
}
