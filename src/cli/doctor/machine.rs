//! What this machine must offer: FUSE, its helper, the kernel. Files are looked for below a root that tests choose.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::check::Check;
use crate::base::locked;
use crate::cli::preflight;
use crate::config::{Config, Host};

/// The first kernel with FUSE passthrough.
const PASSTHROUGH_SINCE: (u32, u32) = (6, 9);
/// `CAP_SYS_ADMIN`, as a bit of `CapEff`.
const ADMINISTRATOR: u64 = 1 << 21;

/// The machine and who asks.
pub struct Machine {
    pub root: PathBuf,
    pub host: Host,
    pub search_path: Option<OsString>,
}

impl Machine {
    /// This one.
    pub fn this(host: &Host) -> Machine {
        Machine { root: PathBuf::from("/"), host: host.clone(), search_path: std::env::var_os("PATH") }
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    fn text(&self, absolute: &str) -> String {
        std::fs::read_to_string(self.path(absolute)).unwrap_or_default()
    }

    fn may_administer(&self) -> bool {
        let status = self.text("/proc/self/status");
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|mask| mask & ADMINISTRATOR != 0)
    }
}

/// Looks at everything. Without a configuration, what depends on it is skipped.
pub fn checks(machine: &Machine, config: Option<&Config>) -> Vec<Check> {
    vec![
        device(&machine.path("/dev/fuse")),
        helper(machine),
        allow_other(machine, config),
        kernel(machine),
        passthrough(machine, config),
        apparmor(machine),
        process_ids(machine),
        locked_memory(config, locked::is_locked()),
    ]
}

fn locked_memory(config: Option<&Config>, is_locked: bool) -> Check {
    const NAME: &str = "locked memory";
    match config {
        None => Check::skipped(NAME, "no configuration"),
        Some(config) if config.cache.keys.current.is_none() => {
            Check::ok(NAME, "not needed: there is no key of encryption")
        }
        Some(_) if is_locked => Check::ok(NAME, "keys are not swapped out"),
        Some(_) => Check::hint(
            NAME,
            "the limit of locked memory is too low: keys may be swapped out",
            "raise it (LimitMEMLOCK=1M in the unit, ulimit -l 1024), or use encrypted swap",
        ),
    }
}

fn device(path: &Path) -> Check {
    match preflight::fuse_device(path) {
        Ok(()) => Check::ok("fuse device", format!("{} can be opened", path.display())),
        Err(failure) => Check::of_failure("fuse device", &failure),
    }
}

fn helper(machine: &Machine) -> Check {
    let found = preflight::helper_program(machine.search_path.as_deref());
    match found {
        Ok(()) => Check::ok("fusermount3", "found"),
        Err(_) if machine.host.is_root() => Check::ok("fusermount3", "missing, but root mounts without it"),
        Err(failure) => Check::of_failure("fusermount3", &failure),
    }
}

fn allow_other(machine: &Machine, config: Option<&Config>) -> Check {
    const NAME: &str = "user_allow_other";
    let Some(config) = config else { return Check::skipped(NAME, "no configuration") };
    if !config.mount.allow_other {
        return Check::ok(NAME, "not needed: mount.allow_other is off");
    }
    if machine.host.is_root() {
        return Check::ok(NAME, "not needed: root may always let others in");
    }
    match preflight::allow_other(&machine.path("/etc/fuse.conf")) {
        Ok(()) => Check::ok(NAME, "set"),
        Err(failure) => Check::of_failure(NAME, &failure),
    }
}

fn kernel(machine: &Machine) -> Check {
    let release = machine.text("/proc/sys/kernel/osrelease");
    let release = release.trim();
    match version(release) {
        // The oldest with everything that we ask of FUSE: kept directories (4.20), and calls that run side by side.
        Some(version) if version < (4, 20) => Check::failed(
            "kernel",
            format!("Linux {release} is too old"),
            "run a kernel from 4.20 on; 6.9 or later is better",
        ),
        Some(_) => Check::ok("kernel", format!("Linux {release}")),
        None => Check::hint("kernel", "its version cannot be read", "it should be Linux 4.20 or later"),
    }
}

fn passthrough(machine: &Machine, config: Option<&Config>) -> Check {
    const NAME: &str = "passthrough";
    const SLOWER: &str = "cached recordings are read through the daemon";
    if config.is_some_and(|config| !config.mount.passthrough) {
        return Check::ok(NAME, format!("turned off by mount.passthrough: {SLOWER}"));
    }
    let release = machine.text("/proc/sys/kernel/osrelease");
    if version(release.trim()).is_none_or(|version| version < PASSTHROUGH_SINCE) {
        return Check::hint(
            NAME,
            format!("not in this kernel: {SLOWER}"),
            "Linux 6.9 or later reads cached recordings at the speed of the disk",
        );
    }
    if !machine.may_administer() {
        return Check::hint(
            NAME,
            format!("not without CAP_SYS_ADMIN: {SLOWER}"),
            "mount as root, for instance as a service, to read cached recordings at the speed of the disk",
        );
    }
    Check::ok(NAME, "possible; cxonefs status says whether it works")
}

