//! After an erasure nobody names the contact again: not the log, while a reader still has a file of it open; not `status` or the ledger; not a
//! later listing; not the daemon's memory.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::time::Duration;

use cxonefs::sim::{Endpoint, Fault};
use memchr::memmem;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Done, Drive, Place, cxonefs, daemons_of, eventually, plain, wait_for};

fn purge(drive: &Drive, words: &[&str]) -> Done {
    cxonefs(&drive.sandbox.home()).args(["cache", "purge"]).args(words).arg(drive.path()).run()
}

/// Everything of the first agent: then nobody else has the agent's name.
struct Victims {
    places: Vec<Place>,
    agent_folder: String,
    /// What names them.
    names: BTreeSet<String>,
}

fn victims(drive: &Drive) -> Victims {
    let agent_folder = drive.tree.places[0].path.iter().nth(1).unwrap().to_str().unwrap().to_owned();
    let of_agent = |place: &&Place| place.path.iter().nth(1).unwrap().to_str() == Some(&agent_folder);
    let places: Vec<Place> = drive.tree.places.iter().filter(of_agent).cloned().collect();
    let numbers = places.iter().flat_map(|place| place.contacts.iter().chain([&place.master]));
    let names = numbers.map(ToString::to_string).chain([agent_folder.clone()]).collect();
    Victims { places, agent_folder, names }
}

fn ids(victims: &Victims) -> Vec<String> {
    let masters: BTreeSet<i64> = victims.places.iter().map(|place| place.master).collect();
    masters.into_iter().flat_map(|master| [String::from("--contact"), master.to_string()]).collect()
}

fn found<'a>(text: &[u8], names: &'a BTreeSet<String>) -> Vec<&'a String> {
    names.iter().filter(|name| memmem::find(text, name.as_bytes()).is_some()).collect()
}

