//! A configuration of any text: an entry point for fuzzing. Compiled for tests and fuzzers only.

use std::ffi::OsString;
use std::path::PathBuf;

use super::raw::{self, Assignment, ConfigFile};
use super::resolve::{Sources, resolve};
use super::{Host, env, units};

/// A secret at a place where none may stand: no message may repeat it.
const CANARY: &str = "c4n4ry-0f-4-s3cret";

/// A configuration file, and its lines as flags and variables.
pub fn configuration(text: &str) {
    let host = Host { euid: 1000, egid: 1000, home: Some(PathBuf::from("/nonexistent")), ..Host::default() };
    for text in [text.to_owned(), text.replacen("[tenant]", &format!("[tenant]\naccess_key_secret = \"{CANARY}\""), 1)]
    {
        let file = ConfigFile { path: PathBuf::from("/nonexistent/config.toml"), text };
        let sources = Sources { file: Some(file), ..Sources::default() };
        if let Err(error) = resolve(&sources, &host) {
            let said = format!("{error} {error:?} {}", error.remedy().unwrap_or_default());
            assert!(!said.contains(CANARY), "a message repeats a secret");
        }
    }
    let flags: Vec<Assignment> = text.lines().filter_map(|line| Assignment::parse(line, "--set").ok()).collect();
    let _ = raw::parse_assignments(&flags);
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let _ = env::read(variables);
    for word in text.split_whitespace().take(64) {
        let _ =
            (units::parse_size(word), units::parse_duration(word), units::parse_since(word), units::parse_mode(word));
    }
}
