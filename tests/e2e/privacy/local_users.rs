//! Another user of the same machine: his sockets, directories and configurations are never trusted.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::harness::{Done, Mount, Sandbox, Tenant, binary, mount_at, plain, tool};

/// Users that need no account: their numbers are enough.
const VICTIM: u32 = 64_011;
const ATTACKER: u32 = 64_012;

/// The program as another user, outside of any login session.
fn as_user(uid: u32, sandbox: &Sandbox, arguments: &[&str]) -> Done {
    let user = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()];
    let home = format!("HOME={}", sandbox.path("victim").display());
    let tmp = format!("TMPDIR={}", sandbox.path("shared").display());
    let program = binary();
    tool("setpriv").args(user).args(["env", "-i", &home, &tmp]).arg(program).args(arguments).run()
}

/// He made the directory and a socket that says yes to everything: the command must not believe it.
#[test]
fn a_forged_socket_is_not_believed() {
    let sandbox = Sandbox::empty();
    let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    open(sandbox.root(), 0o755);
    open(&sandbox.dir("shared"), 0o1777);
    chown(sandbox.dir("victim"), Some(VICTIM), Some(VICTIM)).unwrap();
    let forged = sandbox.path("shared").join(format!("cxonefs-{VICTIM}"));
    fs::create_dir(&forged).unwrap();
    let mount_point = sandbox.mount_point();
    let socket = cxonefs::ops::control::socket_of(&forged, &mount_point);
    let listener = UnixListener::bind(&socket).unwrap();
    for path in [&forged, &socket] {
        chown(path, Some(ATTACKER), Some(ATTACKER)).unwrap();
    }
    open(&forged, 0o755);
    open(&socket, 0o666);
    let answering = std::thread::spawn(move || {
        for stream in listener.incoming().take(1) {
            use std::io::{Read, Write};
            let (mut stream, mut asked) = (stream.unwrap(), [0; 4096]);
            let _ = stream.read(&mut asked);
            // As a daemon says it.
            let report = r#""dry_run":false,"recordings":1,"bytes":1,"interactions":1,"master_contacts":[701000000122],"folders":1"#;
            let rest = r#""documents":1,"document_bytes":1,"ledger_rows":1,"log_lines":1"#;
            let body = format!("{{\"done\":{{{report},{rest}}}}}\n");
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    for arguments in [
        vec!["cache", "purge", "--yes", "--contact", "701000000122", mount_point.to_str().unwrap()],
        vec!["status", mount_point.to_str().unwrap()],
        vec!["status"],
    ] {
        let done = as_user(VICTIM, &sandbox, &arguments);
        assert_ne!(done.code(), 0, "{arguments:?}: {}{}", done.stdout, done.stderr);
        assert!(!done.stdout.contains("erased"), "{}", done.stdout);
    }
    // Nobody connected.
    assert!(!answering.is_finished(), "the forged socket was asked");
    drop(std::os::unix::net::UnixStream::connect(&socket).unwrap());
    answering.join().unwrap();
}

/// The configuration says where the access key goes.
#[test]
fn a_configuration_that_others_may_change_is_refused() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let config = sandbox.config();
    let refused = |what: &str| {
        let ended = Mount::attempt(&sandbox, &[]).err().expect("it mounted");
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains(what) && ended.said.contains("ch"), "{}", ended.said);
        assert_eq!(mount_at(&sandbox.mount_point()), None);
    };
    fs::set_permissions(&config, Permissions::from_mode(0o666)).unwrap();
    refused("can be changed by others (mode 0666)");
    fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    chown(&config, Some(ATTACKER), None).unwrap();
    refused(&format!("belongs to user {ATTACKER}"));
    chown(&config, Some(0), None).unwrap();
    fs::set_permissions(sandbox.root(), Permissions::from_mode(0o777)).unwrap();
    refused("can be changed by others (mode 0777)");
    fs::set_permissions(sandbox.root(), Permissions::from_mode(0o1777)).unwrap();
    drop(Mount::start(&sandbox, &[]));
    assert_eq!(tenant.counters().tokens_issued, 1, "nothing was sent anywhere before");
}

/// A mount made in a login session is found from cron or after `su`, which have no `XDG_RUNTIME_DIR`.
#[test]
fn a_session_without_variables_finds_the_mount() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, &[]);
    let done = tool("env").arg("-i").arg(binary()).arg("status").arg(mount.path()).run();
    assert_eq!(done.code(), 0, "{}", done.stderr);
}
