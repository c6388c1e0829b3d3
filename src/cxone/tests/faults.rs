//! Answers that are too large, too deep, too slow, cut, elsewhere or not JSON.

use std::time::Duration;

use serde_json::json;

use super::fake::*;
use crate::base::MasterId;
use crate::cxone::{CallTimes, PlaybackAnswer, TenantSettings};
use crate::net::{ApiError, ApiErrorKind};

async fn error_of(reply: Reply) -> ApiError {
    let fake = Fake::start(move |seen| (seen.path == PLAYBACK).then(|| reply.clone())).await;
    let settings = TenantSettings { times: CallTimes::with_billed(Duration::from_secs(2)), ..fake.settings() };
    let error = tenant(settings).playback(MasterId(1)).await.unwrap_err();
    assert_eq!(fake.seen(PLAYBACK).len(), 1);
    whole_text(&error);
    error
}

/// The reason of a refusal.
async fn refused(reply: Reply) -> String {
    let fake = Fake::start(move |seen| (seen.path == PLAYBACK).then(|| reply.clone())).await;
    match fake.tenant().playback(MasterId(1)).await {
        Ok(PlaybackAnswer::Refused(refusal)) => refusal.reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bodies_are_bounded_in_size_and_depth() {
    let large = refused(Reply::status(200).body(vec![b' '; 16 * 1024 * 1024 + 1])).await;
    assert!(large.contains("larger than"), "{large}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    refused(Reply::status(200).body(deep)).await;
    // What an error's page says does not hide the error.
    assert_eq!(error_of(Reply::status(503).body(vec![b'x'; 20 * 1024 * 1024])).await.kind, ApiErrorKind::Unavailable);
}

#[tokio::test]
async fn a_large_body_of_unknown_length_is_cut_off_as_well() {
    let fake =
        Fake::start(|seen| (seen.path == LOGIN).then(|| Reply::status(200).body(vec![b' '; 2 << 20]).cut())).await;
    let error = fake.tenant().login().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::BadAnswer);
    assert!(error.to_string().contains("larger than"));
}

#[tokio::test]
async fn a_web_page_is_not_an_answer() {
    let reason =
        refused(Reply::status(200).header("content-type", "text/html").body("<html>eyJtopsecret</html>")).await;
    assert!(reason.contains("text/html") && !reason.contains("topsecret"), "{reason}");
}

#[tokio::test]
async fn time_is_bounded() {
    let fake =
        Fake::start(|seen| (seen.path == PLAYBACK).then(|| Reply::status(204).after(Duration::from_secs(20)))).await;
    let settings = TenantSettings { times: CallTimes::with_billed(Duration::from_millis(200)), ..fake.settings() };
    let begun = std::time::Instant::now();
    let error = tenant(settings).playback(MasterId(1)).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_cut_answer_is_worth_another_try() {
    let error = error_of(Reply::status(200).body(r#"{"interactions": ["#).cut()).await;
    assert_eq!(error.kind, ApiErrorKind::Unavailable);
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_host_that_is_not_there_is_worth_another_try() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let fake = Fake::start(|_| None).await;
    let api = url::Url::parse(&format!("http://{gone}")).unwrap();
    let settings = TenantSettings { api_endpoint: Some(api), ..fake.settings() };
    let error = tenant(settings).playback(MasterId(1)).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unavailable);
    assert!(whole_text(&error).contains(&gone.to_string()));
}

#[tokio::test]
async fn the_token_does_not_follow_a_redirect() {
    let elsewhere = Fake::start(|_| None).await;
    let target = elsewhere.url.join("/page?x=topsecret").unwrap();
    let fake = Fake::start(move |seen| {
        let api = seen.path == PLAYBACK || seen.path == CONTACTS;
        api.then(|| Reply::status(307).header("location", target.as_str()))
    })
    .await;
    let tenant = fake.tenant();
    let window = (time("2026-11-02T00:00:00Z"), time("2026-11-03T00:00:00Z"));
    let PlaybackAnswer::Refused(refusal) = tenant.playback(MasterId(1)).await.unwrap() else { panic!() };
    assert_eq!(refusal.status, 307);
    let error = tenant.completed_contacts(window.0, window.1, None).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::BadAnswer, Some(307)));
    for text in [refusal.reason.to_string(), whole_text(&error)] {
        assert!(text.contains(elsewhere.url.host_str().unwrap()) && !text.contains("topsecret"), "{text}");
    }
    assert!(elsewhere.paths().is_empty());
}

#[tokio::test]
async fn words_of_the_server_are_repeated_safely() {
    let long = format!("line\u{7}one\n{} see {MEDIA_URL} token {}", "x ".repeat(5), jwt(0));
    let error = error_of(Reply::json(&json!({"message": long})).with_status(500)).await;
    let text = error.to_string();
    assert!(text.contains("line one") && text.contains("[link]") && text.contains("[token]"), "{text}");
    let error = error_of(Reply::json(&json!({"message": "ä".repeat(5000)})).with_status(500)).await;
    assert!(error.to_string().len() < 450);
}
