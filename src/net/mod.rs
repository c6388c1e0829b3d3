//! Servers in general: how one is reached, what may be asked of it, how often, and what its silence means.
//!
//! Knows no tenant, no recording, no file and no key of the configuration: who is asked, and for what, is told by the caller.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`breaker`] | whether a server is worth asking at all |
//! | [`limiter`] | when the next call may be made, and whose |
//! | [`error`] | what can go wrong with a server, by what its caller should do about it |
//! | [`host_pattern`] | which hosts a pattern names |
//! | [`ca`] | which certificates TLS trusts |
//! | [`link`] | a signed link, which no log shows |
//! | [`proxy`] | which proxy leads to a host |
//! | [`tls`] | whom a connection trusts |

pub mod breaker;
pub mod ca;
pub mod error;
pub mod host_pattern;
pub mod limiter;
pub mod link;
pub mod proxy;
pub mod tls;

pub use breaker::{Ask, Breaker, Probe, ServiceState};
pub use ca::{CaBundle, CaError};
pub use error::{ApiError, ApiErrorKind};
pub use host_pattern::HostPattern;
pub use limiter::{Crowded, HeldBy, InFlight, Limiter, LimiterSettings, LimiterSnapshot, Permit, Priority};
pub use link::{MediaLink, SecretUrl};
pub use proxy::{Proxies, Proxy};
