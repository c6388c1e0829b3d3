//! A second tenant, which knows nothing of the simulator: it plays a case file over HTTP on loopback and writes down what it was asked.
//!
//! The simulator is part of the product, so that a wrong idea of the real service may stand in both. The cases are what public clients of
//! the service have met. This double must not use anything of the product.

mod case;
mod listing;
mod serving;
mod storage;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::Response;
use serde_json::json;
use tokio::runtime::Runtime;

pub use self::case::{Answer, Answers, Case, List, ListMode, OBJECT_BYTES, Object};
use super::mount::Mount;
use super::sandbox::Sandbox;
use super::{leaks, waiting};

const KEY: &str = "CASEACCESSKEYID";
const SECRET: &str = "case+secret/with=signs&such%20ones";

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Login,
    Discovery,
    Completed,
    /// Other reporting and administration.
    Admin,
    Playback,
    /// The storage, redirects included.
    Media,
    Unknown,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub kind: Kind,
    /// Since the tenant started.
    pub at: Duration,
    pub path: String,
    pub query: String,
    /// Of a playback call: the `acd-call-id`.
    pub master: Option<String>,
    pub range: Option<String>,
    /// Whether it bore an `Authorization` header.
    pub bears_token: bool,
}

/// What the tenant's tasks share.
struct Shared {
    url: String,
    started: Instant,
    inner: Mutex<Inner>,
    bend: Mutex<Option<Arc<Bend>>>,
}

/// What becomes of an answer before it is sent, for what no case file can say: by the request, the number of its kind so far (from 0), and
/// the answer as it would be.
pub type Bend = dyn Fn(&Seen, usize, Response<Bytes>) -> Response<Body> + Send + Sync;

