//! Whoever may read a mount that root made may ask about it: status, own rows of the ledger, warm, refresh --retry. Nobody else may, and
//! nobody who took the daemon's place is believed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Done, Drive, eventually, plain, tool};

/// Users and a group that need no account: their numbers are enough.
const MEMBER: u32 = 64_021;
const STRANGER: u32 = 64_022;
const GROUP: u32 = 64_023;

/// A mount that the group may read.
fn shared(flags: &[&str]) -> Drive {
    let group = format!("mount.gid={GROUP}");
    let shared = [
        "--set",
        "mount.allow_other=true",
        "--set",
        "mount.dir_mode=0550",
        "--set",
        "mount.file_mode=0440",
        "--set",
        &group,
    ];
    let drive = Drive::with(plain(2, 4), &[&shared[..], flags].concat());
    fs::set_permissions(drive.sandbox.root(), Permissions::from_mode(0o755)).unwrap();
    for user in [MEMBER, STRANGER] {
        chown(drive.sandbox.dir(&format!("home-{user}")), Some(user), Some(user)).unwrap();
    }
    drive
}

/// The program as a user who is in the group, or not.
fn as_user(drive: &Drive, uid: u32, groups: &str, arguments: &[&str]) -> Done {
    let user = [format!("--reuid={uid}"), format!("--regid={uid}"), groups.to_owned()];
    let home = format!("HOME={}", drive.sandbox.path(&format!("home-{uid}")).display());
    let binary = std::env::var_os("CXONEFS_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_cxonefs").into());
    tool("setpriv").args(user).args(["env", "-i", &home]).arg(binary).args(arguments).run()
}

fn member(drive: &Drive, arguments: &[&str]) -> Done {
    as_user(drive, MEMBER, &format!("--groups={GROUP}"), arguments)
}

#[track_caller]
fn refused(done: &Done, parts: &[&str]) {
    let said = format!("{}{}", done.stdout, done.stderr);
    assert_eq!(done.code(), 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not said:\n{said}");
    }
    assert!(!said.contains(".sock") && !said.contains("/run/"), "a path of a socket helps nobody:\n{said}");
}

