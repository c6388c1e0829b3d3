//! A link that opens what it leads to, to whoever holds it.

use std::fmt;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// A temporary, signed link to media bytes.
#[derive(Clone, Debug)]
pub struct MediaLink {
    pub url: SecretUrl,
    /// In lower case, without the dot, from the URL's path: `mp4` unless it is another known media extension.
    pub extension: String,
    /// The end that the link itself states (SigV4 or SigV2 query), by the server's clock.
    pub expires_at: Option<Timestamp>,
}

/// A URL that opens a recording to whoever holds it. `Debug` shows scheme and host only.
#[derive(Clone)]
pub struct SecretUrl(SecretString);

impl SecretUrl {
    /// Hides the URL.
    #[must_use]
    pub fn new(url: &Url) -> SecretUrl {
        SecretUrl(SecretString::from(url.as_str()))
    }

    /// The URL itself, for the request that fetches it and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Scheme and host with port, which may be logged.
    #[must_use]
    pub fn origin(&self) -> String {
        Url::parse(self.expose()).map_or_else(|_| String::from("?"), |url| url.origin().ascii_serialization())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({}/…)", self.origin())
    }
}
