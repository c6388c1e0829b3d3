//! How the rest of a listing is fetched once a page is there. Pure: no request is made here.
//!
//! What `totalRecords` counts is not known (all rows, those of the page, no more than a maximum), so it never ends a listing: it only says which
//! pages can be asked for together. A listing ends where the tenant has nothing more to send: its links lead nowhere, and a page is empty
//! or shorter than it could be.

use std::collections::HashSet;

use url::Url;

/// Rows that are asked for per page. The tenant's maximum is 10,000; smaller pages do not run into its time limits.
pub(in crate::cxone) const PAGE_ROWS: u64 = 1000;
/// Pages of one listing, at most. A day has a few; beyond this something is wrong with the tenant's paging.
pub(in crate::cxone) const PAGES_MAX: u64 = 5000;
/// Pages that are planned ahead by the total, before it is looked again whether it was true.
const AHEAD_MAX: usize = 64;
/// A first page of a multiple of so many rows may be as large as the tenant makes them, although more were asked for.
const ROUND_ROWS: u64 = 10;

/// What one page says about the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cxone) struct PageFacts {
    /// Rows that came, readable or not.
    pub rows: u64,
    /// `totalRecords`.
    pub total: Option<u64>,
    /// `_links.next`.
    pub next: Option<Url>,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cxone) enum Position {
    Row(u64),
    /// The tenant's own link, checked to be on the API's origin.
    Link(Url),
}

/// What to fetch next.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cxone) enum Next {
    One(Position),
    /// The pages that begin at these rows, in any order; an empty one is the last.
    Ahead(Vec<u64>),
    Done(End),
}

/// Why nothing more is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cxone) enum End {
    /// The tenant has nothing more to send.
    Whole,
    /// It sends full pages with what it sent before, so that what comes after them cannot be had.
    Repeats,
    /// More pages than [`PAGES_MAX`].
    TooMany,
}

/// One pass through a listing.
#[derive(Debug)]
pub(in crate::cxone) struct Paging {
    /// Rows asked for per page.
    top: u64,
    /// Whether several pages are fetched together.
    ahead: bool,
    /// Rows behind which the next page begins.
    at: u64,
    pages: u64,
    /// Rows of the largest page.
    largest: u64,
    total: Option<u64>,
    followed: HashSet<Url>,
    last: Option<Last>,
}

/// The page that came last.
#[derive(Debug)]
struct Last {
    rows: u64,
    next: Option<Url>,
    was_link: bool,
    repeats: bool,
}

impl Paging {
    pub fn new(top: u64, ahead: bool) -> Paging {
        Paging { top, ahead, at: 0, pages: 0, largest: 0, total: None, followed: HashSet::new(), last: None }
    }

    /// The largest `totalRecords` so far.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// A page came, by `link` or else by its first row. `repeats`: every record in it came before.
    pub fn note(&mut self, facts: &PageFacts, link: Option<&Url>, repeats: bool) {
        self.pages += 1;
        self.largest = self.largest.max(facts.rows);
        self.total = self.total.max(facts.total);
        self.at += if repeats { 0 } else { facts.rows };
        let next = facts.next.clone();
        self.last = Some(Last { rows: facts.rows, next, was_link: link.is_some(), repeats });
    }

    /// A link that was or will be asked for, so that it is not followed (again).
    pub fn asked(&mut self, url: Url) {
        self.followed.insert(url);
    }

