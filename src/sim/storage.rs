//! The storage behind media links: Amazon S3 as far as a client of presigned URLs can see it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header;
use jiff::SignedDuration;

use super::answers::{empty, s3_error, with_header};
use super::counters::Counters;
use super::dates::{http_date, read_amz_date};
use super::interaction::{Element, Interaction, Outcome};
use super::mix::{mix, mix_text};
use super::moods::Mood;
use super::range::{Span, Wanted, read_range};
use super::recordings::Recording;
use super::state::{Asked, Tenant};
use super::switches::Fault;
use crate::base::MasterId;

/// Bytes that a connection is handed at a time.
const PIECE: u64 = 256 * 1024;

/// Before the path of an object: leads to a redirect to it.
pub(super) const REDIRECTING: &str = "/go";

/// Any request below [`REDIRECTING`]: the same object, with its query, where the link's host says.
pub(super) fn redirect(tenant: &Tenant, asked: &Asked) -> Response {
    let switches = tenant.switches();
    let origin = switches.media_origin.as_deref().unwrap_or(&tenant.url);
    let path = asked.path.strip_prefix(REDIRECTING).unwrap_or(&asked.path);
    with_header(empty(302), "location", &format!("{origin}{path}?{}", asked.query))
}

/// Where an element's recording lies.
pub(super) fn object_path(interaction: &Interaction, element: &Element) -> String {
    let day = interaction.day.to_string().replace('-', "/");
    format!("/media/simulated-recordings-na1/{day}/{}_{}.mp4", interaction.master, element.number)
}

/// The signature of a link: only who can compute it can make links (it is a hash, not cryptography).
pub(super) fn sign(seed: u64, path: &str, date: &str, life_s: u64, version: u64) -> String {
    let word = mix(&[seed, mix_text(1, path), mix_text(2, date), life_s, version]);
    let part = |n| mix(&[word, n]);
    format!("{:016x}{:016x}{:016x}{:016x}", part(0), part(1), part(2), part(3))
}

/// The version of an object for a signing: 0 as a rule; even: the same bytes under another `ETag`; odd: other bytes.
pub(super) fn version_of_signing(serial: u64, other_bytes: bool) -> u64 {
    serial * 2 + if other_bytes { 1 } else { 2 }
}

/// Any request below `/media/`.
pub(super) fn object(tenant: &Arc<Tenant>, asked: &Asked) -> Response {
    match checked(tenant, asked) {
        Ok(object) => deliver(tenant, asked, &object),
        Err(refusal) => {
            if refusal.status() == 403 {
                Counters::add(&tenant.counters.media_403);
            }
            refusal
        }
    }
}

/// An object that a request may see.
struct Object {
    recording: Recording,
    etag: String,
    last_modified: String,
}

/// Checks a request as S3 would; `Err` is the refusal.
#[expect(clippy::result_large_err, reason = "the refusal is the answer; it is moved once")]
fn checked(tenant: &Tenant, asked: &Asked) -> Result<Object, Response> {
    if asked.headers.contains_key(header::AUTHORIZATION) {
        Counters::add(&tenant.counters.media_with_authorization);
        return Err(s3_error(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter \
             or the Authorization header should be specified",
        ));
    }
    let value = |name: &str| asked.query_value(name).unwrap_or_default();
    let (date, signature) = (value("X-Amz-Date"), value("X-Amz-Signature"));
    let (Some(signed), Ok(life_s)) = (read_amz_date(&date), value("X-Amz-Expires").parse::<u64>()) else {
        return Err(s3_error(403, "AccessDenied", "Access Denied"));
    };
    let version = value("versionId").parse().unwrap_or(0);
    let expected = sign(tenant.settings().seed, &asked.path, &date, life_s, version);
    // The method is signed too, so a link for GET is no link for HEAD.
    if signature != expected || asked.method != http::Method::GET {
        return Err(s3_error(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        ));
    }
    let life = SignedDuration::from_secs(i64::try_from(life_s).unwrap_or(i64::MAX));
    if signed.saturating_add(life).is_ok_and(|end| tenant.now() > end) {
        return Err(s3_error(403, "AccessDenied", "Request has expired"));
    }
    if is_archived(tenant, &asked.path) {
        return Err(s3_error(403, "InvalidObjectState", "The operation is not valid for the object's storage class"));
    }
    let version = if let Some(Fault::Changed { version }) = asked.fault { version * 2 + 1 } else { version };
    find(tenant, &asked.path, version).ok_or_else(|| s3_error(404, "NoSuchKey", "The specified key does not exist."))
}

