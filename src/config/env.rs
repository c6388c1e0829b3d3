//! `CXONEFS_*` environment variables. Unknown ones are refused: a misspelt variable that does nothing costs hours.

use std::collections::BTreeMap;
use std::ffi::OsString;

use secrecy::SecretString;

use super::error::ConfigError;
use super::keys::{self, Standing};
use super::raw::{self, Layer};
use super::suggest;
use super::value::{Origin, Setting, Value};

/// Variables that other parts read.
pub const OTHERS: [&str; 3] = ["CXONEFS_CONFIG", "CXONEFS_LOG", "CXONEFS_METRICS"];

/// Tests of development builds ask by it for other estimates of sizes.
pub const TEST_GUESS: &str = "CXONEFS_TEST_GUESS";

/// Tests of development builds ask by it for another socket of the log service.
pub const TEST_AUDIT_SOCKET: &str = "CXONEFS_TEST_AUDIT_SOCKET";

/// Variables of others that are heeded, and what for.
pub const OF_OTHERS: [(&str, &str); 12] = [
    ("CREDENTIALS_DIRECTORY", "Set by systemd; may hold access_key_secret and client_secret."),
    ("HOME", "Where the defaults are, and what ~/ means."),
    ("XDG_CONFIG_HOME", "Where the configuration is looked for, instead of ~/.config."),
    ("XDG_CACHE_HOME", "Where the cache is, instead of ~/.cache."),
    ("XDG_STATE_HOME", "Where the state is, instead of ~/.local/state."),
    ("XDG_RUNTIME_DIR", "Where control sockets are, instead of the temporary directory."),
    ("NOTIFY_SOCKET", "Set by systemd; told when the mount is ready."),
    ("JOURNAL_STREAM", "Set by systemd; log lines then go to the journal with fields of their own."),
    ("NO_COLOR", "Log lines on a terminal are not coloured, if it is set to anything."),
    ("HTTPS_PROXY", "The proxy through which CXone and media hosts are reached."),
    ("ALL_PROXY", "The same, where HTTPS_PROXY is not set."),
    ("NO_PROXY", "Hosts that are reached without it, separated by commas."),
];

/// What the environment says.
#[derive(Debug, Default)]
pub struct Environment {
    pub layer: Layer,
    /// By `section.key`. Kept apart so that no value of the layer needs hiding.
    pub secrets: BTreeMap<String, SecretString>,
}

/// Reads the variables whose name begins with `CXONEFS_`. An empty one counts as not set.
pub fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Environment, ConfigError> {
    let mut given: BTreeMap<String, OsString> = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("CXONEFS_")) else { continue };
        if !(OTHERS.contains(&name) || (cfg!(debug_assertions) && [TEST_GUESS, TEST_AUDIT_SOCKET].contains(&name))) {
            given.insert(name.to_owned(), value);
        }
    }
    let mut environment = Environment::default();
    for key in keys::ALL {
        let info = key.info();
        // The longest name first, so that the shortest, which the documentation shows first, wins.
        for variable in info.variables().into_iter().rev() {
            let Some(value) = given.remove(&variable) else { continue };
            let Some(text) = value.to_str() else { return Err(ConfigError::VariableNotText { name: variable }) };
            if text.trim().is_empty() {
                continue;
            }
            if matches!(info.standing, Standing::Secret { .. }) {
                environment.secrets.insert(info.path(), SecretString::from(text.trim()));
                continue;
            }
            let origin = Origin::Environment(variable);
            let value = Value::Plain(text.to_owned());
            raw::check(*key, &value, &origin)?;
            environment.layer.insert(info.path(), Setting { value, origin });
        }
    }
    match given.into_keys().next() {
        Some(name) => {
            let suggestion = suggest::variable(&name, &OTHERS);
            Err(ConfigError::UnknownVariable { name, suggestion })
        }
        None => Ok(environment),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read_pairs(pairs: &[(&str, &str)]) -> Result<Environment, ConfigError> {
        read(pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    #[test]
    fn sections_and_short_names() {
        let environment = read_pairs(&[
            ("CXONEFS_TREE_SINCE", "5d"),
            ("CXONEFS_ACCESS_KEY_ID", "short"),
            ("CXONEFS_TENANT_ACCESS_KEY_ID", "long"),
            ("CXONEFS_CACHE_SIZE", ""),
            ("CXONEFS_LOG", "debug"),
            ("PATH", "/bin"),
        ])
        .unwrap();
        assert_eq!(environment.layer["tree.since"].value, Value::Plain("5d".into()));
        assert_eq!(environment.layer["tenant.access_key_id"].value, Value::Plain("short".into()));
        assert_eq!(environment.layer.len(), 2);
    }

    #[test]
    fn unknown_variables_are_refused() {
        let error = read_pairs(&[("CXONEFS_TREE_TIMEZON", "UTC")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown environment variable CXONEFS_TREE_TIMEZON; did you mean CXONEFS_TREE_TIMEZONE?"
        );
    }

    #[test]
    fn secrets_are_kept_apart() {
        let environment = read_pairs(&[("CXONEFS_ACCESS_KEY_SECRET", " hunter2\n")]).unwrap();
        assert_eq!(environment.secrets["tenant.access_key_secret"].expose_secret(), "hunter2");
        assert!(!format!("{environment:?}").contains("hunter2"));
    }

    #[test]
    fn wrong_values_name_the_variable() {
        let error = read_pairs(&[("CXONEFS_CACHE_SIZE", "10")]).unwrap_err().to_string();
        assert!(error.starts_with("CXONEFS_CACHE_SIZE: cache.size: expected a size"), "{error}");
    }
}
