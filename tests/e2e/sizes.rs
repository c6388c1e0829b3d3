//! No program reads by a size that was only estimated, in whatever way it reads: every file was looked at before anything is known of it, then
//! copied.

use std::path::{Path, PathBuf};

use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::harness::{
    Drive, Mount, NO_LIMIT, Sandbox, Tenant, Tree, assert_same_bytes, cxonefs, eventually, is_full, mount_at, plain,
    sh, tool, true_bytes,
};

/// Copies the files that standard input names, one line each: `FROM TO`. The end of what it reads is not asked for after `open`: the kernel
/// takes it from what it was told before.
const COPY: &str = r"
import os, sys, threading
def drain(move):
    while move(): pass
def send(source, target):
    drain(lambda: os.sendfile(target, source, None, 1 << 20))
def splice(source, target):
    r, w = os.pipe()
    def move():
        n = os.splice(source, w, 1 << 16)
        left = n
        while left: left -= os.splice(r, target, left)
        return n
    drain(move)
    os.close(r); os.close(w)
def by_path(name): return os.open(name, os.O_RDONLY)
def again(name):
    path = os.open(name, os.O_PATH)
    os.fstat(path)
    file = os.open(f'/proc/self/fd/{path}', os.O_RDONLY)
    os.close(path)
    return file
def copy(name, to, open_it, move):
    source, target = open_it(name), os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    move(source, target)
    os.close(source); os.close(target)
def two(name, to):
    both = [threading.Thread(target=copy, args=(name, to + end, by_path, send)) for end in ('', '.second')]
    for one in both: one.start()
    for one in both: one.join()
ways = {
    'sendfile': lambda name, to: copy(name, to, by_path, send),
    'splice': lambda name, to: copy(name, to, by_path, splice),
    'path': lambda name, to: copy(name, to, again, send),
    'two': two,
}
for line in sys.stdin:
    name, to = line.split()
    ways[sys.argv[1]](name, to)
";

/// Recordings of which nothing was opened, and all of which were looked at.
struct Unresolved {
    drive: Drive,
    files: Vec<(PathBuf, i64)>,
    copies: PathBuf,
}

impl Unresolved {
    fn of(flags: &[&str]) -> Unresolved {
        let recordings: u32 = if is_full() { 1000 } else { 100 };
        let mut settings = plain(10, recordings / 10);
        // Long enough for several requests each: of a short one the kernel learns the end with its first bytes.
        settings.recording_seconds = (10.0, 120.0);
        settings.playback_requests = 1_000_000;
        let drive = Drive::with(settings, &[&NO_LIMIT, flags].concat());
        drive.tenant.switch(|switches| {
            switches.latency_ms.insert(cxonefs::sim::Endpoint::Media, 5);
        });
        sh("ls -lR").in_dir(drive.path()).ok();
        drive.assert_nothing_was_paid("looking");
        let files: Vec<(PathBuf, i64)> = drive
            .tree
            .recorded()
            .map(|place| (drive.at(&place.path).join("recording.mp4"), place.master))
            .take(recordings as usize)
            .collect();
        assert!(files.len() as u32 > recordings * 9 / 10, "{} recordings", files.len());
        let copies = drive.sandbox.dir("copies");
        Unresolved { drive, files, copies }
    }

    fn copy(&self, number: usize) -> PathBuf {
        self.copies.join(format!("{number}.mp4"))
    }

    /// Lines of `FROM TO`.
    fn list(&self) -> PathBuf {
        let line = |(number, (file, _)): (usize, &(PathBuf, i64))| {
            format!("{} {}\n", file.display(), self.copy(number).display())
        };
        let list = self.drive.sandbox.path("list");
        std::fs::write(&list, self.files.iter().enumerate().map(line).collect::<String>()).unwrap();
        list
    }

