//! What public clients of the service have met: every behaviour by its switch.

use std::collections::BTreeMap;

use super::*;
use crate::base::Clock as _;

const DAY: &str = "startDate=2026-10-30T00:00:00Z&endDate=2026-11-04T00:00:00Z";

fn of(shares: Shares) -> SimSettings {
    SimSettings { shares, contacts_per_day: 10, ..SimSettings::default() }
}

async fn rows(bench: &Bench) -> Vec<Value> {
    let page = bench.json(&format!("{COMPLETED}?{DAY}")).await;
    page["completedContacts"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_real_clients_send_is_taken() {
    let bench = Bench::plain().await;
    let url = format!("{}/incontactApi//services/v28.0/contacts/completed?{DAY}", bench.sim.url());
    // `*/*`, as most libraries send it.
    assert_eq!(bench.client.get(&url).bearer_auth(&bench.token).send().await.unwrap().status(), 200);
    let known = Credentials::default();
    let fields = [
        ("grant_type", "password"),
        ("username", known.access_key_id.as_str()),
        ("password", known.access_key_secret.as_str()),
    ];
    let url = format!("{}/auth/token", bench.sim.url());
    let request = bench.client.post(url).basic_auth(&known.client_id, Some(&known.client_secret)).form(&fields);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn pages_are_worded_as_the_switch_says() {
    let bench = Bench::plain().await;
    let all = rows(&bench).await.len();
    bench.sim.switch(|switches| {
        let (total, next) = (Total::Page, Next::EmptyAtEnd);
        switches.listing = Listing { total, next, page_rows_max: Some(100), ..Listing::default() };
    });
    let page = bench.json(&format!("{COMPLETED}?{DAY}&top=1000")).await;
    assert_eq!(page["totalRecords"], 100);
    assert!(page["_links"]["next"].as_str().unwrap().contains("skip=100"));
    let last = bench.json(&format!("{COMPLETED}?{DAY}&top=1000&skip={}", all - 1)).await;
    assert_eq!(last["_links"]["next"], "");
    bench.sim.switch(|switches| switches.listing = Listing { envelope: Envelope::ResultSet, ..Listing::default() });
    let page = bench.json(&format!("{COMPLETED}?{DAY}")).await;
    assert!(page["resultSet"]["completedContacts"][0]["contactId"].is_string());
}

#[tokio::test]
async fn windows_that_are_too_long_are_refused() {
    let bench = Bench::plain().await;
    bench.sim.switch(|switches| switches.listing.window_h_max = Some(12));
    let refused = bench.get(&format!("{COMPLETED}?{DAY}")).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.headers()["icStatusDescription"].to_str().unwrap().contains("too long"));
    let half = "startDate=2026-11-02T06:00:00Z&endDate=2026-11-02T18:00:00Z";
    assert_eq!(bench.get(&format!("{COMPLETED}?{half}")).await.status(), 200);
    // A sweep has no window.
    assert_eq!(bench.get(&format!("{COMPLETED}?updatedSince=2026-11-01T00:00:00Z")).await.status(), 200);
}

#[tokio::test]
async fn windows_may_go_by_the_end() {
    let bench = Bench::plain().await;
    let first = bench.first();
    let leg = &first.legs[0];
    let start: Timestamp = leg.start.parse().unwrap();
    let end = start.saturating_add(Duration::from_millis(leg.total_ms)).unwrap();
    let window = format!("startDate={start}&endDate={}", end.saturating_sub(Duration::from_millis(1)).unwrap());
    let holds =
        |page: Value| page["completedContacts"].as_array().unwrap().iter().any(|row| row["contactId"] == leg.contact);
    assert!(holds(bench.json(&format!("{COMPLETED}?{window}")).await));
    bench.sim.switch(|switches| switches.listing.by_end = true);
    let response = bench.get(&format!("{COMPLETED}?{window}")).await;
    assert!(response.status() == 204 || !holds(response.json().await.unwrap()));
}

#[tokio::test]
async fn records_say_the_same_in_other_words() {
    let bench = Bench::with(of(Shares { type_by_name: 500, odd_dates: 800, ..Shares::default() })).await;
    let rows = rows(&bench).await;
    assert!(rows.iter().any(|row| row.get("mediaTypeId").is_none() && row.get("mediaType").is_none()));
    assert!(rows.iter().any(|row| row.get("mediaTypeId").is_none() && row["mediaType"].is_string()));
    let has_date = |part: &str| rows.iter().any(|row| row["contactStartDate"].as_str().unwrap().contains(part));
    assert!(has_date("/Date(") && has_date(" AM") && has_date("0000Z"));
}

#[tokio::test]
async fn some_contacts_are_listed_when_their_day_is_closed() {
    let bench = Bench::with(of(Shares { late_listed: 300, ..Shares::plain() })).await;
    let before = rows(&bench).await.len();
    let since = bench.clock.now();
    bench.clock.advance(Duration::from_hours(30 * 24));
    bench.sim.switch(|switches| switches.token_life_s = 90 * 24 * 3600);
    let bench = Bench { token: bench.login().await, ..bench };
    let after = rows(&bench).await.len();
    assert!(after > before + 20, "{before}, {after}");
    bench.sim.switch(|switches| switches.clock_offset_s = -15 * 24 * 3600);
    let swept = bench.json(&format!("{COMPLETED}?updatedSince={since}")).await;
    assert!(!swept["completedContacts"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn some_interactions_are_refused_fail_or_take_their_time() {
    let shares = Shares { refused: 300, failing: 200, slow: 200, ..Shares::plain() };
    let bench = Bench::with(of(shares)).await;
    bench.sim.switch(|switches| {
        switches.slow_ms = 300;
        switches.playback_requests = 10_000;
    });
    let mut statuses: BTreeMap<String, HashSet<u16>> = BTreeMap::new();
    for truth in bench.sim.truth().into_iter().take(100) {
        let begun = std::time::Instant::now();
        let status = bench.playback(truth.master).await.status().as_u16();
        assert_eq!(truth.mood == "slow", begun.elapsed() >= Duration::from_millis(300), "{}", truth.master);
        statuses.entry(truth.mood).or_default().insert(status);
    }
    assert_eq!(statuses["failing"], HashSet::from([500]));
    assert_eq!(statuses["refused"], HashSet::from([400, 403, 410, 422, 202, 200]));
    assert_eq!((&statuses["slow"], &statuses["fine"]), (&HashSet::from([200]), &HashSet::from([200])));
}

#[tokio::test]
async fn links_may_redirect_and_objects_be_archived() {
    let bench = Bench::with(of(Shares { redirecting: 1000, archived: 500, ..Shares::plain() })).await;
    let of_mood = |mood| bench.sim.truth().into_iter().find(|truth| truth.mood == mood).unwrap();
    let fine = of_mood("fine");
    let link = bench.link(fine.master).await;
    let redirect = bench.client.get(&link).send().await.unwrap();
    assert_eq!(redirect.status(), 302);
    let body = bench.client.get(redirect.headers()["location"].to_str().unwrap()).send().await.unwrap();
    assert_eq!(body.bytes().await.unwrap(), bench.bytes(fine.master, 1));
    let archived = bench.link(of_mood("archived").master).await.replace("/go/", "/");
    let refused = bench.client.get(archived).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(refused.text().await.unwrap().contains("InvalidObjectState"));
    assert_eq!(bench.sim.counters().media_redirects, 1);
}

#[tokio::test]
async fn two_emails_and_epoch_times() {
    let shares = Shares { email: 500, chat: 500, several_emails: 1000, epoch_times: 1000, ..Shares::plain() };
    let bench = Bench::with(of(shares)).await;
    let of_channel = |channel| bench.sim.truth().into_iter().find(|truth| truth.channel == channel).unwrap().master;
    let email: Value = bench.playback(of_channel("email")).await.json().await.unwrap();
    let subjects = [0, 1].map(|n| email["interactions"][n]["data"]["content"]["subject"].as_str().unwrap().to_owned());
    assert_eq!(subjects[1], format!("Re: {}", subjects[0]));
    let chat: Value = bench.playback(of_channel("chat")).await.json().await.unwrap();
    assert!(chat["interactions"][0]["data"]["messages"][0]["timeStamp"].is_i64());
}

#[tokio::test]
async fn limits_and_logins_are_refused_in_other_words() {
    let bench = Bench::plain().await;
    bench.sim.switch(|switches| {
        switches.playback_requests = 0;
        switches.throttle = Throttle::LimitExceeded;
        switches.retry_after = Some(String::from("Mon, 02 Nov 2020 08:00:00 GMT"));
    });
    let refused = bench.playback(bench.first().master).await;
    assert_eq!(refused.status(), 403);
    assert!(refused.headers()["retry-after"].to_str().unwrap().ends_with("GMT"));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["message"], "Limit Exceeded");
    let fault: Fault = serde_json::from_value(json!({
        "kind": "answer", "status": 200, "headers": {"X-Test": "yes"},
        "body": "{\"error\": \"invalid_grant\", \"error_description\": \"Access key is expired\"}",
    }))
    .unwrap();
    bench.sim.switch(|switches| switches.faults.push(FaultRule::always(Endpoint::Login, fault)));
    let url = format!("{}/authentication/v1/token/access-key", bench.sim.url());
    let answer = bench.client.post(url).json(&json!({})).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-test"]), (200, &http::HeaderValue::from_static("yes")));
    assert!(answer.text().await.unwrap().contains("expired"));
    assert_eq!(bench.sim.playback_arrivals().len(), 1);
}
