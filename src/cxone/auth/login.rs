//! One login, by access key or by the OIDC password grant. Keeps nothing: who needs a token and for how long is `auth`'s business.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use crate::cxone::auth::endpoints::Discovery;
use crate::cxone::auth::jwt::Claims;
use crate::cxone::http::{Answer, Call, Http, LOGIN_BYTES_MAX};
use crate::cxone::settings::{CallClass, ClientCredentials, TenantSettings};
use crate::cxone::{address, lenient};
use crate::net::error::{ApiError, ApiErrorKind};

/// The life of a token that states none.
const TOKEN_LIFE_DEFAULT: Duration = Duration::from_hours(1);
/// No stated life is believed beyond this.
const TOKEN_LIFE_MAX: Duration = Duration::from_hours(24);

const LOGIN: Call = Call { operation: "login", class: CallClass::Login, body_max: LOGIN_BYTES_MAX };
const OPENID: Call = Call { operation: "openid discovery", class: CallClass::Login, body_max: LOGIN_BYTES_MAX };

/// What a login gives.
pub(in crate::cxone) struct Token {
    pub access: SecretString,
    pub claims: Claims,
    /// From now.
    pub life: Duration,
}

/// Logs in once, the way that the settings ask for.
pub(in crate::cxone) async fn log_in(http: &Http, settings: &TenantSettings) -> Result<Token, ApiError> {
    match &settings.credentials.client {
        None => with_access_key(http, settings).await,
        Some(client) => with_password_grant(http, settings, client).await,
    }
}

/// Where the access-key login is: the configured endpoint, else the configured area's host, else the issuer. The second value
/// says whether that is a guess, so that another host may be tried if there is no login at this one.
fn access_key_base(settings: &TenantSettings) -> Result<(Url, bool), ApiError> {
    if let Some(base) = &settings.auth_endpoint {
        return Ok((base.clone(), false));
    }
    // A host made from an area cannot be on loopback; where the issuer is, nothing may leave the machine.
    if let Some(area) = &settings.area
        && !address::is_loopback(&settings.issuer)
    {
        let base = address::https_host(&format!("{area}.nice-incontact.com"));
        let base =
            base.ok_or_else(|| ApiError::new(ApiErrorKind::Configuration, "tenant.area is not a word like na1"))?;
        return Ok((base, false));
    }
    Ok((settings.issuer.clone(), true))
}

async fn with_access_key(http: &Http, settings: &TenantSettings) -> Result<Token, ApiError> {
    let (base, guessed) = access_key_base(settings)?;
    let mut refused = match post_access_key(http, &base, settings).await {
        Err(error) if guessed && no_login_there(&error) => error,
        outcome => return outcome,
    };
    let discovery = Discovery::ask(http, &settings.issuer, None).await?;
    for base in discovery.login_bases(&settings.issuer) {
        match post_access_key(http, &base, settings).await {
            Err(error) if no_login_there(&error) => refused = error,
            outcome => return outcome,
        }
    }
    Err(refused)
}

/// Another host may log us in: this one does not, or nothing may be sent to it.
fn no_login_there(error: &ApiError) -> bool {
    matches!(error.status, Some(404 | 405)) || error.kind == ApiErrorKind::Configuration
}

/// Whether key and password may go to this host: to any that configuration and discovery lead to, unless `tenant.login_hosts` names some.
pub(in crate::cxone) fn check_host(settings: &TenantSettings, url: &Url) -> Result<(), ApiError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    if settings.login_hosts.is_empty() || settings.login_hosts.iter().any(|pattern| pattern.names(&host)) {
        return Ok(());
    }
    let message = format!(
        "login: {host} is not in tenant.login_hosts, so the access key was not sent there; if the host is right, add it to the list"
    );
    Err(ApiError::new(ApiErrorKind::Configuration, message))
}

async fn post_access_key(http: &Http, base: &Url, settings: &TenantSettings) -> Result<Token, ApiError> {
    check_host(settings, base)?;
    let credentials = &settings.credentials;
    let url = address::join(base, "authentication/v1/token/access-key");
    let body = json!({
        "accessKeyId": credentials.access_key_id,
        "accessKeySecret": credentials.access_key_secret.expose_secret(),
    });
    let answer = http.send(LOGIN, http.request(Method::POST, url)?.json(&body)).await?;
    read_token(answer, &[&credentials.access_key_secret])
}

async fn with_password_grant(
    http: &Http,
    settings: &TenantSettings,
    client: &ClientCredentials,
) -> Result<Token, ApiError> {
    let url = token_endpoint(http, settings).await?;
    check_host(settings, &url)?;
    let credentials = &settings.credentials;
    let secrets = [&credentials.access_key_secret, &client.client_secret];
    let grant = [
        ("grant_type", "password"),
        ("username", &credentials.access_key_id),
        ("password", credentials.access_key_secret.expose_secret()),
    ];
    let basic = http.request(Method::POST, url.clone())?.form(&grant);
    let answer = http.send(LOGIN, with_basic(basic, client)?).await?;
    if !refuses_client(&answer) {
        return read_token(answer, &secrets);
    }
    // Registrations choose between two ways of naming the client; the issuer advertises only the first.
    tracing::debug!("the client was refused by header; naming it in the body");
    let in_body = [("client_id", client.client_id.as_str()), ("client_secret", client.client_secret.expose_secret())];
    let form: Vec<(&str, &str)> = grant.into_iter().chain(in_body).collect();
    let answer = http.send(LOGIN, http.request(Method::POST, url)?.form(&form)).await?;
    read_token(answer, &secrets)
}

