//! The command line against the table of keys, and the help against its promises.

use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;
use crate::config::{Profile, keys};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_that_a_key_names_is_a_flag_of_mount() {
    let command = Cli::command();
    let mount = command.find_subcommand("mount").unwrap();
    for key in keys::ALL {
        if let Some(flag) = key.info().flag {
            let known = mount.get_arguments().any(|arg| arg.get_long() == flag.strip_prefix("--"));
            assert!(known, "{flag} of {} is no flag", key.info().path());
        }
    }
}

#[test]
fn mount_takes_its_flags() {
    let cli = parse(
        "cxonefs mount --config c.toml --profile backup -o allow_other,uid=5 --set tree.since=3d --set cache.size=1GiB \
         --background --since 7d /mnt",
    )
    .unwrap();
    let Command::Mount(mount) = cli.command else { panic!() };
    assert_eq!(mount.mount_point, PathBuf::from("/mnt"));
    assert_eq!(mount.profile, Some(Profile::Backup));
    assert_eq!(mount.set.len(), 2);
    assert!(mount.background);
    assert_eq!(mount.settings.since.as_deref(), Some("7d"));
}

#[test]
fn usage_errors_are_exit_code_2() {
    for line in [
        "cxonefs mount",
        "cxonefs mount --profile fast /mnt",
        "cxonefs frobnicate",
        "cxonefs simulate --listen nowhere",
        "cxonefs simulate --bulk-bytes 10",
        "cxonefs simulate --days 0",
        "cxonefs simulate --dir /tmp",
        "cxonefs demo --timezone Mars/Base",
        "cxonefs mount --access-key-secret hunter2 /mnt",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    assert_eq!(parse("cxonefs --version").unwrap_err().kind(), ErrorKind::DisplayVersion);
    assert_eq!(parse("cxonefs --help").unwrap_err().exit_code(), 0);
}

#[test]
fn simulate_takes_its_flags() {
    let cli = parse(
        "cxonefs simulate --print-config --port-file p --seed 9 --days 30 --agents 50 --contacts-per-day 200 \
         --media-base-url http://127.0.0.1:9 --last-day 2026-11-02 --timezone America/New_York --bulk-bytes 128MiB --odd-names \
         --playback-limit 20 --playback-window 10s --link-life 3s --token-life 1m",
    )
    .unwrap();
    let Command::Simulate(simulate) = cli.command else { panic!() };
    assert_eq!(simulate.tenant.bulk_bytes, Some(128 << 20));
    assert_eq!(simulate.limits.link_life, Some(Duration::from_secs(3)));
    assert_eq!(simulate.tenant.last_day.unwrap().to_string(), "2026-11-02");
}

#[test]
fn the_help_names_every_command_with_examples() {
    let mut command = Cli::command();
    let help = command.render_long_help().to_string();
    for name in ["mount", "umount", "demo", "simulate", "completions", "man", "Examples:", "Exit codes:"] {
        assert!(help.contains(name), "{name}\n{help}");
    }
    for sub in command.get_subcommands_mut() {
        let name = sub.get_name().to_owned();
        assert!(sub.get_about().is_some(), "{name}");
        let long = sub.render_long_help().to_string();
        for arg in sub.get_arguments().filter(|arg| arg.get_id() != "help" && name != "completions") {
            assert!(arg.get_help().is_some(), "{name}: {}", arg.get_id());
        }
        assert!(long.lines().all(|line| line.chars().count() <= 160), "{name}\n{long}");
    }
}
