//! What an answer to a ranged GET means. Pure: status and headers in, a verdict out. Trusts nothing that it can compare.

use std::ops::Range;
use std::time::Duration;

use http::header::{self, HeaderMap};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};

use super::error::StorageRefusal;
use super::geometry::MAX_RECORDING_BYTES;
use super::index::VALIDATOR_LEN_MAX;
use super::key::hex;

/// What to do with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 206 with these bytes of an object of `total` bytes.
    Partial { bytes: Range<u64>, total: u64 },
    /// 200: the host ignored the range; the body is the whole object.
    Whole { total: Option<u64> },
    /// 416: the range lies outside the object, which has `total` bytes.
    Outside { total: Option<u64> },
    /// The link is refused, for a reason that a fresh signature may cure: 403, or 400/401, with which S3 answers an expired session
    /// token.
    LinkRefused,
    /// The object is refused, whatever link leads to it.
    Refused(StorageRefusal),
    /// 301, 302, 303, 307, 308: the bytes are at this address, which may be relative.
    Elsewhere { location: String },
    /// The object has no bytes. Worth another attempt, because no recording is empty; tells of this one object, not of the host.
    Empty,
    /// Worth another attempt, after `after` if the host said so.
    Transient { why: String, after: Option<Duration> },
    /// The host does what no second attempt will mend.
    Broken { why: String },
}

/// Codes of storage errors (S3, Azure, Google) that a fresh signature may cure.
const CURED_BY_SIGNING: [&str; 10] = [
    "AccessDenied",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationQueryParametersError",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
];

/// Codes that say "later", whatever status they come with.
const LATER: [&str; 6] =
    ["RequestTimeout", "SlowDown", "ServerBusy", "OperationTimedOut", "rateLimitExceeded", "userRateLimitExceeded"];

/// The bytes of an error's body in which its code is looked for.
pub const ERROR_BODY_MAX: usize = 16 * 1024;

/// Judges the answer to a GET of the bytes `asked`; `body` is the beginning of an error's body, as far as it was read. No recording is
/// empty: who says so is asked again, because a size that was once believed is believed for ever.
#[must_use]
pub fn judge(status: u16, headers: &HeaderMap, body: &[u8], asked: &Range<u64>) -> Verdict {
    let verdict = match status {
        400..=599 if status != 416 => refused(status, headers, body),
        _ => interpret(status, headers, asked),
    };
    let total = match verdict {
        Verdict::Partial { total, .. } => Some(total),
        Verdict::Whole { total } | Verdict::Outside { total } => total,
        _ => None,
    };
    match total {
        Some(0) => Verdict::Empty,
        Some(total) if total > MAX_RECORDING_BYTES => broken("the media host tells a size beyond all reason"),
        _ => verdict,
    }
}

fn interpret(status: u16, headers: &HeaderMap, asked: &Range<u64>) -> Verdict {
    match status {
        200 | 206 if !is_identity(headers) => broken("the media host sent an encoded body"),
        200 | 206 if is_page(headers) => {
            Verdict::Transient { why: "the media host sent a page instead of a recording".to_owned(), after: None }
        }
        200 => Verdict::Whole { total: content_length(headers) },
        206 => partial(headers, asked),
        416 => Verdict::Outside { total: text(headers, &header::CONTENT_RANGE).and_then(unsatisfied_total) },
        301 | 302 | 303 | 307 | 308 => match text(headers, &header::LOCATION) {
            Some(location) if !location.trim().is_empty() => {
                Verdict::Elsewhere { location: location.trim().to_owned() }
            }
            _ => broken("the media host redirects to nowhere"),
        },
        _ => broken(&format!("the media host answered {status}")),
    }
}

/// What an error of the storage means: its code first, its status where that says nothing.
fn refused(status: u16, headers: &HeaderMap, body: &[u8]) -> Verdict {
    let code = storage_code(headers, body).unwrap_or_default();
    let is_one_of = |codes: &[&str]| codes.iter().any(|one| one.eq_ignore_ascii_case(&code));
    let refusal = match status {
        _ if is_one_of(&LATER) => return transient(status, headers),
        408 | 425 | 429 | 500.. => return transient(status, headers),
        _ if is_one_of(&["InvalidObjectState", "BlobArchived"]) => StorageRefusal::Archived,
        _ if is_one_of(&["BlobBeingRehydrated"]) => StorageRefusal::Restoring,
        404 | 410 => StorageRefusal::Gone,
        _ if is_one_of(&["NoSuchKey", "NoSuchVersion", "BlobNotFound"]) => StorageRefusal::Gone,
        400 | 401 | 403 if code.is_empty() || is_one_of(&CURED_BY_SIGNING) => return Verdict::LinkRefused,
        401 | 403 => StorageRefusal::Denied,
        _ => StorageRefusal::Other(status),
    };
    Verdict::Refused(refusal)
}

