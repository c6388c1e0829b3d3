//! What is on record: every open, who did it, through which door, what came of it; and every command.

use serde_json::Value;

use super::{MALLORY, OPEN_TO_ALL, ROSA, as_user, assert_sound, audit, count, lines, lines_of, of_event};
use crate::harness::{Drive, cxonefs, plain, sh};

fn about<'a>(lines: &'a [Value], name: &str, uid: u32) -> Vec<&'a Value> {
    let is_about = |line: &&Value| line["uid"] == uid && line["path"].as_str().is_some_and(|path| path.ends_with(name));
    lines.iter().filter(is_about).collect()
}

#[test]
fn every_open_is_on_record_with_who_did_it() {
    let mut drive = Drive::with(plain(1, 4), &OPEN_TO_ALL);
    sh(&format!("chmod 711 {}", drive.sandbox.root().display())).ok();
    let place = drive.tree.recorded().next().unwrap().clone();
    let folder = drive.at(&place.path);
    let read = |name: &str| format!("cat '{}' > /dev/null", folder.join(name).display());
    // A thread that is not the process's first one: its process is on record.
    let threads = format!(
        "/usr/bin/python3 -c 'import threading,os
t = threading.Thread(target=lambda: open(\"{}\", \"rb\").read()); t.start(); t.join(); print(os.getpid())'",
        folder.join("metadata.json").display()
    );
    let pid: u64 = as_user(ROSA, &threads).stdout.trim().parse().unwrap();
    assert_eq!(as_user(ROSA, &format!("{}; {}", read("contact.json"), read("recording.mp4"))).code(), 0);
    // Again: by now the kernel may read it by itself.
    assert_eq!(as_user(MALLORY, &read("recording.mp4")).code(), 0);
    let all = lines(&drive);
    let [metadata] = about(&all, "/metadata.json", ROSA)[..] else { panic!("{all:#?}") };
    assert_eq!((metadata["pid"].as_u64(), metadata["billed"].as_bool()), (Some(pid), Some(true)), "{metadata}");
    assert_eq!(metadata["door"], drive.path().to_str().unwrap());
    assert_eq!((metadata["gid"].as_u64(), metadata["outcome"].as_str()), (Some(u64::from(ROSA)), Some("ok")));
    assert_eq!((metadata["master_contact"].as_i64(), metadata["event"].as_str()), (Some(place.master), Some("open")));
    assert!(metadata["exe"].as_str().unwrap().contains("python3"), "{metadata}");
    let [contact] = about(&all, "/contact.json", ROSA)[..] else { panic!("{all:#?}") };
    assert_eq!((contact["billed"].as_bool(), contact["comm"].as_str()), (Some(false), Some("cat")));
    assert_eq!(about(&all, ".mp4", ROSA).len(), 1, "{all:#?}");
    assert_eq!(about(&all, ".mp4", MALLORY).len(), 1, "{all:#?}");
    assert_sound(&drive);

    // Who opened what, by person and by contact.
    let report = audit(&drive.sandbox, &["report", "--json", "--who", &ROSA.to_string()], &[drive.path()]);
    let rows: Vec<Value> = report.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 1, "{}{}", report.stdout, report.stderr);
    assert_eq!((rows[0]["contact"].as_i64(), rows[0]["opened"].as_u64()), (Some(place.master), Some(3)), "{}", rows[0]);
    let table = audit(&drive.sandbox, &["report", "--contact", &place.master.to_string()], &[drive.path()]);
    assert!(table.stdout.contains("4 opens of 1 contact by 2 users"), "{}", table.stdout);
    let none = audit(&drive.sandbox, &["report", "--csv", "--since", "2099-01-01"], &[drive.path()]);
    assert_eq!(none.stdout.lines().count(), 1, "{}", none.stdout);
    drive.mount.terminate();
    let all = lines_of(&drive.sandbox.state());
    assert_eq!((of_event(&all, "mount").len(), of_event(&all, "umount").len()), (1, 1));
}

#[test]
fn repeats_and_walks_are_counted_and_refusals_are_on_record() {
    let flags = ["--set", "limits.daily_budget=2", "--set", "mount.deny_processes=scanner*"];
    let drive = Drive::with(plain(1, 150), &flags);
    let places: Vec<_> = drive.tree.recorded().collect();
    let file = |index: usize| drive.at(&places[index].path).join("metadata.json");
    let path = file(0).display().to_string();
    sh(&format!("python3 -c 'for _ in range(40): open(\"{path}\").read()'")).ok();
    // contact.json of 150 folders by one process.
    sh("grep -rl --include=contact.json contactId . | wc -l").in_dir(drive.path()).ok();
    let scanner = drive.sandbox.path("scanner-x");
    std::fs::copy("/bin/cat", &scanner).unwrap();
    sh(&format!("chmod 755 {0}; ! {0} '{1}'", scanner.display(), file(1).display())).ok();
    sh(&format!("cat '{}' '{}'", file(1).display(), file(2).display())).run();
    let all = lines(&drive);
    let of = |path: &str| -> Vec<&Value> {
        all.iter()
            .filter(|line| line["path"].as_str().is_some_and(|other| drive.at(other).to_str() == Some(path)))
            .collect()
    };
    let repeats = of(&path);
    assert!(repeats.len() <= 3 && count(repeats.iter().copied()) == 40, "{repeats:#?}");
    let walks: Vec<&Value> = all.iter().filter(|line| line["comm"] == "grep").collect();
    assert_eq!(count(walks.iter().copied()), places.len() as u64);
    assert!(walks.len() <= 105, "{} lines", walks.len());
    let listed: Vec<i64> = walks
        .iter()
        .flat_map(|line| line["contacts"].as_array().into_iter().flatten())
        .filter_map(Value::as_i64)
        .collect();
    assert_eq!(listed.len(), places.len() - 100, "{:#?}", walks.last());
    let refused = |outcome: &str| all.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((refused("EACCES"), refused("EDQUOT")), (1, 1), "{all:#?}");
    assert!(all.iter().all(|line| line["outcome"] == "ok" || line["billed"] != true), "{all:#?}");
    assert_sound(&drive);
}

#[test]
fn commands_are_on_record_and_purging_everything_leaves_who_did_what() {
    let drive = Drive::of(plain(1, 3));
    let place = drive.tree.recorded().next().unwrap().clone();
    std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap();
    let run = |words: &[&str]| {
        let tool = cxonefs(&drive.sandbox.home()).args(words);
        tool.ok();
    };
    let mount = drive.path().to_str().unwrap();
    run(&["log-level", mount, "debug"]);
    run(&["log-level", mount]);
    run(&["refresh", mount, "2026-11-02"]);
    run(&["refresh", mount, "--retry"]);
    let other = drive.tree.recorded().nth(1).unwrap().clone();
    run(&["warm", "--yes", drive.at(&other.path).to_str().unwrap()]);
    run(&["cache", "verify", mount]);
    run(&["cache", "purge", "--contact", &place.master.to_string(), "--dry-run", mount]);
    run(&["cache", "purge", "--yes", mount]);
    let before = lines(&drive);
    for (event, detail) in [("log-level", "debug"), ("refresh", "2026-11-02"), ("purge", "media"), ("purged", "media")]
    {
        let found = of_event(&before, event);
        assert_eq!(found.len(), 1, "{event}: {before:#?}");
        assert_eq!((found[0]["detail"].as_str(), found[0]["uid"].as_u64()), (Some(detail), Some(0)), "{}", found[0]);
    }
    assert_eq!(of_event(&before, "retry").len(), 1);
    let warm = of_event(&before, "warm");
    assert!(warm[0]["paths"][0].as_str().unwrap().contains(&other.master.to_string()), "{warm:#?}");
    assert!(
        before
            .iter()
            .filter(|line| line["event"] == "purge")
            .all(|line| line["comm"] == "cxonefs" && line["pid"].is_u64())
    );

    run(&["cache", "purge", "--all", "--yes", mount]);
    let after = lines(&drive);
    assert!(after.len() > before.len(), "nothing is removed");
    assert!(after.iter().all(|line| !line.to_string().contains(&place.master.to_string())), "{after:#?}");
    let opened = of_event(&after, "open");
    assert!(opened[0]["path"].is_null() && opened[0]["uid"] == 0 && opened[0]["outcome"] == "ok", "{}", opened[0]);
    assert_sound(&drive);
    let said = audit(&drive.sandbox, &["verify"], &[drive.path()]).stdout;
    assert!(said.contains("erased: "), "{said}");
}
