//! The tenant as its clients meet it, over loopback.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::base::MasterId;
use crate::base::clock::ManualClock;

mod irregular;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A tenant on the third day after its last contacts, with a client that has logged in.
struct Bench {
    sim: RunningSim,
    clock: Arc<ManualClock>,
    client: Client,
    token: String,
}

impl Bench {
    async fn with(settings: SimSettings) -> Bench {
        // Another test may have been first; one provider is as good as another.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let now: Timestamp = "2026-11-05T12:00:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let sim = Sim::start(settings, ANY, clock.clone()).await.unwrap();
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut bench = Bench { sim, clock, client, token: String::new() };
        bench.token = bench.login().await;
        bench
    }

    async fn plain() -> Bench {
        Bench::with(SimSettings { shares: Shares::plain(), contacts_per_day: 10, ..SimSettings::default() }).await
    }

    async fn login(&self) -> String {
        let known = Credentials::default();
        let body = json!({"accessKeyId": known.access_key_id, "accessKeySecret": known.access_key_secret});
        let url = format!("{}/authentication/v1/token/access-key", self.sim.url());
        let answer: Value = self.client.post(url).json(&body).send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.sim.url());
        self.client.get(url).bearer_auth(&self.token).header("accept", "application/json").send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    async fn playback(&self, master: i64) -> Response {
        self.get(&format!("/media-playback/v1/contacts?acd-call-id={master}&exclude-waveforms=true")).await
    }

    /// A fresh link to the first recording of an interaction that is described plainly.
    async fn link(&self, master: i64) -> String {
        let body: Value = self.playback(master).await.json().await.unwrap();
        body["interactions"][0]["data"]["fileToPlayUrl"].as_str().unwrap().to_owned()
    }

    fn first(&self) -> TruthInteraction {
        self.sim.truth().into_iter().find(|interaction| !interaction.media.is_empty()).unwrap()
    }

    fn bytes(&self, master: i64, number: u8) -> Vec<u8> {
        let recording = self.sim.world().recording(MasterId(master), number).unwrap();
        let mut bytes = vec![0; recording.len() as usize];
        recording.read_at(0, &mut bytes);
        bytes
    }
}

const COMPLETED: &str = "/incontactapi/services/v30.0/contacts/completed";

#[tokio::test]
async fn both_logins_give_tokens_and_wrong_ones_none() {
    let bench = Bench::plain().await;
    let known = Credentials::default();
    let url = format!("{}/auth/token", bench.sim.url());
    let form = [
        ("grant_type", "password"),
        ("username", known.access_key_id.as_str()),
        ("password", known.access_key_secret.as_str()),
    ];
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let basic = |secret: &str| {
        bench.client.post(&url).basic_auth(encode(&known.client_id), Some(encode(secret))).form(&form).send()
    };
    assert_eq!(basic(&known.client_secret).await.unwrap().status(), 200);
    assert_eq!(basic("wrong").await.unwrap().status(), 401);
    let mut posted = form.to_vec();
    posted.extend([("client_id", known.client_id.as_str()), ("client_secret", known.client_secret.as_str())]);
    assert_eq!(bench.client.post(&url).form(&posted).send().await.unwrap().status(), 200);
    posted[2].1 = "wrong";
    let refused = bench.client.post(&url).form(&posted).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"], "invalid_grant");
    assert_eq!(bench.sim.counters().logins, 5);
    assert_eq!(bench.sim.counters().tokens_issued, 3);
}

#[tokio::test]
async fn discovery_names_the_tenant() {
    let bench = Bench::plain().await;
    let openid = bench.json("/.well-known/openid-configuration").await;
    assert_eq!(openid["token_endpoint"], format!("{}/auth/token", bench.sim.url()));
    let found = bench.json("/.well-known/cxone-configuration?tenantId=11eb0000-0000-4000-8000-0242ac110002").await;
    assert_eq!(found["area"], "na1");
    assert_eq!(bench.get("/.well-known/cxone-configuration?tenantId=x").await.status(), 404);
}

