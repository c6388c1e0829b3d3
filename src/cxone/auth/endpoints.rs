//! Where the tenant's APIs are: what the configuration says, then what discovery says, then what follows from both.
//!
//! The bearer token goes to the origins found here and nowhere else.

use reqwest::Method;
use serde_json::{Map, Value};
use url::Url;

use crate::base::chain;
use crate::cxone::auth::jwt::Claims;
use crate::cxone::http::{Call, Http, LOGIN_BYTES_MAX};
use crate::cxone::settings::{CallClass, TenantSettings};
use crate::cxone::{address, lenient};
use crate::net::error::{ApiError, ApiErrorKind};

/// Bases of the two APIs.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cxone) struct Endpoints {
    /// Before `/incontactapi/services/…`.
    pub api: Url,
    /// Before `/media-playback/v1/…`; while `provisional`, no more than a place to fill.
    pub playback: Url,
    /// Discovery failed and something was taken in its place; to be asked again at the next login.
    pub provisional: bool,
}

impl Endpoints {
    /// Whether the bearer token may be sent to this URL.
    pub fn may_hold_token(&self, url: &Url) -> bool {
        address::is_private(url) && (address::same_origin(url, &self.api) || address::same_origin(url, &self.playback))
    }

    /// Whether a signed link may be plain http on loopback: only where the playback endpoint is that too.
    pub fn playback_is_plain_loopback(&self) -> bool {
        self.playback.scheme() == "http" && address::is_loopback(&self.playback)
    }
}

/// `cxone-configuration`, as far as it concerns us.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cxone) struct Discovery {
    api_endpoint: Option<Url>,
    auth_endpoint: Option<Url>,
    area: Option<String>,
    domain: Option<String>,
    user_hub_domain: Option<String>,
}

impl Discovery {
    /// Asks the issuer. Without a tenant the issuer describes itself.
    pub async fn ask(http: &Http, issuer: &Url, tenant_id: Option<&str>) -> Result<Discovery, ApiError> {
        let mut url = address::join(issuer, ".well-known/cxone-configuration");
        if let Some(tenant_id) = tenant_id {
            url.query_pairs_mut().append_pair("tenantId", tenant_id);
        }
        let call = Call { operation: "discovery", class: CallClass::Login, body_max: LOGIN_BYTES_MAX };
        let answer = http.send(call, http.request(Method::GET, url)?).await?.ok()?;
        match answer.json()? {
            Value::Object(object) => Ok(Discovery::read(&object)),
            _ => Err(answer.bad("the configuration is not an object")),
        }
    }

    fn read(object: &Map<String, Value>) -> Discovery {
        let text =
            |names: &[&str]| lenient::find(object, names).and_then(lenient::text).map(|text| text.trim().to_owned());
        let address = |names: &[&str]| text(names).as_deref().and_then(address::parse_named);
        Discovery {
            api_endpoint: address(&["api_endpoint"]),
            auth_endpoint: address(&["auth_endpoint"]),
            area: text(&["area"]),
            domain: text(&["domain"]),
            user_hub_domain: text(&["uhDomain"]),
        }
    }

    /// Where else the access-key login may be, the named endpoint first, then the regional host.
    pub fn login_bases(&self, issuer: &Url) -> Vec<Url> {
        let regional = self.area.as_ref().zip(self.user_hub_domain.as_ref());
        let regional = regional.and_then(|(area, domain)| address::https_host(&format!("{area}.{domain}")));
        // A host made from a name cannot be on loopback; where the issuer is, nothing may leave the machine.
        let regional = regional.filter(|_| !address::is_loopback(issuer));
        let mut bases: Vec<Url> = Vec::new();
        for base in self.auth_endpoint.iter().cloned().chain(regional) {
            if !address::same_origin(&base, issuer) && !bases.contains(&base) {
                bases.push(base);
            }
        }
        bases
    }
}

/// The endpoints, with one discovery request where the configuration leaves something open.
pub(in crate::cxone) async fn find(
    http: &Http,
    settings: &TenantSettings,
    claims: &Claims,
) -> Result<Endpoints, ApiError> {
    if let Some(endpoints) = configured(settings) {
        return Ok(endpoints);
    }
    match Discovery::ask(http, &settings.issuer, claims.tenant_id.as_deref()).await {
        Ok(discovery) => resolve(settings, &discovery, claims),
        Err(error) => match &settings.api_endpoint {
            Some(api) => {
                let error = chain(&error);
                tracing::warn!(
                    error,
                    "discovery failed ({error}): listing goes on at tenant.api_endpoint; nothing is played until discovery succeeds or tenant.playback_endpoint is set"
                );
                Ok(Endpoints { api: api.clone(), playback: api.clone(), provisional: true })
            }
            None => Err(error),
        },
    }
}

/// The endpoints, if the configuration alone determines them.
fn configured(settings: &TenantSettings) -> Option<Endpoints> {
    let api = settings.api_endpoint.clone()?;
    let playback = match &settings.playback_endpoint {
        Some(playback) => playback.clone(),
        None if address::is_loopback(&api) => api.clone(),
        None => return None,
    };
    Some(Endpoints { api, playback, provisional: false })
}

