//! A fake tenant on loopback: answers as a plain tenant does, unless the test's own rule answers first; remembers every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, Uri};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use crate::base::clock::ManualClock;
use crate::cxone::retry::RetryPolicy;
use crate::cxone::{CallTimes, ClientCredentials, Credentials, Tenant, TenantSettings};
use crate::net::ApiError;

pub const LOGIN: &str = "/authentication/v1/token/access-key";
pub const OPENID: &str = "/.well-known/openid-configuration";
pub const TOKEN: &str = "/auth/token";
pub const DISCOVERY: &str = "/.well-known/cxone-configuration";
pub const CONTACTS: &str = "/incontactapi/services/v30.0/contacts/completed";
pub const PLAYBACK: &str = "/media-playback/v1/contacts";

pub const KEY_SECRET: &str = "top+secret/key=";
pub const CLIENT_SECRET: &str = "top:secret client%";
pub const MEDIA_URL: &str = "https://bucket.s3.us-west-2.amazonaws.com/x/y.mp4?X-Amz-Date=20261102T084500Z&X-Amz-Expires=900&X-Amz-Signature=topsecret";

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub query: HashMap<String, String>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// How many came for this path before.
    pub nth: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn form(&self) -> HashMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    delay: Duration,
    cut: bool,
}

impl Reply {
    pub fn status(status: u16) -> Reply {
        Reply { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO, cut: false }
    }

    pub fn json(body: &Value) -> Reply {
        Reply::status(200).header("content-type", "application/json").body(body.to_string())
    }

    pub fn with_status(mut self, status: u16) -> Reply {
        self.status = status;
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Reply {
        self.body = body.into();
        self
    }

    pub fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }

    /// The connection breaks after the body, which is announced to be longer.
    pub fn cut(mut self) -> Reply {
        self.cut = true;
        self
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = if self.cut {
            let parts = vec![Ok(Bytes::from(self.body)), Err(std::io::Error::other("cut"))];
            Body::from_stream(futures_util::stream::iter(parts))
        } else {
            Body::from(self.body)
        };
        response.body(body).unwrap()
    }
}

/// The running fake; ends when dropped.
pub struct Fake {
    pub url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// `rule` answers first; where it gives `None`, a plain tenant does.
    pub async fn start(rule: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (rule, remember, base) = (Arc::new(rule), seen.clone(), url.clone());
        let app = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let (rule, remember, base) = (rule.clone(), remember.clone(), base.clone());
            async move {
                let query = url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect();
                let request = {
                    let mut seen = remember.lock().unwrap();
                    let nth = seen.iter().filter(|earlier| earlier.path == uri.path()).count();
                    seen.push(Seen { path: uri.path().to_owned(), query, headers, body: body.to_vec(), nth });
                    seen.last().unwrap().clone()
                };
                let reply = rule(&request).unwrap_or_else(|| plain(&request, &base));
                tokio::time::sleep(reply.delay).await;
                reply.into_response()
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Fake { url, seen, task }
    }

    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|request| request.path == path).cloned().collect()
    }

    pub fn paths(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|request| request.path.clone()).collect()
    }

    pub fn settings(&self) -> TenantSettings {
        TenantSettings {
            issuer: self.url.clone(),
            credentials: Credentials {
                access_key_id: "key@id".into(),
                access_key_secret: SecretString::from(KEY_SECRET),
                client: None,
            },
            area: None,
            auth_endpoint: None,
            api_endpoint: None,
            playback_endpoint: None,
            reporting_version: "v30.0".into(),
            login_hosts: Vec::new(),
            ca: None,
            times: CallTimes::with_billed(Duration::from_secs(5)),
        }
    }

    pub fn tenant(&self) -> Tenant {
        tenant(self.settings())
    }
}

pub fn client() -> ClientCredentials {
    ClientCredentials { client_id: "client id".into(), client_secret: SecretString::from(CLIENT_SECRET) }
}

/// A tenant that does not wait long between tries.
pub fn tenant(settings: TenantSettings) -> Tenant {
    tenant_at(settings, clock())
}

pub fn tenant_at(settings: TenantSettings, clock: Arc<ManualClock>) -> Tenant {
    let quick = RetryPolicy {
        tries: 4,
        silent_tries: 1,
        pause: Duration::from_millis(2),
        pause_max: Duration::from_millis(4),
        total: Duration::from_secs(5),
    };
    Tenant::with_policies(settings, clock, quick, RetryPolicy { tries: 3, ..quick }).unwrap()
}

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(time("2026-11-02T08:00:00Z")))
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A token that says which login it came from.
pub fn jwt(number: usize) -> String {
    jwt_of("11eb", number)
}

/// The same, of some tenant.
pub fn jwt_of(tenant: &str, number: usize) -> String {
    let claims = json!({"tenantId": tenant, "area": "na1", "n": number}).to_string();
    format!("eyJhbGciOiJub25lIn0.{}.sig{number}", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

pub fn token_reply(token: &str) -> Reply {
    Reply::json(&json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}))
}

pub fn contact(id: u64) -> Value {
    json!({"contactId": id, "masterContactId": id, "contactStartDate": "2026-11-02T08:59:31.443Z", "agentId": 7})
}

pub fn call_document() -> Value {
    json!({"contactId": "0f3c", "interactions": [{"@type": "call", "data": {"fileToPlayUrl": MEDIA_URL}}]})
}

/// Everything that an error shows anywhere: itself, its causes, its debug form.
pub fn whole_text(error: &ApiError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text} {inner} {inner:?}");
        cause = inner.source();
    }
    for secret in [KEY_SECRET, CLIENT_SECRET, "topsecret", "eyJ"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    text
}

fn plain(request: &Seen, base: &Url) -> Reply {
    match request.path.as_str() {
        LOGIN | TOKEN => token_reply(&jwt(request.nth)),
        OPENID => Reply::json(&json!({"token_endpoint": base.join(TOKEN).unwrap().as_str()})),
        DISCOVERY => Reply::json(&json!({"api_endpoint": base.as_str(), "auth_endpoint": base.as_str(), "area": "na1",
            "domain": "niceincontact.com", "uhDomain": "nice-incontact.com"})),
        CONTACTS => Reply::status(204),
        PLAYBACK => Reply::json(&call_document()),
        _ => Reply::status(404),
    }
}
