//! Programs that look at everything and want nothing of it: scanners, thumbnailers, file managers.
//!
//! A scanner (`mount.deny_processes`) never causes a billed call, whether by looking, by opening, or by reading what takes a new link. A file manager
//! (`mount.file_managers`) opens documents only to tell their type, so it causes none by a document; recordings, which it copies, open for it. Both are
//! known by their names. GIO's check of a file's type is also known by what it does, in any program. The guard limits cost and is no access
//! control: programs choose their names.
//!
//! Makes no call: it is asked before one is made.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::error::{ErrorKind, TreeError};
use super::policy::ProgramPatterns;
use super::principal::Principal;
use crate::catalog::FileKind;

/// The library whose checks of types are known by how they open a file.
const GIO: &str = "/libgio-2.0.so";
/// Programs whose refusal is remembered as logged.
const LOGGED_MAX: usize = 256;

/// Which programs are guarded against.
#[derive(Clone, Debug, Default)]
pub struct GuardedPrograms {
    /// Never cause a billed call (`mount.deny_processes`).
    pub scanners: ProgramPatterns,
    /// Cause none by a document (`mount.file_managers`).
    pub file_managers: ProgramPatterns,
}

/// Cheap to clone; clones share the programs, which may change while they are in use. The default keeps nobody.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    programs: RwLock<GuardedPrograms>,
    /// Programs whose refusal the log has a line about: one each, however many files they try.
    logged: Mutex<HashSet<String>>,
}

impl Guard {
    pub fn new(programs: GuardedPrograms) -> Guard {
        Guard(Arc::new(Inner { programs: RwLock::new(programs), logged: Mutex::default() }))
    }

    /// Other programs from now on.
    pub fn set(&self, programs: GuardedPrograms) {
        *self.0.programs.write() = programs;
    }

    /// Fails for a scanner. To be asked where a billed call would be made.
    pub async fn admit(&self, principal: &Principal) -> Result<(), TreeError> {
        let Some(name) = self.name_in(|programs| &programs.scanners, principal).await else { return Ok(()) };
        let message = format!("{name} is in mount.deny_processes and may not cause a billed call");
        Err(self.refuse(&name, message))
    }

    /// Fails for what opens a document only to tell its type. To be asked where that document would take a billed call. `keeps_atime`: the file's
    /// access time is to be left alone.
    pub async fn admit_look(&self, kind: FileKind, keeps_atime: bool, principal: &Principal) -> Result<(), TreeError> {
        if matches!(kind, FileKind::Recording(_)) {
            return Ok(());
        }
        let remedy = "it can open the document once the recording was opened; other programs can at any time";
        if let Some(name) = self.name_in(|programs| &programs.file_managers, principal).await {
            let rule = "is in mount.file_managers and may not cause a billed call by opening a document";
            return Err(self.refuse(&name, format!("{name} {rule}: {remedy}")));
        }
        // GIO opens a file in this way to tell its type, and for nothing else.
        if keeps_atime && principal.has_loaded(GIO).await {
            let name = principal.comm();
            let rule = "opened a document as GIO does to tell its type, which may not cause a billed call";
            return Err(self.refuse(name, format!("{name} {rule}: {remedy}")));
        }
        Ok(())
    }

    /// The name by which a program is known as a scanner, as far as that can be told without waiting for it.
    pub fn scanner(&self, principal: &Principal) -> Option<String> {
        self.programs().scanners.name_of(principal.program()?)
    }

    async fn name_in(&self, list: fn(&GuardedPrograms) -> &ProgramPatterns, principal: &Principal) -> Option<String> {
        let by_program = principal.program().and_then(|program| list(&self.programs()).name_of(program));
        if by_program.is_some() || list(&self.programs()).is_empty() {
            return by_program;
        }
        // A name that the program may have chosen, in its own memory.
        principal.argv0().await.filter(|name| list(&self.programs()).matches(name)).map(str::to_owned)
    }

    /// The refusal of a program. The first of each program says that further ones have no line in the log.
    fn refuse(&self, name: &str, message: String) -> TreeError {
        let mut logged = self.0.logged.lock();
        if logged.len() < LOGGED_MAX && logged.insert(name.to_owned()) {
            let message = format!("{message}; this is logged once for each program");
            return TreeError::new(ErrorKind::Denied, message);
        }
        TreeError::new(ErrorKind::Denied, message).told()
    }

    fn programs(&self) -> RwLockReadGuard<'_, GuardedPrograms> {
        self.0.programs.read()
    }
}
