//! Both logins, their detours, and that one login serves all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::Url;

use super::fake::*;
use crate::base::MasterId;
use crate::cxone::{Credentials, CredentialsSource, Tenant, TenantSettings};
use crate::net::{ApiErrorKind, HostPattern};

async fn play(tenant: &Tenant) -> Result<(), crate::net::ApiError> {
    tenant.playback(MasterId(1)).await.map(drop)
}

#[tokio::test]
async fn the_access_key_login_serves_every_call_and_requests_are_well_mannered() {
    let fake = Fake::start(|_| None).await;
    let tenant = fake.tenant();
    tenant.login().await.unwrap();
    assert_eq!(fake.paths(), [LOGIN, DISCOVERY]);
    let login = &fake.seen(LOGIN)[0];
    let body: Value = serde_json::from_slice(&login.body).unwrap();
    assert_eq!(body, json!({"accessKeyId": "key@id", "accessKeySecret": KEY_SECRET}));
    assert_eq!(fake.seen(DISCOVERY)[0].query["tenantId"], "11eb");
    play(&tenant).await.unwrap();
    play(&tenant).await.unwrap();
    let calls = fake.seen(PLAYBACK);
    assert_eq!((calls.len(), fake.seen(LOGIN).len()), (2, 1));
    for call in &calls {
        assert_eq!(call.header("authorization"), format!("Bearer {}", jwt(0)));
        assert_eq!(call.header("accept"), "application/json");
        assert_eq!(call.header("user-agent"), concat!("cxonefs/", env!("CARGO_PKG_VERSION")));
        assert_eq!(call.header("correlationid").len(), 36);
    }
    assert_ne!(calls[0].header("correlationid"), calls[1].header("correlationid"));
    assert_eq!(login.header("authorization"), "");
}

#[tokio::test]
async fn an_opaque_token_is_as_good() {
    let fake = Fake::start(|seen| (seen.path == LOGIN).then(|| Reply::json(&json!({"access_token": "opaque"})))).await;
    fake.tenant().login().await.unwrap();
    assert!(fake.seen(DISCOVERY)[0].query.is_empty());
}

#[tokio::test]
async fn a_short_token_is_renewed_before_its_end() {
    let fake = Fake::start(|seen| {
        (seen.path == LOGIN).then(|| Reply::json(&json!({"access_token": jwt(seen.nth), "expires_in": "120"})))
    })
    .await;
    let clock = clock();
    let tenant = tenant_at(fake.settings(), clock.clone());
    for (step_s, logins) in [(0, 1), (107, 1), (1, 2), (107, 2), (2, 3)] {
        clock.advance(Duration::from_secs(step_s));
        play(&tenant).await.unwrap();
        assert_eq!(fake.seen(LOGIN).len(), logins, "after {step_s} s more");
    }
    assert_eq!(fake.seen(DISCOVERY).len(), 1, "endpoints are discovered once");
    assert_eq!(fake.seen(PLAYBACK)[4].header("authorization"), format!("Bearer {}", jwt(2)));
}

#[tokio::test]
async fn a_failed_renewal_uses_the_token_while_it_is_good() {
    let fake = Fake::start(|seen| (seen.path == LOGIN && seen.nth > 0).then(|| Reply::status(503))).await;
    let clock = clock();
    let tenant = tenant_at(fake.settings(), clock.clone());
    play(&tenant).await.unwrap();
    clock.advance(Duration::from_secs(3400));
    play(&tenant).await.unwrap();
    let asked = fake.seen(LOGIN).len();
    assert_eq!(asked, 1 + 3, "three tries");
    play(&tenant).await.unwrap();
    assert_eq!(fake.seen(LOGIN).len(), asked, "not asked again at once");
    clock.advance(Duration::from_secs(201));
    let error = play(&tenant).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unavailable);
    whole_text(&error);
}

#[tokio::test]
async fn a_configured_auth_endpoint_is_the_only_login() {
    let auth =
        Fake::start(|seen| (seen.path != "/base/authentication/v1/token/access-key").then(|| Reply::status(404))).await;
    let auth_ok = Fake::start(|seen| seen.path.starts_with("/base/").then(|| token_reply("opaque"))).await;
    let issuer = Fake::start(|_| None).await;
    let settings =
        |fake: &Fake| TenantSettings { auth_endpoint: Some(fake.url.join("base/").unwrap()), ..issuer.settings() };
    tenant(settings(&auth_ok)).login().await.unwrap();
    assert_eq!(auth_ok.paths(), ["/base/authentication/v1/token/access-key"]);
    let error = tenant(settings(&auth)).login().await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::BadAnswer, Some(404)));
    assert!(issuer.seen(LOGIN).is_empty());
}

