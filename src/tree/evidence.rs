//! Hashes of recordings: which are wanted, when they are computed, and what a day's manifest says.
//!
//! A recording is hashed when somebody asks, or after it was closed and nothing is being fetched, by one task and never by a reader. What was
//! missed (a restart, a full queue) is found by a look through the catalog.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::base::machine::host_name;
use crate::base::{Day, MasterId};
use crate::catalog::{Catalog, CatalogError, Evidence, FileKind};
use crate::media::{Media, Version};
use crate::tree::Tree;
use crate::tree::children::billed_children;
use crate::tree::closed::Wanted;
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::node::Node;
use crate::tree::resolve::recording_key;

/// Answered by name and not listed: it appears without the file changing.
pub const SHA256: &str = "user.cxone.sha256";

/// A recording that was closed is hashed when nothing is fetched, and after this in any case: it may be evicted.
const IDLE_WITHIN: Duration = Duration::from_secs(10);
const IDLE_EVERY: Duration = Duration::from_millis(100);
/// Between two looks for recordings that were missed, and before the first.
const LOOK_EVERY: Duration = Duration::from_mins(15);
const FIRST_LOOK_AFTER: Duration = Duration::from_secs(30);

/// One line of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the day's folder.
    pub path: String,
    /// None: it was never here as a whole.
    pub evidence: Option<Evidence>,
}

/// What a recording's version hashes to: as it is known, or computed now if all of it is here. Takes as long as reading it.
pub fn hash(
    catalog: &Catalog,
    media: &Media,
    now: Timestamp,
    wanted: &Wanted,
) -> Result<Option<Evidence>, CatalogError> {
    let Wanted { master, recording, version } = wanted;
    if let Some(known) = catalog.evidence(*master, *recording, version.size, &version.validator)? {
        return Ok(Some(known));
    }
    let Some(sha256) = media.sha256(&recording_key(*master, *recording), version) else { return Ok(None) };
    let evidence = Evidence {
        master: *master,
        recording: *recording,
        sha256,
        size: version.size,
        validator: version.validator.clone(),
        host: host_name(),
        at: now,
    };
    catalog.put_evidence(&evidence)?;
    Ok(Some(evidence))
}

impl Tree {
    /// The value of [`SHA256`]. Reads the recording if it was never hashed and all of it is here; makes no request.
    pub async fn sha256(self: Arc<Self>, node: Node) -> Result<String, TreeError> {
        let absent = || TreeError::new(ErrorKind::NoAttribute, "the recording was never here as a whole");
        let Node::Shared(kind @ FileKind::Recording(_), place) = node else { return Err(absent()) };
        let interaction = self.catalog.interaction(place.master)?.ok_or_else(TreeError::not_found)?;
        let children = billed_children(&interaction, self.clock.now());
        let child = children.into_iter().find(|child| child.kind == kind);
        let wanted = child.and_then(|child| wanted(place.master, kind, child.size, &child.validator));
        let Some(wanted) = wanted else { return Err(absent()) };
        let Wanted { master, recording, version } = &wanted;
        if let Some(known) = self.catalog.evidence(*master, *recording, version.size, &version.validator)? {
            return Ok(known.hex());
        }
        let interrupted = || TreeError::new(ErrorKind::Io, "hashing was interrupted");
        let _turn = self.closed.turns.acquire().await.map_err(|_| interrupted())?;
        let tree = Arc::clone(&self);
        let hashed =
            tokio::task::spawn_blocking(move || hash(&tree.catalog, tree.resolver.media(), tree.clock.now(), &wanted));
        let evidence = hashed.await.map_err(|_| interrupted())??;
        evidence.map(|evidence| evidence.hex()).ok_or_else(absent)
    }

    /// Every recording of a day that is shown, with what it hashes to, in the order of paths. Lists the day if it never was; reads recordings that were
    /// never hashed. `each` hears how many are done. Takes long.
    pub fn manifest(&self, day: Day, each: &mut dyn FnMut(u64)) -> Result<Vec<Listed>, TreeError> {
        let now = self.clock.now();
        let mut lines = Vec::new();
        for agent in self.catalog.agents(day, &self.settings.channels)? {
            for folder in self.catalog.interactions(day, agent.agent_id, &self.settings.channels)? {
                let Some(interaction) = self.catalog.interaction(folder.master_id)? else { continue };
                for child in billed_children(&interaction, now) {
                    if !matches!(child.kind, FileKind::Recording(_)) {
                        continue;
                    }
                    let path = format!("{}/{}/{}", agent.name, folder.name, child.name);
                    let wanted = wanted(folder.master_id, child.kind, child.size, &child.validator);
                    let evidence = match wanted {
                        Some(wanted) => hash(&self.catalog, self.resolver.media(), now, &wanted)?,
                        None => None,
                    };
                    lines.push(Listed { path, evidence });
                    each(lines.len() as u64);
                }
            }
        }
        Ok(lines)
    }

