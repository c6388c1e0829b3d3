//! How a leg's record is stored and how `contact.json` is rendered from it: pure functions on text.
//!
//! A record ([`RecordJson`](crate::cxone::RecordJson)) is stored as its values and the number of its *shape*, its field names, stored once. That
//! keeps a million interactions well below a gigabyte, indexes included, without a decompressor, and readable by any SQLite tool.
//!
//! Rendering moves text and never reads a number, so what the tenant sent cannot change by a rounding, and the size that was
//! computed when the record was stored is the size of what is rendered. Knows no database.

use super::error::CatalogError;

/// What stands before, between and after the legs of a `contact.json`.
const OPEN: &str = "[\n";
const BETWEEN: &str = ",\n";
const CLOSE: &str = "\n]\n";

/// Bytes of a `contact.json` whose legs are rendered in `legs_size` bytes altogether.
pub(super) fn file_size(legs: u64, legs_size: u64) -> u64 {
    if legs == 0 {
        return EMPTY.len() as u64;
    }
    legs_size + (OPEN.len() + CLOSE.len()) as u64 + (legs - 1) * BETWEEN.len() as u64
}

const EMPTY: &str = "[]\n";

/// A `contact.json` of `(shape, values)` pairs.
pub(super) fn render_file<'a>(legs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<String, CatalogError> {
    let mut out = String::new();
    for (shape, values) in legs {
        out.push_str(if out.is_empty() { OPEN } else { BETWEEN });
        render_leg(&mut out, shape, values)?;
    }
    out.push_str(if out.is_empty() { EMPTY } else { CLOSE });
    Ok(out)
}

/// Appends one leg as it stands in the file: an object, indented by one level, without a newline after it.
pub(super) fn render_leg(out: &mut String, shape: &str, values: &str) -> Result<(), CatalogError> {
    let mut keys = Elements::of(shape)?;
    let mut values = Elements::of(values)?;
    out.push_str("  {");
    let mut any = false;
    loop {
        match (keys.next(), values.next()) {
            (Some(key), Some(value)) => {
                out.push_str(if any { ",\n    " } else { "\n    " });
                any = true;
                out.push_str(key);
                out.push_str(": ");
                pretty(out, value, 2);
            }
            (None, None) => break,
            _ => return Err(CatalogError::Damaged("a record has not as many values as names")),
        }
    }
    out.push_str(if any { "\n  }" } else { "}" });
    Ok(())
}

/// What a record says under a name, written in any case, if it is a text.
pub(super) fn text_of(shape: &str, values: &str, name: &str) -> Result<Option<String>, CatalogError> {
    let is_it = |key: &str| key.trim_matches('"').eq_ignore_ascii_case(name);
    let found = Elements::of(shape)?.zip(Elements::of(values)?).find(|(key, _)| is_it(key));
    Ok(found.and_then(|(_, value)| serde_json::from_str(value).ok()))
}

/// The elements of a compact JSON array, as text.
struct Elements<'a> {
    rest: &'a str,
}

impl<'a> Elements<'a> {
    fn of(array: &'a str) -> Result<Elements<'a>, CatalogError> {
        let inner = array.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.map(|rest| Elements { rest }).ok_or(CatalogError::Damaged("a record is not a JSON array"))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let mut scan = Scan::default();
        let mut depth = 0u32;
        let end = self.rest.bytes().position(|byte| {
            if scan.is_structure(byte) {
                match byte {
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' => depth = depth.saturating_sub(1),
                    b',' => return depth == 0,
                    _ => {}
                }
            }
            false
        });
        let element;
        (element, self.rest) = match end.and_then(|end| self.rest.split_at_checked(end)) {
            Some((element, rest)) => (element, rest.get(1..).unwrap_or_default()),
            None => (self.rest, ""),
        };
        Some(element)
    }
}

/// Tells structure from the inside of strings.
#[derive(Default)]
struct Scan {
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Whether this byte stands outside of strings.
    fn is_structure(&mut self, byte: u8) -> bool {
        if !self.in_string {
            self.in_string = byte == b'"';
            return !self.in_string;
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        false
    }
}

/// Appends compact JSON with line breaks and two spaces per level, as `serde_json`'s pretty printer would.
fn pretty(out: &mut String, compact: &str, level: usize) {
    let mut scan = Scan::default();
    let mut level = level;
    let mut run = 0;
    let bytes = compact.as_bytes();
    let is_at = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    for (at, byte) in compact.bytes().enumerate() {
        if !scan.is_structure(byte) || !matches!(byte, b'[' | b'{' | b']' | b'}' | b',' | b':') {
            continue;
        }
        // All of these are ASCII, so the cuts lie on character boundaries.
        let closes = matches!(byte, b']' | b'}');
        out.push_str(compact.get(run..at).unwrap_or_default());
        run = at + 1;
        if closes {
            level = level.saturating_sub(1);
            if !is_at(at.wrapping_sub(1), if byte == b']' { b'[' } else { b'{' }) {
                break_line(out, level);
            }
        }
        out.push(char::from(byte));
        match byte {
            b'[' | b'{' => {
                level += 1;
                if !is_at(at + 1, if byte == b'[' { b']' } else { b'}' }) {
                    break_line(out, level);
                }
            }
            b',' => break_line(out, level),
            b':' => out.push(' '),
            _ => {}
        }
    }
    out.push_str(compact.get(run..).unwrap_or_default());
}

fn break_line(out: &mut String, level: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", level));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;
    use crate::cxone::RecordJson;

    fn render(records: &[Map<String, Value>]) -> String {
        let split: Vec<RecordJson> = records.iter().map(|record| RecordJson::of(record).unwrap()).collect();
        render_file(split.iter().map(|leg| (&*leg.shape, &*leg.values))).unwrap()
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\[\\]{}\",:\\\\ ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((any::<String>(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_is_what_the_pretty_printer_says_and_the_size_is_known(
            records in proptest::collection::vec(
                proptest::collection::vec((any::<String>(), json()), 0..6), 0..4)
        ) {
            let records: Vec<Map<String, Value>> = records.into_iter().map(|pairs| pairs.into_iter().collect()).collect();
            let text = render(&records);
            let expected = serde_json::to_string_pretty(&records).unwrap() + "\n";
            prop_assert_eq!(&text, &expected);
            let mut legs_size = 0;
            for record in &records {
                let split = RecordJson::of(record).unwrap();
                let mut leg = String::new();
                render_leg(&mut leg, &split.shape, &split.values).unwrap();
                legs_size += leg.len() as u64;
            }
            prop_assert_eq!(file_size(records.len() as u64, legs_size), text.len() as u64);
        }

        #[test]
        fn nonsense_from_a_damaged_database_never_panics(shape in any::<String>(), values in "[\\[\\]{}\",:\\\\é]{0,20}") {
            let mut out = String::new();
            let _ = render_leg(&mut out, &shape, &values);
            let _ = render_leg(&mut out, &format!("[{values}]"), &format!("[{values}]"));
        }
    }

    #[test]
    fn a_record_with_missing_values_is_damage() {
        let error = render_leg(&mut String::new(), r#"["a","b"]"#, "[1]").unwrap_err();
        assert!(error.is_damage());
    }
}