#[tokio::test]
async fn an_issuer_without_a_login_leads_to_one() {
    let auth = Fake::start(|_| None).await;
    let url = auth.url.clone();
    let issuer = Fake::start(move |seen| match seen.path.as_str() {
        LOGIN => Some(Reply::status(405)),
        DISCOVERY => {
            Some(Reply::json(&json!({"api_endpoint": url.as_str(), "auth_endpoint": url.as_str(), "area": "na1",
            "uhDomain": "nice-incontact.com"})))
        }
        _ => None,
    })
    .await;
    issuer.tenant().login().await.unwrap();
    assert_eq!(auth.paths(), [LOGIN]);
    let asked = issuer.seen(DISCOVERY);
    assert!(asked[0].query.is_empty(), "no tenant is known before the login");
    assert_eq!(asked[1].query["tenantId"], "11eb");
}

#[tokio::test]
async fn an_area_does_not_take_the_login_off_loopback() {
    let fake = Fake::start(|_| None).await;
    tenant(TenantSettings { area: Some("na1".into()), ..fake.settings() }).login().await.unwrap();
    assert_eq!(fake.seen(LOGIN).len(), 1);
}

fn only(hosts: &[&str], settings: TenantSettings) -> TenantSettings {
    let login_hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect();
    TenantSettings { login_hosts, ..settings }
}

/// The same server under another name.
fn as_localhost(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_host(Some("localhost")).unwrap();
    url
}

#[tokio::test]
async fn where_login_hosts_are_named_key_and_password_go_nowhere_else() {
    let issuer = Fake::start(|_| None).await;
    let error = tenant(only(&["auth.example"], issuer.settings())).login().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Configuration);
    let text = whole_text(&error);
    assert!(text.contains("127.0.0.1 is not in tenant.login_hosts") && text.contains("add it"), "{text}");
    assert!(issuer.seen(LOGIN).is_empty());
    tenant(only(&["*.example", "127.0.0.1"], issuer.settings())).login().await.unwrap();
    assert_eq!(issuer.seen(LOGIN).len(), 1);
}

#[tokio::test]
async fn discovery_may_lead_to_a_login_host_that_is_named() {
    let auth = Fake::start(|_| None).await;
    let named = as_localhost(&auth.url);
    let issuer = Fake::start(move |seen| {
        (seen.path == DISCOVERY).then(|| {
            Reply::json(&json!({"api_endpoint": named.as_str(), "auth_endpoint": named.as_str(), "area": "na1"}))
        })
    })
    .await;
    tenant(only(&["localhost"], issuer.settings())).login().await.unwrap();
    assert_eq!((issuer.seen(LOGIN).len(), auth.seen(LOGIN).len()), (0, 1), "the issuer is not named");
    let error = tenant(only(&["127.0.0.2"], issuer.settings())).login().await.unwrap_err();
    assert!(error.to_string().contains("localhost is not in tenant.login_hosts"), "{error}");
    assert_eq!((issuer.seen(LOGIN).len(), auth.seen(LOGIN).len()), (0, 1));
}

#[tokio::test]
async fn a_token_endpoint_elsewhere_gets_no_password() {
    let fake = Fake::start(|_| None).await;
    let error = tenant(only(&["auth.example"], with_client(&fake))).login().await.unwrap_err();
    assert!(error.kind == ApiErrorKind::Configuration && fake.seen(TOKEN).is_empty(), "{error}");
    let configured = TenantSettings { auth_endpoint: Some(fake.url.clone()), ..fake.settings() };
    let Err(error) = Tenant::new(only(&["auth.example"], configured), clock()) else { panic!("accepted") };
    assert!(error.to_string().contains("tenant.login_hosts"), "{error}");
}

fn with_client(fake: &Fake) -> TenantSettings {
    let mut settings = fake.settings();
    settings.credentials.client = Some(client());
    settings
}

