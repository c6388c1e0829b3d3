//! Which hosts media may be fetched from. The tenant names them in links, and media hosts name others in redirects, so neither is
//! trusted with the addresses of this network: private, link-local and other special addresses are refused unless the configuration
//! names the host, and loopback unless the tenant itself is there.
//!
//! A URL is checked before a request, its host name when a connection is made: what the name resolves to then is what is connected to, so
//! a name cannot be public when it is checked and private when it is used.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::net::HostPattern;

/// Where media may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaReach {
    /// `tenant.media_hosts`: the only hosts allowed; none: any host with a public address.
    pub hosts: Vec<HostPattern>,
    /// The tenant's playback endpoint is on this machine, so its media may be too.
    pub loopback: bool,
}

/// A host or address that media may not be fetched from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

impl Unreachable {
    /// This error, if it is among the causes of another.
    pub fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Unreachable> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Unreachable>() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl MediaReach {
    /// Whether a link or a redirect may be followed, as far as its URL tells. The error names the host, nothing else of the URL.
    pub fn check(&self, url: &Url) -> Result<(), Unreachable> {
        let refuse = |text: String| Err(Unreachable(text));
        let host = match url.host() {
            Some(host) if matches!(url.scheme(), "https" | "http") => host,
            _ => return refuse("the link is neither https nor http to this machine".to_owned()),
        };
        let name = plain_name(&host);
        let is_local = match &host {
            Host::Domain(domain) => domain.eq_ignore_ascii_case("localhost"),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        if url.scheme() == "http" && !(is_local && self.loopback) {
            return refuse(format!("the link to {name} is neither https nor http to this machine"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse(format!("the link to {name} names a user"));
        }
        if !self.hosts.is_empty() && !self.names(&name) {
            return refuse(format!("media host {name} is not in tenant.media_hosts"));
        }
        match host {
            Host::Domain(_) => Ok(()),
            Host::Ipv4(address) => self.check_address(&name, address.into()),
            Host::Ipv6(address) => self.check_address(&name, address.into()),
        }
    }

    /// Whether `host` may be reached at this address.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Unreachable> {
        let address = embedded(address);
        let allowed = if address.is_loopback() { self.loopback } else { is_public(address) || self.names(host) };
        if allowed {
            return Ok(());
        }
        Err(Unreachable(if address.is_loopback() {
            format!("media host {host} is this machine ({address}), but the tenant is not")
        } else {
            format!(
                "media host {host} has a private address ({address}); if that is right, name it in tenant.media_hosts"
            )
        }))
    }

    fn names(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.hosts.iter().any(|pattern| pattern.names(&host))
    }
}

/// A host as patterns name it.
fn plain_name(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

/// The IPv4 address that an IPv6 address stands for (mapped, NAT64, 6to4), else itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    let words = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).into();
    match words {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// Whether an address is one of the public network.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        // "This network", multicast, reserved, broadcast.
        || a == 0
        || a >= 224
        // Carrier-grade NAT, protocol assignments, benchmarking.
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// Global unicast is `2000::/3`; documentation and Teredo within it are no hosts.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let words = address.segments();
    words[0] & 0xe000 == 0x2000 && !(words[0] == 0x2001 && (words[1] == 0xdb8 || words[1] == 0))
}

type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Resolves host names for connections, to addresses that may be reached.
pub struct CheckedResolver {
    reach: MediaReach,
    /// The proxy of this network, which the environment names, has whatever address it has.
    proxy: Option<String>,
    lookup: Lookup,
}

impl CheckedResolver {
    /// Asks the system.
    pub fn new(reach: MediaReach, proxy: Option<String>) -> CheckedResolver {
        let lookup: Lookup =
            Arc::new(|host| Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.collect()) }));
        CheckedResolver { reach, proxy, lookup }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let is_proxy = self.proxy.as_ref().is_some_and(|proxy| *proxy == host);
        let (reach, found) = (self.reach.clone(), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let found = found.await?;
            if is_proxy {
                return Ok(Box::new(found.into_iter()) as Addrs);
            }
            let (mut allowed, mut refused) = (Vec::new(), None);
            for address in found {
                match reach.check_address(&host, address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(error) => refused = Some(error),
                }
            }
            match refused {
                Some(error) if allowed.is_empty() => Err(error.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(hosts: &[&str], loopback: bool) -> MediaReach {
        MediaReach { hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(), loopback }
    }

    fn may(reach: &MediaReach, url: &str) -> bool {
        reach.check(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn clear_text_stays_on_this_machine_and_with_a_tenant_on_it() {
        let (public, local) = (reach(&[], false), reach(&[], true));
        assert!(may(&public, "https://bucket.s3.us-west-2.amazonaws.com/x.mp4") && may(&public, "https://8.8.8.8/x"));
        for url in ["http://127.0.0.1:9/x", "http://[::1]/x", "http://localhost/x", "https://127.0.0.1/x"] {
            assert!(may(&local, url) && !may(&public, url), "{url}");
        }
        for url in ["http://10.0.0.1/x", "http://localhost.example/x", "file:///etc/passwd", "https://u:p@h.example/x"]
        {
            assert!(!may(&local, url), "{url}");
        }
    }

    #[test]
    fn special_addresses_are_refused_unless_named() {
        for address in [
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a00:1::]",
            "[::]",
            "2852039166",
            "0xa9fea9fe",
        ] {
            let url = format!("https://{address}/x.mp4");
            assert!(!may(&reach(&[], true), &url), "{address}");
        }
        assert!(may(&reach(&["10.0.0.1"], false), "https://10.0.0.1/x"));
        assert!(may(&reach(&["fd00:0::1"], false), "https://[fd00::1]/x"));
        assert!(!may(&reach(&["10.0.0.1"], false), "https://10.0.0.2/x"));
        assert!(may(&reach(&[], false), "https://[2600:1f18::1]/x"));
    }

    #[test]
    fn where_hosts_are_named_others_are_refused() {
        let named = reach(&["*.S3.us-west-2.amazonaws.com", "media.example"], false);
        assert!(may(&named, "https://bucket.s3.us-west-2.amazonaws.com/x") && may(&named, "https://MEDIA.example/x"));
        for url in
            ["https://s3.us-west-2.amazonaws.com/x", "https://xs3.us-west-2.amazonaws.com/", "https://evil.example/x"]
        {
            assert!(!may(&named, url), "{url}");
        }
        let error = named.check(&Url::parse("https://evil.example/secret?sig=1").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "media host evil.example is not in tenant.media_hosts");
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_private_address_is_refused_when_it_is_used() {
        let resolver = |reach, proxy: Option<&str>, found: &[&str]| {
            let found: Vec<SocketAddr> = found.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            let lookup: Lookup = Arc::new(move |_| {
                let found = found.clone();
                Box::pin(async move { Ok(found) })
            });
            CheckedResolver { reach, proxy: proxy.map(str::to_owned), lookup }
        };
        let ask = async |resolver: CheckedResolver| {
            let found = resolver.resolve("Rebound.example".parse().unwrap()).await;
            found.map(|found| found.map(|address| address.ip().to_string()).collect::<Vec<_>>())
        };
        for private in ["10.0.0.1", "169.254.169.254", "127.0.0.1", "::1", "fe80::1", "::ffff:192.168.0.1"] {
            let error = ask(resolver(reach(&[], false), None, &[private])).await.unwrap_err();
            let error = Unreachable::within(&*error).unwrap().to_string();
            assert!(error.contains("rebound.example"), "{error}");
        }
        let found = ask(resolver(reach(&[], false), None, &["10.0.0.1", "8.8.8.8"])).await.unwrap();
        assert_eq!(found, ["8.8.8.8"]);
        assert!(ask(resolver(reach(&["rebound.example"], false), None, &["10.0.0.1"])).await.is_ok());
        assert!(ask(resolver(reach(&["rebound.example"], false), None, &["127.0.0.1"])).await.is_err());
        assert!(ask(resolver(reach(&[], true), None, &["127.0.0.1"])).await.is_ok());
        assert!(ask(resolver(reach(&[], false), Some("rebound.example"), &["10.0.0.1"])).await.is_ok(), "the proxy");
    }
}
