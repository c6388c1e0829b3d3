//! Which commands on the control socket go on record, and what of them: who changes what a mount does, fetches, forgets or erases.
//!
//! Every POST does, unless it only looks. Contacts that are erased are not named: the record would be the last trace of them.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use serde_json::Value;

use super::controlled::{Command, Controlled, Peer};

/// A command is small (bytes); the paths of `warm` are the longest.
const BODY_BYTES_MAX: usize = 4 << 20;

/// What goes on record of a request; none if it only looks.
fn command(path: &str, body: &Value) -> Option<Command> {
    let named = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let list = |name: &str| body.get(name).and_then(Value::as_array).into_iter().flatten();
    let texts = |name: &str| list(name).filter_map(Value::as_str).map(str::to_owned).collect::<Vec<String>>();
    let contacts = || list("contacts").filter_map(Value::as_i64).collect::<Vec<i64>>();
    let of = |event: &str| Command { event: event.to_owned(), ..Command::default() };
    Some(match path {
        // A user's own rows of the ledger are nobody else's business.
        "/warm/cost" | "/cache/verify" | "/ledger" => return None,
        "/cache/purge" if body["dry_run"] == true => return None,
        "/cache/purge" => {
            let what = body.get("what");
            let what = what.and_then(|what| what.as_str().or_else(|| Some(what.as_object()?.keys().next()?.as_str())));
            Command { detail: what.map(str::to_owned), begins: true, ..of("purge") }
        }
        "/warm" => Command { paths: texts("paths"), begins: true, ..of("warm") },
        "/unmount" => {
            let lazy = (body["lazy"] == true).then(|| String::from("lazy"));
            Command { detail: lazy, begins: true, ..of("unmount") }
        }
        "/refresh" => {
            let days = texts("days");
            Command { detail: (!days.is_empty()).then(|| days.join(" ")), ..of("refresh") }
        }
        "/log-level" => Command { detail: named("filter"), ..of("log-level") },
        // What came of it is put on record by who does it.
        "/holds/add" => Command { contacts: contacts(), begins: true, ..of("hold") },
        "/holds/remove" => Command { contacts: contacts(), begins: true, ..of("release") },
        _ if path.starts_with("/audit") => return None,
        other => {
            Command { contacts: contacts(), paths: texts("paths"), ..of(&other.trim_matches('/').replace('/', "-")) }
        }
    })
}

/// Puts commands on record, and refuses them where they must be and cannot.
pub(super) async fn audited(
    State(controlled): State<Arc<dyn Controlled>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let told = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let command = command(head.uri.path(), &told);
    let request = Request::from_parts(head, Body::from(body));
    let Some(command) = command else { return next.run(request).await };
    let refused = |why: String| (StatusCode::UNPROCESSABLE_ENTITY, why).into_response();
    // Now, because it may be gone later.
    let caller = controlled.caller(peer);
    if let Err(why) = controlled.audit_check() {
        return refused(why);
    }
    if command.begins {
        return match controlled.audit(caller, command, "begun").await {
            Ok(()) => next.run(request).await,
            Err(why) => refused(why),
        };
    }
    let response = next.run(request).await;
    let outcome = if response.status().is_success() { "ok" } else { "refused" };
    match controlled.audit(caller, command, outcome).await {
        Ok(()) => response,
        Err(why) => refused(why),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changes_something_goes_on_record_and_what_looks_does_not() {
        let event = |path: &str, body: &Value| command(path, body).map(|command| (command.event, command.begins));
        assert_eq!(event("/cache/purge", &json!({"what": "media", "dry_run": true})), None);
        assert_eq!(event("/warm/cost", &json!({"paths": ["a"]})), None);
        assert_eq!(event("/refresh", &json!({"days": []})), Some(("refresh".into(), false)));
        assert_eq!(event("/unmount", &Value::Null), Some(("unmount".into(), true)));
        assert_eq!(event("/holds/add", &json!({"contacts": [1]})), Some(("hold".into(), true)));
        assert_eq!(event("/holds/remove", &json!({"contacts": [1]})), Some(("release".into(), true)));
        assert_eq!(event("/some/thing", &json!({})), Some(("some-thing".into(), false)), "what comes later, too");
        assert_eq!(event("/ledger", &json!({"since": ""})), None);
    }

    #[test]
    fn it_says_what_it_is_about_but_not_who_is_erased() {
        let purge =
            command("/cache/purge", &json!({"what": {"contacts": [701_000_000_122_i64]}, "dry_run": false})).unwrap();
        assert_eq!((purge.detail.as_deref(), purge.contacts.len()), (Some("contacts"), 0));
        assert!(!format!("{purge:?}").contains("701"));
        let hold = command("/holds/add", &json!({"contacts": [701], "reason": "x"})).unwrap();
        assert_eq!((hold.contacts, hold.detail), (vec![701], None));
        assert_eq!(command("/warm", &json!({"paths": ["d/a"]})).unwrap().paths, ["d/a"]);
        let level = command("/log-level", &json!({"filter": "debug"})).unwrap();
        assert_eq!(level.detail.as_deref(), Some("debug"));
        assert_eq!(
            command("/refresh", &json!({"days": ["2026-11-02"]})).unwrap().detail.as_deref(),
            Some("2026-11-02")
        );
    }
}
