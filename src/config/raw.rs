//! The configuration as written: the file's keys and the command line's assignments, checked against the table of keys,
//! each with its place. Knows no defaults and no precedence.

use std::path::PathBuf;

use toml_edit::{Document, TableLike};

use super::also;
use super::error::ConfigError;
use super::keys::{self, AnyKey, Standing};
pub use super::layer::Layer;
use super::layer::{Places, span_of_key, value_of};
use super::suggest;
use super::value::{Origin, Setting, Value};

/// A file larger than this is no configuration; bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// A configuration file's text.
#[derive(Clone)]
pub struct ConfigFile {
    pub path: PathBuf,
    pub text: String,
}

/// An assignment on the command line.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// `section.key`.
    pub key: String,
    pub value: String,
    /// As the user would write it: `--set`, `--since`, `-o`.
    pub flag: String,
}

impl Assignment {
    /// Reads `section.key=value`.
    pub fn parse(text: &str, flag: &str) -> Result<Assignment, ConfigError> {
        match text.split_once('=') {
            Some((key, value)) if key.contains('.') => {
                Ok(Assignment { key: key.trim().to_owned(), value: value.to_owned(), flag: flag.to_owned() })
            }
            // Only what stands before a '=' is shown: the rest may be a secret.
            _ => {
                let found = text.split('=').next().unwrap_or_default().trim();
                let place = Origin::Flag(flag.to_owned());
                let suggestion = suggest::path(found);
                Err(ConfigError::NotAnAssignment { place, found: found.to_owned(), suggestion })
            }
        }
    }
}

/// Reads a file's text. Every key exists, may stand in a file, and its value can be read.
pub fn parse_file(file: &ConfigFile) -> Result<Layer, ConfigError> {
    let places = Places { path: &file.path, text: &file.text };
    let document = Document::parse(file.text.as_str()).map_err(|error| ConfigError::Syntax {
        place: places.at(error.span()),
        // Only the message: the error's own display quotes the line, which may hold a secret.
        message: error.message().lines().collect::<Vec<_>>().join(" "),
    })?;
    let mut layer = Layer::new();
    let root: &dyn TableLike = document.as_table();
    for (section, item) in root.iter() {
        let key_place = || places.at(span_of_key(root, section, item));
        let known = keys::sections().contains(&section);
        match item.as_table_like() {
            Some(table) if known => parse_section(&places, section, table, &mut layer)?,
            _ if known => {
                return Err(ConfigError::NotASection { place: key_place(), section: section.to_owned() });
            }
            _ => {
                return Err(ConfigError::UnknownKey {
                    place: key_place(),
                    key: section.to_owned(),
                    suggestion: suggest::section(section),
                });
            }
        }
    }
    Ok(layer)
}

/// Reads the command line's assignments; a later one wins.
pub fn parse_assignments(assignments: &[Assignment]) -> Result<Layer, ConfigError> {
    let mut layer = Layer::new();
    for assignment in assignments {
        let origin = Origin::Flag(assignment.flag.clone());
        let (section, name) = assignment.key.split_once('.').unwrap_or((assignment.key.as_str(), ""));
        let Some(key) = keys::find(section, name) else {
            let suggestion = if keys::sections().contains(&section) {
                suggest::key(section, name)
            } else {
                suggest::section(section)
            };
            return Err(ConfigError::UnknownKey { place: origin, key: assignment.key.clone(), suggestion });
        };
        let value = Value::Plain(assignment.value.clone());
        check(key, &value, &origin)?;
        layer.insert(assignment.key.clone(), Setting { value, origin });
    }
    Ok(layer)
}

fn parse_section(
    places: &Places<'_>,
    section: &str,
    table: &dyn TableLike,
    layer: &mut Layer,
) -> Result<(), ConfigError> {
    for (name, item) in table.iter() {
        let key_span = span_of_key(table, name, item);
        let path = format!("{section}.{name}");
        if path == also::KEY {
            also::parse(places, item, key_span, layer)?;
            continue;
        }
        let Some(key) = keys::find(section, name) else {
            let suggestion = suggest::key(section, name);
            return Err(ConfigError::UnknownKey { place: places.at(key_span), key: path, suggestion });
        };
        let value = value_of(item);
        let origin = places.at(item.span().or(key_span));
        check(key, &value, &origin)?;
        layer.insert(path, Setting { value, origin });
    }
    Ok(())
}

