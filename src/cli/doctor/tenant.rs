//! The tenant, step by step as a mount goes: name, connection, clock, login, discovery, permissions. Nothing here is billed.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::check::Check;
use super::network;
use crate::base::failure::{Failure, chain};
use crate::base::{Clock, span};
use crate::config::Config;
use crate::cxone::{Service, Tenant};
use crate::daemon::assemble;
use crate::net::{ApiError, ApiErrorKind, Proxies};

/// Signed links and tokens end by the tenant's clock; ours may differ by as much.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(60);
/// The listing that is tried: empty on most tenants, and never large.
const WINDOW: Duration = Duration::from_mins(1);
/// How long a name may take to be looked up.
const LOOKUP_WITHIN: Duration = Duration::from_secs(10);

const STEPS: [&str; 6] = ["login", "discovery", "reporting", "playback", "clock", "connection"];

/// Goes through all of it; what needs a step that failed is skipped.
pub async fn checks(config: &Config, tenant: &Tenant, clock: &Arc<dyn Clock>) -> Vec<Check> {
    let mut checks = vec![network::certificates(config)];
    let reached = reach(config, tenant, clock, &mut checks).await;
    let mut endpoints = Vec::new();
    if reached {
        checks.extend(network::interception(config, clock).await);
        endpoints = log_in(config, tenant, &mut checks).await;
    }
    if !endpoints.is_empty() {
        checks.push(reporting(tenant, clock.now()).await);
        checks.push(playback(tenant).await);
    }
    checks.insert(0, network::proxy(config, &Proxies::from_environment(), &endpoints));
    for step in STEPS.into_iter().rev() {
        if !checks.iter().any(|check| check.name == step) {
            checks.push(Check::skipped(step, "a step before it failed"));
        }
    }
    checks
}

/// Name, connection, clock. False: there is nobody to talk to.
async fn reach(config: &Config, tenant: &Tenant, clock: &Arc<dyn Clock>, checks: &mut Vec<Check>) -> bool {
    checks.push(name(config).await);
    let greeting = tenant.greet().await;
    match &greeting {
        Ok(_) => checks.push(Check::ok("connection", format!("{} answers", assemble::host(config)))),
        Err(error) => checks.push(Check::failed("connection", chain(error), connection_remedy(error))),
    }
    if let Ok(told) = greeting {
        checks.push(skew(told, clock.now()));
        return true;
    }
    false
}

async fn name(config: &Config) -> Check {
    const NAME: &str = "name resolution";
    let url = config.tenant.auth_endpoint.as_ref().unwrap_or(&config.tenant.issuer);
    let Some(url::Host::Domain(host)) = url.host() else { return Check::ok(NAME, "not needed: it is an address") };
    if Proxies::from_environment().of(url).is_some() {
        return Check::ok(NAME, format!("not needed: the proxy resolves {host}"));
    }
    let lookup = tokio::net::lookup_host((host, url.port_or_known_default().unwrap_or(443)));
    let failed = match tokio::time::timeout(LOOKUP_WITHIN, lookup).await {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(address) => return Check::ok(NAME, format!("{host} is {}", address.ip())),
            None => String::from("no address"),
        },
        Ok(Err(error)) => chain(&error),
        Err(_) => String::from("no answer"),
    };
    Check::failed(
        NAME,
        format!("{host}: {failed}"),
        "check the spelling of tenant.issuer, /etc/resolv.conf and the network; behind a proxy, set HTTPS_PROXY",
    )
}

fn connection_remedy(error: &ApiError) -> &'static str {
    if network::is_of_certificates(error) {
        "the tenant's certificate is not trusted: install the package ca-certificates; where a proxy opens TLS, name its authority's \
         certificate in tenant.ca_file (and media.ca_file), or install it (update-ca-certificates); a wrong clock does it, too"
    } else {
        "check the network, the firewall (HTTPS, port 443) and the proxy (HTTPS_PROXY), and that tenant.issuer is right"
    }
}

