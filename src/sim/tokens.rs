//! Access tokens: JSON Web Tokens in form, checked without a table. Pure; told the time.
//!
//! The signature is a hash, not cryptography: it only has to tell our tokens from others and from older generations.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::mix::{mix, mix_text};

/// The tenant's uuid.
pub(super) const TENANT_ID: &str = "11eb0000-0000-4000-8000-0242ac110002";
/// The tenant's area.
pub(super) const AREA: &str = "na1";
/// The tenant's business unit.
pub(super) const BUSINESS_UNIT: i64 = 4_599_999;

/// Makes and checks tokens of one tenant.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenMint {
    pub(super) seed: u64,
    /// Tokens of another generation are unknown.
    pub(super) generation: u64,
}

/// Whom a token is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder<'a> {
    pub(super) tenant_id: &'a str,
    pub(super) user: &'a str,
}

impl TokenMint {
    /// A token that is good until `now + life_s`. `serial` tells tokens of one second apart.
    pub(super) fn issue(&self, issuer: &str, holder: Holder<'_>, now: Timestamp, life_s: u64, serial: u64) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "simulated"});
        let claims = json!({
            "iss": issuer,
            "sub": "user:11eb0000-1111-4000-8000-0242ac110002",
            "aud": "imp@cxone",
            "iat": now.as_second(),
            "exp": now.as_second().saturating_add(i64::try_from(life_s).unwrap_or(i64::MAX)),
            "jti": format!("{:016x}", mix(&[self.seed, serial])),
            "name": holder.user,
            "given_name": "Service",
            "family_name": "User",
            "tenantId": holder.tenant_id,
            "tenant": "simulated_tenant",
            "area": AREA,
            "icBUId": BUSINESS_UNIT,
            "icClusterId": "C99",
            "icAgentId": "8800001",
            "teamId": "301",
            "role": {"legacyId": "Administrator"},
        });
        let body = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.sign(&body);
        format!("{body}.{signature}")
    }

    /// Whether a token is one of ours, of this generation, and not over.
    pub(super) fn accepts(&self, token: &str, now: Timestamp) -> bool {
        let Some((body, signature)) = token.rsplit_once('.') else { return false };
        signature == self.sign(body) && expiry(body).is_some_and(|expiry| now.as_second() < expiry)
    }

    fn sign(&self, body: &str) -> String {
        let word = mix_text(mix(&[self.seed, self.generation]), body);
        let bytes: Vec<u8> = (0..32).flat_map(|n| mix(&[word, n]).to_be_bytes()).collect();
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn expiry(body: &str) -> Option<i64> {
    let (_, claims) = body.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims.get("exp")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_life_and_generation() {
        let mint = TokenMint { seed: 1, generation: 0 };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let holder = Holder { tenant_id: TENANT_ID, user: "key" };
        let token = mint.issue("http://127.0.0.1:1", holder, now, 60, 1);
        let later = |s: i64| Timestamp::from_second(1_800_000_000 + s).unwrap();
        assert!(mint.accepts(&token, later(59)));
        assert!(!mint.accepts(&token, later(60)));
        assert!(!TokenMint { generation: 1, ..mint }.accepts(&token, now));
        assert!(!TokenMint { seed: 2, ..mint }.accepts(&token, now));
        assert!(!mint.accepts(&token[..token.len() - 1], now));
        for wrong in ["", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0"] {
            assert!(!mint.accepts(wrong, now));
        }
        assert_ne!(token, mint.issue("http://127.0.0.1:1", holder, now, 60, 2));
    }
}
