//! `doctor`: green where all is well, and for each thing that can be wrong with the tenant or the configuration a line with its remedy.
//! What can be wrong with the machine is shown beside the code, on machines made of files.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use cxonefs::sim::{Endpoint, Fault};
use serde_json::Value;

use crate::harness::{Done, Sandbox, Tenant, Tree, cxonefs, eventually, plain, tool};

fn doctor(sandbox: &Sandbox, flags: &[&str]) -> Done {
    cxonefs(&sandbox.home()).args(["doctor", "--config"]).arg(sandbox.config()).args(flags).run()
}

/// Outcome and remedy of a check.
fn found(done: &Done, name: &str) -> (String, String) {
    let report: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}{}", done.stdout, done.stderr));
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no {name} in {report}"));
    (check["outcome"].as_str().unwrap().to_owned(), check["remedy"].as_str().unwrap_or_default().to_owned())
}

#[track_caller]
fn assert_failed(done: &Done, name: &str, remedy: &str, code: i32) {
    let (outcome, said) = found(done, name);
    assert_eq!(outcome, "failed", "{name}: {}", done.stdout);
    assert!(said.contains(remedy), "{name}: {remedy:?} is missing in {said:?}");
    assert_eq!(done.code(), code, "{}", done.stderr);
    assert!(done.stderr.contains(name), "{}", done.stderr);
}

#[test]
fn all_green_and_nothing_billed() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let done = doctor(&sandbox, &[]);
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);
    for name in [
        "fuse device",
        "configuration",
        "secret",
        "cache directory",
        "state space",
        "clock",
        "login",
        "discovery",
        "reporting",
    ] {
        let line = done
            .stdout
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or_else(|| panic!("no {name}: {}", done.stdout));
        assert!(line.starts_with('✓'), "{line}");
    }
    let counters = tenant.counters();
    assert_eq!((counters.playback_calls, counters.logins), (0, 1), "{counters:?}");
    assert!(!sandbox.state().exists() && !sandbox.cache().exists(), "looking creates nothing");
}

#[test]
fn what_the_tenant_refuses_is_told_apart() {
    let mut tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let refuse = |endpoint, status| {
        tenant.heal();
        tenant.fail(endpoint, Fault::Status { status, retry_after_s: None });
        doctor(&sandbox, &["--json"])
    };
    assert_failed(&refuse(Endpoint::Login, 401), "login", "check tenant.access_key_id", 1);
    assert_failed(&refuse(Endpoint::Completed, 403), "reporting", "view reports", 1);
    // Asking whether Media Playback answers is asking for a description, like discovery.
    assert_failed(&refuse(Endpoint::Discovery, 503), "playback", "tenant.playback_endpoint", 1);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let discovering: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("api_endpoint") && !line.starts_with("playback_endpoint"))
        .collect();
    std::fs::write(sandbox.config(), discovering.join("\n")).unwrap();
    assert_failed(&doctor(&sandbox, &["--json"]), "discovery", "tenant.api_endpoint", 1);
    tenant.heal();
    tenant.switch(|switches| switches.clock_offset_s = 3600);
    assert_failed(&doctor(&sandbox, &["--json"]), "clock", "timedatectl", 1);
    tenant.shut_down();
    let done = doctor(&sandbox, &["--json"]);
    assert_failed(&done, "connection", "firewall", 1);
    assert_eq!(found(&done, "login").0, "skipped");
}

/// A proxy that opens TLS, or a tenant of another name, shows a certificate that nobody here knows.
#[test]
fn a_certificate_that_is_not_trusted_is_told_from_a_closed_door() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let (key, certificate) = (sandbox.path("key.pem"), sandbox.path("certificate.pem"));
    let make = tool("openssl").args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    make.args(["-subj", "/CN=stranger", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .ok();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let serve = tool("openssl").args(["s_server", "-quiet", "-www", "-accept", &address, "-key"]).arg(&key);
    let _server = serve.arg("-cert").arg(&certificate).start();
    eventually("it listens", Duration::from_secs(10), || TcpStream::connect(&address).is_ok());
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let lines = text.lines().filter(|line| !line.contains("_endpoint = "));
    let lines =
        lines.map(
            |line| if line.starts_with("issuer") { format!("issuer = \"https://{address}\"") } else { line.to_owned() },
        );
    std::fs::write(sandbox.config(), lines.collect::<Vec<String>>().join("\n")).unwrap();
    assert_failed(&doctor(&sandbox, &["--json"]), "connection", "ca-certificates", 1);
}

#[test]
fn what_is_written_wrong_is_exit_code_2() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    std::fs::set_permissions(sandbox.secret(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_failed(&doctor(&sandbox, &["--json"]), "secret", "chmod 600 ", 2);
    sandbox.write_secret("wrong");
    assert_failed(&doctor(&sandbox, &["--json"]), "login", "its secret", 1);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    std::fs::write(sandbox.config(), text.replace("America/New_York", "Mars/Base")).unwrap();
    assert_failed(&doctor(&sandbox, &["--json"]), "time zone", "", 2);
    std::fs::write(sandbox.config(), text.replace("issuer", "isuer")).unwrap();
    assert_failed(&doctor(&sandbox, &["--json"]), "configuration", "", 2);
    std::fs::write(sandbox.config(), text.replace("127.0.0.1", "no-such-host.invalid").replace("http://", "https://"))
        .unwrap();
    assert_failed(&doctor(&sandbox, &["--json"]), "name resolution", "/etc/resolv.conf", 1);
}

#[test]
fn a_billed_call_is_made_only_when_asked_for_and_is_in_the_ledger() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    let master = Tree::of(&tenant).places[0].master.to_string();
    let done = doctor(&sandbox, &["--json", "--billed", &master]);
    assert_eq!((done.code(), found(&done, "playback permission").0.as_str()), (0, "ok"), "{}", done.stdout);
    assert_eq!(tenant.counters().playback_billed, 1);
    let ledger = cxonefs(&sandbox.home()).args(["ledger", "--json", "--state-dir"]).arg(sandbox.state()).ok().stdout;
    assert!(ledger.contains(&master) && ledger.contains("\"found\"") && ledger.lines().count() == 1, "{ledger}");
    let nobody = doctor(&sandbox, &["--json", "--billed", "4711"]);
    let (outcome, remedy) = found(&nobody, "playback permission");
    assert!(outcome == "hint" && remedy.contains("known to be recorded"), "{}", nobody.stdout);
    tenant.fail(Endpoint::Playback, Fault::Status { status: 403, retry_after_s: None });
    assert_failed(&doctor(&sandbox, &["--json", "--billed", &master]), "playback permission", "Play Any", 1);
    tenant.heal();
    let config = std::fs::read_to_string(sandbox.config()).unwrap();
    std::fs::write(sandbox.config(), format!("{config}\n[limits]\ndaily_budget = 3\n")).unwrap();
    assert_failed(&doctor(&sandbox, &["--json", "--billed", &master]), "playback permission", "limits.daily_budget", 1);
    assert_eq!(tenant.counters().playback_calls, 3);
}
