//! One page of a listing, read from its bytes: the envelope in every wrapping seen, and each record by itself.
//!
//! A page comes from a stranger. Only what is looked for is parsed, one record at a time, so that memory holds little more than what is kept,
//! and a record that is not JSON takes no other one along. Pure; what a record means is the business of `contact`.

use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use crate::cxone::instant;
use crate::cxone::lenient;
use crate::cxone::model::ContactRecord;
use crate::cxone::reporting::contact::{self, Unreadable};
use crate::cxone::reporting::mend;
use crate::cxone::reporting::paging::PageFacts;
use crate::cxone::reporting::shape::Shapes;

/// Bytes of one page. 1,000 records take two million; a larger page is asked for again with fewer rows.
pub(in crate::cxone) const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rows of one page: twice the tenant's own maximum.
const ROWS_MAX: u64 = 20_000;
/// Bytes of one record. They have about two thousand.
const ROW_BYTES_MAX: usize = 256 * 1024;
/// Bytes of any other part of the envelope.
const PART_BYTES_MAX: usize = 64 * 1024;
/// Unreadable records of one page that are described; the rest is counted.
const DESCRIBED_MAX: usize = 20;
/// Objects in which an envelope may stand, one in the other.
const WRAPPINGS_MAX: usize = 3;
/// Their names, in lower case.
const WRAPPERS: [&str; 8] = ["resultset", "result", "results", "data", "value", "response", "body", "d"];

/// A page.
#[derive(Default)]
pub(in crate::cxone) struct Page {
    pub records: Vec<ContactRecord>,
    /// Rows that are no records; of those beyond [`DESCRIBED_MAX`] nothing is known.
    pub unreadable: u64,
    pub described: Vec<Unreadable>,
    pub facts: PageFacts,
    /// The tenant's time.
    pub last_poll: Option<Timestamp>,
}

/// Why a body is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cxone) enum BadPage {
    NotJson,
    /// It holds no list of contacts.
    NoList,
    /// More than [`ROWS_MAX`].
    TooManyRows,
}

/// Reads a page; `url` is where it came from, for links that are relative to it.
pub(in crate::cxone) fn read(body: &[u8], url: &Url) -> Result<Page, BadPage> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let mut scan = Scan { bytes: body, at: 0 };
    let whole = scan.value().is_some_and(|value| value.len() == body.len());
    if !whole || !body.starts_with(b"{") && !body.starts_with(b"[") {
        return Err(BadPage::NotJson);
    }
    let envelope = Envelope::read(body, 0)?;
    let total = envelope.total.and_then(part).as_ref().and_then(lenient::integer);
    let total = total.and_then(|total| u64::try_from(total).ok());
    let mut page =
        Page { last_poll: envelope.last_poll.and_then(part).as_ref().and_then(instant::read), ..Page::default() };
    match envelope.rows {
        Some(rows) if rows.starts_with(b"[") => page.read_rows(rows)?,
        // A converter from XML writes a list of one as that one, and an empty list as an empty text.
        Some(row) if row.starts_with(b"{") => page.read_row(row, &mut Shapes::default())?,
        Some(b"null" | b"\"\"") => {}
        None if total == Some(0) => {}
        _ => return Err(BadPage::NoList),
    }
    page.facts.total = total;
    page.facts.next = envelope.links.and_then(part).as_ref().and_then(next_link).and_then(|next| url.join(&next).ok());
    Ok(page)
}

impl Page {
    fn read_rows(&mut self, rows: &[u8]) -> Result<(), BadPage> {
        let mut scan = Scan { bytes: rows, at: 1 };
        let mut shapes = Shapes::default();
        if scan.eat(b']') {
            return Ok(());
        }
        loop {
            let row = scan.value().ok_or(BadPage::NotJson)?;
            self.read_row(row, &mut shapes)?;
            if scan.eat(b']') {
                return Ok(());
            }
            if !scan.eat(b',') {
                return Err(BadPage::NotJson);
            }
            if scan.eat(b']') {
                return Ok(());
            }
        }
    }

    fn read_row(&mut self, row: &[u8], shapes: &mut Shapes) -> Result<(), BadPage> {
        if self.facts.rows >= ROWS_MAX {
            return Err(BadPage::TooManyRows);
        }
        self.facts.rows += 1;
        match record(row, shapes) {
            Ok(record) => self.records.push(record),
            Err(unreadable) => {
                self.unreadable += 1;
                if self.described.len() < DESCRIBED_MAX {
                    self.described.push(unreadable);
                }
            }
        }
        Ok(())
    }
}

fn record(row: &[u8], shapes: &mut Shapes) -> Result<ContactRecord, Unreadable> {
    let unreadable = |why| Unreadable { why, keys: Vec::new() };
    if !row.starts_with(b"{") {
        return Err(unreadable("not an object"));
    }
    if row.len() > ROW_BYTES_MAX {
        return Err(unreadable("larger than 256 KiB"));
    }
    let value = serde_json::from_slice(row).or_else(|_| serde_json::from_str(&mend::mend(row)));
    contact::read(value.map_err(|_| unreadable("not JSON"))?, shapes)
}

