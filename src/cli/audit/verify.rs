//! `cxonefs audit verify`: the proof, in words or as JSON.

use std::fmt::Write as _;

use super::args::VerifyArgs;
use super::find;
use super::print::print;
use crate::base::complain;
use crate::base::failure::{Failure, chain};
use crate::catalog::read_audit_chain;
use crate::daemon::audit::anchors;
use crate::ops::audit::line::Hash;
use crate::ops::audit::text::shown;
use crate::ops::audit::{Head, Verdict, read};

/// Bytes of one finding on a terminal.
const SHOWN_MAX: usize = 400;

/// Exit code 1 where anything is not as it was written.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let found = find::find(&args.place)?;
    let live = found.head()?;
    let known = match read_audit_chain(&found.dir) {
        Ok(ends) => ends.map(|ends| anchors(&ends)),
        Err(error) => {
            complain(format_args!(
                "cxonefs: the state database cannot be read, so the log's ends cannot be proven: {}",
                chain(&error)
            ));
            None
        }
    };
    // What the mount has in memory is newer than what it has noted.
    let newer = live.as_ref().and_then(|head| Some(Head { number: head.number, hash: Hash::parse(&head.hash)? }));
    let known = known.map(|mut known| {
        known.head = newer.unwrap_or(known.head);
        known
    });
    let doing = || format!("reading the audit log in {}", found.dir.display());
    let verdict = read::verify(&found.dir, known, args.checkpoint.clone(), live.is_some())
        .map_err(|error| Failure::failed(error).while_doing(doing()))?;
    let text = if args.json {
        serde_json::to_string_pretty(&verdict).map_err(Failure::failed)? + "\n"
    } else {
        words(&verdict, &found.dir.display().to_string())
    };
    print(|output| output.write_all(text.as_bytes()))?;
    if verdict.is_sound() {
        return Ok(());
    }
    let count = verdict.findings.len() as u64 + verdict.more_findings;
    Err(Failure::failed(format!("the audit log is not as it was written: {count} findings"))
        .remedy("keep a copy of the state directory as it is, and compare with what was exported or backed up"))
}

fn words(verdict: &Verdict, dir: &str) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut say = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    let span = match (&verdict.since, &verdict.until) {
        (Some(since), Some(until)) => format!(", {} to {}", shown(since, 40), shown(until, 40)),
        _ => String::new(),
    };
    say(format!("{}: {} lines in {} files{span}", shown(dir, SHOWN_MAX), verdict.lines, verdict.files));
    for finding in &verdict.findings {
        let lines = match (finding.number, finding.to) {
            (Some(from), Some(to)) => format!("lines {from} to {to}"),
            (Some(number), None) => format!("line {number}"),
            _ => String::from("a line"),
        };
        say(format!("{}: {lines} ({}): {}", finding.kind, shown(&finding.place, 80), shown(&finding.what, SHOWN_MAX)));
    }
    if verdict.more_findings > 0 {
        say(format!("and {} more findings", verdict.more_findings));
    }
    if verdict.is_sound() {
        say(String::from("sound: every line is there, in order, and as it was written"));
    }
    if verdict.erased > 0 {
        say(format!(
            "erased: {} lines have lost path and contact on purpose; who, when and what came of it stay",
            verdict.erased
        ));
    }
    if verdict.lost > 0 {
        say(format!("lost: {} events could not be written; lines \"lost\" say when", verdict.lost));
    }
    if verdict.beyond_head > 0 {
        let count = verdict.beyond_head;
        say(format!(
            "{count} lines at the end are newer than what the state database knows: lines cut off behind them would not show"
        ));
    }
    if verdict.unchained_files > 0 {
        say(format!("{} files of an older version have no chain and prove nothing", verdict.unchained_files));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::audit::verify::Verifier;

    #[test]
    fn a_verdict_is_said_in_words() {
        let sound = words(&Verdict { lines: 7, files: 1, erased: 2, ..Verdict::default() }, "/state");
        assert!(
            sound.starts_with("/state: 7 lines in 1 files\nsound: ") && sound.contains("erased: 2 lines"),
            "{sound}"
        );
        let mut verifier = Verifier::new(None, Vec::new());
        verifier.line(b"\x1b[2Jnothing", "audit.log:1");
        let text = words(&verifier.finish("audit.log"), "/state\x1b");
        assert!(
            text.contains("changed: a line (audit.log:1)") && !text.contains('\x1b') && !text.contains("sound"),
            "{text}"
        );
    }
}
