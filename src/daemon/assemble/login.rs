//! The login of a mount: which failure ends it, and what to do about it.

use std::time::Duration;

use crate::base::failure::Failure;
use crate::config::Config;
use crate::cxone::Tenant;
use crate::net::{ApiError, ApiErrorKind};
use crate::ops::notify;

/// How long a mount that has something to show waits for the login: it must come up straight after boot, network or not.
const LOGIN_WITHIN_IF_INDEXED: Duration = Duration::from_secs(3);

/// Logs in early, so that wrong credentials are said at once. What is indexed needs no network, if this login is known to be of the tenant
/// that it was indexed from. Returns whether the login succeeded.
pub async fn log_in(tenant: &Tenant, config: &Config, indexed: bool, known: bool) -> Result<bool, Failure> {
    let may_go_on = indexed && known;
    // Without anything to show there is no reason to go on without a login, and the client has its own time limit.
    let within = if may_go_on { LOGIN_WITHIN_IF_INDEXED } else { Duration::MAX };
    let Ok(result) = tokio::time::timeout(within, tenant.login()).await else {
        let host = host(config);
        tracing::warn!(
            host,
            "{host} does not answer the login: what is indexed is listed and what is cached is read; the login is tried again when something needs it"
        );
        return Ok(false);
    };
    match result {
        Err(error) if is_fatal(error.kind, may_go_on) && indexed && !known => {
            Err(login_failure(error, config).remedy(
                "state.dir or cache.dir never saw this issuer and access key: nothing of them is shown before a login has told that it is \
                their tenant; try again when the login works, or go back to the former key",
            ))
        }
        Err(error) if is_fatal(error.kind, may_go_on) => Err(login_failure(error, config)),
        Err(error) => {
            let again = match error.kind {
                ApiErrorKind::Denied => "correct the access key or its secret's file, and reload (SIGHUP)",
                _ => "the login is tried again when something needs it",
            };
            let (error, host) = (crate::base::chain(&error), host(config));
            tracing::warn!(error, host, "the login at {host} does not work ({error}): what is indexed is listed and what is cached is read; {again}");
            Ok(false)
        }
        Ok(()) => Ok(true),
    }
}

/// Whether a mount makes no sense after a login that failed this way. What is indexed and cached is shown under a key that has ended, too: a
/// key is replaced while the mount runs.
fn is_fatal(kind: ApiErrorKind, indexed: bool) -> bool {
    match kind {
        ApiErrorKind::Configuration => true,
        ApiErrorKind::Denied
        | ApiErrorKind::Unavailable
        | ApiErrorKind::Timeout
        | ApiErrorKind::RateLimited { .. }
        | ApiErrorKind::BadAnswer => !indexed,
    }
}

/// A login that failed, with what to do about it.
pub fn login_failure(error: ApiError, config: &Config) -> Failure {
    let id = &config.tenant.access_key_id;
    let host = host(config);
    let doing = format!("logging in to {host} with access key {id}");
    match error.kind {
        // It names the key.
        ApiErrorKind::Configuration => {
            Failure::usage(error).remedy("correct [tenant]; docs/CONFIGURATION.md describes every key")
        }
        ApiErrorKind::Denied => Failure::login_refused(error, notify::is_listening())
            .while_doing(doing)
            .remedy("check tenant.access_key_id and its secret, that the key is active, and that its user may log in"),
        ApiErrorKind::Unavailable | ApiErrorKind::Timeout => Failure::failed(error)
            .while_doing(doing)
            .remedy(format!("check the network and name resolution ({host}), and tenant.issuer and the endpoints")),
        ApiErrorKind::RateLimited { .. } => {
            Failure::failed(error).while_doing(doing).remedy("try again in some minutes")
        }
        ApiErrorKind::BadAnswer => Failure::failed(error)
            .while_doing(doing)
            .remedy("check that tenant.issuer and the endpoints are those of a CXone tenant"),
    }
}

/// The host that logs us in, with its port.
pub fn host(config: &Config) -> String {
    let url = config.tenant.auth_endpoint.as_ref().unwrap_or(&config.tenant.issuer);
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => url.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::testing;

    #[test]
    fn only_a_wrong_configuration_ends_an_indexed_mount() {
        assert!(is_fatal(ApiErrorKind::Configuration, true));
        assert!(!is_fatal(ApiErrorKind::Denied, true));
        assert!(is_fatal(ApiErrorKind::Denied, false));
        assert!(!is_fatal(ApiErrorKind::Unavailable, true));
        assert!(!is_fatal(ApiErrorKind::Timeout, true));
        assert!(is_fatal(ApiErrorKind::Unavailable, false));
    }

    #[test]
    fn a_refused_login_names_the_key_and_not_the_secret() {
        let error = ApiError::new(ApiErrorKind::Denied, "the tenant refused the login").with_status(401);
        let failure = login_failure(error, &testing::config(&[]));
        let text = failure.render();
        assert!(text.contains("127.0.0.1:9") && text.contains("KEYID"), "{text}");
        assert!(!format!("{text}{failure:?}").contains("hunter2"));
        assert_eq!(failure.code(), 1);
    }
}