/// Master contact and number of the recording at a path.
fn named(path: &str) -> Option<(MasterId, u8)> {
    let (master, number) = path.rsplit('/').next()?.strip_suffix(".mp4")?.split_once('_')?;
    Some((master.parse().ok()?, number.parse().ok()?))
}

fn is_archived(tenant: &Tenant, path: &str) -> bool {
    let interaction = named(path).and_then(|(master, _)| tenant.world.find(master));
    interaction.is_some_and(|interaction| interaction.mood == Mood::Archived)
}

fn find(tenant: &Tenant, path: &str, version: u64) -> Option<Object> {
    let (master, number) = named(path)?;
    let interaction = tenant.world.find(master).filter(|interaction| interaction.outcome == Outcome::Known)?;
    let element = interaction.elements.iter().find(|element| element.media && element.number == number)?;
    let content = if version % 2 == 1 { version } else { 0 };
    let recording = tenant.world.recording_of(&interaction, element, content);
    let tag = mix(&[interaction.word, 60, u64::from(number), version]);
    let etag = format!("\"{:016x}{:016x}\"", tag, mix(&[tag]));
    Some(Object { recording, etag, last_modified: http_date(element.start) })
}

/// Answers with the object or the part of it that was asked for.
fn deliver(tenant: &Arc<Tenant>, asked: &Asked, object: &Object) -> Response {
    let total = object.recording.len();
    if asked.header("if-match").is_some_and(|tag| tag != "*" && tag != object.etag) {
        return s3_error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
    }
    let unchanged = asked.header("if-range").is_none_or(|tag| tag == object.etag || tag == object.last_modified);
    let refuses = matches!(asked.fault, Some(Fault::RefuseRange));
    let range = asked.header("range").filter(|_| unchanged && !refuses);
    let (status, span) = match read_range(range, total) {
        Wanted::Whole => (200, Span { start: 0, end: total }),
        Wanted::Part(span) => (206, span),
        Wanted::Nothing => {
            let refusal = s3_error(416, "InvalidRange", "The requested range is not satisfiable");
            return with_header(refusal, "content-range", &format!("bytes */{total}"));
        }
    };
    let mut response = empty(status);
    *response.body_mut() = stream_of(object.recording.clone(), span, Some(tenant.clone()));
    response = with_header(response, "content-type", "video/mp4");
    response = with_header(response, "content-length", &(span.end - span.start).to_string());
    response = with_header(response, "accept-ranges", "bytes");
    response = with_header(response, "last-modified", &object.last_modified);
    if !matches!(asked.fault, Some(Fault::NoEtag)) {
        response = with_header(response, "etag", &object.etag);
    }
    if status == 206 {
        let late = if let Some(Fault::WrongContentRange { by }) = asked.fault { by } else { 0 };
        let more = if let Some(Fault::WrongTotal { by }) = asked.fault { by } else { 0 };
        let (start, last) = (span.start + late, span.end - 1 + late);
        response = with_header(response, "content-range", &format!("bytes {start}-{last}/{}", total + more));
    }
    response
}

/// A body that computes a recording's bytes as they are taken. They are counted where a tenant is given.
pub(super) fn stream_of(recording: Recording, span: Span, count: Option<Arc<Tenant>>) -> Body {
    let pieces = stream::unfold(span.start, move |at| {
        let length = PIECE.min(span.end.saturating_sub(at)) as usize;
        let piece = (length > 0).then(|| {
            let mut piece = BytesMut::zeroed(length);
            recording.read_at(at, &mut piece);
            if let Some(tenant) = &count {
                tenant.counters.media_bytes.fetch_add(length as u64, Relaxed);
            }
            (Ok::<Bytes, Infallible>(piece.freeze()), at + length as u64)
        });
        std::future::ready(piece)
    });
    Body::from_stream(pieces)
}
