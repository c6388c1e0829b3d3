//! `cxonefs doctor`: looks at everything that a mount needs and says what to do about what is missing. Makes no billed call unless
//! it is told to.

mod billed;
mod check;
mod machine;
mod network;
mod places;
mod settings;
mod tenant;

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::args::DoctorArgs;
use crate::base::failure::Failure;
use crate::base::shown::shown_json;
use crate::base::{Clock, MasterId, SystemClock, shown};
use crate::config::{self, Config, Host};
use crate::cxone::Tenant;
use crate::daemon::{self, assemble};
use check::{Check, Outcome};

/// The longest that one call to the tenant may take here.
const CALL_WITHIN: Duration = Duration::from_secs(10);

/// Looks and says; fails if a check failed.
pub fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let host = Host::of_process();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let named = args.config.as_deref().filter(|path| !path.as_os_str().is_empty());
    let read = config::load(named, std::env::vars_os(), None, Vec::new(), &host);
    let mut checks = machine::checks(&machine::Machine::this(&host), read.as_ref().ok());
    checks.extend(settings::checks(&read, clock.now()));
    if let Ok(config) = &read {
        checks.extend(places::checks(config, &host));
        checks.extend(daemon::runtime()?.block_on(ask_tenant(config, &clock, args.billed.map(MasterId))));
    }
    if args.json {
        let all_well = checks.iter().all(|check| check.outcome != Outcome::Failed);
        let report = json!({ "ok": all_well, "checks": checks }).to_string();
        println!("{}", shown_json(&report));
    } else {
        print!("{}", table(&checks));
    }
    conclude(&checks)
}

async fn ask_tenant(config: &Config, clock: &Arc<dyn Clock>, contact: Option<MasterId>) -> Vec<Check> {
    let mut settings = crate::daemon::settings::tenant_settings(config);
    settings.times = settings.times.at_most(CALL_WITHIN);
    let tenant = match Tenant::new(settings, Arc::clone(clock)) {
        Ok(tenant) => tenant,
        Err(error) => return vec![Check::of_failure("connection", &assemble::login_failure(error, config))],
    };
    let mut checks = tenant::checks(config, &tenant, clock).await;
    let reached = checks.iter().any(|check| check.name == "playback" && check.outcome == Outcome::Ok);
    checks.push(match contact {
        Some(contact) if reached => billed::check(config, &tenant, clock, contact).await,
        Some(_) => Check::skipped("playback permission", "a step before it failed"),
        None => Check::skipped("playback permission", "only a billed call tells: --billed CONTACT makes one"),
    });
    checks
}

fn table(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {:<20} {}", check.outcome.mark(), check.name, shown(&check.detail));
        for line in check.remedy.iter().flat_map(|remedy| remedy.lines()) {
            let _ = writeln!(text, "  {:<20} -> {}", "", shown(line));
        }
    }
    text
}

fn conclude(checks: &[Check]) -> Result<(), Failure> {
    let failed: Vec<&str> =
        checks.iter().filter(|check| check.outcome == Outcome::Failed).map(|check| check.name).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let line = format!("{} of {} checks failed: {}", failed.len(), checks.len(), failed.join(", "));
    let of_configuration = failed.iter().any(|name| settings::OF_CONFIGURATION.contains(name));
    Err(if of_configuration { Failure::usage(line) } else { Failure::failed(line) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_configuration_from_the_rest() {
        let code = |checks: &[Check]| conclude(checks).err().map(|failure| failure.code());
        assert_eq!(
            code(&[Check::ok("kernel", ""), Check::hint("passthrough", "", ""), Check::skipped("login", "")]),
            None
        );
        assert_eq!(code(&[Check::failed("login", "", "")]), Some(1));
        assert_eq!(code(&[Check::failed("login", "", ""), Check::failed("secret", "", "")]), Some(2));
    }

    #[test]
    fn each_line_has_its_mark_and_its_remedy() {
        let text = table(&[
            Check::ok("kernel", "Linux 6.12"),
            Check::failed("login", "refused\u{202e}", "check the key\nand its user\u{1b}"),
        ]);
        assert_eq!(
            text,
            "✓ kernel               Linux 6.12\n✗ login                refused\u{fffd}\n                       -> check the key\n                       -> and its user\u{fffd}\n"
        );
    }
}