fn skew(told: Option<Timestamp>, now: Timestamp) -> Check {
    const NAME: &str = "clock";
    let Some(told) = told else { return Check::skipped(NAME, "the tenant does not tell its time") };
    let skew = now.duration_since(told);
    let apart = Duration::from_secs(skew.as_secs().unsigned_abs());
    if skew.abs() <= SKEW_MAX {
        return Check::ok(NAME, format!("{} from the tenant's", span::words(apart)));
    }
    let direction = if skew.is_positive() { "ahead of" } else { "behind" };
    Check::failed(
        NAME,
        format!("this machine's clock is {} {direction} the tenant's", span::words(apart)),
        "set the clock: timedatectl set-ntp true",
    )
}

/// Login and discovery: the endpoints; none where there is no session.
async fn log_in(config: &Config, tenant: &Tenant, checks: &mut Vec<Check>) -> Vec<String> {
    match tenant.endpoints().await {
        Ok((api, playback)) => {
            checks.push(Check::ok("login", format!("as {}", config.tenant.access_key_id)));
            checks.push(Check::ok("discovery", format!("reporting at {api}, playback at {playback}")));
            vec![api, playback]
        }
        Err(error) if error.to_string().starts_with("discovery") => {
            checks.push(Check::ok("login", format!("as {}", config.tenant.access_key_id)));
            let failure = Failure::failed(error)
                .remedy("check tenant.issuer; or name the endpoints: tenant.api_endpoint and tenant.playback_endpoint");
            checks.push(Check::of_failure("discovery", &failure));
            Vec::new()
        }
        Err(error) => {
            checks.push(Check::of_failure("login", &assemble::login_failure(error, config)));
            Vec::new()
        }
    }
}

async fn reporting(tenant: &Tenant, now: Timestamp) -> Check {
    const NAME: &str = "reporting";
    let start = now.saturating_sub(WINDOW).unwrap_or(now);
    match tenant.completed_contacts(start, now, None).await {
        Ok(_) => Check::ok(NAME, "contacts may be listed"),
        Err(error) if error.kind == ApiErrorKind::Denied => Check::failed(
            NAME,
            chain(&error),
            "give the access key's user a role that may view reports (Admin > Security > Roles: Reporting)",
        ),
        Err(error) => Check::failed(
            NAME,
            chain(&error),
            "try again later; check tenant.api_endpoint and tenant.reporting_version",
        ),
    }
}

/// Whether it answers. What it permits only a billed call tells.
async fn playback(tenant: &Tenant) -> Check {
    const NAME: &str = "playback";
    match tenant.probe(Service::Playback).await {
        Ok(()) => Check::ok(NAME, "answers"),
        Err(error) => {
            Check::failed(NAME, chain(&error), "check the network and tenant.playback_endpoint; try again later")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_by_minutes_is_found() {
        let now: Timestamp = "2026-11-02T17:00:00Z".parse().unwrap();
        let at = |seconds: i64| skew(now.checked_add(SignedDuration::from_secs(seconds)).ok(), now);
        assert_eq!(at(0).outcome, Outcome::Ok);
        assert_eq!(at(-59).outcome, Outcome::Ok);
        assert_eq!(skew(None, now).outcome, Outcome::Skipped);
        let ahead = at(-3600);
        assert!(
            ahead.detail.contains("1 h ahead of") && ahead.remedy.unwrap().contains("timedatectl"),
            "{}",
            ahead.detail
        );
        assert!(at(-40 * 86_400).detail.contains("40 days ahead of"), "{}", at(-40 * 86_400).detail);
        assert!(at(3600).detail.contains("behind"));
    }

    #[test]
    fn an_untrusted_certificate_is_told_from_a_closed_port() {
        let error = |source: &'static str| {
            ApiError::new(ApiErrorKind::Unavailable, "discovery: x cannot be reached")
                .with_source(std::io::Error::other(source))
        };
        assert!(connection_remedy(&error("invalid peer certificate: UnknownIssuer")).contains("ca-certificates"));
        assert!(connection_remedy(&error("connection refused")).contains("firewall"));
    }
}
