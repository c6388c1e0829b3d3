//! What the tests of this layer share: a tenant made of doubles, a tree over it, and what the kernel was told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::base::clock::ManualClock;
use crate::base::{AgentId, Channel, Channels, Clock, ContactId, MasterId, ResolveOn, Since};
use crate::book::{DailyBudget, LocalBook};
use crate::catalog::{Catalog, CatalogSettings, Indexer, Lister};
use crate::cxone::{
    ContactRecord, ContactsAnswer, ListingProgress, Playback, PlaybackAnswer, PlaybackItem, RecordJson, Refusal,
};
use crate::media::{Media, MediaReach, MediaSettings};
use crate::net::{ApiError, Limiter, LimiterSettings, MediaLink, Priority, SecretUrl};
use crate::tree::{
    Callers, GuardedPrograms, NoAudit, Observer, Origin, Parts, Player, Presence, Principal, Program, ResolveLimits,
    ResolveRequest, Resolver, Tree, TreeSettings, User,
};

/// Noon of 2 November 2026 in New York.
pub const NOON: &str = "2026-11-02T17:00:00Z";

/// Answers billed calls as it is told to.
#[derive(Default)]
pub struct FakePlayer {
    pub calls: AtomicU32,
    /// How long a call takes.
    pub latency: Mutex<Duration>,
    /// What calls fail with; first come, first out, then they succeed.
    pub failures: Mutex<Vec<ApiError>>,
    /// Links that a call brings.
    pub links: AtomicU32,
    /// How single interactions are refused until further notice.
    pub refusals: Mutex<HashMap<MasterId, Refusal>>,
    /// What calls and probes fail with until further notice.
    pub down: Mutex<Option<ApiError>>,
}

#[async_trait]
impl Player for FakePlayer {
    async fn playback(&self, master: MasterId, _renew: bool) -> Result<PlaybackAnswer, ApiError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let latency = *self.latency.lock().unwrap();
        tokio::time::sleep(latency).await;
        let failure = self.down.lock().unwrap().clone().or_else(|| self.failures.lock().unwrap().pop());
        if let Some(error) = failure {
            return Err(error);
        }
        if let Some(refusal) = self.refusals.lock().unwrap().get(&master) {
            return Ok(PlaybackAnswer::Refused(refusal.clone()));
        }
        let items = (0..self.links.load(Ordering::SeqCst)).map(|_| media_item()).collect();
        Ok(PlaybackAnswer::Found(Playback { metadata: json!({}), items }))
    }

    async fn probe(&self) -> Result<(), ApiError> {
        let down = self.down.lock().unwrap().clone();
        down.map_or(Ok(()), Err)
    }
}

/// An element with a link that leads nowhere.
pub fn media_item() -> PlaybackItem {
    let url = SecretUrl::new(&"http://127.0.0.1:1/x.mp4".parse().unwrap());
    let link = MediaLink { url, extension: "mp4".into(), expires_at: None };
    PlaybackItem { media: Some(link), ..PlaybackItem::default() }
}

/// Lists what it is given.
#[derive(Default)]
pub struct FakeLister {
    pub records: Mutex<Vec<ContactRecord>>,
    pub calls: AtomicU32,
}

#[async_trait]
impl Lister for FakeLister {
    async fn list(
        &self,
        start: Timestamp,
        end: Timestamp,
        _updated_since: Option<Timestamp>,
        _progress: &ListingProgress,
    ) -> Result<ContactsAnswer, ApiError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut contacts = self.records.lock().unwrap().clone();
        contacts.retain(|record| record.start >= start && record.start < end);
        Ok(ContactsAnswer { contacts, skipped: 0, whole: true, last_poll: None })
    }
}

/// Writes down what the kernel is told to forget: directories as they are, attributes as negative numbers.
#[derive(Default)]
pub struct FakeKernel {
    told: Mutex<Vec<i64>>,
    /// Names that it was told to forget.
    pub names: Mutex<Vec<(u64, String)>>,
}

impl FakeKernel {
    /// What it was told since this was last asked.
    pub fn told(&self) -> Vec<i64> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

#[async_trait]
impl Observer for FakeKernel {
    fn attributes_changed(&self, ino: u64) {
        self.told.lock().unwrap().push(-(ino as i64));
    }

    fn listing_changed(&self, ino: u64) {
        self.told.lock().unwrap().push(ino as i64);
    }

    fn name_changed(&self, directory: u64, name: &str) {
        self.names.lock().unwrap().push((directory, name.to_owned()));
    }

