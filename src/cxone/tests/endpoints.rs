//! Which requests discovery makes, and what its failure means.

use std::time::Duration;

use serde_json::json;
use url::Url;

use super::fake::*;
use crate::base::MasterId;
use crate::cxone::auth::endpoints;
use crate::cxone::auth::jwt::Claims;
use crate::cxone::http::Http;
use crate::cxone::{CallTimes, Tenant, TenantSettings};
use crate::net::ApiErrorKind;

#[tokio::test]
async fn configured_endpoints_need_no_discovery() {
    let (issuer, api, playback) =
        (Fake::start(|_| None).await, Fake::start(|_| None).await, Fake::start(|_| None).await);
    let settings = TenantSettings {
        api_endpoint: Some(api.url.clone()),
        playback_endpoint: Some(playback.url.clone()),
        ..issuer.settings()
    };
    let tenant = tenant(settings);
    tenant.playback(MasterId(1)).await.unwrap();
    tenant.completed_contacts(time("2026-11-02T00:00:00Z"), time("2026-11-03T00:00:00Z"), None).await.unwrap();
    assert_eq!(issuer.paths(), [LOGIN]);
    assert_eq!(api.paths(), [CONTACTS]);
    assert_eq!(playback.paths(), [PLAYBACK]);
}

#[tokio::test]
async fn a_configured_api_on_loopback_is_enough() {
    let fake = Fake::start(|_| None).await;
    let settings = TenantSettings { api_endpoint: Some(fake.url.join("tenant").unwrap()), ..fake.settings() };
    let error = tenant(settings).playback(MasterId(1)).await.unwrap();
    assert!(matches!(error, crate::cxone::PlaybackAnswer::NotFound));
    assert_eq!(fake.paths(), [LOGIN, "/tenant/media-playback/v1/contacts"]);
}

#[tokio::test]
async fn where_discovery_fails_the_configured_api_serves_for_now() {
    let fake = Fake::start(|seen| (seen.path == DISCOVERY).then(|| Reply::status(500))).await;
    let http = Http::new(CallTimes::with_billed(Duration::from_secs(5)), None, clock()).unwrap();
    let api = Url::parse("https://api.example").unwrap();
    let settings = TenantSettings { api_endpoint: Some(api.clone()), ..fake.settings() };
    let found = endpoints::find(&http, &settings, &Claims::default()).await.unwrap();
    assert_eq!((found.api, found.playback, found.provisional), (api.clone(), api, true));
    let error = endpoints::find(&http, &fake.settings(), &Claims::default()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unavailable);
    let settings = TenantSettings { playback_endpoint: Some(fake.url.clone()), ..fake.settings() };
    assert!(endpoints::find(&http, &settings, &Claims::default()).await.is_err());
}

/// Its 404 would be stored as "no recording" of each interaction.
#[tokio::test]
async fn where_discovery_fails_nothing_is_played_at_the_api_host() {
    let fake = Fake::start(|seen| (seen.path == DISCOVERY).then(|| Reply::status(500))).await;
    let api = Url::parse("https://api.example").unwrap();
    let tenant = tenant(TenantSettings { api_endpoint: Some(api), ..fake.settings() });
    for error in [tenant.ready().await.unwrap_err(), tenant.playback(MasterId(1)).await.unwrap_err()] {
        assert!(error.is_unsent() && error.to_string().contains("playback_endpoint"), "{error}");
    }
    assert!(fake.seen(PLAYBACK).is_empty());
    assert_eq!(fake.seen(LOGIN).len(), 2, "discovery is repeated, and not by everyone who asks");
}

#[tokio::test]
async fn a_discovered_host_in_the_clear_is_not_used() {
    let fake = Fake::start(|seen| {
        let document = json!({"api_endpoint": "http://api.example", "area": "na1", "domain": "example"});
        (seen.path == DISCOVERY).then(|| Reply::json(&document))
    })
    .await;
    let error = fake.tenant().login().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::BadAnswer);
    assert!(error.to_string().contains("api_endpoint"));
}

#[tokio::test]
async fn settings_are_checked_before_any_request() {
    let fake = Fake::start(|_| None).await;
    let url = |text: &str| Url::parse(text).unwrap();
    let wrong = [
        TenantSettings { issuer: url("http://cxone.example"), ..fake.settings() },
        TenantSettings { api_endpoint: Some(url("ftp://api.example")), ..fake.settings() },
        TenantSettings { playback_endpoint: Some(url("https://u:p@api.example")), ..fake.settings() },
        TenantSettings { reporting_version: "v30/../..".into(), ..fake.settings() },
        TenantSettings { times: CallTimes::with_billed(Duration::ZERO), ..fake.settings() },
    ];
    for settings in wrong {
        let Err(error) = Tenant::new(settings, clock()) else { panic!("accepted") };
        assert_eq!(error.kind, ApiErrorKind::Configuration);
    }
    assert!(fake.paths().is_empty());
}
