//! Reads the claims of a token without verifying it: the token came over TLS from the issuer and is only asked where to go next.
//!
//! Opaque tokens are normal; they have no claims.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use crate::cxone::lenient;

/// A token longer than this (bytes) is not looked into.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// JWTs are written without padding; some issuers pad all the same.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The claims that lead to the tenant's endpoints. Both may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cxone) struct Claims {
    pub tenant_id: Option<String>,
    /// `icBUId`.
    pub business_unit: Option<String>,
    pub area: Option<String>,
}

impl Claims {
    /// The claims of a token; none for a token that is not a JWT.
    pub fn of(token: &str) -> Claims {
        let Some(Value::Object(claims)) = payload(token) else { return Claims::default() };
        let text = |name: &str| claims.get(name).and_then(lenient::text);
        Claims { tenant_id: text("tenantId"), business_unit: business_unit(&claims), area: text("area") }
    }

    /// These claims, with `other` where they say nothing.
    pub fn or(self, other: Claims) -> Claims {
        Claims {
            tenant_id: self.tenant_id.or(other.tenant_id),
            business_unit: self.business_unit.or(other.business_unit),
            area: self.area.or(other.area),
        }
    }
}

/// A number, sometimes sent as text.
fn business_unit(claims: &serde_json::Map<String, Value>) -> Option<String> {
    claims.get("icBUId").and_then(lenient::integer).map(|number| number.to_string())
}

fn payload(token: &str) -> Option<Value> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let mut parts = token.split('.');
    let (_header, payload) = (parts.next()?, parts.next()?);
    parts.next()?;
    let json = BASE64URL.decode(payload).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn claims_are_read_with_and_without_padding() {
        let json = r#"{"tenantId":"11eb-é","icBUId":4599999,"area":"au1","exp":1}"#;
        for payload in [BASE64_URL_SAFE_NO_PAD.encode(json), BASE64_URL_SAFE.encode(json)] {
            let claims = Claims::of(&format!("e30.{payload}.sig"));
            assert_eq!(
                claims,
                Claims {
                    tenant_id: Some("11eb-é".into()),
                    business_unit: Some("4599999".into()),
                    area: Some("au1".into()),
                }
            );
        }
    }

    #[test]
    fn opaque_tokens_have_no_claims() {
        for token in ["", "opaque", "a.b", "a.!!.c", "e30.W10.x", "....."] {
            assert_eq!(Claims::of(token), Claims::default(), "{token}");
        }
    }

    #[test]
    fn the_other_token_fills_the_gaps() {
        let id = Claims { tenant_id: Some("t".into()), ..Claims::default() };
        let access = Claims { tenant_id: Some("u".into()), area: Some("na1".into()), ..Claims::default() };
        assert_eq!(
            id.or(access),
            Claims { tenant_id: Some("t".into()), area: Some("na1".into()), ..Claims::default() }
        );
    }
}
