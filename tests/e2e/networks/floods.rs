//! Answers that are made to fill the memory, from every server that is asked: lists of lists, objects without end, a depth of millions, one
//! long text, bodies and heads without end, compressed ones. What the daemon takes for them is bounded, and it lives.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Mount, Sandbox, is_full, listen, read_head, tool};

/// Bytes of resident memory, at most: a debug build with nothing to do takes 60 MiB; eight pages of 8 MiB and what is read of them.
const RESIDENT_BYTES_MAX: u64 = 320 << 20;
/// Larger than any answer may be.
const FLOOD_BYTES: usize = 20 << 20;
/// As large as an answer may just be.
const FULL_BYTES: usize = (8 << 20) - 200;
const SECRET: &str = "flood-secret-of-the-access-key";

/// What a hostile answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// `[[],[],…]`
    Lists,
    /// `[{"":0},…]`
    Objects,
    /// `[[[…`
    Deep,
    /// One text.
    Text,
    /// A text that goes on until the connection ends.
    Endless,
    /// A header that does.
    Head,
    /// A small body that would be large.
    Squeezed,
}

const ALL: [Flood; 7] =
    [Flood::Lists, Flood::Objects, Flood::Deep, Flood::Text, Flood::Endless, Flood::Head, Flood::Squeezed];

/// Who answers with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nobody,
    Login,
    Discovery,
    OpenId,
    Listing,
    Playback,
    Media,
}

struct Hostile {
    address: SocketAddr,
    now: Arc<Mutex<(Place, Flood)>>,
}

impl Hostile {
    fn start() -> Hostile {
        let now = Arc::new(Mutex::new((Place::Nobody, Flood::Text)));
        let shared = Arc::clone(&now);
        let base = Arc::new(Mutex::new(String::new()));
        let own = Arc::clone(&base);
        let address = listen(move |mut stream| {
            let Ok((head, _)) = read_head(&mut stream) else { return };
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (hostile, flood) = *shared.lock().unwrap();
            let base = own.lock().unwrap().clone();
            let _ = if place_of(&path) == hostile {
                send_flood(&mut stream, flood, hostile)
            } else {
                send_plain(&mut stream, &path, &base)
            };
        });
        *base.lock().unwrap() = format!("http://{address}");
        Hostile { address, now }
    }

    fn turn(&self, place: Place, flood: Flood) {
        *self.now.lock().unwrap() = (place, flood);
    }

    /// A configuration; without `client`, the endpoints are discovered.
    fn sandbox(&self, with_client: bool) -> Sandbox {
        let sandbox = Sandbox::searched(|| vec![SECRET.to_owned()]);
        sandbox.write_secret(SECRET);
        let path = |path: std::path::PathBuf| json!(path).to_string();
        let client = format!("client_id = \"client\"\nclient_secret_file = {}\n", path(sandbox.secret()));
        let text = format!(
            "[tenant]\nissuer = \"http://{}\"\naccess_key_id = \"KEY\"\naccess_key_secret_file = {}\n{}\n[tree]\nsince = \"2026-10-28\"\n\
             timezone = \"UTC\"\n\n[limits]\ndeadline = \"1s\"\n\n[cache]\ndir = {}\n\n[state]\ndir = {}\n",
            self.address,
            path(sandbox.secret()),
            if with_client { client } else { String::new() },
            path(sandbox.cache()),
            path(sandbox.state()),
        );
        std::fs::write(sandbox.config(), text).unwrap();
        sandbox
    }
}

fn place_of(path: &str) -> Place {
    match path {
        path if path.contains("token") => Place::Login,
        path if path.contains("openid") => Place::OpenId,
        path if path.contains("well-known") => Place::Discovery,
        path if path.contains("contacts/completed") => Place::Listing,
        path if path.contains("media-playback") => Place::Playback,
        _ => Place::Media,
    }
}

fn send_flood(stream: &mut TcpStream, flood: Flood, place: Place) -> std::io::Result<()> {
    let head =
        |more: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n{more}\r\n");
    let (before, after) = match place {
        Place::Listing => ("{\"completedContacts\":", "}"),
        Place::Playback => ("{\"interactions\":", "}"),
        _ => ("{\"access_token\":\"x\",\"a\":", "}"),
    };
    let repeated = |part: &str, bytes: usize| format!("{before}[{}0]{after}", part.repeat(bytes / part.len()));
    let whole = match flood {
        // Just below what is read at all, so that it is parsed.
        Flood::Lists => repeated("[],", FULL_BYTES),
        Flood::Objects => repeated("{\"\":0},", FULL_BYTES),
        Flood::Deep => format!("{before}{}", "[".repeat(FULL_BYTES)),
        Flood::Text => format!("{before}\"{}\"{after}", "x".repeat(FULL_BYTES)),
        Flood::Endless => {
            stream.write_all(head("").as_bytes())?;
            stream.write_all(format!("{before}\"").as_bytes())?;
            let piece = vec![b'x'; 1 << 16];
            for _ in 0..FLOOD_BYTES / piece.len() {
                stream.write_all(&piece)?;
            }
            return Ok(());
        }
        Flood::Head => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-flood: ")?;
            let piece = vec![b'x'; 1 << 16];
            for _ in 0..FLOOD_BYTES / piece.len() {
                stream.write_all(&piece)?;
            }
            return Ok(());
        }
        Flood::Squeezed => {
            // The header of a gzip stream; whoever believed it would have to be offered to first.
            stream.write_all(head("content-encoding: gzip\r\ncontent-length: 10\r\n").as_bytes())?;
            return stream.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        }
    };
    stream.write_all(head(&format!("content-length: {}\r\n", whole.len())).as_bytes())?;
    stream.write_all(whole.as_bytes())
}

