//! What the tenant sends, read as the client reads it: entry points for fuzzing. Compiled for tests and fuzzers only.
//!
//! Each takes any bytes, panics where a promise is broken, and makes no request.

use serde_json::Value;
use url::Url;

use crate::cxone::address;
use crate::cxone::instant;
use crate::cxone::model::{ContactsAnswer, PlaybackAnswer};
use crate::cxone::playback::interaction;
use crate::cxone::playback::link;
use crate::cxone::reporting::gather::Gather;
use crate::cxone::reporting::page;
use crate::cxone::reporting::paging::{Next, PAGE_ROWS, PAGES_MAX, Paging, Position};
use crate::cxone::text;

/// One page of a listing, and what it says of the others; `None` where it is refused.
pub fn reporting_page(bytes: &[u8]) -> Option<ContactsAnswer> {
    let origin = Url::parse("https://api.example").ok()?;
    let page = page::read(bytes, &origin).ok()?;
    let mut paging = Paging::new(PAGE_ROWS, true);
    paging.note(&page.facts, None, false);
    match paging.next(|url| address::same_origin(url, &origin)) {
        Next::Ahead(skips) => assert!((skips.len() as u64) < PAGES_MAX, "a listing that does not end"),
        Next::One(Position::Link(link)) => {
            assert_eq!(link.origin(), origin.origin(), "a link that leads away is followed");
        }
        Next::One(Position::Row(_)) | Next::Done(_) => {}
    }
    let count = page.records.len();
    let last_poll = page.last_poll;
    let mut gather = Gather::default();
    gather.add(page);
    let answer = gather.finish(true, last_poll);
    assert!(answer.contacts.len() <= count, "more legs than rows");
    for leg in &answer.contacts {
        assert!(leg.duration_s.is_finite() && leg.duration_s >= 0.0, "a leg of no length");
    }
    Some(answer)
}

/// A Media Playback document; `None` where it is refused.
pub fn playback_document(bytes: &[u8], plain_loopback: bool) -> Option<PlaybackAnswer> {
    let body: Value = serde_json::from_slice(bytes).ok()?;
    match interaction::read(body, plain_loopback) {
        Ok(playback) => {
            assert_scrubbed(&playback.metadata);
            for media in playback.items.iter().filter_map(|item| item.media.as_ref()) {
                assert_link_is_private(media.url.expose(), plain_loopback);
            }
            Some(PlaybackAnswer::Found(playback))
        }
        Err(error) => {
            assert!(error.to_string().len() < 4096, "an error as long as what it is about");
            None
        }
    }
}

/// Addresses and links in any text, and the words of a server that may be repeated.
pub fn addresses(said: &str) {
    for plain_loopback in [false, true] {
        if let Ok(media) = link::read(said, plain_loopback) {
            assert_link_is_private(media.url.expose(), plain_loopback);
            let shown = format!("{media:?}");
            let url = Url::parse(media.url.expose()).ok();
            let query = url.as_ref().and_then(Url::query).filter(|query| query.len() > 24);
            assert!(query.is_none_or(|query| !shown.contains(query)), "a link's query is shown");
        }
    }
    if let Some(url) = address::parse_named(said) {
        assert!(address::is_private(&url) && url.query().is_none(), "an endpoint that must not be asked");
        let joined = address::join(&url, "media-playback/v1/contacts");
        assert!(address::same_origin(&joined, &url), "a path that leads to another host");
    }
    if let Some(url) = address::https_host(said) {
        assert_eq!(url.host_str().map(str::len), Some(said.len()), "a host that is more than a host");
    }
    assert!(text::safe(said).len() <= said.len() + 64, "words that grow");
    let _ = text::explanation(said.as_bytes());
    let _ = instant::parse(said);
}

fn assert_link_is_private(url: &str, plain_loopback: bool) {
    let url = Url::parse(url).ok();
    let fits = |url: &Url| address::is_private(url) && (url.scheme() == "https" || plain_loopback);
    assert!(url.as_ref().is_some_and(fits), "a link that must not be fetched");
}

/// No text of a stored document, not even a field's name, may be or hold a signed link.
fn assert_scrubbed(value: &Value) {
    let secret = |text: &str| {
        let url = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        crate::cxone::playback::signed::holds_signature(text) || url.is_some_and(|url| url.query().is_some())
    };
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                assert!(!secret(key), "a signed link as a field's name");
                assert_scrubbed(value);
            }
        }
        Value::Array(array) => array.iter().for_each(assert_scrubbed),
        Value::String(text) => assert!(!secret(text), "a signed link in a stored document"),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
