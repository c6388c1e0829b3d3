//! `cxonefs init`: a first configuration. Gathers, tries the login, writes, says what to do next.

mod ask;
mod check;

use std::io::IsTerminal;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::args::InitArgs;
use super::workspace;
use crate::base::failure::Failure;
use crate::base::{Clock as _, SystemClock, complain, shown};
use crate::config::env::Environment;
use crate::config::template::{self, Given};
use crate::config::{self, Assignment, ConfigFile, Host, Sources, env, locate, raw};
use crate::cxone::Tenant;
use crate::daemon::{self, assemble};
use crate::net::{ApiError, ApiErrorKind};
use check::{ACCESS_KEY_ID, Verdict};

const SECRET: &str = "tenant.access_key_secret";
const SECRET_FILE: &str = "tenant.access_key_secret_file";

/// What is to be written.
struct Draft {
    path: PathBuf,
    given: Given,
    /// A secret to be written to this file; none if a file holds it already.
    secret: Option<(PathBuf, SecretString)>,
}

/// Writes a configuration that works.
pub fn run(args: &InitArgs) -> Result<(), Failure> {
    let mut given = assignments(&args.set)?;
    if args.print {
        print!("{}", template::toml(&given));
        return Ok(());
    }
    let host = Host::of_process();
    let path = place(args, &host)?;
    refuse_to_overwrite(&path, args.force)?;
    // Before anything is asked: no answer is to be lost.
    check::writable(&path).map_err(|why| Failure::failed(why).remedy("choose another place: --config FILE"))?;
    if let Some(id) = args.access_key_id.clone().filter(|id| !id.is_empty()) {
        given.insert(ACCESS_KEY_ID.to_owned(), id);
    }
    let environment = env::read(std::env::vars_os())?;
    // Values in the environment are written, too: the file has to work without it.
    for (key, setting) in &environment.layer {
        given.entry(key.clone()).or_insert_with(|| setting.value.to_string().trim_matches('"').to_owned());
    }
    ask_for_the_rest(&mut given, !args.no_test)?;
    write_down_directories(&mut given, &path, &host);
    let secret = secret(args, &path, &mut given, &environment)?;
    let mut draft = Draft { path, given, secret };
    while let Err(failed) = test(&draft, &host, args.no_test) {
        ask_again(&mut draft, failed)?;
    }
    write(&draft)?;
    print!("{}", next(&draft.path, &host));
    Ok(())
}

/// Directories are written down, so that whatever is asked of this configuration finds the same ones: a mount, a service, `ledger`, `cache purge`.
fn write_down_directories(given: &mut Given, path: &Path, host: &Host) {
    let (state, cache) = config::default_dirs(path, host);
    for (key, dir) in [("state.dir", state), ("cache.dir", cache)] {
        if let Some(dir) = dir {
            given.entry(key.to_owned()).or_insert_with(|| dir.display().to_string());
        }
    }
}

/// What `--set` gives, under the rules that hold for a mount: what is refused there must not be left out of the file here.
fn assignments(set: &[String]) -> Result<Given, Failure> {
    let set: Vec<Assignment> = set.iter().map(|text| Assignment::parse(text, "--set")).collect::<Result<_, _>>()?;
    raw::parse_assignments(&set)?;
    Ok(set.into_iter().map(|Assignment { key, value, .. }| (key, value)).collect())
}

fn place(args: &InitArgs, host: &Host) -> Result<PathBuf, Failure> {
    let usual = || if host.is_root() { Some(PathBuf::from(locate::SYSTEM_CONFIG)) } else { host.user_config() };
    let path = args.config.clone().filter(|path| !path.as_os_str().is_empty()).or_else(usual);
    let path = path.ok_or_else(|| {
        Failure::usage("no home directory to put the configuration in").remedy("name it: --config FILE")
    })?;
    std::path::absolute(path).map_err(|error| Failure::usage(error).while_doing("--config"))
}

