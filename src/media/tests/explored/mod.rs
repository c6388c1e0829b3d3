//! The block table, its writers, its waiters and eviction under a scheduler that tries out interleavings (`shuttle`).
//!
//! The files that synchronise are compiled here a second time, over `sync` of this folder instead of `media::sync`, and with an
//! engine and a media host that are made up. Times do not pass: a wait that needs its time limit is a deadlock, which the
//! scheduler reports, with a schedule that `shuttle::replay` repeats.
#![allow(
    dead_code,
    clippy::duplicate_mod,
    clippy::pedantic,
    clippy::manual_async_fn,
    reason = "the product's files, of which a part is used here"
)]

mod engine;
mod host;
mod scenarios;
mod session;
mod source;
mod sync;

#[path = "../../askers.rs"]
mod askers;
#[path = "../../asking.rs"]
mod asking;
#[path = "../../cache.rs"]
mod cache;
#[path = "../../evict.rs"]
mod evict;
#[path = "../../fetch.rs"]
mod fetch;
#[path = "../../fill.rs"]
mod fill;
#[path = "../../keeping.rs"]
mod keeping;
#[path = "../../load.rs"]
mod load;
#[path = "../../notes.rs"]
mod notes;
#[path = "../../reader.rs"]
mod reader;
#[path = "../../recording.rs"]
mod recording;
#[path = "../../stored.rs"]
mod stored;
#[path = "../../writer.rs"]
mod writer;

use std::sync::Arc;

use crate::media::{
    assemble, blocks, disk, error, error_replay, gate, geometry, index, key, links, plan, settings, space, spill,
    store, traffic,
};

/// As in `media`.
mod lifeline {
    pub struct Lifeline {
        pub engine: std::sync::Arc<super::engine::Engine>,
    }
}

/// As in `media`.
struct Passthrough {
    engine: Arc<engine::Engine>,
    recording: Arc<recording::Recording>,
}
