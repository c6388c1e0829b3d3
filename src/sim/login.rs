//! Login and discovery: the access-key flow, the OpenID Connect password grant, and both well-known documents.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answers::{header_only, json_answer, typed};
use super::counters::Counters;
use super::mix::mix;
use super::state::{Asked, Tenant};
use super::tokens::{AREA, Holder};

/// `POST /authentication/v1/token/access-key`.
pub(super) fn access_key(tenant: &Tenant, asked: &Asked) -> Response {
    if !asked.header("content-type").is_some_and(|value| value.starts_with("application/json")) {
        return header_only(415, "Unsupported Media Type");
    }
    let Ok(body) = serde_json::from_slice::<Value>(&asked.body) else {
        return json_answer(400, &json!({"error": "invalid_request", "errorDescription": "malformed body"}));
    };
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let known = &tenant.settings().credentials;
    if text("accessKeyId") == known.access_key_id && text("accessKeySecret") == known.access_key_secret {
        return token(tenant, &known.access_key_id);
    }
    json_answer(401, &json!({"error": "invalid_grant", "errorDescription": "access key is not valid"}))
}

/// `POST /auth/token`: grant type `password`, the client by `client_secret_basic` or `client_secret_post`.
pub(super) fn oidc_token(tenant: &Tenant, asked: &Asked) -> Response {
    if !asked.header("content-type").is_some_and(|value| value.starts_with("application/x-www-form-urlencoded")) {
        return header_only(415, "Unsupported Media Type");
    }
    let field = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(&asked.body);
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned())).unwrap_or_default()
    };
    let known = &tenant.settings().credentials;
    let posted = (field("client_id"), field("client_secret"));
    let known_client = (known.client_id.clone(), known.client_secret.clone());
    let is_known = match asked.header("authorization") {
        None => posted == known_client,
        Some(header) => basic_clients(header).contains(&known_client),
    };
    if !is_known {
        return refused(401, "invalid_client", "client authentication failed");
    }
    match field("grant_type").as_str() {
        "password" if field("username") == known.access_key_id && field("password") == known.access_key_secret => {
            token(tenant, &known.access_key_id)
        }
        "password" => refused(400, "invalid_grant", "bad credentials"),
        _ => refused(400, "unsupported_grant_type", "grant type is not supported"),
    }
}

/// The client ids and secrets that a Basic header may mean: form-urlencoded before they were joined (RFC 6749, 2.3.1), and as they stand, which
/// is what most clients send and the service takes.
fn basic_clients(header: &str) -> Vec<(String, String)> {
    let Some((id, secret)) = basic_pair(header) else { return Vec::new() };
    vec![(form_decode(&id), form_decode(&secret)), (id, secret)]
}

fn basic_pair(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn form_decode(text: &str) -> String {
    url::form_urlencoded::parse(text.as_bytes()).next().map_or_else(String::new, |(key, _)| key.into_owned())
}

fn refused(status: u16, error: &str, description: &str) -> Response {
    json_answer(status, &json!({"error": error, "errorDescription": description}))
}

fn token(tenant: &Tenant, user: &str) -> Response {
    let switches = tenant.switches();
    let serial = tenant.serial();
    let holder = Holder { tenant_id: &tenant.settings().tenant_id, user };
    let token = tenant.mint().issue(&tenant.url, holder, tenant.now(), switches.token_life_s, serial);
    tenant.handed_out.note(&token);
    let seconds = switches.token_life_s;
    let expires_in = if switches.expires_in_as_string { json!(seconds.to_string()) } else { json!(seconds) };
    Counters::add(&tenant.counters.tokens_issued);
    json_answer(
        200,
        &json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": expires_in,
            "refresh_token": format!("{:016x}", mix(&[tenant.settings().seed, serial, 1])),
            "id_token": token,
        }),
    )
}

/// `GET /.well-known/openid-configuration`.
pub(super) fn openid_configuration(tenant: &Tenant) -> Response {
    let url = &tenant.url;
    json_answer(
        200,
        &json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/auth/authorize"),
            "token_endpoint": format!("{url}/auth/token"),
            "jwks_uri": format!("{url}/auth/jwks"),
            "grant_types_supported": ["authorization_code", "password", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }),
    )
}

/// `GET /.well-known/cxone-configuration?tenantId=`. The facade's host, `https://api-{area}.{domain}`, cannot be simulated:
/// a client has to be told the playback endpoint.
pub(super) fn cxone_configuration(tenant: &Tenant, asked: &Asked) -> Response {
    if asked.query_value("tenantId").as_deref() != Some(tenant.settings().tenant_id.as_str()) {
        return typed(404, "application/json", r#"{"message":"tenant not found"}"#);
    }
    let url = &tenant.url;
    json_answer(
        200,
        &json!({
            "private": false,
            "ui_endpoint": url,
            "auth_endpoint": url,
            "api_endpoint": url,
            "area": AREA,
            "cluster": "C99",
            "domain": "niceincontact.com",
            "acdDomain": "nice-incontact.com",
            "uhDomain": "nice-incontact.com",
            "tenantId": tenant.settings().tenant_id,
            "globaldomain": "niceincontact.com",
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_decoded_after_base64() {
        let header = format!("Basic {}", STANDARD.encode("cx%40sim:a+b%3A%2B%2F%25"));
        assert_eq!(basic_clients(&header)[0], (String::from("cx@sim"), String::from("a b:+/%")));
        let bare = format!("Basic {}", STANDARD.encode("cx@sim:a b:+/%"));
        assert!(basic_clients(&bare).contains(&(String::from("cx@sim"), String::from("a b:+/%"))));
        assert!(basic_clients("Bearer x").is_empty() && basic_clients("Basic !").is_empty());
    }
}