    /// What to fetch after the page that came last. `may_follow`: whether a link leads to the tenant.
    pub fn next(&mut self, may_follow: impl Fn(&Url) -> bool) -> Next {
        let Some(last) = self.last.take() else { return Next::One(Position::Row(0)) };
        if last.rows == 0 {
            return Next::Done(End::Whole);
        }
        if self.pages >= PAGES_MAX {
            return Next::Done(End::TooMany);
        }
        let may_be_cut = last.rows >= self.top
            || (last.rows == self.largest && (self.pages > 1 || last.rows.is_multiple_of(ROUND_ROWS)));
        if last.repeats {
            return match (last.was_link, may_be_cut) {
                // The link lied; the rows behind those that came may be there all the same.
                (true, _) => Next::One(Position::Row(self.at)),
                (false, true) => Next::Done(End::Repeats),
                (false, false) => Next::Done(End::Whole),
            };
        }
        let counted = self.total.filter(|total| *total > self.at);
        if let Some(link) = &last.next {
            let is_by_rows = first_row(link) == Some(self.at);
            let is_planned = self.ahead && is_by_rows && counted.is_some();
            // A link to a page that was asked for would never end; a link elsewhere would carry the token away.
            if !is_planned && may_follow(link) && self.followed.insert(link.clone()) {
                return Next::One(Position::Link(link.clone()));
            }
        }
        match counted {
            Some(total) if self.ahead => {
                let step = usize::try_from(self.largest).unwrap_or(usize::MAX);
                Next::Ahead((self.at..total).step_by(step).take(AHEAD_MAX).collect())
            }
            // A link that cannot be followed says that there is more.
            counted if counted.is_some() || last.next.is_some() || may_be_cut => Next::One(Position::Row(self.at)),
            _ => Next::Done(End::Whole),
        }
    }
}