struct Inner {
    case: Case,
    seen: Vec<Seen>,
    /// Tokens given out.
    tokens: Vec<String>,
    /// Links given out.
    links: u64,
    /// Answers given so far, by the key in the case.
    answered: std::collections::BTreeMap<String, usize>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

/// A case that is served.
pub struct CaseTenant {
    shared: Arc<Shared>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl CaseTenant {
    pub fn start(case: Case) -> CaseTenant {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner {
            case,
            seen: Vec::new(),
            tokens: Vec::new(),
            links: 0,
            answered: std::collections::BTreeMap::default(),
        };
        let shared = Arc::new(Shared {
            url: format!("http://{address}"),
            started: Instant::now(),
            inner: Mutex::new(inner),
            bend: Mutex::default(),
        });
        let app = axum::Router::new().fallback(serving::serve).with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        CaseTenant { shared, address, _runtime: runtime }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it answers from now on.
    pub fn change(&self, change: impl FnOnce(&mut Case)) {
        change(&mut self.shared.lock().case);
    }

    /// Changes answers before they are sent, from now on.
    pub fn bend(&self, bend: impl Fn(&Seen, usize, Response<Bytes>) -> Response<Body> + Send + Sync + 'static) {
        *self.shared.bend.lock().unwrap() = Some(Arc::new(bend));
    }

    /// Everything that arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    /// How many requests of a kind arrived.
    pub fn count(&self, kind: Kind) -> usize {
        self.seen().iter().filter(|seen| seen.kind == kind).count()
    }

    /// How many billed calls arrived for an interaction.
    pub fn calls_for(&self, master: u64) -> usize {
        let master = master.to_string();
        self.seen().iter().filter(|seen| seen.master.as_ref() == Some(&master)).count()
    }

    /// Forgets what arrived; answers that come one after the other go on where they were.
    pub fn forget(&self) {
        self.shared.lock().seen.clear();
    }

    /// The bytes of an object; `version` counts links from 1 where each signing is another object, and is 0 elsewhere.
    pub fn bytes(&self, name: &str, version: u64) -> Vec<u8> {
        let size = self.shared.lock().case.media.get(name).and_then(|object| object.size).unwrap_or(OBJECT_BYTES);
        storage::Content::new(name, size, version).bytes(0, size)
    }

    /// How many links it gave out.
    pub fn links(&self) -> u64 {
        self.shared.lock().links
    }

    /// A configuration that mounts it: endpoints by configuration, days by UTC, from two days before the cases' own.
    fn config_toml(&self, sandbox: &Sandbox) -> String {
        let url = &self.shared.url;
        let path = |path: std::path::PathBuf| json!(path).to_string();
        format!(
            "[tenant]\nissuer = \"{url}\"\naccess_key_id = \"{KEY}\"\naccess_key_secret_file = {}\nauth_endpoint = \"{url}\"\n\
             api_endpoint = \"{url}\"\nplayback_endpoint = \"{url}\"\n\n[tree]\nsince = \"2026-10-31\"\ntimezone = \"UTC\"\n\n\
             [cache]\ndir = {}\n\n[state]\ndir = {}\n",
            path(sandbox.secret()),
            path(sandbox.cache()),
            path(sandbox.state()),
        )
    }
}

/// A case, served and mounted. Fields are dropped in this order.
pub struct CaseDrive {
    pub mount: Mount,
    pub sandbox: Sandbox,
    pub tenant: CaseTenant,
}

impl CaseDrive {
    /// A case of `tests/data/tenants`.
    #[track_caller]
    pub fn named(name: &str) -> CaseDrive {
        CaseDrive::of(Case::named(name), &[])
    }

    /// Any case, with further flags of `cxonefs mount`.
    #[track_caller]
    pub fn of(case: Case, flags: &[&str]) -> CaseDrive {
        let (tenant, sandbox) = CaseDrive::unmounted(case);
        let mount = Mount::start(&sandbox, flags);
        CaseDrive { mount, sandbox, tenant }
    }

    /// The same, with answers bent from the first one on.
    #[track_caller]
    pub fn bent(
        case: Case,
        flags: &[&str],
        bend: impl Fn(&Seen, usize, Response<Bytes>) -> Response<Body> + Send + Sync + 'static,
    ) -> CaseDrive {
        let (tenant, sandbox) = CaseDrive::unmounted(case);
        tenant.bend(bend);
        let mount = Mount::start(&sandbox, flags);
        CaseDrive { mount, sandbox, tenant }
    }

    /// The same before it is mounted: for mounts that cannot be, and for commands that mount nothing.
    #[track_caller]
    pub fn unmounted(case: Case) -> (CaseTenant, Sandbox) {
        let tenant = CaseTenant::start(case);
        let shared = tenant.shared.clone();
        let sandbox = Sandbox::searched(move || {
            let tokens = shared.lock().tokens.clone();
            tokens.iter().flat_map(|token| leaks::of_token(token)).chain([SECRET.to_owned()]).collect()
        });
        sandbox.write_secret(SECRET);
        std::fs::write(sandbox.config(), tenant.config_toml(&sandbox)).unwrap();
        (tenant, sandbox)
    }

    /// A path below the mount point.
    pub fn at(&self, relative: impl AsRef<Path>) -> std::path::PathBuf {
        self.mount.at(relative)
    }

    /// The folders of interactions, `date/agent/interaction`, as a user finds them: by listing.
    #[track_caller]
    pub fn interactions(&self) -> Vec<std::path::PathBuf> {
        let mut found = vec![std::path::PathBuf::new()];
        for _ in 0..3 {
            let children = found.iter().flat_map(|folder| {
                let entries =
                    std::fs::read_dir(self.at(folder)).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
                let folders = entries.map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_dir());
                folders.map(|entry| folder.join(entry.file_name())).collect::<Vec<_>>()
            });
            found = children.collect();
        }
        found.sort();
        found
    }

    /// The folder of an interaction.
    #[track_caller]
    pub fn folder(&self, master: u64) -> std::path::PathBuf {
        let found: Vec<_> = self
            .interactions()
            .into_iter()
            .filter(|path| path.to_string_lossy().ends_with(&format!("_{master}")))
            .collect();
        assert_eq!(found.len(), 1, "folders of {master}: {found:?}");
        self.at(&found[0])
    }

    /// Names in an interaction's folder.
    #[track_caller]
    pub fn names(&self, master: u64) -> Vec<String> {
        let folder = self.folder(master);
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Waits until so many billed calls arrived.
    #[track_caller]
    pub fn wait_for_calls(&self, calls: usize, within: Duration) {
        waiting::eventually("billed calls arrive", within, || self.tenant.count(Kind::Playback) >= calls);
    }
}

/// An extended attribute of a path, if it has it.
pub fn xattr(path: &Path, name: &str) -> Option<String> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::getxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    String::from_utf8(value).ok()
}

/// The bytes of an object that no case says anything of.
pub fn object(name: &str) -> Vec<u8> {
    storage::Content::new(name, OBJECT_BYTES, 0).bytes(0, OBJECT_BYTES)
}
