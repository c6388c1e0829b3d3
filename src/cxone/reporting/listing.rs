//! The listing: `contacts/completed` in pages, some of them together where the tenant has told how many there are, in smaller windows and pages
//! where it refuses or cannot manage large ones.
//!
//! Free of charge, under a rate limit of its own. Knows requests and passes; what a row means is `contact`'s business, what a page holds
//! `page`'s, what comes next `paging`'s, what is asked for instead `slices`', how many go out `limiter`'s.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use tokio::sync::mpsc;
use url::Url;

use crate::base::ContactId;
use crate::cxone::address;
use crate::cxone::auth::endpoints::Endpoints;
use crate::cxone::client::Client;
use crate::cxone::http::{Answer, Call};
use crate::cxone::instant;
use crate::cxone::model::{ChangesAnswer, ContactRecord, ContactsAnswer};
use crate::cxone::reporting::gather::{self, Gather};
use crate::cxone::reporting::page::{self, BadPage, PAGE_BYTES_MAX, Page};
use crate::cxone::reporting::paging::{End, Next, PAGES_MAX, Paging, Position};
use crate::cxone::reporting::progress::ListingProgress;
use crate::cxone::reporting::slices::{self, Slice, Trouble};
use crate::cxone::settings::CallClass;
use crate::net::error::{ApiError, ApiErrorKind};
use crate::net::limiter::{InFlight, LimiterSettings, Priority};

/// Pages of one listing fetched at once.
const PAGES_AT_ONCE: usize = 4;
/// What one listing may take in memory: a hundred thousand legs take less.
const LISTING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Pages in any window. No limit is published for Reporting, so this is a guess that nobody who looks around meets and no tenant should
/// mind: a year of days at once, or ten pages a second for ever. A tenant that refuses more is listened to.
pub(in crate::cxone) const RATE: LimiterSettings = LimiterSettings { calls: 600, window: Duration::from_mins(1) };

/// A listing of more rows says in the log how far it is.
const LARGE_ROWS: u64 = 5000;
/// Bytes of a body that is no page of which the error is described in detail.
const DESCRIBED_BYTES_MAX: usize = 64 * 1024;

const LISTING: Call = Call { operation: "listing contacts", class: CallClass::Page, body_max: PAGE_BYTES_MAX };

/// The least of a listing, in the time of a probe.
const SOUNDING: Call = Call { class: CallClass::Login, ..LISTING };

/// Which legs are asked for: those that the tenant counts as of `[start, end)`, and changed since `updated_since` where that is given.
#[derive(Clone, Copy, Debug)]
pub(in crate::cxone) struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
    pub updated_since: Option<Timestamp>,
}

pub(in crate::cxone) async fn completed_contacts(
    client: &Arc<Client>,
    window: Window,
    progress: &ListingProgress,
) -> Result<ContactsAnswer, ApiError> {
    let Window { start, end, updated_since } = window;
    let mut todo = client.listings.pace().slices(start, end, updated_since);
    todo.reverse();
    let (mut all, mut whole, mut last_poll) = (Gather::default(), true, None);
    // Why a slice stands in for a larger one.
    let mut instead_of = None;
    while let Some(slice) = todo.pop() {
        let part = match part(client, slice, progress).await {
            Ok(part) => part,
            Err(error) => {
                let Some(trouble) = slices::trouble(&error) else { return Err(error) };
                let smaller = slices::smaller(&slice, trouble);
                let answers = trouble != Trouble::Slow || answers_at_all(client, &slice).await;
                let Some(smaller) = smaller.filter(|_| answers) else {
                    let (words, id) = (trouble.words(), error.correlation_id.as_deref());
                    let (said, lost, remedy) = (crate::base::chain(&error), words.lost, words.remedy);
                    tracing::warn!(start = %start, error = said, correlation_id = id, remedy, "{lost} (from {start}): {said}; {remedy}");
                    return Err(error);
                };
                let (error, mended) = (crate::base::chain(&error), trouble.words().mended);
                tracing::info!(start = %start, slices = smaller.len(), top = smaller[0].top, error, "{mended} (from {start}: {error})");
                instead_of = Some(trouble);
                todo.extend(smaller.into_iter().rev());
                continue;
            }
        };
        if let Some(trouble) = instead_of {
            client.listings.pace().learn(&slice, trouble);
        }
        // The first part's time: what changed while the others were fetched is then asked for again, not missed.
        last_poll = last_poll.or(part.last_poll);
        all.join(part.gather);
        if all.bytes() > LISTING_BYTES_MAX {
            return Err(too_much());
        }
        if part.end == End::Repeats
            && let Some(smaller) = slices::smaller(&slice, Trouble::TooLong)
        {
            tracing::info!(start = %start, "the tenant repeats its first page: the listing from {start} goes on in smaller parts");
            todo.extend(smaller.into_iter().rev());
            continue;
        }
        if part.end == End::Repeats {
            tracing::warn!(start = %start, "the tenant sends the same page of the listing from {start} again and again: contacts may be missing");
        }
        whole &= part.whole;
    }
    // One bad record is skipped; where all are bad it is the answer that is, and an empty day would be remembered.
    if all.len() == 0 && all.skipped() > 0 {
        return Err(contradiction("not one of its records can be read"));
    }
    tracing::debug!(%start, %end, legs = all.len(), "listed");
    Ok(all.finish(whole, last_poll))
}

