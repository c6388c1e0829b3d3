//! Lines for the log service, to sockets that this test listens on.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Drive, plain};

/// What a service of that kind is told of the opens of one file.
fn exported(export: &str) -> (String, Value) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("log");
    let service = UnixDatagram::bind(&socket).unwrap();
    service.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let setting = format!("audit.export={export}");
    let environment = vec![("CXONEFS_TEST_AUDIT_SOCKET", socket.into())];
    let drive = Drive::in_environment(plain(1, 2), &["--set", &setting], environment);
    let place = drive.tree.recorded().next().unwrap();
    std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = service.recv(&mut buffer).expect("a line about the open");
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        let json = &text[text.find('{').unwrap()..];
        let event: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        if event["event"]["action"] == "open" {
            assert_eq!(event["cxonefs"]["master_contact"], place.master);
            return (text, event);
        }
    }
}

#[test]
fn lines_go_to_journald_and_to_syslog_in_the_elastic_common_schema() {
    let (text, event) = exported("journald");
    assert!(text.starts_with("MESSAGE={") && text.contains("\nSYSLOG_IDENTIFIER=cxonefs-audit\n"), "{text}");
    assert_eq!(
        (event["event"]["outcome"].as_str(), event["user"]["id"].as_str()),
        (Some("success"), Some("0")),
        "{event}"
    );
    assert!(event["file"]["path"].as_str().unwrap().contains(".mp4") && event["ecs"]["version"].is_string(), "{event}");
    let (text, event) = exported("syslog");
    assert!(text.starts_with("<86>cxonefs-audit["), "{text}");
    assert!(event["event"]["sequence"].as_u64().unwrap() > 1, "{event}");
}
