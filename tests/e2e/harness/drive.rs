//! A tenant and its mount, as most tests want them.

use std::path::{Path, PathBuf};

use cxonefs::sim::{CounterValues, SimSettings};
use serde_json::Value;

use super::mount::{Environment, Mount, cxonefs};
use super::sandbox::Sandbox;
use super::tenant::Tenant;
use super::tree::Tree;

/// A limit of billed calls that nobody meets, and whose memory is short.
pub const NO_LIMIT: [&str; 6] = [
    "--set",
    "limits.playback_requests=1000",
    "--set",
    "limits.playback_window=1s",
    "--set",
    "limits.daily_budget=unlimited",
];

/// Fields are dropped in this order: the mount goes first.
pub struct Drive {
    pub mount: Mount,
    pub sandbox: Sandbox,
    pub tenant: Tenant,
    /// What has to be there.
    pub tree: Tree,
}

impl Drive {
    #[track_caller]
    pub fn of(settings: SimSettings) -> Drive {
        Drive::with(settings, &[])
    }

    /// With further flags of `cxonefs mount`.
    #[track_caller]
    pub fn with(settings: SimSettings, flags: &[&str]) -> Drive {
        Drive::encrypted(false, settings, flags)
    }

    /// The same, with further variables in the program's environment.
    #[track_caller]
    pub fn in_environment(settings: SimSettings, flags: &[&str], environment: Environment) -> Drive {
        let tenant = Tenant::start(settings);
        let sandbox = Sandbox::of(&tenant);
        let mount = Mount::start_in(&sandbox, flags, environment);
        let tree = Tree::of(&tenant);
        Drive { mount, sandbox, tenant, tree }
    }

    /// The same, with cache and state encrypted or not.
    #[track_caller]
    pub fn encrypted(is_encrypted: bool, settings: SimSettings, flags: &[&str]) -> Drive {
        let tenant = Tenant::start(settings);
        let sandbox = Sandbox::of(&tenant);
        if is_encrypted {
            sandbox.encrypt();
        }
        let mount = Mount::start(&sandbox, flags);
        let tree = Tree::of(&tenant);
        Drive { mount, sandbox, tenant, tree }
    }

    pub fn path(&self) -> &Path {
        self.mount.path()
    }

    pub fn at(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.mount.at(relative)
    }

    /// Has the mount forget what the tenant refused.
    pub fn retry(&self) {
        cxonefs(&self.sandbox.home()).arg("refresh").arg(self.path()).arg("--retry").ok();
    }

    /// Lines of the audit log that say something of that kind, once all that is counted is written; and how often it happened.
    pub fn audited(&self, is_meant: impl Fn(&Value) -> bool) -> (Vec<Value>, usize) {
        cxonefs(&self.sandbox.home()).args(["audit", "show"]).arg(self.path()).ok();
        let text = std::fs::read_to_string(self.sandbox.state().join("audit.log")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(is_meant);
        let lines: Vec<Value> = lines.collect();
        let times = lines.iter().map(|line| line["count"].as_u64().unwrap_or(1) as usize).sum();
        (lines, times)
    }

    pub fn counters(&self) -> CounterValues {
        self.tenant.counters()
    }

    /// Fails if anything billed, or any media, was asked for since the counters were reset.
    #[track_caller]
    pub fn assert_nothing_was_paid(&self, after: &str) {
        let counters = self.counters();
        assert_eq!((counters.playback_calls, counters.media_requests), (0, 0), "after {after}: {counters:?}");
    }
}