/// Whether a listing that was not answered in time is answered where hardly anything is asked for. If not, nothing smaller is worth its time-outs.
async fn answers_at_all(client: &Arc<Client>, slice: &Slice) -> bool {
    let (version, least) = (&client.settings.reporting_version, slices::least(slice));
    let url_of = |endpoints: &Endpoints| page_url(&endpoints.api, version, &least, 0);
    let answered = fetch_once(client, SOUNDING, urgency(slice), url_of).await;
    !answered.is_err_and(|error| slices::trouble(&error) == Some(Trouble::Slow))
}

/// Legs that changed since, whenever they started, page by page, for as long as somebody takes them.
pub(in crate::cxone) async fn changed_contacts(
    client: &Arc<Client>,
    since: Timestamp,
    into: mpsc::Sender<Vec<ContactRecord>>,
) -> Result<ChangesAnswer, ApiError> {
    let mut slice = Slice { span: None, updated_since: Some(since), top: client.listings.pace().top(), slow: 0 };
    loop {
        match changes(client, slice, &into).await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let smaller = slices::trouble(&error).and_then(|trouble| slices::smaller(&slice, trouble));
                slice = smaller.and_then(|slices| slices.into_iter().next()).ok_or(error)?;
            }
        }
    }
}

async fn changes(
    client: &Arc<Client>,
    slice: Slice,
    into: &mpsc::Sender<Vec<ContactRecord>>,
) -> Result<ChangesAnswer, ApiError> {
    let mut pages = Pages::new(client, slice, 1);
    let mut answer = ChangesAnswer::default();
    while let Some(page) = pages.next().await? {
        gather::note_unreadable(&page.described, answer.skipped);
        answer.skipped += page.unreadable;
        // The first page's time: what changes meanwhile is asked for again.
        answer.last_poll = answer.last_poll.or(page.last_poll);
        if into.send(page.records).await.is_err() {
            return Ok(answer);
        }
    }
    answer.whole = pages.end == Some(End::Whole);
    if !answer.whole {
        let since = slice.updated_since.map_or_else(|| String::from("the beginning"), |since| since.to_string());
        tracing::warn!(
            since,
            pages = pages.paging.pages(),
            "not all changes since {since} could be listed: the rest is asked for at the next look"
        );
    }
    Ok(answer)
}

/// What came of one slice.
struct Part {
    gather: Gather,
    /// Rows that came, the same ones counted as often as they came.
    seen: u64,
    /// Rows that the tenant counts.
    total: Option<u64>,
    pages: u64,
    end: End,
    last_poll: Option<Timestamp>,
    whole: bool,
}

impl Part {
    /// Fewer rows came than the tenant counts, or the same ones on several pages.
    fn lacks(&self) -> bool {
        let distinct = if self.pages > 1 { self.gather.distinct() } else { self.seen };
        self.total.is_some_and(|total| self.seen.min(distinct) < total)
    }
}

async fn part(client: &Arc<Client>, slice: Slice, progress: &ListingProgress) -> Result<Part, ApiError> {
    let mut part = pass(client, slice, PAGES_AT_ONCE, progress).await?;
    part.whole = part.end == End::Whole;
    if !part.lacks() || client.listings.counts_too_many.load(Ordering::Relaxed) {
        return Ok(part);
    }
    // Rows move between pages while the tenant is at work, the more so between pages that are asked for together.
    tracing::debug!(total = part.total, seen = part.seen, "the pages do not add up; listed once more");
    let again = pass(client, slice, 1, &ListingProgress::default()).await?;
    let found_no_more = again.gather.distinct() <= part.gather.distinct();
    part.gather.again(again.gather);
    (part.seen, part.total, part.pages, part.end) = (again.seen, again.total, again.pages, again.end);
    part.whole = part.end == End::Whole;
    if part.lacks() {
        // An empty day would be remembered.
        if part.seen == 0 {
            return Err(contradiction("it counts records and sends none"));
        }
        let (total, seen) = (part.total.unwrap_or_default(), part.seen);
        if found_no_more && part.whole {
            client.listings.counts_too_many.store(true, Ordering::Relaxed);
            tracing::warn!(
                total,
                seen,
                "the tenant counts {total} contacts and sends {seen}, and a second look found no more: its count is not believed"
            );
        } else {
            part.whole = false;
            tracing::warn!(start = ?slice.span.map(|span| span.0), total, seen, "the tenant counts {total} contacts and sends {seen}: the day is listed again at the next look");
        }
    }
    Ok(part)
}