/// What stands in the daemon's memory, and where.
fn in_memory(drive: &Drive, names: &BTreeSet<String>) -> Vec<String> {
    let pid = daemons_of(&drive.sandbox)[0].as_raw_nonzero();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut traces = Vec::new();
    for map in maps.lines() {
        let mut words = map.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let what = words.nth(3).unwrap_or("anonymous").to_owned();
        if !rights.starts_with("rw") || what == "[vvar]" {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        for name in names {
            for at in memmem::find_iter(&bytes, name.as_bytes()) {
                let from = at.saturating_sub(48);
                let around = &bytes[from..(at + name.len() + 32).min(bytes.len())];
                traces.push(format!(
                    "{name} at {:x} in {what} ({range}): {}",
                    start + at as u64,
                    around.escape_ascii()
                ));
            }
        }
    }
    traces
}

#[test]
fn a_reader_who_goes_on_brings_no_name_back() {
    let drive = Drive::with(plain(3, 4), &["--set", "cache.whole_file_below=0B", "--set", "mount.passthrough=false"]);
    let victims = victims(&drive);
    let file = drive.at(&victims.places[0].path).join("recording.mp4");
    // A slow request, which `status` remembers, and failing reads, which are logged.
    drive.tenant.switch(|switches| switches.latency_ms.extend([(Endpoint::Media, 300)]));
    let open = File::open(&file).unwrap();
    for place in &victims.places {
        std::fs::read(drive.at(&place.path).join("contact.json")).unwrap();
        std::fs::read(drive.at(&place.path).join("metadata.json")).unwrap();
    }
    drive.tenant.fail(Endpoint::Media, Fault::Status { status: 400, retry_after_s: None });
    open.read_at(&mut [0; 16], 100_000).unwrap_err();
    drive.tenant.heal();
    let slowest = drive.mount.status()["slowest"].clone();
    assert!(slowest.to_string().contains(&victims.places[0].master.to_string()), "{slowest}");
    // Agents' names are in neither, also before.
    let said = drive.mount.stderr();
    assert!(said.contains("failed") && !said.contains(&victims.agent_folder), "{said}");
    assert!(!slowest.to_string().contains(&victims.agent_folder), "{slowest}");

    let before = drive.mount.stderr().len();
    let ids = ids(&victims);
    let words: Vec<&str> = ids.iter().map(String::as_str).chain(["--yes"]).collect();
    let done = purge(&drive, &words);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    for offset in 0..20 {
        let read = open.read_at(&mut [0; 16], 110_000 + offset * 4096).unwrap_err();
        assert_eq!(read.raw_os_error(), Some(libc::ESTALE), "{read}");
    }
    let status = drive.mount.status();
    assert_eq!(found(status.to_string().as_bytes(), &victims.names), Vec::<&String>::new(), "{status}");
    drive.mount.signal(Signal::USR1);
    eventually("its state is logged", Duration::from_secs(5), || drive.mount.stderr()[before..].contains("slowest"));
    let ledger = cxonefs(&drive.sandbox.home()).args(["ledger", "--json"]).arg(drive.path()).ok().stdout;
    for text in [&drive.mount.stderr()[before..], &ledger] {
        assert_eq!(found(text.as_bytes(), &victims.names), Vec::<&String>::new(), "{text}");
    }
    drop(open);
}

#[test]
fn no_later_listing_brings_it_back_and_asking_again_says_so() {
    let mut drive = Drive::of(plain(3, 4));
    let victim = drive.tree.places[0].clone();
    let id = victim.master.to_string();
    std::fs::read(drive.at(&victim.path).join("recording.mp4")).unwrap();
    let done = purge(&drive, &["--contact", &id, "--yes", "--json", "--reason", &format!("request 9 of {id}")]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    let certificate = &report["certificate"];
    assert_eq!(certificate["contacts"], serde_json::json!([victim.master]));
    assert_eq!(certificate["requested_by"], serde_json::json!({"uid": 0, "name": "root"}));
    assert_eq!(certificate["erased"]["recordings"], 1);
    assert!(certificate["tenant"].is_string() && certificate["reason"].as_str().unwrap().contains(&id));
    let kept = drive.sandbox.state().join("certificates");
    let kept = std::fs::read_dir(kept).unwrap().next().unwrap().unwrap().path();
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(!text.contains(&id) && text.contains("request 9 of (contact)"), "{text}");
    let kept: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&kept["marks"], &kept["erased"]), (&certificate["marks"], &certificate["erased"]));

    let day = victim.path.iter().next().unwrap();
    for round in 0..2 {
        cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.path()).arg(day).ok();
        assert!(!drive.at(&victim.path).exists(), "after refresh {round}");
        let again = purge(&drive, &["--contact", &id, "--yes"]);
        assert_eq!(again.code(), 1);
        assert!(again.stderr.contains("erased before") && again.stderr.contains("marked"), "{}", again.stderr);
        drive.mount.remount();
    }
    // The others are listed as ever.
    for place in drive.tree.places.iter().filter(|place| place.master != victim.master) {
        assert!(drive.at(&place.path).exists(), "{}", place.path.display());
    }
    let unknown = purge(&drive, &["--contact", "5", "--yes"]);
    assert_eq!((unknown.code(), unknown.stdout.as_str()), (1, ""), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("nothing is known of contact 5"), "{}", unknown.stderr);
    // Where the database is damaged, marks are saved with what is paid for.
    drive.mount.terminate();
    let database = drive.sandbox.state().join("cxonefs.db");
    std::fs::write(database.with_extension("db.suspect"), "").unwrap();
    let bytes = std::fs::OpenOptions::new().write(true).open(&database).unwrap();
    bytes.write_all_at(&999_999_999u32.to_be_bytes(), 32).unwrap();
    drive.mount.start_again();
    eventually("the day is listed anew", Duration::from_secs(20), || {
        drive
            .tree
            .places
            .iter()
            .filter(|place| place.master != victim.master)
            .all(|place| drive.at(&place.path).exists())
    });
    assert!(drive.mount.stderr().contains("a new one was begun"), "{}", drive.mount.stderr());
    assert!(!drive.at(&victim.path).exists(), "its mark was saved");
}

/// Everything that can be asked of the mount.
fn answers(drive: &Drive) -> String {
    let run = |words: &[&str]| {
        let done = cxonefs(&drive.sandbox.home()).args(words).arg(drive.path()).run();
        format!("{}{}", done.stdout, done.stderr)
    };
    let asked: [&[&str]; 8] = [
        &["status", "--json"],
        &["ledger", "--json"],
        &["hold", "list", "--json"],
        &["cache", "stats", "--json"],
        &["cache", "verify", "--json"],
        &["audit", "show", "-n", "1000", "--json"],
        &["audit", "report", "--json"],
        &["audit", "verify", "--json"],
    ];
    asked.map(run).concat()
}

