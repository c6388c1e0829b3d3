//! A simulated tenant.
mod mix;
mod recordings;
pub use self::recordings::Recording;