/// One pass through the pages of a slice.
async fn pass(
    client: &Arc<Client>,
    slice: Slice,
    at_once: usize,
    progress: &ListingProgress,
) -> Result<Part, ApiError> {
    let mut pages = Pages::new(client, slice, at_once);
    let (mut gather, mut seen, mut last_poll) = (Gather::default(), 0, None);
    while let Some(page) = pages.next().await? {
        if seen == 0 {
            last_poll = page.last_poll;
            page.facts.total.into_iter().for_each(|total| progress.expect(total));
        }
        seen += page.facts.rows;
        note_progress(progress, slice, page.facts.rows);
        gather.add(page);
        if gather.bytes() > LISTING_BYTES_MAX {
            return Err(too_much());
        }
    }
    let end = pages.end.unwrap_or(End::Whole);
    if end == End::TooMany {
        return Err(contradiction(&format!("more than {PAGES_MAX} pages")));
    }
    let (total, pages) = (pages.paging.total(), pages.paging.pages());
    Ok(Part { gather, seen, total, pages, end, last_poll, whole: false })
}

fn contradiction(what: &str) -> ApiError {
    ApiError::new(ApiErrorKind::BadAnswer, format!("{}: {what}", LISTING.operation))
}

fn too_much() -> ApiError {
    contradiction(&format!("more than {} MiB of contacts at once", LISTING_BYTES_MAX / 1024 / 1024))
}

/// The pages of a slice, in order.
struct Pages {
    client: Arc<Client>,
    slice: Slice,
    at_once: usize,
    paging: Paging,
    /// Legs that came.
    ids: HashSet<ContactId>,
    /// Pages that were asked for together.
    ahead: Option<BoxStream<'static, Result<Page, ApiError>>>,
    /// Why there are no more, once there are none.
    end: Option<End>,
}

impl Pages {
    fn new(client: &Arc<Client>, slice: Slice, at_once: usize) -> Pages {
        let paging = Paging::new(slice.top, at_once > 1);
        Pages { client: Arc::clone(client), slice, at_once, paging, ids: HashSet::new(), ahead: None, end: None }
    }

    /// The next page that is not empty.
    async fn next(&mut self) -> Result<Option<Page>, ApiError> {
        loop {
            if let Some(ahead) = &mut self.ahead {
                match ahead.next().await {
                    Some(page) => {
                        let page = page?;
                        if page.facts.rows == 0 {
                            self.ahead = None;
                        }
                        if self.note(&page, None) {
                            return Ok(Some(page));
                        }
                    }
                    None => self.ahead = None,
                }
                continue;
            }
            let origin = self.client.session().await?.endpoints.api.clone();
            match self.paging.next(|url| address::same_origin(url, &origin)) {
                Next::Done(end) => {
                    self.end = Some(end);
                    return Ok(None);
                }
                Next::Ahead(skips) => {
                    let (client, slice) = (Arc::clone(&self.client), self.slice);
                    let fetches = skips.into_iter().map(move |skip| fetch(client.clone(), slice, Position::Row(skip)));
                    self.ahead = Some(stream::iter(fetches).buffered(self.at_once).boxed());
                }
                Next::One(position) => {
                    if let Position::Row(skip) = position {
                        let version = &self.client.settings.reporting_version;
                        self.paging.asked(page_url(&origin, version, &self.slice, skip));
                    }
                    let page = fetch(self.client.clone(), self.slice, position.clone()).await?;
                    let link = if let Position::Link(url) = &position { Some(url) } else { None };
                    if self.note(&page, link) {
                        return Ok(Some(page));
                    }
                }
            }
        }
    }

    /// Whether the page has rows.
    fn note(&mut self, page: &Page, link: Option<&Url>) -> bool {
        let before = self.ids.len();
        self.ids.extend(page.records.iter().map(|record| record.contact_id));
        let repeats = !page.records.is_empty() && self.ids.len() == before;
        self.paging.note(&page.facts, link, repeats);
        page.facts.rows > 0
    }
}

