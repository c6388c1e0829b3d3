//! Looks at each answer when it is typed, so that a slip costs one question and not all of them.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use crate::base::chain;
use crate::config::{Assignment, raw};

pub const ACCESS_KEY_ID: &str = "tenant.access_key_id";

/// How long a host may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Variables that name a proxy: behind one, a host need not be reached from here.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// What an answer is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// Doubtful but possible; the text says why.
    Doubtful(String),
    /// It cannot be used.
    Wrong(String),
}

/// Looks at the answer for `section.key`; at the network only if that is wanted.
pub fn answer(key: &str, answer: &str, network: bool) -> Verdict {
    if key == ACCESS_KEY_ID {
        return key_id(answer);
    }
    let assignment = Assignment { key: key.to_owned(), value: answer.to_owned(), flag: String::from("this answer") };
    if let Err(error) = raw::parse_assignments(&[assignment]) {
        return Verdict::Wrong(chain(&error));
    }
    let is_proxied = PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    match url::Url::parse(answer) {
        Ok(url) if network && !is_proxied && key == "tenant.issuer" => reached(&url),
        _ => Verdict::Fine,
    }
}

/// An id is one word of letters and digits, with a few signs.
fn key_id(id: &str) -> Verdict {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=.+/@".contains(c);
    match id.chars().find(|c| !is_plain(*c)) {
        None => Verdict::Fine,
        Some(' ' | '\t') => Verdict::Wrong(String::from("an access key's id is one word: it has no space in it")),
        Some(c) => Verdict::Wrong(format!("an access key's id has no {c:?} in it: copy it again from CXone")),
    }
}

fn reached(url: &url::Url) -> Verdict {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Verdict::Fine };
    let connected = (host.trim_matches(['[', ']']), port).to_socket_addrs().and_then(|addresses| {
        let mut last = std::io::Error::other("no address is known");
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    });
    match connected {
        Ok(()) => Verdict::Fine,
        Err(error) => Verdict::Doubtful(format!("{host} cannot be reached from here: {}", chain(&error))),
    }
}

/// Whether files can be made where `path` is to be; the words of why not.
pub fn writable(path: &Path) -> Result<(), String> {
    let above = path.ancestors().skip(1).find(|above| above.is_dir()).unwrap_or(Path::new("/"));
    tempfile::tempfile_in(above)
        .map(drop)
        .map_err(|error| format!("{} cannot be written: {}", above.display(), chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_when_it_is_typed() {
        for (key, bad) in [
            ("tenant.issuer", "cxone"),
            ("tree.timezone", "America/NewYork"),
            ("tree.since", "soon"),
            (ACCESS_KEY_ID, "KEY ID"),
            (ACCESS_KEY_ID, "KEY\u{201d}"),
        ] {
            assert!(matches!(answer(key, bad, false), Verdict::Wrong(why) if !why.is_empty()), "{key} {bad}");
        }
        for (key, good) in [
            ("tenant.issuer", "https://cxone.niceincontact.com"),
            ("tree.timezone", "America/New_York"),
            ("tree.since", "90d"),
            ("tree.since", "2026-01-01"),
            (ACCESS_KEY_ID, "SIMULATEDACCESSKEYID"),
        ] {
            assert_eq!(answer(key, good, false), Verdict::Fine, "{key} {good}");
        }
    }

    #[test]
    fn a_host_that_is_not_reached_is_doubted() {
        let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listening.local_addr().unwrap());
        assert_eq!(reached(&url.parse().unwrap()), Verdict::Fine);
        drop(listening);
        assert_eq!(
            reached(&url.parse().unwrap()),
            Verdict::Doubtful(String::from("127.0.0.1 cannot be reached from here: connection refused"))
        );
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_found_before_anything_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writable(&dir.path().join("new/folder/config.toml")), Ok(()));
        let said = writable(Path::new("/proc/cxonefs/config.toml")).unwrap_err();
        assert!(said.starts_with("/proc cannot be written: "), "{said}");
    }
}
