//! `cxonefs cache purge`: nothing of an erased contact is in any file of ours, and nothing else changed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cxonefs::sim::{Endpoint, Fault, Shares, SimSettings};
use memchr::memmem;
use serde_json::Value;

use crate::harness::{Done, Drive, Place, cxonefs, eventually, plain};

/// Bytes of a recording that are looked for.
const SAMPLE: usize = 48;

fn purge(drive: &Drive, words: &[&str]) -> Done {
    cxonefs(&drive.sandbox.home()).args(["cache", "purge"]).args(words).arg(drive.path()).run()
}

/// Every second call is transferred, so that it stands in two folders.
fn transferred() -> SimSettings {
    SimSettings { shares: Shares { transferred: 500, ..Shares::plain() }, ..plain(3, 4) }
}

fn read_everything(drive: &Drive) {
    for place in &drive.tree.places {
        for name in ["contact.json", "metadata.json", "recording.mp4"] {
            std::fs::read(drive.at(&place.path).join(name)).unwrap();
        }
    }
}

/// What tells of an interaction in a file: its numbers as text and as SQLite stores them, what its metadata says and no other's does, and
/// bytes of its recording.
fn marks(drive: &Drive, master: i64) -> Vec<Vec<u8>> {
    let places: Vec<&Place> = drive.tree.places.iter().filter(|place| place.master == master).collect();
    let ids: BTreeSet<i64> = places.iter().flat_map(|place| place.contacts.iter().copied()).chain([master]).collect();
    let mut marks: Vec<Vec<u8>> = ids.iter().map(|id| id.to_string().into_bytes()).collect();
    marks.push(master.to_be_bytes()[2..].to_vec());
    let folder = drive.at(&places[0].path);
    let others = drive.tree.places.iter().filter(|place| place.master != master);
    let others: BTreeSet<String> = others.flat_map(|place| metadata_words(&drive.at(&place.path))).collect();
    let own: Vec<String> = metadata_words(&folder).difference(&others).cloned().collect();
    assert!(own.len() > 3, "its metadata says something of its own: {own:?}");
    marks.extend(own.into_iter().map(String::into_bytes));
    marks.push(sample(&folder));
    marks
}

fn metadata_words(folder: &Path) -> BTreeSet<String> {
    words(&serde_json::from_slice(&std::fs::read(folder.join("metadata.json")).unwrap()).unwrap())
}

/// Bytes from the middle of a recording.
fn sample(folder: &Path) -> Vec<u8> {
    let bytes = std::fs::read(folder.join("recording.mp4")).unwrap();
    bytes[bytes.len() / 2..][..SAMPLE].to_vec()
}

/// Texts of a document that are long enough to be somebody's.
fn words(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(object) => object.values().flat_map(words).collect(),
        Value::Array(array) => array.iter().flat_map(words).collect(),
        Value::String(text) if text.len() >= 8 => BTreeSet::from([text.clone()]),
        _ => BTreeSet::new(),
    }
}

/// Which marks are in which files of state and cache.
fn traces(drive: &Drive, marks: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for dir in [drive.sandbox.state(), drive.sandbox.cache()] {
        for entry in
            walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file())
        {
            let bytes = std::fs::read(entry.path()).unwrap();
            let there = marks.iter().filter(|mark| memmem::find(&bytes, mark).is_some());
            found.extend(there.map(|mark| format!("{} in {}", mark.escape_ascii(), entry.path().display())));
        }
    }
    found
}

/// Path, inode number, and of a file size and time.
type Seen = (PathBuf, u64, Option<(u64, i64)>);

/// Names, numbers, sizes and times of everything but one interaction, and of directories only their numbers: theirs change by listing less.
fn others(drive: &Drive, master: i64) -> BTreeSet<Seen> {
    let master = master.to_string();
    let entries = walkdir::WalkDir::new(drive.path()).min_depth(2).into_iter().map(Result::unwrap);
    let entries = entries.filter(|entry| !entry.path().to_string_lossy().contains(&master));
    let entries = entries.map(|entry| (entry.metadata().unwrap(), entry.into_path()));
    entries
        .map(|(metadata, path)| (path, metadata.ino(), metadata.is_file().then(|| (metadata.len(), metadata.mtime()))))
        .collect()
}

