//! What the tenant handed out that must stay secret: tokens and the signatures of links. Tests look for it where it must not be.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// More than any test causes; beyond it nothing is remembered.
const REMEMBERED_MAX: usize = 100_000;

/// The secrets, shared by the tenant and whoever looks for them.
#[derive(Clone, Debug, Default)]
pub struct HandedOut(Arc<Mutex<HashSet<String>>>);

impl HandedOut {
    /// Remembers one.
    pub(super) fn note(&self, secret: &str) {
        let mut known = self.0.lock();
        if known.len() < REMEMBERED_MAX {
            known.insert(secret.to_owned());
        }
    }

    /// All of them so far, in no order.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.0.lock().iter().cloned().collect()
    }
}
