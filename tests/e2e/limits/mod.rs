//! Every billed call counted, wanted and worth it; every wait ends. The tenant's own counters are the judge.

mod budget;
mod fresh;
mod gone;
mod open_days;
mod outage;
mod rate;
mod users;
mod waiting;

use std::fs::File;
use std::path::PathBuf;

use cxonefs::sim::SimSettings;

use crate::harness::{Drive, Mount, Sandbox, Tenant, Tree, plain};

/// A day of plain calls under a rate limit that holds for the tenant (`allowed`) and for the mount (`flags`).
fn drive(agents: u32, calls_each: u32, allowed: (u32, u64), flags: &[&str]) -> Drive {
    let settings = SimSettings { bulk_bytes: Some(2048), ..plain(agents, calls_each) };
    let tenant = Tenant::start(settings);
    tenant.switch(|switches| (switches.playback_requests, switches.playback_window_s) = allowed);
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, flags);
    let tree = Tree::of(&tenant);
    let drive = Drive { mount, sandbox, tenant, tree };
    // The day is indexed, as on a drive in use.
    for place in &drive.tree.places {
        drive.at(&place.path).metadata().unwrap();
    }
    drive.tenant.reset_counters();
    drive
}

/// One billed file of each interaction.
fn billed_files(drive: &Drive) -> Vec<PathBuf> {
    drive.tree.recorded().map(|place| drive.at(&place.path).join("metadata.json")).collect()
}

fn open(path: &PathBuf) -> Result<(), i32> {
    File::open(path).map(drop).map_err(|error| error.raw_os_error().unwrap())
}
