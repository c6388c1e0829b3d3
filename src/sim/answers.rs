//! The shapes of answers that several endpoints share.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// An answer with a JSON body.
pub(super) fn json_answer(status: u16, body: &Value) -> Response {
    typed(status, "application/json", body.to_string())
}

/// An answer with an XML body, as S3's.
pub(super) fn s3_error(status: u16, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>SIMULATED0000001</RequestId></Error>"
    );
    typed(status, "application/xml", body)
}

/// An answer with no body.
pub(super) fn empty(status: u16) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// An answer with a body of some type.
pub(super) fn typed(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = empty(status);
    *response.body_mut() = body.into();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// ACD's way to fail: the reason in a header and an empty body.
pub(super) fn header_only(status: u16, reason: &str) -> Response {
    with_header(empty(status), "icstatusdescription", reason)
}

/// The gateway's answer to a request without a good token.
pub(super) fn unauthorized() -> Response {
    json_answer(401, &json!({"message": "Unauthorized"}))
}

/// Adds a header; one that is not legal is left out.
pub(super) fn with_header(mut response: Response, name: &'static str, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}
