//! Samba: the mount as a share on a loopback port, read by its own client.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use super::work::{Work, recorded_all};
use crate::harness::{Running, eventually, tool};

/// A file server of its own, with all its state in the sandbox.
struct Server {
    port: u16,
    _smbd: Running,
}

impl Server {
    fn start(work: &Work) -> Server {
        // Free a moment ago: nobody else asks for ports below this one's.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = work.drive.sandbox.path("samba");
        for name in ["private", "lock", "state", "cache", "pid", "ncalrpc"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        let at = |name: &str| dir.join(name).display().to_string();
        let config = format!(
            "[global]\nserver role = standalone\nmap to guest = Bad User\nguest account = root\nsmb ports = {port}\n\
             interfaces = 127.0.0.1\nbind interfaces only = yes\nload printers = no\ndisable spoolss = yes\n\
             private dir = {}\nlock directory = {}\nstate directory = {}\ncache directory = {}\npid directory = {}\n\
             ncalrpc dir = {}\nlog file = {}\n\
             [recordings]\npath = {}\nguest ok = yes\nread only = yes\n",
            at("private"),
            at("lock"),
            at("state"),
            at("cache"),
            at("pid"),
            at("ncalrpc"),
            at("log"),
            work.source().display()
        );
        std::fs::write(dir.join("smb.conf"), config).unwrap();
        let smbd = tool("smbd").args(["--foreground", "--no-process-group", "--debug-stdout", "-s"]);
        let smbd = smbd.arg(dir.join("smb.conf")).start();
        eventually("smbd listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Server { port, _smbd: smbd }
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
        let server = Server::start(&work);
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
    let server = Server::start(&work);
    server.copy_to(&work, &work.restored());
    let counters = work.drive.counters();
    assert_eq!((counters.playback_calls, counters.media_bytes), (0, 0), "{counters:?}");
    work.assert_copy(&work.restored(), |master| work.drive.tree.predicted(master));
}
