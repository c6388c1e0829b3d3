//! Running as a service: private directories, logging, the audit log, the service manager.
//!
//! Knows nothing of how a file is read.

pub mod audit;
pub mod certificate;
pub mod control;
pub mod descriptors;
pub mod heap;
pub mod keeping;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod privacy;
pub mod privileges;
pub mod redact;
pub mod rotate;
#[cfg(test)]
mod sentences;
pub mod status;
pub mod syslog;
pub mod version;
pub mod warm;

pub use audit::{AuditLog, AuditRecord};
pub use heap::Trimmer;
