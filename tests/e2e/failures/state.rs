//! The state database damaged, foreign, of a newer version, locked, not writable, held by another: said clearly, kept aside, and what is
//! known is not paid for again.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cxonefs::sim::SimSettings;

use crate::harness::{Drive, Mount, Sandbox, assert_same_bytes, plain, sh, true_bytes};

fn database(drive: &Drive) -> PathBuf {
    drive.sandbox.state().join("cxonefs.db")
}

/// Interactions and the paths of their recordings.
type Recordings = Vec<(i64, PathBuf)>;

/// A drive that was used and is not mounted any more; gives the recordings that were read, and those that were only resolved.
fn used() -> (Drive, Recordings, Recordings) {
    let mut drive = Drive::of(plain(4, 50));
    let all: Recordings =
        drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect();
    let (read, resolved) = (all[..60].to_vec(), all[60..80].to_vec());
    for (_, path) in &read {
        fs::read(path).unwrap();
    }
    for (_, path) in &resolved {
        drop(File::open(path).unwrap());
    }
    drive.mount.terminate();
    (drive, read, resolved)
}

/// What stands beside the database.
fn aside(drive: &Drive) -> Vec<PathBuf> {
    let entries = fs::read_dir(drive.sandbox.state()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("cxonefs.db.damaged-")).collect()
}

fn ledger(drive: &Drive) -> usize {
    let said = crate::harness::cxonefs(&drive.sandbox.home()).arg("ledger").arg("--config").arg(drive.sandbox.config());
    said.arg("--json").ok().stdout.lines().count()
}

#[test]
fn a_database_with_damaged_pages_is_replaced_and_nothing_is_paid_again() {
    let (mut drive, read, resolved) = used();
    let paid = ledger(&drive);
    assert_eq!(paid, 80);
    // The index of the day: what the tenant has anyway.
    let damage = "PRAGMA writable_schema = ON; SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name IN ('days', 'legs')";
    let pages = sh(&format!("sqlite3 '{}' \"{damage}\"", database(&drive).display())).ok();
    let file = File::options().write(true).open(database(&drive)).unwrap();
    for page in pages.lines() {
        let page: u64 = page.trim().parse().unwrap();
        file.write_all_at(&[0xa5; 4096], (page - 1) * 4096).unwrap();
    }
    drop(file);
    drive.tenant.reset_counters();
    drive.mount.start_again();
    // Found in use: the files say so, and the next start mends.
    let _ = fs::read_dir(drive.at("2026-11-02")).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    drive.mount.terminate();
    let begun = Instant::now();
    drive.mount.start_again();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let said = drive.mount.stderr();
    assert!(said.contains("a new one was begun") && said.contains("salvaged_rows"), "{said}");
    assert!(!aside(&drive).is_empty(), "it is kept");
    for (master, path) in read.iter().chain(&resolved) {
        assert_same_bytes(&fs::read(path).unwrap(), &true_bytes(&drive.tenant, *master, 1), path);
    }
    // A link for what is not cached (the shortest are, by their head), and nothing else.
    let calls = drive.counters().playback_calls as usize;
    assert!((1..=resolved.len()).contains(&calls), "{calls}");
    assert_eq!(ledger(&drive), paid + calls);
}

#[test]
fn what_is_no_database_and_what_is_another_programs_are_kept_aside() {
    let (mut drive, read, _) = used();
    let foreign = drive.sandbox.path("foreign.db");
    sh(&format!("sqlite3 '{}' 'CREATE TABLE notes(text); INSERT INTO notes VALUES(42)'", foreign.display())).ok();
    let foreign = fs::read(foreign).unwrap();
    for (number, content) in [b"this is no database\n".repeat(500), foreign, vec![0; 40_000]].into_iter().enumerate() {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", database(&drive).display()));
        }
        fs::write(database(&drive), &content).unwrap();
        drive.tenant.reset_counters();
        drive.mount.start_again();
        let (master, path) = &read[0];
        assert_same_bytes(&fs::read(path).unwrap(), &true_bytes(&drive.tenant, *master, 1), path);
        drive.assert_nothing_was_paid("what the cache knows whole");
        drive.mount.terminate();
        let kept = aside(&drive);
        assert_eq!(kept.len(), number + 1, "{kept:?}");
        assert!(kept.iter().any(|path| fs::read(path).unwrap() == content), "as it was");
    }
}

/// Inode number and size by name.
fn listed(folder: &Path) -> Vec<(String, u64, u64)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut listed: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path().metadata().unwrap()))
        .map(|(name, metadata)| (name, metadata.ino(), metadata.len()))
        .collect();
    listed.sort();
    listed
}

