//! Erasing contacts from lines: path, numbers and salt go, a digest stays, and the chain still holds.

use std::io;
use std::path::Path;

use super::line::Line;
use super::{read, segments};
use crate::ops::redact::Meant;

/// How many lines of a log say something of those who are meant.
pub fn count(dir: &Path, meant: &Meant) -> io::Result<u64> {
    let mut count = 0;
    read::each_text(dir, |_, text| {
        if let segments::Text::Whole(text) = text {
            count += u64::from(erased(&text, meant).is_some());
        }
        true
    })?;
    Ok(count)
}

/// Erases from a log to which nobody writes.
pub fn in_all(dir: &Path, meant: &Meant) -> io::Result<u64> {
    let files = segments::list(dir)?;
    files.iter().map(|segment| segments::rewrite(segment, |text| erased(text, meant))).sum()
}

/// The line without what it says of those who are meant; `None`: it says nothing of them.
#[must_use]
pub fn erased(text: &[u8], meant: &Meant) -> Option<Vec<u8>> {
    let line = Line::read(text)?;
    if meant.are_of(&line.object) { line.erased() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Head, SALT_BYTES, sealed};
    use super::*;

    fn text(fields: &str) -> Vec<u8> {
        let (mut text, _) = sealed(
            &serde_json::from_str(fields).unwrap(),
            &Head { number: 700, ..Head::default() },
            false,
            [1; SALT_BYTES],
        );
        text.pop();
        text
    }

    #[test]
    fn only_lines_that_name_them_are_erased() {
        let meant = Meant::Numbers(vec![String::from("701")]);
        for fields in [
            r#"{"path":"d/a/085931_call_in_701/x.mp4"}"#,
            r#"{"master_contact":701}"#,
            r#"{"path":"d/a","contacts":[5,701]}"#,
            r#"{"paths":["d/a/085931_call_in_701"]}"#,
        ] {
            let erased = erased(&text(fields), &meant).unwrap();
            assert!(!String::from_utf8(erased.clone()).unwrap().contains("_701"), "{fields}");
            assert!(Line::read(&erased).unwrap().is_erased);
            assert_eq!(super::erased(&erased, &meant), None, "once");
        }
        // The line's own number is 701, and this is another's.
        for fields in [
            r#"{"path":"d/a/085931_call_in_7010/x.mp4","master_contact":7010}"#,
            r#"{"path":"2026-11-02/Keller_701/000701_call_in_9/x.mp4","contacts":[9,7010]}"#,
            r#"{"uid":701,"pid":701,"count":701}"#,
        ] {
            assert_eq!(erased(&text(fields), &meant), None, "{fields}");
        }
        assert!(erased(&text(r#"{"path":"d"}"#), &Meant::All).is_some());
        assert_eq!(erased(&text(r#"{"uid":701}"#), &Meant::All), None, "there is nothing to erase");
    }
}