/// The row with which the page behind a link begins, where it says so.
fn first_row(link: &Url) -> Option<u64> {
    let (_, skip) = link.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case("skip"))?;
    skip.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(rows: u64, total: Option<u64>, next: Option<&str>) -> PageFacts {
        PageFacts { rows, total, next: next.map(|next| Url::parse(next).unwrap()) }
    }

    /// What follows a first page.
    fn after_first(page: &PageFacts, may_follow: bool) -> Next {
        let mut paging = Paging::new(PAGE_ROWS, true);
        assert_eq!(paging.next(|_| true), Next::One(Position::Row(0)));
        paging.note(page, None, false);
        paging.next(|_| may_follow)
    }

    #[test]
    fn the_total_plans_ahead_and_ends_nothing() {
        assert_eq!(after_first(&facts(1000, Some(2500), None), true), Next::Ahead(vec![1000, 2000]));
        assert_eq!(after_first(&facts(500, Some(1200), None), true), Next::Ahead(vec![500, 1000]), "a smaller cap");
        for total in [None, Some(0), Some(1), Some(1000)] {
            assert_eq!(after_first(&facts(1000, total, None), true), Next::One(Position::Row(1000)), "{total:?}");
            let fewer = total.map(|total| total.min(500));
            assert_eq!(after_first(&facts(500, fewer, None), true), Next::One(Position::Row(500)), "{fewer:?}");
            assert_eq!(after_first(&facts(123, total.map(|total| total.min(123)), None), true), Next::Done(End::Whole));
        }
        assert_eq!(after_first(&facts(0, Some(9), None), true), Next::Done(End::Whole));
        let Next::Ahead(skips) = after_first(&facts(1, Some(u64::MAX), None), true) else { panic!() };
        assert_eq!(skips.len(), AHEAD_MAX);
    }

    #[test]
    fn links_are_followed_where_they_may_and_once() {
        let link = "https://x.example/?cursor=abc";
        let url = Url::parse(link).unwrap();
        for total in [None, Some(3), Some(2500)] {
            assert_eq!(after_first(&facts(3, total, Some(link)), true), Next::One(Position::Link(url.clone())));
        }
        assert_eq!(
            after_first(&facts(3, None, Some(link)), false),
            Next::One(Position::Row(3)),
            "it says there is more"
        );
        let by_rows = "https://x.example/?Skip=1000&top=1000";
        assert_eq!(after_first(&facts(1000, Some(2500), Some(by_rows)), true), Next::Ahead(vec![1000, 2000]));
        let mut paging = Paging::new(PAGE_ROWS, true);
        paging.asked(url.clone());
        paging.note(&facts(3, None, Some(link)), None, false);
        assert_eq!(paging.next(|_| true), Next::One(Position::Row(3)), "the page itself");
    }

    #[test]
    fn pages_that_repeat_themselves_end_it() {
        let mut paging = Paging::new(PAGE_ROWS, true);
        paging.note(&facts(1000, None, None), None, false);
        paging.note(&facts(1000, None, None), None, true);
        assert_eq!(paging.next(|_| true), Next::Done(End::Repeats));
        paging.note(&facts(7, None, None), None, true);
        assert_eq!(paging.next(|_| true), Next::Done(End::Whole));
        let link = Url::parse("https://x.example/?cursor=abc").unwrap();
        paging.note(&facts(1000, None, None), Some(&link), true);
        assert_eq!(paging.next(|_| true), Next::One(Position::Row(1000)), "behind what came");
    }

    #[test]
    fn a_listing_ends() {
        let mut paging = Paging::new(PAGE_ROWS, false);
        let mut pages = 0;
        while paging.next(|_| true) != Next::Done(End::TooMany) {
            paging.note(&facts(1000, Some(u64::MAX), None), None, false);
            pages += 1;
        }
        assert_eq!(pages, PAGES_MAX);
    }

    /// A tenant with so many rows, and what it says.
    #[derive(Clone, Debug)]
    struct Made {
        rows: u64,
        cap: u64,
        /// `totalRecords` by what is true, what is on the page, and itself.
        total: u8,
        lie: u64,
        links: u8,
    }

    impl Made {
        fn page(&self, skip: u64) -> PageFacts {
            let rows = self.rows.saturating_sub(skip).min(self.cap).min(PAGE_ROWS);
            let total = match self.total {
                0 => None,
                1 => Some(self.rows),
                2 => Some(rows),
                3 => Some(self.rows.min(self.cap)),
                _ => Some(self.lie),
            };
            let more = skip + rows < self.rows;
            let next = match self.links {
                1 if more => Some(format!("https://x.example/?skip={}", skip + rows)),
                2 if more => Some(format!("https://x.example/?cursor={}", skip + rows)),
                3 => Some(format!("https://x.example/?cursor={skip}")),
                4 => Some(String::from("https://elsewhere.example/")),
                _ => None,
            };
            facts(rows, total, next.as_deref())
        }
    }

    fn made() -> impl Strategy<Value = Made> {
        let cap = prop_oneof![Just(10_u64), Just(100), Just(250), Just(10_000)];
        (0_u64..5000, cap, 0_u8..5, 0_u64..9000, 0_u8..5).prop_map(|(rows, cap, total, lie, links)| Made {
            rows,
            cap,
            total,
            lie,
            links,
        })
    }

    proptest! {
        #[test]
        fn every_row_comes_whatever_the_tenant_says(made in made(), ahead in any::<bool>()) {
            let mut paging = Paging::new(PAGE_ROWS, ahead);
            let (mut came, mut asked) = (HashSet::new(), 0);
            loop {
                let (skips, link) = match paging.next(|url| url.host_str() == Some("x.example")) {
                    Next::Done(end) => {
                        prop_assert_eq!(end, End::Whole);
                        break;
                    }
                    Next::One(Position::Row(skip)) => (vec![skip], None),
                    Next::One(Position::Link(url)) => {
                        let (_, skip) = url.query_pairs().next().unwrap();
                        (vec![skip.parse().unwrap()], Some(url))
                    }
                    Next::Ahead(skips) => (skips, None),
                };
                for skip in skips {
                    let page = made.page(skip);
                    asked += 1;
                    let before = came.len();
                    came.extend(skip..skip + page.rows);
                    paging.note(&page, link.as_ref(), page.rows > 0 && came.len() == before);
                    if page.rows == 0 {
                        break;
                    }
                }
            }
            prop_assert_eq!(came.len() as u64, made.rows);
            prop_assert!(asked <= 2 * made.rows.div_ceil(made.cap.min(PAGE_ROWS)) + 3, "{} pages", asked);
        }
    }
}
