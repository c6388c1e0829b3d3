//! The commands of `docs/SECURITY.md`, run as they stand there.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Drive, plain, tool};

/// The shell of the section with this heading.
fn shell_of(heading: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SECURITY.md")).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with(heading)).expect("the section is there");
    let (_, rest) = section.split_once("```sh\n").expect("it has commands");
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn a_person_is_erased_as_the_document_says() {
    let drive = Drive::of(plain(2, 4));
    let number_of = |path: &Path| {
        let records: Value = serde_json::from_slice(&std::fs::read(path.join("contact.json")).unwrap()).unwrap();
        records[0]["fromAddress"].as_str().unwrap().to_owned()
    };
    for place in &drive.tree.places {
        std::fs::read(drive.at(&place.path).join("recording.mp4")).unwrap();
    }
    let victim = drive.at(&drive.tree.places[0].path);
    let number = number_of(&victim);
    let others: Vec<_> = drive.tree.places.iter().filter(|place| number_of(&drive.at(&place.path)) != number).collect();
    assert!(others.len() >= 4);
    let program = Path::new(env!("CARGO_BIN_EXE_cxonefs")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let script = format!("set -euo pipefail\n{}", shell_of("How to erase a person's recordings"));
    let list = drive.sandbox.path("list");
    let done = tool("bash")
        .args(["-c", &script])
        .env("PATH", path)
        .env("NUMBER", &number)
        .env("MOUNT", drive.path())
        .env("STATE", drive.sandbox.state())
        .env("CACHE", drive.sandbox.cache())
        .env("LIST", &list)
        .ok();
    assert!(done.stdout.contains("erased: ") && !done.stdout.contains("is left") && !list.exists(), "{}", done.stdout);
    assert!(!victim.exists());
    for place in others {
        assert!(drive.at(&place.path).join("recording.mp4").exists(), "{}", place.path.display());
    }
    let left = tool("grep").args(["-rlF", &number]).args([drive.sandbox.state(), drive.sandbox.cache()]).run();
    assert_eq!(left.stdout, "", "and the number itself is nowhere");
}
