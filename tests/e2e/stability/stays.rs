//! Across remounts, a wiped cache, an index that is built anew, and agents that join: the same inode numbers, names, sizes, times, links
//! and ids.

use cxonefs::sim::SimSettings;

use super::dump;
use crate::harness::{Drive, cxonefs, settings, tool};

/// Empties the index and leaves what was published and paid for; what a change of the time zone and back does.
const WITHOUT_INDEX: &str =
    "DELETE FROM days; DELETE FROM agents; DELETE FROM agent_channels; DELETE FROM folders; DELETE FROM legs;
    UPDATE interactions SET places = 0;";

#[test]
fn everything_stays_put() {
    let mut drive = Drive::of(SimSettings { odd_names: false, ..settings(3, 14) });
    for place in drive.tree.recorded().take(5) {
        std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap();
    }
    // Guesses follow what was learned from the recordings that were opened, and stand from then on.
    drive.mount.remount();
    let before = dump(drive.path(), false);
    assert!(before.0.len() > 400, "{} files", before.0.len());
    let with_state = dump(drive.path(), true);
    drive.mount.remount();
    with_state.assert_same(&dump(drive.path(), true), "a remount");

    drive.mount.terminate();
    std::fs::remove_dir_all(drive.sandbox.cache()).unwrap();
    drive.mount.start_again();
    before.assert_same(&dump(drive.path(), false), "wiping the cache");

    drive.mount.terminate();
    tool("sqlite3").arg(drive.sandbox.state().join("cxonefs.db")).arg(WITHOUT_INDEX).ok();
    drive.mount.start_again();
    drive.tenant.reset_counters();
    before.assert_same(&dump(drive.path(), false), "building the index anew");
    assert!(drive.counters().completed_pages >= 3, "it was not built anew");
    drive.assert_nothing_was_paid("all of that");
}

#[test]
fn a_lost_index_comes_back_the_same_whichever_day_is_listed_first() {
    let mut drive = Drive::of(SimSettings { midnight_transfer: true, ..settings(3, 6) });
    let before = dump(drive.path(), true);
    drive.mount.terminate();
    std::fs::remove_dir_all(drive.sandbox.state()).unwrap();
    drive.mount.start_again();
    for day in ["2026-11-02", "2026-11-01", "2026-10-31"] {
        assert!(std::fs::read_dir(drive.at(day)).unwrap().count() > 0);
    }
    before.assert_same(&dump(drive.path(), true), "listing the last day first");
}

#[test]
fn agents_who_join_change_nobody_else() {
    let drive = Drive::of(settings(3, 10));
    // A contact of its own each: a leg of a transferred call is a link more, which is another story.
    let joins = drive.tree.recorded().map(|place| place.agent).max().unwrap();
    let theirs: std::collections::BTreeSet<i64> = drive
        .tree
        .interactions
        .values()
        .filter(|truth| truth.legs.iter().any(|leg| leg.agent == joins))
        .flat_map(|truth| truth.legs.iter().map(|leg| leg.contact))
        .collect();
    drive.tenant.switch(|switches| switches.amendments.hidden = theirs);
    let before = dump(drive.path(), true);
    assert!(before.0.keys().all(|path| !path.contains(&joins.to_string())), "the agent is there already");
    drive.tenant.switch(|switches| switches.amendments.hidden.clear());
    let days = ["2026-10-31", "2026-11-01", "2026-11-02"];
    cxonefs(&drive.sandbox.home()).arg("refresh").arg(drive.path()).args(days).ok();
    let after = dump(drive.path(), true);
    assert!(before.added(&after).iter().any(|path| path.ends_with(&joins.to_string())), "the agent did not join");
    // Times of the folders above what is new, and nothing else.
    for path in before.changed(&after) {
        assert!(path.matches('/').count() <= 1, "{path} is\n{} and was\n{}", after.0[&path], before.0[&path]);
    }
    drive.assert_nothing_was_paid("that");
}