#[tokio::test]
async fn tokens_end_with_their_life_and_generation() {
    let bench = Bench::plain().await;
    bench.sim.switch(|switches| {
        switches.token_life_s = 120;
        switches.expires_in_as_string = true;
    });
    let bench = Bench { token: bench.login().await, ..bench };
    assert_eq!(bench.get(COMPLETED).await.status(), 200);
    bench.clock.advance(Duration::from_secs(121));
    let refused = bench.get(COMPLETED).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap(), json!({"message": "Unauthorized"}));
    let bench = Bench { token: bench.login().await, ..bench };
    assert_eq!(bench.get(COMPLETED).await.status(), 200);
    bench.sim.switch(|switches| switches.token_generation += 1);
    assert_eq!(bench.get(COMPLETED).await.status(), 401);
    assert_eq!(bench.sim.counters().unauthorized, 2);
}

#[tokio::test]
async fn pages_together_are_the_whole_and_end_with_204() {
    let bench = Bench::with(SimSettings::default()).await;
    let mut path = format!("{COMPLETED}?startDate=2026-10-01T00:00:00Z&endDate=2026-12-01T00:00:00Z&top=100");
    let mut ids = HashSet::new();
    let total = loop {
        let page = bench.json(&path).await;
        for row in page["completedContacts"].as_array().unwrap() {
            let id = &row["contactId"];
            assert!(ids.insert(id.as_i64().unwrap_or_else(|| id.as_str().unwrap().parse().unwrap())));
        }
        match page["_links"]["next"].as_str() {
            Some(next) => path = next.strip_prefix(bench.sim.url()).unwrap().to_owned(),
            None => break page["totalRecords"].as_u64().unwrap(),
        }
    };
    let legs: HashSet<i64> = bench.sim.truth().iter().flat_map(|i| &i.legs).map(|leg| leg.contact).collect();
    assert_eq!(ids, legs);
    assert_eq!(total, legs.len() as u64);
    let past = bench.get(&format!("{COMPLETED}?skip={total}")).await;
    assert_eq!((past.status(), past.bytes().await.unwrap().len()), (StatusCode::NO_CONTENT, 0));
    let empty = bench.get(&format!("{COMPLETED}?startDate=2025-01-01&endDate=2025-01-02")).await;
    assert_eq!(empty.status(), 204);
}

#[tokio::test]
async fn windows_are_inclusive_and_offsets_ignored() {
    let bench = Bench::plain().await;
    let start = bench.first().legs[0].start.clone();
    let count = async |from: &str, to: &str| {
        let from: String = url::form_urlencoded::byte_serialize(from.as_bytes()).collect();
        let to: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
        let response = bench.get(&format!("{COMPLETED}?startDate={from}&endDate={to}")).await;
        if response.status() == 204 {
            0
        } else {
            response.json::<Value>().await.unwrap()["totalRecords"].as_u64().unwrap()
        }
    };
    assert_eq!(count(&start, &start).await, 1);
    let shifted = start.replace('Z', "+05:00");
    assert_eq!(count(&shifted, &shifted).await, 1);
}

#[tokio::test]
async fn requests_that_acd_cannot_render() {
    let bench = Bench::plain().await;
    let url = format!("{}{COMPLETED}", bench.sim.url());
    let bare = bench.client.get(&url).bearer_auth(&bench.token).header("accept", "text/html").send().await.unwrap();
    assert_eq!(bare.status(), 406);
    let wrong = bench.get(&format!("{COMPLETED}?startDate=tomorrow")).await;
    assert_eq!(wrong.status(), 400);
    assert!(wrong.headers().contains_key("icStatusDescription"));
    assert_eq!(bench.get("/inContactAPI/Services/v21.0/Contacts/Completed?top=1").await.status(), 200);
}

