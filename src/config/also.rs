//! `[[mount.also]]`: further places at which the same tree is mounted, with other rules of what looking may cost. What a place does not say is as
//! in `[mount]`.
//!
//! Pure: reads what was written; what holds otherwise, others know.

use std::ops::Range;
use std::path::PathBuf;

use toml_edit::{Item, TableLike};

use super::error::ConfigError;
use super::keys;
use super::kinds;
use super::layer::{Layer, Places, span_of_key, value_of};
use super::settings::Profile;
use super::suggest;
use super::value::{Origin, Setting, Value};
use crate::base::ResolveOn;

/// The key, as it is written.
pub const KEY: &str = "mount.also";
const NAMES: [&str; 3] = ["dir", "resolve_on", "profile"];

/// One further place, as it was written.
#[derive(Debug)]
pub struct Also {
    pub dir: (PathBuf, Origin),
    pub resolve_on: Option<ResolveOn>,
    pub profile: Option<Profile>,
}

fn path(index: usize, name: &str) -> String {
    format!("{KEY}.{index}.{name}")
}

/// Notes what the tables say in `layer`, under names that no key has.
pub(super) fn parse(
    places: &Places<'_>,
    item: &Item,
    span: Option<Range<usize>>,
    layer: &mut Layer,
) -> Result<(), ConfigError> {
    let Some(tables) = item.as_array_of_tables() else {
        return Err(wrong(places.at(span), "each place is a table of its own, headed [[mount.also]]"));
    };
    for (index, table) in tables.iter().enumerate() {
        let table: &dyn TableLike = table;
        for (name, item) in table.iter() {
            let key_span = span_of_key(table, name, item);
            if !NAMES.contains(&name) {
                let suggestion = suggest::among(name, &NAMES);
                return Err(ConfigError::UnknownKey {
                    place: places.at(key_span),
                    key: format!("{KEY}.{name}"),
                    suggestion,
                });
            }
            let origin = places.at(item.span().or(key_span));
            layer.insert(path(index, name), Setting { value: value_of(item), origin });
        }
        if !layer.contains_key(&path(index, "dir")) {
            return Err(wrong(places.at(tables.span()), "dir is missing: where to mount"));
        }
    }
    Ok(())
}

/// What `layer` says, in the order in which it was written.
pub(super) fn places(layer: &Layer) -> Result<Vec<Also>, ConfigError> {
    let mut all: Vec<Also> = Vec::new();
    while let Some(dir) = layer.get(&path(all.len(), "dir")) {
        let setting = |name: &str| layer.get(&path(all.len(), name));
        let read = (kinds::PATH.read)(&dir.value);
        let dir_path = read.map_err(|_| wrong(dir.origin.clone(), "dir is the path of a directory"))?;
        let resolve_on = setting("resolve_on").map(|written| {
            let expected = format!("resolve_on is {}", keys::RESOLVE_ON.kind.expected);
            (keys::RESOLVE_ON.kind.read)(&written.value).map_err(|_| wrong(written.origin.clone(), &expected))
        });
        let profile = setting("profile").map(|written| match &written.value {
            Value::Text(text) if text == Profile::Backup.word() => Ok(Profile::Backup),
            _ => Err(wrong(written.origin.clone(), "profile is \"backup\"")),
        });
        let place = Also {
            dir: (dir_path, dir.origin.clone()),
            resolve_on: resolve_on.transpose()?,
            profile: profile.transpose()?,
        };
        all.push(place);
    }
    Ok(all)
}

pub(super) fn wrong(place: Origin, reason: &str) -> ConfigError {
    ConfigError::OutOfRange { place, key: KEY.to_owned(), reason: reason.to_owned() }
}
