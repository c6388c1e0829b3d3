//! One interaction that always fails, or a limit that another program spends, takes nothing from the others.

use std::fs;
use std::time::Duration;

use crate::harness::{Answer, Answers, Case, CaseDrive, Kind, assert_same_bytes, eventually, tool};

/// Archives the whole day as a backup does, and counts the recordings that came out whole.
fn archived(drive: &CaseDrive) -> usize {
    let out = drive.sandbox.dir("out");
    let made = tool("rsync")
        .args(["-a", "--no-perms"])
        .arg(drive.at("2026-11-02"))
        .arg(&out)
        .within(Duration::from_secs(200))
        .run();
    let whole = walkdir::WalkDir::new(&out).into_iter().map(Result::unwrap).filter(|entry| {
        let name = entry.file_name().to_string_lossy();
        let is_recording = name.ends_with(".mp4");
        if is_recording {
            let folder = entry.path().parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
            let master = folder.rsplit('_').next().unwrap();
            let expected = drive.tenant.bytes(&format!("{master}.mp4"), 0);
            assert_same_bytes(&fs::read(entry.path()).unwrap(), &expected, entry.path());
        }
        is_recording
    });
    let whole = whole.count();
    assert_ne!(made.code(), 0, "what is missing must be reported");
    whole
}

#[test]
fn one_that_always_fails_costs_the_others_nothing() {
    // Its recording and its document, each opened: asked for by every open, it is the service that would seem to be down.
    for flags in [&[][..], &["--profile", "backup"]] {
        let drive = CaseDrive::of(Case::named("E500-one"), flags);
        assert_eq!(archived(&drive), 39, "{flags:?}");
        let calls = drive.tenant.calls_for(701_000_000_005);
        assert!((1..=3).contains(&calls), "{calls} calls for the one that fails, {flags:?}");
        assert_eq!(drive.tenant.count(Kind::Playback) - calls, 39, "{flags:?}");
    }
}

#[test]
fn so_do_several_that_follow_each_other() {
    let mut case = Case::named("E500-one");
    let failing = case.playback["701000000005"].clone();
    for master in 701_000_000_006..=701_000_000_008_u64 {
        case.playback.insert(master.to_string(), failing.clone());
    }
    let drive = CaseDrive::of(case, &["--profile", "backup"]);
    assert_eq!(archived(&drive), 36);
}

/// "Limit Exceeded" under 403 is the gateway's throttling: the open waits and gets its recording, and nothing is refused.
#[test]
fn limit_exceeded_is_throttling() {
    let drive = CaseDrive::named("U2");
    let path = drive.folder(701_000_000_001).join("recording.mp4");
    let read = std::thread::scope(|scope| scope.spawn(|| fs::read(&path)).join().unwrap()).unwrap();
    assert_same_bytes(&read, &drive.tenant.bytes("701000000001.mp4", 0), &path);
    assert_eq!(drive.tenant.count(Kind::Playback), 3);
}

/// A `Retry-After` that asks for nothing, or for a time that has passed, does not cancel our own pause.
#[test]
fn a_retry_after_that_says_nothing_does_not_make_us_hurry() {
    for value in ["0", "Mon, 02 Nov 2020 08:00:00 GMT"] {
        let mut case = Case::named("U2");
        let Some(Answers::InTurn(answers)) = case.playback.get_mut("*") else { panic!("answers in turn") };
        for answer in answers.iter_mut().take(2) {
            answer.status = Some(429);
            answer.headers.insert("Retry-After".into(), value.into());
        }
        let drive = CaseDrive::of(case, &[]);
        let path = drive.folder(701_000_000_001).join("recording.mp4");
        assert_same_bytes(&fs::read(&path).unwrap(), &drive.tenant.bytes("701000000001.mp4", 0), &path);
        let calls: Vec<Duration> =
            drive.tenant.seen().iter().filter(|seen| seen.kind == Kind::Playback).map(|seen| seen.at).collect();
        assert_eq!(calls.len(), 3, "Retry-After: {value}");
        let pauses: Vec<Duration> = calls.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        assert!(pauses.iter().all(|pause| *pause >= Duration::from_millis(400)), "Retry-After: {value}: {pauses:?}");
    }
}

/// A call that takes longer than anybody waits goes on, and its answer is kept.
#[test]
fn a_call_that_is_slower_than_the_deadline_is_made_once_and_kept() {
    let mut case = Case::named("G403");
    case.media.clear();
    let Answers::Always(answer) = case.playback["*"].clone() else { panic!("one answer") };
    case.playback.insert("*".into(), Answer { latency: 3.0, ..*answer }.into());
    let drive = CaseDrive::of(case, &["--set", "limits.deadline=2s"]);
    let path = drive.folder(701_000_000_001).join("recording.mp4");
    assert_eq!(fs::read(&path).unwrap_err().raw_os_error(), Some(libc::ETIMEDOUT));
    eventually("its answer is kept", Duration::from_secs(20), || fs::read(&path).is_ok());
    assert_same_bytes(&fs::read(&path).unwrap(), &drive.tenant.bytes("701000000001.mp4", 0), &path);
    assert_eq!(drive.tenant.count(Kind::Playback), 1);
}

/// The same with a page of a listing.
#[test]
fn a_page_that_is_slower_than_the_deadline_lists_in_the_end() {
    let mut case = Case::named("G403");
    case.list.latency = 3.0;
    let drive = CaseDrive::of(case, &["--set", "limits.deadline=2s"]);
    let list = || fs::read_dir(drive.at("2026-11-02"))?.collect::<Result<Vec<_>, _>>();
    assert_eq!(list().unwrap_err().raw_os_error(), Some(libc::ETIMEDOUT));
    eventually("the day lists", Duration::from_secs(30), || list().is_ok_and(|names| names.len() == 1));
}