/// Whether the key may be set there and to that. The one check for every origin.
pub(super) fn check(key: &dyn AnyKey, value: &Value, origin: &Origin) -> Result<(), ConfigError> {
    let info = key.info();
    match info.standing {
        Standing::Settable => {}
        Standing::Secret { .. } if matches!(origin, Origin::Environment(_)) => {}
        Standing::Secret { file_key } => {
            return Err(ConfigError::SecretHere {
                place: origin.clone(),
                key: info.path(),
                file_key: file_key.to_owned(),
                variable: info.variables().swap_remove(0),
            });
        }
    }
    key.check(value).map_err(|reason| ConfigError::Invalid {
        place: origin.clone(),
        key: info.path(),
        expected: key.expected(),
        found: value.to_string(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::layer::line_and_column;
    use super::*;

    fn parse(text: &str) -> Result<Layer, ConfigError> {
        parse_file(&ConfigFile { path: PathBuf::from("config.toml"), text: text.to_owned() })
    }

    #[rstest]
    #[case("[tree]\ntimezon = \"UTC\"\n", "config.toml:2:1: unknown key \"tree.timezon\"; did you mean \"timezone\"?")]
    #[case(
        "\n  since = \"90d\"\n",
        "config.toml:2:3: unknown key \"since\"; did you mean \"since\" in section [tree]?"
    )]
    #[case("[tre]\nsince = \"90d\"\n", "config.toml:1:2: unknown key \"tre\"; did you mean [tree]?")]
    #[case("tree = 5\n", "config.toml:1:1: \"tree\" is a section; it holds keys, so write [tree] above them")]
    #[case("[state]\n# ü\nxyz = 1\n", "config.toml:3:1: unknown key \"state.xyz\"")]
    fn unknown_keys(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }

    #[rstest]
    #[case("[cache]\nsize = \"10G\"\n", "config.toml:2:8: cache.size: expected a size", "\"G\" is no unit of size")]
    #[case("[cache]\nsize = 10\n", "config.toml:2:8: cache.size: expected a size", "found 10: it is of the wrong type")]
    #[case(
        "[mount]\nallow_other = \"yes\"\n",
        "config.toml:2:15: mount.allow_other: expected true or false",
        "wrong type"
    )]
    #[case(
        "[tree]\ntimezone = \"Mars/Base\"\n",
        "config.toml:2:12: tree.timezone: expected a time zone",
        "no such time zone"
    )]
    #[case("[tree]\nsince = 2026-01-01\n", "config.toml:2:9: tree.since: expected a date", "a date without quotes")]
    #[case("[tree]\nmedia_types = [\"fax\"]\n", "config.toml:2:15: tree.media_types", "there is no channel \"fax\"")]
    #[case("[tenant]\nissuer = \"http://example.com\"\n", "config.toml:2:10: tenant.issuer", "clear text")]
    #[case("[tree]\nsince = \"90d\nx = 1\n", "config.toml:2:", "")]
    #[case("[tree]\nsince = \"1d\"\nsince = \"2d\"\n", "config.toml:3:1: ", "duplicate key")]
    fn wrong_values(#[case] text: &str, #[case] start: &str, #[case] part: &str) {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.starts_with(start) && message.contains(part), "{message}");
    }

    #[test]
    fn an_inline_secret_is_refused_and_not_shown() {
        for text in [
            "[tenant]\naccess_key_secret = \"hunter2\"\n",
            "[tenant]\naccess_key_secret = 'hunter2' x\n",
            "[tenant]\naccess_key_secret = hunter2\n",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!format!("{error} {error:?} {:?}", error.remedy()).contains("hunter2"), "{error:?}");
        }
        let error = parse("[tenant]\naccess_key_secret = \"hunter2\"\n").unwrap_err();
        assert!(error.remedy().unwrap().contains("tenant.access_key_secret_file"), "{error:?}");
    }

    #[test]
    fn tables_in_every_spelling() {
        for text in ["[tree]\nsince = \"90d\"", "tree.since = \"90d\"", "tree = { since = \"90d\" }"] {
            assert_eq!(parse(text).unwrap()["tree.since"].value, Value::Text("90d".into()), "{text}");
        }
    }

    #[test]
    fn assignments() {
        let set = |text: &str| Assignment::parse(text, "--set").and_then(|it| parse_assignments(&[it]));
        assert_eq!(set("tree.since=5d").unwrap()["tree.since"].value, Value::Plain("5d".into()));
        assert_eq!(
            set("tree.sinc=5d").unwrap_err().to_string(),
            "--set: unknown key \"tree.sinc\"; did you mean \"since\"?"
        );
        for (text, found) in [("since", "\"since\"; did you mean tree.since?"), ("=5d", "\"\""), ("foo=1", "\"foo\"")] {
            let message = set(text).unwrap_err().to_string();
            assert_eq!(message, format!("--set: expected section.key=value, found {found}"));
        }
        let message = set("daily_bugdet=3").unwrap_err().to_string();
        assert!(message.ends_with("found \"daily_bugdet\"; did you mean limits.daily_budget?"), "{message}");
        let message = set("tree.since").unwrap_err().to_string();
        assert!(message.ends_with("found \"tree.since\""), "its value is missing: {message}");
        let secret = set("tenant.access_key_secret=hunter2").unwrap_err();
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_or_an_error(text in "(\\[(tree|cache|tenant)\\]\n)?[a-z_.=\"\\[\\]{}0-9 \n\u{e4}]{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_offset_has_a_place(text in ".{0,20}\n.{0,20}", offset in 0_usize..60) {
            let (line, column) = line_and_column(&text, offset);
            prop_assert!(line >= 1 && column >= 1);
        }
    }
}
