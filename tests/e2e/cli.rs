//! The program as a process: exit codes, messages, remedies. Nothing here mounts anything.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

/// A home without configuration, and nothing else of this machine's environment.
fn cxonefs(home: &Path) -> Command {
    let mut command = Command::cargo_bin("cxonefs").unwrap();
    command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap());
    command.current_dir(home).timeout(Duration::from_secs(30));
    command
}

fn run(home: &Path, arguments: &[&str]) -> (i32, String) {
    told(&cxonefs(home).args(arguments).output().unwrap())
}

fn told(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// A home with a complete configuration.
fn configured(extra: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "hunter2\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[tenant]\nissuer = \"http://127.0.0.1:1\"\naccess_key_id = \"KEYID\"\naccess_key_secret_file = \"secret\"\n\
         [cache]\ndir = \"cache\"\n[state]\ndir = \"state\"\n{extra}"
    );
    std::fs::write(home.path().join("config.toml"), text).unwrap();
    std::fs::create_dir(home.path().join("mnt")).unwrap();
    home
}

#[test]
fn without_configuration_init_the_places_and_the_demo_are_named() {
    let home = tempfile::tempdir().unwrap();
    let (code, said) = run(home.path(), &["mount", "mnt"]);
    assert_eq!(code, 2, "{said}");
    for part in [".config/cxonefs/config.toml", "/etc/cxonefs/config.toml", "--config", "cxonefs demo"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(said.contains("\n  `cxonefs init` asks"), "first what most want: {said}");
}

#[test]
fn wrong_configuration_is_exit_code_2_with_its_place() {
    for (extra, part) in [
        ("[tree]\ntimezon = \"UTC\"\n", "config.toml:10:1: unknown key \"tree.timezon\"; did you mean \"timezone\"?"),
        ("[tree]\ntimezone = \"Mars/Base\"\n", "config.toml:10:12: tree.timezone: expected a time zone"),
        ("[limits]\nmemory = \"1\"\n", "config.toml:10:10: limits.memory: expected a size"),
        ("[limits\n", "config.toml:9:"),
    ] {
        let home = configured(extra);
        let (code, said) = run(home.path(), &["mount", "--config", "config.toml", "mnt"]);
        assert_eq!(code, 2, "{said}");
        assert!(said.starts_with("cxonefs: ") && said.contains(part), "{said}");
    }
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let home = configured("");
    std::fs::set_permissions(home.path().join("secret"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = run(home.path(), &["mount", "--config", "config.toml", "mnt"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("can be read by others (mode 0644)") && said.contains("\n  chmod 600 "), "{said}");
}

#[test]
fn unknown_variables_are_refused() {
    let home = configured("");
    let mut command = cxonefs(home.path());
    command.env("CXONEFS_TREE_TIMEZON", "UTC").args(["mount", "--config", "config.toml", "mnt"]);
    let (code, said) = told(&command.output().unwrap());
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("did you mean CXONEFS_TREE_TIMEZONE?"), "{said}");
}

#[test]
fn secrets_on_the_command_line_are_refused_and_not_repeated() {
    let home = configured("");
    let set = "tenant.access_key_secret=hunter2";
    let (code, said) = run(home.path(), &["mount", "--config", "config.toml", "--set", set, "mnt"]);
    assert_eq!(code, 2, "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn usage_errors_are_exit_code_2_and_help_is_0() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(run(home.path(), &["mount", "--frobnicate", "mnt"]).0, 2);
    assert_eq!(run(home.path(), &[]).0, 2);
    assert_eq!(run(home.path(), &["--help"]).0, 0);
    assert_eq!(run(home.path(), &["--version"]).0, 0);
    assert_eq!(run(home.path(), &["mount", "--config", "x", "--log-level", "loud", "mnt"]).0, 2);
}

/// What is wrong with the machine is exit code 1. `/dev/fuse` may be missing where this runs; then that is what is said.
#[test]
fn mount_points_that_cannot_be_used_are_exit_code_1() {
    let home = configured("");
    std::fs::write(home.path().join("file"), "").unwrap();
    for (place, part) in [("missing", "does not exist"), ("file", "is not a directory"), (".", "is not empty")] {
        let (code, said) = run(home.path(), &["mount", "--config", "config.toml", place]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(part) || said.contains("/dev/fuse") || said.contains("fusermount3"), "{said}");
        assert_eq!(said.lines().count(), 2, "one line and its remedy: {said}");
    }
}

#[test]
fn a_cache_directory_that_is_a_file_is_exit_code_1() {
    let home = configured("");
    std::fs::write(home.path().join("cache"), "").unwrap();
    let (code, said) = run(home.path(), &["mount", "--config", "config.toml", "mnt"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("cache.dir: ") || said.contains("/dev/fuse") || said.contains("fusermount3"), "{said}");
}

#[test]
fn umount_refuses_what_is_not_ours() {
    let home = configured("");
    let (code, said) = run(home.path(), &["umount", "mnt"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("mnt is not a mount"), "{said}");
}

#[test]
fn the_cache_of_a_directory_that_is_not_mounted_is_found_by_its_configuration() {
    let home = configured("");
    // One that nobody asks about.
    std::fs::create_dir_all(home.path().join("other/cxonefs")).unwrap();
    let stats = |arguments: &[&str]| {
        let mut command = cxonefs(home.path());
        command.env("XDG_CACHE_HOME", home.path().join("other")).args(["cache", "stats"]).args(arguments);
        told(&command.output().unwrap())
    };
    let (code, said) = stats(&["mnt"]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.starts_with("cxonefs: mnt is no cxonefs mount of yours\n  ") && said.contains("--config FILE"),
        "{said}"
    );
    let (code, said) = stats(&["--config", "missing.toml", "mnt"]);
    assert!(code == 2 && said.contains("missing.toml"), "{said}");
    let (code, said) = stats(&["--config", "config.toml", "mnt"]);
    assert!(code == 1 && said.contains("there is no cache at"), "{said}");
}

#[test]
fn as_mount_helper_it_reads_what_mount_passes() {
    let home = configured("");
    let helper = home.path().join("mount.cxonefs");
    symlink(assert_cmd::cargo::cargo_bin("cxonefs"), &helper).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&helper);
        told(&command.args(arguments).env_clear().env("HOME", home.path()).current_dir(home.path()).output().unwrap())
    };
    let (code, said) = run(&["config.toml", "mnt", "-o", "rw,frobnicate"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("unknown mount option \"frobnicate\""), "{said}");
    let (code, said) = run(&["config.toml", "mnt", "-o", "rw,_netdev,tree.since=x"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("-o: tree.since: expected a date"), "{said}");
}

#[test]
fn completions_and_manual_pages_are_written() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = cxonefs(home.path()).args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && String::from_utf8(output.stdout).unwrap().contains("simulate"), "{shell}");
    }
    assert_eq!(run(home.path(), &["man", "."]).0, 0);
    for page in ["cxonefs.1", "cxonefs-mount.1", "cxonefs-umount.1"] {
        assert!(home.path().join(page).exists(), "{page}");
    }
}

/// `cxonefs … | head -1`.
#[test]
fn a_reader_that_wants_no_more_is_no_defect() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cxonefs"));
    command.env_clear().env("HOME", home.path()).args(["init", "--print"]).stdout(writer);
    assert_eq!(told(&command.stderr(std::process::Stdio::piped()).output().unwrap()), (141, String::new()));
}

/// A command that looks into another directory than the mount's must not say that all is done.
#[test]
fn directories_that_were_never_used_are_named_and_exit_code_1() {
    let home = configured("");
    for command in [
        &["ledger"][..],
        &["cache", "stats"],
        &["cache", "verify"],
        &["cache", "purge", "--all", "--yes"],
        &["cache", "purge", "--contact", "5", "--yes", "--reason", "asked for"],
        &["audit", "verify"],
        &["hold", "list"],
        &["state", "backup", "copy.db"],
    ] {
        let arguments = [command, &["--config", "config.toml"]].concat();
        let (code, said) = run(home.path(), &arguments);
        let names_it = said.contains("/state") || said.contains("/cache");
        assert!(code == 1 && names_it && said.contains("--config"), "{arguments:?}: {code} {said}");
    }
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "nothing is made by looking: {left:?}");
}

/// A full disk below standard output or standard error, and readers that have seen enough.
#[test]
fn where_nothing_can_be_written_no_defect_is_told_and_nothing_aborts() {
    let home = configured("");
    let sh = |line: &str| {
        let mut command = Command::new("bash");
        command.env("HOME", home.path()).env("CXONEFS", assert_cmd::cargo::cargo_bin("cxonefs"));
        let output = command.current_dir(home.path()).args(["-c", line]).timeout(Duration::from_secs(30)).output();
        let output = output.unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, _) = sh("$CXONEFS umount /nowhere 2>/dev/full; echo $?");
    assert_eq!(code, "1\n", "standard error is full");
    let (code, _) = sh("{ sleep 0.2; $CXONEFS umount /nowhere; echo $? >&3; } 3>code 2>&1 | true; cat code");
    assert_eq!(code, "1\n", "nobody reads standard error");
    for command in ["doctor --config config.toml", "init --print", "man", "completions bash"] {
        let (code, said) = sh(&format!("$CXONEFS {command} >/dev/full; echo $?"));
        assert_eq!(code, "1\n", "{command}: {said}");
        assert!(said.contains("writing to standard output") && !said.contains("defect"), "{command}: {said}");
    }
    for command in ["man", "completions bash"] {
        let (code, said) = sh(&format!("$CXONEFS {command} | true; echo ${{PIPESTATUS[0]}}"));
        assert_eq!((code.as_str(), said.as_str()), ("0\n", ""), "{command}");
    }
}