    #[track_caller]
    fn assert_copied(&self, second: &str, opens_each: usize) {
        for (number, (file, master)) in self.files.iter().enumerate() {
            let truth = true_bytes(&self.drive.tenant, *master, self.drive.tree.truth(*master).media[0].number);
            for copy in [self.copy(number), with_end(&self.copy(number), second)] {
                assert_same_bytes(&std::fs::read(&copy).unwrap(), &truth, file);
            }
        }
        let (drive, calls) = (&self.drive, self.files.len());
        assert_eq!(drive.counters().playback_billed, calls as u64);
        let ledger = cxonefs(&drive.sandbox.home()).arg("ledger").arg("--config").arg(drive.sandbox.config());
        assert_eq!(ledger.arg("--json").ok().lines().len(), calls, "rows of the ledger");
        let of_file = |line: &Value| line["path"].as_str().is_some_and(|path| path.contains(".mp4"));
        let (lines, opens) = drive.audited(of_file);
        assert_eq!(opens, calls * opens_each, "opens that the audit log counts");
        let billed = lines.iter().filter(|line| line["billed"] == true).count();
        assert_eq!(billed, calls, "lines of the audit log that say that they were billed");
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

fn copies_are_exact(way: &str, second: &str, opens_each: usize, flags: &[&str]) {
    let unresolved = Unresolved::of(flags);
    let list = unresolved.list();
    let line = format!("python3 -c \"$COPY\" {way} < '{}'", list.display());
    sh(&line).env("COPY", COPY).within(std::time::Duration::from_mins(10)).ok();
    unresolved.assert_copied(second, opens_each);
}

#[test]
fn a_copy_by_sendfile_is_exact() {
    copies_are_exact("sendfile", "", 1, &[]);
}

#[test]
fn a_copy_by_splice_is_exact() {
    copies_are_exact("splice", "", 1, &["--set", "mount.passthrough=false"]);
}

#[test]
fn a_copy_by_a_descriptor_that_is_opened_again_is_exact() {
    copies_are_exact("path", "", 1, &[]);
}

#[test]
fn two_copies_of_each_at_once_are_exact() {
    copies_are_exact("two", ".second", 2, &[]);
}

#[test]
fn a_copy_by_busybox_is_exact() {
    let unresolved = Unresolved::of(&[]);
    for (number, (file, _)) in unresolved.files.iter().enumerate() {
        tool("busybox").arg("cp").arg(file).arg(unresolved.copy(number)).ok();
    }
    unresolved.assert_copied("", 1);
}

/// Nobody looks at it between its change and its copy, so the kernel holds the size from before.
#[test]
fn a_contact_json_that_grew_or_shrank_is_copied_whole() {
    let drive = Drive::of(plain(1, 6));
    let day = drive.tenant.settings().last_day.to_string();
    let places: Vec<_> = drive.tree.places.iter().filter(|place| place.path.starts_with(&day)).collect();
    assert!(places.len() >= 4, "{} places", places.len());
    sh("ls -lR").in_dir(drive.path()).ok();
    for (round, letters) in [4_000, 70_000, 100].into_iter().enumerate() {
        let fields = serde_json::json!({
            "dispositionNotes": "x".repeat(letters), "lastUpdateTime": format!("2026-11-1{round}T09:00:00.000Z"),
        });
        drive.tenant.switch(|switches| {
            for place in &places {
                switches.amendments.records.insert(place.contacts[0], fields.as_object().unwrap().clone());
            }
        });
        cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.path()).arg(&day).ok();
        let copies = drive.sandbox.dir(&format!("copies-{round}"));
        let files: Vec<PathBuf> = places.iter().map(|place| drive.at(&place.path).join("contact.json")).collect();
        let line = |(number, file): (usize, &PathBuf)| {
            format!("{} {}\n", file.display(), copies.join(number.to_string()).display())
        };
        let list = drive.sandbox.path("list");
        std::fs::write(&list, files.iter().enumerate().map(line).collect::<String>()).unwrap();
        let way = ["sendfile", "splice", "path"][round];
        sh(&format!("python3 -c \"$COPY\" {way} < '{}'", list.display())).env("COPY", COPY).ok();
        for (number, file) in files.iter().enumerate() {
            let copy = std::fs::read_to_string(copies.join(number.to_string())).unwrap();
            assert!(copy.contains(&"x".repeat(letters)), "round {round}: {} bytes: {copy:.2000}", copy.len());
            assert!(serde_json::from_str::<Value>(&copy).is_ok(), "round {round}: {} bytes", copy.len());
            assert_same_bytes(copy.as_bytes(), &std::fs::read(file).unwrap(), file);
        }
    }
    drive.assert_nothing_was_paid("contact.json");
}

#[test]
fn an_estimate_that_is_too_low_fails_one_open_and_never_a_byte() {
    let drive = Drive::in_environment(plain(1, 3), &[], vec![("CXONEFS_TEST_GUESS", "low".into())]);
    for place in drive.tree.recorded() {
        let path = drive.at(&place.path).join("recording.mp4");
        assert_eq!(path.metadata().unwrap().len(), 1);
        let error = std::fs::read(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
        let reason = || tool("getfattr").args(["--only-values", "-n", "user.cxone.reason"]).arg(&path).run().stdout;
        assert_eq!(reason(), "the size shown before was too low; open it again");
        let truth = true_bytes(&drive.tenant, place.master, drive.tree.truth(place.master).media[0].number);
        assert_same_bytes(&std::fs::read(&path).unwrap(), &truth, &path);
        assert_eq!(reason(), "");
    }
    for outcome in ["EIO", "ok"] {
        let (_, opens) = drive.audited(|line| line["event"] == "open" && line["outcome"] == outcome);
        assert_eq!(opens, drive.tree.recorded().count(), "opens with {outcome} in the audit log");
    }
    let said = drive.mount.stderr();
    let lines = said.lines().filter(|line| line.contains("the size shown before was too low"));
    assert_eq!(lines.count(), drive.tree.recorded().count(), "{said}");
    assert_eq!(drive.counters().playback_billed, drive.tree.recorded().count() as u64);
}

/// Archives each file that standard input names, by the size that `stat` shows before it is opened, and unpacks it again.
const ARCHIVE: &str = r"
import sys, tarfile
for line in sys.stdin:
    name, to = line.split()
    with tarfile.open(to + '.tar', 'w') as archive: archive.add(name, 'it')
    with tarfile.open(to + '.tar') as archive, open(to, 'wb') as out: out.write(archive.extractfile('it').read())
";

#[test]
fn looking_is_exact_for_listed_programs_and_users_and_free_for_others() {
    // The second is longer than what the kernel keeps of a program's name.
    let listed = "mount.resolve_on_stat_for=archiver,a-name-of-many-letters,started-as,65534";
    let modes = ["--set", "mount.dir_mode=0555", "--set", "mount.file_mode=0444"];
    let drive = Drive::with(plain(2, 10), &[&["--allow-other", "--set", listed], &modes[..]].concat());
    let root = drive.sandbox.root();
    std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    for _ in 0..2 {
        // The kernel may keep no estimate: it would answer the listed programs, too.
        sh("ls -lR").in_dir(drive.path()).ok();
        drive.assert_nothing_was_paid("looking by a program that is not listed");
    }
    let files: Vec<(PathBuf, i64)> = drive
        .tree
        .recorded()
        .map(|place| (drive.at(&place.path).join("recording.mp4"), place.master))
        .take(14)
        .collect();
    let truth = |master: i64| drive.tree.truth(master).media[0].bytes;
    let is_shown = |shown: &str, master: i64| shown.trim() == truth(master).to_string();
    let stat = |file: &Path| tool("stat").args(["-c", "%s"]).arg(file).ok().stdout;
    let mut paid = 0;

    let python = root.join("archiver");
    std::fs::copy("/usr/bin/python3", &python).unwrap();
    let line = |number: usize| format!("{} {}\n", files[number].0.display(), root.join(number.to_string()).display());
    std::fs::write(root.join("list"), (0..10).map(line).collect::<String>()).unwrap();
    let archive = |python: &Path| {
        let line =
            format!("PYTHONHOME=/usr '{}' -c \"$ARCHIVE\" < '{}'", python.display(), root.join("list").display());
        sh(&line).env("ARCHIVE", ARCHIVE).run()
    };
    assert_ne!(archive(Path::new("/usr/bin/python3")).code(), 0, "it goes by the estimate");
    drive.tenant.reset_counters();
    paid += 9;
    assert_eq!(archive(&python).code(), 0);
    for (number, (file, master)) in files.iter().enumerate().take(10) {
        let bytes = true_bytes(&drive.tenant, *master, drive.tree.truth(*master).media[0].number);
        assert_same_bytes(&std::fs::read(root.join(number.to_string())).unwrap(), &bytes, file);
    }
    assert_eq!(drive.counters().playback_billed, paid, "the first was resolved by the program that failed");
    let ledger = cxonefs(&drive.sandbox.home()).arg("ledger").arg("--config").arg(drive.sandbox.config());
    assert_eq!(ledger.arg("--json").ok().stdout.matches("\"stat\"").count(), 9, "what it was for");

    // By a long name of the file, which the kernel cuts; by the name that it was started as; by the user.
    let (cut, as_cut) = (&files[10], root.join("a-name-of-many-letters"));
    std::fs::copy("/usr/bin/stat", &as_cut).unwrap();
    let shown = tool(&as_cut).args(["-c", "%s"]).arg(&cut.0).ok().stdout;
    assert!(is_shown(&shown, cut.1), "{shown}");
    let named = &files[11];
    let shown = sh("exec -a started-as stat -c %s \"$F\"").env("F", &named.0).ok().stdout;
    assert!(is_shown(&shown, named.1), "{shown}");
    let of_user = &files[12];
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "stat", "-c", "%s"];
    let shown = tool("setpriv").args(user).arg(&of_user.0).ok().stdout;
    assert!(is_shown(&shown, of_user.1), "{shown}");
    paid += 3;
    assert_eq!(drive.counters().playback_billed, paid);

    let other = &files[13];
    assert!(!is_shown(&stat(&other.0), other.1));
    for (file, master) in &files[..13] {
        assert!(is_shown(&stat(file), *master), "what was learned is shown to everybody");
    }
    assert_eq!(drive.counters().playback_billed, paid);
}

/// A drive that is also mounted beside, with exact sizes.
fn with_exact_door(settings: cxonefs::sim::SimSettings) -> (Drive, PathBuf) {
    let tenant = Tenant::start(settings);
    let sandbox = Sandbox::of(&tenant);
    let exact = sandbox.dir("exact");
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let also = format!("{text}\n[[mount.also]]\ndir = \"{}\"\nresolve_on = \"stat\"\n", exact.display());
    std::fs::write(sandbox.config(), also).unwrap();
    let mount = Mount::start(&sandbox, &[]);
    eventually("the second place is mounted", std::time::Duration::from_secs(30), || mount_at(&exact).is_some());
    let tree = Tree::of(&tenant);
    (Drive { mount, sandbox, tenant, tree }, exact)
}

#[test]
fn two_doors_of_one_daemon_have_rules_of_their_own() {
    let (drive, exact) = with_exact_door(plain(2, 10));
    sh("ls -lR").in_dir(drive.path()).ok();
    drive.assert_nothing_was_paid("looking through the first door");
    let places: Vec<_> = drive.tree.recorded().take(4).collect();
    for (number, place) in places.iter().enumerate() {
        let truth = drive.tree.truth(place.master).media[0].bytes;
        let (ours, other) =
            (drive.at(&place.path).join("recording.mp4"), exact.join(&place.path).join("recording.mp4"));
        assert_ne!(ours.metadata().unwrap().len(), truth, "an estimate that is right by chance");
        assert_eq!(other.metadata().unwrap().len(), truth);
        assert_eq!(drive.counters().playback_billed, number as u64 + 1);
        assert_eq!(ours.metadata().unwrap().len(), truth, "the first door is told what was learned through the second");
        assert_eq!(ours.metadata().unwrap().ino(), other.metadata().unwrap().ino());
        let copies = drive.sandbox.dir(&number.to_string());
        for (from, to) in [(&ours, copies.join("first")), (&other, copies.join("second"))] {
            tool("busybox").arg("cp").arg(from).arg(&to).ok();
            let bytes = true_bytes(&drive.tenant, place.master, drive.tree.truth(place.master).media[0].number);
            assert_same_bytes(&std::fs::read(&to).unwrap(), &bytes, from);
        }
        assert_eq!(drive.counters().playback_billed, number as u64 + 1, "one bill for both");
    }
    let status = drive.mount.status();
    let doors: Vec<(&str, &str)> = status["doors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|door| (door["mount_point"].as_str().unwrap(), door["resolve_on"].as_str().unwrap()))
        .collect();
    assert_eq!(doors, [(drive.path().to_str().unwrap(), "open"), (exact.to_str().unwrap(), "stat")]);
}

#[test]
fn a_door_is_unmounted_by_itself_and_the_daemon_ends_with_the_last() {
    let (mut drive, exact) = with_exact_door(plain(1, 3));
    let umount = |path: &Path| cxonefs(&drive.sandbox.home()).arg("umount").arg(path).ok().stderr;
    assert_eq!(umount(drive.path()), "", "nobody waits for a daemon that serves another door");
    assert_eq!(mount_at(drive.path()), None);
    let place = &drive.tree.places[0];
    let recording = exact.join(&place.path).join("recording.mp4");
    let bytes = true_bytes(&drive.tenant, place.master, drive.tree.truth(place.master).media[0].number);
    assert_same_bytes(&std::fs::read(&recording).unwrap(), &bytes, &recording);
    umount(&exact);
    assert!(drive.mount.wait().success());
    assert_eq!(mount_at(&exact), None);
}

#[test]
fn all_doors_are_mounted_or_none() {
    let tenant = Tenant::start(plain(1, 1));
    let sandbox = Sandbox::of(&tenant);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let cases = [("/nowhere/at/all", "does not exist"), (sandbox.home().to_str().unwrap(), "")]
        .map(|(dir, said)| (dir.to_owned(), said));
    std::fs::write(sandbox.home().join("occupied"), "x").unwrap();
    for (dir, said) in cases {
        std::fs::write(sandbox.config(), format!("{text}\n[[mount.also]]\ndir = \"{dir}\"\n")).unwrap();
        let ended = Mount::attempt(&sandbox, &[]).map(|_| ()).unwrap_err();
        assert!(ended.said.contains(said) && ended.said.contains(&dir), "{}", ended.said);
        assert_eq!(mount_at(&sandbox.mount_point()), None);
    }
    for (also, said) in
        [("resolve = \"stat\"", "did you mean \"resolve_on\"?"), ("resolve_on = \"stat\"", "dir is missing")]
    {
        std::fs::write(sandbox.config(), format!("{text}\n[[mount.also]]\n{also}\n")).unwrap();
        let ended = Mount::attempt(&sandbox, &[]).map(|_| ()).unwrap_err();
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains(said), "{}", ended.said);
    }
}
