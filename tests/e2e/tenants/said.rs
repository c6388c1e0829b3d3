//! What a tenant refuses is said each in a line of its own with what to do, in the attribute `reason` where there is a file, and in a row of
//! `docs/TROUBLESHOOTING.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Answer, Case, CaseDrive, List, Mount, eventually, xattr};

const MASTER: u64 = 701_000_000_001;
const SOON: Duration = Duration::from_secs(20);

/// Something that goes wrong.
struct Said {
    case: Case,
    /// Words of the line in the log.
    line: &'static str,
    /// Words of its remedy.
    remedy: &'static str,
    /// Words of the attribute `reason`; none where there is no file.
    reason: Option<&'static str>,
    /// Words of the row in the document.
    row: &'static str,
}

fn with_list(list: List) -> Case {
    Case { list, ..Case::named("D403") }
}

fn all() -> Vec<Said> {
    let mut large = Case::named("D403");
    large.records[0].insert("dispositionNotes".into(), json!("x".repeat(9 << 20)));
    let mut busy = Case::named("U2");
    let refused = |status: u16, body: Value| Answer { status: Some(status), body: Some(body), ..Answer::default() };
    busy.playback.insert("*".into(), refused(429, json!({"message": "API rate limit exceeded"})).into());
    vec![
        Said {
            case: Case::named("G403"),
            line: "state=\"archived\"",
            remedy: "restored from the archive",
            reason: Some("in an archive"),
            row: "`archived`",
        },
        Said {
            case: Case::named("D202"),
            line: "state=\"restoring\"",
            remedy: "wait until CXone has restored it",
            reason: Some("being restored"),
            row: "`restoring`",
        },
        Said {
            case: Case::named("D403"),
            line: "Playback is locked",
            remedy: "unlock the interaction in CXone",
            reason: Some("locked"),
            row: "Playback is locked",
        },
        Said {
            case: large,
            line: "a page of a listing is larger than is taken however few contacts are asked for",
            remedy: "report it to NICE",
            reason: None,
            row: "a page of a listing is larger than is taken however few contacts are asked for",
        },
        Said {
            case: with_list(List { window_max_hours: Some(0.1), ..List::default() }),
            line: "the tenant refuses a listing however short its window is",
            remedy: "tenant.reporting_version",
            reason: None,
            row: "the tenant refuses a listing however short its window is",
        },
        Said {
            case: busy,
            line: "another program of the tenant spends it",
            remedy: "lower limits.playback_requests",
            reason: None,
            row: "another program of the tenant spends it",
        },
    ]
}

/// How many names a folder has.
fn list(folder: &Path) -> std::io::Result<usize> {
    fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>().map(|names| names.len())
}

fn document() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/TROUBLESHOOTING.md");
    fs::read_to_string(path).unwrap()
}

#[track_caller]
fn assert_row(words: &str) {
    let has_row = document().lines().any(|line| line.starts_with('|') && line.contains(words));
    assert!(has_row, "no row of the document has {words:?}");
}

#[test]
fn each_refusal_has_a_line_a_reason_a_remedy_and_a_row() {
    for said in all() {
        let drive = CaseDrive::of(said.case, &["--set", "limits.deadline=4s", "--set", "limits.patience=2s"]);
        if list(&drive.at("2026-11-02")).is_ok() {
            let recording = drive.folder(MASTER).join("recording.mp4");
            fs::read(&recording).unwrap_err();
            if let Some(reason) = said.reason {
                let told = xattr(&recording, "user.cxone.reason").unwrap_or_default();
                assert!(told.contains(reason), "{told:?} does not say {reason:?}");
            }
        }
        let has_line = |log: &str| log.lines().any(|line| line.contains(said.line) && line.contains(said.remedy));
        eventually(said.line, SOON, || has_line(&drive.mount.stderr()));
        assert_row(said.row);
    }
}

/// The seventh.
#[test]
fn an_expired_key_has_a_line_a_remedy_and_a_row() {
    let (_tenant, sandbox) = CaseDrive::unmounted(Case::named("T3"));
    let ended = Mount::attempt(&sandbox, &[]).err().expect("it cannot be mounted");
    assert!(
        ended.said.contains("Access key is expired") && ended.said.contains("that the key is active"),
        "{}",
        ended.said
    );
    assert_row("Access key is expired");
}

#[test]
fn a_listing_that_is_slow_ends_at_the_deadline_and_known_days_are_shown_at_once() {
    let drive = CaseDrive::of(Case::named("D403"), &["--set", "limits.deadline=2s"]);
    let known = list(&drive.at("2026-11-02")).unwrap();
    drive.tenant.change(|case| case.list.latency = 600.0);
    let begun = std::time::Instant::now();
    let error = list(&drive.at("2026-11-01")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    let line = "listing 2026-11-01 takes longer than 2 s (limits.deadline)";
    assert!(drive.mount.stderr().contains(line), "{}", drive.mount.stderr());
    assert_row("(limits.deadline); it goes on");
    let begun = std::time::Instant::now();
    assert_eq!(list(&drive.at("2026-11-02")).unwrap(), known);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}
