//! cxonefs: a NICE CXone tenant's recordings as a read-only drive.
//!
//! The map. Data goes one way, and nothing below knows what is above it:
//!
//! ```text
//! kernel → fuse → vfs → (catalog, media) → cxone → network
//! ```
//!
//! | module | what lives there | what it must not know |
//! | --- | --- | --- |
//! | [`base`] | ids, days, channels, the clock | everything else |
//! | [`cxone`] | the tenant over HTTP: login, discovery, reporting, playback, limiter | files, directories, SQLite |
//! | [`catalog`] | what exists: days, agents, interactions, names, resolution, ledger | bytes of recordings, FUSE |
//! | [`net`] | proxies and certificates of this network | what is asked of a server |
//! | [`media`] | bytes: ranged source, block cache, LRU, readahead | contacts: a recording is an opaque key |
//! | [`vfs`] | the tree: nodes, attributes, listings, open files, policy | any type of the `fuser` crate |
//! | [`fuse`] | translation to and from the kernel, the errno table | decisions |
//! | [`config`] | configuration as written, and as resolved | the mount it is for |
//! | [`ops`] | audit, control, service integration | how a file is read |
//! | [`sim`] | a simulated tenant and its recordings | the rest of this crate, except [`base`] |
//! | [`cli`] | one file per command | – |
//! | `hostile` | what strangers send, for fuzzing (not in the program) | – |

// A standard error that cannot be written must end nothing: see `base::complain`.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

pub mod base;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod cxone;
pub mod fuse;
#[cfg(any(test, fuzzing))]
pub mod hostile;
pub mod media;
pub mod net;
pub mod ops;
pub mod sim;
pub mod vfs;