fn refuse_to_overwrite(path: &Path, force: bool) -> Result<(), Failure> {
    if force || path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failure::failed(format!("{} exists", path.display()))
        .remedy("edit it; or choose another place with --config; or overwrite it with --force"))
}

/// One thing to ask for.
struct Question {
    key: &'static str,
    words: &'static str,
    default: &'static str,
    is_needed: bool,
}

const ISSUER: Question =
    Question { key: "tenant.issuer", words: "Issuer", default: "https://cxone.niceincontact.com", is_needed: true };
const KEY_ID: Question = Question { key: ACCESS_KEY_ID, words: "Access key id", default: "", is_needed: true };
const SINCE: Question = Question {
    key: "tree.since",
    words: "First day shown (a date, or days such as 90d)",
    default: "90d",
    is_needed: true,
};
const TIMEZONE: Question = Question {
    key: "tree.timezone",
    words: "Time zone (such as America/New_York; empty: this machine's)",
    default: "",
    is_needed: false,
};
const SECRET_WORDS: &str = "Access key secret (not shown)";

/// Asks for what has no default; on no terminal, says what is missing.
fn ask_for_the_rest(given: &mut Given, network: bool) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        if given.contains_key(ACCESS_KEY_ID) {
            return Ok(());
        }
        return Err(Failure::usage("the access key's id is missing, and there is no terminal to ask on")
            .remedy("--access-key-id ID or CXONEFS_ACCESS_KEY_ID"));
    }
    for question in [ISSUER, KEY_ID, SINCE, TIMEZONE] {
        if !given.contains_key(question.key) {
            ask(given, &question, question.default, network)?;
        }
    }
    Ok(())
}

/// Asks until the answer can be used. One that is only doubted is taken when it is given twice.
fn ask(given: &mut Given, question: &Question, default: &str, network: bool) -> Result<(), Failure> {
    let mut default = default.to_owned();
    let mut doubted = None;
    loop {
        let answer = ask::line(question.words, &default)?;
        if answer.is_empty() {
            if !question.is_needed {
                return Ok(());
            }
            println!("  an answer is needed here");
            continue;
        }
        match check::answer(question.key, &answer, network) {
            Verdict::Wrong(why) => {
                println!("  {why}");
                continue;
            }
            Verdict::Doubtful(why) if doubted.as_ref() != Some(&answer) => {
                println!("  {why}\n  Enter keeps it");
                default.clone_from(&answer);
                doubted = Some(answer);
                continue;
            }
            Verdict::Doubtful(_) | Verdict::Fine => {}
        }
        given.insert(question.key.to_owned(), answer);
        return Ok(());
    }
}

/// After a login that did not work: asks again for what it speaks against, and for nothing else.
fn ask_again(draft: &mut Draft, failed: Untested) -> Result<(), Failure> {
    let Untested { failure, doubts } = failed;
    let can_ask = std::io::stdin().is_terminal();
    match doubts {
        Some(Doubts::Key) if can_ask && draft.secret.is_some() => {
            print!("{}", failure.render());
            let before = draft.given.get(ACCESS_KEY_ID).cloned().unwrap_or_default();
            ask(&mut draft.given, &KEY_ID, &before, false)?;
            if let Some((_, secret)) = &mut draft.secret {
                *secret = ask::secret(SECRET_WORDS)?;
            }
            Ok(())
        }
        Some(Doubts::Host) if can_ask => {
            print!("{}", failure.render());
            let before = draft.given.get(ISSUER.key).cloned().unwrap_or_else(|| ISSUER.default.to_owned());
            ask(&mut draft.given, &ISSUER, &before, true)
        }
        _ => Err(failure),
    }
}