fn ledger(drive: &Drive) -> Vec<Value> {
    let done = cxonefs(&drive.sandbox.home()).args(["ledger", "--json", "--state-dir"]).arg(drive.sandbox.state()).ok();
    done.lines().into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_contact_is_erased_from_every_file_and_from_the_tree_and_nothing_else_is() {
    let mut drive = Drive::of(transferred());
    let twice = |place: &&Place| drive.tree.places.iter().filter(|other| other.master == place.master).count() == 2;
    let victim = drive.tree.places.iter().find(twice).expect("a transferred call").clone();
    // A leg's number leads to the interaction too.
    let leg = *drive
        .tree
        .places
        .iter()
        .filter(|place| place.master == victim.master)
        .flat_map(|place| &place.contacts)
        .max()
        .unwrap();
    assert_ne!(leg, victim.master);
    let opened_before = File::open(drive.at(&victim.path).join("recording.mp4")).unwrap();
    read_everything(&drive);
    let log = drive.sandbox.state().join("cxonefs.log");
    std::fs::write(&log, format!("WARN reading failed path={}\nINFO something else\n", victim.path.display())).unwrap();
    let marks = marks(&drive, victim.master);
    let before = traces(&drive, &marks);
    for file in ["cxonefs.db", "audit.log", "cxonefs.log", ".data"] {
        assert!(before.iter().any(|trace| trace.contains(file)), "what is looked for is in {file}: {before:#?}");
    }
    let (rest, rows) = (others(&drive, victim.master), ledger(&drive));

    let would = purge(&drive, &["--contact", &leg.to_string(), "--dry-run", "--json"]);
    let would: Value = serde_json::from_str(&would.stdout).unwrap();
    assert_eq!(
        (would["interactions"].as_u64(), would["folders"].as_u64(), would["recordings"].as_u64()),
        (Some(1), Some(2), Some(1))
    );
    assert_eq!(traces(&drive, &marks).len(), before.len(), "a dry run changes nothing");
    let refused = purge(&drive, &["--contact", &leg.to_string()]);
    assert_eq!(refused.code(), 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("--yes") && traces(&drive, &marks).len() == before.len());

    let done = purge(&drive, &["--contact", &leg.to_string(), "--yes"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(
        done.stdout.starts_with("erased: ") && done.stdout.contains("1 interactions, 2 folders"),
        "{}",
        done.stdout
    );
    assert_eq!(traces(&drive, &marks), Vec::<String>::new());
    // Gone by name at once, and from the listings.
    for place in drive.tree.places.iter().filter(|place| place.master == victim.master) {
        let refused = std::fs::metadata(drive.at(&place.path)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{}", place.path.display());
        let agent = drive.at(place.path.parent().unwrap());
        eventually("it is in no listing", Duration::from_secs(5), || {
            let names = std::fs::read_dir(&agent)
                .map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
            names.is_ok_and(|names| !names.contains(&drive.at(&place.path)))
        });
    }
    // Whoever had it open gets nothing more of it than what the kernel keeps in memory, which is dropped here.
    rustix::fs::fadvise(&opened_before, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let refused = opened_before.read_at(&mut [0; 16], 100).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ESTALE), "{refused}");
    assert_eq!(others(&drive, victim.master), rest);
    let forgotten: Vec<Value> = ledger(&drive).into_iter().filter(|row| row["program"] == "(erased)").collect();
    assert_eq!((ledger(&drive).len(), forgotten.len()), (rows.len(), 1));
    let audit = std::fs::read_to_string(drive.sandbox.state().join("audit.log")).unwrap();
    assert!(audit.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{audit}");
    assert!(audit.lines().any(|line| line.contains("\"path\":null")));

    // It does not come back, from us or from the tenant.
    drive.mount.remount();
    assert!(std::fs::metadata(drive.at(&victim.path)).is_err());
    assert_eq!(traces(&drive, &marks), Vec::<String>::new());
    let calls = drive.counters().playback_calls;
    let day = victim.path.iter().next().unwrap();
    cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.path()).arg(day).ok();
    assert!(!drive.at(&victim.path).exists());
    assert_eq!(drive.counters().playback_calls, calls);
    assert_eq!(traces(&drive, &marks), Vec::<String>::new());
}

#[test]
fn a_contact_is_erased_without_a_mount_and_again_without_harm() {
    erased_without_a_mount(false);
}

#[test]
fn a_contact_is_erased_from_what_is_encrypted() {
    erased_without_a_mount(true);
}

fn data_files(drive: &Drive) -> usize {
    let files = walkdir::WalkDir::new(drive.sandbox.cache()).into_iter().map(Result::unwrap);
    files.filter(|entry| entry.path().extension().is_some_and(|ending| ending == "data")).count()
}

fn erased_without_a_mount(is_encrypted: bool) {
    let mut drive = Drive::encrypted(is_encrypted, plain(1, 3), &[]);
    read_everything(&drive);
    let victim = drive.tree.places[0].master;
    let marks = marks(&drive, victim);
    drive.mount.terminate();
    let cached = data_files(&drive);
    let erase = || {
        let tool = cxonefs(&drive.sandbox.home()).args([
            "cache",
            "purge",
            "--yes",
            "--json",
            "--contact",
            &victim.to_string(),
        ]);
        let done = tool.arg("--config").arg(drive.sandbox.config()).run();
        (done.code(), serde_json::from_str::<Value>(&done.stdout).unwrap())
    };
    let (code, erased) = erase();
    assert_eq!(code, 0);
    assert_eq!((erased["interactions"].as_u64(), erased["recordings"].as_u64()), (Some(1), Some(1)), "{erased}");
    assert_eq!(traces(&drive, &marks), Vec::<String>::new());
    assert_eq!(data_files(&drive), cached - 1);
    let (code, again) = erase();
    assert_eq!((code, &again["interactions"], &again["erased_before"][0]["contact"]), (1, &0.into(), &victim.into()));
}

/// Certificates that are kept, and those of erasures that did not end.
fn certificates(drive: &Drive) -> (Vec<Value>, usize) {
    let folder = drive.sandbox.state().join("certificates");
    let paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    let is = |path: &&PathBuf, ending: &str| path.extension().is_some_and(|found| found == ending);
    let whole = paths.iter().filter(|path| is(path, "json"));
    let whole = whole.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect();
    (whole, paths.iter().filter(|path| is(path, "unfinished")).count())
}

/// Killed at whatever point, and asked for again, it ends, and certifies what went before, too.
#[test]
fn an_erasure_that_was_killed_ends_with_its_certificate_when_it_is_repeated() {
    let mut drive = Drive::of(plain(1, 7));
    read_everything(&drive);
    let folders: Vec<PathBuf> = drive.tree.places.iter().map(|place| drive.at(&place.path)).collect();
    let samples: Vec<Vec<u8>> = folders.iter().map(|folder| sample(folder)).collect();
    let words = |master: i64| -> Vec<String> {
        let words = ["cache", "purge", "--yes", "--json", "--reason", "request", "--contact"];
        words.into_iter().map(str::to_owned).chain([master.to_string()]).collect()
    };
    let masters: Vec<i64> = drive.tree.places.iter().map(|place| place.master).collect();
    for (index, master) in masters.iter().enumerate() {
        let is_mounted = index == 0;
        let tool = cxonefs(&drive.sandbox.home()).args(words(*master));
        let tool = if is_mounted { tool.arg(drive.path()) } else { tool.arg("--config").arg(drive.sandbox.config()) };
        let mut running = tool.start();
        // Before its note stands, an erasure flushes the disk some six times (database, audit log, note, folder), each time behind whatever else is
        // being written on this machine.
        eventually("it has begun, or ended", Duration::from_mins(3), || {
            let (whole, unfinished) = certificates(&drive);
            let status = running.0.try_wait().unwrap();
            assert!(status.is_none_or(|status| status.success()), "{index}: {status:?}, {unfinished} of {whole:?}");
            unfinished > 0 || whole.len() > index
        });
        std::thread::sleep(Duration::from_millis([0, 0, 3, 8, 15, 30, 60][index]));
        if is_mounted {
            drive.mount.kill_nine();
        }
        drop(running);
        let was_begun = certificates(&drive).1 > 0;
        if is_mounted {
            drive.mount.start_again();
            assert_eq!(was_begun, drive.mount.stderr().contains("did not end"), "{}", drive.mount.stderr());
        }
        let again = cxonefs(&drive.sandbox.home()).args(words(*master));
        let again =
            if is_mounted { again.arg(drive.path()) } else { again.arg("--config").arg(drive.sandbox.config()) };
        let again = again.run();
        assert_eq!(again.code(), i32::from(!was_begun), "{}{}", again.stdout, again.stderr);
        let (whole, unfinished) = certificates(&drive);
        assert_eq!((whole.len(), unfinished), (index + 1, 0));
        for certificate in &whole {
            let erased = &certificate["erased"];
            assert!(
                erased["interactions"] == 1 && erased["recordings"] == 1 && erased["folders"] == 1,
                "{certificate}"
            );
            assert!(erased["documents"].as_u64().unwrap() >= 1 && certificate["reason"] == "request", "{certificate}");
            assert!(certificate["finished_at"].as_str().unwrap() >= certificate["begun_at"].as_str().unwrap());
        }
        if is_mounted {
            drive.mount.terminate();
        }
    }
    let all: Vec<Vec<u8>> = masters.iter().map(|master| master.to_string().into_bytes()).chain(samples).collect();
    assert_eq!(traces(&drive, &all), Vec::<String>::new());
}

/// A request for some of its contacts does not end an erasure that was killed: nothing would say what is left of the others.
#[test]
fn only_a_request_for_all_of_its_contacts_ends_an_erasure_that_was_killed() {
    let mut drive = Drive::of(plain(1, 3));
    let id = drive.tree.places[0].master.to_string();
    std::fs::read(drive.at(&drive.tree.places[0].path).join("contact.json")).unwrap();
    drive.mount.terminate();
    let config = drive.sandbox.config();
    let purge_again = || {
        let words = ["cache", "purge", "--yes", "--json", "--contact", &id, "--config"];
        cxonefs(&drive.sandbox.home()).args(words).arg(&config).run()
    };
    assert_eq!(purge_again().code(), 0);
    let (whole, _) = certificates(&drive);
    let note = |further: Option<&str>| {
        let mut begun = whole[0].clone();
        let requested = begun["requested"].as_array_mut().unwrap();
        requested.extend(further.map(Value::from));
        let name = format!("{}.unfinished", begun["certificate"].as_str().unwrap());
        std::fs::write(drive.sandbox.state().join("certificates").join(name), begun.to_string()).unwrap();
    };
    note(Some("00112233445566778899aabbccddeeff"));
    assert_eq!((purge_again().code(), certificates(&drive).1), (1, 1));
    note(None);
    assert_eq!((purge_again().code(), certificates(&drive).1), (0, 0));
    assert_eq!(certificates(&drive).0[0]["erased"], whole[0]["erased"]);
}

#[test]
fn bytes_of_all_recordings_go_and_nothing_is_paid_again() {
    let drive = Drive::of(plain(1, 4));
    read_everything(&drive);
    let (rest, calls) = (others(&drive, 0), drive.counters().playback_calls);
    let done = purge(&drive, &["--yes"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let data = walkdir::WalkDir::new(drive.sandbox.cache()).into_iter().map(Result::unwrap);
    assert_eq!(data.filter(|entry| entry.path().extension().is_some()).count(), 0);
    assert_eq!(others(&drive, 0), rest);
    read_everything(&drive);
    assert_eq!(drive.counters().playback_calls, calls);
}

#[test]
fn everything_about_everybody_can_be_erased_under_a_mount_that_goes_on() {
    let drive = Drive::of(transferred());
    // The last one is refused for a reason that may be the role's.
    let refused = drive.tree.places.last().unwrap().master;
    for place in drive.tree.places.iter().filter(|place| place.master != refused) {
        for name in ["contact.json", "metadata.json", "recording.mp4"] {
            std::fs::read(drive.at(&place.path).join(name)).unwrap();
        }
    }
    let paid = drive.counters().playback_calls;
    drive.tenant.fail(Endpoint::Playback, Fault::Status { status: 403, retry_after_s: None });
    std::fs::read(drive.at(&drive.tree.places.last().unwrap().path).join("metadata.json")).unwrap_err();
    drive.tenant.heal();
    let ids = drive.tree.interactions.keys().map(|master| master.to_string().into_bytes());
    let read = drive.tree.places.iter().filter(|place| place.master != refused);
    let samples = read.map(|place| sample(&drive.at(&place.path)));
    let all: Vec<Vec<u8>> = ids.chain(samples).chain([b"voice-only".to_vec(), b"AGENT".to_vec()]).collect();
    assert!(!traces(&drive, &all).is_empty());
    let calls = drive.counters().playback_calls;
    let done = purge(&drive, &["--all", "--yes"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(traces(&drive, &all), Vec::<String>::new());
    let rows = ledger(&drive);
    assert!(rows.iter().all(|row| row["program"] == "(erased)" && row["interaction"].is_null()), "{rows:?}");
    // Looked at, it is listed anew; opened, it is paid for again.
    eventually("the tree is there again", Duration::from_secs(10), || {
        drive.tree.places.iter().all(|place| drive.at(&place.path).join("contact.json").exists())
    });
    read_everything(&drive);
    assert_eq!(drive.counters().playback_calls, calls + paid + 1);
}

/// The open has its link, and waits for the first byte; the erasure finds nothing of the recording yet.
#[test]
fn an_open_that_is_under_way_brings_nothing_back() {
    let drive = Drive::of(plain(1, 2));
    let victim = drive.tree.places[0].clone();
    drive.tenant.switch(|switches| switches.latency_ms.extend([(Endpoint::Media, 2000)]));
    let file = drive.at(&victim.path).join("recording.mp4");
    let opening = std::thread::spawn(move || std::fs::read(file));
    eventually("the media host is asked", Duration::from_secs(20), || drive.counters().media_requests > 0);
    let done = purge(&drive, &["--contact", &victim.master.to_string(), "--yes"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    opening.join().unwrap().unwrap_err();
    assert_eq!(data_files(&drive), 0);
    assert_eq!(traces(&drive, &[victim.master.to_string().into_bytes()]), Vec::<String>::new());
    drive.tenant.switch(|switches| switches.latency_ms.clear());
    std::fs::read(drive.at(&drive.tree.places[1].path).join("recording.mp4")).unwrap();
    assert_eq!(data_files(&drive), 1);
}