#[tokio::test]
async fn updates_show_once_they_have_happened() {
    let shares = Shares { late_update: 1000, ..Shares::plain() };
    let bench = Bench::with(SimSettings { shares, ..SimSettings::default() }).await;
    bench.sim.switch(|switches| switches.clock_offset_s = -2 * 86_400);
    let late = bench.get(&format!("{COMPLETED}?updatedSince=2026-11-03T12:00:00Z")).await;
    assert_eq!(late.status(), 204);
    bench.sim.switch(|switches| switches.clock_offset_s = 0);
    let again =
        bench.json(&format!("{COMPLETED}?updatedSince=2026-11-03T10:00:00Z&orderBy=lastUpdateTime%20asc")).await;
    let rows = again["completedContacts"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["lastUpdateTime"].as_str() >= Some("2026-11-03T10:00:00.000Z")));
    assert!(rows.windows(2).all(|pair| pair[0]["lastUpdateTime"].as_str() <= pair[1]["lastUpdateTime"].as_str()));
}

#[tokio::test]
async fn what_has_not_ended_is_not_listed() {
    let bench = Bench::plain().await;
    let total = async || bench.json(COMPLETED).await["totalRecords"].as_u64().unwrap();
    let all = total().await;
    bench.sim.switch(|switches| switches.clock_offset_s = -3 * 86_400);
    let by_noon = total().await;
    assert!(by_noon < all && by_noon > all / 2, "{by_noon} of {all}");
}

#[tokio::test]
async fn names_can_be_switched() {
    let bench = Bench::plain().await;
    let row = async || bench.json(&format!("{COMPLETED}?top=1")).await["completedContacts"][0].clone();
    assert!(row().await.get("contactStartDate").is_some());
    bench.sim.switch(|switches| switches.naming = Naming::Old);
    assert!(row().await.get("contactStart").is_some());
}

#[tokio::test]
async fn playback_is_throttled_in_a_sliding_window() {
    let bench = Bench::plain().await;
    bench.sim.switch(|switches| switches.playback_requests = 3);
    let master = bench.first().master;
    for _ in 0..3 {
        assert_eq!(bench.playback(master).await.status(), 200);
    }
    let refused = bench.playback(master).await;
    assert_eq!(refused.status(), 429);
    assert!(!refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.unwrap();
    assert!(body["message"].is_string() && body["route"].is_string());
    bench.sim.switch(|switches| switches.retry_after_s = Some(7));
    assert_eq!(bench.playback(master).await.headers()["retry-after"], "7");
    bench.clock.advance(Duration::from_secs(301));
    assert_eq!(bench.playback(master).await.status(), 200);
    let counters = bench.sim.counters();
    assert_eq!((counters.playback_calls, counters.playback_billed, counters.playback_429), (6, 4, 2));
    assert_eq!(counters.playback_peak_window, 5);
}

#[tokio::test]
async fn playback_says_what_is_true() {
    let settings = SimSettings { playback_requests: 10_000, ..SimSettings::default() };
    let bench = Bench::with(settings).await;
    for interaction in bench.sim.truth().into_iter().step_by(3) {
        let response = bench.playback(interaction.master).await;
        if !interaction.known {
            assert_eq!(response.status(), 404);
            continue;
        }
        let text = response.text().await.unwrap();
        let linked = text.matches("X-Amz-Signature").count();
        // A chat's screen is only linked for who asks for all, and this asked for nothing in particular.
        assert_eq!(linked, interaction.media.len(), "{text}");
        assert_eq!(text.matches("\"mediaType\"").count(), interaction.elements.len());
    }
    assert_eq!(bench.playback(1).await.status(), 404);
    assert_eq!(bench.get("/media-playback/v1/contacts").await.status(), 400);
}

#[tokio::test]
async fn media_is_the_truth_at_any_range() {
    let bench = Bench::plain().await;
    let master = bench.first().master;
    let whole = bench.bytes(master, 1);
    let link = bench.link(master).await;
    let response = bench.client.get(&link).send().await.unwrap();
    assert_eq!(response.headers()["content-length"], whole.len().to_string());
    assert_eq!(response.headers()["date"], "Thu, 05 Nov 2026 12:00:00 GMT");
    let etag = response.headers()["etag"].clone();
    assert_eq!(response.bytes().await.unwrap(), whole);
    let part = bench.client.get(&link).header("range", "bytes=1000-1999").header("if-range", &etag);
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 1000-1999/{}", whole.len()));
    assert_eq!(part.bytes().await.unwrap(), whole[1000..2000]);
    let other = bench.client.get(&link).header("range", "bytes=0-0").header("if-range", "\"x\"").send().await.unwrap();
    assert_eq!(other.status(), 200);
    let beyond = bench.client.get(&link).header("range", format!("bytes={}-", whole.len())).send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], format!("bytes */{}", whole.len()));
    let truth = format!("{}/__sim/truth/media/{master}/1", bench.sim.url());
    let before = bench.sim.counters();
    assert_eq!(bench.client.get(truth).send().await.unwrap().bytes().await.unwrap(), whole);
    assert_eq!(bench.sim.counters(), before);
    assert_eq!(bench.sim.counters().media_requests, 4);
}

