//! The listing: pages in every way that a tenant counts them, retries, bad records.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::fake::*;
use crate::cxone::{CallTimes, ContactsAnswer, Tenant, TenantSettings};
use crate::net::{ApiError, ApiErrorKind};

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
    let cases: [(u64, u64, Option<Value>, usize); 11] = [
        (1, 10_000, Some(json!(1)), 1),
        // A full page may be followed by others, whatever is counted.
        (1000, 10_000, Some(json!(1000)), 2),
        (1001, 10_000, Some(json!("1,001")), 2),
        (4500, 10_000, Some(json!(4500)), 5),
        (1200, 500, Some(json!(1200)), 3),
        (2500, 10_000, None, 3),
        (2000, 10_000, None, 3),
        (11, 10_000, None, 1),
        // A round number may be the most that the tenant sends.
        (10, 10_000, None, 2),
        (1200, 500, None, 3),
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
        assert!(answer.whole);
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
            2 => String::new(),
            _ => return (seen.path == CONTACTS).then(|| Reply::status(204)),
        };
        let body = json!({"completedContacts": [contact(100 + seen.nth as u64)], "_links": {"next": next}});
        (seen.path == CONTACTS).then(|| Reply::json(&body))
    })
    .await;
    let answer = list(&fake.tenant()).await.unwrap();
    // The link that leads away says that there is more, which is asked for by rows.
    assert_eq!((answer.contacts.len(), answer.whole), (3, true));
    let asked = fake.seen(CONTACTS);
    assert_eq!((asked[1].query["marker"].as_str(), skip_of(&asked[2])), ("x", 2));
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
    // A 400 may mean that the window is too long: it is halved until it is 22 minutes.
    for (status, kind, times) in
        [(400, ApiErrorKind::BadAnswer, 7), (403, ApiErrorKind::Denied, 1), (404, ApiErrorKind::BadAnswer, 1)]
    {
        let fake = Fake::start(move |seen| {
            (seen.path == CONTACTS).then(|| Reply::status(status).header("icStatusDescription", "Invalid startDate"))
        })
        .await;
        let error = list(&fake.tenant()).await.unwrap_err();
        assert_eq!((error.kind, error.status), (kind, Some(status)));
        assert!(error.to_string().contains("Invalid startDate"), "{error}");
        assert_eq!(fake.seen(CONTACTS).len(), times);
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
    // One, then eight by fours, then an empty one: one after the other would be ten.
    assert!(begun.elapsed() < delay * 9, "{:?}", begun.elapsed());
    let rate = tenant.reporting_rate();
    assert_eq!((rate.used, rate.refused, rate.learned_limit), (10, 0, rate.calls));
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
    assert_eq!((tenant.reporting_rate().refused, fake.seen(CONTACTS).len()), (1, 11));
}

/// A tenant with a contact every thirty seconds of that day, which answers as `said` makes of its rows.
struct Busy {
    /// Whether `skip` is honoured.
    skips: bool,
    /// The longest window that it answers, in hours.
    hours_max: i64,
    /// The most rows that it can send in time.
    rows_max: u64,
}

const BUSY_ROWS: usize = 2880;

impl Busy {
    fn answer(&self, seen: &Seen) -> Reply {
        let (start, end) = (time(&seen.query["startDate"]), time(&seen.query["endDate"]));
        if end.duration_since(start).as_secs() >= self.hours_max * 3600 {
            return Reply::status(400).header("icStatusDescription", "The date range is too large");
        }
        let top: u64 = seen.query["top"].parse().unwrap();
        if top > self.rows_max {
            return Reply::status(504);
        }
        let midnight = time("2026-11-02T00:00:00Z");
        let rows: Vec<Value> = (0..BUSY_ROWS as i64)
            .map(|nth| (nth, midnight + jiff::SignedDuration::from_secs(nth * 30)))
            .filter(|(_, at)| (start..=end).contains(at))
            .skip(if self.skips { skip_of(seen) as usize } else { 0 })
            .take(top as usize)
            .map(|(nth, at)| json!({"contactId": 1000 + nth, "contactStartDate": at.to_string()}))
            .collect();
        // The total counts the page.
        let body = json!({"totalRecords": rows.len(), "completedContacts": rows});
        if rows.is_empty() { Reply::status(204) } else { Reply::json(&body) }
    }

    async fn start(self) -> Fake {
        Fake::start(move |seen| (seen.path == CONTACTS).then(|| self.answer(seen))).await
    }
}

