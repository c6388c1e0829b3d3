//! Samba: the mount as a share on a loopback port, read by its own client.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use super::work::{Work, recorded_all};
use crate::harness::{Drive, Running, Sandbox, Tool, eventually, plain, tool};

/// A file server of its own, with all its state in the sandbox.
struct Server {
    port: u16,
    _smbd: Running,
}

/// A share for everybody.
const GUEST: &str = "guest ok = yes\n";

impl Server {
    fn start(sandbox: &Sandbox, path: &Path, share: &str) -> Server {
        // Free a moment ago: nobody else asks for ports below this one's.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = sandbox.path("samba");
        for name in ["private", "lock", "state", "cache", "pid", "ncalrpc"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        let at = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "[global]\nserver role = standalone\nmap to guest = Bad User\nguest account = root\nsmb ports = {port}\n\
             interfaces = 127.0.0.1\nbind interfaces only = yes\nload printers = no\ndisable spoolss = yes\n\
             private dir = {}\nlock directory = {}\nstate directory = {}\ncache directory = {}\npid directory = {}\n\
             ncalrpc dir = {}\nlog file = {}\n\
             [recordings]\npath = {}\nread only = yes\n{share}",
            at("private"),
            at("lock"),
            at("state"),
            at("cache"),
            at("pid"),
            at("ncalrpc"),
            at("log"),
            path.display()
        );
        std::fs::write(dir.join("smb.conf"), config).unwrap();
        if sandbox.path("passwd").exists() {
            for user in USERS {
                let set = tool("bash")
                    .args(["-c", &format!("printf 'x\\nx\\n' | smbpasswd -c '{}' -s -a {}", at("smb.conf"), user.0)]);
                with_users(set, sandbox).ok();
            }
        }
        let smbd = tool("smbd").args(["--foreground", "--no-process-group", "--debug-stdout", "-s"]);
        let smbd = with_users(smbd.arg(dir.join("smb.conf")), sandbox).start();
        eventually("smbd listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Server { port, _smbd: smbd }
    }

    /// What a user's commands to `smbclient` answer.
    fn ask_as(&self, user: &str, sandbox: &Sandbox, commands: &str) -> String {
        let client = tool("smbclient").arg("//127.0.0.1/recordings").args(["-p", &self.port.to_string(), "-U", user]);
        client.args(["-c", commands]).env("HOME", sandbox.home()).ok().stdout
    }

    #[track_caller]
    fn ask(&self, work: &Work, commands: &str) -> String {
        let client = tool("smbclient").arg("//127.0.0.1/recordings").args(["-N", "-p", &self.port.to_string()]);
        client.args(["-c", commands]).env("HOME", work.home()).ok().stdout
    }

    #[track_caller]
    fn copy_to(&self, work: &Work, target: &Path) {
        std::fs::create_dir(target).unwrap();
        self.ask(work, &format!("lcd \"{}\"; recurse on; prompt off; mget *", target.display()));
    }
}

#[test]
fn samba_shares_the_mount() {
    let mut work = Work::of(recorded_all(), &[]);
    {
        let server = Server::start(&work.drive.sandbox, &work.source(), GUEST);
        let listed = server.ask(&work, "recurse on; ls");
        for place in &work.places {
            let name = place.path.file_name().unwrap().to_str().unwrap();
            assert!(listed.contains(name), "{name} is not listed:\n{listed}");
        }
        work.drive.assert_nothing_was_paid("a listing by Samba");
        server.copy_to(&work, &work.store());
        work.assert_copy(&work.store(), |master| work.drive.tree.predicted(master));
        assert_eq!(work.drive.counters().playback_calls, work.interactions());
    }
    work.drive.mount.remount();
    work.drive.tenant.reset_counters();
    let server = Server::start(&work.drive.sandbox, &work.source(), GUEST);
    server.copy_to(&work, &work.restored());
    let counters = work.drive.counters();
    assert_eq!((counters.playback_calls, counters.media_bytes), (0, 0), "{counters:?}");
    work.assert_copy(&work.restored(), |master| work.drive.tree.predicted(master));
}

/// Users without accounts on this machine, and the group that reads the mount.
const USERS: [(&str, u32); 2] = [("alice", 64_011), ("bob", 64_012)];
const GROUP: u32 = 64_110;

/// A program that finds these users besides root.
fn with_users(tool: Tool, sandbox: &Sandbox) -> Tool {
    if !sandbox.path("passwd").exists() {
        return tool;
    }
    let tool = tool.env("LD_PRELOAD", "libnss_wrapper.so").env("NSS_WRAPPER_PASSWD", sandbox.path("passwd"));
    tool.env("NSS_WRAPPER_GROUP", sandbox.path("group"))
}

#[test]
fn users_of_a_share_are_told_apart_and_its_files_are_offline() {
    let group = format!("mount.gid={GROUP}");
    let drive = Drive::with(plain(1, 4), &["--allow-other", "--set", &group]);
    let users = USERS.map(|(name, uid)| format!("{name}:x:{uid}:{GROUP}:::/bin/sh\n")).concat();
    std::fs::write(drive.sandbox.path("passwd"), format!("root:x:0:0:::/bin/sh\n{users}")).unwrap();
    std::fs::write(drive.sandbox.path("group"), format!("root:x:0:\ncalls:x:{GROUP}:alice,bob\n")).unwrap();
    std::fs::set_permissions(drive.sandbox.root(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let server = Server::start(&drive.sandbox, drive.path(), "valid users = @calls\nvfs objects = offline\n");
    let places: Vec<_> = drive.tree.recorded().take(2).map(|place| place.path.display().to_string()).collect();
    for ((user, _), place) in USERS.iter().zip(&places) {
        let listed = server.ask_as(&format!("{user}%x"), &drive.sandbox, &format!("ls \"{place}/*\""));
        let files: Vec<&str> =
            listed.lines().filter(|line| line.contains(".json") || line.contains("recording.mp4")).collect();
        assert_eq!(files.len(), 3, "{listed}");
        // The attribute's letter stands behind the name.
        assert!(files.iter().all(|line| line.split_whitespace().nth(1) == Some("o")), "{listed}");
    }
    drive.assert_nothing_was_paid("listings of the share");
    for ((user, _), place) in USERS.iter().zip(&places) {
        let copy = drive.sandbox.path(user);
        let get = format!("get \"{place}/recording.mp4\" \"{}\"", copy.display());
        server.ask_as(&format!("{user}%x"), &drive.sandbox, &get);
        assert!(copy.metadata().unwrap().len() > 0);
    }
    let rows = crate::harness::cxonefs(&drive.sandbox.home()).args(["ledger", "--json"]).arg(drive.path()).ok().stdout;
    let audit = std::fs::read_to_string(drive.sandbox.state().join("audit.log")).unwrap();
    for (_, uid) in USERS {
        let uid = format!("\"uid\":{uid}");
        assert_eq!(rows.matches(&uid).count(), 1, "{uid} in the ledger: {rows}");
        assert!(audit.contains(&uid), "{uid} in the audit log: {audit}");
    }
}
