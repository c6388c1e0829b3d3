//! A configuration with every key, commented: what is given is set, the rest stands as a comment with its default.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::keys::{self, AnyKey, DefaultValue, Standing};
use super::kinds;
use super::value::Value;

/// Values by `section.key`, as they would be written in the environment.
pub type Given = BTreeMap<String, String>;

/// Columns of a comment.
const WIDTH: usize = 110;

/// The file's text.
#[must_use]
pub fn toml(given: &Given) -> String {
    let mut text = String::from(HEAD);
    for section in keys::sections() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n[{section}]\n");
        for key in keys::ALL.iter().filter(|key| key.info().section == section) {
            if key.info().standing == Standing::Settable {
                write_key(&mut text, *key, given.get(&key.info().path()));
            }
        }
        if section == "mount" {
            text.push_str(ALSO);
        }
    }
    text
}

fn write_key(text: &mut String, key: &dyn AnyKey, given: Option<&String>) {
    let info = key.info();
    text.push('\n');
    let mut line = String::from("#");
    for word in info.doc.split_whitespace() {
        if line.len() + word.len() >= WIDTH {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(text, "{line}");
    match (given, info.default_value) {
        (Some(value), _) => {
            let _ = writeln!(text, "{} = {}", info.name, literal(key, value));
        }
        (None, DefaultValue::Is(value)) => {
            let _ = writeln!(text, "#{} = {}", info.name, literal(key, value));
        }
        (None, DefaultValue::Described(words)) => {
            let _ = writeln!(text, "# Default: {words}.\n#{} = …", info.name);
        }
        (None, DefaultValue::Required) => {
            let _ = writeln!(text, "# Required.\n#{} = …", info.name);
        }
    }
}

/// The value in TOML, which has fewer spellings than the environment.
fn literal(key: &dyn AnyKey, value: &str) -> String {
    let word = key.word();
    if word.starts_with("list") {
        let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
        return format!("[{}]", items.map(quoted).collect::<Vec<_>>().join(", "));
    }
    let bare = match word {
        _ if word.starts_with("number") => value.trim().parse::<u64>().ok().map(|number| number.to_string()),
        "true or false" => (kinds::SWITCH.read)(&Value::Plain(value.to_owned())).ok().map(|truth| truth.to_string()),
        _ => None,
    };
    bare.unwrap_or_else(|| quoted(value))
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string().trim().to_owned()
}

const ALSO: &str = "
# The same tree at further places, with exact sizes for programs that go by them. What is left out is as in
# [mount]; profile = \"backup\" is possible too.
# [[mount.also]]
# dir = \"/mnt/recordings-exact\"
# resolve_on = \"stat\"
";

const HEAD: &str = "\
# cxonefs: a NICE CXone tenant's recordings as a read-only drive.
# A line that begins with # is a comment; keys that are commented out have the value shown.
# Check it with: cxonefs doctor
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, raw};

    fn read(text: &str) -> raw::Layer {
        raw::parse_file(&ConfigFile { path: "/x.toml".into(), text: text.to_owned() }).unwrap()
    }

    #[test]
    fn every_settable_key_is_there_and_every_default_can_be_uncommented() {
        let text = toml(&Given::new());
        assert!(read(&text).is_empty());
        let mut uncommented = String::new();
        for line in text.lines() {
            let key = line.strip_prefix('#').filter(|line| !line.starts_with(' ') && !line.ends_with('…'));
            uncommented.push_str(key.unwrap_or(line));
            uncommented.push('\n');
        }
        let layer = read(&uncommented);
        for key in keys::ALL {
            let info = key.info();
            let shown = text.contains(&format!("\n#{} = ", info.name));
            assert_eq!(shown, info.standing == Standing::Settable, "{}", info.path());
            assert_eq!(
                layer.contains_key(&info.path()),
                shown && matches!(info.default_value, DefaultValue::Is(_)),
                "{}",
                info.path()
            );
        }
        let comments = text.lines().filter(|line| line.starts_with("# "));
        assert!(comments.map(str::len).max() <= Some(WIDTH + 40), "lines stay readable");
    }

    #[test]
    fn what_is_given_is_set() {
        let given = [
            ("tenant.access_key_id", "A\"B"),
            ("tree.media_types", "call, chat,"),
            ("limits.daily_budget", " 05"),
            ("mount.allow_other", "yes"),
        ];
        let given: Given = given.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let text = toml(&given);
        let layer = read(&text);
        assert_eq!(layer.len(), 4);
        assert!(
            text.contains("\nmedia_types = [\"call\", \"chat\"]\n") && text.contains("\ndaily_budget = 5\n"),
            "{text}"
        );
    }

    #[test]
    fn the_example_is_up_to_date() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/config.example.toml");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, toml(&Given::new())).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == toml(&Given::new()), "packaging/config.example.toml is old; run with UPDATE_DOCS=1");
    }
}