fn rows(done: &Done) -> Vec<Value> {
    assert_eq!(done.code(), 0, "{}", done.stderr);
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_member_has_tools_and_pays_in_their_own_name() {
    let drive = shared(&["--set", "limits.daily_budget_per_user=2"]);
    let mount = drive.path().to_str().unwrap().to_owned();
    let files: Vec<String> =
        drive.tree.recorded().map(|place| drive.at(&place.path).join("recording.mp4").display().to_string()).collect();
    // Somebody else's call.
    fs::read(&files[0]).unwrap();

    let done = member(&drive, &["status", &mount, "--json"]);
    let status: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr));
    assert_eq!(status["mount_point"], *mount);
    assert_eq!((&status["tenant"]["access_key_id"], &status["slowest"]), (&"".into(), &Value::Array(Vec::new())));
    let all = member(&drive, &["status"]);
    assert!(all.stdout.contains(&mount), "the mount is found without its name: {}{}", all.stdout, all.stderr);

    let done = member(&drive, &["warm", "--yes", &files[1]]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let own = rows(&member(&drive, &["ledger", &mount, "--json"]));
    assert_eq!(own.len(), 1, "own rows only: {own:?}");
    assert_eq!((&own[0]["uid"], &own[0]["why"]), (&MEMBER.into(), &"warm".into()));

    // One more is within the member's own budget, a third is not.
    assert_eq!(member(&drive, &["warm", "--yes", &files[2]]).code(), 0);
    refused(&member(&drive, &["warm", "--yes", &files[3]]), &["budget"]);
    assert_eq!(drive.counters().playback_billed, 3);

    let done = member(&drive, &["refresh", &mount, "--retry"]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    for event in ["warm", "retry"] {
        let (lines, _) =
            drive.audited(|line| line["event"] == event && line["uid"] == MEMBER && line["comm"] == "cxonefs");
        assert!(!lines.is_empty(), "{event} is on record in the member's name");
    }
    let by_owner = "only user 0 (root), who made this mount, and root may do this";
    for command in
        [&["refresh", &*mount][..], &["log-level", &mount, "debug"], &["cache", "purge", "--contact", "1", &mount]]
    {
        refused(&member(&drive, command), &[by_owner, "sudo"]);
    }
}

#[test]
fn a_stranger_is_told_who_made_the_mount_and_nothing_else() {
    let drive = shared(&[]);
    let mount = drive.path().to_str().unwrap().to_owned();
    for command in
        [&["status", &*mount][..], &["ledger", &mount], &["refresh", &mount, "--retry"], &["log-level", &mount]]
    {
        refused(&as_user(&drive, STRANGER, "--clear-groups", command), &["made by user 0 (root)", "sudo"]);
    }
    refused(&as_user(&drive, STRANGER, "--clear-groups", &["status"]), &[&mount, "mounted by user 0 (root)"]);
}

/// Each connection takes a descriptor of the daemon.
#[test]
fn a_member_who_connects_for_ever_takes_nothing_from_others() {
    let drive = shared(&[]);
    let mount = drive.path().to_str().unwrap().to_owned();
    let name = cxonefs::ops::control::members_socket(Path::new(&mount), 0);
    let name = name.to_str().unwrap().trim_start_matches('\0').to_owned();
    let ready = drive.sandbox.path(&format!("home-{MEMBER}")).join("ready");
    // Counts those on which nothing was hung up, after an answer came on the first.
    let connect = "import select,socket,sys,time\ndef one():\n s=socket.socket(socket.AF_UNIX)\n s.connect('\\0'+sys.argv[1])\n return s\n\
         all=[one() for _ in range(300)]\ntime.sleep(2)\n\
         closed=[s for s in all if select.select([s],[],[],0)[0]]\n\
         open(sys.argv[2],'w').write(str(len(all)-len(closed)))\ntime.sleep(60)\n";
    let user = [format!("--reuid={MEMBER}"), format!("--regid={MEMBER}"), format!("--groups={GROUP}")];
    let python = ["env", "PATH=/usr/bin:/bin", "python3", "-c"];
    let greedy = tool("setpriv").args(user).args(python).args([connect, &name]).arg(&ready).start();
    let held = || fs::read_to_string(&ready).ok().and_then(|text| text.parse::<usize>().ok());
    eventually("all are connected", Duration::from_secs(30), || held().is_some());
    assert!(held().unwrap() <= 16, "{:?} connections are held", held());
    // Another member is answered meanwhile, and so is the owner.
    let group = format!("--groups={GROUP}");
    assert_eq!(as_user(&drive, STRANGER, &group, &["status", &mount]).code(), 0);
    drive.mount.status();
    drop(greedy);
    eventually("it is answered again", Duration::from_secs(10), || member(&drive, &["status", &mount]).code() == 0);
}

/// The name of the door is anybody's to take before the daemon comes, too.
#[test]
fn who_takes_the_doors_name_first_is_named_and_keeps_it_from_nobody_for_ever() {
    let mut drive = shared(&[]);
    let mount = drive.path().to_str().unwrap().to_owned();
    drive.mount.terminate();
    let name = cxonefs::ops::control::members_socket(Path::new(&mount), 0);
    let name = name.to_str().unwrap().trim_start_matches('\0').to_owned();
    let ready = drive.sandbox.path(&format!("home-{STRANGER}")).join("ready");
    let squat = "import socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.bind('\\0'+sys.argv[1])\ns.listen(9)\nopen(sys.argv[2],'w')\ntime.sleep(99)\n";
    let user = [format!("--reuid={STRANGER}"), format!("--regid={STRANGER}"), String::from("--clear-groups")];
    let python = ["env", "PATH=/usr/bin:/bin", "python3", "-c"];
    let squatter = tool("setpriv").args(user).args(python).args([squat, &name]).arg(&ready).start();
    eventually("the name is taken", Duration::from_secs(10), || ready.exists());
    drive.mount.start_again();
    let who = format!("which user {STRANGER}");
    eventually("it is said who has it", Duration::from_secs(10), || drive.mount.stderr().contains(&who));
    refused(&member(&drive, &["status", &mount]), &["is not believed"]);
    // One such mount hides no other.
    let all = member(&drive, &["status"]);
    assert!(all.stderr.contains("is not believed"), "{}", all.stderr);
    assert!(all.code() == 0 || all.stderr.contains("no cxonefs mount"), "the next one was asked: {}", all.stderr);
    drop(squatter);
    eventually("it is answered", Duration::from_secs(20), || member(&drive, &["status", &mount]).code() == 0);
}

#[test]
fn without_allow_other_nobody_else_is_answered() {
    let drive = Drive::of(plain(1, 2));
    fs::set_permissions(drive.sandbox.root(), Permissions::from_mode(0o755)).unwrap();
    chown(drive.sandbox.dir(&format!("home-{MEMBER}")), Some(MEMBER), Some(MEMBER)).unwrap();
    let mount = drive.path().to_str().unwrap().to_owned();
    refused(&member(&drive, &["status", &mount]), &["mounted by user 0 (root)", "mount.allow_other"]);
}

/// The name of the door is anybody's to take once the daemon is gone.
#[test]
fn a_stopped_daemon_is_not_waited_for_and_a_forged_one_is_not_believed() {
    let mut drive = shared(&[]);
    let mount = drive.path().to_str().unwrap().to_owned();
    assert_eq!(member(&drive, &["status", &mount]).code(), 0);
    drive.mount.signal(Signal::STOP);
    let begun = Instant::now();
    refused(&member(&drive, &["status", &mount]), &["does not answer"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    drive.mount.signal(Signal::CONT);
    // It leaves a dead mount behind.
    drive.mount.kill_nine();
    let name = cxonefs::ops::control::members_socket(Path::new(&mount), 0);
    let name = name.to_str().unwrap().trim_start_matches('\0').to_owned();
    let ready = drive.sandbox.path(&format!("home-{STRANGER}")).join("ready");
    let forge = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind('\\0'+sys.argv[1])\ns.listen(9)\nopen(sys.argv[2],'w')\n\
         while True:\n c,_=s.accept()\n try: c.sendall(b'HTTP/1.1 200 OK\\r\\ncontent-length: 4\\r\\n\\r\\nnull')\n except OSError: pass\n c.close()\n";
    let user = [format!("--reuid={STRANGER}"), format!("--regid={STRANGER}"), String::from("--clear-groups")];
    // Not one that is root's alone.
    let python = ["env", "PATH=/usr/bin:/bin", "python3", "-c"];
    let forged = tool("setpriv").args(user).args(python).args([forge, &name]).arg(&ready).start();
    eventually("the forged daemon listens", Duration::from_secs(10), || ready.exists());
    for command in [&["status", &*mount][..], &["refresh", &mount, "--retry"], &["ledger", &mount]] {
        refused(&member(&drive, command), &["is not believed", &STRANGER.to_string()]);
    }
    drop(forged);
}