/// A part of the envelope other than the records.
fn part(bytes: &[u8]) -> Option<Value> {
    if bytes.len() > PART_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(bytes).or_else(|_| serde_json::from_str(&mend::mend(bytes))).ok()
}

/// `next` among the links: a text, or an object with the text as `href`.
fn next_link(links: &Value) -> Option<String> {
    let next = lenient::find(links.as_object()?, &["next"])?;
    let next = next.as_object().map_or(Some(next), |next| lenient::find(next, &["href"]))?;
    lenient::text(next).map(|next| next.trim().to_owned())
}

/// Where the parts of an envelope are.
#[derive(Clone, Copy, Default)]
struct Envelope<'a> {
    rows: Option<&'a [u8]>,
    total: Option<&'a [u8]>,
    links: Option<&'a [u8]>,
    last_poll: Option<&'a [u8]>,
}

impl<'a> Envelope<'a> {
    fn read(object: &'a [u8], wrappings: usize) -> Result<Envelope<'a>, BadPage> {
        let (mut found, mut inner) = (Envelope::default(), None);
        let mut scan = Scan { bytes: object, at: 0 };
        if !scan.eat(b'{') {
            return Err(BadPage::NoList);
        }
        if scan.eat(b'}') {
            return Ok(found);
        }
        loop {
            let key = scan.value().filter(|key| key.starts_with(b"\"")).ok_or(BadPage::NotJson)?;
            if !scan.eat(b':') {
                return Err(BadPage::NotJson);
            }
            let value = scan.value().ok_or(BadPage::NotJson)?;
            let key = key.get(1..key.len() - 1).unwrap_or_default().to_ascii_lowercase();
            match key.as_slice() {
                // Should it stand there twice, nothing does not undo something.
                b"completedcontacts" if found.rows.is_some() && matches!(value, b"null" | b"[]" | b"\"\"") => {}
                b"completedcontacts" => found.rows = Some(value),
                b"contacts" => found.rows = found.rows.or(Some(value)),
                b"totalrecords" => found.total = Some(value),
                b"_links" | b"links" => found.links = Some(value),
                b"lastpolltime" => found.last_poll = Some(value),
                name if value.starts_with(b"{") && WRAPPERS.iter().any(|wrapper| wrapper.as_bytes() == name) => {
                    inner = inner.or(Some(value));
                }
                _ => {}
            }
            if scan.eat(b'}') {
                break;
            }
            if !scan.eat(b',') {
                return Err(BadPage::NotJson);
            }
            if scan.eat(b'}') {
                break;
            }
        }
        if let Some(inner) = inner.filter(|_| found.rows.is_none() && wrappings < WRAPPINGS_MAX) {
            let inner = Envelope::read(inner, wrappings + 1)?;
            found.rows = inner.rows;
            found.total = inner.total.or(found.total);
            found.links = inner.links.or(found.links);
            found.last_poll = inner.last_poll.or(found.last_poll);
        }
        Ok(found)
    }
}

/// Finds where values of a JSON text end, without looking into them. Needs no stack, however deep they are.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// Passes the next byte that is no blank if it is this one.
    fn eat(&mut self, byte: u8) -> bool {
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    /// The next value.
    fn value(&mut self) -> Option<&'a [u8]> {
        let first = self.peek()?;
        let from = self.at;
        match first {
            b'"' => self.pass_string()?,
            b'{' | b'[' => self.pass_nested()?,
            _ => {
                while self.bytes.get(self.at).is_some_and(|byte| !ends_scalar(*byte)) {
                    self.at += 1;
                }
            }
        }
        self.bytes.get(from..self.at).filter(|value| !value.is_empty())
    }

