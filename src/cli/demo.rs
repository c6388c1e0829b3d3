//! `cxonefs demo`: a simulated tenant in this process, mounted; prints what to try.

use std::fs::File;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::args::DemoArgs;
use super::mount::log_settings;
use super::preflight;
use super::simulator::{Simulator, Wanted};
use super::workspace::Workspace;
use crate::base::SystemClock;
use crate::base::failure::Failure;
use crate::config::env::Environment;
use crate::config::{self, ConfigFile, Host, Sources};
use crate::daemon::{self, Plan};
use crate::ops::logging;

/// Interactions that are looked at for one with a recording. Among so many there is one.
const TRIES_MAX: usize = 50;

/// Runs until it is unmounted or a signal ends it.
pub fn run(args: DemoArgs) -> Result<(), Failure> {
    logging::start(&log_settings(&args.log, "warn", false, None)?)?;
    let workspace = Workspace::create(None)?;
    let mount_point = MountPoint::create(args.mount_point.as_deref(), &workspace)?;
    let wanted = Wanted::settle(args.tenant, None, SocketAddr::from(([127, 0, 0, 1], 0)), &SystemClock);
    let runtime = daemon::runtime()?;
    let result = runtime.block_on(async {
        let simulator = Simulator::start(&wanted).await?;
        let secret_file = workspace.write_secret(simulator.secret())?;
        let text = simulator.config_toml(&workspace.state(), &workspace.cache(), &secret_file);
        // Neither the user's configuration nor the environment has a say here.
        let file = ConfigFile { path: workspace.state().with_file_name("demo.toml"), text };
        let host = Host::of_process();
        let sources = Sources { file: Some(file), environment: Environment::default(), ..Sources::default() };
        let config = config::resolve(&sources, &host)?;
        let absolute = preflight::check(&mount_point.path, &config, &host)?;
        daemon::serve(
            Plan { config, mount_point: absolute, reload: None, metrics: None, service_unmounts: false },
            introduce,
        )
        .await
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}

/// Where the demo is mounted; a directory that was created for it goes with it.
struct MountPoint {
    path: PathBuf,
    created: bool,
}

impl MountPoint {
    fn create(asked_for: Option<&Path>, workspace: &Workspace) -> Result<MountPoint, Failure> {
        let Some(path) = asked_for else {
            return Ok(MountPoint { path: workspace.directory("recordings")?, created: false });
        };
        let path = std::path::absolute(path).map_err(|error| Failure::usage(error).while_doing("the mount point"))?;
        // Not `exists`: a dead mount is there, too, and is no directory to be created.
        let created = path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if created {
            let made = std::fs::create_dir_all(&path);
            made.map_err(|error| Failure::failed(error).while_doing(format!("creating {}", path.display())))?;
        }
        Ok(MountPoint { path, created })
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if self.created {
            // Only if it is empty, that is, unmounted.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// Prints where it is and what to try.
async fn introduce(mount_point: &Path) -> Result<(), Failure> {
    let path = mount_point.to_owned();
    // The mount is served by this very process: looking at it must not hold up who answers.
    let found = tokio::task::spawn_blocking(move || find_example(&path)).await;
    let example = found
        .map_err(|error| Failure::failed(error).while_doing("looking at the mount"))?
        .map_err(|error| Failure::failed(error).while_doing("looking at the mount"))?;
    let mut output = std::io::stdout().lock();
    let text = introduction(mount_point, example.as_ref());
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    written.map_err(|error| Failure::failed(error).while_doing("writing to standard output"))
}

/// An interaction whose recording opens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Example {
    agent: PathBuf,
    contact: PathBuf,
    recording: PathBuf,
}

/// Looks for a call with a recording, the newest full day first.
fn find_example(mount_point: &Path) -> std::io::Result<Option<Example>> {
    let mut tries = 0;
    for day in sorted(mount_point)?.into_iter().rev() {
        for agent in sorted(&day)? {
            for interaction in sorted(&agent)? {
                let is_call = interaction.file_name().is_some_and(|name| name.to_string_lossy().contains("_call_"));
                let recording = interaction.join("recording.mp4");
                if !is_call {
                    continue;
                }
                tries += 1;
                if tries > TRIES_MAX {
                    return Ok(None);
                }
                // Some have no recording, which only opening tells.
                if File::open(&recording).is_ok_and(|mut file| file.read(&mut [0; 1]).is_ok_and(|read| read == 1)) {
                    return Ok(Some(Example { contact: interaction.join("contact.json"), agent, recording }));
                }
            }
        }
    }
    Ok(None)
}

fn sorted(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

fn introduction(mount_point: &Path, example: Option<&Example>) -> String {
    let Some(example) = example else {
        let (place, ls) = (mount_point.display(), quote_path(mount_point));
        return format!("A simulated tenant is mounted at {place}\n\nTo look around: ls {ls}\n\nCtrl-C unmounts.\n");
    };
    let filter = quote(".[] | {contactId, agentId, totalDurationSeconds}");
    format!(
        "A simulated tenant is mounted at {}

Three things to try in another terminal:

  # A day of one agent; looking is free:
  ls {}

  # What Reporting knows of an interaction:
  jq {filter} {}

  # Its recording, fetched as it is read:
  ffprobe -hide_banner {}

Ctrl-C unmounts.
",
        mount_point.display(),
        quote_path(&example.agent),
        quote_path(&example.contact),
        quote_path(&example.recording),
    )
}

fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// As a POSIX shell reads it back: bare if nothing in it is special, else between single quotes.
fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (place, recorded) in [
            ("2026-11-01/Keller_Rosa_1/085931_call_in_11", true),
            ("2026-11-02/Keller_Rosa_1/080000_chat_in_12", true),
            ("2026-11-02/Keller_Rosa_1/090000_call_in_13", false),
            ("2026-11-02/O'Neil Ann_2/091500_call_out_14", true),
        ] {
            let folder = dir.path().join(place);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("contact.json"), "[{\"contactId\": 5}]").unwrap();
            if recorded {
                std::fs::write(folder.join("recording.mp4"), "x").unwrap();
            }
        }
        dir
    }

    #[test]
    fn the_example_is_a_call_whose_recording_opens() {
        let dir = tree();
        let example = find_example(dir.path()).unwrap().unwrap();
        assert!(example.recording.ends_with("2026-11-02/O'Neil Ann_2/091500_call_out_14/recording.mp4"), "{example:?}");
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(find_example(empty.path()).unwrap(), None);
    }

    #[test]
    fn what_is_printed_runs() {
        let dir = tree();
        let example = find_example(dir.path()).unwrap().unwrap();
        let text = introduction(dir.path(), Some(&example));
        let ls = text.lines().find_map(|line| line.trim().strip_prefix("ls ")).unwrap();
        let output = std::process::Command::new("sh").arg("-c").arg(format!("ls {ls}")).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "091500_call_out_14\n", "{text}");
        assert!(text.ends_with("Ctrl-C unmounts.\n"));
    }

    #[test]
    fn created_mount_points_go() {
        let dir = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(None).unwrap();
        let path = dir.path().join("a");
        drop(MountPoint::create(Some(&path), &workspace).unwrap());
        assert!(!path.exists());
        drop(MountPoint::create(Some(dir.path()), &workspace).unwrap());
        assert!(dir.path().exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn the_shell_reads_back_what_was_quoted(text in "[ -~\u{e4}\u{1f600}]{0,20}") {
            let output = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quote(&text))).output().unwrap();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }
}
