//! How the rest of a listing is fetched once its first page is there. Pure: no request is made here.

use url::Url;

/// Rows that are asked for per page. The tenant's cap is 10,000; smaller pages do not run into its time limits.
pub(super) const PAGE_ROWS: u64 = 1000;
/// Pages of one listing, at most. A day has a few; beyond this something is wrong with the tenant's counting.
pub(super) const PAGES_MAX: u64 = 2000;

/// What one page says about the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PageFacts {
    /// Rows that came, readable or not.
    pub rows: u64,
    /// `totalRecords`.
    pub total: Option<u64>,
    /// `_links.next`.
    pub next: Option<Url>,
}

/// What to fetch next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plan {
    /// Nothing.
    Done,
    /// The pages that begin at these rows, in any order; an empty one is the end.
    Pages { skips: Vec<u64> },
    /// One page, whose facts then decide.
    OneMore(Position),
    /// More pages than [`PAGES_MAX`].
    TooMany,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Position {
    Row(u64),
    /// The tenant's own link, checked to be on the API's origin.
    Link(Url),
}

/// The plan after the first page.
///
/// `totalRecords` is trusted over a short first page: a tenant whose cap is below the rows asked for sends short pages all along,
/// and stopping at the first would lose the rest. Rows per page are then what came.
pub(super) fn after_first(first: &PageFacts, may_follow: impl Fn(&Url) -> bool) -> Plan {
    let Some(total) = first.total else { return after_next(first, first.rows, 1, None, may_follow) };
    if first.rows == 0 || first.rows >= total {
        return Plan::Done;
    }
    if (total - first.rows).div_ceil(first.rows) >= PAGES_MAX {
        return Plan::TooMany;
    }
    let step = usize::try_from(first.rows).unwrap_or(usize::MAX);
    Plan::Pages { skips: (first.rows..total).step_by(step).collect() }
}

/// The plan after a further page where no page told the total. `seen` counts the rows of all pages so far, `pages` the pages,
/// `at` is the link by which this page was fetched.
pub(super) fn after_next(
    page: &PageFacts,
    seen: u64,
    pages: u64,
    at: Option<&Url>,
    may_follow: impl Fn(&Url) -> bool,
) -> Plan {
    if page.rows == 0 {
        return Plan::Done;
    }
    // A link to the same page again would never end; a link elsewhere would carry the token away.
    let link = page.next.as_ref().filter(|next| may_follow(next) && Some(*next) != at);
    let position = match link {
        Some(next) => Position::Link(next.clone()),
        None if page.rows < PAGE_ROWS => return Plan::Done,
        None => Position::Row(seen),
    };
    if pages >= PAGES_MAX { Plan::TooMany } else { Plan::OneMore(position) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(rows: u64, total: Option<u64>, next: Option<&str>) -> PageFacts {
        PageFacts { rows, total, next: next.map(|next| Url::parse(next).unwrap()) }
    }

    #[test]
    fn the_total_tells_every_other_page() {
        assert_eq!(after_first(&facts(3, Some(3), None), |_| true), Plan::Done);
        assert_eq!(after_first(&facts(0, Some(9), None), |_| true), Plan::Done);
        assert_eq!(after_first(&facts(1000, Some(2500), None), |_| true), Plan::Pages { skips: vec![1000, 2000] });
        // The total wins over a link.
        assert_eq!(after_first(&facts(1, Some(1), Some("https://x.example/?p=2")), |_| true), Plan::Done);
    }

    #[test]
    fn a_tenant_with_a_smaller_cap_loses_nothing() {
        assert_eq!(after_first(&facts(500, Some(1200), None), |_| true), Plan::Pages { skips: vec![500, 1000] });
    }

    #[test]
    fn without_a_total_links_are_followed_where_they_may() {
        let next = Url::parse("https://x.example/?skip=1000").unwrap();
        let page = facts(1000, None, Some(next.as_str()));
        assert_eq!(after_first(&page, |_| true), Plan::OneMore(Position::Link(next.clone())));
        assert_eq!(after_first(&page, |_| false), Plan::OneMore(Position::Row(1000)));
        assert_eq!(after_first(&facts(10, None, None), |_| true), Plan::Done);
        // A page that links to itself.
        assert_eq!(after_next(&facts(10, None, Some(next.as_str())), 20, 2, Some(&next), |_| true), Plan::Done);
    }

    #[test]
    fn a_listing_ends() {
        assert_eq!(after_first(&facts(1, Some(1_000_000), None), |_| true), Plan::TooMany);
        assert_eq!(after_first(&facts(1000, Some(u64::MAX), None), |_| true), Plan::TooMany);
        assert_eq!(after_next(&facts(1000, None, None), 2_000_000, PAGES_MAX, None, |_| true), Plan::TooMany);
    }

    proptest! {
        #[test]
        fn pages_cover_every_row_once(rows in 1_u64..2000, total in 0_u64..100_000) {
            match after_first(&facts(rows, Some(total), None), |_| true) {
                Plan::Done => prop_assert!(rows >= total),
                Plan::Pages { skips } => {
                    prop_assert_eq!(skips[0], rows);
                    prop_assert!(skips.windows(2).all(|pair| pair[1] - pair[0] == rows));
                    prop_assert!(skips[skips.len() - 1] < total && skips[skips.len() - 1] + rows >= total);
                }
                other => prop_assert!(total / rows >= PAGES_MAX - 1, "{other:?}"),
            }
        }
    }
}