#[tokio::test]
async fn totals_end_nothing_in_whichever_way_they_are_wrong() {
    for counted in
        [json!(1000), json!(0), json!(10), json!("1,000"), json!(2499), json!(1_000_000_000_000_u64), json!(-1)]
    {
        let said = counted.clone();
        let fake =
            Fake::start(move |seen| (seen.path == CONTACTS).then(|| page(seen, 2500, 1000, Some(counted.clone()))))
                .await;
        let answer = list(&fake.tenant()).await.unwrap();
        assert_eq!((answer.contacts.len(), answer.whole, ids(&answer).len()), (2500, true, 2500), "{said}");
    }
    let page_total = Busy { skips: true, hours_max: 48, rows_max: 1000 }.start().await;
    let answer = list(&page_total.tenant()).await.unwrap();
    assert_eq!((answer.contacts.len(), answer.whole), (BUSY_ROWS, true));
}

#[tokio::test]
async fn a_count_that_was_wrong_twice_is_not_believed_again() {
    let fake = Fake::start(|seen| (seen.path == CONTACTS).then(|| page(seen, 3, 1000, Some(json!(7))))).await;
    let tenant = fake.tenant();
    assert!(list(&tenant).await.unwrap().whole);
    let pages = fake.seen(CONTACTS).len();
    assert!(list(&tenant).await.unwrap().whole);
    assert!(fake.seen(CONTACTS).len() - pages < pages, "no second look");
}

#[tokio::test]
async fn a_window_that_is_too_long_is_halved_and_the_next_one_begins_so() {
    let fake = Busy { skips: true, hours_max: 7, rows_max: 1000 }.start().await;
    let tenant = fake.tenant();
    let answer = list(&tenant).await.unwrap();
    assert_eq!((ids(&answer).len(), answer.whole), (BUSY_ROWS, true));
    let asked = fake.seen(CONTACTS).len();
    assert_eq!(ids(&list(&tenant).await.unwrap()).len(), BUSY_ROWS);
    // 24 h, 12 h, twice: refused the first time only.
    assert_eq!(fake.seen(CONTACTS).len() - asked, asked - 3);
}

#[tokio::test]
async fn what_does_not_come_in_time_is_asked_for_in_smaller_parts() {
    let fake = Busy { skips: true, hours_max: 48, rows_max: 300 }.start().await;
    let answer = list(&fake.tenant()).await.unwrap();
    assert_eq!((ids(&answer).len(), answer.whole), (BUSY_ROWS, true));
    let never = Busy { skips: true, hours_max: 48, rows_max: 0 }.start().await;
    assert_eq!(list(&never.tenant()).await.unwrap_err().status, Some(504));
    assert!(never.seen(CONTACTS).len() <= 16, "four tries of four sizes");
}

#[tokio::test]
async fn a_tenant_that_repeats_its_first_page_is_asked_for_smaller_windows() {
    let fake = Busy { skips: false, hours_max: 48, rows_max: 1000 }.start().await;
    let answer = list(&fake.tenant()).await.unwrap();
    assert_eq!((ids(&answer).len(), answer.whole), (BUSY_ROWS, true));
}

