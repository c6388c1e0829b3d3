//! The format of a case: a small tenant as a file, with what it answers. `tests/data/tenants/README.md` describes it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A tenant and its answers. Fields that a case leaves out are as a good tenant has them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Case {
    /// What `contacts/completed` returns.
    pub records: Vec<Map<String, Value>>,
    pub list: List,
    /// By master contact id; `*` for all others.
    pub playback: BTreeMap<String, Answers>,
    /// By object name; an object that is not named is a good one of [`OBJECT_BYTES`].
    pub media: BTreeMap<String, Object>,
    /// What the login answers instead of a token.
    pub token: Option<Answers>,
}

/// Size of an object that no case says anything of.
pub const OBJECT_BYTES: u64 = 300_000;

/// How listing behaves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct List {
    pub mode: ListMode,
    /// Keys of the envelope that are left out.
    pub drop: Vec<String>,
    /// `_links.next` is an empty string at the end, instead of null.
    pub next_empty: bool,
    /// Seconds before each page.
    pub latency: f64,
    /// `totalRecords` says no more than this.
    pub total_cap: Option<u64>,
    /// A page has no more rows than this, whatever `top` says.
    pub page_max: Option<usize>,
    /// A window longer than this is answered by 400.
    pub window_max_hours: Option<f64>,
    /// Answers of the first requests, one after the other, instead of pages.
    pub first: Vec<Answer>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListMode {
    #[default]
    Plain,
    /// Everything stands under `resultSet`.
    #[serde(rename = "resultSet")]
    ResultSet,
    /// `totalRecords` counts the rows of the page.
    TotalIsPage,
    /// The window filters by the end of the contact.
    ByEnd,
}

/// One answer for ever, or several one after the other, of which the last stays.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Answers {
    Always(Box<Answer>),
    InTurn(Vec<Answer>),
}

impl Answers {
    /// The answer to the request with this number, from 0.
    pub fn number(&self, number: usize) -> Answer {
        match self {
            Answers::Always(answer) => (**answer).clone(),
            Answers::InTurn(answers) => answers.get(number).or(answers.last()).cloned().unwrap_or_default(),
        }
    }
}

impl From<Answer> for Answers {
    fn from(answer: Answer) -> Answers {
        Answers::Always(Box::new(answer))
    }
}

/// What comes back to one request. `body` is JSON; `raw` is sent as it stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// Absent: 200.
    pub status: Option<u16>,
    pub body: Option<Value>,
    pub raw: Option<String>,
    /// Absent: `application/json`.
    pub content_type: Option<String>,
    pub headers: BTreeMap<String, String>,
    /// Seconds that the links in it live; absent: 900.
    pub ttl: Option<u64>,
    /// Seconds until it comes.
    pub latency: f64,
    /// The connection closes without an answer.
    pub cut: bool,
}

/// How an object of the storage is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Object {
    /// Absent: [`OBJECT_BYTES`].
    pub size: Option<u64>,
    /// Refuses with this status and `raw` as the body.
    pub status: Option<u16>,
    pub raw: Option<String>,
    /// `per_link`: each signing leads to another object of that size, with other bytes and another `ETag`.
    pub etag: Option<String>,
    /// Where it is instead, with `{B}` for the tenant and `{Q}` for the query: answered by `redirect_status`.
    pub redirect: Option<String>,
    /// Absent: 302.
    pub redirect_status: Option<u16>,
    /// Seconds before the answer.
    pub latency: f64,
    /// Bytes per second of the body; absent: at once.
    pub rate: Option<u64>,
}

impl Case {
    /// A case of `tests/data/tenants`, by its name.
    #[track_caller]
    pub fn named(name: &str) -> Case {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tenants").join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A number of a master contact for playback, as the product writes it, has an answer of its own or that of `*`.
    pub fn playback_of(&self, master: &str) -> Option<(&str, &Answers)> {
        let found = self.playback.get_key_value(master).or_else(|| self.playback.get_key_value("*"))?;
        Some((found.0.as_str(), found.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_understood() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tenants");
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(str::to_owned))
            .collect();
        names.sort();
        assert!(names.len() >= 13, "{names:?}");
        for name in names {
            assert!(!Case::named(&name).records.is_empty(), "{name}");
        }
    }
}