/// The endpoints from configuration, discovery and the token's claims, in this order.
fn resolve(settings: &TenantSettings, discovery: &Discovery, claims: &Claims) -> Result<Endpoints, ApiError> {
    let missing = |what: &str| {
        ApiError::new(
            ApiErrorKind::BadAnswer,
            format!("discovery: {} names no usable {what}", address::host_and_port(&settings.issuer)),
        )
    };
    let api = settings.api_endpoint.clone().or_else(|| discovery.api_endpoint.clone());
    let api = api.ok_or_else(|| missing("api_endpoint; set tenant.api_endpoint"))?;
    if let Some(playback) = settings.playback_endpoint.clone() {
        return Ok(Endpoints { api, playback, provisional: false });
    }
    if address::is_loopback(&api) {
        return Ok(Endpoints { playback: api.clone(), api, provisional: false });
    }
    // NICE's own clients build the facade host the same way.
    let area = settings.area.as_ref().or(discovery.area.as_ref()).or(claims.area.as_ref());
    let facade = area.zip(discovery.domain.as_ref());
    let facade = facade.and_then(|(area, domain)| address::https_host(&format!("api-{area}.{domain}")));
    let playback = facade.ok_or_else(|| missing("area and domain; set tenant.playback_endpoint"))?;
    Ok(Endpoints { api, playback, provisional: false })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::SecretString;
    use serde_json::json;

    use super::*;
    use crate::cxone::{CallTimes, Credentials};

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn settings() -> TenantSettings {
        TenantSettings {
            issuer: url("https://cxone.niceincontact.com"),
            credentials: Credentials {
                access_key_id: "id".into(),
                access_key_secret: SecretString::from("secret"),
                client: None,
            },
            area: None,
            auth_endpoint: None,
            api_endpoint: None,
            playback_endpoint: None,
            reporting_version: "v30.0".into(),
            login_hosts: Vec::new(),
            ca: None,
            times: CallTimes::with_billed(Duration::from_secs(1)),
        }
    }

    fn discovery(changes: &Value) -> Discovery {
        let mut document = json!({
            "api_endpoint": "https://api-c53.nice-incontact.com", "auth_endpoint": "https://cxone.niceincontact.com",
            "area": "na1", "domain": "niceincontact.com", "uhDomain": "nice-incontact.com"});
        for (key, value) in changes.as_object().unwrap() {
            document[key] = value.clone();
        }
        Discovery::read(document.as_object().unwrap())
    }

    #[test]
    fn the_api_is_taken_as_given_and_the_facade_is_built() {
        let found = resolve(&settings(), &discovery(&json!({})), &Claims::default()).unwrap();
        assert_eq!(found.api, url("https://api-c53.nice-incontact.com"));
        assert_eq!(found.playback, url("https://api-na1.niceincontact.com"));
    }

    #[test]
    fn the_area_comes_from_the_configuration_then_discovery_then_the_token() {
        let claims = Claims { area: Some("au1".into()), ..Claims::default() };
        let found = resolve(&settings(), &discovery(&json!({"area": null})), &claims).unwrap();
        assert_eq!(found.playback, url("https://api-au1.niceincontact.com"));
        let configured = TenantSettings { area: Some("eu1".into()), ..settings() };
        let found = resolve(&configured, &discovery(&json!({})), &claims).unwrap();
        assert_eq!(found.playback, url("https://api-eu1.niceincontact.com"));
        assert!(resolve(&settings(), &discovery(&json!({"area": null})), &Claims::default()).is_err());
    }

    #[test]
    fn a_loopback_api_keeps_playback_on_the_machine() {
        let found =
            resolve(&settings(), &discovery(&json!({"api_endpoint": "http://127.0.0.1:9/x"})), &Claims::default());
        assert_eq!(found.unwrap().playback, url("http://127.0.0.1:9/x"));
        let local = TenantSettings { api_endpoint: Some(url("http://127.0.0.1:9")), ..settings() };
        assert_eq!(configured(&local).unwrap().playback, url("http://127.0.0.1:9"));
    }

    #[test]
    fn addresses_that_would_leak_the_token_are_not_used() {
        for bad in ["http://api.example", "https://user@api.example", "ftp://x", "", "api.example"] {
            let error =
                resolve(&settings(), &discovery(&json!({"api_endpoint": bad})), &Claims::default()).unwrap_err();
            assert_eq!(error.kind, ApiErrorKind::BadAnswer, "{bad}");
        }
        assert!(resolve(&settings(), &discovery(&json!({"domain": "evil.example/x?"})), &Claims::default()).is_err());
    }

    #[test]
    fn the_token_stays_with_the_origins() {
        let found = resolve(&settings(), &discovery(&json!({})), &Claims::default()).unwrap();
        assert!(found.may_hold_token(&url("https://api-c53.nice-incontact.com/incontactapi/x?y=1")));
        assert!(found.may_hold_token(&url("https://api-na1.niceincontact.com/media-playback")));
        for bad in [
            "http://api-c53.nice-incontact.com/",
            "https://api-c53.nice-incontact.com:8443/",
            "https://api-c53.nice-incontact.com.evil.example/",
            "https://u:p@api-c53.nice-incontact.com/",
        ] {
            assert!(!found.may_hold_token(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn other_login_hosts_are_named_once_and_never_leave_loopback() {
        let issuer = url("https://cxone.niceincontact.com");
        assert_eq!(discovery(&json!({})).login_bases(&issuer), [url("https://na1.nice-incontact.com")]);
        let elsewhere = discovery(&json!({"auth_endpoint": "https://auth.example"}));
        assert_eq!(
            elsewhere.login_bases(&issuer),
            [url("https://auth.example"), url("https://na1.nice-incontact.com")]
        );
        assert!(
            discovery(&json!({}))
                .login_bases(&url("http://127.0.0.1:1"))
                .iter()
                .all(|base| base.host_str() == issuer.host_str())
        );
    }
}
