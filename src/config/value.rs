//! A setting's value as it was given, and where. Knows no keys and no meaning.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text without a type of its own: from the environment or the command line.
    Plain(String),
    /// A TOML string.
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// A TOML array of strings.
    List(Vec<String>),
    /// A TOML array of strings and integers.
    Mixed(Vec<String>),
    /// A TOML value that no key takes; named by its type.
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Plain(text) | Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => number.fmt(f),
            Value::Boolean(truth) => truth.fmt(f),
            Value::List(words) | Value::Mixed(words) => write!(f, "{words:?}"),
            Value::Other(kind) => f.write_str(kind),
        }
    }
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a configuration file; line and column count from 1, columns in characters.
    File { path: Arc<Path>, line: u32, column: u32 },
    /// In this environment variable.
    Environment(String),
    /// By this flag, as the user would write it (`--set`, `--since`, `-o`).
    Flag(String),
    /// By `--profile`.
    Profile(&'static str),
    /// Nowhere: the key's own default.
    Default,
}

impl Origin {
    /// The folder that relative paths of this origin start from; `None` for the current one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Origin::File { path, .. } => path.parent(),
            _ => None,
        }
    }

    /// Whether the command line said so.
    #[must_use]
    pub fn is_flag(&self) -> bool {
        matches!(self, Origin::Flag(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Origin::Environment(name) => f.write_str(name),
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Profile(name) => write!(f, "--profile {name}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub value: Value,
    pub origin: Origin,
}
