//! Keys end and are replaced: a refused login stops no mount that has something to show, and a new secret needs no restart.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use cxonefs::sim::{Endpoint, Fault};
use rustix::process::Signal;

use crate::harness::{Drive, Mount, Sandbox, Tenant, cxonefs, eventually, plain, true_bytes};

const WRONG: &str = "wrong-secret-4711";

fn errno(path: &Path) -> Option<i32> {
    File::open(path).and_then(|mut file| file.read(&mut [0; 16])).err().and_then(|error| error.raw_os_error())
}

#[test]
fn a_refused_login_stops_no_start_and_a_new_secret_needs_no_restart() {
    let mut drive = Drive::of(plain(2, 4));
    let places: Vec<_> =
        drive.tree.recorded().map(|place| (place.master, drive.at(&place.path).join("recording.mp4"))).collect();
    let (cached, later) = (&places[0], &places[1..]);
    assert!(std::fs::read(&cached.1).unwrap() == true_bytes(&drive.tenant, cached.0, 1));

    drive.sandbox.write_secret(WRONG);
    drive.mount.remount();
    // What is here is read.
    assert!(std::fs::read(&cached.1).unwrap() == true_bytes(&drive.tenant, cached.0, 1));
    assert!(later[0].1.metadata().unwrap().len() > 0);
    assert_eq!(errno(&later[0].1), Some(libc::EACCES));
    // The log, the status and doctor say what is wrong.
    let log = drive.mount.stderr();
    assert!(log.contains("what is cached is read; correct the access key"), "{log}");
    assert_eq!(drive.mount.status()["tenant"]["login"]["state"], "failed");
    let doctor = cxonefs(&drive.sandbox.home()).args(["doctor", "--config"]).arg(drive.sandbox.config()).run();
    assert_eq!(doctor.code(), 1);
    assert!(doctor.stdout.contains("✗ login") && doctor.stdout.contains("tenant.access_key_id"), "{}", doctor.stdout);

    // Rotation: the file, then SIGHUP.
    drive.sandbox.write_secret(&drive.tenant.settings().credentials.access_key_secret);
    drive.mount.signal(Signal::HUP);
    eventually("the new secret is used", Duration::from_secs(20), || errno(&later[0].1).is_none());
    assert_eq!(drive.mount.status()["tenant"]["login"]["state"], "good");
    assert!(drive.mount.stderr().contains("the access key's secret is another one; the next login uses it"));

    // The other way round while it runs: the token at hand goes on, and a new login fails until the secret is right again.
    drive.sandbox.write_secret(WRONG);
    drive.mount.signal(Signal::HUP);
    drive.tenant.switch(|switches| switches.token_generation += 1);
    eventually("the old token is refused", Duration::from_secs(20), || errno(&later[1].1) == Some(libc::EACCES));
    drive.sandbox.write_secret(&drive.tenant.settings().credentials.access_key_secret);
    drive.mount.signal(Signal::HUP);
    eventually("the secret is right again", Duration::from_secs(20), || errno(&later[1].1).is_none());
}

/// Refusals may lock a key: however often somebody asks, a refused login is repeated after 5 s, then after 10, and so on.
#[test]
fn refused_logins_become_rare() {
    let drive = Drive::of(plain(1, 4));
    let files: Vec<_> =
        drive.tree.recorded().map(|place| drive.at(&place.path).join("metadata.json")).take(2).collect();
    std::fs::read(&files[0]).unwrap();
    let before = drive.counters().logins;
    drive.tenant.fail(Endpoint::Login, Fault::Status { status: 401, retry_after_s: None });
    drive.tenant.switch(|switches| switches.token_generation += 1);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(13) {
        std::fs::read(&files[1]).expect_err("the login is refused");
        std::thread::sleep(Duration::from_millis(100));
    }
    let logins = drive.counters().logins - before;
    assert!((1..=2).contains(&logins), "{logins} logins were refused within 13 s");
}

/// The configuration is read again by SIGHUP, and not before: another key than the one in use is a change like any other.
#[test]
fn another_access_key_is_used_after_sighup() {
    let drive = Drive::of(plain(1, 4));
    let files: Vec<_> =
        drive.tree.recorded().map(|place| drive.at(&place.path).join("metadata.json")).take(3).collect();
    let (config, id) = (drive.sandbox.config(), drive.tenant.settings().credentials.access_key_id.clone());
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains(&id));
    std::fs::write(&config, text.replace(&id, "ANOTHERKEY")).unwrap();
    drive.tenant.switch(|switches| switches.token_generation += 1);
    std::fs::read(&files[0]).expect("the key that is in use still logs in");
    drive.mount.signal(Signal::HUP);
    drive.tenant.switch(|switches| switches.token_generation += 1);
    eventually("the other key is used, and the tenant does not know it", Duration::from_secs(20), || {
        errno(&files[1]) == Some(libc::EACCES)
    });
    std::fs::write(&config, text).unwrap();
    drive.mount.signal(Signal::HUP);
    eventually("the first key is used again, without a pause", Duration::from_secs(20), || errno(&files[2]).is_none());
}

/// systemd would try again every few seconds, and each try is a refused login by which a key may be locked.
#[test]
fn a_service_whose_first_login_is_refused_is_not_started_again() {
    let tenant = Tenant::start(plain(1, 2));
    let sandbox = Sandbox::of(&tenant);
    sandbox.write_secret(WRONG);
    let started = cxonefs(&sandbox.home())
        .args(["mount", "--config"])
        .arg(sandbox.config())
        .arg(sandbox.mount_point())
        .env("NOTIFY_SOCKET", sandbox.path("notify"))
        .run();
    assert_eq!(started.code(), 77, "{}", started.stderr);
    // By hand it is a failure like any other.
    assert_eq!(Mount::attempt(&sandbox, &[]).err().unwrap().code, Some(1));
    let unit = include_str!("../../../packaging/systemd/cxonefs@.service");
    let prevented = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
    assert!(
        prevented.split(' ').any(|code| code == "77") && prevented.split(' ').any(|code| code == "2"),
        "{prevented}"
    );
}
