//! The audit log as the tree's observer.

use std::path::Path;
use std::sync::Arc;

use crate::base::Clock;
use crate::cli::failure::Failure;
use crate::ops::rotate::Rotation;
use crate::ops::{AuditLog, AuditRecord};
use crate::vfs::{Audit, OpenEvent};

/// Writes what the tree tells.
pub struct AuditSink {
    pub log: Arc<AuditLog>,
    clock: Arc<dyn Clock>,
    /// Whether agents' names may be written.
    names: bool,
}

impl AuditSink {
    pub fn open(dir: &Path, names: bool, clock: Arc<dyn Clock>) -> Result<AuditSink, Failure> {
        let log = AuditLog::open(dir, Rotation::LOG);
        let log = log.map_err(|error| Failure::failed(error).while_doing("audit log"))?;
        Ok(AuditSink { log: Arc::new(log), clock, names })
    }
}

impl Audit for AuditSink {
    fn opened(&self, event: &OpenEvent) {
        let (user, program) = (event.principal.user(), event.principal.program());
        self.log.record(AuditRecord {
            time: self.clock.now(),
            uid: user.uid,
            gid: user.gid,
            pid: event.principal.pid(),
            comm: event.principal.comm().to_owned(),
            exe: program.and_then(|program| program.exe.clone()),
            login_uid: program.and_then(|program| program.login_uid),
            session: program.and_then(|program| program.session),
            path: if self.names { event.path.clone() } else { nameless(&event.path) },
            master_contact: event.master,
            billed: event.billed,
            outcome: event.outcome.map_or_else(|kind| kind.name().to_owned(), |()| String::from("ok")),
        });
    }
}

/// A path with the agent's id in place of name and id: with encryption on, no name is written anywhere in the clear.
fn nameless(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    let id = parts.get(1).and_then(|agent| agent.rsplit_once('_')).map(|(_, id)| id);
    let id = id.filter(|id| id.parse::<i64>().is_ok()).map(|id| format!("agent_{id}"));
    if let (Some(id), Some(agent)) = (&id, parts.get_mut(1)) {
        *agent = id;
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_its_agents_name_still_leads_to_the_file() {
        let path = "2026-11-02/Keller_Rosa_8812345/085931_call_in_701/recording.mp4";
        assert_eq!(nameless(path), "2026-11-02/agent_8812345/085931_call_in_701/recording.mp4");
        assert_eq!(nameless("2026-11-02/no_agent/x"), "2026-11-02/no_agent/x");
    }
}
