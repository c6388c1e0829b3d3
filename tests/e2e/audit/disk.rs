//! The state directory's disk is full: opens are counted, or refused where the audit is required; never half a line, and never nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{findings, lines_of, of_event};
use crate::harness::{Mount, Sandbox, Tenant, Tree, eventually, plain, tool};

/// A small file system with a state directory on it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: PathBuf) -> SmallDisk {
        std::fs::create_dir(&path).unwrap();
        tool("mount").args(["-t", "tmpfs", "-o", "size=6m,mode=0700", "small"]).arg(&path).ok();
        SmallDisk(path)
    }

    fn fill(&self) {
        tool("sh").arg("-c").arg(format!("cat /dev/zero > {}/filler", self.0.display())).run();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        tool("umount").arg("-lq").arg(&self.0).run();
    }
}

struct Small {
    mount: Mount,
    disk: SmallDisk,
    sandbox: Sandbox,
    files: Vec<PathBuf>,
    _tenant: Tenant,
}

impl Small {
    /// All of it is resolved and cached, so that reading needs no room in the state database.
    fn with(flags: &[&str]) -> Small {
        let tenant = Tenant::start(plain(2, 20));
        let sandbox = Sandbox::of(&tenant);
        let disk = SmallDisk::at(sandbox.state());
        let mount = Mount::start(&sandbox, flags);
        let tree = Tree::of(&tenant);
        let files: Vec<PathBuf> = tree.recorded().map(|place| mount.at(&place.path).join("recording.mp4")).collect();
        for file in &files {
            std::fs::read(file).unwrap();
        }
        Small { mount, disk, sandbox, files, _tenant: tenant }
    }

    fn status(&self) -> Value {
        self.mount.status()["audit"].clone()
    }
}

/// Opens that are no repeats: each by a process of its own.
fn open(file: &Path) -> Result<(), String> {
    let done = tool("cat").arg(file).run();
    if done.code() == 0 { Ok(()) } else { Err(done.stderr) }
}

#[test]
fn events_that_do_not_fit_are_counted_and_told_in_a_line_of_their_own() {
    let small = Small::with(&[]);
    small.disk.fill();
    // The last page of the file may still have room.
    eventually("the log cannot be written", Duration::from_secs(20), || {
        small.files.iter().for_each(|file| open(file).unwrap());
        small.status()["trouble"].is_string()
    });
    for file in &small.files[..10] {
        open(file).unwrap();
    }
    eventually("they are counted", Duration::from_secs(10), || small.status()["lost"].as_u64().unwrap() >= 10);
    let status = small.status();
    assert!(status["warning"].as_str().unwrap().contains("free"), "{status}");
    small.disk.make_room();
    let state = small.sandbox.state();
    eventually("a line says how many", Duration::from_secs(20), || !of_event(&lines_of(&state), "lost").is_empty());
    open(&small.files[0]).unwrap();
    eventually("it is written again", Duration::from_secs(10), || small.status()["trouble"].is_null());
    let marker = of_event(&lines_of(&state), "lost")[0].clone();
    assert!(
        marker["lost"].as_u64().unwrap() >= 10 && marker["lost_by_uid"]["0"].as_u64() == marker["lost"].as_u64(),
        "{marker}"
    );
    assert_eq!(small.mount.stderr().matches("cannot write the audit log").count(), 1, "{}", small.mount.stderr());
    assert_eq!(findings(&small.sandbox, &state), Vec::<String>::new());
}

#[test]
fn where_the_audit_is_required_nothing_is_opened_that_is_not_on_record() {
    let mut small = Small::with(&["--set", "audit.required=true"]);
    let state = small.sandbox.state();
    open(&small.files[0]).unwrap();
    small.mount.kill_nine();
    let before = lines_of(&state);
    let last = before.last().unwrap();
    assert_eq!(
        (last["event"].as_str(), last["comm"].as_str()),
        (Some("open"), Some("cat")),
        "on disk before the open was answered"
    );
    drop(small.mount);
    small.mount = Mount::start(&small.sandbox, &["--set", "audit.required=true"]);
    small.disk.fill();
    let mut refused = None;
    eventually("an open is refused", Duration::from_secs(20), || {
        refused = small.files.iter().find_map(|file| open(file).err());
        refused.is_some()
    });
    assert!(refused.unwrap().contains("Input/output error"));
    let refused = std::fs::read(&small.files[1]).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EIO), "{refused}");
    let status = small.status();
    assert!(status["trouble"].is_string() && status["required"] == true, "{status}");
    assert!(small.mount.stderr().contains("audit.required"), "{}", small.mount.stderr());
    small.disk.make_room();
    eventually("it opens again", Duration::from_secs(10), || open(&small.files[2]).is_ok());
    assert_eq!(findings(&small.sandbox, &state), Vec::<String>::new());
}
