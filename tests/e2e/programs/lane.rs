//! One mount of the matrix: a tenant, a guess for what is not resolved, passthrough or not, one door or the other. It runs cells one after the
//! other, each with an interaction of its own.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cxonefs::sim::{Endpoint, SimSettings};

use super::servers::{self, Needs, Started};
use crate::harness::{
    Drive, Mount, NO_LIMIT, Place, Sandbox, Tenant, Tree, eventually, mount_at, plain, sh, true_bytes,
};

/// Of every recording where the guess is to be exact. No whole number of pages or blocks.
const BYTES: u64 = 321_987;
/// For a billed call, so that those who ask at once wait for the same one.
const PLAYBACK_MS: u64 = 20;
/// Interactions of one agent; a listing of more is slow.
const PER_AGENT: u32 = 50;

pub const FLAGS: [&str; 5] = ["--allow-other", "--set", "mount.dir_mode=0555", "--set", "mount.file_mode=0444"];

/// What `stat` shows of a file whose size nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    Low,
    High,
    Exact,
}

impl Guess {
    fn bytes(self) -> u64 {
        match self {
            Guess::Low => 1024,
            Guess::High => 2 * 1024 * 1024,
            Guess::Exact => BYTES,
        }
    }
}

/// What a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub guess: Guess,
    pub is_passthrough: bool,
    /// The exact door, where `stat` resolves.
    pub is_exact_door: bool,
}

pub struct Lane {
    started: BTreeMap<Needs, Result<Started, String>>,
    pub drive: Drive,
    /// The exact door beside it.
    exact: Option<PathBuf>,
    places: Vec<Place>,
    cells: usize,
    /// Servers and mounts that were started.
    starts: usize,
}

impl Lane {
    /// With room for so many cells.
    pub fn start(kind: Kind, cells: usize) -> Lane {
        let agents = (cells as u32).div_ceil(PER_AGENT).max(1);
        let bulk_bytes = (kind.guess == Guess::Exact).then_some(BYTES);
        let recording_seconds = (20.0, 25.0);
        let settings =
            SimSettings { bulk_bytes, recording_seconds, playback_requests: 100_000, ..plain(agents, PER_AGENT) };
        let tenant = Tenant::start(settings);
        tenant.switch(|switches| switches.latency_ms = [(Endpoint::Playback, PLAYBACK_MS)].into());
        let sandbox = Sandbox::of(&tenant);
        std::fs::set_permissions(sandbox.root(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let mut flags = [&FLAGS[..], &NO_LIMIT].concat();
        if !kind.is_passthrough {
            flags.extend(["--set", "mount.passthrough=false"]);
        }
        let exact = kind.is_exact_door.then(|| sandbox.dir("exact"));
        if let Some(exact) = &exact {
            let text = std::fs::read_to_string(sandbox.config()).unwrap();
            let also = format!("{text}\n[[mount.also]]\ndir = \"{}\"\nresolve_on = \"stat\"\n", exact.display());
            std::fs::write(sandbox.config(), also).unwrap();
        }
        let guess = vec![("CXONEFS_TEST_GUESS", kind.guess.bytes().to_string().into())];
        let mount = Mount::start_in(&sandbox, &flags, guess);
        if let Some(exact) = &exact {
            eventually("the exact door is mounted", Duration::from_secs(30), || mount_at(exact).is_some());
        }
        let tree = Tree::of(&tenant);
        let places = tree.recorded().cloned().collect();
        let drive = Drive { mount, sandbox, tenant, tree };
        open_to_all(&drive.sandbox.dir("work"));
        let lane = Lane { started: BTreeMap::new(), drive, exact, places, cells: 0, starts: 0 };
        lane.assert_looking_is_free();
        lane
    }

    /// Where the tree is that the cells read.
    pub fn root(&self) -> &Path {
        self.exact.as_deref().unwrap_or(self.drive.path())
    }

    /// Through the door that people look through, also where an exact one is beside it. Its kernel has heard every guess then.
    pub fn assert_looking_is_free(&self) {
        let before = self.drive.counters();
        sh("ls -lR . > /dev/null").in_dir(self.drive.path()).ok();
        let after = self.drive.counters();
        assert_eq!((after.playback_calls, after.media_requests), (before.playback_calls, before.media_requests));
    }

    /// An interaction that nobody looked at, and a folder for what becomes of it.
    pub fn next(&mut self) -> (Place, PathBuf) {
        self.cells += 1;
        let dir = self.drive.sandbox.path("work").join(self.cells.to_string());
        std::fs::create_dir(&dir).unwrap();
        open_to_all(&dir);
        (self.places.pop().expect("the lane has interactions left"), dir)
    }

    pub fn recording(&self, place: &Place) -> Vec<u8> {
        true_bytes(&self.drive.tenant, place.master, 1)
    }

    /// The lines of shell that tell where it is; it is started if it was not.
    pub fn needed(&mut self, needs: Needs) -> Result<String, String> {
        let is_gone = |started: &mut Result<Started, String>| started.as_mut().is_ok_and(|started| !started.is_there());
        if self.started.get_mut(&needs).is_none_or(is_gone) {
            self.started.remove(&needs);
            self.starts += 1;
            let dir = self.drive.sandbox.dir(&format!("{needs:?}-{}", self.starts));
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
            let root = self.root().to_owned();
            self.started.insert(needs, servers::start(needs, &root, &dir));
        }
        match &self.started[&needs] {
            Ok(started) => Ok(started.says.clone()),
            Err(why) => Err(why.clone()),
        }
    }

    /// What the program said last, for the one who looks for the reason.
    pub fn last_words(&self) -> String {
        let said = self.drive.mount.stderr();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(4)..].join("\n    ")
    }
}

/// A folder that any user may write to.
pub fn open_to_all(dir: &Path) {
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777)).unwrap();
}
