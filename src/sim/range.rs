//! Reading a `Range` header as S3 does (RFC 9110, 14.2). Pure.

/// Bytes `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// What a request is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// 200: no range, one that cannot be read, or several.
    Whole,
    /// 206.
    Part(Span),
    /// 416.
    Nothing,
}

/// What a `Range` header asks of an object of `total` bytes.
pub(super) fn read_range(header: Option<&str>, total: u64) -> Wanted {
    let Some(spec) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Wanted::Whole };
    let Some((first, last)) = spec.split_once('-') else { return Wanted::Whole };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let span = match (first.trim(), last.trim()) {
        ("", suffix) => {
            let Some(length) = number(suffix) else { return Wanted::Whole };
            Span { start: total.saturating_sub(length), end: total }
        }
        (first, "") => {
            let Some(start) = number(first) else { return Wanted::Whole };
            Span { start, end: total }
        }
        (first, last) => {
            let (Some(start), Some(last)) = (number(first), number(last)) else { return Wanted::Whole };
            if last < start {
                return Wanted::Whole;
            }
            Span { start, end: last.saturating_add(1).min(total) }
        }
    };
    if span.start < span.end { Wanted::Part(span) } else { Wanted::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let read = |text| read_range(Some(text), 100);
        let part = |start, end| Wanted::Part(Span { start, end });
        assert_eq!(read("bytes=0-0"), part(0, 1));
        assert_eq!(read("bytes=10-19"), part(10, 20));
        assert_eq!(read("bytes=90-1000"), part(90, 100));
        assert_eq!(read("bytes=99-"), part(99, 100));
        assert_eq!(read("bytes=-1"), part(99, 100));
        assert_eq!(read("bytes=-1000"), part(0, 100));
        assert_eq!(read("bytes=0-18446744073709551615"), part(0, 100));
        for nothing in ["bytes=100-", "bytes=100-100", "bytes=-0"] {
            assert_eq!(read(nothing), Wanted::Nothing, "{nothing}");
        }
        for whole in ["bytes=5-4", "bytes=0-1,5-6", "bytes=a-b", "bytes", "items=0-1", "bytes=-"] {
            assert_eq!(read(whole), Wanted::Whole, "{whole}");
        }
        assert_eq!(read_range(None, 100), Wanted::Whole);
        assert_eq!(read_range(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}