/// Says of a listing of many pages how far it is.
fn note_progress(progress: &ListingProgress, slice: Slice, rows: u64) {
    let (is_quarter, (rows, total)) = (progress.add(rows), progress.get());
    if is_quarter && total > LARGE_ROWS {
        tracing::info!(start = ?slice.span.map(|span| span.0), rows, total, "listing: {rows} of {total} contacts have arrived");
    }
}

/// One page, with retries.
async fn fetch(client: Arc<Client>, slice: Slice, position: Position) -> Result<Page, ApiError> {
    let version = &client.settings.reporting_version;
    let url_of = |endpoints: &Endpoints| match &position {
        Position::Link(url) => url.clone(),
        Position::Row(skip) => page_url(&endpoints.api, version, &slice, *skip),
    };
    client.retry.run(|| client.http.jitter(), || fetch_once(&client, LISTING, urgency(&slice), url_of)).await
}

/// A refresh is made behind an answer from the index; nobody waits for it.
fn urgency(slice: &Slice) -> Priority {
    if slice.updated_since.is_some() { Priority::Warm } else { Priority::Open }
}

async fn fetch_once(
    client: &Client,
    call: Call,
    urgency: Priority,
    url_of: impl Fn(&Endpoints) -> Url,
) -> Result<Page, ApiError> {
    let permit = tokio::time::timeout(client.settings.times.page, client.reporting.acquire(urgency)).await;
    let permit = permit.map_err(|_| {
        let message = format!("{}: its rate limit leaves no room", LISTING.operation);
        ApiError::new(ApiErrorKind::RateLimited { retry_after: None }, message)
    })?;
    let _held = client.listings.held.acquire().await;
    let under_way = permit.spend();
    let answer = client.get(call, url_of).await.and_then(|(answer, _session)| answer.ok());
    conclude(under_way, &answer);
    let answer = answer?;
    if answer.is_empty() {
        return Ok(Page::default());
    }
    read(answer).await
}

/// Reads a page, on a thread where it holds nobody up.
async fn read(mut answer: Answer) -> Result<Page, ApiError> {
    let (body, url) = (std::mem::take(&mut answer.body), answer.url.clone());
    let read = tokio::task::spawn_blocking(move || {
        let page = page::read(&body, &url);
        (page, body)
    });
    let (page, body) = read.await.map_err(|_| answer.bad("reading the answer was interrupted"))?;
    match page {
        Ok(page) => Ok(page),
        Err(BadPage::TooManyRows) => Err(answer.bad("the answer holds too many rows").too_large()),
        Err(BadPage::NoList) => Err(answer.bad("the answer holds no list of contacts")),
        Err(BadPage::NotJson) => {
            if body.len() <= DESCRIBED_BYTES_MAX {
                answer.body = body;
                answer.json()?;
            }
            Err(answer.bad("the answer is no JSON, or is cut off"))
        }
    }
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
fn page_url(api: &Url, version: &str, slice: &Slice, skip: u64) -> Url {
    let mut url = address::join(api, &format!("incontactapi/services/{version}/contacts/completed"));
    let mut query = url.query_pairs_mut();
    if let Some((start, end)) = slice.span {
        query.append_pair("startDate", &instant::format(start));
        query.append_pair("endDate", &instant::format(instant::last_before(end)));
    }
    if let Some(since) = slice.updated_since {
        query.append_pair("updatedSince", &instant::format(since));
    }
    query.append_pair("top", &slice.top.to_string());
    query.append_pair("skip", &skip.to_string());
    drop(query);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_in_utc_with_a_literal_z_and_an_inclusive_end() {
        let span = ["2026-11-02T05:00:00Z", "2026-11-03T05:00:00Z"].map(|at| at.parse().unwrap());
        let slice = Slice {
            span: Some(span.into()),
            updated_since: Some("2026-11-02T09:00:00.25Z".parse().unwrap()),
            top: 1000,
            slow: 0,
        };
        let base = Url::parse("https://api.example/base").unwrap();
        let url = page_url(&base, "v30.0", &slice, 2000);
        assert_eq!(url.path(), "/base/incontactapi/services/v30.0/contacts/completed");
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let expected = [
            ("startDate", "2026-11-02T05:00:00.000Z"),
            ("endDate", "2026-11-03T04:59:59.999Z"),
            ("updatedSince", "2026-11-02T09:00:00.250Z"),
            ("top", "1000"),
            ("skip", "2000"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(query, expected);
        let sweep: Vec<(String, String)> =
            page_url(&base, "v30.0", &Slice { span: None, ..slice }, 2000).query_pairs().into_owned().collect();
        assert_eq!(sweep, expected[2..]);
    }
}
