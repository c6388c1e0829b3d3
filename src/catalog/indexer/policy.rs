//! Which days to ask for, when, and for how much of them: pure.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::super::model::DayState;
use crate::base::Day;
use crate::cxone::ContactRecord;

/// A day is open until this long after its end: records keep changing (after-call work, dispositions, late legs).
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(48);
/// How far a refresh reaches back before the last poll. Clients of this API hold back 15 minutes for the tenant's warehouse:
/// a record may appear with an earlier `lastUpdateTime` than the poll that missed it. Repeated records cost nothing.
const OVERLAP: SignedDuration = SignedDuration::from_mins(20);
/// `updatedSince` is served for the last 30 days.
const LONGEST_SINCE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long after its end a day's contacts may end. Calls do not last longer; an email that does is found by the sweep.
const NIGHT: SignedDuration = SignedDuration::from_hours(4);
/// By how much a contact's duration may exceed the time that the tenant counts to its end.
const AFTER_CALL: SignedDuration = SignedDuration::from_mins(10);

/// What an access to a day calls for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Has not begun: empty, without a call.
    Future,
    Answer(DayState),
    AnswerAndRefresh(DayState),
    Wait,
}

/// Why a day is listed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mode {
    /// Not in the index yet.
    First,
    /// In the index in this state, and open.
    Behind(DayState),
    /// Someone wants all of it again.
    Forced,
}

/// What to ask the tenant for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Request {
    pub start: Timestamp,
    pub end: Timestamp,
    pub updated_since: Option<Timestamp>,
    /// The present: what the answer says is at least as new.
    pub asked_at: Timestamp,
    /// The answer is final.
    pub closes: bool,
}

pub(super) fn is_future(day: Day, now: Timestamp, zone: &TimeZone) -> bool {
    day > Day::of(now, zone)
}

pub(super) fn on_access(
    day: Day,
    now: Timestamp,
    known: Option<&DayState>,
    refresh: Duration,
    zone: &TimeZone,
) -> Step {
    match known {
        // What is in the index is shown, even if this machine's clock went back behind it.
        Some(state) if state.closed || is_future(day, now, zone) => Step::Answer(*state),
        // A time far ahead was told by a clock that was wrong then.
        Some(state) if now.duration_since(state.indexed_at).abs() < signed(refresh) => Step::Answer(*state),
        Some(state) => Step::AnswerAndRefresh(*state),
        None if is_future(day, now, zone) => Step::Future,
        None => Step::Wait,
    }
}

pub(super) fn request(day: Day, now: Timestamp, mode: Mode, zone: &TimeZone) -> Request {
    let (start, end) = (day.start(zone), day.next().start(zone));
    let closes = now.duration_since(end) >= OPEN_FOR;
    let last_poll = match mode {
        // The listing that makes a day final is a whole one, whatever the earlier ones may have missed.
        Mode::Behind(state) if !closes => state.last_poll,
        _ => None,
    };
    let updated_since = last_poll
        .filter(|poll| now.duration_since(*poll) < LONGEST_SINCE)
        .map(|poll| poll.saturating_sub(OVERLAP).unwrap_or(poll));
    Request { start, end, updated_since, asked_at: now, closes }
}

/// The night after a day, in which contacts of the day may have ended; `None` where it is not yet over, or only changes are asked for.
pub(super) fn overnight(request: &Request) -> Option<(Timestamp, Timestamp)> {
    let end = request.end.saturating_add(NIGHT).ok()?.min(request.asked_at);
    (request.updated_since.is_none() && end > request.end).then_some((request.end, end))
}

/// Whether the answer has contacts that ended so long after the window that the tenant cannot have counted them by their end.
pub(super) fn shows_that_start_counts(request: &Request, records: &[ContactRecord]) -> bool {
    let margin = AFTER_CALL.as_secs_f64();
    records.iter().any(|leg| {
        let until_end = request.end.duration_since(leg.start).as_secs_f64();
        (request.start..request.end).contains(&leg.start) && leg.duration_s > until_end + margin
    })
}

/// From when on changes are asked for: from where the last look ended, or where there was none, from when the first day was indexed.
/// `None` where there is nothing that could have changed.
pub(super) fn sweep_since(
    now: Timestamp,
    last: Option<Timestamp>,
    first_indexed: Option<Timestamp>,
) -> Option<Timestamp> {
    let from = last.or(first_indexed)?;
    let earliest = now.saturating_sub(LONGEST_SINCE).unwrap_or(from);
    // A time ahead was told by a clock that was wrong then.
    let from = from.min(now);
    Some(from.saturating_sub(OVERLAP).unwrap_or(from).max(earliest))
}

/// Whether a day is final after this listing. A first one that lacks contacts is made once more when the day is looked at again.
pub(super) fn closes(request: &Request, mode: Mode, whole: bool) -> bool {
    request.closes && (whole || matches!(mode, Mode::Behind(_)))
}

