//! The listing: `contacts/completed` in pages, the others in parallel once the first has told how many there are.
//!
//! Free of charge, under a rate limit of its own. Knows requests and pages; what a row means is `contact`'s business, what comes next
//! `paging`'s, how many go out `limiter`'s.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::contact::{self, Unreadable};
use super::endpoints::Endpoints;
use super::error::{ApiError, ApiErrorKind};
use super::gather::Gather;
use super::http::{Answer, Call, REPORTING_BYTES_MAX};
use super::limiter::{InFlight, LimiterSettings, Priority};
use super::model::{ContactRecord, ContactsAnswer};
use super::paging::{self, PAGE_ROWS, PAGES_MAX, PageFacts, Plan, Position};
use super::progress::ListingProgress;
use super::settings::CallClass;
use super::shape::Shapes;
use super::tenant::Inner;
use super::{address, instant, lenient};

/// Pages fetched at once.
const PAGES_AT_ONCE: usize = 4;

/// Pages in any window. No limit is published for Reporting, so this is a guess that nobody who looks around meets and no tenant should
/// mind: a year of days at once, or ten pages a second for ever. A tenant that refuses more is listened to.
pub(super) const RATE: LimiterSettings = LimiterSettings { calls: 600, window: Duration::from_mins(1) };

/// A listing of more rows says in the log how far it is.
const LARGE_ROWS: u64 = 5000;

const LISTING: Call = Call { operation: "listing contacts", class: CallClass::Page, body_max: REPORTING_BYTES_MAX };

/// Which legs are asked for: those that start in `[start, end)`, and changed since `updated_since` where that is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
    pub updated_since: Option<Timestamp>,
}

/// A record, or why it is none.
type Row = Result<ContactRecord, Unreadable>;

struct Page {
    rows: Vec<Row>,
    facts: PageFacts,
    last_poll: Option<Timestamp>,
}

pub(super) async fn completed_contacts(
    inner: &Arc<Inner>,
    window: Window,
    progress: &ListingProgress,
) -> Result<ContactsAnswer, ApiError> {
    if window.start >= window.end {
        return Ok(Gather::new(window.start, window.end).finish(true, None));
    }
    let mut listing = list(inner, window, PAGES_AT_ONCE, progress).await?;
    if listing.may_lack() {
        // Rows move between pages while the tenant is at work, the more so between pages that are asked for together.
        tracing::debug!(total = listing.total, seen = listing.seen, "the pages do not add up; listed once more");
        let again = list(inner, window, 1, &ListingProgress::default()).await?;
        listing.gather.join(again.gather);
        (listing.seen, listing.total) = (again.seen, again.total);
    }
    let Listing { gather, seen, total, last_poll, .. } = listing;
    let whole = total.is_none_or(|total| seen >= total);
    if !whole {
        tracing::warn!(start = %window.start, total, seen, "the tenant sends fewer contacts than it counts");
    }
    // One bad record is skipped; where all are bad it is the answer that is, and an empty day would be remembered.
    if gather.len() == 0 && gather.skipped() > 0 {
        return Err(contradiction("not one of its records can be read"));
    }
    tracing::debug!(start = %window.start, end = %window.end, legs = gather.len(), "listed");
    Ok(gather.finish(whole, last_poll))
}

/// One pass through the pages.
struct Listing {
    gather: Gather,
    /// Rows that came, the same ones counted as often as they came.
    seen: u64,
    /// Rows that the tenant counts.
    total: Option<u64>,
    pages: u64,
    last_poll: Option<Timestamp>,
}

impl Listing {
    /// Fewer rows came than the tenant counts, or the same ones on several pages.
    fn may_lack(&self) -> bool {
        let distinct = if self.pages > 1 { self.gather.distinct() } else { self.seen };
        self.total.is_some_and(|total| self.seen.min(distinct) < total)
    }
}

