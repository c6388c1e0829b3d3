//! Answers as gateways, proxies and storages between a client and its tenant make them: packed, in other encodings, broken off, with pages to sign
//! in on, links in a circle. What can be read is read; what cannot is an error, and neither is paid for twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::{Case, CaseDrive, Kind, Seen, eventually, object};

type Answer = Response<Bytes>;
/// What becomes of an answer, by the request and a number.
type Way = fn(&Seen, usize, Answer) -> Response<Body>;

fn plain(answer: Answer) -> Response<Body> {
    answer.map(Body::from)
}

fn set(answer: &mut Answer, name: header::HeaderName, value: &str) {
    answer.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
}

/// Other bytes, and the length that they have.
fn with_body(mut answer: Answer, body: Vec<u8>) -> Response<Body> {
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer.map(|_| Body::from(body))
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// The first half, and then the connection breaks; without a length, so that only the missing last chunk tells.
fn cut_in_chunks(mut answer: Answer) -> Response<Body> {
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer.map(|bytes| {
        let half = bytes.slice(..bytes.len() / 2);
        Body::from_stream(futures_util::stream::iter([Ok(half), Err(std::io::Error::other("cut"))]))
    })
}

fn sign_in() -> Response<Body> {
    let mut page = Response::new(Body::from("<!doctype html><html><body>Please sign in</body></html>"));
    page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    page
}

fn replaced(answer: Answer, from: &str, to: &str) -> Response<Body> {
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(text.contains(from), "no {from} in {text}");
    let text = text.replacen(from, to, 1);
    with_body(answer, text.into_bytes())
}

/// Every way in which a document of JSON was seen to arrive.
fn dressed(way: usize, mut answer: Answer) -> Response<Body> {
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let body = match way {
        0 => {
            set(&mut answer, header::CONTENT_ENCODING, "gzip");
            packed(text.as_bytes())
        }
        1 => packed(text.as_bytes()),
        2 => [b"\xff\xfe".to_vec(), wide(u16::to_le_bytes)].concat(),
        3 => [b"\xfe\xff".to_vec(), wide(u16::to_be_bytes)].concat(),
        4 => [b"\xef\xbb\xbf\r\n".to_vec(), text.into_bytes()].concat(),
        5 => text.replace("}]", "},]").replace("]}", "],}").into_bytes(),
        6 => text.replacen('{', "{\"odd\": NaN, \"text\": \"a\u{1}\tb\", ", 1).into_bytes(),
        _ => {
            set(&mut answer, header::CONTENT_TYPE, "text/plain");
            text.into_bytes()
        }
    };
    with_body(answer, body)
}
const WAYS: usize = 8;

/// Forty good interactions.
fn good() -> Case {
    let mut case = Case::named("E500-one");
    case.playback.remove("701000000005");
    case
}

#[test]
fn a_listing_is_read_however_it_is_dressed() {
    for way in 0..WAYS {
        let drive = CaseDrive::bent(good(), &[], move |seen, _, answer| {
            if seen.kind == Kind::Completed && answer.status() == 200 { dressed(way, answer) } else { plain(answer) }
        });
        assert_eq!(drive.interactions().len(), 40, "way {way}");
    }
}

#[test]
fn a_billed_answer_is_read_however_it_is_dressed() {
    let drive = CaseDrive::of(good(), &[]);
    drive.tenant.bend(|seen, _, answer| match &seen.master {
        Some(master) => dressed(master.parse::<usize>().unwrap() - 701_000_000_001, answer),
        None => plain(answer),
    });
    for master in (701_000_000_001..).take(WAYS) {
        let path = drive.folder(master).join("recording.mp4");
        let read = fs::read(&path).unwrap_or_else(|error| panic!("{master}: {error}\n{}", drive.mount.stderr()));
        assert!(read == drive.tenant.bytes(&format!("{master}.mp4"), 0), "{master}");
        assert_eq!(drive.tenant.calls_for(master), 1);
    }
}

/// The signatures of S3, Cloud Front, Azure and Google: whoever has one of these links has the recording.
#[test]
fn no_storages_signed_link_is_in_a_document() {
    const LINKS: [&str; 5] = [
        "b.s3.example/x.mp4?X-Amz-Expires=9&X-Amz-Signature=topsecret",
        "b.s3.example/x.mp4?AWSAccessKeyId=AKIA&Signature=topsecret&Expires=9",
        "d1.cloudfront.example/x.mp4?Expires=9&Signature=topsecret&Key-Pair-Id=K",
        "a.blob.example/c/x.mp4?se=2026-11-02T09%3A00%3A00Z&sp=r&sig=topsecret",
        "storage.example/b/x.mp4?X-Goog-Date=9&X-Goog-Signature=topsecret",
    ];
    let drive = CaseDrive::of(good(), &[]);
    drive.tenant.bend(|seen, _, answer| {
        if seen.master.is_none() {
            return plain(answer);
        }
        let mut document: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        for (index, link) in LINKS.iter().enumerate() {
            document[format!("said{index}")] = format!("listen (https://{link}), please").into();
            document[format!("link{index}")] = format!("https://{link}").into();
            document[format!("bare{index}")] = format!("at {link}").into();
        }
        with_body(answer, document.to_string().into_bytes())
    });
    let document = fs::read_to_string(drive.folder(701_000_000_001).join("metadata.json")).unwrap();
    assert!(document.contains("listen (") && !document.contains("topsecret"), "{document}");
}

#[test]
fn nothing_is_lost_between_pages() {
    let paged = || {
        let mut case = good();
        case.list.page_max = Some(10);
        case
    };
    let ways: [(&str, Way); 8] = [
        ("a page to sign in on", |_, later, answer| if is_odd(later) { sign_in() } else { plain(answer) }),
        ("cut", |_, later, answer| if is_odd(later) { cut_in_chunks(answer) } else { plain(answer) }),
        ("a token that ended", |_, later, mut answer| {
            if later == 1 {
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
            }
            plain(answer)
        }),
        ("a link to itself", |seen, _, answer| {
            bent_link(answer, &format!("\"next\":\"{}?{}\"", seen.path, seen.query))
        }),
        ("a link to the beginning", |seen, _, answer| {
            bent_link(answer, &format!("\"next\":\"{}?skip=0&top=10\"", seen.path))
        }),
        ("a link to elsewhere", |_, _, answer| bent_link(answer, "\"next\":\"https://elsewhere.example/?skip=10\"")),
        ("a negative total", |_, _, answer| {
            if answer.status() == 200 {
                replaced(answer, "\"totalRecords\":40", "\"totalRecords\":-5")
            } else {
                plain(answer)
            }
        }),
        ("the list twice, and nothing the second time", |_, _, answer| {
            if answer.status() == 200 {
                let mut text = String::from_utf8(answer.body().to_vec()).unwrap();
                text.pop();
                text.push_str(",\"completedContacts\":null}");
                with_body(answer, text.into_bytes())
            } else {
                plain(answer)
            }
        }),
    ];
    for (what, way) in ways {
        let later = AtomicUsize::new(0);
        let drive = CaseDrive::bent(paged(), &[], move |seen, _, answer| {
            if seen.kind != Kind::Completed {
                return plain(answer);
            }
            let later = if is_later(seen) { later.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
            way(seen, later, answer)
        });
        let day = drive.at("2026-11-02");
        eventually(what, Duration::from_mins(1), || lists(&day));
        assert_eq!(drive.interactions().len(), 40, "{what}");
        let requests = drive.tenant.count(Kind::Completed);
        assert!(requests < 150, "{what}: {requests} requests");
    }
}

/// Whether a folder lists to its end: opening it asks nothing.
fn lists(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(|entry| entry.is_ok()))
}

/// Whether it asks for another page than the first.
fn is_later(seen: &Seen) -> bool {
    let query = seen.query.to_ascii_lowercase();
    query.contains("skip=") && !query.contains("skip=0")
}

/// The first few later pages: of whatever listings begin together.
fn is_odd(later: usize) -> bool {
    (1..=3).contains(&later)
}

fn bent_link(answer: Answer, next: &str) -> Response<Body> {
    if answer.status() != 200 {
        return plain(answer);
    }
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    let from = text.find("\"next\":").unwrap();
    let until = from + text[from..].find(",\"previous\"").unwrap();
    let text = format!("{}{next}{}", &text[..from], &text[until..]);
    with_body(answer, text.into_bytes())
}

/// A sign-in page in place of the second page, for ever: the day is an error and not half a day.
#[test]
fn half_a_day_is_no_day() {
    let mut case = good();
    case.list.page_max = Some(10);
    let drive = CaseDrive::bent(case, &["--set", "limits.deadline=3s"], |seen, _, answer| {
        if seen.kind == Kind::Completed && is_later(seen) { sign_in() } else { plain(answer) }
    });
    let day = drive.at("2026-11-02");
    if lists(&day) {
        assert_eq!(drive.interactions().len(), 40);
    }
    drive.tenant.bend(|_, _, answer| plain(answer));
    eventually("the whole day lists", Duration::from_mins(1), || lists(&day));
    assert_eq!(drive.interactions().len(), 40);
}

/// How an odd storage behaves, and whether the recording can be had from it. What only an impostor would do is not tried to be understood.
type Storage = (&'static str, bool, Way);

fn storages() -> Vec<Storage> {
    vec![
        ("weak ETags", true, |_, _, mut answer| {
            let tag = answer.headers()[header::ETAG].to_str().unwrap().to_owned();
            set(&mut answer, header::ETAG, &format!("W/{tag}"));
            plain(answer)
        }),
        ("weak and strong ETags in turn", true, |_, number, mut answer| {
            let tag = answer.headers()[header::ETAG].to_str().unwrap().to_owned();
            if number % 2 == 1 {
                set(&mut answer, header::ETAG, &format!("W/{tag}"));
            }
            plain(answer)
        }),
        ("an ETag of the node that answers", false, |_, number, mut answer| {
            set(&mut answer, header::ETAG, &format!("\"node-{number}\""));
            set(&mut answer, header::LAST_MODIFIED, "Mon, 02 Nov 2026 08:09:00 GMT");
            plain(answer)
        }),
        ("no part, but all of it", true, |_, _, answer| whole(answer, true, true)),
        // Nothing tells the size before all of it has come.
        ("all of it in chunks", false, |_, _, answer| whole(answer, false, true)),
        ("all of it in chunks and no version", false, |_, _, answer| whole(answer, false, false)),
        ("a part of an unknown whole", false, |_, _, mut answer| {
            let range = answer.headers()[header::CONTENT_RANGE].to_str().unwrap().to_owned();
            set(&mut answer, header::CONTENT_RANGE, &format!("{}/*", range.split('/').next().unwrap()));
            plain(answer)
        }),
        ("parts in many parts", false, |_, _, mut answer| {
            let range = answer.headers()[header::CONTENT_RANGE].to_str().unwrap().to_owned();
            answer.headers_mut().remove(header::CONTENT_RANGE);
            set(&mut answer, header::CONTENT_TYPE, "multipart/byteranges; boundary=THIS");
            let mut body = format!("--THIS\r\nContent-Type: video/mp4\r\nContent-Range: {range}\r\n\r\n").into_bytes();
            body.extend_from_slice(answer.body());
            body.extend_from_slice(b"\r\n--THIS--\r\n");
            with_body(answer, body)
        }),
        ("packed", false, |_, _, mut answer| {
            set(&mut answer, header::CONTENT_ENCODING, "gzip");
            let body = packed(answer.body());
            with_body(answer, body)
        }),
        ("nothing at all", false, |_, _, mut answer| {
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            set(&mut answer, header::CONTENT_RANGE, "bytes */0");
            with_body(answer, Vec::new())
        }),
        ("elsewhere: a file", false, |_, _, answer| elsewhere(answer, "file:///etc/passwd")),
        ("elsewhere: a machine's own data", false, |_, _, answer| elsewhere(answer, "http://169.254.169.254/latest")),
        ("elsewhere: itself", false, |seen, _, answer| elsewhere(answer, &format!("{}?{}", seen.path, seen.query))),
        ("a clock that is a day ahead", true, |_, _, mut answer| {
            set(&mut answer, header::DATE, "Fri, 01 Jan 2100 00:00:00 GMT");
            plain(answer)
        }),
        ("a clock that has stopped", true, |_, _, mut answer| {
            set(&mut answer, header::DATE, "Thu, 01 Jan 1970 00:00:00 GMT");
            plain(answer)
        }),
        ("cut once", true, |_, number, answer| if number == 0 { cut_in_chunks(answer) } else { plain(answer) }),
        ("a page to sign in on", false, |_, _, _| sign_in()),
        ("a longer part than asked", false, |_, _, answer| {
            let body = [answer.body().to_vec(), vec![7; 1000]].concat();
            with_body(answer, body)
        }),
        ("another part than asked", false, |_, _, mut answer| {
            let length = answer.body().len();
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes 1-{length}/300000"));
            plain(answer)
        }),
    ]
}

fn elsewhere(mut answer: Answer, place: &str) -> Response<Body> {
    *answer.status_mut() = StatusCode::FOUND;
    set(&mut answer, header::LOCATION, place);
    with_body(answer, Vec::new())
}

/// The whole object under 200, as hosts send it that know no ranges.
fn whole(mut answer: Answer, has_length: bool, has_version: bool) -> Response<Body> {
    *answer.status_mut() = StatusCode::OK;
    let name = answer.headers().get("x-object").unwrap().to_str().unwrap().to_owned();
    answer.headers_mut().remove(header::CONTENT_RANGE);
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    if !has_version {
        answer.headers_mut().remove(header::ETAG);
    }
    let body = object(&name);
    if has_length {
        return answer.map(|_| Body::from(body));
    }
    let pieces: Vec<_> =
        body.chunks(10_000).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    answer.map(|_| Body::from_stream(futures_util::stream::iter(pieces)))
}

#[test]
fn odd_storages_give_the_recording_or_an_error() {
    let drive = CaseDrive::of(good(), &["--set", "limits.deadline=3s", "--set", "cache.whole_file_below=64KiB"]);
    let storages = storages();
    let first = 701_000_000_001_u64;
    let count = storages.len();
    let bends: Vec<_> = storages.iter().map(|storage| storage.2).collect();
    let numbers: Mutex<BTreeMap<usize, usize>> = Mutex::default();
    drive.tenant.bend(move |seen, _, mut answer| {
        let Some(master) = seen.path.rsplit('/').next().and_then(|name| name.strip_suffix(".mp4")) else {
            return plain(answer);
        };
        let which = (master.parse::<u64>().unwrap() - first) as usize;
        if which >= count || answer.status() != 206 {
            return plain(answer);
        }
        set(&mut answer, header::HeaderName::from_static("x-object"), &format!("{master}.mp4"));
        let number = *numbers.lock().unwrap().entry(which).and_modify(|number| *number += 1).or_insert(0);
        (bends[which])(seen, number, answer)
    });
    let mut wrong = Vec::new();
    for (master, (what, readable, _)) in (first..).zip(&storages) {
        let path = drive.folder(master).join("recording.mp4");
        let before = drive.tenant.count(Kind::Media);
        let read: Vec<_> = (0..3).map(|_| fs::read(&path)).collect();
        let requests = drive.tenant.count(Kind::Media) - before;
        let truth = drive.tenant.bytes(&format!("{master}.mp4"), 0);
        let is_right =
            read.iter().all(|read| read.as_ref().is_ok_and(|bytes| *bytes == truth) || (read.is_err() && !readable));
        let calls = drive.tenant.calls_for(master);
        if !is_right || calls != 1 || requests > 40 {
            let said: Vec<_> = read.iter().map(|read| read.as_ref().map(Vec::len)).collect();
            wrong.push(format!("{what}: {said:?}, {requests} requests, {calls} calls"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), drive.mount.stderr());
}