fn transient(status: u16, headers: &HeaderMap) -> Verdict {
    let after = text(headers, &header::RETRY_AFTER).and_then(|value| value.trim().parse().ok());
    Verdict::Transient { why: format!("the media host answered {status}"), after: after.map(Duration::from_secs) }
}

/// The code by which a storage names its error: Azure's header, or `<Code>` in the XML that S3, Azure and Google send.
fn storage_code(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    if let Some(code) = headers.get("x-ms-error-code").and_then(|value| value.to_str().ok()) {
        return Some(code.trim().to_owned());
    }
    let body = String::from_utf8_lossy(body.get(..ERROR_BODY_MAX).unwrap_or(body));
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    Some(code.trim().to_owned())
}

fn broken(why: &str) -> Verdict {
    Verdict::Broken { why: why.to_owned() }
}

fn partial(headers: &HeaderMap, asked: &Range<u64>) -> Verdict {
    let transient = |why: &str| Verdict::Transient { why: why.to_owned(), after: None };
    let Some((bytes, total)) = text(headers, &header::CONTENT_RANGE).and_then(content_range) else {
        return transient("the media host sent a part without a usable content-range");
    };
    if bytes.start != asked.start || bytes.end > asked.end {
        return transient("the media host sent another range than asked");
    }
    // A shorter part than asked is legal (RFC 9110 §15.3.7) where the object ends, and harmless elsewhere: the rest is asked again.
    if content_length(headers).is_some_and(|length| length != bytes.end - bytes.start) {
        return transient("the media host's content-length contradicts its content-range");
    }
    Verdict::Partial { bytes, total }
}

/// `bytes FIRST-LAST/TOTAL`. A part of unknown total is of no use: nothing would tell a changed object.
fn content_range(value: &str) -> Option<(Range<u64>, u64)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    (first <= last && last < total).then(|| (first..last + 1, total))
}

/// `bytes */TOTAL`
fn unsatisfied_total(value: &str) -> Option<u64> {
    number(value.trim().strip_prefix("bytes */")?)
}

fn number(text: &str) -> Option<u64> {
    // `u64::from_str` would take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &header::CONTENT_LENGTH).and_then(|value| number(value.trim()))
}

fn is_identity(headers: &HeaderMap) -> bool {
    text(headers, &header::CONTENT_ENCODING).is_none_or(|value| value.trim().eq_ignore_ascii_case("identity"))
}

/// Something for people or programs to read: a login page, an error in the clothes of a success. No recording is one.
fn is_page(headers: &HeaderMap) -> bool {
    let kind = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        kind.as_str(),
        "text/html" | "application/json" | "application/problem+json" | "application/xml" | "text/xml"
    ) || kind == "application/xhtml+xml"
}

/// `ETag`, else `Last-Modified`, else nothing.
#[must_use]
pub fn validator(headers: &HeaderMap) -> String {
    let value = text(headers, &header::ETAG).or_else(|| text(headers, &header::LAST_MODIFIED)).unwrap_or("").trim();
    if value.len() > VALIDATOR_LEN_MAX { hex(digest(&SHA256, value.as_bytes()).as_ref()) } else { value.to_owned() }
}

