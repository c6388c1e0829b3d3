//! Refusals are answers: paid for once, kept, shown, forgotten when asked to.

use super::*;
use crate::base::ResolveOn;
use crate::cxone::{Refusal, RefusalKind, Whose};
use crate::tree::node::Node;
use crate::tree::testing::fixture_in_mode;
use crate::tree::{GuardedPrograms, ProgramPatterns};

const DAY_LONG: Duration = Duration::from_hours(24);

fn refuse(fixture: &Fixture, number: i64, kind: RefusalKind, whose: Whose) {
    let refusal = Refusal { kind, whose, reason: "said 4xx".into(), status: 403, correlation_id: None };
    fixture.player.refusals.lock().unwrap().insert(master(number), refusal);
}

fn broken() -> ApiError {
    ApiError::new(ApiErrorKind::Unavailable, "503").with_status(503)
}

/// Pays for an interaction whose links lead nowhere, waits until each was seen to, and forgets that: a size is learned, or not, also when nobody
/// waits for it any more.
async fn resolve_with_links(fixture: &Fixture, number: i64, links: u32) {
    fixture.player.links.store(links, Ordering::SeqCst);
    resolve(fixture, number).await.unwrap();
    let failed = || fixture.catalog.obstacle_counts(fixture.clock.now()).unwrap()[4];
    for _ in 0..1_000 {
        if failed() == u64::from(links) {
            break;
        }
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(failed(), u64::from(links), "not one was looked at");
    fixture.tree.resolver().retry(None).await.unwrap();
}

/// What stands at a name in the folder of an interaction, and the folder.
async fn node_of(fixture: &Fixture, number: i64, name: &str) -> Result<(Node, Node), ErrorKind> {
    let (day, agent) = fixture.catalog.places(master(number)).unwrap()[0];
    let folder = fixture.catalog.interaction_folder(day, agent, master(number)).unwrap().unwrap();
    let agent = fixture.catalog.agent(day, agent).unwrap().unwrap();
    let path = format!("{day}/{}/{}", agent.name, folder.name);
    let folder = fixture.tree.walk(&path, &caller()).await.map_err(|error| error.kind())?;
    let found = fixture.tree.find(folder, name, &caller()).await.map_err(|error| error.kind())?;
    Ok((found.node, folder))
}

async fn open(fixture: &Fixture, number: i64, name: &str) -> Result<(), ErrorKind> {
    let (node, _) = node_of(fixture, number, name).await?;
    fixture.tree.open(node, &caller()).await.map(drop).map_err(|error| error.kind())
}

async fn xattr(fixture: &Fixture, number: i64, name: &str) -> Result<String, ErrorKind> {
    let (_, folder) = node_of(fixture, number, "contact.json").await?;
    fixture.tree.xattr(folder, name).map_err(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn each_refusal_costs_one_call_until_its_time_has_come() {
    let cases = [
        (RefusalKind::Denied, ErrorKind::Denied, "refused", DAY_LONG),
        (RefusalKind::Refused, ErrorKind::Io, "refused", DAY_LONG),
        (RefusalKind::Restoring, ErrorKind::Busy, "restoring", DAY_LONG / 24),
        (RefusalKind::Archived, ErrorKind::Io, "archived", DAY_LONG),
    ];
    for (kind, error, state, hold) in cases {
        let (fixture, number) = (fixture(100, None).await, 1);
        refuse(&fixture, number, kind, Whose::Interaction);
        let before = calls(&fixture);
        for _ in 0..5 {
            assert_eq!(open(&fixture, number, "metadata.json").await, Err(error));
        }
        assert_eq!(calls(&fixture), before + 1, "{state}");
        assert_eq!(xattr(&fixture, number, "user.cxone.state").await.unwrap(), state);
        assert!(xattr(&fixture, number, "user.cxone.reason").await.unwrap().contains("said 4xx"));
        assert!(open(&fixture, number, "contact.json").await.is_ok());
        fixture.clock.advance(hold.checked_sub(SECOND).unwrap());
        assert_eq!(open(&fixture, number, "metadata.json").await, Err(error));
        assert_eq!(calls(&fixture), before + 1, "{state}");
        fixture.clock.advance(SECOND);
        fixture.player.refusals.lock().unwrap().clear();
        open(&fixture, number, "metadata.json").await.unwrap();
        assert_eq!(calls(&fixture), before + 2, "{state}");
        assert_eq!(xattr(&fixture, number, "user.cxone.reason").await, Err(ErrorKind::NoAttribute));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_made_once_per_ask_and_not_again_for_ten_minutes() {
    let fixture = fixture(100, None).await;
    for (round, minutes) in [(0, 10), (1, 20), (2, 40)] {
        fixture.player.failures.lock().unwrap().push(broken());
        for _ in 0..3 {
            assert_eq!(open(&fixture, 1, "metadata.json").await, Err(ErrorKind::Io));
        }
        assert_eq!(calls(&fixture), round + 1);
        assert_eq!(xattr(&fixture, 1, "user.cxone.state").await.unwrap(), "failed");
        fixture.clock.advance(SECOND * 60 * minutes);
    }
    open(&fixture, 1, "metadata.json").await.unwrap();
    // One bad interaction stops no other, and an answer to another one does not forget it.
    fixture.player.failures.lock().unwrap().push(broken());
    assert_eq!(open(&fixture, 2, "metadata.json").await, Err(ErrorKind::Io));
    open(&fixture, 3, "metadata.json").await.unwrap();
    assert_eq!(open(&fixture, 2, "metadata.json").await, Err(ErrorKind::Io));
    assert_eq!(calls(&fixture), 6);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_names_nobody_is_the_roles_only_where_it_meets_several() {
    let fixture = fixture(100, None).await;
    for number in 0..20 {
        refuse(&fixture, number, RefusalKind::Denied, Whose::Everybody);
    }
    for number in 0..20 {
        assert_eq!(resolve(&fixture, number).await, Err(ErrorKind::Denied));
    }
    assert_eq!(calls(&fixture), 2);
    fixture.clock.advance(SECOND * 301);
    for number in 0..20 {
        assert_eq!(resolve(&fixture, number).await, Err(ErrorKind::Denied));
    }
    assert_eq!(calls(&fixture), 3, "one probe for all");
    fixture.player.refusals.lock().unwrap().clear();
    assert_eq!(resolve(&fixture, 7).await, Err(ErrorKind::Denied));
    fixture.clock.advance(SECOND * 301);
    for number in 0..20 {
        resolve(&fixture, number).await.unwrap();
    }
    assert_eq!(calls(&fixture), 23, "a success forgets all of them");
    // One among good ones is its own matter.
    refuse(&fixture, 30, RefusalKind::Denied, Whose::Everybody);
    for number in 30..40 {
        let expected = if number == 30 { Err(ErrorKind::Denied) } else { Ok(()) };
        assert_eq!(resolve(&fixture, number).await, expected);
    }
    fixture.clock.advance(SECOND * 3600);
    assert_eq!(resolve(&fixture, 30).await, Err(ErrorKind::Denied));
    assert_eq!(calls(&fixture), 33);
}

#[tokio::test(start_paused = true)]
async fn another_access_key_asks_again() {
    let fixture = fixture(100, None).await;
    let resolver = fixture.tree.resolver();
    resolver.use_key("A").unwrap();
    for (number, whose) in [(2, Whose::Interaction), (0, Whose::Everybody), (1, Whose::Everybody)] {
        refuse(&fixture, number, RefusalKind::Denied, whose);
        assert_eq!(resolve(&fixture, number).await, Err(ErrorKind::Denied));
    }
    fixture.player.refusals.lock().unwrap().clear();
    resolver.use_key("A").unwrap();
    assert_eq!(resolve(&fixture, 1).await, Err(ErrorKind::Denied));
    resolver.use_key("B").unwrap();
    assert_eq!((resolve(&fixture, 0).await, resolve(&fixture, 1).await), (Ok(()), Ok(())));
    assert_eq!(resolve(&fixture, 2).await, Err(ErrorKind::Denied), "it was about the interaction");
}

#[tokio::test(start_paused = true)]
async fn a_retry_forgets_all_or_those_that_are_named() {
    let fixture = fixture(100, None).await;
    for number in 0..3 {
        refuse(&fixture, number, RefusalKind::Refused, Whose::Interaction);
        assert_eq!(resolve(&fixture, number).await, Err(ErrorKind::Io));
    }
    fixture.player.refusals.lock().unwrap().clear();
    assert_eq!(fixture.tree.resolver().retry(Some(vec![master(1)])).await.unwrap(), 1);
    assert_eq!((resolve(&fixture, 0).await, resolve(&fixture, 1).await), (Err(ErrorKind::Io), Ok(())));
    assert_eq!(fixture.tree.resolver().retry(None).await.unwrap(), 2);
    assert_eq!((resolve(&fixture, 0).await, resolve(&fixture, 2).await), (Ok(()), Ok(())));
    // That there is no recording is asked again only of those that are named.
    with_a_call(&fixture);
    resolve(&fixture, 500).await.unwrap();
    let before = calls(&fixture);
    assert_eq!(fixture.tree.resolver().retry(None).await.unwrap(), 0);
    resolve(&fixture, 500).await.unwrap();
    assert_eq!(calls(&fixture), before);
    assert_eq!(fixture.tree.resolver().retry(Some(vec![master(500)])).await.unwrap(), 1);
    resolve(&fixture, 500).await.unwrap();
    assert_eq!(calls(&fixture), before + 1);
}

#[tokio::test(start_paused = true)]
async fn where_listing_resolves_a_refused_folder_lists_and_its_files_say_why() {
    let fixture = fixture_in_mode(100, Some(4), ResolveOn::List).await;
    for (number, kind, error) in [
        (0, RefusalKind::Denied, ErrorKind::Denied),
        (1, RefusalKind::Restoring, ErrorKind::Busy),
        (2, RefusalKind::Archived, ErrorKind::Io),
    ] {
        refuse(&fixture, number, kind, Whose::Interaction);
        let (_, folder) = node_of(&fixture, number, "contact.json").await.unwrap();
        let listing = fixture.tree.list(folder, &caller()).await.unwrap();
        let names: Vec<String> = listing.entries.iter().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, ["contact.json", "metadata.json"]);
        open(&fixture, number, "contact.json").await.unwrap();
        assert_eq!(node_of(&fixture, number, "metadata.json").await, Err(error));
        assert_eq!(node_of(&fixture, number, "desktop.ini").await, Err(ErrorKind::NotFound));
    }
    assert_eq!(calls(&fixture), 3);
    // A spent budget, too.
    resolve(&fixture, 3).await.unwrap();
    let (_, folder) = node_of(&fixture, 4, "contact.json").await.unwrap();
    assert_eq!(fixture.tree.list(folder, &caller()).await.unwrap().entries.len(), 2);
    assert_eq!(node_of(&fixture, 4, "metadata.json").await, Err(ErrorKind::BudgetSpent));
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_when_its_askers_have_left_and_its_answer_is_kept() {
    let fixture = fixture(100, None).await;
    *fixture.player.latency.lock().unwrap() = SECOND * 40;
    assert_eq!(resolve(&fixture, 1).await, Err(ErrorKind::TimedOut), "nobody waits longer than limits.deadline");
    tokio::time::sleep(SECOND * 15).await;
    assert!(timeout(SECOND, resolve(&fixture, 2)).await.is_err(), "killed, say");
    tokio::time::sleep(SECOND * 40).await;
    for number in [1, 2] {
        resolve(&fixture, number).await.unwrap();
    }
    assert_eq!(calls(&fixture), 2);
}

#[tokio::test(start_paused = true)]
async fn what_failed_in_an_outage_is_asked_again_after_it() {
    let fixture = fixture(100, None).await;
    *fixture.player.down.lock().unwrap() = Some(broken());
    for number in 0..30 {
        assert_eq!(resolve(&fixture, number).await, Err(ErrorKind::Io));
    }
    let asked = calls(&fixture);
    assert!(asked < 30 && fixture.tree.resolver().service().down_for.is_some(), "{asked} calls");
    *fixture.player.down.lock().unwrap() = None;
    resolve(&fixture, 40).await.unwrap();
    for number in 0..30 {
        resolve(&fixture, number).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_media_host_that_refuses_fresh_links_is_remembered_of_the_one_recording() {
    let fixture = fixture(100, None).await;
    with_a_call(&fixture);
    resolve_with_links(&fixture, 500, 2).await;
    fixture
        .tree
        .resolver()
        .note_media_failure(
            master(500),
            0,
            &MediaError::Refused(crate::media::StorageRefusal::Denied),
            &crate::tree::Principal::unidentified(crate::tree::User { uid: 1, gid: 1 }),
        )
        .await;
    // As if they had ended: with a link at hand, asking again costs nothing.
    fixture.tree.resolver().links().forget(master(500));
    for _ in 0..3 {
        assert_eq!(open(&fixture, 500, "recording.mp4").await, Err(ErrorKind::Denied));
    }
    open(&fixture, 500, "metadata.json").await.unwrap();
    assert_eq!(calls(&fixture), 1);
    let (node, _) = node_of(&fixture, 500, "recording.mp4").await.unwrap();
    let state = |node| fixture.tree.xattr(node, "user.cxone.state").unwrap();
    assert_eq!(state(node), "refused");
    let (other, _) = node_of(&fixture, 500, "recording_2.mp4").await.unwrap();
    assert_eq!(state(other), "resolved");
}

#[tokio::test(start_paused = true)]
async fn a_media_host_that_fails_costs_no_link_before_its_time_and_that_doubles() {
    let fixture = fixture(100, None).await;
    with_a_call(&fixture);
    resolve_with_links(&fixture, 500, 1).await;
    let links = |fixture: &Fixture| fixture.tree.resolver().links().forget(master(500));
    for (paid, minutes) in [(1, 10), (2, 20), (3, 40)] {
        let error = MediaError::failed("the media host answered 500 (5 attempts)");
        fixture.tree.resolver().note_media_failure(master(500), 0, &error, &caller()).await;
        // As if they had ended, or after a restart.
        links(&fixture);
        fixture.clock.advance(SECOND * (60 * minutes - 1));
        for _ in 0..3 {
            assert_eq!(open(&fixture, 500, "recording.mp4").await, Err(ErrorKind::Io));
        }
        assert_eq!(calls(&fixture), paid);
        let (node, _) = node_of(&fixture, 500, "recording.mp4").await.unwrap();
        let said = |name: &str| fixture.tree.xattr(node, name).unwrap();
        assert_eq!(said("user.cxone.state"), "failed");
        assert!(said("user.cxone.reason").contains("answered 500"));
        open(&fixture, 500, "metadata.json").await.unwrap();
        fixture.clock.advance(SECOND);
        // A link is asked for again, and that it leads nowhere here is not yet noted.
        let _ = link_of(&fixture, 500).await;
        assert_eq!(calls(&fixture), paid + 1);
    }
    fixture.tree.resolver().note_media_success(master(500), 0).await;
    assert_eq!(fixture.catalog.obstacle_counts(fixture.clock.now()).unwrap(), [0; 6]);
}

async fn link_of(fixture: &Fixture, number: i64) -> Result<u64, String> {
    let links = RecordingLinks::admitted(fixture.tree.resolver(), master(number), 0, super::open());
    links.link(None).await.map(|link| link.serial).map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn what_failed_while_the_media_host_was_down_is_not_held_against_single_recordings() {
    let fixture = fixture(100, None).await;
    with_a_call(&fixture);
    resolve_with_links(&fixture, 500, 2).await;
    let resolver = fixture.tree.resolver();
    for index in 0..2 {
        resolver.note_media_failure(master(500), index, &MediaError::Timeout, &caller()).await;
    }
    resolver.note_media_success(master(1), 0).await;
    assert_eq!(fixture.catalog.obstacle_counts(fixture.clock.now()).unwrap()[4], 2, "they alone failed");
    for index in 0..2 {
        resolver.note_media_failure(master(500), index, &MediaError::Timeout, &caller()).await;
    }
    let down = MediaError::Down(Arc::new(broken()));
    resolver.note_media_failure(master(2), 0, &down, &caller()).await;
    resolver.note_media_success(master(1), 0).await;
    assert_eq!(fixture.catalog.obstacle_counts(fixture.clock.now()).unwrap(), [0; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_is_not_given_out_any_more_is_asked_for_once() {
    let fixture = fixture(100, None).await;
    with_a_call(&fixture);
    resolve_with_links(&fixture, 500, 1).await;
    fixture.player.links.store(0, Ordering::SeqCst);
    for _ in 0..3 {
        // As after a restart: what links there are is known to no one.
        fixture.tree.resolver().links().forget_all();
        assert_eq!(open(&fixture, 500, "recording.mp4").await, Err(ErrorKind::NotFound));
    }
    assert_eq!(calls(&fixture), 2);
    let (node, _) = node_of(&fixture, 500, "recording.mp4").await.unwrap();
    assert_eq!(fixture.tree.xattr(node, "user.cxone.state").unwrap(), "none");
    open(&fixture, 500, "metadata.json").await.unwrap();
    // A young contact's is asked for again after an hour.
    fixture.clock.advance(SECOND * 3600);
    fixture.tree.resolver().links().forget_all();
    fixture.player.links.store(1, Ordering::SeqCst);
    assert!(link_of(&fixture, 500).await.is_ok());
    assert_eq!(calls(&fixture), 3);
    assert_eq!(fixture.catalog.obstacle_counts(fixture.clock.now()).unwrap(), [0; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_scanner_that_reads_has_no_link_signed() {
    let fixture = fixture(100, None).await;
    with_a_call(&fixture);
    resolve_with_links(&fixture, 500, 1).await;
    fixture.tree.resolver().links().forget_all();
    let (scanner, _alive) = mortal();
    let guard = crate::tree::guard::Guard::new(GuardedPrograms {
        scanners: ProgramPatterns::new(&["cat".to_owned()]),
        ..GuardedPrograms::default()
    });
    let request = ResolveRequest { principal: scanner, ..super::open() };
    let links = RecordingLinks { guard, ..RecordingLinks::admitted(fixture.tree.resolver(), master(500), 0, request) };
    assert!(links.link(None).await.is_err());
    assert_eq!(calls(&fixture), 1);
    link_of(&fixture, 500).await.unwrap();
    links.link(None).await.unwrap();
    assert_eq!(calls(&fixture), 2, "what is at hand costs nothing");
}

#[tokio::test(start_paused = true)]
async fn the_role_names_nobody_after_an_erasure_of_one_or_of_all() {
    for one in [true, false] {
        let fixture = fixture(100, None).await;
        let resolver = fixture.tree.resolver();
        for number in [1, 2] {
            refuse(&fixture, number, RefusalKind::Denied, Whose::Everybody);
            assert_eq!(resolve(&fixture, number).await, Err(ErrorKind::Denied));
        }
        let masters = [master(1), master(2)];
        if one {
            fixture.catalog.erase(&masters, fixture.clock.now()).unwrap();
            fixture.tree.forget_interactions(&masters, &[]);
        } else {
            fixture.catalog.erase_all().unwrap();
            fixture.tree.forget_agents(&[]);
        }
        crate::tree::forget_in_role(&fixture.catalog, one.then_some(masters.as_slice())).unwrap();
        let known = serde_json::to_string(&*resolver.inner.role.lock()).unwrap();
        let noted = fixture.catalog.fact("playback_role").unwrap().unwrap();
        for text in [known, noted] {
            assert!(!text.contains("1001") && !text.contains("1002"), "{text}");
        }
        assert!(resolver.inner.role.lock().is_refused(), "that they were refused still counts");
    }
}
