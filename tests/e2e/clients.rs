//! A public client of the service meets the simulated tenant: what real clients do has to work there, or the simulator refuses what the service takes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Running, Sandbox, assert_same_bytes, eventually, packages, sh, tool};

const CLIENT: &str = "nicepy==1.0.0";

/// Lists a day and downloads the first recording that there is, as the client's own functions do.
const SCRIPT: &str = r#"
import json, sys
from NicePy import Contacts
rows = Contacts.GetCompletedContacts("2026-11-02T00:00:00Z", "2026-11-02T23:59:59Z", MaxIteration=500, MediaTypeId=4)
for row in rows:
    master = int(row["masterContactId"] or row["contactId"])
    try:
        url = Contacts.GetRecordingURL(master)
    except Exception as error:
        print("no recording:", master, error, file=sys.stderr)
        continue
    if url:
        details = Contacts.GetContactDetails(master)
        open("recording.mp4", "wb").write(Contacts.Fetch_Recording(master))
        print(json.dumps({"rows": len(rows), "master": master, "details": details["contactId"]["contactId"]}))
        break
"#;

/// The client in a virtual environment below `target/`, installed when it is missing.
fn installed() -> PathBuf {
    packages::of_python("nicepy", &[CLIENT]).unwrap()
}

/// `cxonefs simulate --print-config`, listening.
fn simulated(sandbox: &Sandbox) -> (Running, u16) {
    let (port_file, work) = (sandbox.path("port"), sandbox.path("work"));
    let line = format!(
        "exec '{}' simulate --last-day 2026-11-02 --timezone UTC --agents 3 --contacts-per-day 12 --port-file '{}' --print-config --dir '{}' > '{}'",
        env!("CARGO_BIN_EXE_cxonefs"),
        port_file.display(),
        work.display(),
        sandbox.config().display()
    );
    let simulator = sh(&line).start();
    let port = || fs::read_to_string(&port_file).ok()?.trim().parse().ok();
    eventually("it listens", Duration::from_secs(30), || port().is_some());
    (simulator, port().unwrap())
}

/// A value of the printed configuration.
fn printed(sandbox: &Sandbox, key: &str) -> String {
    let text = fs::read_to_string(sandbox.config()).unwrap();
    let document: toml_edit::DocumentMut = text.parse().unwrap();
    document["tenant"][key].as_str().unwrap_or_else(|| panic!("{key} is not in:\n{text}")).to_owned()
}

#[test]
fn nicepy_lists_a_day_and_downloads_a_recording() {
    let venv = installed();
    let sandbox = Sandbox::empty();
    let (_simulator, port) = simulated(&sandbox);
    let dir = sandbox.dir("client");
    let package = sh(&format!("echo '{}'/lib/python3*/site-packages/NicePy", venv.display())).ok().stdout;
    sh(&format!(
        "cp -r {} '{dir}' && sed -Ei 's#https://(cxone.niceincontact.com|na1.nice-incontact.com)#http://127.0.0.1:{port}#' '{dir}'/NicePy/*.py",
        package.trim(),
        dir = dir.display()
    ))
    .ok();
    let secret = |key: &str| fs::read_to_string(printed(&sandbox, key)).unwrap();
    let known = serde_json::json!({
        "client_id": printed(&sandbox, "client_id"),
        "client_secret": secret("client_secret_file"),
        "username": printed(&sandbox, "access_key_id"),
        "password": secret("access_key_secret_file"),
        "APIVersion": "28.0",
    });
    fs::write(dir.join("nicepy_config.json"), known.to_string()).unwrap();
    fs::write(dir.join("script.py"), SCRIPT).unwrap();
    let done = tool(venv.join("bin/python"))
        .arg("script.py")
        .in_dir(&dir)
        .env("OAUTHLIB_INSECURE_TRANSPORT", "1")
        .env("NO_PROXY", "127.0.0.1")
        .within(Duration::from_mins(2))
        .ok();
    let said: Value =
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", done.stdout, done.stderr));
    assert!(said["rows"].as_u64().unwrap() >= 20 && said["details"] == said["master"], "{said}");
    let truth = format!("GET /__sim/truth/media/{}/1", said["master"]);
    let (status, expected) = crate::harness::request(([127, 0, 0, 1], port).into(), &truth, "");
    assert_eq!(status, 200);
    let got = dir.join("recording.mp4");
    assert_same_bytes(&fs::read(&got).unwrap(), &expected, &got);
}
