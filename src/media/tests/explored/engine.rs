//! What readers and fetches share, without HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::cache::Cache;
use super::error::MediaError;
use super::gate::Gate;
use super::host::Host;
use super::key::Version;
use super::links::{Link, LinkSource};
use super::plan::Allowance;
use super::recording::{Recording, State};
use super::session::Session;
use super::sync::Runtime;

pub struct Settings {
    pub deadline: Duration,
}

pub struct Engine {
    pub cache: Cache,
    pub settings: Settings,
    pub host: Arc<Host>,
    pub gate: Gate,
    pub version: Version,
    /// Whether a recording is fetched whole.
    pub whole: bool,
    pub ids: AtomicU64,
    pub runtime: Runtime,
    pub signings: Signings,
}

#[derive(Default)]
pub struct Signings;

impl Signings {
    pub fn note_same(&self) {}

    pub fn note_different(&self) {}

    pub fn differ(&self) -> bool {
        false
    }
}

impl Engine {
    pub fn session<'a>(&'a self, _links: &'a dyn LinkSource) -> Session<'a> {
        Session::new(&self.host, &self.gate, &self.version)
    }

    pub fn next_fetch_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::SeqCst)
    }

    pub fn is_small(&self, _size: u64) -> bool {
        self.whole
    }

    pub fn allowance(&self, _size: u64, state: &State) -> Allowance {
        Allowance { block_count: state.blocks.count(), whole: self.whole, window_max: 0, ranges_spare: 2 }
    }

    pub fn runtime(&self) -> Option<&Runtime> {
        Some(&self.runtime)
    }

    pub fn note_brought(&self, _bytes: usize) {}

    pub fn brought_bytes(&self) -> u64 {
        0
    }

    pub fn waiting(&self) {}

    pub fn note_wait(&self, _waited: Duration) {}

    pub fn note_link(&self, _recording: &Arc<Recording>, _link: &Link, _end: Timestamp, _note: Option<Vec<u8>>) {}

    pub fn is_closed(&self) -> bool {
        false
    }

    pub async fn closed(&self) {
        std::future::pending::<()>().await;
    }
}

/// Nobody asks it: the session is made up.
pub struct NoLinks;

#[async_trait::async_trait]
impl LinkSource for NoLinks {
    async fn link(&self, _refused: Option<u64>) -> Result<super::links::Link, MediaError> {
        Err(MediaError::source("no links here"))
    }
}
