//! A JSON value against a JSON Schema, as far as our schemas go: types, required and described properties, items, enumerations.

use serde_json::Value;

/// Fails where the value is not what the schema says, or says something that the schema does not describe.
#[track_caller]
pub fn assert_matches(schema: &Value, value: &Value) {
    let mut problems = Vec::new();
    look(schema, value, "$", &mut problems);
    assert!(problems.is_empty(), "{problems:#?} in {value:#}");
}

fn look(schema: &Value, value: &Value, place: &str, problems: &mut Vec<String>) {
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if !types.iter().any(|name| is_of(name, value)) {
        problems.push(format!("{place} is none of {types:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        problems.push(format!("{place} is none of {words:?}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            problems.push(format!("{place}.{name} is missing"));
        }
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => look(schema, member, &format!("{place}.{name}"), problems),
            None => problems.push(format!("{place}.{name} is not described")),
        }
    }
    for item in value.as_array().into_iter().flatten() {
        look(&schema["items"], item, &format!("{place}[]"), problems);
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}
