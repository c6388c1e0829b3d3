//! Hosts as the configuration names them.

use std::fmt;
use std::net::IpAddr;

/// A host that the configuration names: a name, `*.` and the end of a name, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

impl HostPattern {
    /// Reads a pattern; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<HostPattern, String> {
        let pattern = text.trim().trim_matches(['[', ']']).to_ascii_lowercase();
        if pattern.parse::<IpAddr>().is_ok() {
            return Ok(HostPattern(pattern));
        }
        let name = pattern.strip_prefix("*.").unwrap_or(&pattern);
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if name.split('.').all(is_label) {
            return Ok(HostPattern(pattern));
        }
        Err(format!(
            "`{text}` is no host: write a name, `*.` and the end of a name, or an address, without scheme and port"
        ))
    }

    /// Whether it names this host, which is in lower case and without brackets.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => self.0 == host || same_address(&self.0, host),
        }
    }
}

fn same_address(one: &str, other: &str) -> bool {
    matches!((one.parse::<IpAddr>(), other.parse::<IpAddr>()), (Ok(one), Ok(other)) if one == other)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_a_host_an_end_or_an_address() {
        let names = |pattern: &str, host: &str| HostPattern::parse(pattern).unwrap().names(host);
        assert!(names("Media.Example", "media.example") && !names("media.example", "x.media.example"));
        assert!(names("*.media.example", "a.b.media.example") && !names("*.media.example", "media.example"));
        assert!(!names("*.media.example", "xmedia.example"));
        assert!(names("[fd00:0::1]", "fd00::1") && names("10.0.0.1", "10.0.0.1") && !names("10.0.0.1", "10.0.0.11"));
        for bad in ["https://x.example", "x.example:443", "", "*", "*.", "a..b", "x/y", "a.*.b"] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