async fn list(
    inner: &Arc<Inner>,
    window: Window,
    at_once: usize,
    progress: &ListingProgress,
) -> Result<Listing, ApiError> {
    let mut gather = Gather::new(window.start, window.end);
    let first = fetch(inner.clone(), window, Position::Row(0)).await?;
    // The first page's time: what changed while the others were fetched is then asked for again, not missed.
    let last_poll = first.last_poll;
    if first.facts.rows == 0 && first.facts.total.is_some_and(|total| total > 0) {
        return Err(contradiction("it counts records and sends none"));
    }
    let origin = inner.session().await?.endpoints.api.clone();
    let may_follow = |url: &Url| address::same_origin(url, &origin);
    let total = first.facts.total;
    let mut plan = paging::after_first(&first.facts, may_follow);
    let mut seen = first.facts.rows;
    let mut pages = 1;
    if let Some(total) = total {
        progress.expect(total);
    }
    note_progress(progress, window, seen);
    gather.add(first.rows);
    loop {
        match plan {
            Plan::Done => break,
            Plan::TooMany => {
                let message = format!("{}: more than {PAGES_MAX} pages", LISTING.operation);
                return Err(ApiError::new(ApiErrorKind::BadAnswer, message));
            }
            Plan::Pages { skips } => {
                pages += skips.len() as u64;
                seen += fetch_all(inner, window, skips, at_once, &mut gather, progress).await?;
                break;
            }
            Plan::OneMore(position) => {
                let page = fetch(inner.clone(), window, position.clone()).await?;
                seen += page.facts.rows;
                pages += 1;
                note_progress(progress, window, page.facts.rows);
                let at = if let Position::Link(url) = &position { Some(url) } else { None };
                plan = paging::after_next(&page.facts, seen, pages, at, may_follow);
                gather.add(page.rows);
            }
        }
    }
    Ok(Listing { gather, seen, total, pages, last_poll })
}

fn contradiction(what: &str) -> ApiError {
    ApiError::new(ApiErrorKind::BadAnswer, format!("{}: {what}", LISTING.operation))
}

/// Fetches pages, so many at once, and adds them in order, up to the first empty one. Gives the rows that came.
async fn fetch_all(
    inner: &Arc<Inner>,
    window: Window,
    skips: Vec<u64>,
    at_once: usize,
    gather: &mut Gather,
    progress: &ListingProgress,
) -> Result<u64, ApiError> {
    let fetches = skips.into_iter().map(|skip| fetch(inner.clone(), window, Position::Row(skip)));
    let mut pages = stream::iter(fetches).buffered(at_once);
    let mut seen = 0;
    while let Some(page) = pages.next().await {
        let page = page?;
        if page.facts.rows == 0 {
            break;
        }
        seen += page.facts.rows;
        note_progress(progress, window, page.facts.rows);
        gather.add(page.rows);
    }
    Ok(seen)
}

/// Says of a listing of many pages how far it is.
fn note_progress(progress: &ListingProgress, window: Window, rows: u64) {
    let (is_quarter, (rows, total)) = (progress.add(rows), progress.get());
    if is_quarter && total > LARGE_ROWS {
        tracing::info!(start = %window.start, rows, total, "listing");
    }
}

/// One page, with retries.
async fn fetch(inner: Arc<Inner>, window: Window, position: Position) -> Result<Page, ApiError> {
    let version = &inner.settings.reporting_version;
    let url_of = |endpoints: &Endpoints| match &position {
        Position::Link(url) => url.clone(),
        Position::Row(skip) => page_url(&endpoints.api, version, window, *skip),
    };
    // A refresh is made behind an answer from the index; nobody waits for it.
    let urgency = if window.updated_since.is_some() { Priority::Warm } else { Priority::Open };
    inner.retry.run(|| inner.http.jitter(), || fetch_once(&inner, urgency, url_of)).await
}

async fn fetch_once(inner: &Inner, urgency: Priority, url_of: impl Fn(&Endpoints) -> Url) -> Result<Page, ApiError> {
    let permit = tokio::time::timeout(inner.settings.times.page, inner.reporting.acquire(urgency)).await;
    let permit = permit.map_err(|_| {
        let message = format!("{}: its rate limit leaves no room", LISTING.operation);
        ApiError::new(ApiErrorKind::RateLimited { retry_after: None }, message)
    })?;
    let under_way = permit.spend();
    let answer = inner.get(LISTING, url_of).await.and_then(|(answer, _session)| answer.ok());
    conclude(under_way, &answer);
    let answer = answer?;
    if answer.is_empty() {
        return Ok(Page { rows: Vec::new(), facts: PageFacts::default(), last_poll: None });
    }
    read_page(answer.json()?).ok_or_else(|| answer.bad("the answer holds no list of contacts"))
}