#[tokio::test]
async fn a_link_to_the_page_itself_or_round_about_ends() {
    for rows in [3_u64, 2500] {
        for links in ["self", "first", "circle"] {
            let fake = Fake::start(move |seen| {
                if seen.path != CONTACTS {
                    return None;
                }
                let link = |skip: u64| format!("http://{}{CONTACTS}?skip={skip}&top=1000", seen.header("host"));
                let next = match links {
                    "self" => link(skip_of(seen)),
                    "first" => link(0),
                    _ => link(if skip_of(seen) == 0 { 1000 } else { 0 }),
                };
                let from = skip_of(seen);
                let body: Vec<Value> = (from..rows.min(from + 1000)).map(|row| contact(1000 + row)).collect();
                Some(Reply::json(&json!({"completedContacts": body, "_links": {"next": next}})))
            })
            .await;
            let answer = list(&fake.tenant()).await.unwrap();
            assert_eq!((ids(&answer).len() as u64, answer.whole), (rows, true), "{links}");
            assert!(fake.seen(CONTACTS).len() < 10, "{links}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_wrapped_lists_and_so_does_one_from_xml() {
    for wrapper in ["resultSet", "ResultSet", "data", "result"] {
        let fake = Fake::start(move |seen| {
            let rows = json!([{"contactId": "2789879875", "masterContactId": "2789879875", "agentId": "999999", "mediaType": "4",
                "contactStart": "2026-11-02T16:29:31.443Z", "totalDurationSeconds": "295", "isOutbound": "False", "refuseTime": ""}]);
            let body = json!({wrapper: {"_links": {"next": ""}, "completedContacts": rows}});
            (seen.path == CONTACTS).then(|| Reply::json(&body))
        })
        .await;
        let answer = list(&fake.tenant()).await.unwrap();
        assert_eq!((answer.contacts.len(), answer.whole, answer.skipped), (1, true, 0), "{wrapper}");
        let leg = &answer.contacts[0];
        assert_eq!((leg.contact_id.0, leg.agent_id.0, leg.media_type_id), (2_789_879_875, 999_999, 4));
        assert!((leg.duration_s - 295.0).abs() < 1e-9);
    }
}

#[tokio::test]
async fn rows_of_other_times_are_kept_for_their_own_days() {
    let fake = Fake::start(|seen| {
        let rows = json!([contact(1), {"contactId": 2, "contactStartDate": "2026-11-01T23:55:00Z", "totalDurationSeconds": 900}]);
        (seen.path == CONTACTS).then(|| Reply::json(&json!({"totalRecords": 2, "completedContacts": rows})))
    })
    .await;
    assert_eq!(ids(&list(&fake.tenant()).await.unwrap()), HashSet::from([1, 2]));
}

#[tokio::test]
async fn a_hostile_page_is_refused_in_little_memory() {
    let many = |row: &str| format!("{row}{}", format!(",{row}").repeat(7 * 1024 * 1024 / (row.len() + 1)));
    let deep = format!("{}{}", "[".repeat(3 << 20), "]".repeat(3 << 20));
    for rows in [many("[]"), many("{}"), many("[[],[]]"), deep] {
        let body = format!("{{\"completedContacts\":[{rows}]}}");
        let fake =
            Fake::start(move |seen| (seen.path == CONTACTS).then(|| Reply::status(200).body(body.clone()))).await;
        assert_eq!(list(&fake.tenant()).await.unwrap_err().kind, ApiErrorKind::BadAnswer);
    }
    let large = Fake::start(|seen| (seen.path == CONTACTS).then(|| Reply::status(200).body(vec![b' '; 9 << 20]))).await;
    let error = list(&large.tenant()).await.unwrap_err();
    assert!(error.is_too_large() && large.seen(CONTACTS).len() < 16, "{error}");
}

#[tokio::test]
async fn changes_are_asked_for_without_a_window_and_come_page_by_page() {
    let fake = Fake::start(|seen| (seen.path == CONTACTS).then(|| page(seen, 2500, 1000, Some(json!(1000))))).await;
    let (pages, mut came) = tokio::sync::mpsc::channel(1);
    let (tenant, since) = (fake.tenant(), time("2026-10-20T00:00:00Z"));
    let listing = tokio::spawn(async move { tenant.changed_contacts(since, pages).await });
    let mut sizes = Vec::new();
    while let Some(page) = came.recv().await {
        sizes.push(page.len());
    }
    let answer = listing.await.unwrap().unwrap();
    assert_eq!((sizes, answer.whole, answer.skipped), (vec![1000, 1000, 500], true, 0));
    assert_eq!(answer.last_poll, Some(time("2026-11-02T09:00:00Z")), "the first page's");
    let asked = &fake.seen(CONTACTS)[0].query;
    assert_eq!(asked["updatedSince"], "2026-10-20T00:00:00.000Z");
    assert!(!asked.contains_key("startDate") && !asked.contains_key("endDate"));
}

#[tokio::test]
async fn a_silent_listing_is_given_up_after_one_page_and_a_sounding() {
    let fake =
        Fake::start(|seen| (seen.path == CONTACTS).then(|| Reply::status(204).after(Duration::from_mins(1)))).await;
    let times =
        CallTimes { page: Duration::from_millis(600), login: Duration::from_millis(300), ..fake.settings().times };
    let error = list(&tenant(TenantSettings { times, ..fake.settings() })).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Timeout);
    let asked: Vec<String> = fake.seen(CONTACTS).iter().map(|seen| seen.query["top"].clone()).collect();
    assert_eq!(asked, ["1000", "10"]);
}
