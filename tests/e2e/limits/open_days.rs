//! Days that still grow: refreshed while the kernel knows them, though the kernel asks for none of their listings twice.

use std::time::Duration;

use cxonefs::base::{Clock, Day, SystemClock};
use cxonefs::sim::SimSettings;
use jiff::tz::TimeZone;

use crate::harness::{FakeTime, Mount, Sandbox, Tenant, eventually, plain, settings};

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

/// The days on which clocks change: of 25 hours in autumn, of 23 in spring.
#[test]
fn a_new_day_appears_at_local_midnight_however_long_the_one_before_was() {
    let tenant = Tenant::start(settings(2, 20));
    let days = [
        ("2026-10-31", "2026-11-01", "2026-11-02T04:59:30Z", "2026-11-02T05:00:01Z", "2026-11-02"),
        ("2026-03-06", "2026-03-08", "2026-03-09T03:59:30Z", "2026-03-09T04:00:01Z", "2026-03-09"),
    ];
    for (since, today, before, after, tomorrow) in days {
        let sandbox = Sandbox::of(&tenant);
        let clock = FakeTime::new(&sandbox);
        clock.set(before);
        let flags = ["--set", "tree.refresh=1s", "--set", &format!("tree.since={since}")];
        let mount = Mount::start_in(&sandbox, &flags, clock.environment());
        let shown = || {
            let entries = std::fs::read_dir(mount.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).max().unwrap()
        };
        assert_eq!(shown(), today);
        assert!(!mount.at(tomorrow).exists(), "{tomorrow} before its midnight");
        clock.set(after);
        eventually("the new day", std::time::Duration::from_secs(5), || shown() == tomorrow);
        // What the long day ends with belongs to it, and what the next begins with does not.
        let listed = |day: &str| std::fs::read_dir(mount.at(day)).unwrap().count();
        assert_eq!((listed(today) > 0, listed(tomorrow) > 0), (today > "2026-10", tomorrow > "2026-10"));
    }
    assert_eq!(tenant.counters().playback_calls, 0);
}