    async fn delivered(&self) {}
}

pub struct Fixture {
    pub tree: Arc<Tree>,
    pub catalog: Catalog,
    pub player: Arc<FakePlayer>,
    pub lister: Arc<FakeLister>,
    pub kernel: Arc<FakeKernel>,
    pub clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

/// Nobody that could be watched.
pub fn caller() -> Principal {
    Principal::unidentified(User { uid: 1000, gid: 1000 })
}

/// A caller that has gone when it is told so.
pub fn mortal() -> (Principal, Arc<AtomicBool>) {
    let gone = Arc::new(AtomicBool::new(false));
    let user = User { uid: 1001, gid: 1001 };
    (Principal::new(user, Mortal(Arc::clone(&gone))), gone)
}

struct Mortal(Arc<AtomicBool>);

#[async_trait]
impl Origin for Mortal {
    fn program(&self) -> Option<Program> {
        (!self.0.load(Ordering::SeqCst)).then(|| Program { pid: 7, comm: "cat".into(), ..Program::default() })
    }

    async fn argv0(&self) -> Option<String> {
        None
    }

    async fn has_loaded(&self, _part: &'static str) -> bool {
        false
    }

    fn presence(&self) -> Presence {
        if self.0.load(Ordering::SeqCst) { Presence::Gone } else { Presence::Waits }
    }
}

/// What such a caller's `open` wants.
pub fn open() -> ResolveRequest {
    ResolveRequest { priority: Priority::Open, principal: caller(), reads: None }
}

pub fn zone() -> TimeZone {
    TimeZone::get("America/New_York").unwrap()
}

/// A digital contact of that number, by agent 7, at an instant.
pub fn contact(number: i64, start: &str) -> ContactRecord {
    let json = json!({"contactId": number});
    ContactRecord {
        contact_id: ContactId(number),
        master_id: MasterId(number),
        agent_id: AgentId(7),
        first_name: Some(String::from("Rosa")),
        last_name: Some(String::from("Keller")),
        start: start.parse().unwrap(),
        duration_s: 60.0,
        media_type_id: Channel::Digital.media_type_id(),
        is_outbound: false,
        last_update: None,
        json: RecordJson::of(json.as_object().unwrap()).unwrap(),
    }
}

/// A tree at [`NOON`] over 100 contacts of that morning, already indexed; `calls` in 2 s and `budget` a day.
pub async fn fixture(calls: u32, budget: Option<u64>) -> Fixture {
    fixture_in_mode(calls, budget, ResolveOn::Open).await
}

/// The same, where a look at that much resolves.
pub async fn fixture_in_mode(calls: u32, budget: Option<u64>, resolve_on: ResolveOn) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(NOON.parse().unwrap()));
    let catalog = Catalog::open(&dir.path().join("state"), CatalogSettings { timezone: zone() }).unwrap();
    let media = MediaSettings {
        cache_dir: dir.path().join("cache"),
        cache_size: 1 << 24,
        min_free: 0,
        whole_file_below: 0,
        max_age: Duration::MAX,
        connections: 2,
        memory: 1 << 24,
        reach: MediaReach { hosts: Vec::new(), loopback: true },
        ca: None,
        deadline: Duration::from_secs(30),
    };
    let media = Media::open(media, clock.clone()).unwrap();
    let (player, lister, kernel) = <(Arc<FakePlayer>, Arc<FakeLister>, Arc<FakeKernel>)>::default();
    lister.records.lock().unwrap().extend((0..100).map(|number| contact(1000 + number, "2026-11-02T15:00:00Z")));
    let rate = LimiterSettings { calls, window: Duration::from_secs(2) };
    let limiter = Limiter::with_seed(rate, &[], clock.now(), 1);
    let limits = ResolveLimits {
        budget: DailyBudget(budget),
        user_budget: DailyBudget(None),
        deadline: Duration::from_secs(30),
        patience: Some(Duration::from_mins(2)),
    };
    let book = Arc::new(LocalBook::new(catalog.clone(), limiter, clock.clone()));
    let resolver = Resolver::new(player.clone(), catalog.clone(), media, book, clock.clone(), limits);
    let refresh = Duration::from_mins(5);
    let indexer = Indexer::with_refresh(catalog.clone(), lister.clone(), clock.clone(), zone(), refresh);
    indexer.ensure("2026-11-02".parse().unwrap()).await.unwrap();
    let settings = TreeSettings {
        door: "/mnt".into(),
        timezone: zone(),
        since: Since::DaysAgo(2),
        channels: Channels::ALL,
        resolve_on,
        anticipate: false,
        guarded: GuardedPrograms::default(),
        exact_for: Callers::default(),
        deadline: Duration::from_secs(30),
    };
    let parts = Parts {
        catalog: catalog.clone(),
        indexer,
        resolver: resolver.clone(),
        clock: clock.clone(),
        audit: Arc::new(NoAudit),
    };
    resolver.observers().add(kernel.clone());
    let tree = Arc::new(Tree::new(settings, parts));
    Fixture { tree, catalog, player, lister, kernel, clock, _dir: dir }
}
