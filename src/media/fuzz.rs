//! What a media host and a damaged disk may say: entry points for fuzzing. Compiled for tests and fuzzers only.
//!
//! Each takes any bytes and panics where a promise is broken.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::blocks::Blocks;
use super::check::{self, Verdict};
use super::geometry::{MAX_RECORDING_BYTES, block_count};
use super::index::{self, HEADER_LEN, VALIDATOR_LEN_MAX};

/// Tables larger than this are not built here: a fuzzer has little memory.
const BLOCKS_MAX: u32 = 1 << 16;

/// An answer's status and headers, as text: the status and the asked range on the first line (`206 0 65536`), then one header a line.
pub fn answer(said: &str) {
    let mut lines = said.lines();
    let mut numbers = lines.next().unwrap_or_default().split_whitespace();
    let status = numbers.next().and_then(|word| word.parse().ok()).unwrap_or(206);
    let start: u64 = numbers.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let is_possible = |total| (1..=MAX_RECORDING_BYTES).contains(&total);
    let len: u64 = numbers.next().and_then(|word| word.parse().ok()).unwrap_or(65_536);
    let asked = start..start.saturating_add(len);
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.trim().as_bytes());
        let value = HeaderValue::from_bytes(value.trim().as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    match check::judge(status, &headers, said.as_bytes(), &asked) {
        Verdict::Partial { bytes, total } => {
            assert!(
                status == 206 && bytes.start == asked.start && bytes.end <= asked.end,
                "bytes that were not asked for"
            );
            assert!(bytes.start < bytes.end && bytes.end <= total && is_possible(total), "a part beyond the end");
        }
        Verdict::Whole { total } => assert!(status == 200 && total.is_none_or(is_possible)),
        Verdict::Outside { total } => assert!(status == 416 && total.is_none_or(is_possible)),
        Verdict::Empty => assert!(matches!(status, 200 | 206 | 416)),
        Verdict::LinkRefused | Verdict::Refused(_) => assert!((400..500).contains(&status)),
        Verdict::Elsewhere { location } => assert!((301..=308).contains(&status) && !location.is_empty()),
        Verdict::Transient { why, .. } | Verdict::Broken { why } => assert!(why.len() < 256, "{why}"),
    }
    assert!(check::validator(&headers).len() <= VALIDATOR_LEN_MAX, "a validator that does not fit into the index");
    let _ = check::date(&headers);
}

/// An index file. With `sealed` the header's checksum is made right first, so that what is behind it is reached.
pub fn block_index(bytes: &[u8], sealed: bool) {
    let mut bytes = bytes.to_vec();
    if sealed {
        index::seal(&mut bytes);
    }
    let Ok(header) = index::decode_header(&bytes) else { return };
    let version = &header.version;
    assert!(version.size <= MAX_RECORDING_BYTES && version.validator.len() <= VALIDATOR_LEN_MAX);
    let again = index::decode_header(&index::encode_header(&header));
    assert_eq!(again.as_ref(), Ok(&header), "a header that is not what it was written as");
    let entries = index::decode_entries(bytes.get(HEADER_LEN..).unwrap_or_default(), header.form());
    if block_count(version.size) > BLOCKS_MAX {
        return;
    }
    let blocks = Blocks::from_index(version.size, &entries);
    assert_eq!(blocks.count(), block_count(version.size));
    assert!(!blocks.is_verified() || blocks.count() == 0, "what a file says counts as compared");
}
