//! What fuzzing begins with: answers of a simulated tenant, taken from its HTTP server as a client would get them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Client;
use serde_json::{Value, json};

use crate::base::SystemClock;
use crate::media::{KeyHash, Version, index};
use crate::sim::{Naming, PlaybackVariant, RunningSim, Sim, SimSettings};

/// Documents that are asked for, of each shape.
const INTERACTIONS: usize = 24;

/// Why there are no seeds.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("the simulated tenant cannot be asked")]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Sim(#[from] crate::sim::SimError),
    #[error("the simulated tenant gave no token")]
    Login,
}

/// The seeds of every target, by its name.
pub async fn seeds() -> Result<Vec<(&'static str, Vec<Vec<u8>>)>, SeedError> {
    crate::net::tls::install_crypto();
    let settings = SimSettings { agents: 6, contacts_per_day: 6, days: 2, odd_names: true, ..SimSettings::default() };
    let sim = Sim::start(settings, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), Arc::new(SystemClock)).await?;
    let client = Client::builder().no_proxy().tls_certs_only([]).build()?;
    let token = login(&sim, &client).await?;
    let pages = pages(&sim, &client, &token).await?;
    let documents = documents(&sim, &client, &token).await?;
    let answers = answers(&client, &documents).await?;
    let agents = (0..6).map(|index| sim.world().agent(index));
    let names = agents
        .map(|agent| format!("{}\n{}", agent.last_name.unwrap_or_default(), agent.first_name.unwrap_or_default()));
    let names = names.chain(ODD_NAMES.map(str::to_owned)).map(String::into_bytes).collect();
    let configuration = vec![configuration(&sim), EVERY_SECTION.as_bytes().to_vec()];
    sim.shutdown().await;
    Ok(vec![
        ("reporting_page", pages),
        ("playback_document", documents),
        ("media_answer", answers),
        ("names", names),
        ("block_index", indexes()),
        ("configuration", configuration),
    ])
}

async fn login(sim: &RunningSim, client: &Client) -> Result<String, SeedError> {
    let known = &sim.world().settings().credentials;
    let body = json!({"accessKeyId": known.access_key_id, "accessKeySecret": known.access_key_secret});
    let answer = client.post(format!("{}/authentication/v1/token/access-key", sim.url())).json(&body).send().await?;
    let answer: Value = answer.json().await?;
    answer["access_token"].as_str().map(str::to_owned).ok_or(SeedError::Login)
}

async fn get(client: &Client, url: &str, token: &str) -> Result<Vec<u8>, SeedError> {
    let request = client.get(url).bearer_auth(token).header("accept", "application/json");
    Ok(request.send().await?.bytes().await?.to_vec())
}

