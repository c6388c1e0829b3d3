//! The listing: pages in every way that a tenant counts them, retries, bad records.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::fake::*;
use crate::cxone::{ApiError, ApiErrorKind, ContactsAnswer, Tenant};

async fn list(tenant: &Tenant) -> Result<ContactsAnswer, ApiError> {
    tenant.completed_contacts(time("2026-11-02T00:00:00Z"), time("2026-11-03T00:00:00Z"), None).await
}

fn skip_of(seen: &Seen) -> u64 {
    seen.query["skip"].parse().unwrap()
}

/// A page of a tenant that has `total` rows, sends at most `cap` of them, and counts as `counted`.
fn page(seen: &Seen, total: u64, cap: u64, counted: Option<Value>) -> Reply {
    let (skip, top): (u64, u64) = (skip_of(seen), seen.query["top"].parse().unwrap());
    let rows: Vec<Value> = (skip..total.min(skip + top.min(cap))).map(|row| contact(1000 + row)).collect();
    if rows.is_empty() {
        return Reply::status(204);
    }
    let mut body = json!({"completedContacts": rows, "lastPollTime": format!("2026-11-02T09:00:{:02}.000Z", seen.nth)});
    if let Some(counted) = counted {
        body["totalRecords"] = counted;
    }
    Reply::json(&body)
}

fn ids(answer: &ContactsAnswer) -> HashSet<i64> {
    answer.contacts.iter().map(|record| record.contact_id.0).collect()
}

#[tokio::test]
async fn no_content_is_an_empty_day() {
    let fake = Fake::start(|_| None).await;
    let answer = list(&fake.tenant()).await.unwrap();
    assert!(answer.contacts.is_empty() && answer.skipped == 0);
    let asked = &fake.seen(CONTACTS)[0];
    assert_eq!(asked.query["startDate"], "2026-11-02T00:00:00.000Z");
    assert_eq!(asked.query["endDate"], "2026-11-02T23:59:59.999Z");
    assert!(!asked.query.contains_key("orderBy") && !asked.query.contains_key("updatedSince"));
}

#[tokio::test]
async fn an_empty_window_is_not_asked_for() {
    let fake = Fake::start(|_| None).await;
    let instant = time("2026-11-02T00:00:00Z");
    fake.tenant().completed_contacts(instant, instant, None).await.unwrap();
    assert!(fake.paths().is_empty());
}

#[tokio::test]
async fn every_row_comes_once_however_pages_are_counted() {
    // (rows, cap of the tenant, totalRecords, pages asked for)
    let cases: [(u64, u64, Option<Value>, usize); 9] = [
        (1, 10_000, Some(json!(1)), 1),
        (1000, 10_000, Some(json!(1000)), 1),
        (1001, 10_000, Some(json!("1,001")), 2),
        (4500, 10_000, Some(json!(4500)), 5),
        (1200, 500, Some(json!(1200)), 3),
        (2500, 10_000, None, 3),
        (2000, 10_000, None, 3),
        (10, 10_000, None, 1),
        // It counts more than it has: the first empty page is the end, and one more look is taken.
        (2500, 10_000, Some(json!(3500)), 8),
    ];
    for (total, cap, counted, pages) in cases {
        let said = counted.clone();
        let fake =
            Fake::start(move |seen| (seen.path == CONTACTS).then(|| page(seen, total, cap, counted.clone()))).await;
        let answer = list(&fake.tenant()).await.unwrap();
        assert_eq!(answer.contacts.len() as u64, total, "{total} {said:?}");
        assert_eq!(ids(&answer).len() as u64, total);
        assert_eq!(answer.whole, said != Some(json!(3500)));
        assert_eq!(fake.seen(CONTACTS).len(), pages, "{total} {said:?}");
        assert_eq!(answer.last_poll, Some(time("2026-11-02T09:00:00Z")), "the first page's");
        assert!(answer.contacts.windows(2).all(|pair| pair[0].contact_id < pair[1].contact_id));
    }
}

#[tokio::test]
async fn pages_that_do_not_add_up_are_fetched_once_more_one_after_the_other() {
    // A row moved while the pages were fetched: one comes twice, another not at all; or a page is missing.
    for missing in [false, true] {
        let fake = Fake::start(move |seen| {
            let mut reply = || match (seen.nth < 3, skip_of(seen)) {
                (true, 1000) if missing => Reply::status(204),
                (true, 1000) => {
                    let rows: Vec<Value> = (999..1999).map(|row| contact(1000 + row)).collect();
                    Reply::json(&json!({"completedContacts": rows, "totalRecords": 2500}))
                }
                _ => page(seen, 2500, 1000, Some(json!(2500))),
            };
            (seen.path == CONTACTS).then(&mut reply)
        })
        .await;
        let answer = list(&fake.tenant()).await.unwrap();
        assert_eq!((answer.whole, answer.contacts.len(), ids(&answer).len()), (true, 2500, 2500));
        assert_eq!(fake.seen(CONTACTS).iter().map(skip_of).collect::<Vec<_>>()[3..], [0, 1000, 2000]);
    }
}

