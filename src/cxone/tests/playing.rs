//! The billed call: exactly one request, and what each answer means.

use serde_json::{Value, json};

use super::fake::*;
use crate::base::MasterId;
use crate::cxone::{Playback, PlaybackAnswer, Refusal, RefusalKind, Whose};
use crate::net::{ApiError, ApiErrorKind};

const MASTER: MasterId = MasterId(701_000_000_122);

/// What a tenant makes of this reply, asked once.
async fn answer(reply: Reply) -> Result<PlaybackAnswer, ApiError> {
    let fake = Fake::start(move |seen| (seen.path == PLAYBACK).then(|| reply.clone())).await;
    let answer = fake.tenant().playback(MASTER).await;
    assert_eq!(fake.seen(PLAYBACK).len(), 1, "a billed call is never repeated");
    answer
}

/// How a tenant refuses with this reply.
async fn refused(reply: Reply) -> Refusal {
    match answer(reply).await.unwrap() {
        PlaybackAnswer::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn found(body: &Value) -> Playback {
    match answer(Reply::json(body)).await.unwrap() {
        PlaybackAnswer::Found(playback) => playback,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_master_contact_is_asked_for_without_the_large_parts() {
    let fake = Fake::start(|_| None).await;
    let PlaybackAnswer::Found(playback) = fake.tenant().playback(MASTER).await.unwrap() else { panic!() };
    let mut query: Vec<(String, String)> = fake.seen(PLAYBACK)[0].query.clone().into_iter().collect();
    query.sort();
    let expected = [
        ("acd-call-id", "701000000122"),
        ("exclude-qm-categories", "true"),
        ("exclude-waveforms", "true"),
        ("media-type", "all"),
    ];
    assert_eq!(query, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let media = playback.items[0].media.as_ref().unwrap();
    assert_eq!(media.url.expose(), MEDIA_URL);
    assert_eq!((media.extension.as_str(), media.expires_at), ("mp4", Some(time("2026-11-02T09:00:00Z"))));
    assert_eq!(playback.metadata, json!({"contactId": "0f3c", "interactions": [{"@type": "call", "data": {}}]}));
    assert!(!format!("{playback:?}").contains("topsecret"));
}

#[tokio::test]
async fn nothing_there_comes_in_three_kinds() {
    let missing = json!({"internalCode": "INTERACTION_NOT_FOUND", "message": "Interaction Not Found"});
    assert!(matches!(answer(Reply::json(&missing).with_status(404)).await, Ok(PlaybackAnswer::NotFound)));
    assert!(matches!(answer(Reply::status(404)).await, Ok(PlaybackAnswer::NotFound)));
    assert!(matches!(answer(Reply::json(&missing)).await, Ok(PlaybackAnswer::NotFound)));
    let Ok(PlaybackAnswer::Found(empty)) = answer(Reply::status(204)).await else { panic!() };
    assert!(empty.items.is_empty() && empty.metadata == json!({}));
    assert!(found(&json!({"contactId": "g", "interactions": []})).await.items.is_empty());
}

#[tokio::test]
async fn a_wrong_address_is_no_missing_recording() {
    let page = Reply::status(404).header("content-type", "text/html; charset=utf-8").body("<html>404</html>");
    let gateway = Reply::json(&json!({"message": "no Route matched with those values"})).with_status(404);
    for reply in [page, gateway] {
        let refusal = refused(reply).await;
        assert_eq!((refusal.kind, refusal.whose), (RefusalKind::Refused, Whose::Everybody), "{refusal:?}");
    }
}

#[tokio::test]
async fn not_found_is_believed_under_every_status_and_nowhere_else() {
    let missing = json!({"internalCode": "1010", "message": "Interaction Not Found"});
    for status in [400, 500] {
        let answered = answer(Reply::json(&missing).with_status(status)).await;
        assert!(matches!(answered, Ok(PlaybackAnswer::NotFound)), "{status}: {answered:?}");
    }
    let user = refused(Reply::json(&json!({"message": "The requesting user does not exist"}))).await;
    assert!(user.kind == RefusalKind::Refused && user.reason.contains("requesting user"), "{user:?}");
}

#[tokio::test]
async fn what_is_refused_is_an_answer() {
    let locked = json!({"internalCode": "1003", "message": "Playback is locked for this interaction"});
    let restoring = json!({"message": "Media is being restored from archive"});
    let page = || Reply::status(200).header("content-type", "text/html").body("<html>Sign in</html>");
    let not_understood = Reply::json(&json!({"contactId": "g"}));
    let elsewhere = Reply::status(302).header("location", "https://login.example/in?x=topsecret");
    for (reply, kind, whose, words) in [
        (Reply::json(&locked).with_status(403), RefusalKind::Denied, Whose::Interaction, "is locked"),
        (Reply::status(403), RefusalKind::Denied, Whose::Everybody, "403"),
        (Reply::status(400), RefusalKind::Refused, Whose::Interaction, "400"),
        (Reply::status(410), RefusalKind::Refused, Whose::Interaction, "410"),
        (Reply::status(422), RefusalKind::Refused, Whose::Interaction, "422"),
        (Reply::status(451), RefusalKind::Refused, Whose::Interaction, "451"),
        (Reply::json(&restoring).with_status(202), RefusalKind::Restoring, Whose::Interaction, "being restored"),
        (Reply::status(202), RefusalKind::Restoring, Whose::Interaction, "202"),
        (page(), RefusalKind::Refused, Whose::Everybody, "text/html"),
        (not_understood, RefusalKind::Refused, Whose::Interaction, "no interactions"),
        (Reply::status(200), RefusalKind::Refused, Whose::Interaction, "empty"),
        (elsewhere, RefusalKind::Refused, Whose::Everybody, "login.example"),
    ] {
        let refusal = refused(reply).await;
        assert_eq!((refusal.kind, refusal.whose), (kind, whose), "{refusal:?}");
        assert!(refusal.reason.contains(words) && !refusal.reason.contains("topsecret"), "{refusal:?}");
        assert!(refusal.correlation_id.is_some());
    }
    let full = json!({"interactions": [{"data": {"fileToPlayUrl": MEDIA_URL}}]});
    let accepted = answer(Reply::json(&full).with_status(202)).await;
    assert!(matches!(accepted, Ok(PlaybackAnswer::Found(_))), "what is there is taken: {accepted:?}");
}

#[tokio::test]
async fn a_gateways_limit_is_no_denial() {
    let limited = Reply::json(&json!({"message": "Limit Exceeded"})).with_status(403).header("retry-after", "7");
    let asked = Some(std::time::Duration::from_secs(7));
    assert_eq!(answer(limited).await.unwrap_err().kind, ApiErrorKind::RateLimited { retry_after: asked });
}

#[tokio::test]
async fn errors_are_told_by_what_to_do_about_them() {
    let throttle = || Reply::json(&json!({"message": "Too many requests", "route": "/x"})).with_status(429);
    let error = answer(throttle()).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::RateLimited { retry_after: None });
    assert!(error.to_string().contains("Too many requests"));
    let error = answer(throttle().header("retry-after", "17")).await.unwrap_err();
    let asked = Some(std::time::Duration::from_secs(17));
    assert_eq!(error.kind, ApiErrorKind::RateLimited { retry_after: asked });
    assert_eq!(answer(Reply::status(500)).await.unwrap_err().kind, ApiErrorKind::Unavailable);
    let refusal = refused(Reply::json(&json!({"message": "Too many requests", "route": "/x"}))).await;
    assert_eq!(refusal.kind, RefusalKind::Refused, "a 200 is billed");
}

#[tokio::test]
async fn redirects_in_body_or_header_are_one_recording() {
    let in_body = found(&json!({"redirectUrl": MEDIA_URL})).await;
    let in_header = answer(Reply::status(302).header("location", MEDIA_URL)).await.unwrap();
    let PlaybackAnswer::Found(in_header) = in_header else { panic!() };
    for playback in [in_body, in_header] {
        assert_eq!(playback.metadata, json!({}));
        assert_eq!(playback.items[0].media.as_ref().unwrap().url.expose(), MEDIA_URL);
    }
}

#[tokio::test]
async fn plain_links_are_for_a_tenant_on_loopback() {
    let local = found(&json!({"interactions": [{"data": {"fileToPlayUrl": "http://127.0.0.1:1/a.wav?sig=1"}}]})).await;
    assert_eq!(local.items[0].media.as_ref().unwrap().extension, "wav");
    let remote =
        json!({"interactions": [{"data": {"fileToPlayUrl": "http://media.example/topsecret.wav?sig=topsecret"}}]});
    let remote = found(&remote).await;
    assert!(remote.items.len() == 1 && remote.items[0].media.is_none(), "the rest of a paid answer stands");
}

#[tokio::test]
async fn after_a_new_login_the_call_is_made_once_more() {
    let fake = Fake::start(|seen| (seen.path == PLAYBACK && seen.nth == 0).then(|| Reply::status(401))).await;
    assert!(matches!(fake.tenant().playback(MASTER).await, Ok(PlaybackAnswer::Found(_))));
    assert_eq!((fake.seen(PLAYBACK).len(), fake.seen(LOGIN).len()), (2, 2));
}

/// Small to send and large to hold: weighed before it is parsed, and not asked for again.
#[tokio::test]
async fn a_document_that_would_fill_the_memory_is_refused() {
    for part in ["[],", "{\"\":0},", "0,"] {
        let body = format!("{{\"interactions\":[{}0]}}", part.repeat((6 << 20) / part.len()));
        let reply = Reply::status(200).header("content-type", "application/json").body(body);
        let refusal = refused(reply).await;
        assert_eq!(refusal.kind, RefusalKind::Refused);
        assert!(refusal.reason.contains("too many values"), "{}", refusal.reason);
    }
}