#[tokio::test]
async fn links_are_for_get_without_a_token_and_for_a_while() {
    let bench = Bench::plain().await;
    let link = bench.link(bench.first().master).await;
    assert_eq!(bench.client.head(&link).send().await.unwrap().status(), 403);
    let bearing = bench.client.get(&link).bearer_auth(&bench.token).send().await.unwrap();
    assert_eq!(bearing.status(), 400);
    assert!(bearing.text().await.unwrap().contains("Only one auth mechanism allowed"));
    let forged = link.replace("X-Amz-Expires=900", "X-Amz-Expires=999900");
    assert_eq!(bench.client.get(forged).send().await.unwrap().status(), 403);
    bench.clock.advance(Duration::from_secs(901));
    let expired = bench.client.get(&link).send().await.unwrap();
    assert_eq!(expired.status(), 403);
    assert!(expired.text().await.unwrap().contains("Request has expired"));
    assert_eq!(bench.sim.counters().media_403, 3);
    assert_eq!(bench.sim.counters().media_with_authorization, 1);
}

#[tokio::test]
async fn each_signing_can_be_another_object() {
    let bench = Bench::plain().await;
    let master = bench.first().master;
    let fetch = async || {
        let response = bench.client.get(bench.link(master).await).send().await.unwrap();
        let etag = response.headers()["etag"].to_str().unwrap().to_owned();
        (etag, response.bytes().await.unwrap())
    };
    let first = fetch().await;
    assert_eq!(first, fetch().await);
    bench.sim.switch(|switches| switches.etag_per_signing = true);
    let (second, third) = (fetch().await, fetch().await);
    assert!(second.0 != third.0 && second.1 == third.1 && second.1 == first.1);
    bench.sim.switch(|switches| switches.content_per_signing = true);
    let (fourth, fifth) = (fetch().await, fetch().await);
    assert!(fourth.0 != fifth.0 && fourth.1 != fifth.1 && fourth.1.len() == first.1.len());
}

