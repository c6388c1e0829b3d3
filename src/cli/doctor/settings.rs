//! The configuration: whether it can be read, whether its secret is one, and what time zone it means.

use jiff::Timestamp;

use super::check::Check;
use crate::base::chain;
use crate::base::failure::Failure;
use crate::config::{Config, ConfigError};

const CONFIGURATION: &str = "configuration";
const SECRET: &str = "secret";
const TIME_ZONE: &str = "time zone";

/// Checks that fail because of what is written, not of what is: exit code 2.
pub const OF_CONFIGURATION: [&str; 3] = [CONFIGURATION, SECRET, TIME_ZONE];

/// What reading it says.
pub fn checks(read: &Result<Config, ConfigError>, now: Timestamp) -> Vec<Check> {
    match read {
        Ok(config) => vec![configuration(config, now), Check::ok(SECRET, "private"), time_zone(config, now)],
        Err(error) => {
            let failed = failed_check(error);
            let others = OF_CONFIGURATION.into_iter().filter(|name| *name != failed);
            let mut checks = vec![Check::of_failure(failed, &Failure::usage(chain(error)).with_remedy(error.remedy()))];
            checks.extend(others.map(|name| Check::skipped(name, "the configuration cannot be used")));
            checks
        }
    }
}

fn failed_check(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::SecretUnreadable { .. }
        | ConfigError::SecretUnsafe { .. }
        | ConfigError::MissingSecret { .. }
        | ConfigError::SecretHere { .. } => SECRET,
        ConfigError::Invalid { key, .. } if key == "tree.timezone" => TIME_ZONE,
        _ => CONFIGURATION,
    }
}

fn configuration(config: &Config, now: Timestamp) -> Check {
    let from = config.file.as_ref().map_or_else(|| String::from("the environment"), |path| path.display().to_string());
    let warnings = config.warnings_at(now);
    if warnings.is_empty() {
        Check::ok(CONFIGURATION, from)
    } else {
        Check::hint(CONFIGURATION, from, warnings.join("\n"))
    }
}

fn time_zone(config: &Config, now: Timestamp) -> Check {
    let zone = &config.tree.timezone;
    let local = now.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    match zone.iana_name() {
        Some("UTC" | "Etc/UTC") if config.tree.timezone_is_default => Check::hint(
            TIME_ZONE,
            format!("UTC, where it is {local}"),
            "if the tenant's days are not UTC's: set tree.timezone, such as \"America/New_York\"",
        ),
        Some(name) => Check::ok(TIME_ZONE, format!("{name}, where it is {local}")),
        None => Check::hint(
            TIME_ZONE,
            format!("one without a name, where it is {local}"),
            "set tree.timezone, such as \"America/New_York\", so that changes of daylight saving time are known",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;
    use crate::daemon::testing;

    fn now() -> Timestamp {
        "2026-11-02T17:00:00Z".parse().unwrap()
    }

    fn outcome(checks: &[Check], name: &str) -> (Outcome, String) {
        let check = checks.iter().find(|check| check.name == name).unwrap();
        (check.outcome, format!("{} {}", check.detail, check.remedy.clone().unwrap_or_default()))
    }

    #[test]
    fn a_good_configuration_names_its_zone_and_the_time_there() {
        let checks = checks(&Ok(testing::config(&["tree.timezone=America/New_York"])), now());
        let (found, text) = outcome(&checks, TIME_ZONE);
        assert!(found == Outcome::Ok && text.contains("2026-11-02 12:00"), "{text}");
        assert_eq!(outcome(&checks, SECRET).0, Outcome::Ok);
        assert!(outcome(&checks, CONFIGURATION).1.contains("environment"));
    }

    #[test]
    fn days_of_utc_are_doubted_only_where_nobody_chose_them() {
        let mut config = testing::config(&["tree.timezone=UTC"]);
        let found = |config: &Config| outcome(&checks(&Ok(config.clone()), now()), TIME_ZONE);
        let (chosen, text) = found(&config);
        assert!(chosen == Outcome::Ok && text.contains("UTC, where it is 2026-11-02 17:00"), "{text}");
        config.tree.timezone_is_default = true;
        let (by_default, text) = found(&config);
        assert!(by_default == Outcome::Hint && text.contains("set tree.timezone"), "{text}");
    }

    #[test]
    fn a_tree_that_begins_in_the_future_is_hinted_at() {
        let checks = checks(&Ok(testing::config(&["tree.since=2999-01-01", "tree.timezone=UTC"])), now());
        let (found, text) = outcome(&checks, CONFIGURATION);
        assert!(found == Outcome::Hint && text.contains("tree.since is in the future"), "{text}");
    }

    #[test]
    fn what_is_wrong_is_said_where_it_belongs() {
        let looked_for = vec!["/etc/cxonefs/config.toml".into()];
        let none = checks(&Err(ConfigError::NoConfiguration { looked_for }), now());
        assert_eq!(outcome(&none, CONFIGURATION).0, Outcome::Failed);
        assert_eq!(outcome(&none, SECRET).0, Outcome::Skipped);
        let missing = ConfigError::MissingSecret {
            key: "tenant.access_key_secret",
            file_key: "tenant.access_key_secret_file",
            variable: "CXONEFS_ACCESS_KEY_SECRET".into(),
        };
        let missing = checks(&Err(missing), now());
        let (found, text) = outcome(&missing, SECRET);
        assert!(found == Outcome::Failed && text.contains("CXONEFS_ACCESS_KEY_SECRET"), "{text}");
    }
}