    /// Has a day in the index, for a thread that may wait and is within a runtime.
    pub fn list_day_here(&self, day: Day) -> Result<(), TreeError> {
        tokio::runtime::Handle::current().block_on(self.ensure_day(day))
    }

    fn never_hashed(&self) -> Result<Vec<Wanted>, CatalogError> {
        let media = self.resolver.media();
        let missing = self.catalog.without_evidence()?.into_iter().map(|(master, recording, size, validator)| Wanted {
            master,
            recording,
            version: Version { size, validator },
        });
        let is_here = |wanted: &Wanted| media.may_have_note(&recording_key(wanted.master, wanted.recording));
        Ok(missing.filter(is_here).collect())
    }
}

fn wanted(master: MasterId, kind: FileKind, size: Option<u64>, validator: &str) -> Option<Wanted> {
    let (FileKind::Recording(recording), Some(size)) = (kind, size) else { return None };
    Some(Wanted { master, recording, version: Version { size, validator: validator.to_owned() } })
}

/// Hashes recordings of this tree, and of those beside it, when there is time, until it is dropped. Once, within a runtime.
pub fn start_hashing(tree: &Arc<Tree>) {
    let receiver = tree.closed.take();
    if let Some(receiver) = receiver {
        tokio::spawn(keep_hashing(Arc::downgrade(tree), receiver));
    }
}

async fn keep_hashing(tree: Weak<Tree>, mut closed: mpsc::Receiver<Wanted>) {
    let mut look = tokio::time::interval_at(tokio::time::Instant::now() + FIRST_LOOK_AFTER, LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let wanted = tokio::select! {
            wanted = closed.recv() => match wanted {
                Some(wanted) => vec![wanted],
                None => return,
            },
            _ = look.tick() => {
                let Some(tree) = tree.upgrade() else { return };
                match tokio::task::spawn_blocking(move || tree.never_hashed()).await {
                    Ok(Ok(missed)) => missed,
                    _ => Vec::new(),
                }
            }
        };
        for wanted in wanted {
            let Some(tree) = tree.upgrade() else { return };
            until_idle(tree.resolver.media()).await;
            let done = tokio::task::spawn_blocking(move || {
                hash(&tree.catalog, tree.resolver.media(), tree.clock.now(), &wanted)
            });
            if let Ok(Err(error)) = done.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "a recording's hash cannot be kept");
            }
        }
    }
}

async fn until_idle(media: &Media) {
    let idle = async {
        while !media.gate().hosts.is_empty() {
            tokio::time::sleep(IDLE_EVERY).await;
        }
    };
    let _ = tokio::time::timeout(IDLE_WITHIN, idle).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Clock as _;
    use crate::catalog::{NewResolution, ResolvedFile};
    use crate::tree::closed::HASHED_AT_ONCE;
    use crate::tree::node::Place;
    use crate::tree::testing::fixture;

    /// A user who asks from hundreds of threads would otherwise take every thread on which opens and billed calls wait for the disk.
    #[tokio::test]
    async fn those_who_ask_for_hashes_take_turns() {
        let fixture = fixture(20, None).await;
        let (master, kind) = (MasterId(1001), FileKind::Recording(0));
        let file = ResolvedFile { kind, name: "recording.mp4".into(), size: Some(10), validator: String::from("v") };
        let resolution = NewResolution { files: vec![(file, None)], recheck_at: None };
        fixture.catalog.store_resolution(master, &resolution, fixture.clock.now()).unwrap();
        let (day, agent) = fixture.catalog.places(master).unwrap()[0];
        let node = Node::Shared(kind, Place { day, agent, master });
        let ask = || Arc::clone(&fixture.tree).sha256(node);
        let others = fixture.tree.closed.turns.acquire_many(HASHED_AT_ONCE as u32).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(200), ask()).await.is_err());
        drop(others);
        assert_eq!(ask().await.unwrap_err().kind(), ErrorKind::NoAttribute, "it was never here");
        let known = Evidence {
            master,
            recording: 0,
            sha256: [7; 32],
            size: 10,
            validator: String::from("v"),
            host: String::new(),
            at: fixture.clock.now(),
        };
        fixture.catalog.put_evidence(&known).unwrap();
        let _others = fixture.tree.closed.turns.acquire_many(HASHED_AT_ONCE as u32).await.unwrap();
        assert_eq!(ask().await.unwrap(), known.hex(), "what is known needs no turn");
    }
}
