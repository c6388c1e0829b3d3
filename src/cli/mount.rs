//! `cxonefs mount`, and the same as `mount.cxonefs`: from what was asked for to a daemon that serves the mount.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::args::{LogArgs, MountArgs, SettingFlags};
use super::background::{self, Side};
use super::mount_helper::HelperRequest;
use super::options::{MountOptions, Writer};
use super::preflight;
use crate::base::failure::Failure;
use crate::base::mounts;
use crate::base::{Clock as _, SystemClock, complain, locked};
use crate::config::{self, Assignment, Config, Host, Profile};
use crate::daemon::assemble;
use crate::daemon::keeping::LOG_FILE;
use crate::daemon::reload::Reload;
use crate::daemon::{self, Plan};
use crate::ops::logging::{self, Format, LogSettings, Target};
use crate::ops::privacy;

/// How far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    /// Reads the configuration.
    ReadingAlone,
    /// Looks at everything that a mount needs.
    CheckingAlone,
    AllTheWay,
}

/// A mount, however it was asked for.
#[derive(Debug)]
struct Request {
    mount_point: PathBuf,
    config: Option<PathBuf>,
    profile: Option<Profile>,
    assignments: Vec<Assignment>,
    background: bool,
    goes: Goes,
    /// A mount of the same tenant that is there already will do: `mount -a` is run again and again.
    may_be_there: bool,
    log: LogArgs,
    metrics: Option<SocketAddr>,
    service_unmounts: bool,
}

/// As `cxonefs mount`.
pub fn run(args: MountArgs) -> Result<(), Failure> {
    mount(request(args)?)
}

/// As `mount.cxonefs`: returns when the mount is ready, as mount(8) expects.
pub fn run_helper(helper: HelperRequest) -> Result<(), Failure> {
    let HelperRequest { mount_point, options, fake } = helper;
    let goes = if fake { Goes::CheckingAlone } else { Goes::AllTheWay };
    let MountOptions { config, profile, assignments } = options;
    // Not read by clap here.
    let config = config.or_else(|| std::env::var_os("CXONEFS_CONFIG").map(PathBuf::from));
    let log = LogArgs { log_level: std::env::var("CXONEFS_LOG").ok(), ..LogArgs::default() };
    let metrics = std::env::var("CXONEFS_METRICS").ok().filter(|text| !text.is_empty()).map(|text| text.parse());
    let metrics = metrics.transpose().map_err(|error| Failure::usage(error).while_doing("CXONEFS_METRICS"))?;
    mount(Request {
        mount_point,
        config,
        profile,
        assignments,
        background: true,
        goes,
        may_be_there: true,
        log,
        metrics,
        service_unmounts: false,
    })
}

fn request(args: MountArgs) -> Result<Request, Failure> {
    let mut options = MountOptions::default();
    for text in &args.options {
        options.add(text, Writer::Person, "-o")?;
    }
    let mut assignments = options.assignments;
    for text in &args.set {
        assignments.push(Assignment::parse(text, "--set")?);
    }
    assignments.extend(flag_assignments(&args.settings));
    Ok(Request {
        mount_point: args.mount_point,
        config: args.config.or(options.config),
        profile: args.profile.or(options.profile),
        assignments,
        background: args.background,
        goes: if args.check { Goes::ReadingAlone } else { Goes::AllTheWay },
        may_be_there: false,
        log: args.log,
        metrics: args.metrics,
        service_unmounts: args.service_unmounts,
    })
}

/// Flags after `--set` and `-o`, so that the more specific wins.
fn flag_assignments(flags: &SettingFlags) -> Vec<Assignment> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let given = [
        ("mount.resolve_on", flags.resolve_on.clone(), "--resolve-on"),
        ("mount.allow_other", flags.allow_other.then(|| String::from("true")), "--allow-other"),
        ("cache.dir", path(&flags.cache_dir), "--cache-dir"),
        ("cache.size", flags.cache_size.clone(), "--cache-size"),
        ("state.dir", path(&flags.state_dir), "--state-dir"),
        ("tree.since", flags.since.clone(), "--since"),
        ("tree.timezone", flags.timezone.clone(), "--timezone"),
    ];
    given
        .into_iter()
        .filter_map(|(key, value, flag)| Some(Assignment { key: key.to_owned(), value: value?, flag: flag.to_owned() }))
        .collect()
}