/// Whatever was resolved is known by what stands beside its bytes; a call is made only for a link to bytes that are missing.
fn a_lost_state(is_encrypted: bool) {
    let settings = SimSettings { bulk_bytes: Some(500_000), ..plain(2, 12) };
    let mut drive = Drive::encrypted(is_encrypted, settings, &["--set", "cache.whole_file_below=64KiB"]);
    let all: Recordings =
        drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect();
    let (whole, part) = (&all[..12], &all[12..16]);
    let metadata = |path: &Path| fs::read(path.with_file_name("metadata.json")).unwrap();
    for (_, path) in whole {
        fs::read(path).unwrap();
    }
    for (_, path) in part {
        File::open(path).unwrap().read_at(&mut [0; 10], 0).unwrap();
    }
    let before: Vec<_> =
        whole.iter().chain(part).map(|(_, path)| (metadata(path), listed(path.parent().unwrap()))).collect();
    drive.mount.terminate();

    for round in 0..2 {
        fs::remove_dir_all(drive.sandbox.state()).unwrap();
        drive.tenant.reset_counters();
        drive.mount.start_again();
        for (master, path) in whole {
            assert_same_bytes(&fs::read(path).unwrap(), &true_bytes(&drive.tenant, *master, 1), path);
        }
        for (_, path) in part {
            File::open(path).unwrap();
        }
        for ((_, path), (document, listing)) in whole.iter().chain(part).zip(&before) {
            assert!(metadata(path) == *document && listed(path.parent().unwrap()) == *listing, "{}", path.display());
        }
        assert_eq!(drive.counters().playback_calls, 0, "round {round}");
        assert_eq!(ledger(&drive), 0, "nothing was paid");
        drive.mount.remount();
        for (_, path) in whole {
            File::open(path).unwrap();
        }
        assert_eq!(drive.counters().playback_calls, 0, "it is known again for good");
        if round == 1 {
            for (master, path) in part {
                assert_same_bytes(&fs::read(path).unwrap(), &true_bytes(&drive.tenant, *master, 1), path);
            }
            assert_eq!(drive.counters().playback_calls as usize, part.len(), "a link for each that was incomplete");
        }
        drive.mount.terminate();
    }
}

#[test]
fn a_state_that_is_lost_costs_no_call_for_what_is_cached() {
    a_lost_state(false);
}

#[test]
fn a_state_that_is_lost_with_encryption_costs_none_either() {
    a_lost_state(true);
}

#[track_caller]
fn refuses(drive: &Drive, what: &str, remedy: &str) {
    let before = fs::read(database(drive)).unwrap();
    let begun = Instant::now();
    let Err(ended) = Mount::attempt(&drive.sandbox, &[]) else { panic!("{what}: it mounts") };
    assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", begun.elapsed());
    assert_eq!(ended.code, Some(1), "{what}: {}", ended.said);
    assert!(ended.said.contains(remedy) && !ended.said.contains("panicked"), "{what}: {}", ended.said);
    assert!(aside(drive).is_empty() && fs::read(database(drive)).unwrap() == before, "{what}: it is sound, and stays");
}

#[test]
fn a_newer_and_an_unwritable_one_stop_the_mount_and_stay_as_they_are() {
    let (mut drive, read, _) = used();
    let sql = |statement: &str| sh(&format!("sqlite3 '{}' \"{statement}\"", database(&drive).display())).ok().stdout;
    let version = sql("PRAGMA user_version").trim().to_owned();
    sql("PRAGMA user_version = 9999");
    refuses(&drive, "newer", "newer cxonefs");
    sql(&format!("PRAGMA user_version = {version}"));

    let bound = Bound::read_only(&drive.sandbox);
    refuses(&drive, "read-only", "ead-only file system");
    drop(bound);

    drive.tenant.reset_counters();
    drive.mount.start_again();
    for (master, path) in &read {
        assert_same_bytes(&fs::read(path).unwrap(), &true_bytes(&drive.tenant, *master, 1), path);
    }
    drive.assert_nothing_was_paid("all of that");
}

/// Nothing can be written, so nothing may be paid; what is known goes on.
#[test]
fn while_another_program_locks_it_nothing_is_paid_and_the_rest_goes_on() {
    let (mut drive, read, resolved) = used();
    drive.tenant.reset_counters();
    drive.mount.start_again();
    let unpaid = drive.tree.recorded().nth(90).map(|place| drive.at(&place.path).join("metadata.json")).unwrap();
    let mut shell = hold_locked(&database(&drive));
    let begun = Instant::now();
    let refused = File::open(&unpaid).unwrap_err();
    assert!(matches!(refused.raw_os_error(), Some(libc::EIO)), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for (master, path) in &read {
        assert_same_bytes(&fs::read(path).unwrap(), &true_bytes(&drive.tenant, *master, 1), path);
    }
    assert!(resolved.iter().all(|(_, path)| path.metadata().is_ok()));
    drive.assert_nothing_was_paid("a locked ledger");
    assert!(drive.mount.stderr().contains("locked"), "{}", drive.mount.stderr());
    shell.kill().unwrap();
    shell.wait().unwrap();
    File::open(&unpaid).unwrap();
}

/// A shell that holds the database's write lock until it is killed.
fn hold_locked(database: &Path) -> std::process::Child {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let mut shell = Command::new("sqlite3").arg(database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    stdin.write_all(b"BEGIN EXCLUSIVE;\nSELECT 'held';\n").unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "held");
    // The end of its input would end it.
    shell.stdin = Some(stdin);
    shell
}

/// The state directory mounted over itself, read-only, until dropped.
struct Bound(PathBuf);

impl Bound {
    fn read_only(sandbox: &Sandbox) -> Bound {
        let state = sandbox.state();
        sh(&format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}'", state.display())).ok();
        Bound(state)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}
