//! Whether an interaction is one that a listing told of: nothing is kept of any other.

use rusqlite::Connection;

use super::error::CatalogError;
use crate::base::MasterId;

const KNOWN: &str = "SELECT 1 FROM interactions WHERE master_id = ?1";
/// What is said of one that is not.
pub(super) const UNKNOWN: CatalogError = CatalogError::Refused("no listing told of this interaction");

/// Fails for an interaction that no listing told of.
pub(super) fn check_known(connection: &Connection, master: MasterId) -> Result<(), CatalogError> {
    if connection.prepare_cached(KNOWN)?.exists([master.0])? { Ok(()) } else { Err(UNKNOWN) }
}
