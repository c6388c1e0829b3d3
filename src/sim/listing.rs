//! How `contacts/completed` words its envelope, and which windows it takes. Plain data and pure functions.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What may differ between tenants, and between what one says and what is so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, default)]
pub struct Listing {
    pub envelope: Envelope,
    pub total: Total,
    pub next: Next,
    /// A page has no more rows than this, whatever `top` says.
    pub page_rows_max: Option<usize>,
    /// A longer window between `startDate` and `endDate` is answered by 400, the reason in `icStatusDescription`.
    pub window_h_max: Option<u32>,
    /// The window filters by the end of a contact instead of its start.
    pub by_end: bool,
}

/// Where the envelope's keys stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    #[default]
    Plain,
    /// Under `resultSet`, every value a string and missing ones empty.
    ResultSet,
}

/// What `totalRecords` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Total {
    /// How many records match.
    #[default]
    All,
    Absent,
    Zero,
    /// The rows of this page.
    Page,
    /// No more than this.
    Capped(u64),
    /// Twice as many as there are.
    Double,
}

/// What `_links.next` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// The next page; null on the last one.
    #[default]
    Link,
    /// The next page; an empty text on the last one.
    EmptyAtEnd,
    /// There are no links at all.
    Absent,
}

/// A page before it is worded.
pub(super) struct Page {
    pub(super) rows: Vec<Value>,
    /// Records that match.
    pub(super) matching: u64,
    pub(super) business_unit: i64,
    pub(super) polled: String,
    /// `self`, `next` and `previous` as they are.
    pub(super) links: Value,
}

impl Listing {
    /// The body of an answer.
    pub(super) fn body(&self, page: Page) -> Value {
        let total = match self.total {
            Total::All => Some(page.matching),
            Total::Absent => None,
            Total::Zero => Some(0),
            Total::Page => Some(page.rows.len() as u64),
            Total::Capped(most) => Some(page.matching.min(most)),
            Total::Double => Some(page.matching * 2),
        };
        let mut envelope = Map::new();
        envelope.insert(String::from("businessUnitId"), json!(page.business_unit));
        envelope.insert(String::from("lastPollTime"), json!(page.polled));
        if let Some(total) = total {
            envelope.insert(String::from("totalRecords"), json!(total));
        }
        let mut links = page.links;
        if self.next == Next::EmptyAtEnd && links["next"].is_null() {
            links["next"] = json!("");
        }
        if self.next != Next::Absent {
            envelope.insert(String::from("_links"), links);
        }
        let is_wrapped = self.envelope == Envelope::ResultSet;
        let rows = page.rows.into_iter().map(|row| if is_wrapped { all_text(row) } else { row });
        envelope.insert(String::from("completedContacts"), rows.collect());
        if is_wrapped { json!({"resultSet": envelope}) } else { Value::Object(envelope) }
    }
}

/// Every value of a record as a string.
fn all_text(row: Value) -> Value {
    let Value::Object(row) = row else { return row };
    let text = |value: Value| match value {
        Value::Null => json!(""),
        Value::Bool(is_so) => json!(if is_so { "True" } else { "False" }),
        Value::Number(number) => json!(number.to_string()),
        other => other,
    };
    Value::Object(row.into_iter().map(|(name, value)| (name, text(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let rows = vec![json!({"contactId": 7, "teamId": null, "isOutbound": true})];
        Page { rows, matching: 5, business_unit: 9, polled: String::new(), links: json!({"self": "s", "next": null}) }
    }

    #[test]
    fn totals_and_links_are_as_the_switch_says() {
        let total = |total| Listing { total, ..Listing::default() }.body(page())["totalRecords"].clone();
        let totals = [Total::All, Total::Absent, Total::Zero, Total::Page, Total::Capped(3), Total::Double].map(total);
        assert_eq!(totals, [json!(5), Value::Null, json!(0), json!(1), json!(3), json!(10)]);
        let links = |next| Listing { next, ..Listing::default() }.body(page())["_links"].clone();
        assert_eq!(links(Next::Link)["next"], Value::Null);
        assert_eq!(links(Next::EmptyAtEnd)["next"], "");
        assert_eq!(links(Next::Absent), Value::Null);
    }

    #[test]
    fn a_wrapped_page_is_all_text() {
        let body = Listing { envelope: Envelope::ResultSet, ..Listing::default() }.body(page());
        let row = &body["resultSet"]["completedContacts"][0];
        assert_eq!(row, &json!({"contactId": "7", "teamId": "", "isOutbound": "True"}));
    }

    #[test]
    fn a_few_words_of_json_are_enough() {
        let listing: Listing = serde_json::from_str(r#"{"total": {"capped": 1000}, "next": "absent"}"#).unwrap();
        assert_eq!((listing.total, listing.next), (Total::Capped(1000), Next::Absent));
    }
}
