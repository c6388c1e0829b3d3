//! What was published stays put, and what changes at the tenant changes here as `docs/SEMANTICS.md` says, no more and no less; kernel and daemon
//! agree while everything moves.

mod dump;
mod late;
mod stays;
mod stress;

pub use dump::{Dump, dump};
