//! What was written in one place, and where.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml_edit::{Item, TableLike};

use super::value::{Origin, Setting, Value};

/// Settings by `section.key`.
pub type Layer = BTreeMap<String, Setting>;

pub(super) fn value_of(item: &Item) -> Value {
    let Item::Value(value) = item else { return Value::Other("a table") };
    match value {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Integer(*number.value()),
        toml_edit::Value::Boolean(truth) => Value::Boolean(*truth.value()),
        toml_edit::Value::Float(_) => Value::Other("a floating-point number"),
        toml_edit::Value::Datetime(_) => Value::Other("a date without quotes"),
        toml_edit::Value::InlineTable(_) => Value::Other("a table"),
        toml_edit::Value::Array(array) => {
            let word = |item: &toml_edit::Value| match (item.as_str(), item.as_integer()) {
                (Some(text), _) => Some(text.to_owned()),
                (None, number) => number.map(|number| number.to_string()),
            };
            let words: Option<Vec<String>> = array.iter().map(word).collect();
            match words {
                Some(words) if array.iter().all(toml_edit::Value::is_str) => Value::List(words),
                Some(words) => Value::Mixed(words),
                None => Value::Other("a list of something else than text and numbers"),
            }
        }
    }
}

pub(super) fn span_of_key(table: &dyn TableLike, name: &str, item: &Item) -> Option<Range<usize>> {
    table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span())
}

/// Turns byte offsets into lines and columns.
pub(super) struct Places<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl Places<'_> {
    pub(super) fn at(&self, span: Option<Range<usize>>) -> Origin {
        let (line, column) = line_and_column(self.text, span.map_or(0, |span| span.start));
        Origin::File { path: self.path.into(), line: line as u32, column: column as u32 }
    }
}

/// Both count from 1; columns in characters. An offset past the end is the end.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
    (line, 1 + before[line_start..].chars().count())
}
