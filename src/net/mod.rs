//! What is between this machine and any server: proxies of the network, and the certificates that TLS trusts.
//!
//! Must not know what is asked of a server, nor which keys of the configuration name what.

pub mod ca;
pub mod proxy;

pub use ca::{CaBundle, CaError};
pub use proxy::{Proxies, Proxy};
