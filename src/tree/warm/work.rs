//! Bringing what is missing: some interactions at a time, those first that need no billed call.
//!
//! A job ends by itself where going on is in vain: the budget is spent, the tenant is away, or one failure follows the other. It never
//! brings more than the cache can hold, because that would push out what it has just brought.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::aside::aside;
use super::scope::{Recordings, Scope};
use crate::base::{MasterId, chain};
use crate::catalog::{FileKind, Interaction, Resolution, ResolvedFile};
use crate::media::Version;
use crate::net::Priority;
use crate::tree::Tree;
use crate::tree::audit::Act;
use crate::tree::error::{ErrorKind, TreeError};
use crate::tree::node::{Node, Place};
use crate::tree::principal::Principal;
use crate::tree::resolve::{ResolveRequest, recording_key};
use crate::tree::signing::RecordingLinks;

/// Interactions under way at once. Enough to hide round trips; few enough that readers keep the greater part of the connections.
const HANDS: usize = 8;
/// Bytes of one read of a recording; progress is told as often.
const PIECE_BYTES: u32 = 1 << 20;
/// Failures in a row after which going on is in vain.
const FAILURES_IN_A_ROW_MAX: u32 = 10;
/// Failures that are told in words.
const FAILURES_TOLD_MAX: usize = 5;

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Interactions in the scope.
    pub interactions: u64,
    /// Interactions that are done, failed ones included.
    pub done: u64,
    pub failed: u64,
    /// Interactions for which the billed call was made.
    pub calls: u64,
    /// Bytes of recordings brought.
    pub bytes: u64,
    /// Bytes to be brought in all; becomes exact as sizes become known.
    pub bytes_in_all: u64,
    /// Recordings that were left out because the cache cannot hold them beside the others.
    pub left_out: u64,
    /// Recordings of which no byte may be on disk.
    pub never: u64,
    /// What failed, in words; the first few.
    pub failures: Vec<String>,
    /// Set once, at the end.
    pub ended: Option<Ended>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was tried.
    Finished,
    /// The daily budget of billed calls is spent.
    BudgetSpent,
    /// Going on is in vain, and why.
    GivenUp(String),
}

/// A job under way; it ends when this is dropped. Billed calls that were made by then are stored.
pub struct Warming {
    progress: watch::Receiver<Progress>,
    task: AbortHandle,
}

impl Drop for Warming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Item {
    place: Place,
    recordings: Recordings,
    /// Bytes that were expected of it.
    expected: u64,
}

struct Job {
    tree: Arc<Tree>,
    principal: Principal,
    progress: watch::Sender<Progress>,
    /// Bytes that the cache can still take of this job.
    room: AtomicU64,
    failures_in_a_row: AtomicU32,
    stop: Mutex<Option<Ended>>,
}

impl Warming {
    pub(super) fn begin(tree: &Arc<Tree>, scope: &Scope, principal: Principal) -> Result<Warming, TreeError> {
        let mut items = Vec::new();
        let mut calling = HashSet::new();
        for (place, recordings) in scope.items() {
            let Some(missing) = tree.missing(place.master, recordings)? else { continue };
            if missing.call() {
                calling.insert(place.master);
            }
            items.push(Item { place: *place, recordings: recordings.clone(), expected: missing.bytes });
        }
        // What needs no call need not wait for those that do. The sort keeps the order otherwise.
        items.sort_by_key(|item| calling.contains(&item.place.master));
        let progress = watch::Sender::new(Progress {
            interactions: items.len() as u64,
            bytes_in_all: items.iter().map(|item| item.expected).sum(),
            ..Progress::default()
        });
        let told = progress.subscribe();
        let cache = tree.resolver.media().cache_size();
        let job = Job {
            tree: Arc::clone(tree),
            principal,
            progress,
            // A tenth for what others read meanwhile.
            room: AtomicU64::new(cache / 10 * 9),
            failures_in_a_row: AtomicU32::new(0),
            stop: Mutex::new(None),
        };
        let task = tokio::spawn(job.run(items)).abort_handle();
        Ok(Warming { progress: told, task })
    }

    /// How far it is now.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until there is more to tell. False: there never will be.
    pub async fn changed(&mut self) -> bool {
        self.progress.changed().await.is_ok()
    }
}

/// What is warmed waits behind everybody's files.
fn wanted_by(payer: &Principal) -> ResolveRequest {
    ResolveRequest { priority: Priority::Warm, principal: payer.clone(), reads: None }
}

impl Job {
    async fn run(self, items: Vec<Item>) {
        let job = &self;
        futures_util::stream::iter(items).for_each_concurrent(HANDS, |item| job.warm(item)).await;
        let stopped = self.stop.lock().take();
        self.progress.send_modify(|progress| progress.ended = Some(stopped.unwrap_or(Ended::Finished)));
    }

    async fn warm(&self, item: Item) {
        if self.stop.lock().is_some() {
            return;
        }
        let result = self.bring(&item).await;
        match &result {
            Ok(()) => self.failures_in_a_row.store(0, Ordering::Relaxed),
            Err(error) => self.judge(error),
        }
        self.progress.send_modify(|progress| {
            progress.done += 1;
            if let Err(error) = &result {
                progress.failed += 1;
                if progress.failures.len() < FAILURES_TOLD_MAX {
                    progress.failures.push(format!("{}: {}", item.place.master, chain(error)));
                }
            }
        });
    }

