//! A tenant that refuses the login in words of its own, under whatever status.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Case, CaseDrive, Drive, Kind, Mount, cxonefs, eventually, plain};

#[track_caller]
fn assert_says(case: Case, words: &str) {
    let (tenant, sandbox) = CaseDrive::unmounted(case);
    let doctor = cxonefs(&sandbox.home()).args(["doctor", "--config"]).arg(sandbox.config()).run();
    let said = format!("{}{}", doctor.stdout, doctor.stderr);
    assert!(said.contains(words), "doctor does not say {words:?}:\n{said}");
    assert_ne!(doctor.code(), 0);
    tenant.forget();
    let log = match Mount::attempt(&sandbox, &[]) {
        Err(ended) => ended.said,
        Ok(mount) => {
            let _ = fs::read_dir(mount.at("2026-11-02"));
            eventually("the log says it", Duration::from_secs(20), || mount.stderr().contains(words));
            for _ in 0..5 {
                let _ = fs::read_dir(mount.at("2026-11-02"));
            }
            mount.stderr()
        }
    };
    assert!(log.contains(words), "the log does not say {words:?}:\n{log}");
    assert!(tenant.count(Kind::Login) <= 3, "{} logins were refused", tenant.count(Kind::Login));
}

#[test]
fn an_expired_key_is_said_in_the_tenants_words() {
    assert_says(Case::named("T3"), "Access key is expired");
}

#[test]
fn so_it_is_under_every_name_and_status() {
    let refusals = [
        (200, json!({"error": "invalid_grant", "errorDescription": "Access key is expired"})),
        (401, json!({"error": "invalid_grant", "errorDescription": "Access key is expired"})),
        (400, json!({"error": "invalid_grant", "error_description": "Access key is expired"})),
        (403, json!({"message": "Access key is expired"})),
    ];
    for (status, body) in refusals {
        let mut case = Case::named("T3");
        case.token = Some(Answer { status: Some(status), body: Some(body), ..Answer::default() }.into());
        assert_says(case, "Access key is expired");
    }
}

/// A secret that was exchanged is used at the next login without a signal, and ends the pause after a refused one.
#[test]
fn a_changed_secret_is_noticed_when_a_login_is_due() {
    let drive = Drive::of(plain(1, 4));
    let good = fs::read_to_string(drive.sandbox.secret()).unwrap();
    let files: Vec<_> = drive.tree.recorded().map(|place| drive.at(&place.path).join("metadata.json")).collect();
    fs::read(&files[0]).unwrap();
    drive.sandbox.write_secret("not the secret");
    let before = drive.counters().logins;
    // The token ends.
    drive.tenant.switch(|switches| switches.token_generation += 1);
    for _ in 0..3 {
        fs::read(&files[1]).expect_err("it logs in with what is in the file");
    }
    assert_eq!(drive.counters().logins - before, 1, "a refused login is not repeated at once");
    drive.sandbox.write_secret(&good);
    fs::read(&files[1]).expect("the pause has ended");
    assert_eq!(drive.counters().logins - before, 2);
    fs::read(&files[0]).unwrap();
    assert!(drive.mount.stderr().contains("a secret's file changed"), "{}", drive.mount.stderr());
}