/// Where the secret comes from, in order: a file that is named, the environment, the terminal.
fn secret(
    args: &InitArgs,
    config: &Path,
    given: &mut Given,
    environment: &Environment,
) -> Result<Option<(PathBuf, SecretString)>, Failure> {
    if let Some(file) = args.secret_file.clone().filter(|path| !path.as_os_str().is_empty()) {
        let file = std::path::absolute(file).map_err(|error| Failure::usage(error).while_doing("--secret-file"))?;
        given.insert(SECRET_FILE.to_owned(), file.display().to_string());
    }
    if given.contains_key(SECRET_FILE) {
        return Ok(None);
    }
    let secret = match environment.secrets.get(SECRET) {
        Some(secret) => secret.clone(),
        None if std::io::stdin().is_terminal() => ask::secret(SECRET_WORDS)?,
        None => {
            return Err(Failure::usage("the access key's secret is missing, and there is no terminal to ask on")
                .remedy("CXONEFS_ACCESS_KEY_SECRET, or --secret-file FILE"));
        }
    };
    let name = secret_name(config);
    let path = config.with_file_name(&name);
    refuse_to_overwrite(&path, args.force)?;
    // Relative to the configuration, so that both can be moved together.
    given.insert(SECRET_FILE.to_owned(), name);
    Ok(Some((path, secret)))
}

/// The secret's file beside the configuration: `secret`, or `NAME.secret` beside `NAME.toml`, where the service looks for it.
fn secret_name(config: &Path) -> String {
    match config.file_stem().and_then(|stem| stem.to_str()) {
        Some("config") | None => String::from("secret"),
        Some(stem) => format!("{stem}.secret"),
    }
}

/// Which answer a failed login speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubts {
    Key,
    Host,
}

/// Why what would be written does not work.
struct Untested {
    failure: Failure,
    /// None: no other answer would help.
    doubts: Option<Doubts>,
}

impl From<Failure> for Untested {
    fn from(failure: Failure) -> Untested {
        Untested { failure, doubts: None }
    }
}

/// Settles what would be written as a mount would, and logs in with it.
fn test(draft: &Draft, host: &Host, only_settle: bool) -> Result<(), Untested> {
    let text = template::toml(&draft.given);
    let mut environment = Environment::default();
    if let Some((_, secret)) = &draft.secret {
        environment.secrets.insert(SECRET.to_owned(), secret.clone());
    }
    let file = Some(ConfigFile { path: draft.path.clone(), text });
    let config = config::resolve(&Sources { file, environment, ..Sources::default() }, host).map_err(Failure::from)?;
    for warning in config.warnings_at(SystemClock.now()) {
        complain(format_args!("cxonefs: {warning}"));
    }
    if only_settle {
        return Ok(());
    }
    let failed = |error: ApiError| {
        let doubts = doubts(error.kind);
        Untested { failure: assemble::login_failure(error, &config), doubts }
    };
    let tenant =
        Tenant::new(crate::daemon::settings::tenant_settings(&config), Arc::new(SystemClock)).map_err(failed)?;
    let (api, playback) = daemon::runtime()?.block_on(tenant.endpoints()).map_err(failed)?;
    println!("the login works: reporting at {}, playback at {}", shown(&api), shown(&playback));
    Ok(())
}

fn doubts(kind: ApiErrorKind) -> Option<Doubts> {
    match kind {
        ApiErrorKind::Denied => Some(Doubts::Key),
        ApiErrorKind::Unavailable | ApiErrorKind::Timeout | ApiErrorKind::BadAnswer => Some(Doubts::Host),
        ApiErrorKind::Configuration | ApiErrorKind::RateLimited { .. } => None,
    }
}

fn write(draft: &Draft) -> Result<(), Failure> {
    if let Some(folder) = draft.path.parent() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Failure::failed(error).while_doing(format!("creating {}", folder.display())))?;
    }
    if let Some((path, secret)) = &draft.secret {
        workspace::write_atomically(path, secret.expose_secret().as_bytes())?;
    }
    workspace::write_atomically(&draft.path, template::toml(&draft.given).as_bytes())
}

