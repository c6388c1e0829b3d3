//! `cxonefs demo DIR`, and `simulate` with `mount`, as a newcomer runs them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Mount, Sandbox, eventually, mount_at, sh, wait_for};

/// The promise is five seconds, and is kept by a debug build on a machine that does other things, too.
const MOUNTED_WITHIN: Duration = Duration::from_secs(5);

struct Demo {
    mount: Mount,
    sandbox: Sandbox,
    took: Duration,
}

fn demo(name: &str) -> Demo {
    let sandbox = Sandbox::empty();
    let path: PathBuf = sandbox.path(name);
    let started = Instant::now();
    let mount = Mount::spawn(&sandbox, vec!["demo".into(), path.clone().into()], path);
    let printed = wait_for(Duration::from_secs(20), || mount.stdout().contains("Ctrl-C unmounts").then_some(()));
    let took = started.elapsed();
    assert!(printed.is_some(), "nothing to try was printed: {}", mount.stdout());
    Demo { mount, sandbox, took }
}

/// The lines that are commands.
fn commands(text: &str) -> Vec<&str> {
    let indented = text.lines().filter_map(|line| line.strip_prefix("  "));
    indented.filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn it_mounts_in_time_and_what_it_prints_works() {
    // A directory that is not there yet, with a name that a shell would split.
    let demo = demo("my calls");
    assert_eq!(mount_at(demo.mount.path()).as_deref(), Some("fuse.cxonefs"));
    assert!(demo.took < MOUNTED_WITHIN, "took {:?}", demo.took);
    let text = demo.mount.stdout();
    let commands = commands(&text);
    assert_eq!(commands.len(), 3, "{text}");
    for command in commands {
        let done = crate::harness::tool("sh").arg("-c").arg(command).ok();
        assert!(!done.stdout.is_empty() || done.stderr.contains("Duration"), "{command} says nothing");
    }
    let probed = sh(commands_of(&text, "ffprobe")).ok();
    assert!(probed.stderr.contains("stereo"), "{}", probed.stderr);
    assert!(sh(commands_of(&text, "jq")).ok().stdout.contains("\"contactId\""));
    assert!(sh(commands_of(&text, "ls")).ok().stdout.contains("_call_"));
}

fn commands_of<'a>(text: &'a str, program: &str) -> &'a str {
    commands(text).into_iter().find(|command| command.starts_with(program)).expect("it is printed")
}

#[test]
fn control_c_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = demo("recordings");
        let path = demo.mount.path().to_owned();
        demo.mount.signal(signal);
        assert!(demo.mount.wait().success());
        assert_eq!(mount_at(&path), None);
        assert!(!path.exists(), "the directory was created by the demo");
        let left: Vec<_> = std::fs::read_dir(demo.sandbox.home()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(demo.mount.stderr(), "", "nothing went wrong");
    }
}

#[test]
fn control_c_before_it_is_ready_leaves_nothing() {
    for wait in [0, 20, 60, 120] {
        let sandbox = Sandbox::empty();
        let path = sandbox.path("recordings");
        let mut mount = Mount::spawn(&sandbox, vec!["demo".into(), path.clone().into()], path.clone());
        // A time, and not a condition: the moment of the signal is what is varied.
        std::thread::sleep(Duration::from_millis(wait));
        mount.signal(Signal::INT);
        mount.wait();
        eventually("the mount is gone", Duration::from_secs(2), || mount_at(&path).is_none());
        assert!(!mount.stderr().contains("panicked"), "{}", mount.stderr());
    }
}

/// `simulate --print-config` in one terminal, `mount` with what it printed in another.
#[test]
fn a_simulated_tenant_is_mounted_by_its_printed_configuration() {
    let sandbox = Sandbox::empty();
    let (port_file, work) = (sandbox.path("port"), sandbox.path("work"));
    let line = format!(
        "exec '{}' simulate --agents 3 --contacts-per-day 5 --port-file '{}' --print-config --dir '{}' > '{}'",
        env!("CARGO_BIN_EXE_cxonefs"),
        port_file.display(),
        work.display(),
        sandbox.config().display()
    );
    let mut simulator = sh(&line).start();
    eventually("it listens", Duration::from_secs(10), || {
        std::fs::read_to_string(&port_file).is_ok_and(|port| port.trim().parse::<u16>().is_ok())
    });
    let mut mount = Mount::start(&sandbox, &[]);
    let days = std::fs::read_dir(mount.path()).unwrap().count();
    assert_eq!(days, 3, "{}", mount.stderr());
    let found = crate::harness::tool("find").arg(mount.path()).args(["-name", "contact.json"]).ok();
    assert!(found.lines().len() >= 20, "{}", found.stdout);
    mount.terminate();
    let pid = rustix::process::Pid::from_child(&simulator.0);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let ended = wait_for(Duration::from_secs(5), || simulator.0.try_wait().unwrap());
    assert!(ended.is_some_and(|status| status.success()), "Ctrl-C: {ended:?}");
}
