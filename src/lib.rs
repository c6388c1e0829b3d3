//! cxonefs: a NICE CXone tenant's recordings as a read-only drive.
//!
//! The map. Data goes one way, and nothing below knows what is above it:
//!
//! ```text
//! kernel → fuse → tree → (book, catalog, media) → cxone → net
//! ```
//!
//! | module | what lives there | what it must not know |
//! | --- | --- | --- |
//! | [`base`] | ids, days, channels, the clock | everything else |
//! | [`net`] | servers in general: proxies, certificates, breaker, limiter | what is asked of a server |
//! | [`cxone`] | the tenant over HTTP: login, discovery, reporting, playback | files, directories, SQLite |
//! | [`catalog`] | what exists: days, agents, interactions, names, states, ledger | bytes of recordings, FUSE |
//! | [`book`] | who may make a billed call: slot, budget, ledger row | what a call is for, and who answers it |
//! | [`media`] | bytes: ranged source, block cache, LRU, readahead | contacts: a recording is an opaque key |
//! | [`tree`] | the tree: places, looks, listings, open files, policy | inodes, kernels, processes, HTTP |
//! | [`fuse`] | the kernel's front end: inodes, handles, lifetimes, the errno table | what may cost a billed call |
//! | [`config`] | configuration as written, and as resolved | the mount it is for |
//! | [`ops`] | audit, control, service integration | how a file is read |
//! | [`sim`] | a simulated tenant and its recordings | the rest of this crate, except [`base`] |
//! | [`daemon`] | a mount: its parts, its life, what it keeps on disk | commands |
//! | [`cli`] | one file per command | – |
//! | `hostile` | what strangers send, for fuzzing (not in the program) | – |

// A standard error that cannot be written must end nothing: see `base::complain`.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

pub mod base;
pub mod book;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod cxone;
pub mod daemon;
pub mod fuse;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod media;
pub mod net;
pub mod ops;
pub mod sim;
pub mod tree;
