//! Days that still grow: refreshed while the kernel knows them, though the kernel asks for none of their listings twice.

use std::time::Duration;

use cxonefs::base::{Clock, Day, SystemClock};
use cxonefs::sim::SimSettings;
use jiff::tz::TimeZone;

use crate::harness::{Mount, Sandbox, Tenant, eventually, plain};

#[test]
fn a_day_that_grows_shows_it_by_itself_and_costs_nothing() {
    let yesterday = Day(Day::of(SystemClock.now(), &TimeZone::UTC).0 - 1);
    let settings = SimSettings { timezone: TimeZone::UTC, last_day: yesterday, ..plain(2, 60) };
    let tenant = Tenant::start(settings);
    // For the tenant it is noon of that day.
    let noon = yesterday.start(&TimeZone::UTC).as_second() + 12 * 3600;
    tenant.switch(|switches| switches.clock_offset_s = noon - SystemClock.now().as_second());
    let sandbox = Sandbox::of(&tenant);
    let mount = Mount::start(&sandbox, &["--set", "tree.refresh=1s"]);
    let day = mount.at(yesterday.to_string());
    let agent = std::fs::read_dir(&day).unwrap().next().unwrap().unwrap().path();
    let count = || std::fs::read_dir(&agent).unwrap().count();
    let before = count();
    assert!((1..60).contains(&before), "{before}");
    tenant.switch(|switches| switches.clock_offset_s = 0);
    // The kernel keeps the listing, so this does not reach the program until it is told of a change.
    eventually("the afternoon's calls appear", Duration::from_secs(30), || count() > before);
    eventually("all of them", Duration::from_secs(30), || count() == 60);
    assert_eq!(tenant.counters().playback_calls, 0);
}
