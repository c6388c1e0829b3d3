//! Asking for less at once: which smaller listings stand in for one that the tenant refused or could not answer in time. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::cxone::reporting::paging::PAGE_ROWS;
use crate::net::error::{ApiError, ApiErrorKind};

/// No window is made shorter.
const SPAN_MIN: SignedDuration = SignedDuration::from_mins(15);
/// No page is made smaller.
const ROWS_MIN: u64 = 10;
/// How often in a row less is asked for because the tenant is slow: each time costs whoever waits a time-out.
const SLOW_MAX: u32 = 2;

/// A listing, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cxone) struct Slice {
    /// `None`: whenever they start.
    pub span: Option<(Timestamp, Timestamp)>,
    pub updated_since: Option<Timestamp>,
    /// Rows per page.
    pub top: u64,
    /// How often in a row it was made smaller because the tenant is slow.
    pub slow: u32,
}

/// Why a slice could not be had as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cxone) enum Trouble {
    /// The tenant refuses the window, or repeats its first rows.
    TooLong,
    /// A page is larger than we take.
    TooLarge,
    /// No answer in time.
    Slow,
}

impl Trouble {
    /// What the log says where smaller parts mend it, and where nothing smaller is left, with what to do then.
    pub fn words(self) -> Words {
        match self {
            Trouble::TooLong => Words {
                mended: "the tenant refuses the window of a listing as too long: it is listed in shorter ones",
                lost: "the tenant refuses a listing however short its window is",
                remedy: "read the tenant's words in `error`; check tenant.reporting_version, and that the access key's role may see reports",
            },
            Trouble::TooLarge => Words {
                mended: "a page of a listing is larger than is taken: it is listed in smaller pages",
                lost: "a page of a listing is larger than is taken however few contacts are asked for",
                remedy: "look for a contact with very large fields in the tenant; report it to NICE with the correlation_id",
            },
            Trouble::Slow => Words {
                mended: "the tenant does not answer a listing in time: it is listed in smaller parts",
                lost: "the tenant does not answer a listing however little is asked for",
                remedy: "wait and look at the day again; days that are known are shown meanwhile. If it stays so, report it to NICE",
            },
        }
    }
}

/// See [`Trouble::words`].
#[derive(Clone, Copy, Debug)]
pub(in crate::cxone) struct Words {
    pub mended: &'static str,
    pub lost: &'static str,
    pub remedy: &'static str,
}

/// What kind of failure asking for less may mend.
pub(in crate::cxone) fn trouble(error: &ApiError) -> Option<Trouble> {
    if error.is_too_large() {
        return Some(Trouble::TooLarge);
    }
    match error.status {
        Some(413) => Some(Trouble::TooLarge),
        Some(408 | 504 | 524) => Some(Trouble::Slow),
        // The longest window is documented nowhere; the refusal's text differs.
        Some(400 | 414 | 416 | 422) => Some(Trouble::TooLong),
        _ if error.kind == ApiErrorKind::Timeout => Some(Trouble::Slow),
        _ => None,
    }
}

/// Slices that are asked for in place of one, earliest first; `None` where there is nothing smaller.
pub(in crate::cxone) fn smaller(slice: &Slice, trouble: Trouble) -> Option<Vec<Slice>> {
    match trouble {
        Trouble::TooLong => halves(slice),
        Trouble::TooLarge => with_smaller_pages(slice).map(|slice| vec![slice]).or_else(|| halves(slice)),
        Trouble::Slow => {
            if slice.slow >= SLOW_MAX {
                return None;
            }
            let slower = Slice { slow: slice.slow + 1, ..*slice };
            let pages = with_smaller_pages(&slower).unwrap_or(slower);
            halves(&pages).or_else(|| (pages.top < slice.top).then(|| vec![pages]))
        }
    }
}

/// The least that can be asked for of a slice: it tells whether the tenant answers a listing at all.
pub(super) fn least(slice: &Slice) -> Slice {
    let span =
        slice.span.map(|(start, end)| (start, start.saturating_add(SPAN_MIN).map_or(end, |least| least.min(end))));
    Slice { span, top: ROWS_MIN, ..*slice }
}

fn with_smaller_pages(slice: &Slice) -> Option<Slice> {
    let top = (slice.top / 4).max(ROWS_MIN);
    (top < slice.top).then_some(Slice { top, ..*slice })
}

fn halves(slice: &Slice) -> Option<Vec<Slice>> {
    let (start, end) = slice.span?;
    let half = end.duration_since(start) / 2;
    if half < SPAN_MIN {
        return None;
    }
    let middle = start.checked_add(half).ok()?;
    Some(vec![Slice { span: Some((start, middle)), ..*slice }, Slice { span: Some((middle, end)), ..*slice }])
}