#[tokio::test]
async fn the_password_grant_names_the_client_in_the_header() {
    let fake = Fake::start(|_| None).await;
    tenant(with_client(&fake)).login().await.unwrap();
    assert_eq!(fake.paths(), [OPENID, TOKEN, DISCOVERY]);
    let login = &fake.seen(TOKEN)[0];
    let basic = BASE64_STANDARD.decode(login.header("authorization").strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(String::from_utf8(basic).unwrap(), "client+id:top%3Asecret+client%25");
    let form = login.form();
    assert_eq!((form["grant_type"].as_str(), form["username"].as_str()), ("password", "key@id"));
    assert_eq!(form["password"], KEY_SECRET);
    assert_eq!(form.len(), 3);
}

#[tokio::test]
async fn a_refused_client_is_named_in_the_body_once() {
    let fake = Fake::start(|seen| {
        let in_body = seen.form().contains_key("client_secret");
        let refusal = || Reply::json(&json!({"error": "invalid_client"})).with_status(401);
        (seen.path == TOKEN && !in_body).then(refusal)
    })
    .await;
    tenant(with_client(&fake)).login().await.unwrap();
    let logins = fake.seen(TOKEN);
    assert_eq!(logins.len(), 2);
    assert_eq!(logins[1].header("authorization"), "");
    assert_eq!(logins[1].form()["client_secret"], CLIENT_SECRET);
    assert_eq!(logins[1].form()["client_id"], "client id");
}

#[tokio::test]
async fn a_refused_password_is_not_a_refused_client() {
    let fake = Fake::start(|seen| {
        let said = json!({"error": "invalid_grant", "errorDescription": "the password top+secret/key= is wrong"});
        (seen.path == TOKEN).then(|| Reply::json(&said).with_status(400))
    })
    .await;
    let error = tenant(with_client(&fake)).login().await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::Denied, Some(400)));
    assert_eq!(fake.seen(TOKEN).len(), 1);
    whole_text(&error);
}

#[tokio::test]
async fn without_openid_discovery_the_auth_endpoint_serves() {
    let fake = Fake::start(|seen| (seen.path == OPENID).then(|| Reply::status(404))).await;
    let error = tenant(with_client(&fake)).login().await.unwrap_err();
    assert_eq!(error.status, Some(404));
    let settings = TenantSettings { auth_endpoint: Some(fake.url.clone()), ..with_client(&fake) };
    tenant(settings).login().await.unwrap();
    assert_eq!(fake.seen(TOKEN).len(), 1);
}

#[tokio::test]
async fn a_token_endpoint_in_the_clear_gets_no_secret() {
    let fake = Fake::start(|seen| {
        (seen.path == OPENID).then(|| Reply::json(&json!({"token_endpoint": "http://auth.example/auth/token"})))
    })
    .await;
    let error = tenant(with_client(&fake)).login().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::BadAnswer);
    assert!(error.to_string().contains("token_endpoint"));
}

#[tokio::test]
async fn a_refused_login_says_so_and_is_not_repeated_at_once() {
    let fake = Fake::start(|seen| {
        let said = json!({"error": "unauthorized", "message": "no such key"});
        (seen.path == LOGIN && seen.nth == 0).then(|| Reply::json(&said).with_status(401))
    })
    .await;
    let clock = clock();
    let tenant = tenant_at(fake.settings(), clock.clone());
    for _ in 0..3 {
        let error = tenant.login().await.unwrap_err();
        assert_eq!((error.kind, error.status), (ApiErrorKind::Denied, Some(401)));
        assert!(whole_text(&error).contains("no such key"));
        assert!(error.correlation_id.is_some());
    }
    assert_eq!(fake.seen(LOGIN).len(), 1);
    clock.advance(Duration::from_secs(6));
    tenant.login().await.unwrap();
}

#[tokio::test]
async fn one_login_serves_everyone_who_waits() {
    let fake =
        Fake::start(|seen| (seen.path == LOGIN).then(|| token_reply(&jwt(0)).after(Duration::from_millis(100)))).await;
    let tenant = fake.tenant();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let tenant = tenant.clone();
        tasks.spawn(async move { play(&tenant).await });
    }
    for outcome in tasks.join_all().await {
        outcome.unwrap();
    }
    assert_eq!((fake.seen(LOGIN).len(), fake.seen(DISCOVERY).len(), fake.seen(PLAYBACK).len()), (1, 1, 20));
}

#[tokio::test]
async fn one_failed_login_fails_everyone_who_waits() {
    let fake =
        Fake::start(|seen| (seen.path == LOGIN).then(|| Reply::status(503).after(Duration::from_millis(50)))).await;
    let tenant = fake.tenant();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let tenant = tenant.clone();
        tasks.spawn(async move { play(&tenant).await });
    }
    for outcome in tasks.join_all().await {
        assert_eq!(outcome.unwrap_err().kind, ApiErrorKind::Unavailable);
    }
    assert_eq!(fake.seen(LOGIN).len(), 3, "the tries of one login");
}

#[tokio::test]
async fn whoever_gives_up_during_the_login_does_not_take_it_along() {
    let fake =
        Fake::start(|seen| (seen.path == LOGIN).then(|| token_reply(&jwt(0)).after(Duration::from_millis(100)))).await;
    let tenant = fake.tenant();
    let impatient = tokio::time::timeout(Duration::from_millis(30), tenant.login());
    let (gave_up, outcome) = tokio::join!(impatient, play(&tenant));
    assert!(gave_up.is_err());
    outcome.unwrap();
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_for_all() {
    let old = format!("Bearer {}", jwt(0));
    let fake = Fake::start(move |seen| {
        let refused = seen.path == PLAYBACK && seen.header("authorization") == old;
        refused.then(|| Reply::json(&json!({"message": "Unauthorized"})).with_status(401))
    })
    .await;
    let tenant = fake.tenant();
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let tenant = tenant.clone();
        tasks.spawn(async move { play(&tenant).await });
    }
    for outcome in tasks.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(fake.seen(LOGIN).len(), 2);
    assert_eq!(fake.seen(PLAYBACK).len(), 20);
}

