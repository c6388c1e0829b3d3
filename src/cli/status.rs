//! `cxonefs status`: how a mount is, for people and, with `--json`, for programs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::StatusArgs;
use super::units::size;
use crate::base::failure::Failure;
use crate::base::mounts;
use crate::base::shown::shown_json;
use crate::base::{complain, shown, span, user_name, user_words};
use crate::daemon;
use crate::ops::control::{self, ControlError};
use crate::ops::status::{AuditStatus, HinderedStatus, Status};

/// Between two looks of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Days with unreadable contacts that the table names.
const UNREADABLE_SHOWN: usize = 5;
/// Slow requests that the table shows.
const SLOWEST_SHOWN: usize = 5;

/// Prints the state of the mount at a directory, or of all mounts of this user.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let sockets = match &args.mount_point {
        Some(mount_point) => vec![socket(mount_point)?],
        None => own_sockets()?.into_iter().chain(doors_of_others()).collect(),
    };
    let runtime = daemon::runtime()?;
    if args.watch {
        return runtime.block_on(watch(&sockets, args.mount_point.is_some()));
    }
    let named = args.mount_point.is_some();
    let states = runtime.block_on(ask_all(&sockets, named))?;
    if states.is_empty() && !named {
        return Err(nothing_runs());
    }
    if args.json {
        let text = match (named, states.as_slice()) {
            (true, [state]) => serde_json::to_string_pretty(state),
            _ => serde_json::to_string_pretty(&states),
        };
        println!("{}", shown_json(&text.map_err(Failure::failed)?));
    } else {
        print!("{}", tables(&states));
    }
    Ok(())
}

fn nothing_runs() -> Failure {
    let us = rustix::process::geteuid().as_raw();
    let others = mounts::ours().unwrap_or_default();
    let others = others.iter().filter_map(|mount| {
        let owner = mount.owner.filter(|owner| *owner != us)?;
        Some(format!(
            "{} was mounted by {}: ask them for access, or use sudo",
            mount.point.display(),
            user_words(owner)
        ))
    });
    let remedy: Vec<String> = others.chain([String::from("to mount: cxonefs mount DIR")]).collect();
    Failure::failed("no cxonefs mount that answers this user is running").remedy(remedy.join("\n"))
}

fn tables(states: &[Status]) -> String {
    states.iter().map(table).collect::<Vec<String>>().join("\n")
}

