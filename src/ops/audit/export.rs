//! Lines for the log service: one JSON object in the Elastic Common Schema each, to the journal in its own protocol or to the syslog socket.
//!
//! What was handed over is out of reach: erasing removes nothing there. Sending never waits; what the service does not take is counted.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::line::Object;
use crate::base::Export;

/// Where the journal listens, in its own protocol.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// The version of the schema.
const ECS: &str = "8.17.0";
/// Syslog's facility "authpriv" and severity "info", as in RFC 3164.
const PRIORITY: u8 = (10 << 3) | 6;
/// By what name these lines are found.
const IDENTIFIER: &str = "cxonefs-audit";

/// Where the service listens.
fn socket(export: Export) -> Option<PathBuf> {
    let usual = match export {
        Export::None => return None,
        Export::Journald => JOURNAL,
        Export::Syslog => crate::ops::syslog::SOCKET,
    };
    Some(asked_for().unwrap_or_else(|| PathBuf::from(usual)))
}

/// The socket that tests listen on. Development builds only.
fn asked_for() -> Option<PathBuf> {
    let named = cfg!(debug_assertions).then(|| std::env::var_os("CXONEFS_TEST_AUDIT_SOCKET"));
    named.flatten().map(PathBuf::from)
}

/// Sends lines.
#[derive(Debug)]
pub struct Exporter {
    export: Export,
    path: PathBuf,
    socket: Option<UnixDatagram>,
    is_failing: bool,
}

impl Exporter {
    /// One that connects with the first line.
    #[must_use]
    pub fn new(export: Export) -> Option<Exporter> {
        Some(Exporter { export, path: socket(export)?, socket: None, is_failing: false })
    }

    /// Sends a line; false if the service did not take it. Changes between failing and working are logged.
    pub fn send(&mut self, line: &Object) -> bool {
        let sent = self.try_send(line);
        match &sent {
            Err(error) if !self.is_failing => {
                let path = self.path.display();
                tracing::error!(%error, socket = %path, "the log service takes no audit lines (audit.export); they are in the audit log");
            }
            Ok(()) if self.is_failing => tracing::info!("the log service takes audit lines again"),
            _ => {}
        }
        self.is_failing = sent.is_err();
        sent.is_ok()
    }

    fn try_send(&mut self, line: &Object) -> io::Result<()> {
        let message = self.message(&ecs(line));
        if let Some(socket) = &self.socket
            && socket.send(&message).is_ok()
        {
            return Ok(());
        }
        // The service may have been restarted.
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        socket.set_nonblocking(true)?;
        socket.send(&message)?;
        self.socket = Some(socket);
        Ok(())
    }

    fn message(&self, event: &Value) -> Vec<u8> {
        match self.export {
            // JSON has no line end inside, which is all that the protocol asks for.
            Export::Journald => {
                format!("MESSAGE={event}\nPRIORITY=6\nSYSLOG_FACILITY=10\nSYSLOG_IDENTIFIER={IDENTIFIER}\n")
                    .into_bytes()
            }
            _ => format!("<{PRIORITY}>{IDENTIFIER}[{}]: {event}", std::process::id()).into_bytes(),
        }
    }
}

