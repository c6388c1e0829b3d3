//! One mount that runs cells one after the other, each on a day of its own, and what must hold of it at the end.

use std::time::Duration;

use cxonefs::sim::SimSettings;
use serde_json::Value;

use crate::harness::{Drive, NO_LIMIT, Place, Tenant, Tree, plain, settled, wait_for};

/// What one call may take to work, and to wait for the rate limit.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// Several blocks, and the last not whole.
const BYTES: u64 = 5 * 64 * 1024 + 4321;
/// What the program may keep running besides what it began with: a probe of a host that was down, a timer, recordings that were signed twice.
/// Besides these, one task waits for the end of the link of each recording that was read.
const TASKS_MORE: u64 = 64;

/// From the last cell's end to the end of all that it began.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

const FLAGS: [&str; 8] = [
    "--set",
    "limits.deadline=2s",
    "--set",
    "limits.patience=2s",
    "--set",
    "limits.call_timeout=2s",
    "--set",
    "cache.whole_file_below=64KiB",
];

/// A tenant and its mount.
pub struct Lane {
    pub drive: Drive,
    /// One interaction a day.
    places: Vec<Place>,
    /// Tasks of the program before the first cell.
    tasks: u64,
    /// Recordings that were read.
    used: u64,
}

impl Lane {
    /// With room for so many cells.
    pub fn start(cells: usize, passthrough: bool) -> Lane {
        let days = cells.clamp(1, 150) as u32 + 1;
        let settings = SimSettings { days, bulk_bytes: Some(BYTES), playback_requests: 100_000, ..plain(1, 1) };
        let tenant = Tenant::start(settings);
        let mut flags = [&FLAGS[..], &NO_LIMIT].concat();
        if !passthrough {
            flags.extend(["--set", "mount.passthrough=false"]);
        }
        let sandbox = crate::harness::Sandbox::of(&tenant);
        let mount = crate::harness::Mount::start(&sandbox, &flags);
        let tree = Tree::of(&tenant);
        let places = tree.recorded().cloned().collect();
        let drive = Drive { mount, sandbox, tenant, tree };
        let mut lane = Lane { drive, places, tasks: 0, used: 0 };
        // The first of them shows what the program needs at work.
        let place = lane.next();
        std::fs::read(lane.drive.at(&place.path).join("recording.mp4")).unwrap();
        lane.tasks = lane.settled().map_or(0, |status| tasks(&status));
        lane
    }

    pub fn is_used_up(&self) -> bool {
        self.places.is_empty()
    }

    /// An interaction that was not looked at yet.
    pub fn next(&mut self) -> Place {
        self.used += 1;
        self.places.pop().expect("the lane has days left")
    }

    /// What the program said last, for whoever looks for the reason.
    pub fn last_words(&self) -> String {
        let said = self.drive.mount.stderr();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n    ")
    }

    fn settled(&self) -> Result<Value, String> {
        settled(&self.drive.mount, SETTLED_WITHIN)
    }

    /// What is wrong at the end: something under way or held, a task too many, a panic.
    pub fn end(self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(why) = self.settled() {
            wrong.push(why);
        }
        // What an open that is to be repeated left behind is kept for some seconds.
        let mut last = 0;
        let few = wait_for(SETTLED_WITHIN, || {
            last = tasks(&self.drive.mount.status());
            (last <= self.tasks + self.used + TASKS_MORE).then_some(())
        });
        if few.is_none() {
            wrong.push(format!("{} tasks at the beginning, {last} at the end", self.tasks));
        }
        let said = self.drive.mount.stderr();
        wrong.extend(said.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
        wrong
    }
}

fn tasks(status: &Value) -> u64 {
    status["work"]["tasks"].as_u64().unwrap_or(0)
}
