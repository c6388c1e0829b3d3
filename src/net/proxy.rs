//! The proxy of this network, as the environment names it: `HTTPS_PROXY` (else `ALL_PROXY`), but for the hosts of `NO_PROXY`. Decided for each
//! host by itself, by the same rules as the HTTP client decides. A name and password in the proxy's address are never shown.

use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// What the environment says of proxies.
pub struct Proxies(Matcher);

/// The proxy that a connection goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// In lower case.
    pub host: String,
    pub port: u16,
    pub scheme: String,
    /// Whether a name and a password are sent to it.
    pub authenticated: bool,
}

impl Proxies {
    /// Reads this process's environment.
    pub fn from_environment() -> Proxies {
        Proxies(Matcher::from_env())
    }

    /// The proxy for this URL. Plain http is for this machine alone, and no proxy stands there.
    pub fn of(&self, url: &Url) -> Option<Proxy> {
        if url.scheme() != "https" {
            return None;
        }
        let uri: http::Uri = format!("https://{}/", url.host_str()?).parse().ok()?;
        self.of_uri(&uri)
    }

    /// The proxy for hosts that `NO_PROXY` does not name.
    pub fn usual(&self) -> Option<Proxy> {
        // A name that stands in no list, as it can have no address.
        self.of_uri(&http::Uri::from_static("https://any-host.invalid/"))
    }

    fn of_uri(&self, uri: &http::Uri) -> Option<Proxy> {
        let found = self.0.intercept(uri)?;
        let (address, scheme) = (found.uri(), found.uri().scheme_str().unwrap_or("http"));
        let usual_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => 1080,
        };
        Some(Proxy {
            host: address.host()?.trim_matches(['[', ']']).to_ascii_lowercase(),
            port: address.port_u16().unwrap_or(usual_port),
            scheme: scheme.to_owned(),
            authenticated: found.basic_auth().is_some() || found.raw_auth().is_some(),
        })
    }
}

impl Proxy {
    /// Whether this program can use it: HTTP proxies, also over TLS.
    pub fn is_usable(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https")
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{}://{host}:{}", self.scheme, self.port)?;
        if self.authenticated { f.write_str(" with a name and a password") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(https: &str, no: &str) -> Proxies {
        Proxies(Matcher::builder().https(https.to_owned()).no(no.to_owned()).build())
    }

    fn of(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.of(&Url::parse(url).unwrap()).map(|proxy| proxy.to_string())
    }

    #[test]
    fn each_host_goes_its_own_way() {
        let proxies = proxies("http://proxy.corp.example:3128", "media.example, 10.0.0.0/8,.internal.example");
        let by_proxy = Some("http://proxy.corp.example:3128".to_owned());
        for url in ["https://cxone.niceincontact.com/x", "https://notmedia.example", "https://11.0.0.1"] {
            assert_eq!(of(&proxies, url), by_proxy, "{url}");
        }
        for url in
            ["https://media.example", "https://x.media.example", "https://10.1.2.3", "https://a.internal.example"]
        {
            assert_eq!(of(&proxies, url), None, "{url}");
        }
        assert_eq!(of(&proxies, "http://127.0.0.1:8080/"), None, "plain http stays on this machine");
        assert_eq!(proxies.usual().unwrap().host, "proxy.corp.example");
    }

    #[test]
    fn a_name_and_a_password_are_not_shown() {
        let proxies = proxies("http://bob:s3cret@Proxy.corp.example:3128/", "");
        let proxy = proxies.usual().unwrap();
        assert_eq!(proxy.to_string(), "http://proxy.corp.example:3128 with a name and a password");
        assert!(!format!("{proxy:?}").contains("s3cret") && !format!("{proxy:?}").contains("bob"));
        assert!(proxy.is_usable());
    }

    #[test]
    fn proxies_of_other_kinds_are_known_to_be_no_use() {
        let socks = proxies("socks5h://[fd00::1]", "").usual().unwrap();
        assert!(!socks.is_usable());
        assert_eq!(socks.to_string(), "socks5h://[fd00::1]:1080");
        assert_eq!(proxies("proxy.corp.example:3128", "").usual().unwrap().scheme, "http");
        assert!(proxies("", "").usual().is_none());
        assert!(proxies("http://p.example", "*").usual().is_none());
    }
}