fn next(path: &Path, host: &Host) -> String {
    let is_usual = locate::places(host).iter().any(|place| place == path);
    let flag = if is_usual { String::new() } else { format!(" --config {}", path.display()) };
    format!(
        "written: {}\n\nNext:\n  cxonefs doctor{flag}\n  mkdir -p ~/recordings && cxonefs mount{flag} ~/recordings\n",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{self, DefaultValue, Standing};

    #[test]
    fn what_a_mount_refuses_to_be_set_is_refused_here_and_secrets_are_not_shown() {
        for (text, part) in [
            ("limits.deadlin=3s", "--set: unknown key \"limits.deadlin\"; did you mean \"deadline\"?"),
            ("foo.bar=1", "--set: unknown key \"foo.bar\""),
            ("limits.deadline=soon", "--set: limits.deadline: expected a duration"),
            ("tenant.access_key_secret=hunter2", "access_key_secret must not be written here\n  put it in a file"),
        ] {
            let failure = assignments(&[text.to_owned()]).unwrap_err();
            let said = failure.render();
            assert!(failure.code() == 2 && said.contains(part) && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn every_key_that_can_be_set_is_written() {
        let settable = keys::ALL.iter().map(|key| key.info()).filter(|info| info.standing == Standing::Settable);
        let set: Vec<String> = settable
            .map(|info| match info.default_value {
                DefaultValue::Is(value) => format!("{}={value}", info.path()),
                _ if info.name == "timezone" => format!("{}=UTC", info.path()),
                _ if info.name == "area" => format!("{}=na1", info.path()),
                _ if info.name.ends_with("hosts") => format!("{}=x.example", info.path()),
                _ if info.name.ends_with("command") => format!("{}=/usr/bin/key", info.path()),
                _ if info.name.ends_with("id") => format!("{}=7", info.path()),
                _ if info.name == "media_hosts" => format!("{}=x.example", info.path()),
                _ => format!("{}=https://x.example", info.path()),
            })
            .collect();
        let text = template::toml(&assignments(&set).unwrap());
        let written = raw::parse_file(&ConfigFile { path: "/x.toml".into(), text }).unwrap();
        assert_eq!(written.len(), set.len(), "{:?}", written.keys());
    }

    #[test]
    fn the_directories_of_a_service_are_its_own_and_written_down() {
        let root = Host { home: Some("/root".into()), ..Host::default() };
        let given = |path: &str, host: &Host| {
            let mut given = Given::new();
            write_down_directories(&mut given, Path::new(path), host);
            (given["state.dir"].clone(), given["cache.dir"].clone())
        };
        let of = |state: &str, cache: &str| (state.to_owned(), cache.to_owned());
        assert_eq!(given("/etc/cxonefs/calls.toml", &root), of("/var/lib/cxonefs/calls", "/var/cache/cxonefs/calls"));
        assert_eq!(given("/etc/cxonefs/config.toml", &root), of("/var/lib/cxonefs", "/var/cache/cxonefs"));
        let user = Host { euid: 1000, home: Some("/home/u".into()), ..Host::default() };
        let of_user = of("/home/u/.local/state/cxonefs", "/home/u/.cache/cxonefs");
        assert_eq!(given("/etc/cxonefs/calls.toml", &user), of_user);
        let mut chosen = Given::from([("state.dir".to_owned(), "/s".to_owned())]);
        write_down_directories(&mut chosen, Path::new("/x.toml"), &user);
        assert_eq!(chosen["state.dir"], "/s");
    }

    #[test]
    fn the_next_command_names_an_unusual_place() {
        let host = Host { euid: 1000, home: Some("/home/u".into()), ..Host::default() };
        assert!(next(Path::new("/home/u/.config/cxonefs/config.toml"), &host).contains("\n  cxonefs doctor\n"));
        assert!(next(Path::new("/x.toml"), &host).contains("cxonefs mount --config /x.toml ~/recordings"));
    }
}