    /// From a quotation mark to behind the one that closes it.
    fn pass_string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }

    fn pass_nested(&mut self) -> Option<()> {
        let mut depth = 0_u64;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.pass_string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

fn ends_scalar(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b']' | b'}' | b'[' | b'{' | b'"')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn url() -> Url {
        Url::parse("https://api.example/incontactapi/services/v30.0/contacts/completed?skip=0&top=1000").unwrap()
    }

    fn page(text: &str) -> Page {
        read(text.as_bytes(), &url()).unwrap_or_else(|bad| panic!("{bad:?}: {text}"))
    }

    fn bad(text: &str) -> Option<BadPage> {
        read(text.as_bytes(), &url()).err()
    }

    const ROW: &str = r#"{"contactId": 7, "contactStart": "2026-11-02T08:09:00Z"}"#;

    #[test]
    fn an_envelope_without_contacts_is_no_empty_day() {
        for text in [
            r#"{"message": "maintenance"}"#,
            "[]",
            r#"{"completedContacts": "none"}"#,
            r#"{"resultSet": {"message": "x"}}"#,
            r#"{"data": []}"#,
            "{}",
        ] {
            assert_eq!(bad(text), Some(BadPage::NoList), "{text}");
        }
        for text in ["<html>", "", r#"{"completedContacts": ["#, r#"{"completedContacts": [] x"#, "{} {}", r#"{"a" 1}"#]
        {
            assert_eq!(bad(text), Some(BadPage::NotJson), "{text}");
        }
        for text in [
            r#"{"totalRecords": "0"}"#,
            r#"{"completedContacts": null}"#,
            r#"{"completedContacts": []}"#,
            r#"{"resultSet": {"completedContacts": ""}}"#,
        ] {
            assert_eq!((page(text).records.len(), page(text).facts.rows), (0, 0), "{text}");
        }
    }

    #[test]
    fn the_envelope_is_read_in_every_wrapping() {
        let envelope = format!(
            r#"{{"totalRecords": "1,500", "completedContacts": [{ROW}], "lastPollTime": "2026-11-02T09:00:00.000Z", "_links": {{"next": null}}}}"#
        );
        for text in [
            envelope.clone(),
            format!("\u{feff}\n{envelope}\n"),
            format!(r#"{{"resultSet": {envelope}}}"#),
            format!(r#"{{"ResultSet": {envelope}, "x": [1, {{"completedContacts": 5}}]}}"#),
            format!(r#"{{"data": {{"value": {envelope}}}, "message": "ok"}}"#),
            envelope.replace("completedContacts", "CompletedContacts").replace("totalRecords", "TotalRecords"),
            envelope.replace(['[', ']'], ""),
        ] {
            let page = page(&text);
            assert_eq!(page.facts, PageFacts { rows: 1, total: Some(1500), next: None }, "{text}");
            assert_eq!(page.last_poll.unwrap().to_string(), "2026-11-02T09:00:00Z");
            assert_eq!(page.records[0].contact_id.0, 7);
        }
    }

    #[test]
    fn the_next_page_is_named_in_several_ways() {
        let next = |links: &str| {
            page(&format!(r#"{{"completedContacts": [], "_links": {links}}}"#)).facts.next.map(|next| next.to_string())
        };
        let absolute = "https://api.example/x?skip=1";
        assert_eq!(next(&format!(r#"{{"next": "{absolute}"}}"#)).as_deref(), Some(absolute));
        assert_eq!(next(r#"{"Next": {"href": " /x?skip=1 "}}"#).as_deref(), Some(absolute));
        for none in
            [r#"{"next": ""}"#, r#"{"next": null}"#, r#"{"next": "http://[x"}"#, "null", "[]", r#"{"next": {}}"#]
        {
            assert_eq!(next(none), None, "{none}");
        }
    }

    #[test]
    fn a_bad_record_harms_no_other() {
        let deep = format!("{{\"x\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let large = format!(r#"{{"contactId": 9, "x": "{}"}}"#, "x".repeat(ROW_BYTES_MAX));
        let rows = [
            ROW,
            "[[],[],[[[]]]]",
            "null",
            "\"}]\"",
            &deep,
            &large,
            r#"{"contactId": 8, "firstName": "Rosa"}"#,
            r#"{"contactId": 1e999, "contactStart": nonsense}"#,
            ROW,
        ];
        let page = page(&format!(r#"{{"completedContacts": [{}]}}"#, rows.join(",")));
        assert_eq!((page.records.len(), page.unreadable, page.facts.rows), (2, 7, 9));
        let why: Vec<&str> = page.described.iter().map(|unreadable| unreadable.why).collect();
        assert_eq!(why[..5], ["not an object", "not an object", "not an object", "not JSON", "larger than 256 KiB"]);
    }

    #[test]
    fn a_record_that_is_almost_json_is_read() {
        let row = b"{\"contactId\": 7, \"contactStart\": \"2026-11-02T08:09:00Z\", \"lastName\": \"K\x01el\tl\xffer \\ud800\", \"abandonSeconds\": NaN}";
        let body = [b"{\"completedContacts\": [".as_slice(), row, b"]}"].concat();
        let page = read(&body, &url()).unwrap();
        assert_eq!(page.records[0].last_name.as_deref(), Some("K\u{1}el\tl\u{fffd}er \u{fffd}"));
    }

    #[test]
    fn rows_without_end_are_refused() {
        let rows = vec!["[]"; ROWS_MAX as usize + 1].join(",");
        assert_eq!(bad(&format!(r#"{{"completedContacts": [{rows}]}}"#)), Some(BadPage::TooManyRows));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,a0 \\\\]{0,60}") {
            let _ = read(&body, &url());
            let _ = read(text.as_bytes(), &url());
            let _ = read(format!("{{\"completedContacts\":{text}}}").as_bytes(), &url());
        }

        #[test]
        fn every_envelope_is_read_as_a_parser_would(ids in proptest::collection::vec(1_i64..1000, 0..8), junk in any::<String>()) {
            let rows: Vec<Value> = ids.iter().map(|id| json!({"contactId": id, "contactStart": "2026-11-02T08:09:00Z", "x": junk})).collect();
            let body = json!({"a": junk, "completedContacts": rows, "b": {"c": [junk]}, "totalRecords": ids.len()});
            for text in [body.to_string(), format!("{body:#}")] {
                let page = page(&text);
                prop_assert_eq!(page.records.iter().map(|record| record.contact_id.0).collect::<Vec<_>>(), ids.clone());
                prop_assert_eq!(page.facts.total, Some(ids.len() as u64));
            }
        }
    }
}
