//! What is known of the role that calls are made in, kept in the catalog's facts.

use super::role::Role;
use crate::base::MasterId;
use crate::catalog::{Catalog, CatalogError};

/// The role, in the catalog's facts.
const ROLE_FACT: &str = "playback_role";

/// What is known of the role names no erased interaction any more; `None`: all were erased.
pub fn forget_in_role(catalog: &Catalog, masters: Option<&[MasterId]>) -> Result<(), CatalogError> {
    let mut role = role_before(catalog);
    if role.forget(masters) { keep_role(catalog, &role) } else { Ok(()) }
}

/// What an earlier process knew of the role.
pub fn role_before(catalog: &Catalog) -> Role {
    let text = catalog.fact(ROLE_FACT).ok().flatten();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

pub fn keep_role(catalog: &Catalog, role: &Role) -> Result<(), CatalogError> {
    // A map with string keys can always be written.
    catalog.set_fact(ROLE_FACT, &serde_json::to_string(role).unwrap_or_default())
}