#[tokio::test]
async fn a_token_that_is_always_refused_is_a_denial() {
    let fake = Fake::start(|seen| (seen.path == PLAYBACK).then(|| Reply::status(401))).await;
    let error = play(&fake.tenant()).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::Denied, Some(401)));
    assert_eq!((fake.seen(LOGIN).len(), fake.seen(PLAYBACK).len()), (2, 2));
}

#[tokio::test]
async fn a_refusal_in_a_200_says_the_tenants_own_words() {
    let fake = Fake::start(|seen| {
        let said = json!({"error": "invalid_grant", "error_description": "Access key is expired"});
        (seen.path == LOGIN).then(|| Reply::json(&said))
    })
    .await;
    let error = fake.tenant().login().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Denied);
    assert!(whole_text(&error).contains("Access key is expired"), "{error}");
}

#[tokio::test]
async fn refused_logins_back_off_up_to_a_quarter_of_an_hour_until_there_is_a_new_secret() {
    let fake = Fake::start(|seen| {
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        (seen.path == LOGIN && !body.contains("renewed")).then(|| Reply::status(401))
    })
    .await;
    let clock = clock();
    let tenant = tenant_at(fake.settings(), clock.clone());
    // A file is opened every second for an hour.
    for _ in 0..3600 {
        assert!(tenant.login().await.is_err());
        clock.advance(Duration::from_secs(1));
    }
    let asked = fake.seen(LOGIN).len();
    assert!((8..=12).contains(&asked), "{asked} logins in an hour");
    let mut credentials = fake.settings().credentials;
    credentials.access_key_secret = "renewed".into();
    tenant.adopt_credentials(credentials);
    tenant.login().await.unwrap();
}

#[tokio::test]
async fn a_key_of_another_tenant_is_refused_while_mounted() {
    let fake = Fake::start(|seen| {
        let is_other = String::from_utf8_lossy(&seen.body).contains("OTHERKEY");
        let token = jwt_of(if is_other { "99ff" } else { "11eb" }, seen.nth);
        (seen.path == LOGIN).then(|| token_reply(&token))
    })
    .await;
    let clock = clock();
    let other = || Credentials { access_key_id: "OTHERKEY".into(), ..fake.settings().credentials };
    let tenant = tenant_at(fake.settings(), clock.clone());
    tenant.login().await.unwrap();
    tenant.adopt_credentials(other());
    clock.advance(Duration::from_hours(1));
    let error = tenant.login().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Denied);
    assert!(whole_text(&error).contains("99ff") && whole_text(&error).contains("11eb"), "{error}");
    tenant.adopt_credentials(fake.settings().credentials);
    tenant.login().await.unwrap();
    // Also where the first login comes long after mounting.
    let late = tenant_at(fake.settings(), clock);
    late.belongs_to(tenant.identity().await.unwrap());
    late.adopt_credentials(other());
    assert_eq!(late.login().await.unwrap_err().kind, ApiErrorKind::Denied);
}

/// A secret's file.
struct Changes(Mutex<Option<Credentials>>);

impl CredentialsSource for Changes {
    fn renewed(&self) -> Option<Credentials> {
        self.0.lock().unwrap().take()
    }
}

#[tokio::test]
async fn another_secret_ends_the_pause_of_a_refused_login_by_itself() {
    let fake = Fake::start(|seen| {
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        (seen.path == LOGIN && !body.contains("renewed")).then(|| Reply::status(401))
    })
    .await;
    let tenant = fake.tenant();
    let changes = Arc::new(Changes(Mutex::new(None)));
    tenant.watch_credentials(changes.clone());
    let renew = |secret: &str| {
        let credentials = Credentials { access_key_secret: secret.into(), ..fake.settings().credentials };
        *changes.0.lock().unwrap() = Some(credentials);
    };
    for _ in 0..3 {
        assert!(tenant.login().await.is_err());
    }
    assert_eq!(fake.seen(LOGIN).len(), 1);
    renew("wrong too");
    for _ in 0..3 {
        assert!(tenant.login().await.is_err());
    }
    assert_eq!(fake.seen(LOGIN).len(), 2, "once per change");
    renew("renewed");
    tenant.login().await.unwrap();
}
