//! `docs/CONFIGURATION.md`, from the table of keys. A test compares; `UPDATE_DOCS=1 cargo test --lib config::docs` rewrites it.

use std::fmt::Write;

use super::env;
use super::keys::{self, AnyKey, DefaultValue};

/// The whole document.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for section in keys::sections() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## `[{section}]`\n\n| key | value | default | environment | flag | meaning |\n");
        text.push_str("| --- | --- | --- | --- | --- | --- |\n");
        for key in keys::ALL.iter().filter(|key| key.info().section == section) {
            text.push_str(&row(*key));
        }
        if section == "mount" {
            text.push_str(ALSO);
        }
    }
    text.push_str(TAIL);
    for (variable, meaning) in env::OF_OTHERS {
        let _ = writeln!(text, "| `{variable}` | {meaning} |");
    }
    text
}

fn row(key: &dyn AnyKey) -> String {
    let info = key.info();
    let default = match info.default_value {
        DefaultValue::Is(text) => format!("`{text}`"),
        DefaultValue::Described(words) => words.to_owned(),
        DefaultValue::Required => String::from("**required**"),
    };
    let variables: Vec<String> = info.variables().iter().map(|name| format!("`{name}`")).collect();
    let flag = info.flag.map_or_else(String::new, |flag| format!("`{flag}`"));
    format!("| `{}` | {} | {default} | {} | {flag} | {} |\n", info.name, key.word(), variables.join(", "), info.doc)
}

const HEAD: &str = "\
# Configuration

<!-- Made from src/config/keys.rs by `UPDATE_DOCS=1 cargo test --lib config::docs`. Do not edit. -->

`cxonefs mount` reads one TOML file: the one that `--config FILE` (or `CXONEFS_CONFIG`) names, else
`$XDG_CONFIG_HOME/cxonefs/config.toml` (`~/.config/cxonefs/config.toml`), else `/etc/cxonefs/config.toml`.
Environment variables override the file, `--profile` overrides both, and flags override everything. Any key can be set by
`--set section.key=value` and, in fstab, by `-o section.key=value`. Without any file, `CXONEFS_ACCESS_KEY_ID` and a secret are enough.

```toml
[tenant]
access_key_id = \"…\"
access_key_secret_file = \"secret\"      # chmod 600; relative to this file

[tree]
since = \"2026-01-01\"
timezone = \"America/New_York\"
```

Unknown keys and unknown `CXONEFS_*` variables are refused, with a suggestion. An empty variable counts as not set.

- **Sizes** need a unit: `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024), `kB`, `MB`, `GB`, `TB` (powers of 1000) or `B`.
- **Durations** need a unit: `ms`, `s`, `m`, `h`, `d`, `w`; they can be joined: `1h30m`.
- **Lists** are TOML arrays in the file and separated by commas elsewhere.
- **Paths** may begin with `~/`. Relative ones start from the file's folder, elsewhere from the current directory.
- **URLs** are `https://`; `http://` is accepted for loopback addresses only.
- **Secrets** are never taken from the command line or from the file itself. In order: a file named by a flag, the environment, a file
  named elsewhere, systemd's credentials directory.
- `--profile backup` sets `mount.resolve_on = \"list\"` and `limits.patience = \"unlimited\"`.
";

const ALSO: &str = "
### `[[mount.also]]`

The same daemon mounts the same tree at further places: one cache, one ledger, the same inode numbers. All are mounted, or none; `umount` of one ends that one,
and the daemon ends with the last. What a place leaves out is as in `[mount]`. It can be set in the file only.

```toml
[mount]
resolve_on = \"open\"                   # people look around for free

[[mount.also]]
dir = \"/mnt/recordings-exact\"         # for programs that go by sizes: looking at a file makes its billed call
resolve_on = \"stat\"
```

| key | value | default |
| --- | --- | --- |
| `dir` | path | **required** |
| `resolve_on` | `open`, `stat` or `list` | as in `[mount]` |
| `profile` | `backup`: `resolve_on = \"list\"`, and no wait for the rate limit is too long | none |
";

const TAIL: &str = "
## Other environment variables

| variable | meaning |
| --- | --- |
| `CXONEFS_CONFIG` | The configuration file, as `--config`. |
| `CXONEFS_LOG` | What is logged, as `--log-level`: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,cxonefs::media=debug`. |
| `CXONEFS_METRICS` | Where metrics are served, as `--metrics`: `127.0.0.1:9402`. |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_up_to_date() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, markdown()).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(found == markdown(), "docs/CONFIGURATION.md is not what the keys say; run with UPDATE_DOCS=1");
    }

    #[test]
    fn every_key_and_variable_is_there() {
        let text = markdown();
        for key in keys::ALL {
            assert!(text.contains(&format!("| `{}` |", key.info().name)));
            for variable in key.info().variables() {
                assert!(text.contains(&variable), "{variable}");
            }
        }
        for variable in crate::config::env::OTHERS {
            assert!(text.contains(variable), "{variable}");
        }
    }
}