/// What was learned of a tenant: how much it answers at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::cxone) struct Pace {
    /// The longest window, where a longer one was refused.
    span_max: Option<SignedDuration>,
    /// Rows per page, where more were too large.
    top: Option<u64>,
}

impl Pace {
    /// Rows per page.
    pub fn top(&self) -> u64 {
        self.top.unwrap_or(PAGE_ROWS)
    }

    /// The slices to begin with, earliest first.
    pub fn slices(&self, start: Timestamp, end: Timestamp, updated_since: Option<Timestamp>) -> Vec<Slice> {
        let step = self.span_max.unwrap_or(SignedDuration::MAX);
        let mut slices = Vec::new();
        let mut from = start;
        while from < end {
            let to = from.saturating_add(step).map_or(end, |to| to.min(end));
            slices.push(Slice { span: Some((from, to)), updated_since, top: self.top(), slow: 0 });
            from = to;
        }
        slices
    }

    /// A slice came that stood in for one that was refused.
    pub fn learn(&mut self, slice: &Slice, why: Trouble) {
        match why {
            Trouble::TooLong => {
                let span = slice.span.map(|(start, end)| end.duration_since(start));
                self.span_max = self.span_max.into_iter().chain(span).min();
            }
            Trouble::TooLarge => self.top = Some(self.top().min(slice.top)),
            // It may be quick again tomorrow.
            Trouble::Slow => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn day() -> Slice {
        let span = Some((at("2026-11-02T00:00:00Z"), at("2026-11-03T00:00:00Z")));
        Slice { span, updated_since: None, top: PAGE_ROWS, slow: 0 }
    }

    /// The parts of a slice, all made as small as they can be.
    fn smallest(slice: Slice, trouble: Trouble) -> Vec<Slice> {
        match smaller(&slice, trouble) {
            Some(parts) => parts.into_iter().flat_map(|part| smallest(part, trouble)).collect(),
            None => vec![slice],
        }
    }

    #[test]
    fn parts_cover_the_whole_and_have_an_end() {
        for (trouble, count, top) in [(Trouble::TooLong, 64, 1000), (Trouble::TooLarge, 64, 10), (Trouble::Slow, 4, 62)]
        {
            let parts = smallest(day(), trouble);
            assert_eq!((parts.len(), parts[0].top), (count, top), "{trouble:?}");
            let spans: Vec<_> = parts.iter().filter_map(|part| part.span).collect();
            assert_eq!((spans[0].0, spans[count - 1].1), day().span.unwrap());
            assert!(spans.windows(2).all(|pair| pair[0].1 == pair[1].0), "{trouble:?}");
        }
        let sweep = Slice { span: None, ..day() };
        assert_eq!(smaller(&sweep, Trouble::TooLong), None);
        assert_eq!(smallest(sweep, Trouble::Slow), [Slice { top: 62, slow: 2, ..sweep }]);
    }

    #[test]
    fn a_refusal_is_told_from_an_answer_that_does_not_come() {
        let status = |status| trouble(&ApiError::new(ApiErrorKind::BadAnswer, "x").with_status(status));
        assert_eq!(status(400), Some(Trouble::TooLong));
        assert_eq!(status(504), Some(Trouble::Slow));
        assert_eq!(status(413), Some(Trouble::TooLarge));
        for other in [401, 403, 404, 429, 500, 503] {
            assert_eq!(status(other), None, "{other}");
        }
        assert_eq!(trouble(&ApiError::new(ApiErrorKind::Timeout, "x")), Some(Trouble::Slow));
        assert_eq!(trouble(&ApiError::new(ApiErrorKind::BadAnswer, "x").too_large()), Some(Trouble::TooLarge));
        assert_eq!(trouble(&ApiError::new(ApiErrorKind::Unavailable, "x").unsent()), None);
    }

    #[test]
    fn the_least_is_a_few_rows_of_a_few_minutes() {
        let start = day().span.unwrap().0;
        let expected = Slice { span: Some((start, at("2026-11-02T00:15:00Z"))), top: 10, ..day() };
        assert_eq!(least(&day()), expected);
        assert_eq!(least(&expected), expected);
    }

    #[test]
    fn what_was_learned_is_begun_with() {
        let mut pace = Pace::default();
        let (start, end) = day().span.unwrap();
        assert_eq!(pace.slices(start, end, None), [day()]);
        let half = smaller(&day(), Trouble::TooLong).unwrap()[0];
        pace.learn(&half, Trouble::TooLong);
        assert_eq!(pace.slices(start, end, None), smaller(&day(), Trouble::TooLong).unwrap());
        pace.learn(&Slice { top: 250, ..half }, Trouble::TooLarge);
        assert!(pace.slices(start, end, None).iter().all(|slice| slice.top == 250));
        pace.learn(&day(), Trouble::TooLong);
        assert_eq!(pace.slices(start, end, None).len(), 2);
    }
}