/// A line's fields under their names in the schema; what it has no name for stands below `cxonefs`.
#[must_use]
pub fn ecs(line: &Object) -> Value {
    let get = |name: &str| line.get(name).filter(|value| !value.is_null()).cloned();
    let outcome = match line.get("outcome").and_then(Value::as_str) {
        Some("ok" | "begun") => "success",
        Some(_) => "failure",
        None => "unknown",
    };
    let is_file = line.contains_key("path") || line.contains_key("master_contact");
    let mut event = Map::new();
    event.insert("@timestamp".into(), get("time").unwrap_or_default());
    event.insert("ecs".into(), json!({ "version": ECS }));
    let (category, kind) = if is_file { ("file", "access") } else { ("configuration", "info") };
    let kinds = if outcome == "failure" { json!([kind, "denied"]) } else { json!([kind]) };
    event.insert(
        "event".into(),
        some([
            ("kind", Some("event".into())),
            ("category", Some(json!([category]))),
            ("type", Some(kinds)),
            ("action", get("event")),
            ("outcome", Some(outcome.into())),
            ("sequence", get("n")),
            ("start", get("since")),
            ("provider", Some("cxonefs".into())),
            ("dataset", Some("cxonefs.audit".into())),
            ("hash", get("chain")),
        ]),
    );
    let text = |name: &str| get(name).map(|value| Value::from(value.to_string()));
    event.insert("user".into(), some([("id", text("uid")), ("group", text("gid").map(|gid| json!({ "id": gid })))]));
    event.insert("process".into(), some([("pid", get("pid")), ("name", get("comm")), ("executable", get("exe"))]));
    event.insert("file".into(), some([("path", get("path"))]));
    event.insert("error".into(), some([("code", get("outcome").filter(|_| outcome == "failure"))]));
    let ours =
        ["master_contact", "contacts", "paths", "door", "billed", "count", "detail", "login_uid", "session", "lost"];
    event.insert("cxonefs".into(), ours.iter().filter_map(|name| Some(((*name).to_owned(), get(name)?))).collect());
    event.retain(|_, value| value.as_object().is_none_or(|object| !object.is_empty()));
    Value::Object(event)
}

fn some<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Object {
        let text = r#"{"n":17,"time":"2026-11-02T13:59:31Z","event":"open","uid":1000,"gid":100,"pid":7,"comm":"cat","door":"/mnt","billed":true,
            "outcome":"EACCES","path":"2026-11-02/x","master_contact":701,"salt":"s","chain":"c"}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn fields_have_the_names_of_the_schema() {
        let event = ecs(&line());
        assert_eq!(event["@timestamp"], "2026-11-02T13:59:31Z");
        assert_eq!((&event["event"]["action"], &event["event"]["outcome"]), (&json!("open"), &json!("failure")));
        assert_eq!((&event["event"]["sequence"], &event["user"]["id"]), (&json!(17), &json!("1000")));
        assert_eq!((&event["file"]["path"], &event["error"]["code"]), (&json!("2026-11-02/x"), &json!("EACCES")));
        assert_eq!((&event["cxonefs"]["master_contact"], &event["cxonefs"]["billed"]), (&json!(701), &json!(true)));
        assert_eq!(event["process"]["name"], "cat");
        let mount: Object = serde_json::from_str(r#"{"n":1,"time":"t","event":"mount","outcome":"ok"}"#).unwrap();
        let event = ecs(&mount);
        assert!(event.get("file").is_none() && event["event"]["category"] == json!(["configuration"]));
    }

    #[test]
    fn both_protocols_carry_it_and_a_service_that_comes_back_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for export in [Export::Journald, Export::Syslog] {
            let path = dir.path().join(export.word());
            let mut exporter = Exporter { export, path: path.clone(), socket: None, is_failing: false };
            assert!(!exporter.send(&line()));
            for _ in 0..2 {
                let server = UnixDatagram::bind(&path).unwrap();
                assert!(exporter.send(&line()));
                let mut buffer = vec![0; 65_536];
                let length = server.recv(&mut buffer).unwrap();
                let said = std::str::from_utf8(&buffer[..length]).unwrap();
                let text = match export {
                    Export::Journald => said.lines().next().unwrap().strip_prefix("MESSAGE=").unwrap(),
                    _ => said.strip_prefix(&format!("<86>cxonefs-audit[{}]: ", std::process::id())).unwrap(),
                };
                assert_eq!(serde_json::from_str::<Value>(text).unwrap(), ecs(&line()));
                assert_eq!(said.contains("\nSYSLOG_IDENTIFIER=cxonefs-audit\n"), export == Export::Journald);
                drop(server);
                std::fs::remove_file(&path).unwrap();
            }
        }
        assert!(Exporter::new(Export::None).is_none());
    }
}