fn mount(request: Request) -> Result<(), Failure> {
    let host = Host::of_process();
    let named = request.config.filter(|path| !path.as_os_str().is_empty());
    // Absolute, because a daemon leaves the current directory and may read it again.
    let named = named.map(std::path::absolute).transpose();
    let named = named.map_err(|error| Failure::usage(error).while_doing("--config"))?;
    let (profile, assignments, starting_host) = (request.profile, request.assignments, host.clone());
    let read = move || {
        let variables = std::env::vars_os();
        Ok(config::load(named.as_deref(), variables, profile, assignments.clone(), &starting_host)?)
    };
    let mut config = read()?;
    if request.goes == Goes::ReadingAlone {
        return Ok(());
    }
    if request.may_be_there && is_there(&request.mount_point, &config) {
        complain(format_args!("cxonefs: {} is mounted already", request.mount_point.display()));
        return Ok(());
    }
    let reload = Some(Reload::new(read));
    let log = log_settings(&request.log, "info", request.background, Some(&config))?;
    let mount_point = preflight::check(&request.mount_point, &config, &host)?;
    preflight::check_further(&mount_point, &mut config, &host)?;
    if request.goes == Goes::CheckingAlone {
        return Ok(());
    }
    if !request.background {
        return serve(
            Plan { config, mount_point, reload, metrics: request.metrics, service_unmounts: request.service_unmounts },
            &log,
            || Ok(()),
        );
    }
    // Before any thread exists: a fork copies only the thread that calls it.
    match background::split()? {
        Side::Parent(child) => child.wait(),
        Side::Child(readiness) => {
            locked::lock_again();
            let (ready, failed) = readiness.into_parts();
            serve(
                Plan {
                    config,
                    mount_point,
                    reload,
                    metrics: request.metrics,
                    service_unmounts: request.service_unmounts,
                },
                &log,
                move || ready.ready(),
            )
            .map_err(|failure| failed.report(failure))
        }
    }
}

/// Whether this tenant is mounted there, and somebody serves it.
fn is_there(mount_point: &Path, config: &Config) -> bool {
    let Ok(path) = mounts::resolve(mount_point) else { return false };
    let there = mounts::at(&path).ok().flatten();
    there.is_some_and(|mount| mount.is_ours() && mount.source == assemble::source(config)) && !preflight::is_dead(&path)
}

fn serve(plan: Plan, log: &LogSettings, ready: impl FnOnce() -> std::io::Result<()>) -> Result<(), Failure> {
    logging::start(log)?;
    if let Err(error) = privacy::no_core_dumps() {
        let error = crate::base::chain(&error);
        tracing::warn!(error, "core dumps cannot be turned off ({error}): a crash could write secrets to the disk");
    }
    locked::say_refused();
    for warning in plan.config.warnings_at(SystemClock.now()) {
        tracing::warn!("{warning}");
    }
    daemon::run(plan, async move |_| {
        ready().map_err(|error| Failure::failed(error).while_doing("telling who started it that the mount is ready"))
    })
}

/// What is logged, how and where. An empty level counts as not given.
pub fn log_settings(
    args: &LogArgs,
    default_level: &str,
    background: bool,
    config: Option<&Config>,
) -> Result<LogSettings, Failure> {
    let filter = args.log_level.as_deref().filter(|level| !level.is_empty()).unwrap_or(default_level).to_owned();
    logging::check_filter(&filter).map_err(|error| Failure::from(error).while_doing("--log-level or CXONEFS_LOG"))?;
    let target = match (&args.log_file, config) {
        (Some(path), _) => {
            // Absolute, because a daemon leaves the current directory.
            let path = std::path::absolute(path).map_err(|error| Failure::usage(error).while_doing("--log-file"))?;
            Target::File(path)
        }
        (None, Some(config)) if background => Target::System { otherwise: config.state.dir.join(LOG_FILE) },
        (None, _) => Target::Stderr,
    };
    Ok(LogSettings { filter, format: Format::from(args.log_format), target })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};
    use crate::config::keys;

    fn request_of(line: &str) -> Result<Request, Failure> {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Mount(args) => request(args),
            _ => panic!(),
        }
    }

    #[test]
    fn every_flag_of_a_key_becomes_an_assignment() {
        let request = request_of(
            "cxonefs mount --resolve-on stat --allow-other --cache-dir c --cache-size 1GiB --state-dir s --since 1d \
             --timezone UTC /mnt",
        )
        .unwrap();
        for key in keys::ALL {
            let assigned = request.assignments.iter().find(|assignment| assignment.key == key.info().path());
            assert_eq!(assigned.map(|assignment| assignment.flag.as_str()), key.info().flag, "{}", key.info().path());
        }
    }

    #[test]
    fn the_more_specific_comes_last() {
        let request = request_of("cxonefs mount -o tree.since=1d --set tree.since=2d --since 3d /mnt").unwrap();
        let values: Vec<&str> = request.assignments.iter().map(|assignment| assignment.value.as_str()).collect();
        assert_eq!(values, ["1d", "2d", "3d"]);
    }

    #[test]
    fn options_on_the_command_line() {
        let request = request_of("cxonefs mount -o config=/x,profile=backup /mnt").unwrap();
        assert_eq!(request.config, Some("/x".into()));
        assert_eq!(request.profile, Some(Profile::Backup));
        assert!(request_of("cxonefs mount -o rw /mnt").is_err());
        assert!(request_of("cxonefs mount --set since=1 /mnt").is_err());
    }
}
