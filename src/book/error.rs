//! Why a call may not be made.

use std::sync::Arc;

use super::budget::Whose;
use crate::catalog::CatalogError;
use crate::net::Crowded;

/// Why a call may not be made. Cloneable, because calls that are entered together fail together.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BookError {
    #[error("{}", spent(.0))]
    Spent(Whose),
    #[error(transparent)]
    Crowded(#[from] Crowded),
    #[error(transparent)]
    Catalog(Arc<CatalogError>),
    /// The book was closed meanwhile.
    #[error("the ledger is closed")]
    Closed,
}

impl From<CatalogError> for BookError {
    fn from(error: CatalogError) -> BookError {
        BookError::Catalog(Arc::new(error))
    }
}

fn spent(whose: &Whose) -> String {
    match whose {
        Whose::All => String::from("the daily budget of billed calls is spent; raise limits.daily_budget"),
        Whose::User(user) => {
            format!("the daily budget of billed calls of {user} is spent; raise limits.daily_budget_per_user")
        }
    }
}
