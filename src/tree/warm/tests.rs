//! Warming with doubles for the tenant, on a paused clock.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::net::{ApiError, ApiErrorKind};
use crate::tree::error::ErrorKind;
use crate::tree::testing::{Fixture, caller, fixture};

const AGENT: &str = "2026-11-02/Keller_Rosa_7";

async fn scope(fixture: &Fixture, path: &str) -> Scope {
    fixture.tree.warm_scope(&[path.to_owned()], false).await.unwrap()
}

async fn warm(fixture: &Fixture, path: &str) -> Progress {
    let mut warming = fixture.tree.warm(scope(fixture, path).await, caller()).await.unwrap();
    while warming.progress().ended.is_none() && warming.changed().await {}
    warming.progress()
}

fn reasons(fixture: &Fixture) -> Vec<String> {
    let mut reasons = Vec::new();
    fixture.catalog.ledger_rows(Timestamp::MIN, |row| reasons.push(row.reason)).unwrap();
    reasons
}

#[tokio::test(start_paused = true)]
async fn all_below_a_path_is_resolved_once_and_a_second_time_costs_nothing() {
    let fixture = fixture(1000, None).await;
    let cost = fixture.tree.warm_cost(scope(&fixture, AGENT).await).await.unwrap();
    assert_eq!((cost.interactions, cost.calls, cost.budget_left), (100, 100, None));
    assert_eq!(fixture.player.calls.load(Ordering::SeqCst), 0, "a cost is free");
    let progress = warm(&fixture, AGENT).await;
    assert_eq!((progress.done, progress.failed, progress.calls), (100, 0, 100));
    assert_eq!(progress.ended, Some(Ended::Finished));
    assert_eq!(reasons(&fixture), vec!["warm"; 100]);
    assert_eq!(fixture.tree.warm_cost(scope(&fixture, "").await).await.unwrap().calls, 0);
    assert_eq!(warm(&fixture, "").await.calls, 0);
    assert_eq!(fixture.player.calls.load(Ordering::SeqCst), 100);
}

#[tokio::test(start_paused = true)]
async fn paths_name_days_agents_interactions_and_files() {
    let fixture = fixture(1000, None).await;
    let folders = fixture.tree.catalog.interactions(
        "2026-11-02".parse().unwrap(),
        crate::base::AgentId(7),
        &fixture.tree.settings.channels,
    );
    let folder = format!("{AGENT}/{}", folders.unwrap()[0].name);
    for (path, interactions) in [
        (String::new(), 100),
        ("2026-11-02".into(), 100),
        (folder.clone(), 1),
        (format!("/{folder}/metadata.json"), 1),
        (format!("{folder}/contact.json"), 0),
    ] {
        let cost = fixture.tree.warm_cost(scope(&fixture, &path).await).await.unwrap();
        assert_eq!((cost.interactions, cost.calls), (interactions, interactions), "{path}");
    }
    for path in ["2020-01-01", "nonsense", "2026-11-02/Nobody_1", &format!("{folder}/x"), &format!("{folder}/x/y")] {
        let error = fixture.tree.warm_scope(&[path.to_owned()], false).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_ends_it_at_once_and_is_said() {
    let fixture = fixture(1000, Some(10)).await;
    let cost = fixture.tree.warm_cost(scope(&fixture, AGENT).await).await.unwrap();
    assert_eq!(cost.budget_left, Some(10));
    let progress = warm(&fixture, AGENT).await;
    assert_eq!(progress.ended, Some(Ended::BudgetSpent));
    assert_eq!(progress.calls, 10);
    assert!(progress.done < 30, "{progress:?}");
    assert_eq!(reasons(&fixture).len(), 10);
}

#[tokio::test(start_paused = true)]
async fn where_the_tenant_is_away_it_gives_up() {
    let fixture = fixture(1000, None).await;
    let refused = ApiError::new(ApiErrorKind::Unavailable, "cannot be reached").unsent();
    *fixture.player.down.lock().unwrap() = Some(refused);
    let progress = warm(&fixture, AGENT).await;
    assert!(matches!(&progress.ended, Some(Ended::GivenUp(why)) if why.contains("cannot be reached")), "{progress:?}");
    assert!(progress.done < 30 && !progress.failures.is_empty(), "{progress:?}");
}

#[tokio::test(start_paused = true)]
async fn dropped_while_it_waits_for_the_limit_it_costs_nothing_more_and_goes_on_later() {
    let fixture = fixture(5, None).await;
    let warming = fixture.tree.warm(scope(&fixture, AGENT).await, caller()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(warming);
    let made = fixture.player.calls.load(Ordering::SeqCst);
    assert!((1..=5).contains(&made), "{made}");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(fixture.player.calls.load(Ordering::SeqCst), made);
    let progress = warm(&fixture, AGENT).await;
    assert_eq!((u64::from(made) + progress.calls, progress.done), (100, 100));
}

/// The limit makes it take 40 s, which is longer than anybody's patience.
#[tokio::test(start_paused = true)]
async fn it_is_patient_while_calls_go_through() {
    let fixture = fixture(5, None).await;
    let limits = crate::tree::ResolveLimits {
        budget: crate::book::DailyBudget(None),
        user_budget: crate::book::DailyBudget(None),
        deadline: Duration::from_secs(30),
        patience: Some(Duration::from_millis(100)),
    };
    fixture.tree.resolver().set_limits(limits);
    let begun = tokio::time::Instant::now();
    let progress = warm(&fixture, AGENT).await;
    assert_eq!((progress.done, progress.failed), (100, 0), "{progress:?}");
    assert!(begun.elapsed() > Duration::from_secs(35));
}