/// Tells the limiter how a call ended.
fn conclude(under_way: InFlight, answer: &Result<Answer, ApiError>) {
    match answer {
        Ok(_) => under_way.finished(),
        Err(error) => match error.kind {
            ApiErrorKind::RateLimited { retry_after } => under_way.throttled(retry_after),
            _ if error.is_unsent() => under_way.unsent(),
            _ => drop(under_way),
        },
    }
}

/// No `orderBy`: the effect of a name that the tenant's version does not know is unknown, so the order is made here.
fn page_url(api: &Url, version: &str, window: Window, skip: u64) -> Url {
    let mut url = address::join(api, &format!("incontactapi/services/{version}/contacts/completed"));
    let mut query = url.query_pairs_mut();
    query.append_pair("startDate", &instant::format(window.start));
    query.append_pair("endDate", &instant::format(instant::last_before(window.end)));
    if let Some(since) = window.updated_since {
        query.append_pair("updatedSince", &instant::format(since));
    }
    query.append_pair("top", &PAGE_ROWS.to_string());
    query.append_pair("skip", &skip.to_string());
    drop(query);
    url
}

/// Takes the envelope apart and reads its records; `None` if it holds no list of contacts. Read at once: pages wait for each other, and a page
/// of parsed JSON is ten times as large as its records.
fn read_page(body: Value) -> Option<Page> {
    let Value::Object(mut envelope) = body else { return None };
    let total = envelope.get("totalRecords").and_then(lenient::integer).and_then(|total| u64::try_from(total).ok());
    let next = envelope.get("_links").and_then(|links| links.get("next")).and_then(Value::as_str);
    let next = next.and_then(|next| Url::parse(next.trim()).ok());
    let last_poll = envelope.get("lastPollTime").and_then(instant::read);
    let rows = match envelope.get_mut("completedContacts").map(Value::take) {
        Some(Value::Array(rows)) => rows,
        // A null list, or none at all with a count of none, is an empty page.
        Some(Value::Null) => Vec::new(),
        None if total == Some(0) => Vec::new(),
        _ => return None,
    };
    let mut shapes = Shapes::default();
    let rows: Vec<Row> = rows.into_iter().map(|row| contact::read(row, &mut shapes)).collect();
    Some(Page { facts: PageFacts { rows: rows.len() as u64, total, next }, rows, last_poll })
}

/// For fuzzing: the rows, what they say of other pages, and the tenant's time.
#[cfg(any(test, fuzzing))]
pub(super) fn read_page_of(body: Value) -> Option<(Vec<Row>, PageFacts, Option<Timestamp>)> {
    read_page(body).map(|page| (page.rows, page.facts, page.last_poll))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_query_is_in_utc_with_a_literal_z_and_an_inclusive_end() {
        let window = Window {
            start: "2026-11-02T05:00:00Z".parse().unwrap(),
            end: "2026-11-03T05:00:00Z".parse().unwrap(),
            updated_since: Some("2026-11-02T09:00:00.25Z".parse().unwrap()),
        };
        let url = page_url(&Url::parse("https://api.example/base").unwrap(), "v30.0", window, 2000);
        assert_eq!(url.path(), "/base/incontactapi/services/v30.0/contacts/completed");
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let expected = [
            ("startDate", "2026-11-02T05:00:00.000Z"),
            ("endDate", "2026-11-03T04:59:59.999Z"),
            ("updatedSince", "2026-11-02T09:00:00.250Z"),
            ("top", "1000"),
            ("skip", "2000"),
        ];
        assert_eq!(query, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn an_envelope_without_contacts_is_no_empty_day() {
        assert!(read_page(json!({"message": "maintenance"})).is_none());
        assert!(read_page(json!([])).is_none());
        assert!(read_page(json!({"completedContacts": "none"})).is_none());
        assert!(read_page(json!({"totalRecords": "0"})).unwrap().rows.is_empty());
        assert!(read_page(json!({"completedContacts": null})).unwrap().rows.is_empty());
        let page = read_page(json!({"totalRecords": "1,500", "completedContacts": [{}],
            "lastPollTime": "2026-11-02T09:00:00.000Z", "_links": {"next": null}}));
        let page = page.unwrap();
        assert_eq!(page.facts, PageFacts { rows: 1, total: Some(1500), next: None });
        assert_eq!(page.last_poll.unwrap().to_string(), "2026-11-02T09:00:00Z");
    }
}