/// Pages of both naming sets, with and without a next one.
async fn pages(sim: &RunningSim, client: &Client, token: &str) -> Result<Vec<Vec<u8>>, SeedError> {
    let mut pages = Vec::new();
    for naming in [Naming::Current, Naming::Old] {
        sim.switch(|switches| switches.naming = naming);
        for (top, skip) in [(3, 0), (1, 5), (20, 0)] {
            let query = format!("startDate=2026-11-01T00:00:00Z&endDate=2026-11-03T00:00:00Z&top={top}&skip={skip}");
            let url = format!("{}/incontactapi/services/v30.0/contacts/completed?{query}", sim.url());
            pages.push(get(client, &url, token).await?);
        }
    }
    pages.push(br#"{"totalRecords": "0", "completedContacts": null, "_links": {"next": ""}}"#.to_vec());
    Ok(pages)
}

/// Playback documents in every documented shape.
async fn documents(sim: &RunningSim, client: &Client, token: &str) -> Result<Vec<Vec<u8>>, SeedError> {
    let all = PlaybackVariant {
        capital_key: true,
        value_wrapper: true,
        element_wrapper: true,
        lower_case_url: true,
        is_restricted: true,
        stray_quote: true,
        empty_url: false,
    };
    let day = sim.world().settings().last_day;
    let masters: Vec<_> =
        sim.world().interactions(day).map(|interaction| interaction.master).take(INTERACTIONS).collect();
    let mut documents = Vec::new();
    for variant in [PlaybackVariant::default(), all] {
        sim.switch(|switches| switches.playback_variant = Some(variant));
        for master in &masters {
            let url = format!(
                "{}/media-playback/v1/contacts?acd-call-id={master}&media-type=all&exclude-waveforms=true",
                sim.url()
            );
            documents.push(get(client, &url, token).await?);
        }
    }
    documents.push(br#"{"redirectUrl": "https://b.example/x.mp4?X-Amz-Signature=a"}"#.to_vec());
    documents.push(br#"{"internalCode": "X", "message": "Interaction Not Found"}"#.to_vec());
    Ok(documents)
}

/// Heads of the storage's answers to ranged GETs of the documents' links, each with its link on a line of its own.
async fn answers(client: &Client, documents: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, SeedError> {
    let mut answers = Vec::new();
    let links = documents
        .iter()
        .filter_map(|document| serde_json::from_slice(document).ok())
        .filter_map(|document| link(&document));
    for (link, (start, len)) in
        links.take(8).zip([(0, 65_536), (1, 1), (0, 1), (65_536, 65_536), (1_u64 << 40, 9)].into_iter().cycle())
    {
        let range = format!("bytes={start}-{}", start + len - 1);
        let answer = client.get(&link).header("range", range).send().await?;
        let mut text = format!("{} {start} {len}\n", answer.status().as_u16());
        for (name, value) in answer.headers() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
        text.push_str(&link);
        answers.push(text.into_bytes());
    }
    Ok(answers)
}

/// The first link of a document.
fn link(document: &Value) -> Option<String> {
    match document {
        Value::Object(object) => object.iter().find_map(|(key, value)| match value {
            Value::String(text) if key.eq_ignore_ascii_case("fileToPlayUrl") => Some(text.clone()),
            value => link(value),
        }),
        Value::Array(array) => array.iter().find_map(link),
        _ => None,
    }
}

fn indexes() -> Vec<Vec<u8>> {
    let of = |size: u64, validator: &str| {
        let version = Version { size, validator: validator.to_owned() };
        let header = index::Header { hash: KeyHash([7; 32]), version, created_s: 1_793_620_800, sealing: None };
        let mut bytes = index::encode_header(&header).to_vec();
        bytes.extend(index::encode_present(0xdead_beef));
        bytes.extend(&index::ABSENT[..index::ENTRY_LEN]);
        bytes
    };
    vec![of(100_000, "\"5f8d\""), of(0, ""), of(64 << 30, &"v".repeat(256)), NOTE.to_vec()]
}

fn configuration(sim: &RunningSim) -> Vec<u8> {
    let [state, cache, secret] =
        ["state", "cache", "secret"].map(|name| std::path::Path::new("/nonexistent").join(name));
    sim.config_toml(&state, &cache, &secret).into_bytes()
}

/// What stands behind an index: about the interaction that the targets have.
const NOTE: &[u8] = br#"{"format":1,"channel":4,"start_us":0,"recheck_at":5,"documents":[{"name":"metadata.json","text":"{}\n"},
    {"name":"transcript.txt","text":""}],"recordings":[{"name":"recording.wav","size":5,"validator":"v"},{"name":"recording_2.mp4"}]}"#;

const ODD_NAMES: [&str; 8] = [
    "..\n..",
    "con.x\nCOM1 .log",
    "e\u{301}\n\u{202e}fdp",
    "\u{0}\n\t",
    "/\n\\",
    "🦀\n\u{feff}",
    "\u{1100}\u{1161}\u{11a8}\n",
    "a\n",
];

const EVERY_SECTION: &str = r#"[tenant]
issuer = "https://cxone.niceincontact.com"
access_key_id = "id"
access_key_secret_file = "/nonexistent/secret"
area = "na1"
api_endpoint = "https://api-c53.nice-incontact.com"
[tree]
since = "90d"
timezone = "America/New_York"
media_types = ["call", "chat"]
refresh = "5m"
[mount]
resolve_on = "stat"
allow_other = true
dir_mode = "0750"
file_mode = 440
deny_processes = ["updatedb", "*thumb*"]
[cache]
size = "10GiB"
min_free = 1073741824
whole_file_below = "16MiB"
max_age = "30d"
[limits]
playback_requests = 150
playback_window = "5m"
daily_budget = "unlimited"
deadline = "30s"
memory = "128MiB"
"#;