    /// Resolves one interaction and fetches its recordings.
    async fn bring(&self, item: &Item) -> Result<(), TreeError> {
        self.tree.audit.check()?;
        let master = item.place.master;
        let payer = self.principal.anew();
        let (tree, recordings) = (Arc::clone(&self.tree), item.recordings.clone());
        let needs = aside(move || tree.missing(master, &recordings)).await?.unwrap_or_default();
        let resolved = self.tree.resolver.resolved(master, wanted_by(&payer)).await;
        self.count_call(&payer);
        if needs.listing {
            let outcome = resolved.as_ref().map_err(TreeError::kind);
            self.audit(item.place, FileKind::Metadata, &payer, outcome.and_then(has_metadata)).await?;
        }
        let files = files(&resolved?);
        let mut missing = Vec::new();
        for file in files.iter() {
            let FileKind::Recording(index) = file.kind else { continue };
            if !item.recordings.include(index) {
                continue;
            }
            if self.tree.resolver.media().is_never(&recording_key(master, index)) {
                self.progress.send_modify(|progress| progress.never += 1);
                continue;
            }
            let version = if let Some(size) = file.size {
                Version { size, validator: file.validator.clone() }
            } else {
                let payer = self.principal.anew();
                let measured = self.tree.resolver.size(master, index, wanted_by(&payer)).await;
                self.count_call(&payer);
                measured?
            };
            let fits = self.take_room(version.size);
            let (media, sought) = (self.tree.resolver.media().clone(), version.clone());
            if aside(move || Ok(media.is_complete(&recording_key(master, index), &sought))).await? {
                continue;
            }
            if fits {
                missing.push((index, version));
            } else {
                self.progress.send_modify(|progress| progress.left_out += 1);
            }
        }
        let bytes: u64 = missing.iter().map(|(_, version)| version.size).sum();
        self.progress.send_modify(|progress| {
            progress.bytes_in_all = progress.bytes_in_all.saturating_sub(item.expected) + bytes;
        });
        for (index, version) in missing {
            let payer = self.principal.anew();
            let fetched = self.fetch(master, index, &version, wanted_by(&payer)).await;
            let outcome = fetched.as_ref().copied().map_err(TreeError::kind);
            self.count_call(&payer);
            self.audit(item.place, FileKind::Recording(index), &payer, outcome).await?;
            fetched?;
        }
        Ok(())
    }

    async fn fetch(
        &self,
        master: MasterId,
        index: u8,
        version: &Version,
        request: ResolveRequest,
    ) -> Result<(), TreeError> {
        let principal = request.principal.clone();
        let links = Arc::new(RecordingLinks::admitted(&self.tree.resolver, master, index, request));
        let reader = self.tree.resolver.media().open_reader(&recording_key(master, index), version, links).await?;
        let mut offset = 0;
        while offset < version.size {
            let bytes = match reader.read(offset, PIECE_BYTES).await {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.tree.resolver.note_media_failure(master, index, &error, &principal).await;
                    return Err(error.into());
                }
            };
            if bytes.is_empty() {
                break;
            }
            offset += bytes.len() as u64;
            self.progress.send_modify(|progress| progress.bytes += bytes.len() as u64);
        }
        Ok(())
    }

    /// Counts the billed call that a piece of work paid for. One that somebody else paid for at the same time is theirs.
    fn count_call(&self, payer: &Principal) {
        self.progress.send_modify(|progress| progress.calls += u64::from(payer.has_paid()));
    }

    /// What is brought is entered into the audit log in the name of the caller.
    async fn audit(
        &self,
        place: Place,
        kind: FileKind,
        payer: &Principal,
        outcome: Result<(), ErrorKind>,
    ) -> Result<(), TreeError> {
        let node = Node::Shared(kind, place);
        let event = self.tree.event(Act::Warm, node, payer, outcome);
        Ok(self.tree.audit.opened(event).await?)
    }

    /// Whether the cache can hold a recording of `size` bytes beside what this job wants in it already.
    fn take_room(&self, size: u64) -> bool {
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(size)).is_ok()
    }

    /// Decides whether a failure ends the job.
    fn judge(&self, error: &TreeError) {
        // It is about the one interaction, and costs nothing until its time comes.
        if error.is_hindered() {
            return;
        }
        let in_a_row = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        let end = if error.kind() == ErrorKind::BudgetSpent {
            Ended::BudgetSpent
        } else if error.is_outage() {
            Ended::GivenUp(format!("CXone cannot be reached now: {}", chain(error)))
        } else if in_a_row >= FAILURES_IN_A_ROW_MAX {
            Ended::GivenUp(format!("{in_a_row} failures in a row, the last: {}", chain(error)))
        } else {
            return;
        };
        self.stop.lock().get_or_insert(end);
    }
}

fn files(interaction: &Interaction) -> Arc<[ResolvedFile]> {
    match &interaction.resolution {
        Resolution::Resolved { files, .. } => files.clone(),
        Resolution::Unresolved => [].into(),
    }
}

/// An open of the metadata would find none where Media Playback knows nothing.
fn has_metadata(interaction: &Interaction) -> Result<(), ErrorKind> {
    let found = files(interaction).iter().any(|file| file.kind == FileKind::Metadata);
    if found { Ok(()) } else { Err(ErrorKind::NotFound) }
}
