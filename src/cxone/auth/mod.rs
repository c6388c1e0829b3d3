//! Who we are to the tenant, and where its services are.

pub mod endpoints;
pub mod identity;
pub mod jwt;
pub mod login;
pub mod session;
