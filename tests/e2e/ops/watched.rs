//! A mount that is watched: `status` against its schema, metrics, what is logged, signals.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Drive, Mount, Sandbox, Tenant, assert_matches, cxonefs, eventually, plain, sh};

fn status(drive: &Drive) -> Value {
    let done = cxonefs(&drive.sandbox.home()).args(["status", "--json"]).arg(drive.path()).ok();
    serde_json::from_str(&done.stdout).unwrap()
}

#[test]
fn status_is_what_its_schema_says_and_tells_what_happened() {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let drive = Drive::with(plain(1, 3), &["--set", "limits.daily_budget=2", "--set", "mount.passthrough=false"]);
    assert_matches(&schema, &status(&drive));
    drive.tenant.switch(|switches| {
        switches.latency_ms.insert(cxonefs::sim::Endpoint::Playback, 300);
    });
    let path = |index: usize| drive.at(&drive.tree.places[index].path).join("recording.mp4");
    for _ in 0..2 {
        std::fs::read(path(0)).unwrap();
    }
    std::fs::read(path(1)).unwrap();
    assert!(std::fs::read(path(2)).is_err());
    let told = status(&drive);
    assert_matches(&schema, &told);
    assert_eq!(told["tenant"]["login"]["state"], "good");
    assert_eq!((&told["budget"]["spent_today"], &told["tree"]["interactions"]), (&2.into(), &3.into()));
    assert!(told["reads"]["fetched_bytes"].as_u64() > Some(100_000), "{told}");
    assert!(told["reads"]["hit_ratio"].as_f64().is_some(), "{told}");
    let slow = &told["slowest"][0];
    assert_eq!(slow["operation"], "open");
    assert!(
        slow["took_ms"].as_u64() >= Some(300) && slow["path"].as_str().unwrap().ends_with("recording.mp4"),
        "{slow}"
    );
    let table = cxonefs(&drive.sandbox.home()).arg("status").arg(drive.path()).ok().stdout;
    for word in ["login", "good until", "days", "slow", "passthrough", "2 of 2 (UTC day)"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    // In place, until Ctrl-C.
    let line = format!(
        "exec timeout -s INT 2.5 '{}' status --watch {}",
        env!("CARGO_BIN_EXE_cxonefs"),
        drive.path().display()
    );
    let shown = sh(&format!("{line} || true")).env("HOME", drive.sandbox.home()).run().stdout;
    assert!(shown.matches("\u{1b}[H").count() >= 2 && shown.contains("rate limit"), "{shown}");
}

#[test]
fn a_day_that_the_tree_does_not_show_is_not_refreshed() {
    let drive = Drive::of(plain(1, 2));
    let today = drive.tree.places[0].path.iter().next().unwrap().to_str().unwrap().to_owned();
    let refresh = |day: &str| cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.path()).arg(day).run();
    let pages = drive.counters().completed_pages;
    for day in ["2020-01-01", "2999-01-01"] {
        let done = refresh(day);
        assert_eq!(done.code(), 1, "{}", done.stdout);
        assert!(done.stderr.contains(&format!("{day}: the tree has no such day: it shows 20")), "{}", done.stderr);
    }
    assert_eq!(drive.counters().completed_pages, pages, "nobody was asked");
    assert_eq!(refresh(&today).stdout, format!("{today} refreshed\n"));
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn scrape(port: u16) -> String {
    sh(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"))
        .ok()
        .stdout
}

#[test]
fn metrics_are_served_when_asked_for_and_count() {
    let tenant = Tenant::start(plain(1, 3));
    let sandbox = Sandbox::of(&tenant);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = Mount::attempt(&sandbox, &["--metrics", &address]).err().unwrap();
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.said.contains(&format!("metrics at {address}")) && refused.said.contains("--metrics"),
        "{}",
        refused.said
    );
    drop(taken);
    let port = free_port();
    let drive = Drive::with(plain(1, 3), &["--metrics", &format!("127.0.0.1:{port}")]);
    let folder = drive.at(&drive.tree.places[0].path);
    std::fs::read(folder.join("recording.mp4")).unwrap();
    let nothing = rustix::fs::getxattr(folder.join("metadata.json"), "user.nothing", &mut [0_u8; 8]);
    assert_eq!(nothing, Err(rustix::io::Errno::NODATA));
    let page = scrape(port);
    assert!(page.contains("application/openmetrics-text"), "{page}");
    let value = |name: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    for name in [
        "cxonefs_fuse_request_duration_seconds_count{operation=\"read\"}",
        "cxonefs_fuse_errors_total{operation=\"getxattr\",errno=\"ENODATA\"}",
        "cxonefs_api_requests_total{operation=\"media playback\",outcome=\"2xx\"}",
        "cxonefs_limiter_wait_seconds_count{class=\"open\"}",
        "cxonefs_media_fetched_bytes_total",
        "cxonefs_cache_used_bytes",
        "cxonefs_resident_memory_bytes",
        "cxonefs_billed_calls_today",
        "cxonefs_service_up{service=\"media playback\"}",
    ] {
        assert!(value(name) > 0.0, "{name}: {page}");
    }
    let secret = &drive.tenant.settings().credentials.access_key_secret;
    let place = drive.tree.places[0].path.to_str().unwrap();
    assert!(!page.contains(secret.as_str()) && !page.contains(place), "{page}");
}

#[test]
fn what_is_logged_can_be_changed_and_status_goes_to_the_log() {
    let drive = Drive::of(plain(1, 2));
    let log_level = || cxonefs(&drive.sandbox.home()).arg("log-level").arg(drive.path());
    assert_eq!(log_level().ok().stdout, "info\n");
    assert!(!drive.mount.stderr().contains("DEBUG"));
    assert_eq!(log_level().arg("debug").ok().stdout, "debug\n");
    std::fs::read(drive.at(&drive.tree.places[0].path).join("metadata.json")).unwrap();
    eventually("debug lines", Duration::from_secs(5), || drive.mount.stderr().contains("DEBUG"));
    let refused = log_level().arg("loud").run();
    assert_eq!(refused.code(), 2);
    assert!(refused.stderr.contains("\"loud\""), "{}", refused.stderr);
    log_level().arg("info").ok();
    drive.mount.signal(Signal::USR1);
    eventually("the status", Duration::from_secs(5), || drive.mount.stderr().contains("spent_today"));
    assert!(std::fs::read_dir(drive.path()).unwrap().count() > 0, "it goes on");
}

/// The log of a mount that logs to a file is read by programs, too.
#[test]
fn json_lines_are_json() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let log = sandbox.path("log");
    let flags = ["--log-format", "json", "--log-file", log.to_str().unwrap()];
    let mut mount = Mount::start(&sandbox, &flags);
    mount.terminate();
    let mut text = String::new();
    std::fs::File::open(&log).unwrap().read_to_string(&mut text).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines
            .iter()
            .any(|line| line["message"].as_str().unwrap().starts_with("mounted at ") && line["level"] == "INFO"),
        "{text}"
    );
}
