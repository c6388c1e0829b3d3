//! What can be wrong with a configuration: where, what, and what to do. Never shows a secret.

use std::io;
use std::path::PathBuf;

use super::keys::{self, DefaultValue};
use super::suggest::Suggestion;
use super::units::UnitError;
use super::value::Origin;
use crate::base::failure::Failure;
use crate::net::CaError;

/// A configuration that cannot be used. All of these are exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("no configuration found; looked for {}", listed(.looked_for))]
    NoConfiguration { looked_for: Vec<PathBuf> },

    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("the configuration {}: {} {problem}", file.display(), path.display())]
    Untrusted { file: PathBuf, path: PathBuf, problem: String, remedy: String },

    #[error("{place}: {message}")]
    Syntax { place: Origin, message: String },

    #[error("{place}: unknown key \"{key}\"{suggestion}")]
    UnknownKey { place: Origin, key: String, suggestion: Suggestion },

    #[error("unknown environment variable {name}{suggestion}")]
    UnknownVariable { name: String, suggestion: Suggestion },

    #[error("environment variable {name} is not UTF-8 text")]
    VariableNotText { name: String },

    #[error("{place}: {key}: expected {expected}, found {found}: {reason}")]
    Invalid { place: Origin, key: String, expected: &'static str, found: String, reason: UnitError },

    #[error("{place}: {key}: {reason}")]
    OutOfRange { place: Origin, key: String, reason: String },

    #[error("{place}: \"{section}\" is a section; it holds keys, so write [{section}] above them")]
    NotASection { place: Origin, section: String },

    #[error("{key} is missing")]
    Missing { key: String, variable: String, file: Option<PathBuf> },

    #[error("the secret {key} is missing")]
    MissingSecret { key: &'static str, file_key: &'static str, variable: String },

    #[error("{place}: {key} must not be written here")]
    SecretHere { place: Origin, key: String, file_key: String, variable: String },

    #[error("{place}: {key}: cannot read {}", path.display())]
    SecretUnreadable {
        place: Origin,
        key: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("{place}: {key}: {} {problem}", path.display())]
    SecretUnsafe { place: Origin, key: Box<str>, path: PathBuf, problem: String, remedy: String },

    #[error("{place}: {key}: {bad}")]
    CaFile {
        place: Origin,
        key: String,
        #[source]
        bad: Box<BadCaFile>,
    },

    #[error("{place}: {key}: {program} {problem}")]
    KeyCommand { place: Origin, key: String, program: String, problem: String },

    #[error("{place}: cache.encryption is \"required\", and there is no key")]
    NoKey { place: Origin },

    #[error("{place}: expected section.key=value, found {found:?}{suggestion}")]
    NotAnAssignment { place: Origin, found: String, suggestion: Suggestion },

    #[error("{key}: no home directory to put its default in")]
    NoHome { key: String },
}

/// A file of certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} {why}", path.display())]
pub struct BadCaFile {
    pub path: PathBuf,
    #[source]
    pub why: CaError,
    /// Where the usual one does not fit.
    pub remedy: Option<String>,
}

impl ConfigError {
    /// What to do about it, where the message alone does not say.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            ConfigError::NoConfiguration { looked_for } => Some(format!(
                "`cxonefs init` asks for what is needed and writes {}; or name one with --config FILE; `cxonefs demo` needs none",
                looked_for.first().map_or_else(|| String::from("a file"), |path| path.display().to_string())
            )),
            ConfigError::Missing { key, variable, file } => {
                let place =
                    file.as_ref().map_or_else(|| String::from("the configuration"), |f| f.display().to_string());
                Some(format!("set {key} in {place}, or {variable} in the environment"))
            }
            ConfigError::MissingSecret { file_key, variable, .. } => Some(format!(
                "put it in a file that only you can read and name that file as tenant.{file_key}, or set {variable}"
            )),
            ConfigError::SecretHere { file_key, variable, .. } => Some(format!(
                "put it in a file that only you can read and name that file as tenant.{file_key}, or set {variable}"
            )),
            ConfigError::SecretUnsafe { remedy, .. } | ConfigError::Untrusted { remedy, .. } => Some(remedy.clone()),
            ConfigError::Unreadable { path, source } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!("name one that is there, or write it: cxonefs init --config {}", path.display()))
            }
            ConfigError::Unreadable { .. } => Some(String::from("name a file that you can read: --config FILE")),
            ConfigError::SecretUnreadable { key, path, source, .. } => Some(match source.kind() {
                io::ErrorKind::NotFound => {
                    format!("put it there, readable by you alone (chmod 600 {}), or correct {key}", path.display())
                }
                _ => format!("it must be a file that you can read; or correct {key}"),
            }),
            ConfigError::Invalid { key, .. } | ConfigError::OutOfRange { key, .. } => Some(match default_of(key) {
                Some(default) => format!("correct it, or leave it out: the default is {default:?}"),
                None => String::from("correct it; docs/CONFIGURATION.md describes every key"),
            }),
            ConfigError::CaFile { key, bad, .. } => Some(bad.remedy.clone().unwrap_or_else(|| format!(
                "{key} names a file of certificates in PEM form, one after the other; leave it out where the system's authorities are enough"
            ))),
            ConfigError::KeyCommand { program, .. } => Some(format!(
                "it must print a key of 32 bytes and end with 0; try it by hand, as the same user: {program}"
            )),
            ConfigError::NoKey { .. } => Some(String::from(
                "name one by cache.encryption_key_file or cache.encryption_key_command, or give systemd's credential encryption_key; docs/ENCRYPTION.md says how",
            )),
            ConfigError::NoHome { key } => Some(format!("set {key}, or HOME")),
            ConfigError::UnknownKey { .. } | ConfigError::UnknownVariable { .. } => {
                Some(String::from("every key is listed in docs/CONFIGURATION.md"))
            }
            _ => None,
        }
    }
}

/// What holds for `section.key` where nobody says anything, if that can be written.
fn default_of(path: &str) -> Option<&'static str> {
    let (section, name) = path.split_once('.')?;
    match keys::find(section, name)?.info().default_value {
        DefaultValue::Is(default) => Some(default),
        DefaultValue::Described(_) | DefaultValue::Required => None,
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}
impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let remedy = error.remedy();
        Failure::usage(error).with_remedy(remedy)
    }
}