fn send_plain(stream: &mut TcpStream, path: &str, base: &str) -> std::io::Result<()> {
    let value = |name: &str| {
        let query = path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let body = match place_of(path) {
        Place::Login => json!({"access_token": "flood-token", "expires_in": 3600}),
        Place::OpenId => json!({"token_endpoint": format!("{base}/auth/token")}),
        Place::Discovery => json!({"api_endpoint": base, "auth_endpoint": base, "area": "na1", "domain": "x.example"}),
        Place::Listing if value("startDate").is_some_and(|day| day.starts_with("2026-11-02")) => {
            let rows = (0..16).map(|number| json!({
                "contactId": 701_000_000_000_u64 + number, "masterContactId": 701_000_000_000_u64 + number,
                "contactStartDate": "2026-11-02T08:00:00.000Z", "totalDurationSeconds": 60.0, "agentId": 8_812_000,
                "firstName": "Rosa", "lastName": "Keller", "mediaTypeId": 4, "mediaTypeName": "Call", "isLogged": true,
            }));
            json!({"completedContacts": rows.collect::<Vec<_>>(), "totalRecords": 16})
        }
        Place::Listing => json!({"completedContacts": [], "totalRecords": 0}),
        Place::Playback => json!({"interactions": [{"data": {"fileToPlayUrl": format!("{base}/x.mp4")}}]}),
        _ => json!({}),
    };
    let body = body.to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

/// The most that any child of this test took, once it has ended.
fn most_resident() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for one rusage, and all-zero bytes are one.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    usage.ru_maxrss as u64 * 1024
}

#[track_caller]
fn assert_bounded(what: &str) {
    let most = most_resident();
    println!("{what}: at most {} MiB so far", most >> 20);
    assert!(most < RESIDENT_BYTES_MAX, "{what}: {} MiB", most >> 20);
}

/// Nothing to mount with: it ends, and says why.
#[test]
fn logins_and_discoveries() {
    let hostile = Hostile::start();
    for (place, with_client) in [(Place::Login, false), (Place::Discovery, false), (Place::OpenId, true)] {
        for flood in ALL {
            hostile.turn(place, flood);
            let sandbox = hostile.sandbox(with_client);
            match Mount::attempt(&sandbox, &[]) {
                Err(ended) => assert_eq!(ended.code, Some(1), "{place:?} {flood:?}: {}", ended.said),
                // What is not asked for in an answer is not looked at.
                Ok(mut mount) => mount.terminate(),
            }
            assert_bounded(&format!("{place:?} {flood:?}"));
        }
    }
}

/// Seven days at once, each with pages that are nothing but a flood.
#[test]
fn listings() {
    let hostile = Hostile::start();
    for flood in ALL {
        hostile.turn(Place::Nobody, flood);
        let sandbox = hostile.sandbox(false);
        let mut mount = Mount::start(&sandbox, &[]);
        hostile.turn(Place::Listing, flood);
        let days: Vec<String> =
            (28..=31).map(|day| format!("2026-10-{day}")).chain((1..4).map(|day| format!("2026-11-0{day}"))).collect();
        std::thread::scope(|scope| {
            for day in &days {
                let day = mount.at(day);
                scope.spawn(move || assert_ne!(tool("ls").arg(day).run().code(), 0, "a flood is no day"));
            }
        });
        mount.terminate();
        assert_bounded(&format!("listing {flood:?}"));
    }
}

/// Sixteen interactions opened at once.
#[test]
fn playback_and_media() {
    let hostile = Hostile::start();
    let of_playback = [Flood::Lists, Flood::Objects, Flood::Text, Flood::Endless].map(|flood| (Place::Playback, flood));
    let of_media = [Flood::Text, Flood::Endless, Flood::Head].map(|flood| (Place::Media, flood));
    let all = ALL.map(|flood| [(Place::Playback, flood), (Place::Media, flood)]).concat();
    for (place, flood) in if is_full() { all } else { [&of_playback[..], &of_media].concat() } {
        hostile.turn(Place::Nobody, flood);
        let sandbox = hostile.sandbox(false);
        let mut mount = Mount::start(&sandbox, &[]);
        let day = mount.at("2026-11-02");
        let agent = std::fs::read_dir(&day).unwrap().next().unwrap().unwrap().path();
        let folders: Vec<_> = std::fs::read_dir(agent).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(folders.len(), 16);
        hostile.turn(place, flood);
        std::thread::scope(|scope| {
            for folder in folders {
                let file = folder.join("recording.mp4");
                scope.spawn(move || tool("head").args(["-c", "1"]).arg(file).within(Duration::from_secs(30)).run());
            }
        });
        mount.terminate();
        assert_bounded(&format!("{place:?} {flood:?}"));
    }
}
