//! A tenant that refuses the login in words of its own, under whatever status.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Case, CaseDrive, Kind, Mount, cxonefs, eventually};

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
