//! Numbers, booleans and texts in every spelling that tenants were seen to send. `None` means "not that", never an error.

use serde_json::{Map, Number, Value};

/// The largest magnitude up to which every whole `f64` is exact.
const F64_EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number: JSON number, or text such as `"7"`, `" 1,234.5 "`. Whole numbers stay whole.
pub(super) fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => number_in(text),
        _ => None,
    }
}

/// A whole number: as [`number`], also where it was written `7.0`.
pub(super) fn integer(value: &Value) -> Option<i64> {
    let number = number(value)?;
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        let whole = float.fract() == 0.0 && float.abs() <= F64_EXACT_MAX;
        whole.then_some(float as i64)
    })
}

/// A finite number.
pub(super) fn float(value: &Value) -> Option<f64> {
    number(value)?.as_f64().filter(|float| float.is_finite())
}

/// A boolean: JSON boolean, 0 or 1, or one of these words in any case: true, false, yes, no, y, n, t, f, 1, 0.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(_) => match integer(value)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "t" | "1" => Some(true),
            "false" | "no" | "n" | "f" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A text that is not blank, as sent.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// A text, or the spelling of a number or boolean; empty for everything else.
pub(super) fn display(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// Whether it says nothing: null, or a text of nothing but blanks.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

/// The value under the first of `names` that is there and not null, whatever the case of the key.
pub(super) fn find<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| {
        let exact = object.get(*name);
        let value =
            exact.or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
        value.filter(|value| !value.is_null())
    })
}

fn number_in(text: &str) -> Option<Number> {
    let plain = without_thousands(text.trim())?;
    if let Ok(whole) = plain.parse::<i64>() {
        return Some(whole.into());
    }
    // `f64::from_str` also reads "inf" and "nan"; a tenant's numbers have digits.
    if !plain.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let float = plain.parse::<f64>().ok()?;
    // An id that went through a spreadsheet: "7.01000000007E+11".
    let is_whole = float.fract() == 0.0 && float.abs() <= F64_EXACT_MAX && plain.contains(['e', 'E']);
    if is_whole { Some((float as i64).into()) } else { Number::from_f64(float) }
}

/// Drops commas where they group digits by three, as in `1,234.5`; `1,5` is no number that we could read safely.
fn without_thousands(text: &str) -> Option<String> {
    if !text.contains(',') {
        return Some(text.to_owned());
    }
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut groups = whole.split(',');
    let first = groups.next()?.trim_start_matches(['-', '+']);
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    if first.is_empty() || first.len() > 3 || !digits(first) {
        return None;
    }
    if !groups.all(|group| group.len() == 3 && digits(group)) || fraction.is_some_and(|fraction| !digits(fraction)) {
        return None;
    }
    Some(text.replace(',', ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_in_every_spelling() {
        assert_eq!(integer(&json!(701_000_000_123_i64)), Some(701_000_000_123));
        assert_eq!(integer(&json!("701000000123")), Some(701_000_000_123));
        assert_eq!(integer(&json!(" 7 ")), Some(7));
        assert_eq!(integer(&json!(7.0)), Some(7));
        assert_eq!(integer(&json!("7.0")), Some(7));
        assert_eq!(integer(&json!("1,234,567")), Some(1_234_567));
        assert_eq!(number(&json!("7.01000000007E+11")), Some(Number::from(701_000_000_007_i64)));
        assert_eq!(float(&json!("1,234.5")), Some(1234.5));
        assert_eq!(float(&json!("-1,234.5")), Some(-1234.5));
        assert_eq!(float(&json!(3)), Some(3.0));
        for nonsense in [
            json!(null),
            json!(""),
            json!("x"),
            json!("1,5"),
            json!("1,2345"),
            json!("nan"),
            json!("inf"),
            json!(true),
            json!([1]),
            json!(",123"),
        ] {
            assert_eq!(number(&nonsense), None, "{nonsense}");
        }
        assert_eq!(integer(&json!(7.5)), None);
        assert_eq!(integer(&json!(1e300)), None);
    }

    #[test]
    fn booleans_in_every_spelling() {
        for yes in [json!(true), json!("True"), json!("1"), json!(1), json!("yes"), json!(" TRUE ")] {
            assert_eq!(boolean(&yes), Some(true), "{yes}");
        }
        for no in [json!(false), json!("False"), json!("0"), json!(0)] {
            assert_eq!(boolean(&no), Some(false), "{no}");
        }
        for neither in [json!(null), json!(2), json!("maybe"), json!({})] {
            assert_eq!(boolean(&neither), None, "{neither}");
        }
    }

    #[test]
    fn keys_are_found_in_any_case_and_nulls_are_passed_over() {
        let value = json!({"filetoplayurl": "a", "To": null, "recipients": "b"});
        let object = value.as_object().unwrap();
        assert_eq!(find(object, &["fileToPlayUrl"]), Some(&json!("a")));
        assert_eq!(find(object, &["to", "recipients"]), Some(&json!("b")));
        assert_eq!(find(object, &["cc"]), None);
    }

    proptest! {
        #[test]
        fn a_whole_number_reads_the_same_with_and_without_grouping(whole in -10_000_000_000_i64..10_000_000_000) {
            let plain = whole.unsigned_abs().to_string();
            let mut grouped = String::new();
            for (index, digit) in plain.chars().enumerate() {
                if index > 0 && (plain.len() - index) % 3 == 0 {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            let sign = if whole < 0 { "-" } else { "" };
            prop_assert_eq!(integer(&json!(format!("{sign}{grouped}"))), Some(whole));
            prop_assert_eq!(integer(&json!(format!("{sign}{plain}"))), Some(whole));
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in ".{0,40}") {
            let value = json!(text);
            let _ = (number(&value), integer(&value), float(&value), boolean(&value));
        }
    }
}
