//! The audit log as the tree's observer, and the state database as the keeper of its ends.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::base::Clock;
use crate::base::failure::{Failure, chain};
use crate::catalog::Catalog;
use crate::config::AuditConfig;
use crate::fuse;
use crate::ops::audit::line::Hash;
use crate::ops::audit::{Actor, Anchors, AuditSettings, ChainStore, Head};
use crate::ops::{AuditLog, AuditRecord};
use crate::tree::{Audit, NotAudited, OpenEvent, Principal};

/// Opens the log of a state directory.
pub fn open(dir: &Path, config: &AuditConfig, catalog: &Catalog, clock: Arc<dyn Clock>) -> Result<AuditLog, Failure> {
    let settings = AuditSettings::new(config.keep, config.required, config.export);
    let log = AuditLog::open(dir, settings, Arc::new(InCatalog(catalog.clone())), clock);
    log.map_err(|error| Failure::failed(error).while_doing("audit log"))
}

/// The chain's ends in the state database.
struct InCatalog(Catalog);

impl ChainStore for InCatalog {
    fn anchors(&self) -> Result<Option<Anchors>, String> {
        let ends = self.0.audit_chain().map_err(|error| chain(&error))?;
        Ok(ends.map(|ends| anchors(&ends)))
    }

    fn note_head(&self, head: &Head) -> Result<(), String> {
        self.0.note_audit_head((head.number, head.hash.0)).map_err(|error| chain(&error))
    }

    fn note_start(&self, start: &Head) -> Result<(), String> {
        self.0.note_audit_start((start.number, start.hash.0)).map_err(|error| chain(&error))
    }
}

/// As the log has them.
pub fn anchors(ends: &crate::catalog::ChainEnds) -> Anchors {
    let head = |(number, hash)| Head { number, hash: Hash(hash) };
    Anchors { start: head(ends.start), head: head(ends.head) }
}

/// The caller in the form of the audit log.
pub fn actor(principal: &Principal) -> Actor {
    let (user, program) = (principal.user(), principal.program());
    Actor {
        uid: user.uid,
        gid: user.gid,
        pid: principal.pid(),
        comm: principal.comm().to_owned(),
        exe: program.and_then(|program| program.exe.clone()),
        login_uid: program.and_then(|program| program.login_uid),
        session: program.and_then(|program| program.session),
    }
}

/// This process.
pub fn ourselves() -> Actor {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let principal = fuse::principal(uid, gid, std::process::id());
    actor(&principal)
}

/// Writes what the tree and its commands tell.
pub struct AuditSink {
    pub log: Arc<AuditLog>,
    pub clock: Arc<dyn Clock>,
    /// Whether agents' names may be written.
    pub names: bool,
}

#[async_trait]
impl Audit for AuditSink {
    fn check(&self) -> Result<(), NotAudited> {
        self.log.check().map_err(|error| NotAudited(error.to_string()))
    }

    async fn opened(&self, event: OpenEvent) -> Result<(), NotAudited> {
        let record = AuditRecord {
            actor: Some(actor(&event.principal)),
            door: Some(Arc::clone(&event.door)),
            path: Some(self.path(&event.path)),
            master_contact: Some(event.master.0),
            billed: Some(event.billed),
            outcome: Some(event.outcome.map_or_else(crate::tree::ErrorKind::name, |()| "ok").into()),
            ..AuditRecord::new(event.act.word(), self.clock.now())
        };
        self.log.event(record).await.map_err(|error| NotAudited(error.to_string()))
    }
}

impl AuditSink {
    /// The time of a record that is made now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A path as it may stand in the log.
    pub fn path(&self, path: &str) -> String {
        if self.names { path.to_owned() } else { nameless(path) }
    }
}

/// A path with the agent's id in place of name and id: with encryption on, no name is written anywhere in the clear. What a command names may have
/// parts that say nothing.
fn nameless(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
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
        for told in [
            "./2026-11-02/Keller_Rosa_8812345",
            "/2026-11-02//Keller_Rosa_8812345/",
            "2026-11-02/./Keller_Rosa_8812345",
        ] {
            assert_eq!(nameless(told), "2026-11-02/agent_8812345", "as cxonefs warm may be told it");
        }
    }
}
