//! Which tenant a login reached: what tells one tenant's state and cache from another's.
//!
//! Pure. Knows no directory and no request.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is known of a tenant's identity, strongest first. Sources: the token's claims `tenantId` and `icBUId`, and the address of
/// the Reporting API, which is always known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantIdentity {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business_unit: Option<String>,
    /// Host and port.
    pub api_endpoint: String,
}

impl TenantIdentity {
    /// Whether both are one tenant, by the strongest attribute that both know: opaque tokens carry no ids, and one tenant may be
    /// reached by several hosts.
    #[must_use]
    pub fn is_same(&self, other: &TenantIdentity) -> bool {
        let both = |one: &Option<String>, two: &Option<String>| {
            one.as_ref().zip(two.as_ref()).map(|(one, two)| one.eq_ignore_ascii_case(two))
        };
        both(&self.tenant_id, &other.tenant_id)
            .or_else(|| both(&self.business_unit, &other.business_unit))
            .unwrap_or_else(|| self.api_endpoint.eq_ignore_ascii_case(&other.api_endpoint))
    }

    /// This identity, with what `known` knew before where this says nothing.
    #[must_use]
    pub fn completed_by(self, known: &TenantIdentity) -> TenantIdentity {
        TenantIdentity {
            tenant_id: self.tenant_id.or_else(|| known.tenant_id.clone()),
            business_unit: self.business_unit.or_else(|| known.business_unit.clone()),
            api_endpoint: self.api_endpoint,
        }
    }
}

impl fmt::Display for TenantIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.tenant_id, &self.business_unit) {
            (Some(id), _) => write!(f, "tenant {id}"),
            (None, Some(unit)) => write!(f, "business unit {unit}"),
            (None, None) => write!(f, "the tenant at {}", self.api_endpoint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(tenant: &str, unit: &str, api: &str) -> TenantIdentity {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        TenantIdentity { tenant_id: text(tenant), business_unit: text(unit), api_endpoint: api.to_owned() }
    }

    #[test]
    fn the_strongest_attribute_that_both_know_decides() {
        let known = identity("t1", "7", "api-na1:443");
        assert!(known.is_same(&identity("T1", "8", "api-c53:443")), "one tenant, whatever else differs");
        assert!(!known.is_same(&identity("t2", "7", "api-na1:443")));
        assert!(known.is_same(&identity("", "7", "api-c53:443")));
        assert!(!known.is_same(&identity("", "8", "api-na1:443")));
        assert!(known.is_same(&identity("", "", "API-na1:443")));
        assert!(!known.is_same(&identity("", "", "api-c53:443")));
    }

    #[test]
    fn a_later_opaque_token_does_not_forget_the_id() {
        let completed = identity("", "", "b").completed_by(&identity("t1", "", "a"));
        assert_eq!(completed, identity("t1", "", "b"));
        assert_eq!(completed.to_string(), "tenant t1");
    }
}