/// Files of state and cache in which a name stands.
fn on_disk(drive: &Drive, names: &BTreeSet<String>) -> Vec<String> {
    let files = [drive.sandbox.state(), drive.sandbox.cache()].into_iter().flat_map(walkdir::WalkDir::new);
    let files = files.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let traces = files.filter_map(|entry| {
        let bytes = std::fs::read(entry.path()).unwrap();
        let found = found(&bytes, names);
        (!found.is_empty()).then(|| format!("{found:?} in {}", entry.path().display()))
    });
    traces.collect()
}

/// What the callers' numbers are, where nobody else has them.
fn phone_numbers(drive: &Drive, victims: &Victims) -> BTreeSet<String> {
    let numbers = |place: &Place| -> BTreeSet<String> {
        let text = std::fs::read(drive.at(&place.path).join("contact.json")).unwrap();
        let text = String::from_utf8(text).unwrap();
        let words = text.split(|char: char| !char.is_ascii_digit() && char != '+');
        words.filter(|word| word.starts_with('+') && word.len() > 8).map(str::to_owned).collect()
    };
    let others = drive.tree.places.iter().filter(|place| !victims.places.iter().any(|own| own.path == place.path));
    let others: BTreeSet<String> = others.flat_map(numbers).collect();
    victims.places.iter().flat_map(numbers).filter(|number| !others.contains(number)).collect()
}

/// In no file, no answer and no memory, while somebody still has its files open.
fn nothing_tells_of_it(is_encrypted: bool) {
    let drive = Drive::encrypted(is_encrypted, plain(3, 4), &["--set", "mount.passthrough=false"]);
    let mut victims = victims(&drive);
    for place in &drive.tree.places {
        for name in ["contact.json", "metadata.json", "recording.mp4"] {
            std::fs::read(drive.at(&place.path).join(name)).unwrap();
        }
    }
    let phones = phone_numbers(&drive, &victims);
    victims.names.extend(phones);
    let folder = drive.at(&victims.places[0].path);
    let open = ["contact.json", "metadata.json", "recording.mp4"].map(|name| File::open(folder.join(name)).unwrap());
    // A descriptor by which nothing can be read, and which says of what it is.
    let path_only = File::options().read(true).custom_flags(libc::O_PATH).open(folder.join("contact.json")).unwrap();
    let through = format!("/proc/self/fd/{}", path_only.as_raw_fd());
    let attribute = || rustix::fs::getxattr(&*through, "user.cxone.master_id", &mut [0_u8; 64][..]);
    assert!(attribute().unwrap() >= 5);
    answers(&drive);
    let before = in_memory(&drive, &victims.names);
    assert!(before.len() > 10, "what is looked for is there before: {before:#?}");
    assert!(!on_disk(&drive, &victims.names).is_empty());
    let begun = drive.mount.stderr().len();
    let ids = ids(&victims);
    let words: Vec<&str> = ids.iter().map(String::as_str).chain(["--yes"]).collect();
    let done = purge(&drive, &words);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    for file in &open {
        let _ = file.read_at(&mut [0; 4096], 0);
    }
    assert!(attribute().is_err() && File::open(&through).is_err());
    let answers = answers(&drive);
    assert_eq!(found(answers.as_bytes(), &victims.names), Vec::<&String>::new(), "{answers}");
    assert_eq!(found(&drive.mount.stderr().as_bytes()[begun..], &victims.names), Vec::<&String>::new());
    assert_eq!(on_disk(&drive, &victims.names), Vec::<String>::new());
    // Notices to the kernel are repeated after a second.
    let left = wait_for(Duration::from_secs(5), || {
        let left = in_memory(&drive, &victims.names);
        left.is_empty().then_some(left)
    });
    assert!(left.is_some(), "{:#?}", in_memory(&drive, &victims.names));
    drop(open);
}

#[test]
fn nothing_on_disk_in_memory_or_in_an_answer_tells_of_it() {
    nothing_tells_of_it(false);
}

#[test]
fn nothing_on_disk_in_memory_or_in_an_answer_tells_of_it_with_a_key() {
    nothing_tells_of_it(true);
}