#[tokio::test]
async fn links_are_followed_to_the_api_only() {
    let elsewhere = Fake::start(|_| None).await;
    let foreign = elsewhere.url.join("/steal").unwrap();
    let fake = Fake::start(move |seen| {
        let next = match seen.nth {
            0 => format!("http://{}{CONTACTS}?skip=1&top=1&marker=x", seen.header("host")),
            1 => foreign.to_string(),
            _ => String::new(),
        };
        let body = json!({"completedContacts": [contact(100 + seen.nth as u64)], "_links": {"next": next}});
        (seen.path == CONTACTS).then(|| Reply::json(&body))
    })
    .await;
    let answer = list(&fake.tenant()).await.unwrap();
    assert_eq!(answer.contacts.len(), 2);
    assert_eq!(fake.seen(CONTACTS)[1].query["marker"], "x");
    assert!(elsewhere.paths().is_empty());
}

#[tokio::test]
async fn only_changes_are_asked_for_where_that_is_wanted() {
    let fake = Fake::start(|_| None).await;
    let (start, end) = (time("2026-11-02T00:00:00Z"), time("2026-11-03T00:00:00Z"));
    fake.tenant().completed_contacts(start, end, Some(time("2026-11-02T09:00:00Z"))).await.unwrap();
    assert_eq!(fake.seen(CONTACTS)[0].query["updatedSince"], "2026-11-02T09:00:00.000Z");
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let fake = Fake::start(|seen| {
        (seen.path == CONTACTS).then(|| match seen.nth {
            0 => Reply::status(503),
            1 => Reply::json(&json!({"message": "slow down"})).with_status(429).header("retry-after", "0"),
            2 => Reply::status(200).body(r#"{"completedContacts": [{"contactId""#).cut(),
            _ => page(seen, 3, 1000, Some(json!(3))),
        })
    })
    .await;
    assert_eq!(list(&fake.tenant()).await.unwrap().contacts.len(), 3);
    assert_eq!(fake.seen(CONTACTS).len(), 4);
}

#[tokio::test]
async fn a_page_that_fails_for_good_fails_the_listing() {
    let fake = Fake::start(|seen| {
        let failing = || Reply::status(500).header("icStatusDescription", "the warehouse\tis closed");
        (seen.path == CONTACTS)
            .then(|| if skip_of(seen) == 2000 { failing() } else { page(seen, 3500, 1000, Some(json!(3500))) })
    })
    .await;
    let error = list(&fake.tenant()).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::Unavailable, Some(500)));
    assert!(whole_text(&error).contains("the warehouse is closed"));
    let tries = fake.seen(CONTACTS).iter().filter(|seen| skip_of(seen) == 2000).count();
    assert_eq!(tries, 4);
}

#[tokio::test]
async fn what_will_not_change_is_asked_once() {
    for (status, kind) in [(400, ApiErrorKind::BadAnswer), (403, ApiErrorKind::Denied), (404, ApiErrorKind::BadAnswer)]
    {
        let fake = Fake::start(move |seen| {
            (seen.path == CONTACTS).then(|| Reply::status(status).header("icStatusDescription", "Invalid startDate"))
        })
        .await;
        let error = list(&fake.tenant()).await.unwrap_err();
        assert_eq!((error.kind, error.status), (kind, Some(status)));
        assert!(error.to_string().contains("Invalid startDate"), "{error}");
        assert_eq!(fake.seen(CONTACTS).len(), 1);
    }
}

#[tokio::test]
async fn one_bad_record_does_not_take_the_others_along() {
    let fake = Fake::start(|seen| {
        let rows = json!([contact(1), {"contactId": 2, "firstName": "Rosa"}, "x", {"contactId": "3", "contactStart": "2026-11-02 08:00:00"}]);
        (seen.path == CONTACTS).then(|| Reply::json(&json!({"totalRecords": 4, "completedContacts": rows})))
    })
    .await;
    let answer = list(&fake.tenant()).await.unwrap();
    assert_eq!(answer.contacts.iter().map(|record| record.contact_id.0).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(answer.skipped, 2);
}

#[tokio::test]
async fn the_calls_can_run_on_any_thread() {
    fn movable<T: Send + 'static>(future: T) -> T {
        future
    }
    let fake = Fake::start(|_| None).await;
    let tenant = fake.tenant();
    movable(async move {
        list(&tenant).await.unwrap();
        tenant.playback(crate::base::MasterId(1)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn pages_come_side_by_side_and_count_against_a_limit_of_their_own() {
    let delay = std::time::Duration::from_millis(400);
    let fake = Fake::start(move |seen| {
        (seen.path == CONTACTS).then(|| page(seen, 9000, 1000, Some(json!(9000))).after(delay))
    })
    .await;
    let tenant = fake.tenant();
    // The login is no part of it.
    tenant.login().await.unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(list(&tenant).await.unwrap().contacts.len(), 9000);
    // One, and then eight by fours: one after the other would be nine.
    assert!(begun.elapsed() < delay * 6, "{:?}", begun.elapsed());
    let rate = tenant.reporting_rate();
    assert_eq!((rate.used, rate.refused, rate.learned_limit), (9, 0, rate.calls));
}

#[tokio::test]
async fn a_429_makes_every_page_wait_as_long_as_the_tenant_says() {
    let fake = Fake::start(|seen| {
        (seen.path == CONTACTS).then(|| match seen.nth {
            2 => Reply::status(429).header("retry-after", "1"),
            _ => page(seen, 9000, 1000, Some(json!(9000))),
        })
    })
    .await;
    let (tenant, begun) = (fake.tenant(), std::time::Instant::now());
    assert_eq!(list(&tenant).await.unwrap().contacts.len(), 9000);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!((tenant.reporting_rate().refused, fake.seen(CONTACTS).len()), (1, 10));
}
