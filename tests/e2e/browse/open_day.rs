//! Today: what ends while the mount is up appears, also in directories that the kernel has kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cxonefs::base::{Clock as _, Day, SystemClock};
use cxonefs::sim::SimSettings;
use jiff::tz::TimeZone;

use crate::harness::{Mount, Sandbox, Tenant, eventually, plain};

/// A zone in which it is two in the afternoon: in the middle of the tenant's working hours.
fn afternoon() -> TimeZone {
    let utc_hour = i32::from(SystemClock.now().to_zoned(TimeZone::UTC).hour());
    let offset = 14 - utc_hour;
    // These names count westwards.
    TimeZone::get(&format!("Etc/GMT{:+}", -offset)).unwrap()
}

#[test]
fn contacts_that_end_appear() {
    let timezone = afternoon();
    let last_day = Day::of(SystemClock.now(), &timezone);
    let tenant = Tenant::start(SimSettings { last_day, timezone, ..plain(3, 60) });
    // As if it were ten in the morning there.
    tenant.switch(|switches| switches.clock_offset_s = -4 * 3600);
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, &["--set", "tree.refresh=1s"]);
    let day = mount.at(last_day.to_string());
    let morning = interactions(&day);
    assert!(morning.len() > 10, "{}", morning.len());
    assert_eq!(interactions(&day), morning, "nothing has happened");

    tenant.switch(|switches| switches.clock_offset_s = 0);
    let grown = || interactions(&day).len() >= 2 * morning.len();
    eventually("the afternoon's contacts appear", Duration::from_secs(20), grown);
    let now = interactions(&day);
    assert!(now.is_superset(&morning), "gone: {:?}", morning.difference(&now).collect::<Vec<_>>());
    assert_eq!(tenant.counters().playback_calls, 0);
    for path in now.difference(&morning).take(3) {
        let contact = std::fs::read_to_string(day.join(path).join("contact.json")).unwrap();
        assert!(contact.contains(path.rsplit('_').next().unwrap()), "{contact}");
    }
}

/// `agent/interaction`, from listings alone.
fn interactions(day: &Path) -> BTreeSet<String> {
    let walk = walkdir::WalkDir::new(day).min_depth(2).max_depth(2);
    let paths = walk.into_iter().map(|entry| entry.unwrap().into_path());
    paths.map(|path| path.strip_prefix(day).unwrap().to_str().unwrap().to_owned()).collect()
}
