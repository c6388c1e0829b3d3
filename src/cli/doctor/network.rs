//! The way to the tenant and to media: which proxy for which host, which authorities are trusted, and whether somebody opens TLS on the way.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use url::Url;

use super::check::Check;
use crate::base::Clock;
use crate::base::failure::chain;
use crate::config::Config;
use crate::cxone::Tenant;
use crate::daemon::assemble;
use crate::net::{CaBundle, Proxies, Proxy};

const PROXY: &str = "proxy";
const CERTIFICATES: &str = "certificates";
const INTERCEPTION: &str = "interception";

/// Variables that name a proxy for https.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Which proxy for which host; `endpoints` are those that discovery told.
pub fn proxy(config: &Config, proxies: &Proxies, endpoints: &[String]) -> Check {
    let named = VARIABLES.into_iter().find(|name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty()));
    of_proxy(named, proxies.usual(), &ways(config, proxies, endpoints))
}

fn of_proxy(variable: Option<&str>, usual: Option<Proxy>, ways: &BTreeMap<String, Option<Proxy>>) -> Check {
    let remedy = "an HTTP proxy is named so: HTTPS_PROXY=http://HOST:PORT; hosts that need none: NO_PROXY=HOST,.DOMAIN,10.0.0.0/8";
    let usual = match (variable, usual) {
        (None, _) => return Check::ok(PROXY, "none: every host is connected to directly"),
        (Some(name), None) => {
            let no_proxy = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| std::env::var(name).ok());
            let all = no_proxy.is_some_and(|hosts| hosts.trim() == "*");
            return if all {
                Check::ok(PROXY, "NO_PROXY is *: every host is connected to directly")
            } else {
                Check::failed(PROXY, format!("{name} is set, and is no address of a proxy"), remedy)
            };
        }
        (Some(_), Some(proxy)) if !proxy.is_usable() => {
            return Check::failed(PROXY, format!("{proxy} is no HTTP proxy"), remedy);
        }
        (Some(_), Some(proxy)) => proxy,
    };
    let told = |proxied: bool| {
        let hosts: Vec<&str> =
            ways.iter().filter(|(_, way)| way.is_some() == proxied).map(|(host, _)| host.as_str()).collect();
        hosts.join(", ")
    };
    let (by, directly) = (told(true), told(false));
    let by = if by.is_empty() { by } else { format!(" for {by}") };
    let directly = if directly.is_empty() { directly } else { format!("; directly to {directly}") };
    Check::ok(PROXY, format!("{usual}{by}{directly}; recordings by the proxy, too, but for hosts of NO_PROXY"))
}

/// The hosts that are known now, and the proxy to each.
fn ways(config: &Config, proxies: &Proxies, endpoints: &[String]) -> BTreeMap<String, Option<Proxy>> {
    let tenant = &config.tenant;
    let configured = [
        Some(&tenant.issuer),
        tenant.auth_endpoint.as_ref(),
        tenant.api_endpoint.as_ref(),
        tenant.playback_endpoint.as_ref(),
    ];
    let discovered = endpoints.iter().filter_map(|host| Url::parse(&format!("https://{host}")).ok());
    let all = configured.into_iter().flatten().cloned().chain(discovered).filter(|url| url.scheme() == "https");
    all.filter_map(|url| Some((url.host_str()?.to_owned(), proxies.of(&url)))).collect()
}

/// Which authorities are trusted.
pub fn certificates(config: &Config) -> Check {
    let of = |bundle: &Option<CaBundle>, whom: &str| {
        bundle.as_ref().map(|bundle| format!("{} of {} for {whom}", bundle.count(), bundle.path().display()))
    };
    let named = [of(&config.tenant.ca_file, "the tenant"), of(&config.media.ca_file, "media")];
    let named: Vec<String> = named.into_iter().flatten().collect();
    if named.is_empty() {
        return Check::ok(CERTIFICATES, "the system's authorities");
    }
    Check::ok(CERTIFICATES, format!("the system's authorities, and {}", named.join(", ")))
}

/// Whether the tenant is known only by an authority of `tenant.ca_file`; asked where the tenant answered with it. None: not to be told.
pub async fn interception(config: &Config, clock: &Arc<dyn Clock>) -> Option<Check> {
    let bundle = config.tenant.ca_file.as_ref()?;
    if config.tenant.issuer.scheme() != "https" {
        return None;
    }
    let settings = crate::cxone::TenantSettings { ca: None, ..crate::daemon::settings::tenant_settings(config) };
    let by_system = match Tenant::new(settings, Arc::clone(clock)) {
        Ok(tenant) => tenant.greet().await.map(drop),
        Err(error) => Err(error),
    };
    let host = assemble::host(config);
    Some(match by_system {
        Ok(()) => Check::ok(INTERCEPTION, format!("none seen: {host} is known by the system's authorities")),
        Err(error) if is_of_certificates(&error) => Check::hint(
            INTERCEPTION,
            format!("{host} is known only by {}: a proxy opens TLS, or the host is private", bundle.path().display()),
            "the holder of that authority's key can read the access key and all that is listed; to go around the proxy, name the host in NO_PROXY",
        ),
        Err(error) => Check::skipped(INTERCEPTION, chain(&error)),
    })
}

/// Whether an error is about a certificate that nobody vouches for.
pub fn is_of_certificates(error: &dyn Error) -> bool {
    let said = chain(error).to_ascii_lowercase();
    said.contains("certificate") || said.contains("tls")
}

#[cfg(test)]
mod tests {
    use super::super::check::Outcome;
    use super::*;
    use crate::daemon::testing;

    fn proxy_of(scheme: &str) -> Proxy {
        let (host, scheme) = ("proxy.corp.example".to_owned(), scheme.to_owned());
        Proxy { host, port: 3128, scheme, authenticated: true }
    }

    #[test]
    fn it_is_said_who_goes_by_the_proxy_and_who_does_not() {
        let ways = [("cxone.example".to_owned(), Some(proxy_of("http"))), ("media.example".to_owned(), None)].into();
        let check = of_proxy(Some("HTTPS_PROXY"), Some(proxy_of("http")), &ways);
        assert_eq!(check.outcome, Outcome::Ok);
        let expected =
            "http://proxy.corp.example:3128 with a name and a password for cxone.example; directly to media.example";
        assert!(check.detail.starts_with(expected), "{}", check.detail);
        assert!(of_proxy(None, None, &BTreeMap::new()).detail.starts_with("none"));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_a_failure_with_a_remedy() {
        for check in [
            of_proxy(Some("ALL_PROXY"), Some(proxy_of("socks5h")), &BTreeMap::new()),
            of_proxy(Some("HTTPS_PROXY"), None, &BTreeMap::new()),
        ] {
            assert_eq!(check.outcome, Outcome::Failed);
            assert!(check.remedy.unwrap().contains("HTTPS_PROXY=http://HOST:PORT"), "{}", check.detail);
        }
    }

    #[test]
    fn plain_http_on_this_machine_goes_by_no_proxy() {
        let config = testing::config(&[]);
        assert!(ways(&config, &Proxies::from_environment(), &[]).is_empty());
        assert_eq!(certificates(&config).detail, "the system's authorities");
    }
}
