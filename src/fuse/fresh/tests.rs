//! The timer at work, with doubles for the tenant and the kernel. Both clocks are moved together.

use std::ffi::OsStr;
use std::sync::atomic::Ordering;

use super::*;
use crate::fuse::attributes::Ownership;
use crate::fuse::door::Found;
use crate::fuse::meters::Meters;
use crate::fuse::rechecks::{RECHECKS_MAX, Rechecks};
use crate::tree::testing::{Fixture, caller, contact, fixture, zone};

const REFRESH: Duration = Duration::from_mins(5);

/// Lets so much time pass, second by second, so that what is due is done when it is due.
async fn pass(fixture: &Fixture, time: Duration) {
    for _ in 0..time.as_secs() {
        fixture.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn door(fixture: &Fixture) -> Arc<Door> {
    let ownership = Ownership { uid: 0, gid: 0, dir_mode: 0o550, file_mode: 0o440 };
    Arc::new(Door::new(fixture.tree.clone(), ownership, fixture.kernel.clone(), Arc::new(Meters::default())))
}

/// Looks a path up as the kernel would; gives the inode numbers on the way.
async fn walk(door: &Door, names: &[&str]) -> Vec<u64> {
    let mut inodes = vec![ROOT_INO];
    for name in names {
        let found = door.lookup(inodes[inodes.len() - 1], OsStr::new(name), &caller()).await.unwrap();
        let Found::Entry(attr, _) = found else { panic!("{name} is not there") };
        inodes.push(attr.ino);
    }
    inodes
}

#[test]
fn the_next_look_is_at_midnight_if_that_is_sooner() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let midnight = at("2026-11-03T05:00:00Z");
    let every = LOOK_EVERY_MAX;
    assert_eq!(pause(at("2026-11-03T04:59:50Z"), midnight, every), Duration::from_secs(10) + MIDNIGHT_MARGIN);
    assert_eq!(pause(at("2026-11-03T01:00:00Z"), midnight, every), every);
    assert_eq!(pause(at("2026-11-03T05:00:01Z"), midnight, every), MIDNIGHT_MARGIN);
}

#[tokio::test(start_paused = true)]
async fn a_known_day_is_refreshed_and_what_changed_is_dropped() {
    let fixture = fixture(10, None).await;
    let door = door(&fixture);
    start_keeping_fresh(&door, REFRESH);
    // Nobody looked at the day yet.
    pass(&fixture, REFRESH * 2).await;
    assert_eq!(fixture.lister.calls.load(Ordering::SeqCst), 1);
    let inodes = walk(&door, &["2026-11-02", "Keller_Rosa_7", "100000_digital_in_1000", "contact.json"]).await;
    pass(&fixture, Duration::from_mins(1)).await;
    fixture.kernel.told();
    let calls = fixture.lister.calls.load(Ordering::SeqCst);
    pass(&fixture, REFRESH * 3).await;
    let refreshes = fixture.lister.calls.load(Ordering::SeqCst) - calls;
    assert!((2..=3).contains(&refreshes), "{refreshes}");
    assert_eq!(fixture.kernel.told(), [] as [i64; 0], "nothing changed");

    fixture.lister.records.lock().unwrap().push(contact(2000, "2026-11-02T16:00:00Z"));
    pass(&fixture, REFRESH + Duration::from_secs(30)).await;
    let told = fixture.kernel.told();
    let [_, day, agent, folder, contact] = inodes[..] else { panic!("{inodes:?}") };
    let expected = [day as i64, agent as i64, -(agent as i64), -(folder as i64), -(contact as i64)];
    assert_eq!(told, expected, "no more than it knows");
    let folders = fixture.catalog.interactions(
        "2026-11-02".parse().unwrap(),
        crate::base::AgentId(7),
        &crate::base::Channels::ALL,
    );
    assert_eq!(folders.unwrap().len(), 101);
}

#[tokio::test(start_paused = true)]
async fn a_new_day_appears_at_local_midnight() {
    let fixture = fixture(10, None).await;
    let door = door(&fixture);
    start_keeping_fresh(&door, REFRESH);
    let midnight: Timestamp = "2026-11-03T05:00:00Z".parse().unwrap();
    let just_before = midnight.saturating_sub(Duration::from_secs(40)).unwrap();
    fixture.clock.advance(Duration::try_from(just_before.duration_since(fixture.tree.now())).unwrap());
    pass(&fixture, Duration::from_secs(39)).await;
    assert_eq!(fixture.kernel.told(), [] as [i64; 0]);
    let tomorrow = async || door.lookup(ROOT_INO, OsStr::new("2026-11-03"), &caller()).await.unwrap();
    assert!(matches!(tomorrow().await, Found::Absent(_)));
    pass(&fixture, Duration::from_secs(3)).await;
    assert_eq!(fixture.kernel.told(), [ROOT_INO as i64, -(ROOT_INO as i64)]);
    assert_eq!(*fixture.kernel.names.lock().unwrap(), [(ROOT_INO, String::from("2026-11-03"))]);
    assert!(matches!(tomorrow().await, Found::Entry(..)));
    assert_eq!(Day::of(fixture.tree.now(), &zone()).to_string(), "2026-11-03");
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_while_the_clock_was_wrong_is_dropped() {
    let fixture = fixture(10, None).await;
    let door = door(&fixture);
    start_keeping_fresh(&door, REFRESH);
    pass(&fixture, Duration::from_secs(1)).await;
    fixture.kernel.told();
    let right = fixture.tree.now();
    let lookup = async || door.lookup(ROOT_INO, OsStr::new("2026-11-02"), &caller()).await.unwrap();
    fixture.clock.set("2026-10-30T12:00:00Z".parse().unwrap());
    assert!(matches!(lookup().await, Found::Absent(_)));
    fixture.clock.set(right);
    pass(&fixture, LOOK_EVERY_MAX).await;
    assert_eq!(fixture.kernel.told(), [ROOT_INO as i64, -(ROOT_INO as i64)]);
    assert_eq!(*fixture.kernel.names.lock().unwrap(), [(ROOT_INO, String::from("2026-11-02"))]);
    assert!(matches!(lookup().await, Found::Entry(..)));
    pass(&fixture, LOOK_EVERY_MAX).await;
    assert_eq!(fixture.kernel.told(), [] as [i64; 0], "told once");
}

#[test]
fn folders_without_a_recording_come_due() {
    let rechecks = Rechecks::default();
    let at = |second| Timestamp::from_second(second).unwrap();
    for (second, ino) in [(30, 3), (10, 1), (20, 2), (10, 1)] {
        rechecks.note(at(second), ino);
    }
    assert_eq!(rechecks.take(at(9)), [] as [u64; 0]);
    assert_eq!(rechecks.take(at(20)), [1, 2]);
    assert_eq!(rechecks.take(at(30)), [3]);
    for ino in 0..=RECHECKS_MAX as u64 {
        rechecks.note(at(1000 + ino as i64), ino);
    }
    assert_eq!(rechecks.take(at(0)), [0], "one too many");
}

#[tokio::test(start_paused = true)]
async fn the_timer_ends_with_the_door() {
    let fixture = fixture(10, None).await;
    let door = door(&fixture);
    let timer = tokio::spawn(keep_fresh(Arc::downgrade(&door), REFRESH));
    tokio::task::yield_now().await;
    drop(door);
    tokio::time::timeout(Duration::from_mins(1), timer).await.unwrap().unwrap();
}
