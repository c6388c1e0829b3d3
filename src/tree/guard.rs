//! The guard against scanners: a program of `mount.deny_processes` may look, but never causes a billed call, whether by looking, by opening, or by
//! reading what takes a new link.
//!
//! Makes no call: it is asked before one is made.

use std::sync::{Arc, PoisonError, RwLock};

use super::error::{ErrorKind, TreeError};
use super::policy::ProgramPatterns;
use super::principal::Principal;

/// Cheap to clone; clones share the programs, which may change while they are in use. The default keeps nobody.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<RwLock<ProgramPatterns>>);

impl Guard {
    pub fn new(scanners: ProgramPatterns) -> Guard {
        Guard(Arc::new(RwLock::new(scanners)))
    }

    /// Other programs from now on.
    pub fn set(&self, scanners: ProgramPatterns) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = scanners;
    }

    /// Fails for a scanner. To be asked where a billed call would be made.
    pub async fn admit(&self, principal: &Principal) -> Result<(), TreeError> {
        let scanner = match self.scanner(principal) {
            Some(name) => Some(name),
            None if self.scanners().is_empty() => None,
            // A name that the program may have chosen, in its own memory.
            None => principal.argv0().await.filter(|name| self.scanners().matches(name)).map(str::to_owned),
        };
        let Some(name) = scanner else { return Ok(()) };
        let message = format!("{name} is in mount.deny_processes and may not cause a billed call");
        Err(TreeError::new(ErrorKind::Denied, message).uncalled())
    }

    /// The name by which a program is known as a scanner, as far as that can be told without waiting for it.
    pub fn scanner(&self, principal: &Principal) -> Option<String> {
        self.scanners().name_of(principal.program()?)
    }

    fn scanners(&self) -> std::sync::RwLockReadGuard<'_, ProgramPatterns> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