/// The host's clock.
#[must_use]
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text(headers, &header::DATE)?).ok()?;
    Some(zoned.timestamp())
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn parts_must_be_what_was_asked() {
        let judge = |range: &str, length: &str| {
            judge(206, &headers(&[("content-range", range), ("content-length", length)]), b"", &(10..20))
        };
        assert_eq!(judge("bytes 10-19/100", "10"), Verdict::Partial { bytes: 10..20, total: 100 });
        assert_eq!(judge("bytes 10-14/15", "5"), Verdict::Partial { bytes: 10..15, total: 15 });
        for (range, length) in [
            ("bytes 0-9/100", "10"),
            ("bytes 10-20/100", "11"),
            ("bytes 10-19/100", "9"),
            ("bytes 10-19/*", "10"),
            ("bytes 10-19/15", "10"),
            ("bytes 19-10/100", "10"),
            ("bytes +10-19/100", "10"),
            ("octets 10-19/100", "10"),
            ("", "10"),
        ] {
            assert!(matches!(judge(range, length), Verdict::Transient { .. }), "{range} {length}");
        }
    }

    #[test]
    fn statuses_sort_into_verdicts() {
        let judge = |status, pairs: &[(&'static str, &str)]| judge(status, &headers(pairs), b"", &(0..10));
        assert_eq!(judge(200, &[("content-length", "7")]), Verdict::Whole { total: Some(7) });
        assert_eq!(judge(416, &[("content-range", "bytes */7")]), Verdict::Outside { total: Some(7) });
        assert_eq!(judge(403, &[]), Verdict::LinkRefused);
        assert_eq!(judge(410, &[]), Verdict::Refused(StorageRefusal::Gone));
        assert_eq!(judge(451, &[]), Verdict::Refused(StorageRefusal::Other(451)));
        for status in [301, 302, 303, 307, 308] {
            let elsewhere = Verdict::Elsewhere { location: "../y.mp4?a=b".into() };
            assert_eq!(judge(status, &[("location", " ../y.mp4?a=b ")]), elsewhere);
            assert!(matches!(judge(status, &[]), Verdict::Broken { .. }));
        }
        for status in [300, 304, 305, 306] {
            assert!(matches!(judge(status, &[("location", "/y")]), Verdict::Broken { .. }), "{status}");
        }
        assert!(matches!(judge(200, &[("content-encoding", "gzip")]), Verdict::Broken { .. }));
        for kind in ["text/html; charset=utf-8", "application/json", "Application/XML"] {
            assert!(matches!(judge(200, &[("content-type", kind)]), Verdict::Transient { .. }), "{kind}");
        }
        assert_eq!(judge(200, &[("content-type", "binary/octet-stream")]), Verdict::Whole { total: None });
        let after = Some(Duration::from_secs(3));
        let slow = judge(503, &[("retry-after", "3")]);
        assert_eq!(slow, Verdict::Transient { why: "the media host answered 503".into(), after });
    }

    #[test]
    fn what_the_storage_says_decides_whether_signing_helps() {
        let said = |status, code: &str| {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
            judge(status, &HeaderMap::new(), body.as_bytes(), &(0..10))
        };
        let azure = |status, code: &str| judge(status, &headers(&[("x-ms-error-code", code)]), b"", &(0..10));
        assert_eq!(said(403, "InvalidObjectState"), Verdict::Refused(StorageRefusal::Archived));
        assert_eq!(azure(409, "BlobArchived"), Verdict::Refused(StorageRefusal::Archived));
        assert_eq!(azure(409, "BlobBeingRehydrated"), Verdict::Refused(StorageRefusal::Restoring));
        assert_eq!(said(404, "NoSuchKey"), Verdict::Refused(StorageRefusal::Gone));
        assert_eq!(said(403, "NoSuchKey"), Verdict::Refused(StorageRefusal::Gone));
        for (status, code) in [(403, "AccessDenied"), (400, "ExpiredToken"), (403, "SignatureDoesNotMatch")] {
            assert_eq!(said(status, code), Verdict::LinkRefused, "{code}");
        }
        assert_eq!(azure(403, "AuthenticationFailed"), Verdict::LinkRefused);
        assert_eq!(said(403, "AllAccessDisabled"), Verdict::Refused(StorageRefusal::Denied));
        assert_eq!(said(400, "InvalidArgument"), Verdict::Refused(StorageRefusal::Other(400)));
        for (status, code) in [(400, "RequestTimeout"), (503, "SlowDown"), (403, "userRateLimitExceeded")] {
            assert!(matches!(said(status, code), Verdict::Transient { .. }), "{code}");
        }
    }

    #[test]
    fn no_recording_is_empty_or_beyond_all_reason() {
        let judge = |status, name, value: &str| judge(status, &headers(&[(name, value)]), b"", &(0..10));
        let most = MAX_RECORDING_BYTES;
        for (status, name, value) in [(200, "content-length", "0"), (416, "content-range", "bytes */0")] {
            assert_eq!(judge(status, name, value), Verdict::Empty, "{status}");
        }
        assert_eq!(judge(200, "content-length", &most.to_string()), Verdict::Whole { total: Some(most) });
        for (status, name, value) in [
            (200, "content-length", (most + 1).to_string()),
            (206, "content-range", format!("bytes 0-9/{}", most + 1)),
            (416, "content-range", format!("bytes */{}", u64::MAX)),
        ] {
            assert!(matches!(judge(status, name, &value), Verdict::Broken { .. }), "{status}");
        }
    }

    #[test]
    fn the_date_and_the_validator_are_read() {
        let sent = headers(&[("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("etag", "\"a\""), ("last-modified", "x")]);
        assert_eq!(date(&sent).map(Timestamp::as_second), Some(784_111_777));
        assert_eq!(validator(&sent), "\"a\"");
        assert_eq!(validator(&headers(&[("last-modified", "x")])), "x");
        assert_eq!(validator(&headers(&[("etag", &"e".repeat(300))])).len(), 64);
        assert_eq!(validator(&HeaderMap::new()), "");
    }

    proptest! {
        #[test]
        fn nothing_panics(status in 100u16..600, range in "[ -~]{0,40}", length in "[ -~]{0,20}", start: u32, len: u32) {
            let asked = u64::from(start)..u64::from(start) + u64::from(len);
            let sent = headers(&[("content-range", &range), ("content-length", &length)]);
            if let Verdict::Partial { bytes, total } = judge(status, &sent, range.as_bytes(), &asked) {
                prop_assert!(bytes.start == asked.start && bytes.end <= asked.end && bytes.end <= total);
            }
        }
    }
}
