//! Keys of encryption: where they come from, that one can be demanded, and that nobody without one writes what is believed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::{
    Drive, Ended, Mount, Sandbox, Tenant, Tree, assert_same_bytes, cxonefs, eventually, plain, tool, true_bytes,
};

const WITHIN: Duration = Duration::from_secs(20);

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

#[track_caller]
fn refused(sandbox: &Sandbox, flags: &[&str]) -> Ended {
    Mount::attempt(sandbox, flags).err().expect("it must not mount")
}

fn read_one(drive: &Drive) -> PathBuf {
    let place = &drive.tree.places[0];
    let path = drive.at(&place.path).join("recording.mp4");
    assert_same_bytes(&std::fs::read(&path).unwrap(), &true_bytes(&drive.tenant, place.master, 1), &path);
    path
}

#[test]
fn rows_that_somebody_without_the_key_wrote_are_not_served() {
    let mut drive = Drive::encrypted(true, plain(2, 4), &[]);
    read_one(&drive);
    drive.mount.terminate();
    let database = drive.sandbox.state().join("cxonefs.db");
    let kept = drive.sandbox.path("kept.db");
    std::fs::copy(&database, &kept).unwrap();
    let sqlite = |sql: &str| tool("sqlite3").arg(&database).arg(sql).ok();

    // The mark of the key gone, and everybody's name and record in the clear: served and sealed as genuine before.
    sqlite(
        "DELETE FROM facts WHERE key = 'encryption.key'; DELETE FROM documents;
         UPDATE agents SET name = 'Mallory_' || agent_id; UPDATE legs SET record = '[]';",
    );
    let ended = refused(&drive.sandbox, &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(ended.said.contains("is not encrypted") && ended.said.contains("cxonefs cache encrypt"), "{}", ended.said);

    // Two agents' names exchanged: calls were attributed to the wrong one before.
    std::fs::copy(&kept, &database).unwrap();
    sqlite(
        "CREATE TEMP TABLE k AS SELECT day, agent_id, name FROM agents ORDER BY agent_id LIMIT 2;
         UPDATE agents SET name = agent_id WHERE EXISTS (SELECT 1 FROM k WHERE k.agent_id = agents.agent_id AND k.day = agents.day);
         UPDATE agents SET name = (SELECT o.name FROM k o WHERE o.day = agents.day AND o.agent_id <> agents.agent_id)
            WHERE EXISTS (SELECT 1 FROM k WHERE k.agent_id = agents.agent_id AND k.day = agents.day);",
    );
    drive.mount.start_again();
    let day = drive.at(drive.tree.places[0].path.components().next().unwrap());
    let listed = std::fs::read_dir(&day).and_then(|mut entries| entries.try_for_each(|entry| entry.map(drop)));
    assert!(listed.is_err(), "names of others were shown");
    assert!(drive.mount.stderr().contains("row not genuine in table agents"), "{}", drive.mount.stderr());
    drive.mount.terminate();

    // A hold and a mark of an erased contact, gone; a hash, another one.
    std::fs::copy(&kept, &database).unwrap();
    drive.mount.start_again();
    let run = |words: &[&str]| cxonefs(&drive.sandbox.home()).args(words).arg(drive.path()).ok();
    let (held, erased) = (drive.tree.places[0].master.to_string(), drive.tree.places[1].master.to_string());
    run(&["hold", "add", &held, "--reason", "complaint"]);
    run(&["cache", "purge", "--yes", "--contact", &erased]);
    let recording = drive.at(&drive.tree.places[0].path).join("recording.mp4");
    let hash = || tool("getfattr").args(["--only-values", "-n", "user.cxone.sha256"]).arg(&recording).run();
    assert_eq!(hash().stdout.len(), 64);
    drive.mount.terminate();
    let controls = drive.sandbox.path("controls.db");
    std::fs::copy(&database, &controls).unwrap();
    for (sql, table) in [
        ("DELETE FROM holds", "holds"),
        ("DELETE FROM erased", "erased"),
        ("DELETE FROM erasure_keys; DELETE FROM erased", "erased"),
        ("UPDATE audit_chain SET head_number = 1", "audit_chain"),
    ] {
        std::fs::copy(&controls, &database).unwrap();
        sqlite(sql);
        let ended = refused(&drive.sandbox, &[]);
        assert!(ended.said.contains("without its key") && ended.said.contains(table), "{sql}: {}", ended.said);
    }
    std::fs::copy(&controls, &database).unwrap();
    sqlite("UPDATE evidence SET sha256 = zeroblob(32)");
    drive.mount.start_again();
    let shown = hash();
    assert!(!shown.status.success() && shown.stdout.is_empty(), "{}", shown.stdout);
    drive.mount.terminate();

    // As it was, it is as it was.
    std::fs::copy(&kept, &database).unwrap();
    drive.tenant.reset_counters();
    drive.mount.start_again();
    read_one(&drive);
    assert_eq!(drive.counters().playback_calls, 0);
}

#[test]
fn a_state_in_the_clear_is_taken_over_by_command_and_what_is_cached_stays() {
    let mut drive = Drive::of(plain(1, 4));
    let path = read_one(&drive);
    let documents = std::fs::read(path.with_file_name("metadata.json")).unwrap();
    let encrypt = || cxonefs(&drive.sandbox.home()).args(["cache", "encrypt", "--config"]).arg(drive.sandbox.config());
    let none = encrypt().run();
    assert!(none.code() == 2 && none.stderr.contains("cache.encryption_key_file"), "{}", none.stderr);
    drive.sandbox.encrypt();
    let mounted = encrypt().run();
    assert!(mounted.code() == 1 && mounted.stderr.contains("umount"), "{}", mounted.stderr);
    drive.mount.terminate();
    let done = encrypt().ok();
    assert!(done.stdout.contains("the state is encrypted now; 1 recordings are encrypted now"), "{}", done.stdout);
    assert!(encrypt().ok().stdout.contains("encrypted already, or is empty; no recording was in the clear"));
    drive.tenant.reset_counters();
    drive.mount.start_again();
    read_one(&drive);
    assert!(std::fs::read(path.with_file_name("metadata.json")).unwrap() == documents);
    drive.assert_nothing_was_paid("encrypting what was there");
    assert_eq!(drive.mount.status()["cache"]["encrypted"], true);
}

#[test]
fn a_key_can_be_demanded_and_comes_from_a_file_a_credential_or_a_command() {
    let tenant = Tenant::start(plain(1, 3));
    let sandbox = Sandbox::of(&tenant);
    let set = |key: &str, value: &str| [String::from("--set"), format!("cache.{key}={value}")];
    let demanded = set("encryption", "required");
    let flags =
        |more: &[[String; 2]]| -> Vec<String> { demanded.iter().chain(more.iter().flatten()).cloned().collect() };
    let words = |flags: &[String]| -> Vec<&'static str> {
        flags.iter().map(|flag| &*Box::leak(flag.clone().into_boxed_str())).collect()
    };

    let ended = refused(&sandbox, &words(&flags(&[])));
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(
        ended.said.contains("there is no key") && ended.said.contains("cache.encryption_key_command"),
        "{}",
        ended.said
    );
    assert!(!sandbox.cache().exists() && !sandbox.state().exists(), "something was written");

    // By a file, by systemd's credential, and by a command: the same key, and the same state.
    let credentials = sandbox.dir("credentials");
    std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o700)).unwrap();
    write(&credentials.join("encryption_key"), &hex(1), 0o400);
    let (file, program, asked) = (sandbox.path("key"), sandbox.path("ask"), sandbox.path("asked"));
    write(&file, &hex(1), 0o600);
    write(&program, &format!("#!/bin/sh\necho \"$@\" > {}\necho {}\n", asked.display(), hex(1)), 0o755);
    let by_file = flags(&[set("encryption_key_file", file.to_str().unwrap())]);
    let command = format!("{} --which 'of two'", program.display());
    let by_command = flags(&[set("encryption_key_command", &command)]);
    let environment = vec![("CREDENTIALS_DIRECTORY", credentials.clone().into_os_string())];
    let tree = Tree::of(&tenant);
    let mut paid = 0;
    for (flags, environment) in [(&by_file, Vec::new()), (&flags(&[]), environment.clone()), (&by_command, Vec::new())]
    {
        let mut mount = Mount::start_in(&sandbox, &words(flags), environment);
        assert_eq!(mount.status()["cache"]["encrypted"], true);
        for place in &tree.places {
            let path = mount.at(&place.path).join("recording.mp4");
            assert_same_bytes(&std::fs::read(&path).unwrap(), &true_bytes(&tenant, place.master, 1), &path);
        }
        paid = paid.max(tenant.counters().playback_calls);
        assert_eq!(tenant.counters().playback_calls, paid);
        mount.terminate();
    }
    assert_eq!(std::fs::read_to_string(&asked).unwrap(), "--which 'of two'\n", "no shell reads it");

    // Replaced, from a command to a credential: neither the documents nor the bytes are paid for again.
    tenant.reset_counters();
    write(&credentials.join("encryption_key"), &hex(2), 0o600);
    let previous = flags(&[set("encryption_previous_key_command", &command)]);
    for flags in [&previous, &flags(&[])] {
        let mut mount = Mount::start_in(&sandbox, &words(flags), environment.clone());
        for place in &tree.places {
            let path = mount.at(&place.path).join("recording.mp4");
            assert_same_bytes(&std::fs::read(&path).unwrap(), &true_bytes(&tenant, place.master, 1), &path);
        }
        mount.terminate();
    }
    let counters = tenant.counters();
    assert_eq!((counters.playback_calls, counters.media_requests), (0, 0), "{counters:?}");

    // What goes wrong with a command is said, and the key is not.
    write(&program, &format!("#!/bin/sh\necho {}\necho the vault is sealed >&2\nexit 7\n", hex(1)), 0o755);
    let ended = refused(&sandbox, &words(&by_command));
    assert!(ended.code == Some(2) && ended.said.contains("the vault is sealed"), "{}", ended.said);
    assert!(!ended.said.contains(&hex(1)));
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o777)).unwrap();
    let ended = refused(&sandbox, &words(&by_command));
    assert!(ended.code == Some(2) && ended.said.contains("not to be trusted"), "{}", ended.said);
    let both = flags(&[set("encryption_key_file", file.to_str().unwrap()), set("encryption_key_command", &command)]);
    assert_eq!(refused(&sandbox, &words(&both)).code, Some(2));
}

#[test]
fn no_command_leaves_a_core() {
    let drive = Drive::of(plain(1, 1));
    let running = cxonefs(&drive.sandbox.home()).args(["simulate", "--days", "1"]).start();
    let limits = PathBuf::from(format!("/proc/{}/limits", running.0.id()));
    eventually("core dumps are off", WITHIN, || {
        let limits = std::fs::read_to_string(&limits).unwrap_or_default();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default().to_owned();
        core.split_whitespace().nth(4) == Some("0") && core.split_whitespace().nth(5) == Some("0")
    });
}