/// As far as a signed duration reaches.
pub(super) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::zone;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn state(indexed_at: &str, closed: bool, last_poll: Option<&str>) -> DayState {
        DayState { indexed_at: at(indexed_at), closed, last_poll: last_poll.map(at) }
    }

    const REFRESH: Duration = Duration::from_mins(5);

    #[test]
    fn an_access_is_answered_waits_or_refreshes() {
        let day: Day = "2026-11-02".parse().unwrap();
        let open = state("2026-11-02T12:00:00Z", false, None);
        let step = |now: &str, known: Option<&DayState>| on_access(day, at(now), known, REFRESH, &zone());
        assert_eq!(step("2026-11-02T04:59:59Z", None), Step::Future);
        assert_eq!(step("2026-11-02T05:00:00Z", None), Step::Wait);
        assert_eq!(step("2026-11-02T12:04:59Z", Some(&open)), Step::Answer(open));
        assert_eq!(step("2026-11-02T12:05:00Z", Some(&open)), Step::AnswerAndRefresh(open));
        assert_eq!(step("2026-11-01T12:05:00Z", Some(&open)), Step::Answer(open));
        let closed = state("2026-11-05T12:00:00Z", true, None);
        assert_eq!(step("2027-11-05T12:00:00Z", Some(&closed)), Step::Answer(closed));
    }

    #[test]
    fn a_day_closes_48_hours_after_its_local_end() {
        let long: Day = "2026-11-01".parse().unwrap();
        let request = |now: &str| request(long, at(now), Mode::First, &zone());
        let before = request("2026-11-04T04:59:59Z");
        assert_eq!((before.start, before.end), (at("2026-11-01T04:00:00Z"), at("2026-11-02T05:00:00Z")));
        assert!(!before.closes);
        assert!(request("2026-11-04T05:00:00Z").closes);
    }

    #[test]
    fn the_night_after_a_day_is_looked_at_once_it_is_there() {
        let day: Day = "2026-11-02".parse().unwrap();
        let night = |now: &str, mode| overnight(&request(day, at(now), mode, &zone()));
        let midnight = at("2026-11-03T05:00:00Z");
        assert_eq!(night("2026-11-20T00:00:00Z", Mode::First), Some((midnight, at("2026-11-03T09:00:00Z"))));
        assert_eq!(night("2026-11-03T06:00:00Z", Mode::Forced), Some((midnight, at("2026-11-03T06:00:00Z"))));
        assert_eq!(night("2026-11-02T17:00:00Z", Mode::First), None);
        let open = state("2026-11-03T05:30:00Z", false, Some("2026-11-03T05:30:00Z"));
        assert_eq!(night("2026-11-03T06:00:00Z", Mode::Behind(open)), None, "changes only");
    }

    #[test]
    fn what_ends_long_after_midnight_shows_that_the_start_counts() {
        let request = request("2026-11-02".parse().unwrap(), at("2026-11-20T00:00:00Z"), Mode::First, &zone());
        let shows = |start: &str, duration_s| {
            let leg = ContactRecord { duration_s, ..super::super::super::testing::record(1, 1, 7, start) };
            shows_that_start_counts(&request, &[leg])
        };
        assert!(shows("2026-11-03T04:59:00Z", 661.0));
        assert!(!shows("2026-11-03T04:59:00Z", 659.0), "after-call work");
        assert!(!shows("2026-11-02T15:00:00Z", 600.0));
        assert!(!shows("2026-11-02T04:59:00Z", 1e6), "not of the window");
    }

    #[test]
    fn a_sweep_goes_on_where_the_last_one_ended_and_no_more_than_thirty_days_back() {
        let now = at("2026-11-20T00:00:00Z");
        let since = |last: Option<&str>, first: Option<&str>| sweep_since(now, last.map(at), first.map(at));
        assert_eq!(since(None, None), None, "nothing is indexed");
        assert_eq!(since(None, Some("2026-11-19T00:00:00Z")), Some(at("2026-11-18T23:40:00Z")));
        assert_eq!(since(Some("2026-11-19T23:00:00Z"), Some("2026-11-01T00:00:00Z")), Some(at("2026-11-19T22:40:00Z")));
        assert_eq!(since(Some("2026-01-01T00:00:00Z"), None), Some(at("2026-10-21T00:00:00Z")));
        assert_eq!(since(Some("2027-01-01T00:00:00Z"), None), Some(at("2026-11-19T23:40:00Z")), "the clock was wrong");
    }

    #[test]
    fn a_refresh_asks_for_changes_unless_it_is_final_forced_or_long_ago() {
        let day: Day = "2026-11-02".parse().unwrap();
        let since = |now: &str, mode| request(day, at(now), mode, &zone()).updated_since;
        let open = state("2026-11-02T12:00:00Z", false, Some("2026-11-02T12:00:00Z"));
        assert_eq!(since("2026-11-02T13:00:00Z", Mode::Behind(open)), Some(at("2026-11-02T11:40:00Z")));
        assert_eq!(since("2026-11-02T13:00:00Z", Mode::Forced), None);
        assert_eq!(since("2026-11-05T13:00:00Z", Mode::Behind(open)), None);
        let old = DayState { last_poll: Some(at("2026-10-01T00:00:00Z")), ..open };
        assert_eq!(since("2026-11-02T13:00:00Z", Mode::Behind(old)), None);
        assert_eq!(since("2026-11-02T13:00:00Z", Mode::Behind(DayState { last_poll: None, ..open })), None);
    }
}
