//! Which URLs this program talks to, and how paths are put behind a base. Makes no request.

use url::{Host, Url};

use crate::net::error::{ApiError, ApiErrorKind};

/// Whether a URL names this machine: `localhost`, 127.0.0.0/8 or `::1`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether credentials may travel to this URL: `https`, or `http` that does not leave the machine; no userinfo.
pub(super) fn is_private(url: &Url) -> bool {
    let scheme_holds = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(url),
        _ => false,
    };
    scheme_holds && url.username().is_empty() && url.password().is_none()
}

/// Checks an endpoint that the configuration names. The error's text repeats its key and host, nothing else.
pub(super) fn check_configured(key: &str, url: &Url) -> Result<(), ApiError> {
    if !is_private(url) {
        return Err(ApiError::new(
            ApiErrorKind::Configuration,
            format!("{key}: {} must be https (http only on loopback) and name no user", host_and_port(url)),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ApiError::new(
            ApiErrorKind::Configuration,
            format!("{key}: a base address has no query and no fragment"),
        ));
    }
    Ok(())
}

/// Reads an endpoint that the tenant named; `None` if it is no address that we would talk to.
pub(super) fn parse_named(text: &str) -> Option<Url> {
    let mut url = Url::parse(text.trim()).ok().filter(is_private)?;
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

/// `https://{host}`, if that is a plain host name. Parts of `host` come from the tenant, so anything but letters, digits,
/// dots and hyphens is refused rather than escaped.
pub(super) fn https_host(host: &str) -> Option<Url> {
    let plain = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    let url = if plain { Url::parse(&format!("https://{host}")).ok() } else { None };
    // A name of digits is read as an address: `5` is 0.0.0.5.
    url.filter(|url| url.host_str().is_some_and(|read| read.eq_ignore_ascii_case(host)))
}

/// `path` (no leading slash) behind `base`, whatever path the base has itself.
pub(super) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let whole = format!("{}/{path}", base.path().trim_end_matches('/'));
    url.set_path(&whole);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Same scheme, host and port.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// Host, with the port where it is not the scheme's own: what error texts may say of a URL.
pub(super) fn host_and_port(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => String::from("an address without a host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        for good in
            ["https://x.example", "http://127.0.0.1:8080", "http://localhost/", "http://[::1]:9", "http://127.9.9.9"]
        {
            assert!(is_private(&url(good)), "{good}");
        }
        for bad in [
            "http://x.example",
            "http://127.0.0.1.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "https://u:p@x.example",
            "data:x",
        ] {
            assert!(!is_private(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn a_base_keeps_its_path_and_loses_its_query() {
        assert_eq!(join(&url("https://x.example"), "a/b").as_str(), "https://x.example/a/b");
        assert_eq!(join(&url("https://x.example/base/"), "a").as_str(), "https://x.example/base/a");
        assert_eq!(join(&url("https://x.example/base?q=1#f"), "a").as_str(), "https://x.example/base/a");
    }

    #[test]
    fn a_host_from_the_tenant_cannot_smuggle_a_path_or_a_user() {
        assert_eq!(https_host("api-na1.niceincontact.com").unwrap().as_str(), "https://api-na1.niceincontact.com/");
        for bad in [
            "",
            "api-na1.evil/x.com",
            "api-@x.com",
            "a..b",
            "a b",
            "x:81",
            "-a.b",
            "a#b",
            "ä.com",
            "5",
            "0x7f.1",
            "127.1",
        ] {
            assert!(https_host(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn configured_addresses_are_named_in_the_error_without_their_query() {
        let error = check_configured("tenant.api_endpoint", &url("http://x.example/?secret=1")).unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Configuration);
        assert!(error.to_string().contains("tenant.api_endpoint") && !error.to_string().contains("secret"));
        assert!(check_configured("k", &url("https://x.example/?a=1")).is_err());
    }
}