/// Shows it in place until Ctrl-C, or until the mount is gone.
async fn watch(sockets: &[PathBuf], named: bool) -> Result<(), Failure> {
    // Home, then clear to the end: no flicker.
    const HOME_AND_CLEAR: &str = "\x1b[H\x1b[J";
    loop {
        let states = ask_all(sockets, named).await?;
        print!("{HOME_AND_CLEAR}{}\nCtrl-C ends this\n", tables(&states));
        std::io::stdout().flush().map_err(|error| Failure::failed(error).while_doing("writing to standard output"))?;
        tokio::select! {
            () = tokio::time::sleep(WATCH_EVERY) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// The socket of the mount at a directory. Asks the table of mounts alone: a look at the directory itself would wait for a daemon that is
/// stopped.
pub fn socket(mount_point: &Path) -> Result<PathBuf, Failure> {
    let failed = |error| Failure::failed(error).while_doing(mount_point.display().to_string());
    let path = mounts::resolve(mount_point).map_err(failed)?;
    let owner = mounts::at(&path).map_err(failed)?.and_then(|mount| mount.owner);
    Ok(socket_of_owner(&path, owner.unwrap_or_else(|| rustix::process::geteuid().as_raw())))
}

/// The owner's own socket for the owner and root, the door for others else.
fn socket_of_owner(path: &Path, owner: u32) -> PathBuf {
    let us = rustix::process::geteuid().as_raw();
    if us == 0 || us == owner {
        return control::find_socket(path, owner);
    }
    // Messages name the owner.
    user_name::learn_local();
    control::members_socket(path, owner)
}

/// The doors of mounts that other users made, for a user who is not root.
fn doors_of_others() -> Vec<PathBuf> {
    let us = rustix::process::geteuid().as_raw();
    let mounts = if us == 0 { Vec::new() } else { mounts::ours().unwrap_or_default() };
    let others = mounts.into_iter().filter_map(|mount| Some((mount.owner.filter(|owner| *owner != us)?, mount.point)));
    others.map(|(owner, point)| socket_of_owner(&point, owner)).collect()
}

/// The sockets of this user's mounts.
pub fn own_sockets() -> Result<Vec<PathBuf>, Failure> {
    control::own_sockets().map_err(|error| Failure::failed(error).while_doing("looking for the sockets of mounts"))
}

/// What to do where a mount's daemon could not be asked.
pub fn not_answered(error: ControlError) -> Failure {
    let remedy = match &error {
        ControlError::NoDaemon { .. } => {
            let is_shown = "is it mounted? cxonefs mounts are shown by: findmnt -t fuse.cxonefs";
            Some(format!(
                "{is_shown}\nif it is shown, its daemon has ended: mount it again, or clear it: cxonefs umount DIR"
            ))
        }
        ControlError::NotForUs { owner } => Some(format!(
            "mounted by {}: it answers users who may read the mount (mount.allow_other, mount.gid, mount.dir_mode); ask them, or use sudo",
            user_words(*owner)
        )),
        ControlError::Silent { pid } => {
            let again = pid.map_or_else(String::new, |pid| format!("let it go on: kill -CONT {pid}\n"));
            Some(format!("{again}or take the mount away: cxonefs umount --lazy DIR"))
        }
        _ => None,
    };
    let failure = Failure::failed(error);
    match remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

async fn ask_all(sockets: &[PathBuf], named: bool) -> Result<Vec<Status>, Failure> {
    let mut states = Vec::new();
    for socket in sockets {
        match control::get::<Status>(socket, "/status").await {
            Ok(state) => states.push(state),
            // A daemon that was killed leaves its socket behind.
            Err(ControlError::NoDaemon { .. } | ControlError::NotForUs { .. } | ControlError::Exchange(_))
                if !named => {}
            // Nor does one that is stopped, or whose name another user took, hide the others.
            Err(error @ (ControlError::Silent { .. } | ControlError::Stranger { .. })) if !named => {
                complain(format_args!("cxonefs: {}", shown(&error.to_string())));
            }
            Err(error) => return Err(not_answered(error)),
        }
    }
    Ok(states)
}

fn table(state: &Status) -> String {
    let text = format!("{} (cxonefs {}, pid {})\n", shown(&state.mount_point), shown(&state.version), state.pid);
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((shown(name).into_owned(), shown(&value).into_owned()));
    let (tree, playback, budget) = (&state.tree, &state.playback, &state.budget);
    // Other users than the mount's owner are not shown the key's id.
    let key = &state.tenant.access_key_id;
    row("tenant", if key.is_empty() { state.tenant.host.clone() } else { format!("{} as {key}", state.tenant.host) });
    let login = &state.tenant.login;
    let more = login.error.as_ref().or(login.until.as_ref());
    let word = if login.error.is_some() { ": " } else { " until " };
    row("login", format!("{}{}", login.state, more.map(|more| format!("{word}{more}")).unwrap_or_default()));
    row("mounted", state.mounted_at.clone());
    row("tree", format!("{} to {}, {} interactions indexed", tree.first_day, tree.last_day, tree.interactions));
    row("days", format!("{} indexed, {} of them open", tree.days_indexed, tree.days_open));
    for day in &tree.indexing {
        let total = day.total.map_or_else(String::new, |total| format!(" of {total}"));
        row("indexing", format!("{}: {}{total} contacts", day.day, day.rows));
    }
    if !tree.unreadable.is_empty() {
        let contacts: u64 = tree.unreadable.iter().map(|day| day.contacts).sum();
        let days: Vec<&str> = tree.unreadable.iter().map(|day| day.day.as_str()).take(UNREADABLE_SHOWN).collect();
        let more = if tree.unreadable.len() > UNREADABLE_SHOWN { " …" } else { "" };
        row(
            "not shown",
            format!("{contacts} contacts whose records cannot be read: {}{more} (see the log)", days.join(", ")),
        );
    }
    if let Some(hindered) = hindered(tree.hindered) {
        row("not to be had", hindered);
    }
    row("resolve on", tree.resolve_on.clone());
    let window = format!("{} of {} calls in {}", playback.used, playback.learned_limit, seconds(playback.window_s));
    let learned = if playback.learned_limit < playback.limit {
        format!(" (lowered from {} after the tenant throttled)", playback.limit)
    } else {
        String::new()
    };
    row("rate limit", window + &learned + &refused(playback.refused, playback.paused_for_s));
    let waiting = playback.waiting;
    row(
        "waiting",
        format!("{} open, {} stat, {} list, {} warm", waiting.open, waiting.stat, waiting.list, waiting.warm)
            + &playback.held_by.as_ref().map_or_else(String::new, |why| format!("; the next waits for: {why}"))
            + &playback.held_for_s.map_or_else(String::new, |wait| format!(", another {}", seconds(wait.ceil()))),
    );
    let listing = &state.reporting;
    let window = format!("{} of {} pages in {}", listing.used, listing.learned_limit, seconds(listing.window_s));
    row("listing", window + &refused(listing.refused, listing.paused_for_s));
    let hosts = state.media.hosts.iter();
    let hosts = hosts.map(|host| format!("{} of {} to {}", host.connections, state.media.connections_limit, host.host));
    let hosts: Vec<String> = hosts.collect();
    row("media", if hosts.is_empty() { String::from("no connection in use") } else { hosts.join(", ") });
    for service in &state.services {
        let why = service.error.as_deref().unwrap_or("no reason known");
        let down = |down_s: f64| format!("down for {}: {why}", seconds(down_s.round()));
        let (name, state) =
            service_row(&service.name, service.down_for_s.map_or_else(|| String::from("answers"), down));
        row(&name, state);
    }
    let limit = budget.limit.map_or_else(|| String::from("unlimited"), |limit| limit.to_string());
    row("billed today", format!("{} of {limit} (UTC day)", budget.spent_today));
    row(
        "cache",
        format!(
            "{} of {} in {}{}",
            size(state.cache.used_bytes),
            size(state.cache.size_bytes),
            state.cache.dir,
            if state.cache.encrypted { ", encrypted" } else { "" }
        ),
    );
    if let Some(trouble) = &state.cache.trouble {
        row("", format!("reading uncached: {trouble}"));
    }
    for (name, value) in audit_rows(&state.audit) {
        row(name, value);
    }
    row("kernel holds", format!("{} inodes, {} open files", state.kernel.inodes, state.kernel.open_files));
    let passthrough = &state.kernel.passthrough;
    let why = passthrough.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    row("passthrough", format!("{}{why}, {} opens", passthrough.state, passthrough.opens));
    let reads = &state.reads;
    let ratio = reads
        .hit_ratio
        .map_or_else(|| String::from("none yet"), |ratio| format!("{:.0} % from the cache", ratio * 100.0));
    row("reads", format!("{ratio}; {} fetched from media hosts", size(reads.fetched_bytes)));
    row("memory", size(state.memory_bytes));
    for slow in state.slowest.iter().take(SLOWEST_SHOWN) {
        let error = slow.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
        let took = span::words(Duration::from_millis(slow.took_ms));
        row("slow", format!("{took} for {} of {}{error}", slow.operation, slow.path));
    }
    text + &aligned(&rows)
}

/// How the audit log is doing.
fn audit_rows(audit: &AuditStatus) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let lost = if audit.lost > 0 { format!(", {} events LOST", audit.lost) } else { String::new() };
    let need = audit.need_bytes.map_or_else(String::new, |need| format!(", about {} within audit.keep", size(need)));
    let required = if audit.required { ", required" } else { "" };
    rows.push(("audit log", format!("{} lines, {}{need}{required}{lost}", audit.number, size(audit.bytes))));
    if audit.not_exported > 0 {
        rows.push(("", format!("{} lines were not taken by {}", audit.not_exported, audit.export)));
    }
    if let Some(trouble) = &audit.trouble {
        rows.push(("", format!("cannot be written: {trouble}")));
    }
    if let Some(warning) = &audit.warning {
        rows.push(("", warning.clone()));
    }
    rows
}

/// Columns of a row's name.
const NAME_WIDTH: usize = 14;

/// Names in one column, values in another.
fn aligned(rows: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<NAME_WIDTH$} {value}");
    }
    text
}

/// A service's row. Some are called by their host, which is longer than the column.
fn service_row(name: &str, state: String) -> (String, String) {
    if name.chars().count() <= NAME_WIDTH {
        return (name.to_owned(), state);
    }
    match name.strip_prefix("media host ") {
        Some(host) => (String::from("media host"), format!("{host} {state}")),
        None => (String::from("service"), format!("{name} {state}")),
    }
}

fn seconds(seconds: f64) -> String {
    span::words(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// How many interactions and recordings cannot be had now, by state; `None` where all can.
fn hindered(counts: HinderedStatus) -> Option<String> {
    let HinderedStatus { refused, restoring, archived, failed, withdrawn } = counts;
    let states = [
        (refused, "refused"),
        (restoring, "restoring"),
        (archived, "archived"),
        (failed, "failed"),
        (withdrawn, "withdrawn"),
    ];
    let said: Vec<String> =
        states.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}")).collect();
    (!said.is_empty()).then(|| format!("{} (getfattr -n user.cxone.reason FILE)", said.join(", ")))
}

/// What throttling there was, if any.
fn refused(times: u64, paused_for_s: f64) -> String {
    match (times, paused_for_s > 0.0) {
        (0, _) => String::new(),
        (_, false) => format!(", refused {times} times"),
        (_, true) => format!(", refused {times} times, paused for {}", seconds(paused_for_s.ceil())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_stands_in_its_column() {
        let names = ["media playback", "reporting", "media host 127.0.0.1:45678", "something-very-long"];
        let rows = names.map(|name| service_row(name, String::from("answers")));
        assert_eq!(rows[2], (String::from("media host"), String::from("127.0.0.1:45678 answers")));
        let text = aligned(&rows);
        for line in text.lines() {
            assert!(!line[NAME_WIDTH + 3..].starts_with(' ') && line.as_bytes()[NAME_WIDTH + 2] == b' ', "{text}");
        }
        assert_eq!(refused(3, 0.2), ", refused 3 times, paused for 1 s");
    }

    #[test]
    fn states_are_counted_where_there_are_any() {
        assert_eq!(hindered(HinderedStatus::default()), None);
        let said = hindered(HinderedStatus { refused: 40, failed: 1, ..HinderedStatus::default() }).unwrap();
        assert!(said.starts_with("40 refused, 1 failed ("), "{said}");
    }

    #[test]
    fn a_mount_that_is_not_there_is_said_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let args = StatusArgs { mount_point: Some(dir.path().to_owned()), json: false, watch: false };
        let said = run(&args).unwrap_err().render();
        assert!(said.contains("no cxonefs daemon answers") && said.contains("findmnt"), "{said}");
        assert!(said.contains("its daemon has ended: mount it again, or clear it: cxonefs umount"), "{said}");
    }
}