/// Whether the kernel can tell who asks. From a pid namespace of our own, callers outside of it have the process id 0.
fn process_ids(machine: &Machine) -> Check {
    const NAME: &str = "process ids";
    /// Inode number of the initial pid namespace (`PROC_PID_INIT_INO` of the kernel's `include/linux/proc_ns.h`).
    const INITIAL: &str = "pid:[4026531836]";
    match std::fs::read_link(machine.path("/proc/self/ns/pid")) {
        Ok(found) if found.as_os_str() != INITIAL => Check::hint(
            NAME,
            "this is a container with process ids of its own: programs outside of it have no name and no process id here. mount.deny_processes does \
             not stop them, and Ctrl-C does not end an open that waits",
            "run the container with the host's process ids (docker run --pid=host, hostPID: true), or use it only from inside the container",
        ),
        _ => Check::ok(NAME, "the kernel tells who asks"),
    }
}

/// Some distributions confine fusermount3 to some mount points.
fn apparmor(machine: &Machine) -> Check {
    const NAME: &str = "apparmor";
    let enabled = machine.text("/sys/module/apparmor/parameters/enabled").trim() == "Y";
    let confined = enabled && machine.path("/etc/apparmor.d/fusermount3").exists();
    if !confined || machine.host.is_root() {
        return Check::ok(NAME, "does not confine this user's mounts");
    }
    Check::hint(
        NAME,
        "confines fusermount3, which may refuse mount points outside of the home directory, /mnt and /media",
        "if mounting fails with \"Permission denied\" and journalctl -k shows apparmor=\"DENIED\" for fusermount3: mount below the \
         home directory, or allow the place in /etc/apparmor.d/local/fusermount3",
    )
}

/// Major and minor.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;
    use crate::daemon::testing;

    /// A machine on which everything is well, for a user that is not root.
    fn machine(dir: &Path) -> Machine {
        for (path, text) in [
            ("dev/fuse", ""),
            ("bin/fusermount3", ""),
            ("etc/fuse.conf", "user_allow_other\n"),
            ("proc/sys/kernel/osrelease", "6.12.9-amd64\n"),
            ("proc/self/status", "Name:\tx\nCapEff:\t0000000000200000\n"),
        ] {
            write(dir, path, text);
        }
        let host = Host { euid: 1000, home: Some("/home/u".into()), ..Host::default() };
        Machine { root: dir.to_owned(), host, search_path: Some(dir.join("bin").into()) }
    }

    fn write(dir: &Path, path: &str, text: &str) {
        std::fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        std::fs::write(dir.join(path), text).unwrap();
    }

    fn found(machine: &Machine, name: &str) -> (Outcome, String) {
        let config = testing::config(&["mount.allow_other=true"]);
        let check = checks(machine, Some(&config)).into_iter().find(|check| check.name == name).unwrap();
        (check.outcome, check.remedy.unwrap_or_default())
    }

    #[test]
    fn a_good_machine_is_all_green() {
        let dir = tempfile::tempdir().unwrap();
        let config = testing::config(&["mount.allow_other=true"]);
        for check in checks(&machine(dir.path()), Some(&config)) {
            assert_eq!(check.outcome, Outcome::Ok, "{check:?}");
        }
    }

    #[test]
    fn each_fault_has_its_remedy() {
        use Outcome::{Failed, Hint};
        type Break = fn(&Path);
        let cases: [(&str, Outcome, &str, Break); 8] = [
            ("fuse device", Failed, "modprobe fuse", |dir| {
                std::fs::remove_file(dir.join("dev/fuse")).unwrap();
            }),
            ("fusermount3", Failed, "install the package fuse3", |dir| {
                std::fs::remove_file(dir.join("bin/fusermount3")).unwrap();
            }),
            ("user_allow_other", Failed, "echo user_allow_other >>", |dir| {
                write(dir, "etc/fuse.conf", "#user_allow_other\n");
            }),
            ("kernel", Failed, "from 4.20 on", |dir| {
                write(dir, "proc/sys/kernel/osrelease", "4.19.0-27\n");
            }),
            ("kernel", Hint, "4.20 or later", |dir| {
                write(dir, "proc/sys/kernel/osrelease", "strange\n");
            }),
            ("passthrough", Hint, "Linux 6.9 or later", |dir| {
                write(dir, "proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
            }),
            ("passthrough", Hint, "mount as root", |dir| {
                write(dir, "proc/self/status", "CapEff:\t0000000000000000\n");
            }),
            ("apparmor", Hint, "/etc/apparmor.d/local/fusermount3", |dir| {
                write(dir, "sys/module/apparmor/parameters/enabled", "Y\n");
                write(dir, "etc/apparmor.d/fusermount3", "");
            }),
        ];
        for (name, outcome, remedy, break_it) in cases {
            let dir = tempfile::tempdir().unwrap();
            let machine = machine(dir.path());
            break_it(dir.path());
            let found = found(&machine, name);
            assert_eq!(found.0, outcome, "{name}");
            assert!(found.1.contains(remedy), "{name}: {}", found.1);
        }
    }

    #[test]
    fn root_needs_neither_helper_nor_permission() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = machine(dir.path());
        machine.host.euid = 0;
        machine.search_path = None;
        std::fs::remove_file(dir.path().join("etc/fuse.conf")).unwrap();
        assert_eq!(found(&machine, "fusermount3").0, Outcome::Ok);
        assert_eq!(found(&machine, "user_allow_other").0, Outcome::Ok);
    }
}