/// The issuer's `token_endpoint`; if it tells none, `{auth_endpoint}/auth/token` where that is configured.
async fn token_endpoint(http: &Http, settings: &TenantSettings) -> Result<Url, ApiError> {
    let url = address::join(&settings.issuer, ".well-known/openid-configuration");
    let ask = async {
        let answer = http.send(OPENID, http.request(Method::GET, url)?).await?.ok()?;
        let document = answer.json()?;
        let named = document.get("token_endpoint").and_then(lenient::text);
        named.as_deref().and_then(address::parse_named).ok_or_else(|| answer.bad("names no usable token_endpoint"))
    };
    match (ask.await, &settings.auth_endpoint) {
        (Ok(url), _) => Ok(url),
        (Err(error), Some(base)) => {
            let error = crate::base::chain(&error);
            tracing::warn!(error, "OpenID discovery failed ({error}): the login goes to tenant.auth_endpoint");
            Ok(address::join(base, "auth/token"))
        }
        (Err(error), None) => Err(error),
    }
}

/// `Authorization: Basic` with both halves url-encoded first (RFC 6749 2.3.1).
fn with_basic(request: RequestBuilder, client: &ClientCredentials) -> Result<RequestBuilder, ApiError> {
    let encoded = |text: &str| -> Zeroizing<String> {
        Zeroizing::new(url::form_urlencoded::byte_serialize(text.as_bytes()).collect())
    };
    let pair =
        Zeroizing::new(format!("{}:{}", *encoded(&client.client_id), *encoded(client.client_secret.expose_secret())));
    let text = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| ApiError::new(ApiErrorKind::Configuration, "the client credentials do not fit into a header"))?;
    value.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, value))
}

fn refuses_client(answer: &Answer) -> bool {
    if !matches!(answer.status.as_u16(), 400 | 401) {
        return false;
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    ["error", "internalCode"].iter().any(|key| body.get(key).and_then(Value::as_str) == Some("invalid_client"))
}

fn read_token(answer: Answer, secrets: &[&SecretString]) -> Result<Token, ApiError> {
    if !answer.status.is_success() {
        return Err(login_error(&answer, secrets));
    }
    let mut document = answer.json()?;
    // Some gateways refuse with 200 and an error in the body.
    let refusal = (document.get("error").is_some_and(|error| !error.is_null())).then(|| answer.said()).flatten();
    let bad = match refusal {
        Some(said) if !echoes(&said, secrets) => {
            let host = address::host_and_port(&answer.url);
            answer.mark(ApiError::new(ApiErrorKind::Denied, format!("login: {host} refused it: {said}")))
        }
        Some(_) => answer.bad("the login was refused").with_kind(ApiErrorKind::Denied),
        None => answer.bad("the answer holds no access token"),
    };
    drop(Zeroizing::new(answer.body));
    let claims = |name: &str| document.get(name).and_then(Value::as_str).map(Claims::of).unwrap_or_default();
    let claims = claims("id_token").or(claims("access_token"));
    let life = token_life(document.get("expires_in"));
    match document.get_mut("access_token").map(Value::take) {
        Some(Value::String(token)) if !token.trim().is_empty() => {
            Ok(Token { access: SecretString::from(token), claims, life })
        }
        _ => Err(bad),
    }
}

/// `expires_in`, a number or a text of seconds; one hour if it is missing or nonsense.
fn token_life(expires_in: Option<&Value>) -> Duration {
    let seconds = expires_in.and_then(lenient::float).filter(|seconds| *seconds >= 0.0);
    seconds.map_or(TOKEN_LIFE_DEFAULT, |seconds| {
        Duration::try_from_secs_f64(seconds).unwrap_or(TOKEN_LIFE_MAX).min(TOKEN_LIFE_MAX)
    })
}

/// A refused login is `Denied`, whichever of 400, 401 and 403 says so. An echoed secret does not get into the text.
fn login_error(answer: &Answer, secrets: &[&SecretString]) -> ApiError {
    let error = answer.error();
    let echoed = echoes(&error.to_string(), secrets);
    let refused = matches!(answer.status.as_u16(), 400 | 401 | 403);
    let kind = if refused { ApiErrorKind::Denied } else { error.kind };
    if echoed {
        let message = format!("login: {} answered {}", address::host_and_port(&answer.url), answer.status.as_u16());
        return answer.mark(ApiError::new(kind, message));
    }
    error.with_kind(kind)
}

fn echoes(text: &str, secrets: &[&SecretString]) -> bool {
    secrets.iter().any(|secret| {
        let secret = secret.expose_secret();
        !secret.is_empty() && text.contains(secret)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_life_of_a_token_is_a_number_or_a_text_or_an_hour() {
        assert_eq!(token_life(Some(&json!(120))), Duration::from_mins(2));
        assert_eq!(token_life(Some(&json!("120"))), Duration::from_mins(2));
        assert_eq!(token_life(Some(&json!(1e18))), TOKEN_LIFE_MAX);
        for nonsense in [None, Some(json!(null)), Some(json!("soon")), Some(json!(-5))] {
            assert_eq!(token_life(nonsense.as_ref()), TOKEN_LIFE_DEFAULT);
        }
    }
}