#[tokio::test]
async fn faults_reach_the_client() {
    let bench = Bench::plain().await;
    let master = bench.first().master;
    let whole = bench.bytes(master, 1);
    let link = bench.link(master).await;
    let strike =
        |fault| bench.sim.switch(|switches| switches.faults = vec![FaultRule::next(Endpoint::Media, fault, 1)]);
    let get = async || bench.client.get(&link).header("range", "bytes=0-99999").send().await;

    strike(Fault::Status { status: 503, retry_after_s: Some(1) });
    assert_eq!(get().await.unwrap().status(), 503);
    strike(Fault::Drop);
    assert!(match get().await {
        Err(_) => true,
        Ok(response) => response.bytes().await.is_err(),
    });
    strike(Fault::CutAfter { bytes: 5000 });
    let mut response = get().await.unwrap();
    let mut got = Vec::new();
    let cut = loop {
        match response.chunk().await {
            Ok(Some(piece)) => got.extend_from_slice(&piece),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(cut && got == whole[..5000], "{} bytes", got.len());
    strike(Fault::WrongLength { by: 10 });
    assert!(get().await.unwrap().bytes().await.is_err());
    strike(Fault::Truncate { bytes: 10 });
    assert_eq!(get().await.unwrap().bytes().await.unwrap().len(), 10);
    strike(Fault::RefuseRange);
    let response = get().await.unwrap();
    assert_eq!((response.status(), response.content_length()), (StatusCode::OK, Some(whole.len() as u64)));
    strike(Fault::WrongContentRange { by: 1 });
    assert!(get().await.unwrap().headers()["content-range"].to_str().unwrap().starts_with("bytes 1-"));
    strike(Fault::NoEtag);
    assert!(!get().await.unwrap().headers().contains_key("etag"));
    strike(Fault::Changed { version: 1 });
    assert_ne!(get().await.unwrap().bytes().await.unwrap(), whole[..100_000.min(whole.len())]);
    assert_eq!(bench.sim.counters().faults, 9);
    assert_eq!(bench.sim.switches().faults, []);
    assert_eq!(get().await.unwrap().bytes().await.unwrap(), whole[..100_000.min(whole.len())]);
}

#[tokio::test]
async fn a_hanging_request_does_not_keep_the_tenant_up() {
    let bench = Bench::plain().await;
    bench.sim.switch(|switches| switches.faults.push(FaultRule::always(Endpoint::Discovery, Fault::Hang)));
    let url = format!("{}/.well-known/openid-configuration", bench.sim.url());
    let hanging = tokio::spawn(bench.client.get(url).send());
    while bench.sim.counters().faults == 0 {
        tokio::task::yield_now().await;
    }
    let address = bench.sim.address();
    tokio::time::timeout(Duration::from_secs(5), bench.sim.shutdown()).await.unwrap();
    assert!(hanging.await.unwrap().map_or(true, |response| response.status() == 503));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_control_path_reads_and_changes_the_tenant() {
    let bench = Bench::plain().await;
    let url = |path: &str| format!("{}/__sim/{path}", bench.sim.url());
    let put = bench.client.put(url("switches")).json(&json!({"link_life_s": 3})).send().await.unwrap();
    assert_eq!(put.status(), 200);
    assert_eq!(bench.sim.switches().link_life_s, 3);
    assert_eq!(bench.sim.switches().token_life_s, 3600);
    let wrong = bench.client.put(url("switches")).json(&json!({"link_live_s": 3})).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    let counters: CounterValues = bench.client.get(url("counters")).send().await.unwrap().json().await.unwrap();
    assert_eq!(counters, bench.sim.counters());
    assert_eq!(counters.logins, 1);
    bench.client.post(url("reset?all=true")).send().await.unwrap();
    assert_eq!((bench.sim.counters().logins, bench.sim.switches().link_life_s), (0, 900));
    let truth: Vec<TruthInteraction> = bench.client.get(url("truth")).send().await.unwrap().json().await.unwrap();
    assert_eq!(truth, bench.sim.truth());
    let day: Vec<TruthInteraction> =
        bench.client.get(url("truth?day=2026-11-02")).send().await.unwrap().json().await.unwrap();
    assert_eq!(day.len(), 80);
    let none: Vec<TruthInteraction> =
        bench.client.get(url("truth?day=2020-11-02")).send().await.unwrap().json().await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn media_can_be_linked_elsewhere() {
    let settings = SimSettings {
        shares: Shares::plain(),
        media_base_url: Some("http://127.0.0.1:9/files/".parse().unwrap()),
        ..SimSettings::default()
    };
    let bench = Bench::with(settings).await;
    let master = bench.first().master;
    let link = bench.link(master).await;
    assert!(link.starts_with(&format!("http://127.0.0.1:9/files/{master}_1.mp4?X-Amz-Algorithm=")), "{link}");
}

#[tokio::test]
async fn the_configuration_names_the_tenant() {
    let bench = Bench::plain().await;
    let path = std::path::Path::new;
    let text = bench.sim.config_toml(path("/s t/\"a\""), path("/c"), path("/secret"));
    let parsed: toml_edit::DocumentMut = text.parse().unwrap();
    assert_eq!(parsed["tenant"]["playback_endpoint"].as_str(), Some(bench.sim.url()));
    assert_eq!(parsed["tree"]["since"].as_str(), Some("2026-10-31"));
    assert_eq!(parsed["tree"]["timezone"].as_str(), Some("UTC"));
    assert_eq!(parsed["state"]["dir"].as_str(), Some("/s t/\"a\""));
    let login = Login::Oidc { client_secret_file: path("/client") };
    let text = bench.sim.config_toml_for(login, path("/s"), path("/c"), path("/secret"));
    assert!(text.contains("client_secret_file = \"/client\""));
}

#[tokio::test]
async fn other_ways_to_the_same_things() {
    let bench = Bench::plain().await;
    let first = bench.first();
    let body: Value = bench.playback(first.master).await.json().await.unwrap();
    let segment = body["interactions"][0]["data"]["segmentsDataList"][0]["segmentId"].as_str().unwrap().to_owned();
    let by_segment = bench.json(&format!("/media-playback/v1/segments/{segment}")).await;
    assert_eq!(by_segment["acdcontactId"], first.master.to_string());
    assert!(by_segment["Interactions"][0]["data"]["fileToPlayUrl"].is_string());
    let download = format!("/media-playback/v1/contacts?acd-call-id={}&isDownload=true", first.master);
    assert!(bench.json(&download).await["redirectUrl"].as_str().unwrap().contains("X-Amz-Signature"));
    let contact = bench.json(&format!("/incontactapi/services/v30.0/contacts/{}", first.legs[0].contact)).await;
    assert_eq!(contact["contactId"]["contactId"], first.legs[0].contact);
    assert_eq!(bench.get("/incontactapi/services/v30.0/contacts/5").await.status(), 404);
    let agents = bench.json("/incontactapi/services/v30.0/agents").await;
    assert_eq!(agents["agents"].as_array().unwrap().len(), 8);
    let unit = bench.json("/incontactapi/services/v30.0/business-unit").await;
    assert_eq!(unit["businessUnits"][0]["defaultTimeZone"], "UTC");
    let few =
        bench.json(&format!("{COMPLETED}?fields=contactId,agentId&agentId=8812037&orderBy=contactStart%20desc")).await;
    let rows = few["completedContacts"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["agentId"] == 8_812_037 && row.as_object().unwrap().len() == 2));
    assert_eq!(bench.get("/no/such/place").await.status(), 404);
    assert_eq!(bench.sim.counters().unknown, 1);
}

#[tokio::test]
async fn calls_that_fail_count_for_the_busiest_window() {
    let bench = Bench::plain().await;
    let fault = Fault::HeaderOnly { status: 500 };
    bench.sim.switch(|switches| switches.faults.push(FaultRule::next(Endpoint::Playback, fault, 2)));
    let master = bench.first().master;
    for status in [500, 500, 200] {
        let response = bench.playback(master).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key("icstatusdescription"), status == 500);
    }
    let counters = bench.sim.counters();
    assert_eq!((counters.playback_calls, counters.playback_billed, counters.playback_peak_window), (3, 1, 3));
}

#[tokio::test]
async fn odd_names_and_bulk_recordings_are_served() {
    let settings = SimSettings {
        odd_names: true,
        agents: 40,
        contacts_per_day: 4,
        bulk_bytes: Some(300_000),
        shares: Shares::plain(),
        ..SimSettings::default()
    };
    let bench = Bench::with(settings).await;
    let page = bench.json(COMPLETED).await;
    let rows = page["completedContacts"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["lastName"].as_str().is_some_and(|name| name.len() == 300)));
    assert!(rows.iter().any(|row| row["firstName"] == ".."));
    let first = bench.first();
    assert_eq!(first.media[0].bytes, 300_000);
    let link = bench.link(first.master).await;
    assert_eq!(bench.client.get(link).send().await.unwrap().bytes().await.unwrap(), bench.bytes(first.master, 1));
    assert_eq!(bench.sim.counters().media_bytes, 300_000);
}
