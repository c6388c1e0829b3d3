//! cxonefs.toml(5): every key of the configuration and every environment variable. Pure.

use std::fmt::Write;

use crate::config::env;
use crate::config::keys::{self, AnyKey, DefaultValue};

/// The page.
pub fn roff() -> String {
    let mut text = String::from(HEAD);
    for section in keys::sections() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, ".SH [{section}]");
        for key in keys::ALL.iter().filter(|key| key.info().section == section) {
            write_key(&mut text, *key);
        }
    }
    text.push_str(".SH OTHER ENVIRONMENT VARIABLES\n");
    for (variable, meaning) in OTHERS {
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", escaped(variable), escaped(meaning));
    }
    for (variable, meaning) in env::OF_OTHERS {
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", escaped(variable), escaped(meaning));
    }
    text.push_str(TAIL);
    text
}

/// What [`env::OTHERS`] mean.
const OTHERS: [(&str, &str); env::OTHERS.len()] = [
    ("CXONEFS_CONFIG", "The configuration file, as --config."),
    ("CXONEFS_LOG", "What is logged, as --log-level."),
    ("CXONEFS_METRICS", "Where metrics are served, as --metrics."),
];

fn write_key(text: &mut String, key: &dyn AnyKey) {
    let info = key.info();
    let default = match info.default_value {
        DefaultValue::Is(value) => format!("Default: {value}."),
        DefaultValue::Described(words) => format!("Default: {}.", words.replace('`', "")),
        DefaultValue::Required => String::from("Required."),
    };
    let flag = info.flag.map(|flag| format!(" Flag: {flag}.")).unwrap_or_default();
    let _ = write!(
        text,
        ".TP\n\\fB{}\\fR ({})\n{} {}{}\n.br\nEnvironment: {}.\n",
        escaped(info.name),
        escaped(key.word()),
        escaped(&info.doc.replace('`', "")),
        escaped(&default),
        escaped(&flag),
        escaped(&info.variables().join(", ")),
    );
}

/// Text as roff reads it back: no control line, no escape, plain hyphens.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines: Vec<String> = text
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() })
        .collect();
    lines.join("\n")
}

const HEAD: &str = ".TH cxonefs.toml 5
.SH NAME
cxonefs.toml \\- configuration of cxonefs
.SH DESCRIPTION
.B cxonefs mount
reads one TOML file: the one that
.B \\-\\-config
names, else ~/.config/cxonefs/config.toml, else /etc/cxonefs/config.toml. Environment variables override the file,
.B \\-\\-profile
overrides both, and flags override everything. Unknown keys and variables are refused.
.PP
Sizes need a unit (KiB, MiB, GiB, kB, MB, GB, B), durations, too (ms, s, m, h, d, w). Secrets are never taken from the command line or from the
file itself.
";

const TAIL: &str = ".SH FILES
.TP
/etc/cxonefs/config.toml, ~/.config/cxonefs/config.toml
The configuration.
.TP
/var/lib/cxonefs, ~/.local/state/cxonefs
The index, the ledger, the audit log, and what was paid for. Not a cache. Purging the package leaves it.
.TP
/var/cache/cxonefs, ~/.cache/cxonefs
Bytes of recordings. Purging the package removes the system's.
.TP
/run/cxonefs, $XDG_RUNTIME_DIR/cxonefs
Control sockets.
.SH SEE ALSO
.BR cxonefs (1),
.BR cxonefs\\-mount (1),
.BR cxonefs\\-init (1)
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_variable_is_on_the_page() {
        let page = roff();
        for key in keys::ALL {
            let info = key.info();
            assert!(page.contains(&format!("\\fB{}\\fR", escaped(info.name))), "{}", info.path());
            for variable in info.variables() {
                assert!(page.contains(&variable), "{variable}");
            }
        }
        for variable in env::OTHERS {
            assert!(page.contains(variable), "{variable}");
        }
    }

    #[test]
    fn text_is_never_a_request() {
        assert_eq!(escaped(".x-y\\z"), "\\&.x\\-y\\ez");
    }
}
