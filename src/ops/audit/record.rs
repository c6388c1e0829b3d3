//! What happened, before it is a line: who did what to which recording, and what came of it.
//!
//! Field names of the line are part of what users see; `docs/SECURITY.md` lists them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::line::Object;
use super::text::{COMM_BYTES_MAX, DETAIL_BYTES_MAX, EXE_BYTES_MAX, PATH_BYTES_MAX, shown};

/// Paths that one line names; a command may have had more.
const PATHS_MAX: usize = 16;

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    pub uid: u32,
    pub gid: u32,
    /// The process, not its thread; 0 where the caller is outside of this process's pid namespace.
    pub pid: u32,
    /// The process's short name; empty where it could not be seen.
    pub comm: String,
    /// Path of its executable file, where it may be seen.
    pub exe: Option<String>,
    /// The user who logged in, and the session, where the kernel's audit knows them.
    pub login_uid: Option<u32>,
    pub session: Option<u32>,
}

/// One thing that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRecord {
    /// `open`, `warm`, or a command's name.
    pub event: Cow<'static, str>,
    pub time: Timestamp,
    /// None: the program itself.
    pub actor: Option<Actor>,
    /// The mount point through which it was done.
    pub door: Option<Arc<str>>,
    /// Whether it needed a billed call.
    pub billed: Option<bool>,
    /// `ok`, the name of the errno, or a word.
    pub outcome: Option<Cow<'static, str>>,
    /// What else is to know; names no customer and no agent.
    pub detail: Option<String>,
    /// Times that it happened.
    pub count: u64,
    /// The first of them, where there were several.
    pub since: Option<Timestamp>,
    /// Lines that are missing here, and of which users.
    pub lost: Option<(u64, BTreeMap<u32, u64>)>,
    /// Below the mount point, without a leading slash. Can be erased, as can what follows.
    pub path: Option<String>,
    pub master_contact: Option<i64>,
    /// Master contacts of a line that stands for several.
    pub contacts: Vec<i64>,
    /// What a command was about.
    pub paths: Vec<String>,
}

impl AuditRecord {
    /// Something that happened once.
    #[must_use]
    pub fn new(event: impl Into<Cow<'static, str>>, time: Timestamp) -> AuditRecord {
        AuditRecord { event: event.into(), time, count: 1, ..AuditRecord::default() }
    }

    /// The line's fields, without number, salt and chain.
    #[must_use]
    pub fn fields(&self) -> Object {
        let mut object = Object::new();
        let mut put = |name: &str, value: Value| {
            object.insert(name.to_owned(), value);
        };
        put("time", Value::from(self.time.to_string()));
        put("event", Value::from(shown(&self.event, DETAIL_BYTES_MAX)));
        if let Some(actor) = &self.actor {
            put("uid", actor.uid.into());
            put("gid", actor.gid.into());
            put("pid", actor.pid.into());
            put("comm", shown(&actor.comm, COMM_BYTES_MAX).into());
            if let Some(exe) = &actor.exe {
                put("exe", shown(exe, EXE_BYTES_MAX).into());
            }
            if let Some(uid) = actor.login_uid {
                put("login_uid", uid.into());
            }
            if let Some(session) = actor.session {
                put("session", session.into());
            }
        }
        if let Some(door) = &self.door {
            put("door", shown(door, PATH_BYTES_MAX).into());
        }
        if let Some(billed) = self.billed {
            put("billed", billed.into());
        }
        if let Some(outcome) = &self.outcome {
            put("outcome", shown(outcome, DETAIL_BYTES_MAX).into());
        }
        if let Some(detail) = &self.detail {
            put("detail", shown(detail, DETAIL_BYTES_MAX).into());
        }
        if self.count > 1 {
            put("count", self.count.into());
        }
        if let Some(since) = self.since {
            put("since", since.to_string().into());
        }
        if let Some((lost, by_user)) = &self.lost {
            put("lost", (*lost).into());
            put("lost_by_uid", by_user.iter().map(|(uid, count)| (uid.to_string(), Value::from(*count))).collect());
        }
        if let Some(path) = &self.path {
            put("path", shown(path, PATH_BYTES_MAX).into());
        }
        if let Some(master) = self.master_contact {
            put("master_contact", master.into());
        }
        if !self.contacts.is_empty() {
            put("contacts", self.contacts.clone().into());
        }
        if !self.paths.is_empty() {
            let named = self.paths.iter().take(PATHS_MAX).map(|path| shown(path, PATH_BYTES_MAX));
            let more = self.paths.len().saturating_sub(PATHS_MAX);
            let more = (more > 0).then(|| format!("and {more} more"));
            put("paths", named.chain(more).collect());
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_there_and_what_others_chose_is_bounded() {
        let actor = Actor { uid: 7, comm: "\x01".repeat(15), exe: Some("x".repeat(5000)), ..Actor::default() };
        let record = AuditRecord { actor: Some(actor), ..AuditRecord::new("open", Timestamp::UNIX_EPOCH) };
        let object = record.fields();
        assert!(["count", "session", "path", "contacts", "lost"].iter().all(|name| !object.contains_key(*name)));
        assert_eq!(object["comm"], "^A".repeat(15));
        let text = serde_json::to_string(&object).unwrap();
        assert!(text.len() < 1000, "{}", text.len());
        let many = AuditRecord { paths: vec![String::from("a"); 20], ..AuditRecord::default() };
        assert_eq!(many.fields()["paths"].as_array().unwrap().len(), PATHS_MAX + 1);
    }
}
