//! `cxonefs status`: how a mount is, for people and, with `--json`, for programs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::StatusArgs;
use super::failure::Failure;
use super::units::size;
use super::{daemon, mounts};
use crate::base::shown;
use crate::base::shown::shown_json;
use crate::ops::control::{self, ControlError};
use crate::ops::status::Status;

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
        None => own_sockets()?,
    };
    let runtime = daemon::runtime()?;
    if args.watch {
        return runtime.block_on(watch(&sockets, args.mount_point.is_some()));
    }
    let named = args.mount_point.is_some();
    let states = runtime.block_on(ask_all(&sockets, named))?;
    if states.is_empty() && !named {
        return Err(Failure::failed("no cxonefs mount of this user is running").remedy("cxonefs mount DIR"));
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
    Ok(control::find_socket(&path, owner.unwrap_or_else(|| rustix::process::geteuid().as_raw())))
}

/// The sockets of this user's mounts.
pub fn own_sockets() -> Result<Vec<PathBuf>, Failure> {
    control::own_sockets().map_err(|error| Failure::failed(error).while_doing("looking for the sockets of mounts"))
}

/// What to do where a mount's daemon could not be asked.
pub fn not_answered(error: ControlError) -> Failure {
    let remedy = match &error {
        ControlError::NoDaemon { .. } => {
            Some(String::from("is it mounted, and by you? cxonefs mounts are shown by: findmnt -t fuse.cxonefs"))
        }
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
            Err(ControlError::NoDaemon { .. }) if !named => {}
            Err(error @ ControlError::Silent { .. }) if !named => eprintln!("cxonefs: {}", shown(&error.to_string())),
            Err(error) => return Err(not_answered(error)),
        }
    }
    Ok(states)
}

fn table(state: &Status) -> String {
    let mut text = format!("{} (cxonefs {}, pid {})\n", shown(&state.mount_point), shown(&state.version), state.pid);
    let mut row = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<14} {}", shown(name), shown(&value));
    };
    let (tree, playback, budget) = (&state.tree, &state.playback, &state.budget);
    row("tenant", format!("{} as {}", state.tenant.host, state.tenant.access_key_id));
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
    row("resolve on", tree.resolve_on.clone());
    let window = format!("{} of {} calls in {} s", playback.used, playback.learned_limit, playback.window_s);
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
            + &playback.held_by.as_ref().map_or_else(String::new, |why| format!("; the next waits for: {why}")),
    );
    let listing = &state.reporting;
    let window = format!("{} of {} pages in {} s", listing.used, listing.learned_limit, listing.window_s);
    row("listing", window + &refused(listing.refused, listing.paused_for_s));
    let hosts = state.media.hosts.iter();
    let hosts = hosts.map(|host| format!("{} of {} to {}", host.connections, state.media.connections_limit, host.host));
    let hosts: Vec<String> = hosts.collect();
    row("media", if hosts.is_empty() { String::from("no connection in use") } else { hosts.join(", ") });
    for service in &state.services {
        let why = service.error.as_deref().unwrap_or("no reason known");
        let down = |seconds: f64| format!("down for {seconds:.0} s: {why}");
        row(&service.name, service.down_for_s.map_or_else(|| String::from("answers"), down));
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
    let audit = &state.audit;
    let lost = if audit.lost > 0 { format!(", {} events LOST", audit.lost) } else { String::new() };
    let need = audit.need_bytes.map_or_else(String::new, |need| format!(", about {} within audit.keep", size(need)));
    let required = if audit.required { ", required" } else { "" };
    row("audit log", format!("{} lines, {}{need}{required}{lost}", audit.number, size(audit.bytes)));
    if audit.not_exported > 0 {
        row("", format!("{} lines were not taken by {}", audit.not_exported, audit.export));
    }
    if let Some(trouble) = &audit.trouble {
        row("", format!("cannot be written: {trouble}"));
    }
    if let Some(warning) = &audit.warning {
        row("", warning.clone());
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
        row("slow", format!("{} ms {} {}{error}", slow.took_ms, slow.operation, slow.path));
    }
    text
}

/// What throttling there was, if any.
fn refused(times: u64, paused_for_s: f64) -> String {
    match (times, paused_for_s > 0.0) {
        (0, _) => String::new(),
        (_, false) => format!(", refused {times} times"),
        (_, true) => format!(", refused {times} times, paused for {paused_for_s:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_is_not_there_is_said_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let args = StatusArgs { mount_point: Some(dir.path().to_owned()), json: false, watch: false };
        let said = run(&args).unwrap_err().render();
        assert!(said.contains("no cxonefs daemon answers") && said.contains("findmnt"), "{said}");
    }
}
